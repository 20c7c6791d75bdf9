//! The rules safety rests on, one method each.
//!
//! They are apart from the machinery for two reasons: a reader finds them in one place with the sentence of
//! the paper each one is, and a simulator can run the very same machinery with one rule broken, to prove
//! that its checkers would notice. Production runs [`Paper`], which overrides nothing. Those that were once broken in
//! practice name the issue of ZooKeeper's that tells of it.

use quorate_protocol::{Ballot, Index, Membership, Random};

use crate::message::History;

/// Zab's rules. The provided methods are the paper's; overriding one makes a known-bad variant.
pub trait Rules {
    /// Whether a server may lead one that has this history: the leader's is chosen such that "either f'.a < f.a, or
    /// f'.a = f.a and f'.zxid <= f.zxid" for every other in its quorum (§V-A, phase 1). Asked when votes are given, where it may
    /// err, and when histories are acknowledged, where it must not.
    fn may_lead(leader: History, own: History) -> bool {
        leader.rank() >= own.rank()
    }

    /// A promise not to follow earlier leaders is on disk before it is given (§V-A, phase 1: acceptedEpoch is persistent).
    fn promise_is_durable() -> bool {
        true
    }

    /// A follower takes entries after one it has: the history it is brought to follows from the last entry that is the
    /// same in both. An entry of its own that the leader does not have, an orphan, is cut off, wherever in the
    /// range it lies (ZOOKEEPER-1154).
    fn may_extend(known: Option<Ballot>, prev: Ballot) -> bool {
        known == Some(prev)
    }

    /// currentEpoch is set after the history is, not before (§V-A, phase 2; ZOOKEEPER-4643): who crashes in between would
    /// else win the next election with a history that it does not have.
    fn history_before_epoch() -> bool {
        true
    }

    /// NEWLEADER is acknowledged when history and currentEpoch are on disk (ZOOKEEPER-4646, 4785): a quorum of these
    /// acknowledgements commits the history.
    fn acknowledges_when_durable() -> bool {
        true
    }

    /// The initial history is committed, and the leader begins to propose, when a quorum has acknowledged NEWLEADER
    /// (§V-A, phase 2).
    fn may_establish(acknowledged: bool) -> bool {
        acknowledged
    }

    /// Where in the log a proposal goes that says its first entry is `told`, when the next one is `next`: nowhere if entries
    /// are missing before it. A channel is "prefix-preserving": if m' follows m and m' is delivered, so was m
    /// (§III; ZOOKEEPER-4925, a hole that was passed on).
    fn place(next: Index, told: Index) -> Option<Index> {
        (told <= next).then_some(told)
    }

    /// What a leader whose own log is durable up to `own` commits, where a quorum's are up to `quorum`: "upon receiving
    /// acknowledgements from a quorum" (§V-A, phase 3).
    fn may_commit(quorum: Index, _own: Index) -> Index {
        quorum
    }

    /// How far a follower may take the leader's commit index: no further than its log is the leader's.
    fn may_apply(commit: Index, matched: Index) -> Index {
        commit.min(matched)
    }

    /// What a log has durably held counts in its owner's vote even while the disk cannot give it back: others may
    /// count on it (Alagappan and others, "Protocol-Aware Recovery", FAST 2018).
    fn heeds_what_was_held() -> bool {
        true
    }

    /// A leader serves reads once an entry of its own epoch is committed. (It would know what is committed when its epoch is
    /// established; the entry is how all protocols here tell.)
    fn may_read(committed: u64, current: u64) -> bool {
        committed == current
    }

    /// A leader asks a quorum whether it has been deposed before it serves a read. ZooKeeper's reads do not, and may be
    /// stale; its `sync` is what makes them this strong.
    fn read_needs_quorum() -> bool {
        true
    }

    /// Where a node's questions about reads begin to be counted: somewhere else in each life, or an answer to an
    /// earlier life's question would be taken for an answer to a later one's.
    fn first_question(drawn: u64) -> u64 {
        drawn
    }

    /// For how many of its ticks, from the one in which a heartbeat went out, a leader may count on those who answered it:
    /// a voter keeps its promise for an election timeout of its own ticks, of which the first may be nearly over,
    /// and its clock may be the faster one.
    fn lease_ticks(election_ticks: u32, drift_percent: u8) -> u32 {
        election_ticks.saturating_sub(1) * 100 / (100 + u32::from(drift_percent))
    }

    /// A voter that has restarted does not know whether it promised anything: it refuses others for as long as
    /// any promise of its former life can last.
    fn keeps_promises_over_restarts() -> bool {
        true
    }

    /// A leader that has asked another to take over has no lease any more.
    fn gives_up_lease_to_transfer() -> bool {
        true
    }

    /// The membership on the way to `target`: joint, so that quorums of both are needed.
    fn towards(current: &Membership, target: &Membership) -> Membership {
        current.towards(target)
    }

    /// A change may begin once an entry of the leader's own epoch is committed; `since` is where the membership in force was
    /// appended, which must be committed as well.
    fn may_change(committed: (Index, u64), since: Index, current: u64) -> bool {
        committed.1 == current && since <= committed.0
    }

    /// Whether a node asks for votes (phase 0) before it sets out to lead. Safety does not rest on it: the election is an
    /// oracle that may err.
    fn asks_first() -> bool {
        true
    }

    /// The ticks a node waits for a leader, drawn anew each time. Safety does not rest on it.
    fn timeout(election_ticks: u32, random: &mut Random) -> u32 {
        random.between(u64::from(election_ticks), 2 * u64::from(election_ticks)) as u32
    }
}

/// The rules as published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paper;

impl Rules for Paper {}
