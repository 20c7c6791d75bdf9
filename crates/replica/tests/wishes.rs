//! A state that lags the log must not wish back the members of old.
//!
//! Over Multi-Paxos, which makes the harm likely: a leader proposes what it finds anew, so that entries of long ago are
//! applied under its own ballot, and a state that has applied some of those knows no more than before. (Found by `sim
//! --protocol paxos --seed 601814`: a node that had been removed and switched off was made a voter again.)

use bytes::Bytes;
use quorate_paxos::Paxos;
use quorate_protocol::{
    Ballot, Config, Consensus, Entry, EntryKind, Index, LogId, Membership, NodeId, Random, Recovered, Role,
    Seq,
};
use quorate_replica::{Input, Limits, Output, Replica};

const OWN: NodeId = NodeId(1);

/// As it restarts: its state stands at slot 1, where nodes 1 and 2 voted; its log goes on to slot 4, where it votes alone.
fn restarted() -> Replica<Paxos> {
    let ballot = Ballot { round: 3, node: OWN };
    let of = |voters: &[u64]| Membership::new(voters.iter().copied().map(NodeId), []);
    let entry = |index, kind, data| Entry { id: LogId { ballot, index: Index(index) }, kind, data };
    let start = LogId { ballot, index: Index(1) };
    let entries = vec![
        entry(2, EntryKind::Command, Bytes::from_static(b"remove node 2")),
        entry(3, EntryKind::Config, of(&[1, 2]).towards(&of(&[1])).to_bytes()),
        entry(4, EntryKind::Config, of(&[1]).to_bytes()),
    ];
    let durable = Recovered {
        promised: ballot,
        base: start,
        applied: start,
        membership: of(&[1, 2]),
        entries,
        ..Recovered::default()
    };
    let core = Paxos::recover(Config::new(OWN, vec![]), durable, Random::new(7));
    Replica::new(core, Limits::default())
}

/// Step it, and all its writes are on disk at once. Answers what is to be applied.
fn step(replica: &mut Replica<Paxos>, input: Input<<Paxos as Consensus>::Message>) -> Vec<Entry> {
    let (mut out, mut applied) = (Vec::new(), Vec::new());
    replica.step(input, &mut out);
    while let Some(seq) = last_write(&out, &mut applied) {
        out.clear();
        replica.step(Input::Durable(seq), &mut out);
    }
    applied
}

fn last_write<M>(out: &[Output<M>], applied: &mut Vec<Entry>) -> Option<Seq> {
    let mut last = None;
    for output in out {
        match output {
            Output::Write { seq, .. } => last = Some(*seq),
            Output::Apply(entries) => applied.extend(entries.iter().cloned()),
            _ => {}
        }
    }
    last
}

#[test]
fn a_state_that_lags_the_log_is_not_heeded() {
    let mut replica = restarted();
    let both = Membership::new([OWN, NodeId(2)], []);
    let mut applied = Vec::new();
    while replica.status().role != Role::Leader {
        assert!(!replica.heeds(Index(u64::MAX)), "it does not lead");
        applied.extend(step(&mut replica, Input::Tick));
    }
    let (status, last) = (replica.status(), applied.last().map(|entry| entry.id.index));
    assert_eq!(last, Some(Index(5)), "what it found, and its no-op");
    assert!(
        applied.iter().all(|entry| entry.id.ballot == status.promised),
        "old entries, under its own ballot"
    );
    assert_eq!(status.membership.voters().nodes().len(), 1);

    // The state has come as far as slot 2, where node 2 still voted: what it says may be too late.
    for at in [2, 4] {
        step(&mut replica, Input::Change { target: both.clone(), at: Index(at) });
        assert_eq!((replica.desired(), &replica.status().membership), (None, &status.membership), "at {at}");
    }
    // Once it has all that the log held when this leader began, it is up to date.
    step(&mut replica, Input::Change { target: both.clone(), at: Index(5) });
    assert_eq!(replica.desired(), Some(&both));
    assert!(replica.status().membership.is_joint());
}
