//! Zab, as it is searched.

use quorate_protocol::{Membership, Random};
use quorate_zab::{Body, Message, Rules, Zab};

use super::{Plant, Searched, TIMEOUT_TICKS, run_with};
use crate::node::{Core, Mistakes, tell_entry};

pub(super) const SEARCHED: Searched = Searched {
    name: "zab",
    small: &["one-leader", "one-leader-crashes", "two-voters", "elections", "one-campaign", "crashes"],
    // The others are smaller than that. An epoch begins with so many messages that late ones, or a crash at any moment, make more.
    states: 1_000_000,
    sound: run_with::<Zab<Sound<false>>>,
    asking: run_with::<Zab<Sound<true>>>,
    plants: &PLANTS,
};

const PLANTS: [Plant; 3] = [
    Plant::of("establish-alone", "rivals", run_with::<Zab<EstablishesAlone>>),
    Plant::of("skip-joint", "change-crashes", run_with::<Zab<SkipsJoint>>),
    Plant::of("ack-before-fsync", "crashes", run_with::<Zab<Sound<false>>>)
        .by_host(Mistakes { sends_early: true, ..Mistakes::NONE }),
];

impl<R: Rules + Clone> Core for Zab<R> {
    const SYMMETRIC: bool = false;

    /// The epoch its sender has accepted, also where it speaks of none: so where late messages are lost, a candidate that is behind
    /// is not heard by who has accepted a later epoch. Were it heard, no world here would have an end.
    fn round(message: &Message) -> u64 {
        message.epoch
    }

    /// A follower may ask to be synchronised again at any time, and is.
    fn repetitions(message: &Message) -> u64 {
        match &message.body {
            Body::Sync { session, .. } | Body::Snapshot { session, .. } => *session,
            _ => 0,
        }
    }

    fn tell(message: &Message) -> String {
        let what = match &message.body {
            Body::Propose { prev, entries, commit, .. } => {
                let entries: Vec<String> = entries.iter().map(tell_entry).collect();
                format!("propose [{}] after {prev}, commit {commit}", entries.join(" "))
            }
            other => format!("{other:?}"),
        };
        format!("(epoch {}) {what}", message.epoch)
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

/// Rules with one of them broken.
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
    /// The initial history counts as committed before a quorum has it.
    EstablishesAlone {
        fn may_establish(_: bool) -> bool {
            true
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
