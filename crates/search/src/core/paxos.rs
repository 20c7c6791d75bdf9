//! Multi-Paxos, as it is searched.

use quorate_paxos::{Body, Message, Paxos, Rules};
use quorate_protocol::{Ballot, Entry, Membership, NodeId, Random};

use super::{Plant, Searched, TIMEOUT_TICKS, run_with};
use crate::node::{Core, Mistakes, tell_entry};

pub(super) const SEARCHED: Searched = Searched {
    name: "paxos",
    small: &["one-campaign", "elections", "stale"],
    states: 80_000_000,
    sound: run_with::<Paxos<Sound<false>>>,
    asking: run_with::<Paxos<Sound<true>>>,
    plants: &PLANTS,
};

const PLANTS: [Plant; 6] = [
    Plant::of("accept-any-ballot", "elections", run_with::<Paxos<AcceptsAnything>>),
    Plant::of("promise-reports-nothing", "rivals", run_with::<Paxos<ReportsNothing>>),
    Plant::of("elect-without-quorum", "rivals", run_with::<Paxos<ElectsAlone>>),
    Plant::of("skip-joint", "change-crashes", run_with::<Paxos<SkipsJoint>>),
    Plant::of("forget-vote-on-restart", "promises", run_with::<Paxos<Sound<false>>>)
        .by_host(Mistakes { forgets_vote: true, ..Mistakes::NONE }),
    Plant::of("ack-before-fsync", "crashes", run_with::<Paxos<Sound<false>>>)
        .by_host(Mistakes { sends_early: true, ..Mistakes::NONE }),
];

impl<R: Rules + Clone> Core for Paxos<R> {
    const SYMMETRIC: bool = false;

    fn round(message: &Message) -> u64 {
        message.ballot.round
    }

    fn tell(message: &Message) -> String {
        let ballot = message.ballot;
        let told = |entries: &[Entry]| entries.iter().map(tell_entry).collect::<Vec<String>>().join(" ");
        let what = match &message.body {
            Body::Ask { commit } => {
                format!("would you promise me this ballot? I know what is chosen up to {commit}")
            }
            Body::AskReply { granted } => format!("I would: {}", if *granted { "yes" } else { "no" }),
            Body::Prepare { from, .. } => format!("prepare, from {from} on"),
            Body::Promise { from, entries, commit, .. } => {
                format!("promised; from {from} on I accepted [{}], chosen up to {commit}", told(entries))
            }
            Body::Accept { entries, commit } => format!("accept [{}], chosen up to {commit}", told(entries)),
            Body::Accepted { from, upto, matched } => {
                format!("accepted {from} to {upto}, all up to {matched}")
            }
            Body::Heartbeat { commit, .. } => format!("I lead, chosen up to {commit}"),
            Body::HeartbeatReply { .. } => "so I see".to_string(),
            Body::Stale => "I have promised this one".to_string(),
            other => format!("{other:?}"),
        };
        format!("(ballot {ballot}) {what}")
    }
}

/// The papers' rules.
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
    /// An acceptor accepts under any ballot, whatever it has promised.
    AcceptsAnything {
        fn may_accept(_: Ballot, _: Ballot) -> bool {
            true
        }
    }
);

rules!(
    /// A promise does not tell what was accepted.
    ReportsNothing {
        fn reports_what_was_accepted() -> bool {
            false
        }
    }
);

rules!(
    /// A candidate leads as soon as it has promised itself its ballot.
    ElectsAlone {
        fn elects(_: &Membership, promised: impl Fn(NodeId) -> bool) -> bool {
            (1..=3).any(|node| promised(NodeId(node)))
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
