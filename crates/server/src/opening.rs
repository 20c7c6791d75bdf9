//! What a node takes hold of before it starts: its identity, its ports, its directory, the log and the state in it.
//!
//! All that can go wrong at a start goes wrong here, before a thread runs or a peer has heard of the node. Who it is comes
//! first ([`joining`](crate::joining)), then ports, then disks: a port in use is the commonest mistake, and the cheapest
//! to find. The directory's lock and the log's identity keep two processes, and two members, from one directory.
//!
//! # What is mended here
//!
//! - *The state is damaged, lost, or older than the log allows.* It is only a consequence of the log and of what the
//!   others hold, so it is set aside and the node starts with an empty state and, as the log by itself leads nowhere, an
//!   empty log. What it promised stays, and it does not campaign before it has again what its log is known to have held.
//! - *The log is damaged* in a way that leaves its promises readable: the log sees to that, and tells what it lost.
//! - *The log is damaged beyond that.* With `--replace-lost-disk` the directory is moved aside and the node comes back as
//!   a new member; without, the text says so.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;

use quorate_kv::{Member, State};
use quorate_protocol::{LogId, Membership, NodeId, Recovered};
use quorate_storage::{StorageError, Store};
use quorate_wal::{RealDisk, Wal, WalError};
use quorate_wire::Roster;
use tokio::runtime::Runtime;

use crate::config::{Config, ConfigError, Url};
use crate::http;
use crate::identity::{Founding, Identity, InitialMember};
use crate::joining::{self, Beginning};
use crate::log::GROUP;
use crate::members::hearsay;
use crate::shared::Core;
use crate::snapshots::{membership, standing};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log.
    #[error(transparent)]
    Log(#[from] WalError),
    /// The state.
    #[error(transparent)]
    State(#[from] StorageError),
    /// A directory or socket.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The log is gone and the state is not: what was promised is forgotten.
    #[error(
        "{directory} holds a state but no log: what this member promised to the others is lost. Start it once with \
         --replace-lost-disk, so that it comes back as a new member"
    )]
    LogLost {
        /// The data directory.
        directory: PathBuf,
    },
    /// A founder comes back empty-handed.
    #[error(
        "member {member:x} has already been bootstrapped: its peers know it, and {directory} is empty. If its disk is \
         lost, start it once with --replace-lost-disk; if the directory is the wrong one, correct --data-dir"
    )]
    Bootstrapped {
        /// The member.
        member: u64,
        /// Its data directory.
        directory: PathBuf,
    },
    /// The others have founded a cluster without this member.
    #[error(
        "the members in --initial-cluster belong to cluster {cluster:x} already, which was not founded with these flags: \
         to join it, add this member with `member add` and start it with --initial-cluster-state=existing; if it was a \
         member and its disk is lost, start it once with --replace-lost-disk"
    )]
    FoundedAlready {
        /// Theirs.
        cluster: u64,
    },
    /// The log is another protocol's, to which this one's entries mean nothing.
    #[error(
        "{directory} was written under --protocol {theirs}, and this node was started with --protocol {ours}: start it with \
         --protocol {theirs}, or name a directory of its own. A cluster keeps its protocol; to change it, found another and \
         load it"
    )]
    WrittenByOther {
        /// The data directory.
        directory: PathBuf,
        /// What wrote it.
        theirs: String,
        /// What this node would run.
        ours: String,
    },
    /// The others run another protocol.
    #[error(
        "the members in --initial-cluster run --protocol {theirs}, this one was started with --protocol {ours}: start it \
         with --protocol {theirs}"
    )]
    OtherProtocol {
        /// What they run.
        theirs: String,
        /// What this node would run.
        ours: String,
    },
    /// Nobody who could know the cluster.
    #[error(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs: none of \
         the other members in --initial-cluster answers; check that they run and that the URLs are right{}",
        listed(.refusals)
    )]
    NoPeers {
        /// What each said.
        refusals: Vec<String>,
    },
    /// The cluster does not know this member, or not as the flags say.
    #[error("{why}")]
    NotAdded {
        /// Why not.
        why: String,
    },
    /// No peer would replace it.
    #[error("this member was not replaced, and nothing has changed{}", listed(.refusals))]
    NotReplaced {
        /// What each said.
        refusals: Vec<String>,
    },
    /// There is no lost disk.
    #[error(
        "{directory} is in order, so there is no lost disk to replace: start without --replace-lost-disk. (To replace the \
         member all the same, move the directory away first.)"
    )]
    NotLost {
        /// The data directory.
        directory: PathBuf,
    },
}

