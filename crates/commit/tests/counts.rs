//! Messages and rounds, against the textbook's: with n participants two phases take 4n messages (BHG §7.4 counts 3n, without the
//! acknowledgement that lets the coordinator forget), three phases 6n.

#[allow(dead_code)]
mod common;

use common::store::work;
use common::world::World;
use quorate_commit::{Age, Outcome, Paper, Protocol, SiteId, Termination, TxnId};

/// Messages, and rounds until the client is told and until all is forgotten, of one transaction of `n` participants at
/// sites that are not the coordinator's.
fn count(protocol: Protocol, n: u64) -> (usize, usize, usize) {
    let mut world: World<Paper> = World::new(n + 1, 1, common::config);
    let txn = TxnId { epoch: 0, coordinator: SiteId(1), number: 1 };
    let works = (2..=n + 1).map(|site| (SiteId(site), work("put k 1"))).collect();
    world.begin(txn, Age(1), protocol, works).unwrap();
    let (mut messages, mut rounds, mut told) = (0, 0, 0);
    while !world.net.is_empty() {
        rounds += 1;
        for packet in std::mem::take(&mut world.net) {
            messages += 1;
            world.hand_over(packet).unwrap();
        }
        world.ids().into_iter().for_each(|id| {
            world.sync(id).unwrap();
        });
        if told == 0 && !world.outcomes.is_empty() {
            told = rounds;
        }
    }
    assert!(matches!(world.outcomes[0].1, Outcome::Committed { first: true, .. }));
    world.stabilize().unwrap();
    assert_eq!(world.site(SiteId(1)).unwrap().unfinished(), 0);
    (messages, told, rounds)
}

#[test]
fn two_phases_take_four_messages_a_participant() {
    for n in [1, 2, 3, 10, 50] {
        assert_eq!(count(Protocol::TwoPhase, n), (4 * n as usize, 2, 4), "{n} participants");
    }
}

#[test]
fn three_phases_take_six_messages_a_participant() {
    for n in [1, 2, 3, 10, 50] {
        for termination in [Termination::Classical, Termination::Skeen, Termination::Quorum] {
            let counted = count(Protocol::ThreePhase(termination), n);
            assert_eq!(counted, (6 * n as usize, 4, 6), "{n} participants, {termination:?}");
        }
    }
}

/// What must be made durable one after the other before the client is told.
fn durable_before_told(protocol: Protocol) -> usize {
    let mut world: World<Paper> = World::new(4, 1, common::config);
    let txn = TxnId { epoch: 0, coordinator: SiteId(1), number: 1 };
    let works = (2..=4).map(|site| (SiteId(site), work("put k 1"))).collect();
    world.begin(txn, Age(1), protocol, works).unwrap();
    let mut times = 0;
    loop {
        while !world.net.is_empty() {
            world.deliver(0).unwrap();
        }
        if !world.outcomes.is_empty() {
            return times;
        }
        times += 1;
        for id in world.ids() {
            world.sync(id).unwrap();
        }
    }
}

#[test]
fn the_parallel_form_makes_durable_once_what_two_phases_make_twice() {
    assert_eq!(count(Protocol::Parallel, 3), (12, 2, 4), "the messages are the same");
    assert_eq!(durable_before_told(Protocol::Parallel), 1);
    assert_eq!(durable_before_told(Protocol::TwoPhase), 2);
    assert_eq!(durable_before_told(Protocol::ThreePhase(Termination::Quorum)), 4);
}
