//! Which core is searched, with which rules, and how far.
//!
//! This is the one file of this crate that names the protocol. As in the seeded world, bugs of the protocol
//! are types that override one of its [`Rules`], so that they exist here only; bugs of a host are mistakes
//! that the small host of this crate makes when told to.

use quorate_protocol::{Ballot, LogId, Membership, NodeId, Random};
use quorate_raft::{Body, Message, Raft, Rules, Term};

use crate::node::{Core, Mistakes, tell_entry};
use crate::scenario::Scenario;
use crate::search::{Bounds, Outcome, search};
use crate::world::World;

impl<R: Rules + Clone> Core for Raft<R> {
    fn round(message: &Message) -> u64 {
        message.term.0
    }

    fn tell(message: &Message) -> String {
        let term = message.term.0;
        let yes = |granted: bool| if granted { "yes" } else { "no" };
        let what = match &message.body {
            Body::PreVote { last } => format!("would you vote for me, whose log ends with {last}?"),
            Body::PreVoteReply { granted } => format!("I would: {}", yes(*granted)),
            Body::Vote { last, .. } => format!("vote for me, whose log ends with {last}"),
            Body::VoteReply { granted } => format!("my vote: {}", yes(*granted)),
            Body::Append { prev, entries, commit } => {
                let entries: Vec<String> = entries.iter().map(tell_entry).collect();
                format!("append [{}] after {prev}, commit {commit}", entries.join(" "))
            }
            Body::Accepted { matched } => format!("my log agrees up to {matched}"),
            Body::Rejected { prev, hint, .. } => format!("I do not have {prev}, perhaps {hint}"),
            Body::Heartbeat { commit, .. } => format!("I lead, commit {commit}"),
            Body::HeartbeatReply { .. } => "so I see".to_string(),
            Body::Stale => "that round is over".to_string(),
            other => format!("{other:?}"),
        };
        format!("(round {term}) {what}")
    }
}

/// Two ticks make every timeout, so that chance has no part in a world: after one a voter no longer protects
/// its leader, after two it campaigns.
const TIMEOUT_TICKS: u32 = 2;

/// The paper's rules.
#[derive(Clone, Copy, Debug)]
struct Sound<const ASKS: bool>;

impl<const ASKS: bool> Rules for Sound<ASKS> {
    fn asks_first() -> bool {
        ASKS
    }

    fn timeout(_: u32, _: &mut Random) -> u32 {
        TIMEOUT_TICKS
    }
}

/// Rules with one of them broken, where nobody asks first.
macro_rules! rules {
    ($(#[$about:meta])* $name:ident { $($rule:item)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug)]
        struct $name;

        impl Rules for $name {
            fn asks_first() -> bool {
                false
            }

            fn timeout(_: u32, _: &mut Random) -> u32 {
                TIMEOUT_TICKS
            }

            $($rule)*
        }
    };
}

rules!(
    /// A vote is given without comparing logs.
    BlindVote {
        fn may_vote(_: LogId, _: LogId) -> bool {
            true
        }
    }
);

rules!(
    /// An entry of an earlier term is committed by counting its replicas.
    CountsOldTerms {
        fn may_commit(_: Term, _: Term) -> bool {
            true
        }
    }
);

rules!(
    /// A follower appends to any entry at the right place, whatever its round.
    AppendsByPlace {
        fn may_follow(known: Option<Ballot>, _: Ballot) -> bool {
            known.is_some()
        }
    }
);

rules!(
    /// Another membership is in force at once.
    SkipsJoint {
        fn towards(_: &Membership, target: &Membership) -> Membership {
            target.clone()
        }
    }
);

rules!(
    /// A voter votes for everybody.
    VotesTwice {
        fn may_choose(_: Option<NodeId>, _: NodeId) -> bool {
            true
        }
    }
);

/// A bug to put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A vote is given to everybody who asks, however often.
    VoteTwice,
    /// A vote is given without comparing logs.
    VoteWithoutLogCheck,
    /// An entry of an earlier term is committed by counting its replicas.
    CommitOldTermByCounting,
    /// Entries are appended to whatever is at the place before them.
    AppendWithoutCheck,
    /// The old and the new voters need not both agree.
    SkipJoint,
    /// A restarted node does not know whom it voted for.
    ForgetVoteOnRestart,
    /// A write counts as durable before its fsync.
    AckBeforeFsync,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 7] = [
        Plant::VoteTwice,
        Plant::VoteWithoutLogCheck,
        Plant::CommitOldTermByCounting,
        Plant::AppendWithoutCheck,
        Plant::SkipJoint,
        Plant::ForgetVoteOnRestart,
        Plant::AckBeforeFsync,
    ];

    /// Its name on the command line; where the seeded world has the same bug, the same.
    pub fn name(self) -> &'static str {
        match self {
            Plant::VoteTwice => "vote-twice",
            Plant::VoteWithoutLogCheck => "vote-without-log-check",
            Plant::CommitOldTermByCounting => "commit-old-term-by-counting",
            Plant::AppendWithoutCheck => "append-without-check",
            Plant::SkipJoint => "skip-joint",
            Plant::ForgetVoteOnRestart => "forget-vote-on-restart",
            Plant::AckBeforeFsync => "ack-before-fsync",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Plant> {
        Plant::ALL.into_iter().find(|plant| plant.name() == name)
    }

    /// The name of the smallest scenario in which it does harm.
    pub fn scenario(self) -> &'static str {
        match self {
            Plant::VoteTwice | Plant::VoteWithoutLogCheck => "elections",
            Plant::CommitOldTermByCounting | Plant::AppendWithoutCheck => "figure-8",
            Plant::SkipJoint => "change-crashes",
            Plant::ForgetVoteOnRestart | Plant::AckBeforeFsync => "crashes",
        }
    }
}

/// Searches a scenario, as it is or with a bug put in; with a bug of the protocol nobody asks first. `told`
/// hears, at each depth, how many states there are so far.
pub fn run(
    scenario: &Scenario,
    plant: Option<Plant>,
    bounds: Bounds,
    told: impl FnMut(usize, usize),
) -> Outcome {
    match plant {
        Some(Plant::VoteTwice) => run_with::<VotesTwice>(scenario, plant, bounds, told),
        Some(Plant::VoteWithoutLogCheck) => run_with::<BlindVote>(scenario, plant, bounds, told),
        Some(Plant::CommitOldTermByCounting) => run_with::<CountsOldTerms>(scenario, plant, bounds, told),
        Some(Plant::AppendWithoutCheck) => run_with::<AppendsByPlace>(scenario, plant, bounds, told),
        Some(Plant::SkipJoint) => run_with::<SkipsJoint>(scenario, plant, bounds, told),
        _ if scenario.asks => run_with::<Sound<true>>(scenario, plant, bounds, told),
        _ => run_with::<Sound<false>>(scenario, plant, bounds, told),
    }
}

fn run_with<R: Rules + Clone>(
    scenario: &Scenario,
    plant: Option<Plant>,
    bounds: Bounds,
    told: impl FnMut(usize, usize),
) -> Outcome {
    let mistakes = Mistakes {
        forgets_vote: plant == Some(Plant::ForgetVoteOnRestart),
        sends_early: plant == Some(Plant::AckBeforeFsync),
    };
    search(&mut World::<Raft<R>>::new(scenario.limits, mistakes), bounds, told)
}
