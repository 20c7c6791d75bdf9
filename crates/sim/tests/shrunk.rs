//! A failed run is made smaller, and the smaller one is repeated by what is printed.

use quorate_sim::{DeedId, Effort, Failure, Happening, Moment, Options, Plan, Plant, explore, run, shrink};

/// The first run in which a bug breaks this property.
fn failed(plant: Plant, property: &str) -> Failure {
    let mut failures: Vec<Failure> = Vec::new();
    explore(0..1_000, 2, Options { plant: Some(plant), ..Options::default() }, |report| {
        // A long run would take the whole effort.
        let same = |failure: &Failure| failure.property == property && report.stats.events < 40_000;
        failures.extend(report.failure.clone().filter(same));
        failures.is_empty()
    });
    failures.sort_by_key(|failure| failure.seed);
    failures.into_iter().next().expect("it is caught")
}

/// The options that a printed command names.
fn read(command: &str) -> Options {
    let words = command.strip_prefix("cargo run --release -- sim").expect("the simulator");
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    let mut options = Options::default();
    let mut plan = Plan::default();
    for pair in words.chunks(2) {
        match pair[0] {
            "--seed" => options.seed = pair[1].parse().expect("a seed"),
            "--nodes" => options.nodes = Some(pair[1].parse().expect("a number")),
            "--plant" => options.plant = Plant::named(pair[1]),
            "--faults" => plan.allow(pair[1]).expect("classes"),
            "--set" => plan.set(pair[1]).expect("numbers"),
            "--deeds" => plan.only(pair[1]).expect("deeds"),
            other => panic!("{other} is no flag"),
        }
    }
    Options { plan, ..options }
}

fn effort(events: u64, jobs: usize) -> Effort {
    Effort { events, time: None, jobs }
}

fn smaller(plant: Plant, property: &str) {
    let failure = failed(plant, property);
    let mut told = 0;
    let shrunk = shrink(&failure, effort(700_000, 2), &mut |_, _| told += 1);
    println!("{}\n{}", failure.command(), shrunk.before);
    println!("{}\n{}", shrunk.failure.command(), shrunk.after);
    assert!(told > 0);
    assert_eq!(shrunk.failure.property, failure.property);
    let (before, after) = (shrunk.before, shrunk.after);
    assert!(after.nodes <= before.nodes && after.clients <= before.clients, "{before}; {after}");
    let fewer_deeds = after.deeds < before.deeds || before.deeds == 0;
    assert!(after.classes < before.classes && fewer_deeds, "{before}; {after}");
    assert!(after.events < before.events, "{before}; {after}");
    let options = read(&shrunk.failure.command());
    assert_eq!(options, shrunk.failure.options, "the command says all of it");
    assert_eq!(run(&options, None).failure, Some(shrunk.failure), "and repeats it");
}

#[test]
fn a_vote_forgotten() {
    smaller(Plant::ForgetVoteOnRestart, "PromiseKept");
}

#[test]
fn a_write_acknowledged_too_early() {
    smaller(Plant::AckBeforeFsync, "ChosenFirst");
}

#[test]
fn a_watch_resumed_one_late() {
    smaller(Plant::WatchResumesOneLate, "WatchResumable");
}

#[test]
fn the_result_does_not_depend_on_the_number_of_jobs() {
    let failure = failed(Plant::ForgetVoteOnRestart, "PromiseKept");
    let shrunk = |jobs| shrink(&failure, effort(100_000, jobs), &mut |_, _| {}).failure;
    assert_eq!(shrunk(1), shrunk(3));
}

/// The acts of the nemesis: when, which, what.
fn acts(options: &Options) -> Vec<(u64, DeedId, &'static str)> {
    let mut acts = Vec::new();
    let mut note = |moment: &Moment| {
        if let Happening::Deed { id: id @ DeedId::Act(_), what } = moment.what {
            acts.push((moment.at, id, what));
        }
    };
    run(options, Some(&mut note));
    acts
}

#[test]
fn a_deed_left_out_changes_no_other_act() {
    let many = |seed| Some(Options { seed, ..Options::default() }).filter(|options| acts(options).len() > 9);
    let mut options = (0..50).find_map(many).expect("a busy nemesis");
    let mut expected = acts(&options);
    expected.remove(4);
    options.plan.deeds = Some(expected.iter().map(|(_, id, _)| *id).collect());
    assert_eq!(acts(&options), expected);
}
