//! Which core is measured, and with which rules.
//!
//! The papers measured Raft's basic algorithm: a follower whose timeout passes begins a term at once;
//! refusing a vote does not prolong its own wait; and timeouts are drawn from an interval that each
//! experiment chooses. Ours asks first whether it could win (dissertation §9.6), waits anew whenever a later
//! term begins, and draws from once to twice its shortest timeout. All three are methods of [`Rules`], so the
//! very same core can be measured in the papers' way and in its own. This is the one file of this crate that
//! names the protocol.

use quorate_paxos::Paxos;
use quorate_protocol::{
    Ballot, Config, Consensus, Entry, EntryKind, Index, LogId, NodeId, Random, Recovered,
};
use quorate_raft::{Body, Message, Raft, Rules, Term};
use quorate_zab::Zab;

use crate::compare::Contender;
use crate::election::{Election, Outcome, elect};
use crate::fsync::{Pace, one_at_a_time};

/// The basic algorithm: candidates at once; a timeout is the shortest one plus up to `SPREAD` ticks, all
/// equally likely.
struct Basic<const SPREAD: u32>;

impl<const SPREAD: u32> Rules for Basic<SPREAD> {
    fn asks_first() -> bool {
        false
    }

    fn waits_anew_when_refusing() -> bool {
        false
    }

    fn timeout(election_ticks: u32, random: &mut Random) -> u32 {
        spread(election_ticks, SPREAD, random)
    }
}

/// The same timeouts, but a follower asks first.
struct Asking<const SPREAD: u32>;

impl<const SPREAD: u32> Rules for Asking<SPREAD> {
    fn timeout(election_ticks: u32, random: &mut Random) -> u32 {
        spread(election_ticks, SPREAD, random)
    }
}

fn spread(least: u32, spread: u32, random: &mut Random) -> u32 {
    let drawn = if spread == 0 { 0 } else { random.below(u64::from(spread)) };
    least + drawn as u32
}

/// Whether followers ask first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// They do not: the papers' algorithm.
    Basic,
    /// They do: ours.
    Asking,
}

/// One election with timeouts spread over `SPREAD` ticks.
pub(crate) fn election<const SPREAD: u32>(manner: Manner, setup: &Election, seed: u64) -> Outcome {
    match manner {
        Manner::Basic => elect::<Raft<Basic<SPREAD>>>(setup, seed),
        Manner::Asking => elect::<Raft<Asking<SPREAD>>>(setup, seed),
    }
}

/// All protocols, to be compared.
pub(crate) fn contenders() -> Vec<Contender> {
    vec![Contender::of::<Raft>(), Contender::of::<Paxos>(), Contender::of::<Zab>()]
}

/// Time per operation with one outstanding, in nanoseconds.
pub(crate) fn time_per_op(pace: &Pace, ops: u64, seed: u64) -> f64 {
    one_at_a_time::<Raft>(pace, ops, seed)
}

/// What the experiments must know of a core besides the contract.
pub(crate) trait Measured: Consensus {
    /// The heartbeat that the leader of round 1 sends.
    fn heartbeat() -> Self::Message;

    /// Whether a message asks for something, rather than answering.
    fn is_request(message: &Self::Message) -> bool;
}

impl<R: Rules> Measured for Raft<R> {
    fn heartbeat() -> Message {
        Message { term: Term(1), body: Body::Heartbeat { commit: Index(0), round: 0 } }
    }

    fn is_request(message: &Message) -> bool {
        matches!(
            message.body,
            Body::PreVote { .. } | Body::Vote { .. } | Body::Append { .. } | Body::Heartbeat { .. }
        )
    }
}

/// A node that has lived in round 1 under node 1 and holds `entries` entries of it.
pub(crate) fn node<C: Consensus>(config: Config, entries: u64, random: Random) -> C {
    let ballot = Ballot { round: 1, node: NodeId(1) };
    let entry = |index| Entry {
        id: LogId { ballot, index: Index(index) },
        kind: EntryKind::Noop,
        data: bytes::Bytes::new(),
    };
    let durable =
        Recovered { promised: ballot, entries: (1..=entries).map(entry).collect(), ..Recovered::default() };
    C::recover(config, durable, random)
}
