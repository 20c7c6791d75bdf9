//! Messages that no leader of ours would send, or would send in such an order: what a node makes of them.

use bytes::Bytes;
use quorate_protocol::{
    Ballot, Config, Consensus, Effect, Effects, Entry, EntryKind, Event, Index, LogId, Membership, NodeId,
    Random, Recovered, Role, Seq,
};
use quorate_zab::{Body, History, Message, Paper, Rules, State, Vote, Zab};

fn ballot(round: u64) -> Ballot {
    Ballot { round, node: NodeId(1) }
}

fn id(index: u64, round: u64) -> LogId {
    LogId { ballot: ballot(round), index: Index(index) }
}

fn entry(index: u64, round: u64) -> Entry {
    Entry { id: id(index, round), kind: EntryKind::Command, data: Bytes::from_static(b"x") }
}

/// Node 3 of three, with a log of entries of these epochs, which it has joined, and an epoch of node 1's accepted.
fn follower<R: Rules>(epochs: &[u64], accepted: u64) -> Zab<R> {
    let entries: Vec<Entry> = (1..).zip(epochs).map(|(index, epoch)| entry(index, *epoch)).collect();
    let joined = ballot(epochs.last().copied().unwrap_or(0));
    let durable = Recovered { promised: ballot(accepted), joined, entries, ..Recovered::default() };
    Zab::recover(Config::new(NodeId(3), (1..=3).map(NodeId).collect()), durable, Random::new(1))
}

fn receive<R: Rules>(zab: &mut Zab<R>, from: u64, epoch: u64, body: Body) -> Effects<Message> {
    let mut effects = Vec::new();
    zab.step(Event::Receive { from: NodeId(from), message: Message { epoch, body } }, &mut effects);
    effects
}

fn sent(effects: &Effects<Message>) -> Vec<(Body, Seq)> {
    let sends = effects.iter().filter_map(|effect| match effect {
        Effect::Send { message, after, .. } => Some((message.body.clone(), *after)),
        _ => None,
    });
    sends.collect()
}

fn propose(session: u64, prev: u64, entries: Vec<Entry>, commit: u64) -> Body {
    Body::Propose { session, prev: Index(prev), entries, commit: Index(commit) }
}

/// Entries 2 and 3 are other ones in the leader's history, of which this follower is told that they are committed.
fn told_before_it_is_synchronised<R: Rules>() -> Index {
    let mut zab = follower::<R>(&[1, 1, 1], 2);
    let ping =
        Body::Ping { session: 0, sent: Index(0), led: false, established: true, commit: Index(3), round: 0 };
    receive(&mut zab, 1, 2, ping);
    zab.status().commit
}

#[test]
fn a_commit_index_applies_only_as_far_as_the_log_is_the_leaders() {
    struct Unmatched;
    impl Rules for Unmatched {
        fn may_apply(commit: Index, _: Index) -> Index {
            commit
        }
    }
    assert_eq!(told_before_it_is_synchronised::<Paper>(), Index(0));
    assert_eq!(told_before_it_is_synchronised::<Unmatched>(), Index(3), "the rule is what prevents it");
}

#[test]
fn an_acknowledgement_waits_for_all_that_was_written() {
    let mut zab = follower::<Paper>(&[1], 2);
    receive(&mut zab, 1, 2, Body::Sync { session: 1, prev: id(1, 1) });
    let effects = receive(&mut zab, 1, 2, propose(1, 1, vec![entry(2, 2)], 0));
    assert_eq!(sent(&effects), [(Body::Ack { session: 1, matched: Index(2) }, Seq(1))]);
    let effects = receive(&mut zab, 1, 2, Body::NewLeader { session: 1, last: id(2, 2) });
    assert_eq!(sent(&effects), [(Body::AckLeader { session: 1, matched: Index(2) }, Seq(2))]);
    // The same proposal again writes nothing, and its acknowledgement waits all the same.
    let effects = receive(&mut zab, 1, 2, propose(1, 1, vec![entry(2, 2)], 0));
    assert_eq!(sent(&effects), [(Body::Ack { session: 1, matched: Index(2) }, Seq(2))]);
}

