//! Transactions over several sites: no promise is broken, whatever the sites are, and runs repeat.

use quorate_sim::{Fault, Options, Plan, Protocol, Sites, Stats, explore, run};

/// Storms among few sites; the long runs and those of fifty are `quorate sim`'s.
fn sound(protocol: Protocol, sites: Sites, nodes: usize, seeds: u64) -> Stats {
    let mut failures = Vec::new();
    let mut plan = Plan::default();
    plan.set("chaos_us=6000000,tick_us=10000,load.think_us=5000,load.patience_us=300000,pace.network_max_us=5000,pace.tail_us=50000")
        .expect("numbers");
    let options = Options { protocol, sites: Some(sites), nodes: Some(nodes), plan, ..Options::default() };
    let stats = explore(0..seeds, 2, options, |report| {
        failures.extend(report.failure.clone());
        true
    });
    assert!(failures.is_empty(), "{}", failures[0]);
    assert!(stats.transactions_committed > 100 && stats.transactions_aborted > 10, "{stats}");
    assert!(
        stats.doubts.all().count > stats.transactions_committed,
        "several sites are in doubt about each\n{stats}"
    );
    assert!(
        stats.faults[Fault::PowerCut as usize] > 0 && stats.faults[Fault::Partition as usize] > 0,
        "{stats}"
    );
    stats
}

#[test]
fn two_phases_among_processes() {
    sound(Protocol::TwoPhase, Sites::Processes, 5, 10);
}

#[test]
fn three_phases_among_processes() {
    sound(Protocol::ThreePhase, Sites::Processes, 5, 10);
}

/// Sites that are groups change members, hand over and send images while they are prepared.
#[test]
fn both_among_groups() {
    let mut all = Stats::default();
    for consensus in Protocol::CONSENSUS {
        all += &sound(Protocol::TwoPhase, Sites::Groups(consensus), 2, 4);
        all += &sound(Protocol::ThreePhase, Sites::Groups(consensus), 3, 3);
    }
    assert!(all.snapshots > 0 && all.faults[Fault::Transfer as usize] > 0, "{all}");
    assert!(all.faults[Fault::Change as usize] > 0, "{all}");
}

#[test]
fn a_run_repeats() {
    for protocol in Protocol::ATOMIC {
        for seed in 0..3 {
            let options = Options { protocol, seed, nodes: Some(3), ..Options::default() };
            let (once, twice) = (run(&options, None), run(&options, Some(&mut |_| {})));
            assert_eq!(once, twice, "read along or not");
        }
    }
}

/// Without faults what is asked for is done, but for what is in each other's way.
#[test]
fn without_faults_nothing_is_in_doubt_for_long() {
    let mut plan = Plan::default();
    plan.allow("none").expect("no classes");
    plan.set(
        "chaos_us=4000000,tick_us=10000,pace.tail_percent=0,pace.network_max_us=500,pace.disk_max_us=300",
    )
    .expect("numbers");
    for protocol in Protocol::ATOMIC {
        let options =
            Options { protocol, sites: Some(Sites::Processes), nodes: Some(5), plan: plan.clone(), ..Options::default() };
        let stats = explore(0..6, 2, options, |report| {
            assert_eq!(report.failure, None);
            true
        });
        assert!(stats.doubts.all().mean_us() < 20_000, "{stats}");
    }
}
