//! What must not happen to a node, and does: oversized and senseless requests, garbage on both ports, clients
//! that hang up or dawdle, full disks, wrong directories, wrong neighbours. Every time a clear error, and the
//! node and its data unharmed.

#[path = "bad_input/connections.rs"]
mod connections;
#[path = "bad_input/directories.rs"]
mod directories;
#[path = "bad_input/requests.rs"]
mod requests;

use quorate_harness::{Cluster, Setup};

fn setup(members: usize) -> Setup {
    Setup::new(env!("CARGO_BIN_EXE_quorate"), members)
}

/// Runs what blocks without blocking the runtime.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Every member takes writes, every member reads them at once, and all hold the same.
async fn unharmed(cluster: &Cluster, after: &str) {
    for at in 0..cluster.len() {
        let key = format!("unharmed/{after}/{at}");
        let put = cluster.client(at).await.put(key.as_str(), "x", None).await;
        put.unwrap_or_else(|error| panic!("after {after}, a put: {error}: {}", cluster.post_mortem()));
        for reader in 0..cluster.len() {
            let got = cluster.client(reader).await.get(key.as_str(), None).await.expect("get");
            assert_eq!(got.count(), 1, "after {after}");
        }
    }
    cluster.agree().await;
}