#[test]
fn what_is_of_another_session_or_out_of_order_is_not_taken() {
    let mut zab = follower::<Paper>(&[1], 2);
    receive(&mut zab, 1, 2, Body::Sync { session: 5, prev: id(1, 1) });
    for (session, prev) in [(4, 1), (5, 2)] {
        let entries = vec![entry(prev + 1, 2)];
        receive(&mut zab, 1, 2, propose(session, prev, entries, 9));
        assert_eq!((zab.status().last, zab.status().commit), (id(1, 1), Index(0)), "session {session}");
    }
    // Its turn has come.
    receive(&mut zab, 1, 2, propose(5, 1, vec![entry(2, 2)], 0));
    assert_eq!((zab.status().last, zab.status().commit), (id(3, 2), Index(3)));
    // Of a session whose beginning has not come nothing is taken, and when it has, nothing of an earlier one.
    receive(&mut zab, 1, 2, propose(6, 4, vec![entry(5, 2)], 0));
    receive(&mut zab, 1, 2, propose(5, 3, vec![entry(4, 2)], 0));
    assert_eq!(zab.status().last, id(3, 2));
    receive(&mut zab, 1, 2, Body::Sync { session: 6, prev: id(3, 2) });
    assert_eq!(zab.status().last, id(3, 2));
    receive(&mut zab, 1, 2, propose(6, 3, vec![entry(4, 2)], 0));
    assert_eq!(zab.status().last, id(5, 2));
}

/// What it says in the ticks until it says something, and how many these are; nothing if it says nothing for a hundred.
fn waits_for(zab: &mut Zab, most: u32) -> (u32, Vec<Body>) {
    let mut effects = Vec::new();
    for tick in 1..=most {
        zab.step(Event::Tick, &mut effects);
        if !sent(&effects).is_empty() {
            return (tick, sent(&effects).into_iter().map(|(body, _)| body).collect());
        }
    }
    (most, Vec::new())
}

#[test]
fn a_gap_is_given_a_heartbeats_time_and_each_thing_that_comes_in_its_turn_another() {
    let mut zab = follower::<Paper>(&[1], 2);
    receive(&mut zab, 1, 2, Body::Sync { session: 5, prev: id(1, 1) });
    assert_eq!(waits_for(&mut zab, 50), (50, vec![]), "nothing is missing");
    receive(&mut zab, 1, 2, Body::NewLeader { session: 5, last: id(3, 2) });
    assert_eq!(waits_for(&mut zab, 9), (9, vec![]));
    receive(&mut zab, 1, 2, propose(5, 1, vec![entry(2, 2)], 0));
    assert_eq!(waits_for(&mut zab, 9), (9, vec![]));
    let (_, said) = waits_for(&mut zab, 1);
    assert!(matches!(said[..], [Body::AckEpoch { end, heard: 5, .. }] if end == id(2, 2)), "{said:?}");
    // The answer to that is a session of which it then hears before it begins: that has its time, too.
    let ping =
        Body::Ping { session: 6, sent: Index(3), led: true, established: true, commit: Index(0), round: 0 };
    assert_eq!(waits_for(&mut zab, 9), (9, vec![]));
    let effects = receive(&mut zab, 1, 2, ping);
    assert!(matches!(sent(&effects)[..], [(Body::Pong { .. }, _)]), "{effects:?}");
    let (ticks, said) = waits_for(&mut zab, 20);
    assert!(matches!(said[..], [Body::AckEpoch { heard: 6, .. }]) && ticks == 10, "{ticks} {said:?}");
}

