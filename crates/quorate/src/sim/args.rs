//! The flags of `quorate sim`, and what they mean together.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use clap::Args;
use quorate_sim::{Effort, Options, Plan, PlanError, Plant, Protocol, Sites};

/// Run seeded worlds in which networks, disks, clocks and processes fail, and check what the cluster promises
#[derive(Debug, Clone, Args)]
pub(crate) struct SimArgs {
    /// How many worlds, one for each seed from --start on
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Run this one world only
    #[arg(long, conflicts_with_all = ["seeds", "start", "jobs"])]
    pub(super) seed: Option<u64>,
    /// Worlds at a time [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// What the nodes speak: raft, paxos or zab, two-phase or three-phase, or chord; "consensus" for the first three one
    /// after the other, "all" for all [default: raft]
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Of two-phase and three-phase: by what each site is replicated, raft, paxos or zab, or "none" for single processes
    /// [default: as the seed says]
    #[arg(long, value_name = "NAME")]
    groups: Option<String>,
    /// Replicas, or sites [default: as the seed says]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    nodes: Option<u8>,
    /// Allow these faults only, as far as the seed draws them: classes, groups, all or none; "list" names them
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
    /// Put this bug in, to see it caught; "list" names them
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// Set numbers that the seed would draw: name=number, separated by commas; "list" names them
    #[arg(long, value_name = "LIST")]
    set: Option<String>,
    /// Let the nemesis do only these of its deeds, say a1-7,s3, or none of them
    #[arg(long, value_name = "LIST", requires = "seed")]
    deeds: Option<String>,
    /// Seconds to spend on finding a smaller run that fails as the first one does; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    shrink: u64,
    /// Write all that happens to this file, as JSON lines (docs/trace.md)
    #[arg(long, value_name = "FILE", requires = "seed")]
    pub(super) trace: Option<String>,
    /// Print each seed and the digest of its run, and nothing else
    #[arg(long, conflicts_with_all = ["verbose", "trace"])]
    pub(super) hashes: bool,
    /// Print everything that happens, line by line
    #[arg(long, requires = "seed")]
    pub(super) verbose: bool,
}

/// Why flags cannot be followed.
#[derive(Debug)]
pub(super) enum Mistake {
    /// No such protocol.
    Protocol(String),
    /// No such kind of site.
    Groups(String),
    /// More than a world of this protocol has.
    Nodes(Protocol),
    /// No such bug.
    Plant(String),
    /// A bug of other protocols.
    Foreign(Plant, Protocol),
    /// Faults, numbers or deeds.
    Plan(PlanError),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::Protocol(name) => {
                let known = names(&Protocol::ALL);
                write!(f, "no world runs the protocol {name:?}: choose one of {known}, consensus, or all")
            }
            Mistake::Groups(name) => {
                let known = Sites::ALL.map(Sites::name).join(", ");
                write!(f, "no site is replicated by {name:?}: choose one of {known}")
            }
            Mistake::Nodes(protocol) if protocol.is_atomic() => f.write_str(
                "no world has so few or so many sites: choose from 2, to 50 processes or 16 groups",
            ),
            Mistake::Nodes(_) => f.write_str("no world has so many replicas of one log: choose from 1 to 9"),
            Mistake::Foreign(plant, protocol) => {
                let (of, name) = (names(plant.protocols()), plant.name());
                let first = plant.protocols().first().copied().unwrap_or_default().name();
                let other = protocol.name();
                write!(f, "the bug {name} is one of {of}, not of {other}: add --protocol {first}")
            }
            Mistake::Plant(name) => write!(f, "no bug is called {name:?}: see quorate sim --plant list"),
            Mistake::Plan(error) => error.fmt(f),
        }
    }
}

/// The names of some protocols.
pub(super) fn names(protocols: &[Protocol]) -> String {
    protocols.iter().map(|protocol| protocol.name()).collect::<Vec<_>>().join(", ")
}

/// What stands for each of them.
const EACH: &str = "all";

/// What stands for those of consensus.
const CONSENSUS: &str = "consensus";

/// Nodes of one log, at most.
const MOST_NODES: usize = 9;

/// Groups of three that are sites, at most.
const MOST_GROUPS: usize = 16;

