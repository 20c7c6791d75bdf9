//! Single sites by hand: what is refused, what is bounded, what an administrator sees.

#[allow(dead_code)]
mod common;

use bytes::Bytes;
use common::store::{Store, work};
use common::world::World;
use quorate_commit::{
    Age, Body, Config, Effect, Effects, Event, Message, OPERATIONS, Outcome, PARTICIPANTS, Paper, Protocol,
    ReadId, Reason, Record, Refusal, Site, SiteId, Timestamp, TxnId, Work,
};

const TWO: Protocol = Protocol::TwoPhase;

fn txn(number: u64) -> TxnId {
    TxnId { epoch: 0, coordinator: SiteId(1), number }
}

fn begin(site: &mut Site<Store>, txn: TxnId, works: Vec<(SiteId, Work)>) -> Effects {
    let mut effects = Vec::new();
    site.step(Event::Begin { txn, age: Age(txn.number), protocol: TWO, works }, &mut effects);
    effects
}

fn refused(effects: &Effects) -> Option<Refusal> {
    match effects[..] {
        [Effect::Outcome { outcome: Outcome::Refused(why), .. }] => Some(why),
        _ => None,
    }
}

fn driving(config: Config) -> Site<Store> {
    let mut site = Site::new(config, Store::default());
    site.step(Event::Drive(true), &mut Vec::new());
    site
}

fn at(site: u64) -> (SiteId, Work) {
    (SiteId(site), work("put k 1"))
}

#[test]
fn what_cannot_be_is_refused() {
    let mut idle: Site<Store> = Site::new(common::config(SiteId(1)), Store::default());
    assert_eq!(refused(&begin(&mut idle, txn(1), vec![at(2)])), Some(Refusal::NotDriving));
    let mut site = driving(common::config(SiteId(1)));
    let other = TxnId { coordinator: SiteId(2), ..txn(1) };
    assert_eq!(refused(&begin(&mut site, other, vec![at(2)])), Some(Refusal::NotCoordinator));
    assert_eq!(refused(&begin(&mut site, txn(1), vec![])), Some(Refusal::Malformed));
    assert_eq!(refused(&begin(&mut site, txn(1), vec![at(2), at(2)])), Some(Refusal::Malformed));
    site.step(Event::Applied(Record::Floor { epoch: 1 }), &mut Vec::new());
    assert_eq!(refused(&begin(&mut site, txn(1), vec![at(2)])), Some(Refusal::Stale));
}

#[test]
fn a_transaction_has_so_many_participants_and_operations_and_no_more() {
    let mut site = driving(common::config(SiteId(1)));
    let most = PARTICIPANTS as u64;
    assert_eq!(refused(&begin(&mut site, txn(1), (2..2 + most).map(at).collect())), None);
    assert_eq!(refused(&begin(&mut site, txn(2), (2..3 + most).map(at).collect())), Some(Refusal::Malformed));
    let busy = |operations: usize| {
        let payload: String = (0..operations - 1).map(|n| format!("get {n};")).collect();
        vec![(SiteId(2), work(&payload)), at(3)]
    };
    assert_eq!(refused(&begin(&mut site, txn(3), busy(OPERATIONS))), None);
    assert_eq!(refused(&begin(&mut site, txn(4), busy(OPERATIONS + 1))), Some(Refusal::Malformed));
}

#[test]
fn as_much_as_is_allowed_is_under_way_and_no_more() {
    let mut site = driving(Config { max_coordinating: 2, ..common::config(SiteId(1)) });
    assert_eq!(refused(&begin(&mut site, txn(1), vec![at(2)])), None);
    assert_eq!(refused(&begin(&mut site, txn(2), vec![at(2)])), None);
    assert_eq!(refused(&begin(&mut site, txn(3), vec![at(2)])), Some(Refusal::Overloaded));
    // To ask again is not to begin.
    assert_eq!(refused(&begin(&mut site, txn(1), vec![at(2)])), None);
}

/// What a site does when it is asked to prepare this.
fn prepare(site: &mut Site<Store>, txn: TxnId, age: u64, payload: &str) -> Effects {
    let mut effects = Vec::new();
    let body = Body::Prepare {
        age: Age(age),
        protocol: TWO,
        participants: vec![SiteId(2)],
        work: work(payload),
        ts: Timestamp(1),
    };
    site.step(Event::Receive { from: txn.coordinator, message: Message { txn, body } }, &mut effects);
    effects
}

#[test]
fn no_more_wait_for_locks_than_may() {
    let mut site = driving(Config { max_waiting: 2, ..common::config(SiteId(2)) });
    for effect in prepare(&mut site, txn(9), 9, "put a 9;put b 9;put c 9") {
        let Effect::Propose(record) = effect else { panic!("it proposes to vote") };
        site.step(Event::Applied(record), &mut Vec::new());
    }
    assert!(prepare(&mut site, txn(8), 8, "put a 8").is_empty());
    assert!(prepare(&mut site, txn(7), 7, "put b 7").is_empty());
    assert_eq!(site.waiting(), 2);
    let full = Record::Refuse { txn: txn(6), reason: Reason::Overloaded };
    assert_eq!(prepare(&mut site, txn(6), 6, "put c 6"), [Effect::Propose(full)]);
    assert_eq!(prepare(&mut site, txn(5), 5, "put d 5").len(), 1, "what is free is granted");
    assert_eq!(site.check(), Ok(()));
}