#[test]
fn what_has_no_room_is_asked_for_again() {
    let durable = Recovered { promised: ballot(2), joined: ballot(1), ..Recovered::default() };
    let mut config = Config::new(NodeId(3), (1..=3).map(NodeId).collect());
    config.max_inflight = 2;
    let mut zab: Zab = Zab::recover(config, durable, Random::new(1));
    receive(&mut zab, 1, 2, Body::Sync { session: 1, prev: LogId::default() });
    for prev in [4, 2, 1, 3] {
        receive(&mut zab, 1, 2, propose(1, prev, vec![entry(prev + 1, 2)], 0));
    }
    receive(&mut zab, 1, 2, propose(1, 0, vec![entry(1, 2)], 0));
    assert_eq!(zab.status().last, id(3, 2), "two had room");
    let (_, said) = waits_for(&mut zab, 10);
    assert!(matches!(said[..], [Body::AckEpoch { end, heard: 1, .. }] if end == id(3, 2)), "{said:?}");
}

/// A question that arrives twice, or late, begins no second session: the seeded world's networks once had them beget each
/// other (`sim --protocol zab --seed 418`).
#[test]
fn one_question_begins_one_session() {
    let (mut zab, _) = leader();
    let history = History { current: 2, last: id(3, 2) };
    let mut ask = |from, heard| {
        let effects = receive(&mut zab, from, 3, Body::AckEpoch { history, end: history.last, heard });
        sent(&effects).iter().filter(|(body, _)| matches!(body, Body::Sync { .. })).count()
    };
    assert_eq!([ask(1, 0), ask(2, 0), ask(2, 0)], [0, 1, 0]);
    assert_eq!([ask(2, 2), ask(2, 2), ask(2, 2), ask(2, 0), ask(2, 3)], [1, 0, 0, 0, 1]);
}

/// What is unacknowledged for long is sent again within the session, so that answers which are only late still count.
#[test]
fn a_session_outlives_late_answers() {
    let (mut zab, _) = leader();
    receive(&mut zab, 1, 3, Body::Pong { round: 0, priority: 0 });
    let mut effects = Vec::new();
    for _ in 0..40 {
        zab.step(Event::Tick, &mut effects);
    }
    let effects = receive(&mut zab, 1, 3, Body::Pong { round: 0, priority: 0 });
    assert!(
        matches!(&sent(&effects)[..], [(Body::Propose { session: 1, prev: Index(3), .. }, _)]),
        "{effects:?}"
    );
    let before = zab.status().peers[0].matched;
    receive(&mut zab, 1, 3, Body::Ack { session: 1, matched: Index(4) });
    assert_eq!((before, zab.status().peers[0].matched), (Index(3), Index(4)));
}

#[test]
fn a_late_synchronisation_cuts_nothing_off() {
    let mut zab = follower::<Paper>(&[1, 1], 2);
    receive(&mut zab, 1, 2, Body::Sync { session: 1, prev: id(2, 1) });
    receive(&mut zab, 1, 2, propose(1, 2, vec![entry(3, 2)], 0));
    receive(&mut zab, 1, 2, Body::NewLeader { session: 1, last: id(3, 2) });
    // The answer to an earlier question, with a later session: the log is a prefix of this leader's history already.
    receive(&mut zab, 1, 2, Body::Sync { session: 2, prev: id(1, 1) });
    assert_eq!(zab.status().last, id(3, 2));
    assert_eq!(zab.check(), Ok(()));
}

#[test]
fn malformed_proposals_are_dropped() {
    let mut zab = follower::<Paper>(&[1], 2);
    receive(&mut zab, 1, 2, Body::Sync { session: 1, prev: id(1, 1) });
    let hole = vec![entry(2, 2), entry(4, 2)];
    let descending = vec![entry(2, 2), entry(3, 1)];
    let from_the_future = vec![entry(2, 9)];
    for entries in [hole, descending, from_the_future] {
        assert_eq!(sent(&receive(&mut zab, 1, 2, propose(1, 1, entries, 0))), []);
        assert_eq!(zab.status().last, id(1, 1));
    }
    assert_eq!(zab.check(), Ok(()));
}

