//! Messages that no leader of ours would send, or would send in such an order: what a follower makes of them.

use bytes::Bytes;
use quorate_protocol::{
    Ballot, Config, Consensus, Effect, Effects, Entry, EntryKind, Event, Index, LogId, NodeId, Random,
    Recovered, Role, Seq,
};
use quorate_raft::{Body, Message, Paper, Raft, Rules, Term};

fn ballot(round: u64) -> Ballot {
    Ballot { round, node: NodeId(1 + round % 3) }
}

fn id(index: u64, round: u64) -> LogId {
    LogId { ballot: ballot(round), index: Index(index) }
}

fn entry(index: u64, round: u64) -> Entry {
    Entry { id: id(index, round), kind: EntryKind::Command, data: Bytes::from_static(b"x") }
}

/// Node 3 of three, with a log of entries of these terms.
fn follower<R: Rules>(terms: &[u64]) -> Raft<R> {
    let entries: Vec<Entry> = (1..).zip(terms).map(|(index, term)| entry(index, *term)).collect();
    let promised = Ballot { round: terms.last().copied().unwrap_or(0), node: NodeId(0) };
    let durable = Recovered { promised, entries, ..Recovered::default() };
    Raft::recover(Config::new(NodeId(3), (1..=3).map(NodeId).collect()), durable, Random::new(1))
}

fn receive<R: Rules>(raft: &mut Raft<R>, from: u64, term: u64, body: Body) -> Effects<Message> {
    let mut effects = Vec::new();
    let message = Message { term: Term(term), body };
    raft.step(Event::Receive { from: NodeId(from), message }, &mut effects);
    effects
}

fn sent(effects: &Effects<Message>) -> Vec<(Body, Seq)> {
    let sends = effects.iter().filter_map(|effect| match effect {
        Effect::Send { message, after, .. } => Some((message.body.clone(), *after)),
        _ => None,
    });
    sends.collect()
}

/// Scenario 22: indexes 2 and 3 are known to be committed by the leader, and are other entries here.
fn told_of_unmatched_commits<R: Rules>() -> (Index, Index) {
    let mut raft = follower::<R>(&[1, 1, 1]);
    receive(&mut raft, 1, 2, Body::Heartbeat { commit: Index(3), round: 0 });
    let by_heartbeat = raft.status().commit;
    receive(&mut raft, 1, 2, Body::Append { prev: id(1, 1), entries: vec![], commit: Index(3) });
    (by_heartbeat, raft.status().commit)
}

#[test]
fn a_commit_index_applies_only_as_far_as_the_log_has_matched() {
    struct Unmatched;
    impl Rules for Unmatched {
        fn may_apply(commit: Index, _: Index) -> Index {
            commit
        }
    }
    assert_eq!(told_of_unmatched_commits::<Paper>(), (Index(0), Index(1)));
    assert_eq!(
        told_of_unmatched_commits::<Unmatched>(),
        (Index(3), Index(3)),
        "the rule is what prevents it"
    );
}

#[test]
fn what_matched_one_leader_says_nothing_of_the_next() {
    let mut raft = follower::<Paper>(&[1, 1]);
    receive(&mut raft, 1, 2, Body::Append { prev: id(2, 1), entries: vec![entry(3, 2)], commit: Index(1) });
    assert_eq!(raft.status().commit, Index(1));
    receive(&mut raft, 2, 3, Body::Heartbeat { commit: Index(3), round: 0 });
    assert_eq!(raft.status().commit, Index(1));
    receive(&mut raft, 2, 3, Body::Append { prev: id(2, 1), entries: vec![], commit: Index(3) });
    assert_eq!(raft.status().commit, Index(2));
}

#[test]
fn an_acknowledgement_waits_for_all_that_was_written() {
    let mut raft = follower::<Paper>(&[1]);
    let effects = receive(
        &mut raft,
        1,
        2,
        Body::Append { prev: id(1, 1), entries: vec![entry(2, 2)], commit: Index(0) },
    );
    assert_eq!(sent(&effects), [(Body::Accepted { matched: Index(2) }, Seq(2))], "term, then entries");
    // The same append again writes nothing, and its acknowledgement waits all the same.
    let effects = receive(
        &mut raft,
        1,
        2,
        Body::Append { prev: id(1, 1), entries: vec![entry(2, 2)], commit: Index(0) },
    );
    assert_eq!(sent(&effects), [(Body::Accepted { matched: Index(2) }, Seq(2))]);
}

