//! Records, messages and images survive their bytes; bytes that are cut, changed or made up never panic.

#[allow(dead_code)]
mod common;

use bytes::Bytes;
use common::store::{Store, work};
use common::world::World;
use proptest::prelude::*;
use quorate_commit::{
    Age, Ballot, Body, Decision, Message, Paper, Protocol, Reason, Record, Site, SiteId, Span, Termination,
    Timestamp, TxnId, Vote, Work,
};
use quorate_protocol::codec::{Decode, Encode, Reader, Writer};

fn written<T: Encode>(value: &T) -> Bytes {
    let mut out = Writer::new();
    value.encode(&mut out);
    out.into_bytes()
}

fn txn() -> impl Strategy<Value = TxnId> {
    (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(epoch, coordinator, number)| TxnId {
        epoch,
        coordinator: SiteId(coordinator),
        number,
    })
}

fn blob() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![
        blob().prop_map(Span::Key),
        (blob(), prop::option::of(blob())).prop_map(|(start, end)| Span::Range(start, end)),
    ]
}

fn any_work() -> impl Strategy<Value = Work> {
    let spans = || prop::collection::vec(span(), 0..4);
    (spans(), spans(), blob()).prop_map(|(reads, writes, payload)| Work { reads, writes, payload })
}

fn ts() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn ballot() -> impl Strategy<Value = Ballot> {
    (any::<u64>(), any::<u64>()).prop_map(|(round, site)| Ballot { round, site: SiteId(site) })
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![
        Just(Decision::Abort),
        (ts(), any::<bool>()).prop_map(|(ts, first)| Decision::Commit { ts, first })
    ]
}

fn reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(vec![
        Reason::Conflict,
        Reason::Overloaded,
        Reason::Stale,
        Reason::Timeout,
        Reason::Fenced,
        Reason::Decided,
    ])
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(vec![
        Protocol::TwoPhase,
        Protocol::Parallel,
        Protocol::ThreePhase(Termination::Classical),
        Protocol::ThreePhase(Termination::Skeen),
        Protocol::ThreePhase(Termination::Quorum),
    ])
}

fn sites() -> impl Strategy<Value = Vec<SiteId>> {
    prop::collection::vec(any::<u64>().prop_map(SiteId), 0..50)
}

fn answers() -> impl Strategy<Value = Vec<(SiteId, Bytes)>> {
    prop::collection::vec((any::<u64>().prop_map(SiteId), blob()), 0..5)
}