fn listed(refusals: &[String]) -> String {
    refusals.iter().map(|refusal| format!("\n  {refusal}")).collect()
}

/// The sockets of a node, and the threads that serve clients.
pub struct Ports {
    pub runtime: Runtime,
    pub clients: Vec<tokio::net::TcpListener>,
    pub peers: Vec<TcpListener>,
}

impl Ports {
    /// Take all of them.
    ///
    /// # Errors
    /// One is in use, or not ours to take.
    pub fn bind(config: &Config) -> Result<Ports, StartError> {
        let runtime = runtime().map_err(io("cannot start the client runtime"))?;
        let clients = bind_clients(config, &runtime)?;
        let peers = bind_peers(config)?;
        Ok(Ports { runtime, clients, peers })
    }
}

fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(4))
        .thread_name("clients")
        .enable_all()
        .build()
}

fn bind_clients(config: &Config, runtime: &Runtime) -> Result<Vec<tokio::net::TcpListener>, StartError> {
    let bind = |url: &Url| {
        let address = url.bind_address().expect("a valid configuration binds");
        let bound = runtime.block_on(http::bind(address));
        bound.map_err(io(format!("cannot listen for clients on {url} (--listen-client-urls)")))
    };
    config.listen_client_urls.iter().map(bind).collect()
}

fn bind_peers(config: &Config) -> Result<Vec<TcpListener>, StartError> {
    let bind = |url: &Url| {
        let address = url.bind_address().expect("a valid configuration binds");
        TcpListener::bind(address)
            .map_err(io(format!("cannot listen for peers on {url} (--listen-peer-urls)")))
    };
    config.listen_peer_urls.iter().map(bind).collect()
}

/// What a node starts with.
pub struct Opened {
    pub identity: Identity,
    pub wal: Wal<RealDisk>,
    pub state: State<Store>,
    pub recovered: Recovered,
    /// Where members are that no table tells of yet.
    pub hearsay: BTreeMap<NodeId, Vec<String>>,
    pub state_directory: PathBuf,
    pub options: quorate_storage::Options,
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StartError {
    let what = what.into();
    move |error| StartError::Io { what, error }
}

/// A data directory being opened.
struct Opening<'a> {
    config: &'a Config,
    protocol: &'static str,
    state_directory: PathBuf,
    options: quorate_storage::Options,
}

/// Open the log and the state, and see that they fit together.
///
/// # Errors
/// They do not, or cannot be read.
pub fn open<C: Core>(config: &Config, beginning: Beginning) -> Result<Opened, StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let opening = Opening {
        config,
        protocol: C::NAME,
        state_directory: config.data_dir.join("state"),
        options: quorate_storage::Options { fatal: unreadable, ..Default::default() },
    };
    if let Beginning::Join(..) = beginning
        && config.replace_lost_disk
    {
        opening.move_aside()?;
    }
    let directory = &config.data_dir;
    let make = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    make.map_err(io(format!("cannot create the data directory {}", directory.display())))?;
    match beginning {
        Beginning::Restart(identity) => opening.restart(identity),
        Beginning::Found(founding) => opening.found(&founding),
        Beginning::Join(identity, roster) => opening.join(identity, &roster),
    }
}

