//! Chord's world: runs that must hold, runs that must repeat, and each bug put in on purpose caught within a thousand seeds.

use quorate_sim::{Effort, Failure, Fault, Moment, Options, Plant, Protocol, explore, run, shrink};

/// The bound of the acceptance line.
const SEEDS: u64 = 1_000;

/// The long runs are `quorate sim`'s.
const SOUND: u64 = 60;

fn chord() -> Options {
    Options { protocol: Protocol::Chord, ..Options::default() }
}

#[test]
fn no_promise_is_broken() {
    let mut failures = Vec::new();
    let stats = explore(0..SOUND, 2, chord(), |report| {
        failures.extend(report.failure.clone());
        true
    });
    assert!(failures.is_empty(), "{}", failures[0]);
    let met = |fault: Fault| assert!(stats.faults[fault as usize] > 0, "no run had {}", fault.name());
    [Fault::Loss, Fault::Duplicate, Fault::Slow, Fault::Reorder, Fault::Corrupt, Fault::Cut]
        .into_iter()
        .for_each(met);
    [Fault::Partition, Fault::OneWay, Fault::Flap, Fault::SlowLink, Fault::Kill, Fault::CrashLoop]
        .into_iter()
        .for_each(met);
    [Fault::Pause, Fault::SlowNode, Fault::Stranger, Fault::Skew, Fault::Freeze, Fault::Change]
        .into_iter()
        .for_each(met);
    assert!(stats.answered > stats.operations * 9 / 10, "few lookups were answered\n{stats}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 7] {
        let options = Options { seed, ..chord() };
        let first = run(&options, None);
        let (mut lines, mut unreadable) = (0, 0);
        let mut sink = |moment: &Moment| {
            lines += 1;
            // Some are damaged on their way.
            unreadable += u32::from(moment.to_string().contains("unreadable"));
        };
        assert_eq!(first, run(&options, Some(&mut sink)));
        assert!(lines > 500 && unreadable < lines / 50, "{lines} lines, {unreadable} of them unreadable");
    }
    assert_ne!(run(&Options { seed: 1, ..chord() }, None), run(&Options { seed: 2, ..chord() }, None));
}

/// The lowest seed from `from` on whose run breaks this property, if there is one among so many.
fn first(options: &Options, property: &str, from: u64, seeds: u64) -> Option<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    explore(from..from + seeds, 2, options.clone(), |report| {
        failures.extend(report.failure.as_ref().filter(|failure| failure.property == property).cloned());
        failures.is_empty()
    });
    failures.into_iter().min_by_key(|failure| failure.seed)
}

/// Caught by the property it breaks; looked for first where it was found last.
fn caught(plant: Plant, property: &str, near: u64) -> Failure {
    let options = Options { plant: Some(plant), ..chord() };
    let failure = first(&options, property, near, 8)
        .or_else(|| first(&options, property, 0, SEEDS))
        .unwrap_or_else(|| panic!("{} was not caught", plant.name()));
    println!("| chord | {} | {} | {} |", plant.name(), failure.seed, failure.property);
    assert_eq!(run(&failure.options, None).failure.as_ref(), Some(&failure), "the command repeats it");
    failure
}

#[test]
fn unheard_pointer() {
    caught(Plant::UnheardPointer, "ChordRing", 37);
}

#[test]
fn original_join() {
    caught(Plant::OriginalJoin, "ChordRing", 5);
}

#[test]
fn predecessor_owns() {
    caught(Plant::PredecessorOwns, "LookupCorrect", 0);
}

#[test]
fn keys_unanswered() {
    caught(Plant::KeysUnanswered, "KeysFollow", 0);
}

#[test]
fn a_failed_run_is_made_smaller() {
    let failure = caught(Plant::OriginalJoin, "ChordRing", 5);
    let effort = Effort { events: 2_000_000, time: None, jobs: 2 };
    let shrunk = shrink(&failure, effort, &mut |_, _| {});
    assert_eq!(shrunk.failure.property, "ChordRing");
    assert!(shrunk.after.events < shrunk.before.events, "{}", shrunk.after);
    assert!(shrunk.after.deeds <= shrunk.before.deeds, "{}", shrunk.after);
    println!("{} instead of {}", shrunk.after, shrunk.before);
}