#[test]
fn an_epoch_is_accepted_from_one_leader_only() {
    let mut zab = follower::<Paper>(&[1], 2);
    let vote = Vote { node: NodeId(2), history: History { current: 2, last: id(9, 2) } };
    let elected = Body::Notification { round: 1, vote, state: State::Elected, transfer: false };
    let effects = receive(&mut zab, 2, 2, elected);
    assert!(sent(&effects).iter().any(|(body, _)| matches!(body, Body::FollowerInfo { .. })));
    let effects = receive(&mut zab, 2, 2, Body::NewEpoch { chosen: false });
    assert_eq!(sent(&effects), [(Body::Stale { accepted: ballot(2) }, Seq(0))]);
    let effects = receive(&mut zab, 2, 3, Body::NewEpoch { chosen: false });
    assert!(matches!(sent(&effects)[..], [(Body::AckEpoch { .. }, Seq(1))]), "{effects:?}");
    assert_eq!(zab.status().promised, Ballot { round: 3, node: NodeId(2) });
    // And its predecessor is told.
    let effects = receive(&mut zab, 1, 2, Body::Commit { session: 1, commit: Index(1) });
    assert!(matches!(sent(&effects)[..], [(Body::Stale { .. }, _)]));
}

#[test]
fn a_leader_that_contradicts_what_is_committed_is_a_violation() {
    let mut zab = follower::<Paper>(&[1, 1], 2);
    receive(&mut zab, 1, 2, Body::Sync { session: 1, prev: id(2, 1) });
    receive(&mut zab, 1, 2, Body::Commit { session: 1, commit: Index(2) });
    assert_eq!((zab.status().commit, zab.check()), (Index(2), Ok(())));
    receive(&mut zab, 1, 2, Body::Sync { session: 2, prev: id(2, 2) });
    assert!(zab.check().is_err() && zab.broken().is_some());
}

/// The writes asked for, so far the last.
fn last_write(effects: &Effects<Message>, before: u64) -> u64 {
    before + effects.iter().filter(|effect| matches!(effect, Effect::Write { .. })).count() as u64
}

/// Node 3 leads in epoch 3, established with node 1. Also: how many writes it has asked for.
fn leader() -> (Zab, u64) {
    let mut zab = follower::<Paper>(&[1, 1, 2], 2);
    let mut effects = Vec::new();
    while effects.is_empty() {
        zab.step(Event::Tick, &mut effects);
    }
    let history = History { current: 2, last: id(3, 2) };
    let vote = Vote { node: NodeId(3), history };
    receive(&mut zab, 1, 2, Body::Notification { round: 1, vote, state: State::Looking, transfer: false });
    assert_eq!(zab.status().role, Role::Candidate);
    let mut effects = receive(&mut zab, 1, 2, Body::FollowerInfo { accepted: ballot(2) });
    let accepted = last_write(&effects, 0);
    effects.extend(receive(&mut zab, 1, 3, Body::AckEpoch { history, end: history.last, heard: 0 }));
    assert_eq!(last_write(&effects, 0), accepted, "its own acceptance is not on disk yet");
    zab.step(Event::Durable(Seq(accepted)), &mut effects);
    let joined = last_write(&effects, 0);
    effects.extend(receive(&mut zab, 1, 3, Body::AckLeader { session: 1, matched: Index(3) }));
    assert_eq!(zab.status().role, Role::Candidate, "nor its own currentEpoch");
    zab.step(Event::Durable(Seq(joined)), &mut effects);
    assert_eq!((zab.status().role, zab.status().commit), (Role::Leader, Index(3)));
    (zab, last_write(&effects, 0))
}

#[test]
fn a_leaders_own_epoch_and_history_count_when_they_are_on_disk() {
    let (zab, _) = leader();
    assert_eq!(zab.check(), Ok(()));
}