fn record() -> impl Strategy<Value = Record> {
    let age = || any::<u64>().prop_map(Age);
    prop_oneof![
        (txn(), age(), protocol(), sites(), any_work(), ts()).prop_map(
            |(txn, age, protocol, participants, work, ts)| Record::Prepare {
                txn,
                age,
                protocol,
                participants,
                work,
                ts
            }
        ),
        (txn(), reason()).prop_map(|(txn, reason)| Record::Refuse { txn, reason }),
        (txn(), ballot()).prop_map(|(txn, ballot)| Record::Promise { txn, ballot }),
        (txn(), ballot(), decision()).prop_map(|(txn, ballot, decision)| Record::Accept {
            txn,
            ballot,
            decision
        }),
        (txn(), decision(), any::<bool>()).prop_map(|(txn, decision, known)| Record::Resolve {
            txn,
            decision,
            known
        }),
        (txn(), protocol(), decision(), sites(), answers()).prop_map(
            |(txn, protocol, decision, participants, answers)| Record::Ready {
                txn,
                protocol,
                decision,
                participants,
                answers
            }
        ),
        (txn(), decision(), reason(), any::<bool>(), sites(), answers()).prop_map(
            |(txn, decision, reason, learnt, participants, answers)| Record::Decide {
                txn,
                decision,
                reason,
                learnt,
                participants,
                answers
            }
        ),
        txn().prop_map(|txn| Record::Forget { txn }),
        (txn(), age(), any_work(), ts()).prop_map(|(txn, age, work, ts)| Record::Local {
            txn,
            age,
            work,
            ts
        }),
        ts().prop_map(|ts| Record::Close { ts }),
        any::<u64>().prop_map(|epoch| Record::Floor { epoch }),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let prepare = (any::<u64>().prop_map(Age), protocol(), sites(), any_work(), ts());
    prop_oneof![
        prepare.prop_map(|(age, protocol, participants, work, ts)| Body::Prepare {
            age,
            protocol,
            participants,
            work,
            ts
        }),
        (ts(), any::<bool>(), blob()).prop_map(|(ts, holds, answer)| Body::Vote(Vote::Yes {
            ts,
            holds,
            answer
        })),
        reason().prop_map(|reason| Body::Vote(Vote::No(reason))),
        decision().prop_map(Body::Decision),
        blob().prop_map(|result| Body::Ack { result }),
        Just(Body::Enquiry),
        Just(Body::Wait),
        (ballot(), decision()).prop_map(|(ballot, decision)| Body::PreCommit { ballot, decision }),
        ballot().prop_map(|ballot| Body::PreAck { ballot }),
        ballot().prop_map(|ballot| Body::Query { ballot }),
        (ballot(), prop::option::of((ballot(), decision())), any::<bool>())
            .prop_map(|(ballot, accepted, recovered)| Body::State { ballot, accepted, recovered }),
    ]
}

/// It comes back whole, and from nothing that is shorter.
fn survives<T: Encode + Decode + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = written(value);
    assert_eq!(Reader::whole::<T>(bytes.clone()).as_ref(), Ok(value));
    for cut in 0..bytes.len() {
        assert!(Reader::whole::<T>(bytes.slice(..cut)).is_err(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn records_survive(record in record()) {
        survives(&record);
    }

    #[test]
    fn messages_survive(txn in txn(), body in body()) {
        survives(&Message { txn, body });
    }

    #[test]
    fn made_up_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200), tag in 0u8..13) {
        let _ = Reader::whole::<Record>(Bytes::from(bytes.clone()));
        let mut tagged = vec![tag];
        tagged.extend(&bytes);
        let _ = Reader::whole::<Record>(Bytes::from(tagged));
        let mut message = bytes.clone();
        if let Some(at) = message.get_mut(24) {
            *at = tag;
        }
        let _ = Reader::whole::<Message>(Bytes::from(message));
    }
}

/// A site at which something of every kind stands.
fn eventful() -> World<Paper> {
    let mut world: World<Paper> = World::new(4, 1, common::config);
    let txn = |number| TxnId { epoch: 1, coordinator: SiteId(2), number };
    let works = |payload: &str| vec![(SiteId(2), work(payload)), (SiteId(3), work(payload))];
    let quorum = Protocol::ThreePhase(Termination::Quorum);
    world.begin(txn(1), Age(1), Protocol::TwoPhase, works("put a 1;range b c")).unwrap();
    world.stabilize().unwrap();
    world.begin(txn(2), Age(2), quorum, works("put b 2;get a")).unwrap();
    for _ in 0..2 {
        world.deliver(0).unwrap();
        world.sync(SiteId(2)).unwrap();
        world.sync(SiteId(3)).unwrap();
    }
    for _ in 0..3 {
        world.deliver(0).unwrap();
        world.sync(SiteId(2)).unwrap();
    }
    world.begin(txn(3), Age(3), Protocol::TwoPhase, works("put a 3")).unwrap();
    world.deliver(world.net.len() - 1).unwrap();
    world.sync(SiteId(3)).unwrap();
    world
}

#[test]
fn images_survive() {
    let world = eventful();
    for id in [2, 3].map(SiteId) {
        let site = world.site(id).unwrap();
        assert!(site.in_doubt().next().is_some(), "there is something to lose");
        let bytes = written(site);
        let mut reader = Reader::new(bytes.clone());
        let back: Site<Store> = Site::decode(common::config(id), &mut reader).unwrap();
        assert_eq!(reader.remaining(), 0);
        assert_eq!(back.check(), Ok(()));
        assert_eq!(written(&back), bytes);
        assert!(back.in_doubt().map(|doubt| doubt.txn).eq(site.in_doubt().map(|doubt| doubt.txn)));
        for cut in 0..bytes.len() {
            assert!(Site::<Store>::decode(common::config(id), &mut Reader::new(bytes.slice(..cut))).is_err());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0xff;
            let _ = Site::<Store>::decode(common::config(id), &mut Reader::new(changed.into()));
        }
    }
}

/// What is said to a site by somebody who makes it up may do wrong, but it does not panic, and what the core demands of
/// itself holds.
#[test]
fn any_message_in_any_order_is_harmless() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let small = (1u64..5, 0u64..3, 1u64..4);
    let small = small.prop_map(|(site, epoch, number)| TxnId { epoch, coordinator: SiteId(site), number });
    let said = prop::collection::vec((1u64..6, small, body(), any::<bool>()), 1..60);
    runner
        .run(&said, |said| {
            let mut world = eventful();
            world.ghost.blind = true;
            for (from, txn, body, sync) in said {
                let event =
                    quorate_commit::Event::Receive { from: SiteId(from), message: Message { txn, body } };
                let place = world.places.get_mut(&SiteId(2)).unwrap();
                let mut effects = Vec::new();
                place.replicas[0].as_mut().unwrap().site.step(event, &mut effects);
                for effect in effects {
                    if let quorate_commit::Effect::Propose(record) = effect
                        && sync
                    {
                        let applied = quorate_commit::Event::Applied(record);
                        place.replicas[0].as_mut().unwrap().site.step(applied, &mut Vec::new());
                    }
                }
                prop_assert_eq!(place.replicas[0].as_ref().unwrap().site.check(), Ok(()));
            }
            Ok(())
        })
        .unwrap();
}
