//! How far it is: a bar that is drawn over itself for a person at a terminal, a line now and then for a log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use quorate_sim::{Report, Size, span};

/// Between two lines of a log.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Between two drawings of the bar.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// Characters of the bar.
const BAR: u64 = 30;

/// Writes at most so often.
struct Teller {
    terminal: bool,
    last: Instant,
    drawn: bool,
}

impl Teller {
    fn new() -> Self {
        Teller { terminal: std::io::stderr().is_terminal(), last: Instant::now(), drawn: false }
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        let every = if self.terminal { BAR_EVERY } else { LINE_EVERY };
        if self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        if self.terminal {
            // The end of a longer line that stood there before is wiped out.
            eprint!("\r{}\x1b[K", text());
            self.drawn = true;
        } else {
            eprintln!("{}", text());
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[K");
        }
    }
}

/// Of many worlds.
pub(super) struct Progress {
    teller: Teller,
    began: Instant,
    of: u64,
    done: u64,
    virtual_us: u64,
}

impl Progress {
    pub(super) fn new(of: u64) -> Self {
        Progress { teller: Teller::new(), began: Instant::now(), of, done: 0, virtual_us: 0 }
    }

    /// Another world has ended.
    pub(super) fn ran(&mut self, report: &Report, violations: usize) {
        self.done += 1;
        self.virtual_us += report.stats.virtual_us;
        let Progress { began, of, done, virtual_us, .. } = *self;
        let terminal = self.teller.terminal;
        self.teller.tell(|| {
            let bar = if terminal { bar(done, of) } else { String::new() };
            let took = span(began.elapsed().as_micros() as u64);
            let lived = span(virtual_us);
            format!("{bar}{done} of {of} worlds, {lived} of virtual time, {took}, {violations} violations")
        });
    }

    pub(super) fn end(&mut self) {
        self.teller.end();
    }
}

fn bar(done: u64, of: u64) -> String {
    let full = (u128::from(done) * u128::from(BAR) / u128::from(of.max(1))) as u64;
    (0..BAR).map(|at| if at < full { '#' } else { '.' }).chain([' ']).collect()
}

/// Of the search for a smaller run.
pub(super) struct Shrinking(Teller);

impl Shrinking {
    pub(super) fn new() -> Self {
        Shrinking(Teller::new())
    }

    pub(super) fn tried(&mut self, runs: u64, size: &Size) {
        self.0.tell(|| {
            format!("looking for a smaller run: {runs} tried, {} nodes, {} events", size.nodes, size.events)
        });
    }

    pub(super) fn end(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(bar(0, 10).trim_end(), ".".repeat(30));
        assert_eq!(bar(5, 10), format!("{}{} ", "#".repeat(15), ".".repeat(15)));
        assert_eq!(bar(u64::MAX, u64::MAX).trim_end(), "#".repeat(30));
        assert_eq!(bar(0, 0).trim_end(), ".".repeat(30));
    }
}