#[test]
fn answers_about_other_sessions_and_entries_that_never_were_are_dropped() {
    let (mut zab, _) = leader();
    for (session, matched) in [(0, 4), (7, 4), (1, u64::MAX), (1, 5)] {
        receive(&mut zab, 1, 3, Body::Ack { session, matched: Index(matched) });
        receive(&mut zab, 2, 3, Body::AckLeader { session, matched: Index(matched) });
    }
    receive(&mut zab, 2, 2, Body::AckLeader { session: 1, matched: Index(4) });
    assert_eq!((zab.status().commit, zab.check()), (Index(3), Ok(())));
    receive(&mut zab, 2, 3, Body::AckEpoch { history: History::default(), end: id(u64::MAX, 9), heard: 9 });
    assert_eq!(zab.check(), Ok(()));
}

/// Somewhere near what is possible, so that it gets past the first checks.
fn anything(random: &mut Random) -> Message {
    let far = random.percent(5);
    let mut number = |most: u64| if far { random.next_u64() } else { random.below(most) };
    let (epoch, session, index, other) = (number(6), number(6), Index(number(8)), Index(number(8)));
    let (round, node) = (number(6), NodeId(number(5)));
    let some = LogId { ballot: Ballot { round, node }, index };
    let history = History { current: round, last: some };
    let (yes, also) = (random.percent(50), random.percent(50));
    let entries = || -> Vec<Entry> {
        let of = |at| LogId { ballot: some.ballot, index: Index(index.0.wrapping_add(at)) };
        let kind = if also { EntryKind::Config } else { EntryKind::Command };
        (1..3).map(|at| Entry { id: of(at), kind, data: Membership::default().to_bytes() }).collect()
    };
    let body = match random.below(19) {
        0 => {
            let state = [State::Looking, State::Following, State::Elected][random.below(3) as usize];
            Body::Notification { round, vote: Vote { node, history }, state, transfer: yes }
        }
        1 => Body::FollowerInfo { accepted: some.ballot },
        2 => Body::NewEpoch { chosen: yes },
        3 => Body::AckEpoch { history, end: some, heard: session },
        4 => Body::Sync { session, prev: some },
        5 => Body::Snapshot { session, id: some, membership: Membership::default() },
        6 => Body::NewLeader { session, last: some },
        7 => Body::AckLeader { session, matched: index },
        8 => Body::UpToDate { session, commit: index },
        9 => Body::Propose { session, prev: index, entries: entries(), commit: other },
        10 => Body::Ack { session, matched: index },
        11 => Body::Commit { session, commit: index },
        12 => Body::Ping { session, sent: index, led: yes, established: also, commit: other, round: epoch },
        13 => Body::Pong { round, priority: 1 },
        14 => Body::Stale { accepted: some.ballot },
        15 => Body::Forward { stream: round, number: session, proposals: vec![Bytes::new()] },
        16 => Body::ReadIndex { token: session },
        17 => Body::ReadIndexReply { token: session, index },
        _ => Body::TakeOver,
    };
    Message { epoch, body }
}

#[test]
fn whatever_arrives_nothing_panics() {
    let mut parts = [0; 3];
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let (mut zab, mut asked) = match seed % 2 {
            0 => (follower::<Paper>(&[1, 1, 2], 2), 0),
            _ => leader(),
        };
        let mut effects = Vec::new();
        for _ in 0..60 {
            let event = match random.below(10) {
                0 | 1 => Event::Tick,
                2 => Event::Durable(Seq(asked)),
                3 => Event::Propose(vec![Bytes::from_static(b"p")]),
                _ => Event::Receive { from: NodeId(random.below(5)), message: anything(&mut random) },
            };
            let ticks = if matches!(event, Event::Tick) { 60 } else { 1 };
            for _ in 0..ticks {
                zab.step(event.clone(), &mut effects);
            }
            asked = last_write(&effects, asked);
            effects.clear();
            parts[match zab.status().role {
                Role::Follower => 0,
                Role::Candidate => 1,
                Role::Leader => 2,
            }] += 1;
            // A host ends a replica that says so.
            if zab.broken().is_some() {
                break;
            }
        }
    }
    assert!(parts.iter().all(|seen| *seen > 100), "it was tried in every part: {parts:?}");
}