impl Opening<'_> {
    /// A state that begins. It is durable before there is a log: a log without it would lead nowhere.
    fn found(self, founding: &Founding) -> Result<Opened, StartError> {
        self.clear_state()?;
        let member = |initial: &InitialMember| Member {
            id: initial.id,
            peer_urls: initial.peer_urls.iter().map(ToString::to_string).collect(),
            ..Member::default()
        };
        let voters = Membership::new(founding.members.iter().map(|member| NodeId(member.id)), [])
            .with_write_quorum(founding.write_quorum);
        let store = Store::open(&self.state_directory, &self.options)?;
        let mut state = State::found(store, founding.members.iter().map(member), voters.to_bytes());
        state.storage_mut().checkpoint(true)?;
        let (wal, recovered) = self.log(founding.identity, LogId::default())?;
        self.opened(founding.identity, wal, state, recovered, BTreeMap::new())
    }

    /// With nothing: a leader will send what there is.
    fn join(self, identity: Identity, roster: &Roster) -> Result<Opened, StartError> {
        self.clear_state()?;
        let state = State::restore(Store::open(&self.state_directory, &self.options)?);
        let (wal, recovered) = self.log(identity, LogId::default())?;
        self.opened(identity, wal, state, recovered, hearsay(roster))
    }

    fn restart(self, identity: Identity) -> Result<Opened, StartError> {
        let state = match Store::open(&self.state_directory, &self.options) {
            Ok(store) => Ok(State::restore(store)),
            Err(error) if error.is_damage() => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        // What the state holds already need not be readable in the log.
        let applied = state.as_ref().map_or(LogId::default(), |state| standing(state.meta()));
        let (wal, recovered) = match self.log(identity, applied) {
            Err(StartError::Log(error)) if joining::is_damage(&error) && self.config.replace_lost_disk => {
                drop(state);
                return self.give_up(&error);
            }
            found => found?,
        };
        let state = state.and_then(|state| fits(state, &recovered));
        match state {
            Ok(_) if self.config.replace_lost_disk => {
                Err(StartError::NotLost { directory: self.config.data_dir.clone() })
            }
            Ok(state) if state.meta().applied_index > 0 => {
                self.opened(identity, wal, state, recovered, BTreeMap::new())
            }
            // It joined, and was stopped before it had been sent anything.
            Ok(state) => {
                let roster = joining::roster(self.config, self.protocol, identity)?;
                self.opened(identity, wal, state, recovered, hearsay(&roster))
            }
            Err(why) => self.without_state(identity, wal, &why),
        }
    }

    /// The state is lost, and the log is not.
    fn without_state(
        self,
        identity: Identity,
        mut wal: Wal<RealDisk>,
        why: &str,
    ) -> Result<Opened, StartError> {
        // Asked first: if nobody answers, nothing has been touched.
        let roster = joining::roster(self.config, self.protocol, identity).inspect_err(|_| {
            tracing::error!(
                "the state cannot be used, and it can only be restored from the other members: {why}"
            );
        })?;
        let aside = quorate_storage::set_aside(&self.state_directory)?;
        tracing::warn!(
            ?aside,
            "the state cannot be used, is set aside, and will be sent anew by the leader: {why}"
        );
        // What a leader sends may be from before the log's beginning.
        let recovered = wal.start_over(GROUP)?;
        let state = State::restore(Store::open(&self.state_directory, &self.options)?);
        self.opened(identity, wal, state, recovered, hearsay(&roster))
    }

    /// The log is damaged beyond repair, and the operator has asked for what remains to be done.
    fn give_up(self, error: &WalError) -> Result<Opened, StartError> {
        tracing::warn!("the log cannot be used: {error}");
        let beginning = joining::come_back(self.config, self.protocol)?;
        let Beginning::Join(identity, roster) = beginning else { unreachable!("it comes back by joining") };
        self.move_aside()?;
        std::fs::create_dir(&self.config.data_dir)
            .map_err(io(format!("cannot create {}", self.config.data_dir.display())))?;
        self.join(identity, &roster)
    }

    /// The log; entries up to `applied` are not needed. What is damaged is told.
    fn log(&self, identity: Identity, applied: LogId) -> Result<(Wal<RealDisk>, Recovered), StartError> {
        let mut disk = RealDisk::open(self.config.data_dir.join("wal"))?;
        if self.config.unsafe_no_fsync {
            disk = disk.without_sync();
        }
        let whose = quorate_wal::Identity {
            cluster: identity.cluster,
            node: identity.member,
            protocol: self.protocol.to_owned(),
        };
        let options =
            quorate_wal::Options { segment_bytes: self.config.wal_segment_bytes, ..Default::default() };
        let (wal, mut groups) = Wal::open_at(disk, options, &whose, &BTreeMap::from([(GROUP, applied)]))?;
        for damage in wal.damage() {
            tracing::warn!(
                "{damage}; it is read around, and left as it is until its segment is no longer needed"
            );
        }
        for missing in wal.missing() {
            tracing::warn!("{missing}");
        }
        Ok((wal, groups.remove(&GROUP).unwrap_or_default()))
    }

    fn opened(
        self,
        identity: Identity,
        wal: Wal<RealDisk>,
        state: State<Store>,
        recovered: Recovered,
        hearsay: BTreeMap<NodeId, Vec<String>>,
    ) -> Result<Opened, StartError> {
        let (applied, membership) = (standing(state.meta()), membership(state.meta()));
        let asked = self.config.write_quorum.filter(|&asked| asked != membership.write_quorum());
        if let Some(asked) = asked.filter(|_| !membership.voters().is_empty()) {
            let holds = membership.write_quorum();
            tracing::warn!(
                "--write-quorum {asked} has no effect: this cluster was founded with another, and writes with {}",
                if holds == 0 { "a majority".to_owned() } else { holds.to_string() }
            );
        }
        let recovered = Recovered { applied, membership, ..recovered };
        let Opening { state_directory, options, .. } = self;
        Ok(Opened { identity, wal, state, recovered, hearsay, state_directory, options })
    }

    /// Where there is no log, a state can only be the rest of a first start that did not come far.
    fn clear_state(&self) -> Result<(), StartError> {
        let directory = &self.state_directory;
        if !directory.exists() {
            return Ok(());
        }
        let begun = match Store::open(directory, &self.options) {
            Ok(store) => quorate_kv::Storage::meta(&store).applied_index <= 1,
            Err(_) => false,
        };
        if !begun {
            return Err(StartError::LogLost { directory: self.config.data_dir.clone() });
        }
        std::fs::remove_dir_all(directory).map_err(io(format!("cannot remove {}", directory.display())))
    }

    /// Move what there is of a lost disk aside, if there is anything.
    fn move_aside(&self) -> Result<(), StartError> {
        let directory = &self.config.data_dir;
        if ["wal", "state"].iter().any(|part| directory.join(part).exists())
            && let Some(aside) = quorate_storage::move_aside(directory, "lost")?
        {
            tracing::warn!(aside = %aside.display(), "what was left of the data directory is kept there");
        }
        Ok(())
    }
}

/// The state, if the log goes on from it.
fn fits(state: State<Store>, log: &Recovered) -> Result<State<Store>, String> {
    let stands = state.meta().applied_index;
    let empty = log.base.index.0 == 0 && log.entries.is_empty() && log.held.index.0 == 0;
    match stands >= log.base.index.0 && (stands > 0 || empty) {
        true => Ok(state),
        false => {
            Err(format!("it stands at index {stands}, and the log begins after index {}", log.base.index))
        }
    }
}

/// The state machine has no answer to a record it was promised and cannot read: end before anything wrong is
/// said.
fn unreadable(error: StorageError) -> ! {
    tracing::error!("this node must stop: {error}");
    std::process::exit(1)
}
