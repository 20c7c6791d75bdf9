//! What is told of a failure: the command that repeats it, the promise, a smaller run, and its picture.

use quorate_sim::{Effort, Failure, Moment, is_milestone, picture, run, shrink};

use super::progress::Shrinking;

/// Lines of the picture.
const LINES: usize = 160;

/// What is kept in memory of a long run until its picture is drawn.
const MOST_KEPT: usize = 400_000;

/// Tell of a failure. The command is printed before anything else is tried.
pub(super) fn tell(failure: &Failure, effort: Option<Effort>) {
    println!("{failure}");
    let smaller = effort.map(|effort| {
        let mut progress = Shrinking::new();
        let shrunk = shrink(failure, effort, &mut |runs, size| progress.tried(runs, size));
        progress.end();
        shrunk
    });
    let mut shown = failure.clone();
    match smaller {
        Some(shrunk) if shrunk.failure != *failure => {
            println!("A smaller run that fails in the same way, after {} tries:", shrunk.runs);
            println!("{} --shrink 0", shrunk.failure.command());
            println!("it has  {}\ninstead of  {}\n", shrunk.after, shrunk.before);
            shown = shrunk.failure;
        }
        Some(shrunk) => println!("No smaller run was found in {} tries.\n", shrunk.runs),
        None => {}
    }
    print!("{}", drawn(&shown));
    println!("{}", shown.detail);
}

fn drawn(failure: &Failure) -> String {
    let mut moments: Vec<Moment> = Vec::new();
    let mut keep = |moment: &Moment| {
        if moments.len() >= MOST_KEPT {
            let recent = moments.split_off(MOST_KEPT / 2);
            moments.retain(is_milestone);
            moments.drain(..moments.len().saturating_sub(MOST_KEPT / 4));
            moments.extend(recent);
        }
        moments.push(moment.clone());
    };
    run(&failure.options, Some(&mut keep));
    picture(&moments, failure.options.swarm().nodes, failure, LINES)
}
