//! Whatever can be decoded is survived: messages of every kind, with numbers that are small, huge and in between, thrown
//! at a group that goes on working.

use bytes::Bytes;
use quorate_paxos::{Body, Message, Paper, Paxos};
use quorate_protocol::{
    Ballot, Config, Consensus, Effect, Entry, EntryKind, Event, Index, LogId, Membership, NodeId, Random,
    Recovered, Role, Seq,
};

fn number(random: &mut Random) -> u64 {
    match random.below(1_000) {
        0..20 => u64::MAX - random.below(2),
        20..40 => u64::MAX / 2 - random.below(2),
        40 => 1 << 20,
        _ => random.below(6),
    }
}

fn index(random: &mut Random) -> Index {
    Index(number(random))
}

fn ballot(random: &mut Random) -> Ballot {
    let round = if random.percent(1) { u64::MAX } else { random.below(6) };
    Ballot { round, node: NodeId(random.below(5)) }
}

fn entry(random: &mut Random, ballot_of_message: Ballot) -> Entry {
    let ballot = if random.percent(70) { ballot_of_message } else { ballot(random) };
    let kind = [EntryKind::Noop, EntryKind::Command, EntryKind::Config][random.below(3) as usize];
    let data = match random.percent(50) {
        true => Membership::new([NodeId(1), NodeId(2), NodeId(random.below(4))], []).to_bytes(),
        false => Bytes::from_static(b"x"),
    };
    Entry { id: LogId { ballot, index: index(random) }, kind, data }
}

/// Often about the ballot that its receiver has promised.
fn message(random: &mut Random, promised: Ballot) -> Message {
    let ballot = if random.percent(95) { promised } else { ballot(random) };
    let yes = random.percent(50);
    let mut entries: Vec<Entry> = (0..random.below(4)).map(|_| entry(random, ballot)).collect();
    if random.percent(80) {
        entries.sort_by_key(|entry| entry.id.index);
    }
    let body = match random.below(16) {
        0 => Body::Ask { commit: index(random) },
        1 => Body::AskReply { granted: yes },
        2 => Body::Prepare { from: index(random), transfer: yes },
        3 => Body::Promise { from: index(random), entries, more: yes, commit: index(random) },
        4 | 5 => Body::Accept { entries, commit: index(random) },
        6 => Body::Accepted { from: index(random), upto: index(random), matched: index(random) },
        7 => Body::Heartbeat { commit: index(random), round: number(random) },
        8 => {
            let (round, matched, lacks) = (number(random), index(random), index(random));
            Body::HeartbeatReply { round, matched, unsure: yes, lacks, priority: 1 }
        }
        9 => {
            let id = LogId { ballot, index: Index(random.below(9)) };
            Body::Snapshot { id, membership: Membership::new([NodeId(1), NodeId(2)], []) }
        }
        10 => Body::Stale,
        11 => Body::Forward { stream: 1, number: number(random), proposals: vec![Bytes::from_static(b"f")] },
        12 => Body::ReadIndexReply { token: number(random), index: index(random) },
        13 => Body::LetGo { base: LogId { ballot, index: index(random) } },
        14 => Body::TakeOver,
        _ => Body::TimeoutNow,
    };
    Message { ballot, body }
}

/// Elect node 1.
fn lead(paxos: &mut Paxos) {
    let mut effects = Vec::new();
    (0..20).for_each(|_| paxos.step(Event::Tick, &mut effects));
    let ballot = Ballot { round: 1, node: NodeId(1) };
    let promise = Body::Promise { from: Index(1), entries: Vec::new(), more: false, commit: Index(0) };
    for body in [Body::AskReply { granted: true }, promise] {
        paxos.step(Event::Receive { from: NodeId(2), message: Message { ballot, body } }, &mut effects);
        paxos.step(Event::Durable(Seq(1)), &mut effects);
    }
    assert_eq!(paxos.status().role, Role::Leader);
}

/// Node 1 of three, for a while. Nothing panics; what the node itself rules out ends it, as it would end a host's.
fn bombarded(seed: u64) -> (usize, bool) {
    let mut random = Random::new(seed);
    let config = Config { election_ticks: 10, ..Config::new(NodeId(1), (1..=3).map(NodeId).collect()) };
    let mut paxos: Paxos<Paper> = Paxos::recover(config, Recovered::default(), Random::new(seed));
    let (mut effects, mut last) = (Vec::new(), Seq(0));
    if random.percent(50) {
        lead(&mut paxos);
    }
    let mut leading = 0;
    for _ in 0..300 {
        let event = match random.below(10) {
            0 => Event::Tick,
            1 => Event::Durable(last),
            2 => Event::Propose(vec![Bytes::from_static(b"p")]),
            3 => Event::Compact(index(&mut random)),
            4 => Event::LinkReset(NodeId(random.below(4))),
            _ => {
                let message = message(&mut random, paxos.status().promised);
                Event::Receive { from: NodeId(random.below(5)), message }
            }
        };
        paxos.step(event, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Write { seq, .. } => last = seq,
                Effect::Commit(upto) => assert!(upto <= paxos.status().last.index),
                _ => {}
            }
        }
        if paxos.broken().is_some() {
            return (leading, true);
        }
        assert_eq!(paxos.check(), Ok(()), "seed {seed}");
        leading += usize::from(paxos.status().role == Role::Leader);
    }
    (leading, false)
}

#[test]
fn whatever_can_be_decoded_is_survived() {
    let seen: Vec<(usize, bool)> = (0..1_500).map(bombarded).collect();
    let leading: usize = seen.iter().map(|(steps, _)| steps).sum();
    let broken = seen.iter().filter(|(_, broken)| *broken).count();
    println!("{leading} steps as a leader, {broken} broken");
    assert!(leading > 50_000 && broken < 500, "the bombardment goes on for a while");
}
