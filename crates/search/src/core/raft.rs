//! Raft, as it is searched.

use quorate_protocol::{Ballot, LogId, Membership, NodeId, Random};
use quorate_raft::{Body, Message, Raft, Rules, Term};

use super::{Plant, Searched, TIMEOUT_TICKS, run_with};
use crate::node::{Core, Mistakes, tell_entry};

pub(super) const SEARCHED: Searched = Searched {
    name: "raft",
    small: &["elections", "stale", "commands", "crashes", "change"],
    states: 80_000_000,
    sound: run_with::<Raft<Sound<false>>>,
    asking: run_with::<Raft<Sound<true>>>,
    plants: &PLANTS,
};

const PLANTS: [Plant; 7] = [
    Plant::of("vote-twice", "elections", run_with::<Raft<VotesTwice>>),
    Plant::of("vote-without-log-check", "elections", run_with::<Raft<BlindVote>>),
    Plant::of("commit-old-term-by-counting", "figure-8", run_with::<Raft<CountsOldTerms>>),
    Plant::of("append-without-check", "figure-8", run_with::<Raft<AppendsByPlace>>),
    Plant::of("skip-joint", "change-crashes", run_with::<Raft<SkipsJoint>>),
    Plant::of("forget-vote-on-restart", "crashes", run_with::<Raft<Sound<false>>>)
        .by_host(Mistakes { forgets_vote: true, ..Mistakes::NONE }),
    Plant::of("ack-before-fsync", "crashes", run_with::<Raft<Sound<false>>>)
        .by_host(Mistakes { sends_early: true, ..Mistakes::NONE }),
];

impl<R: Rules + Clone> Core for Raft<R> {
    const SYMMETRIC: bool = true;

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