#[test]
fn who_waits_dies_when_an_older_one_comes_to_wait_for_the_same() {
    let mut site = driving(common::config(SiteId(2)));
    for effect in prepare(&mut site, txn(9), 9, "put a 9") {
        let Effect::Propose(record) = effect else { panic!("it proposes to vote") };
        site.step(Event::Applied(record), &mut Vec::new());
    }
    assert!(prepare(&mut site, txn(8), 8, "put a 8").is_empty());
    let dies = Record::Refuse { txn: txn(8), reason: Reason::Conflict };
    assert_eq!(prepare(&mut site, txn(7), 7, "put a 7"), [Effect::Propose(dies)]);
    assert_eq!((site.waiting(), site.check()), (1, Ok(())));
}

#[test]
fn reads_wait_for_their_moment_and_not_for_ever() {
    let mut site = driving(Config { max_reads: 1, ..common::config(SiteId(2)) });
    let read = |site: &mut Site<Store>, number, at| {
        let mut effects = Vec::new();
        let (read, payload) = (ReadId(number), Bytes::from_static(b"get a"));
        site.step(Event::Read { read, at: Timestamp(at), payload }, &mut effects);
        effects
    };
    assert!(read(&mut site, 1, 10).is_empty());
    assert_eq!(
        read(&mut site, 2, 10),
        [Effect::ReadRefused { read: ReadId(2), why: Refusal::Overloaded }],
        "one waits, and more may not"
    );
    let mut effects = Vec::new();
    site.step(Event::Tick { now: Timestamp(9) }, &mut effects);
    assert_eq!(effects, [Effect::Propose(Record::Close { ts: Timestamp(9) })]);
    effects.clear();
    site.step(Event::Applied(Record::Close { ts: Timestamp(9) }), &mut effects);
    assert!(effects.is_empty(), "9 is before 10");
    for _ in 0..common::config(SiteId(2)).read_ticks {
        site.step(Event::Tick { now: Timestamp(9) }, &mut effects);
    }
    assert_eq!(effects, [Effect::ReadRefused { read: ReadId(1), why: Refusal::NotClosed }]);
    assert_eq!(
        read(&mut site, 3, 9),
        [Effect::ReadDone { read: ReadId(3), answer: Bytes::from_static(b"a=-") }]
    );
}

#[test]
fn an_administrator_sees_what_is_in_doubt() {
    let mut world: World<Paper> = World::new(3, 1, common::config);
    world.begin(txn(1), Age(1), TWO, vec![at(2), at(3)]).unwrap();
    world.deliver(0).unwrap();
    world.sync(SiteId(2)).unwrap();
    world.net.clear();
    world.crash(SiteId(1), 0);
    for _ in 0..20 {
        world.tick().unwrap();
        world.net.clear();
    }
    let doubts: Vec<_> = world.site(SiteId(2)).unwrap().in_doubt().collect();
    assert_eq!(doubts.len(), 1);
    assert_eq!((doubts[0].txn, doubts[0].ts), (txn(1), Timestamp(1)));
    assert_eq!(doubts[0].participants, [SiteId(2), SiteId(3)]);
    assert!(doubts[0].asked > 0);
}

#[test]
fn what_is_lost_on_its_way_to_the_log_is_proposed_again() {
    let mut world: World<Paper> = World::new(3, 1, common::config);
    world.begin(txn(1), Age(1), TWO, vec![at(2), at(3)]).unwrap();
    let mut lost = std::collections::BTreeSet::new();
    for _ in 0..60 {
        while !world.net.is_empty() {
            world.deliver(0).unwrap();
        }
        for id in world.ids() {
            while let Some((_, record)) = world.places[&id].proposed.first().cloned() {
                let again = !lost.insert((id, common::show::record(&record)));
                world.settle_record(id, 0, again).unwrap();
            }
            world.sync(id).unwrap();
        }
        world.tick().unwrap();
    }
    assert!(lost.len() >= 6, "two prepare, one decides, two resolve, one forgets: {lost:?}");
    assert!(matches!(world.outcomes[..], [(_, Outcome::Committed { .. })]), "{:?}", world.outcomes);
    assert_eq!(world.site(SiteId(1)).unwrap().unfinished(), 0);
}

#[test]
fn nothing_is_left_behind_once_the_floor_has_passed() {
    let mut world: World<Paper> = World::new(3, 1, common::config);
    for number in 1..50 {
        let works = vec![at(1 + number % 3), (SiteId(1 + (number + 1) % 3), work("get k"))];
        world.begin(txn(number), Age(number), TWO, works).unwrap();
    }
    world.stabilize().unwrap();
    for _ in 0..100 {
        world.tick().unwrap();
        world.stabilize().unwrap();
    }
    assert_eq!(world.outcomes.len(), 49);
    for id in world.ids() {
        world.step(id, 0, Event::Floor(1)).unwrap();
        world.sync(id).unwrap();
        let site = world.site(id).unwrap();
        assert_eq!((site.fates().count(), site.verdicts().count(), site.in_doubt().count()), (0, 0, 0));
        assert_eq!((site.unfinished(), site.waiting()), (0, 0));
    }
}
