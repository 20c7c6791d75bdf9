//! The quorate binary: a node, a cluster for trying things out, a client, and a load tool.
//!
//! | verb | module |
//! |---|---|
//! | `serve` | [`serve`], with etcd's flags in [`flags`] |
//! | `dev` | [`dev`]: a whole cluster in one process |
//! | `get put del watch status member move-leader` | [`verbs`], over [`client`] |
//! | `bench` | [`bench`] |
//! | `sim` | [`sim`]; `sim figures` and `sim search`: [`sim_more`] |

mod bench;
mod cli;
mod client;
mod dev;
mod ending;
mod flags;
mod logging;
mod serve;
mod sim;
mod sim_more;
mod verbs;

fn main() -> std::process::ExitCode {
    cli::main()
}
