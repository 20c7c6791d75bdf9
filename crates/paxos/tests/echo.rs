//! What is no news begets nothing: a follower that has restarted, and no longer knows what it had acknowledged, accepts again
//! and again what it is sent, and says each time that it has all of nothing. Between two heartbeats that must come to an end
//! (found by the seeded world: `sim --protocol paxos --seed 589`).

use bytes::Bytes;
use quorate_paxos::{Body, Message, Paxos};
use quorate_protocol::{Config, Consensus, Effect, Event, Index, NodeId, Random, Recovered, Role, Seq};

const FOLLOWER: NodeId = NodeId(2);

/// A step, everything durable at once; what it sends to the follower.
fn step(leader: &mut Paxos, event: Event<Message>) -> Vec<Message> {
    let mut effects = Vec::new();
    leader.step(event, &mut effects);
    let written = effects.iter().filter_map(|effect| match effect {
        Effect::Write { seq, .. } => Some(*seq),
        _ => None,
    });
    if let Some(seq) = written.max().filter(|seq| *seq > Seq(0)) {
        leader.step(Event::Durable(seq), &mut effects);
    }
    let sent = effects.into_iter().filter_map(|effect| match effect {
        Effect::Send { to: FOLLOWER, message, .. } => Some(message),
        _ => None,
    });
    sent.collect()
}

fn says(leader: &mut Paxos, ballot: quorate_protocol::Ballot, body: Body) -> Vec<Message> {
    step(leader, Event::Receive { from: FOLLOWER, message: Message { ballot, body } })
}

#[test]
fn a_follower_that_forgot_is_not_sent_the_same_without_end() {
    let mut config = Config::new(NodeId(1), vec![NodeId(1), FOLLOWER, NodeId(3)]);
    (config.election_ticks, config.heartbeat_ticks, config.max_message_bytes) = (10, 1_000, 1);
    let mut leader = Paxos::recover(config, Recovered::default(), Random::new(1));
    let asked = (0..30).flat_map(|_| step(&mut leader, Event::Tick)).next().expect("it asks");
    says(&mut leader, asked.ballot, Body::AskReply { granted: true });
    let ballot = leader.status().promised;
    let promise = Body::Promise { from: Index(1), entries: Vec::new(), more: false, commit: Index(0) };
    says(&mut leader, ballot, promise);
    assert_eq!(leader.status().role, Role::Leader);

    says(&mut leader, ballot, Body::Accepted { from: Index(1), upto: Index(1), matched: Index(1) });
    let mut under_way = step(&mut leader, Event::Propose(vec![Bytes::from_static(b"x"); 6]));
    // It restarts, and answers what it is sent; each answer arrives twice.
    for _ in 0..200 {
        let Some(message) = under_way.pop() else { return };
        let Body::Accept { entries, .. } = message.body else { continue };
        for entry in entries {
            let at = entry.id.index;
            for _ in 0..2 {
                let body = Body::Accepted { from: at, upto: at, matched: Index(0) };
                under_way.extend(says(&mut leader, ballot, body));
            }
        }
    }
    panic!("messages beget messages: {} under way", under_way.len());
}
