//! The checks of atomic commit are checked: each bug put in on purpose is caught within a bounded number of seeds.
//!
//! As in `planted.rs`, each is looked for first where it was found last, in small worlds, which are quick, and in all the seeds of the
//! acceptance only if it is no longer there.

use quorate_sim::{Failure, Options, Plan, Plant, Protocol, Sites, explore, run};

/// The bound of the acceptance line.
const SEEDS: u64 = 1_000;

/// How many seeds are tried where a bug was found last.
const NEAR: u64 = 8;

/// What a decision shows as that is not one.
const DECISIONS: &[&str] = &["AC1", "AC2", "AC3", "ToldIsDurable"];

/// What clients see of transactions that are not isolated from each other, or carried out in part.
const ISOLATION: &[&str] = &["StrictSerializable", "NoFracturedRead", "Bank"];

/// Storms, of few sites.
const STORM: &str = "chaos_us=8000000,tick_us=10000,load.think_us=5000,load.patience_us=300000,\
                     pace.network_max_us=5000,pace.tail_us=50000";

/// The same, with many transactions on few keys.
const CROWD: &str = "chaos_us=8000000,tick_us=10000,load.think_us=1000,load.clients=12,load.keys=2,load.read_percent=50,\
     load.patience_us=300000,pace.network_max_us=5000,pace.tail_us=50000";

/// The lowest seed from `from` on whose run breaks one of these properties.
fn first(options: &Options, properties: &[&str], from: u64, seeds: u64) -> Option<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    explore(from..from + seeds, 2, options.clone(), |report| {
        let wanted = |failure: &&Failure| properties.contains(&failure.property.as_str());
        failures.extend(report.failure.as_ref().filter(wanted).cloned());
        failures.is_empty()
    });
    failures.sort_by_key(|failure| failure.seed);
    failures.into_iter().next()
}

fn options(protocol: Protocol, plant: Option<Plant>, sites: Sites, set: &str) -> Options {
    let mut plan = Plan::default();
    plan.set(set).expect("numbers that there are");
    Options { protocol, plant, plan, sites: Some(sites), nodes: Some(4), ..Options::default() }
}

/// Caught by one of the properties that it breaks.
fn caught_by(protocol: Protocol, plant: Plant, sites: Sites, properties: &[&str], near: u64, set: &str) {
    assert!(plant.protocols().contains(&protocol), "{} is no bug of {}", plant.name(), protocol.name());
    let options = options(protocol, Some(plant), sites, set);
    let failure = first(&options, properties, near, NEAR)
        .or_else(|| first(&options, properties, 0, SEEDS))
        .unwrap_or_else(|| panic!("{} was not caught", plant.name()));
    println!("| {} | {} | {} | {} |", protocol.name(), plant.name(), failure.seed, failure.property);
    assert!(failure.to_string().starts_with(&failure.command()), "the command comes first");
    let again = run(&Options { seed: failure.seed, ..options }, None);
    assert_eq!(again.failure, Some(failure), "the command repeats it");
}

const PROCESSES: Sites = Sites::Processes;
const GROUPS: Sites = Sites::Groups(Protocol::Raft);

/// One test for each: the protocol and the bug, what the sites are, what it breaks, and where it was found last.
macro_rules! caught {
    ($($test:ident: $protocol:ident $plant:ident, $sites:expr, $properties:expr, $near:expr, $set:expr;)*) => {
        $(#[test] fn $test() {
            caught_by(Protocol::$protocol, Plant::$plant, $sites, $properties, $near, $set);
        })*

        #[test]
        fn every_bug_of_atomic_commit_has_a_test() {
            let tested = [$(Plant::$plant),*];
            let atomic = |plant: &&Plant| plant.protocols().iter().all(|protocol| protocol.is_atomic());
            for plant in Plant::ALL.iter().filter(atomic) {
                assert!(tested.contains(plant), "{}", plant.name());
            }
        }
    };
}

caught! {
    yes_forgotten: TwoPhase YesForgotten, PROCESSES, DECISIONS, 0, STORM;
    enquiry_unfenced: TwoPhase EnquiryUnfenced, GROUPS, DECISIONS, 69, STORM;
    commit_before_record: TwoPhase CommitBeforeRecord, PROCESSES, DECISIONS, 1, STORM;
    votes_missing: TwoPhase VotesMissing, PROCESSES, DECISIONS, 0, STORM;
    decision_reversed: TwoPhase DecisionReversed, PROCESSES, DECISIONS, 7, STORM;
    abort_in_doubt: TwoPhase AbortInDoubt, PROCESSES, DECISIONS, 0, STORM;
    range_unlocked: TwoPhase RangeUnlocked, PROCESSES, ISOLATION, 0, CROWD;
    locks_released_early: TwoPhase LocksReleasedEarly, PROCESSES, ISOLATION, 0, CROWD;
    below_closed: TwoPhase BelowClosed, PROCESSES, ISOLATION, 1, CROWD;
    commits_earlier: TwoPhase CommitsEarlier, PROCESSES, ISOLATION, 2, CROWD;
    classical_termination: ThreePhase ClassicalTermination, PROCESSES, DECISIONS, 0, STORM;
    skeen_termination: ThreePhase SkeenTermination, PROCESSES, DECISIONS, 7, STORM;
    third_round_rolls_back: ThreePhase ThirdRoundRollsBack, PROCESSES, DECISIONS, 13, STORM;
    attempt_joined_late: ThreePhase AttemptJoinedLate, PROCESSES, DECISIONS, 33, STORM;
    attempt_forgets: ThreePhase AttemptForgets, PROCESSES, DECISIONS, 1, STORM;
}

/// What classical time-outs break under a partition, and nothing else, quorum termination does not.
#[test]
fn classical_time_outs_fail_under_a_partition_and_quorum_termination_does_not() {
    let mut plan = Plan::default();
    plan.allow("partition,isolate,oneway,flap").expect("classes");
    plan.set(STORM).expect("numbers");
    let of = |plant| Options {
        protocol: Protocol::ThreePhase,
        plant,
        plan: plan.clone(),
        sites: Some(PROCESSES),
        nodes: Some(4),
        ..Options::default()
    };
    let broken = first(&of(Some(Plant::ClassicalTermination)), &["AC1"], 0, SEEDS);
    assert!(broken.is_some(), "the time-outs' mistake was not found");
    let mut failures = Vec::new();
    explore(0..20, 2, of(None), |report| {
        failures.extend(report.failure.clone());
        true
    });
    assert!(failures.is_empty(), "{}", failures[0]);
}
