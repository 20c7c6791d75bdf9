//! What is searched: small worlds by name.
//!
//! Each is aimed at a part of a protocol, with bounds such that all of its states can be visited. Which take seconds
//! differs from protocol to protocol ([`Searched::small`](crate::Searched)); the others are for a run now and then, whose
//! counts are in `docs/checking.md`.

use crate::world::{Limits, NODES, Past};

/// A small world.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    pub(crate) limits: Limits,
    pub(crate) asks: bool,
}

/// Two campaigns in two rounds among three voters, by the paper's basic algorithm; nothing else happens.
const BASE: Limits = Limits {
    rounds: 2,
    proposals: 0,
    crashes: 0,
    beats: 0,
    changes: 0,
    campaigns: 2,
    stale: false,
    syncs: false,
    voters: &[1, 2, 3],
    targets: &[],
    past: None,
};

/// Raft's figure 8 (b) with three nodes: node 1 wrote in round 1 and node 3 in round 2, each for itself; node
/// 2 has nothing.
const FIGURE_8: [Past; NODES] = [
    Past { round: 2, vote: 0, log: &[(1, 1)] },
    Past { round: 2, vote: 3, log: &[] },
    Past { round: 2, vote: 3, log: &[(2, 3)] },
];

const fn world(name: &'static str, about: &'static str, limits: Limits) -> Scenario {
    Scenario { name, about, limits, asks: false }
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 16] = [
        world(
            "one-campaign",
            "one campaign, one command; nothing is too old to arrive",
            Limits { rounds: 1, campaigns: 1, stale: true, proposals: 1, ..BASE },
        ),
        world(
            "one-leader",
            "one campaign, one command",
            Limits { rounds: 1, campaigns: 1, proposals: 1, ..BASE },
        ),
        world(
            "one-leader-crashes",
            "one campaign, one crash with everything on the disk",
            Limits { rounds: 1, campaigns: 1, crashes: 1, ..BASE },
        ),
        world(
            "two-voters",
            "two campaigns in two rounds, one command, among two voters",
            Limits { proposals: 1, voters: &[1, 2], ..BASE },
        ),
        world(
            "rivals",
            "two campaigns in one round, one command; nothing is too old to arrive",
            Limits { rounds: 1, stale: true, proposals: 1, ..BASE },
        ),
        world(
            "promises",
            "two campaigns in one round, one command, one crash with everything on the disk",
            Limits { rounds: 1, crashes: 1, proposals: 1, ..BASE },
        ),
        world("elections", "two campaigns in two rounds", BASE),
        world(
            "stale",
            "three campaigns in one round; nothing is too old to arrive",
            Limits { rounds: 1, campaigns: 3, stale: true, ..BASE },
        ),
        world(
            "commands",
            "the same, with a command",
            Limits { rounds: 1, campaigns: 3, stale: true, proposals: 1, ..BASE },
        ),
        world(
            "crashes",
            "two campaigns in one round, one crash at any moment between writing and syncing",
            Limits { rounds: 1, crashes: 1, syncs: true, ..BASE },
        ),
        world("change", "voters 1 and 2 give way to 3, two campaigns", CHANGE),
        Scenario {
            asks: true,
            ..world(
                "pre-votes",
                "two campaigns in one round, which ask first; nothing is too old to arrive",
                Limits { rounds: 1, stale: true, ..BASE },
            )
        },
        world(
            "figure-8",
            "what can follow Raft's figure 8 (b) within two campaigns",
            Limits { rounds: 4, past: Some(FIGURE_8), ..BASE },
        ),
        world(
            "change-crashes",
            "voters 1 and 2 give way to 3, three campaigns, one crash",
            Limits { campaigns: 3, crashes: 1, syncs: true, ..CHANGE },
        ),
        world(
            "three-campaigns",
            "three campaigns in two rounds, one command",
            Limits { campaigns: 3, proposals: 1, ..BASE },
        ),
        world(
            "late-messages",
            "two campaigns in two rounds; nothing is too old to arrive",
            Limits { stale: true, ..BASE },
        ),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Scenario> {
        Scenario::ALL.into_iter().find(|scenario| scenario.name == name)
    }
}

/// The voters change completely, which only the joint membership makes safe.
const CHANGE: Limits = Limits { changes: 1, voters: &[1, 2], targets: &[&[3]], ..BASE };
