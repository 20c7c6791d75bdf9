//! Runs that must hold, and runs that must repeat.

use quorate_sim::{Fault, Moment, Options, Protocol, explore, run};

/// Enough to meet every class of faults; the long runs are `quorate sim`'s.
const SEEDS: u64 = 100;

#[test]
fn no_promise_is_broken() {
    let mut failures = Vec::new();
    let stats = explore(0..SEEDS, 2, Options::default(), |report| {
        failures.extend(report.failure.clone());
        true
    });
    assert!(failures.is_empty(), "{}", failures[0]);
    assert_eq!(stats.runs, SEEDS);
    for fault in Fault::ALL {
        assert!(stats.faults[fault as usize] > 0, "no run had {}", fault.name());
    }
    assert!(stats.snapshots > 0 && stats.watched > 0 && stats.ambiguous > 0, "{stats}");
    assert!(stats.answered > stats.operations / 3, "little was asked with success\n{stats}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3, 40, 41] {
        let options = Options { seed, ..Options::default() };
        let first = run(&options, None);
        // Reading along must not change what happens.
        let mut lines = 0;
        let mut sink = |_: &Moment| lines += 1;
        let second = run(&options, Some(&mut sink));
        assert_eq!(first, second);
        assert!(lines > 500, "the transcript has {lines} lines");
    }
}

#[test]
fn another_seed_is_another_run() {
    let hash = |seed| run(&Options { seed, ..Options::default() }, None).trace_hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn the_number_of_nodes_can_be_given() {
    for nodes in [1, 3, 5] {
        let report = run(&Options { seed: 5, nodes: Some(nodes), ..Options::default() }, None);
        assert_eq!(report.failure, None, "with {nodes} nodes");
    }
}

/// Each of these failed once, for a fault that has been mended.
#[test]
fn seeds_that_found_something_hold() {
    let found = [
        // A seal that the disk put over the frame that it was to vouch for, and then no power: nothing could tell of it.
        (Protocol::Raft, 500_358),
        // A state lost, and then a late message with a slot from before where the log began, which the log refused.
        (Protocol::Paxos, 500_066),
        // All who knew the membership under way restarted with an old state, and the others had let go of what they needed.
        (Protocol::Paxos, 600_561),
        // A leader proposed anew what it found, and wished back, of a state that had come no further, a voter removed since.
        (Protocol::Paxos, 601_814),
        // A log that was being filled again was cut back, and said from then on that it had never held more.
        (Protocol::Zab, 612_639),
        // Where one proposal is taken at a time the operator put the one first that had to wait for another, again and again.
        (Protocol::Raft, 710_817),
        // Pieces of two images of two lives were taken for one, for both were the first that their node sent.
        (Protocol::TwoPhase, 10_375),
        // What a slow disk was writing when peace began took as long as if there were none.
        (Protocol::ThreePhase, 11_922),
    ];
    for (protocol, seed) in found {
        assert_eq!(run(&Options { protocol, seed, ..Options::default() }, None).failure, None);
    }
}