impl SimArgs {
    /// The protocols that are asked for.
    fn protocols(&self) -> Result<Vec<Protocol>, Mistake> {
        match self.protocol.as_deref() {
            None => Ok(vec![Protocol::default()]),
            Some(EACH) => Ok(Protocol::ALL.to_vec()),
            Some(CONSENSUS) => Ok(Protocol::CONSENSUS.to_vec()),
            Some(name) => match Protocol::named(name) {
                Some(protocol) => Ok(vec![protocol]),
                None => Err(Mistake::Protocol(name.to_owned())),
            },
        }
    }

    /// The list that is asked for, if one is.
    pub(super) fn list(&self) -> Option<String> {
        let asked = |flag: &Option<String>| flag.as_deref() == Some("list");
        if asked(&self.plant) {
            let named = self.protocol.as_ref().and_then(|_| self.protocols().ok());
            return Some(super::plants(&named.unwrap_or_else(|| Protocol::ALL.to_vec())));
        }
        if asked(&self.faults) {
            return Some(super::classes());
        }
        asked(&self.set).then(|| {
            let seed = self.seed.unwrap_or(self.start);
            let protocol = self.protocols().ok().and_then(|all| all.first().copied()).unwrap_or_default();
            let nodes = self.nodes.map(usize::from);
            let sites = self.sites().ok().flatten();
            super::numbers(&Options { seed, nodes, sites, protocol, ..Options::default() })
        })
    }

    /// The runs, one for each protocol; of many seeds, the first.
    pub(super) fn worlds(&self) -> Result<Vec<Options>, Mistake> {
        let mut protocols = self.protocols()?;
        let plant = match &self.plant {
            None => None,
            Some(name) => Some(Plant::named(name).ok_or_else(|| Mistake::Plant(name.clone()))?),
        };
        if let Some(plant) = plant {
            if protocols.len() > 1 {
                protocols.retain(|protocol| plant.protocols().contains(protocol));
            }
            let foreign = protocols.iter().find(|protocol| !plant.protocols().contains(protocol));
            if let Some(foreign) = foreign {
                return Err(Mistake::Foreign(plant, *foreign));
            }
        }
        let mut plan = Plan::default();
        self.faults.iter().try_for_each(|list| plan.allow(list)).map_err(Mistake::Plan)?;
        self.set.iter().try_for_each(|list| plan.set(list)).map_err(Mistake::Plan)?;
        self.deeds.iter().try_for_each(|list| plan.only(list)).map_err(Mistake::Plan)?;
        let seed = self.seed.unwrap_or(self.start);
        let nodes = self.nodes.map(usize::from);
        let sites = self.sites()?;
        let of = |protocol| Options { protocol, seed, nodes, sites, plant, plan: plan.clone() };
        let worlds: Vec<Options> = protocols.into_iter().map(of).collect();
        let wrong = worlds.iter().find(|options| options.nodes.is_some_and(|nodes| !fits(options, nodes)));
        match wrong {
            Some(options) => Err(Mistake::Nodes(options.protocol)),
            None => Ok(worlds),
        }
    }

    /// What the sites are.
    fn sites(&self) -> Result<Option<Sites>, Mistake> {
        let named = |name: &String| Sites::named(name).ok_or_else(|| Mistake::Groups(name.clone()));
        self.groups.as_ref().map(named).transpose()
    }

    /// The seeds.
    pub(super) fn seeds(&self) -> Range<u64> {
        match self.seed {
            Some(seed) => seed..seed.saturating_add(1),
            None => self.start..self.start.saturating_add(self.seeds),
        }
    }

    /// Worlds at a time.
    pub(super) fn jobs(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(cores, usize::from)
    }

    /// What a smaller run may cost; nothing, if none is wanted.
    pub(super) fn effort(&self) -> Option<Effort> {
        let effort = Effort {
            events: EVENTS_A_SECOND.saturating_mul(self.shrink),
            time: Some(Duration::from_secs(self.shrink)),
            jobs: self.jobs(),
        };
        (self.shrink > 0).then_some(effort)
    }
}

/// Whether a world may have so many nodes or sites. Where the seed says what sites are, all must fit.
fn fits(options: &Options, nodes: usize) -> bool {
    match options.sites {
        _ if !options.protocol.is_atomic() => nodes <= MOST_NODES,
        Some(Sites::Processes) => nodes >= 2,
        _ => (2..=MOST_GROUPS).contains(&nodes),
    }
}

/// Events that a machine processes in a second: divides the time between the steps of shrinking.
const EVENTS_A_SECOND: u64 = 500_000;