#[test]
fn malformed_appends_are_dropped() {
    let mut raft = follower::<Paper>(&[1, 1]);
    let hole = vec![entry(3, 2), entry(5, 2)];
    let descending = vec![entry(3, 2), entry(4, 1)];
    let from_the_future = vec![entry(3, 9)];
    for entries in [hole, descending, from_the_future] {
        let effects = receive(&mut raft, 1, 2, Body::Append { prev: id(2, 1), entries, commit: Index(0) });
        assert_eq!(sent(&effects), []);
        assert_eq!(raft.status().last, id(2, 1));
    }
    let far = LogId { ballot: ballot(2), index: Index(u64::MAX) };
    let effects = receive(&mut raft, 1, 2, Body::Append { prev: far, entries: vec![], commit: Index(0) });
    assert!(matches!(sent(&effects)[..], [(Body::Rejected { .. }, _)]));
    assert_eq!(raft.check(), Ok(()));
}

/// Node 3 leads in term 1, node 1 having voted for it.
fn leader() -> Raft {
    let mut raft = follower::<Paper>(&[]);
    let mut effects = Vec::new();
    while effects.is_empty() {
        raft.step(Event::Tick, &mut effects);
    }
    let campaign = receive(&mut raft, 1, 1, Body::PreVoteReply { granted: true });
    let writes = campaign.iter().filter_map(|effect| match effect {
        Effect::Write { seq, .. } => Some(*seq),
        _ => None,
    });
    let vote = writes.max().expect("the vote is written");
    receive(&mut raft, 1, 1, Body::VoteReply { granted: true });
    // Its own vote counts once it is on disk (found by the exhaustive search: a node that is a quorum by itself could
    // lead, crash, forget its vote, and vote for another in the same term).
    assert_eq!(raft.status().role, Role::Candidate);
    raft.step(Event::Durable(vote), &mut effects);
    assert_eq!(raft.status().role, Role::Leader);
    raft
}

#[test]
fn answers_about_entries_that_never_were_are_dropped() {
    let mut raft = leader();
    receive(&mut raft, 1, 1, Body::Accepted { matched: Index(u64::MAX) });
    receive(&mut raft, 1, 1, Body::Rejected { prev: Index(u64::MAX), hint: id(u64::MAX, 1), lost: false });
    assert_eq!(raft.check(), Ok(()));
    assert_eq!(raft.status().commit, Index(0));
}

#[test]
fn a_second_leader_in_a_term_is_a_violation() {
    let mut raft = leader();
    receive(&mut raft, 1, 1, Body::Heartbeat { commit: Index(0), round: 0 });
    assert!(raft.check().is_err());
    assert!(raft.broken().is_some());
}

#[test]
fn a_leader_that_contradicts_what_is_committed_is_a_violation() {
    let committed = || {
        let mut raft = follower::<Paper>(&[1, 1]);
        receive(&mut raft, 1, 2, Body::Append { prev: id(2, 1), entries: vec![], commit: Index(2) });
        assert_eq!((raft.status().commit, raft.check()), (Index(2), Ok(())));
        raft
    };
    let mut raft = committed();
    receive(&mut raft, 2, 3, Body::Append { prev: id(1, 1), entries: vec![entry(2, 3)], commit: Index(0) });
    assert!(raft.check().is_err(), "another entry in its place");
    let mut raft = committed();
    receive(&mut raft, 2, 3, Body::Append { prev: id(2, 3), entries: vec![entry(3, 3)], commit: Index(0) });
    assert!(raft.check().is_err(), "another entry before what it sends");
}

#[test]
fn nobody_and_oneself_are_ignored_but_a_stranger_may_lead() {
    let heartbeat = || Body::Heartbeat { commit: Index(0), round: 0 };
    let mut raft = follower::<Paper>(&[1]);
    for from in [0, 3] {
        assert!(receive(&mut raft, from, 9, heartbeat()).is_empty());
    }
    assert_eq!(raft.status().promised.round, 1);
    // "A server accepts AppendEntries requests from a leader that is not part of the server's latest
    // configuration" (dissertation §4.1): it may have missed the change that made it one.
    receive(&mut raft, 4, 9, heartbeat());
    assert_eq!((raft.status().promised.round, raft.status().leader), (9, Some(quorate_protocol::NodeId(4))));
}
