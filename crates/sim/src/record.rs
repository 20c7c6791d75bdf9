//! A run as a file: JSON lines, one for every happening, between a header and an end.
//!
//! The format is described in `docs/trace.md` and numbered: whoever changes the meaning of what is written counts
//! [`FORMAT_VERSION`] up. Numbers that may exceed 2^53, the greatest that every reader of JSON keeps, are strings.

use std::io::{self, Write};

use crate::Options;
use crate::json::{Object, array};
use crate::knobs::KNOBS;
use crate::label::{Label, Value};
use crate::report::{Failure, Fault, Report, Stats};
use crate::story::Moment;

/// The version of the format.
pub const FORMAT_VERSION: u64 = 1;

/// Writes one run.
pub struct Recorder<W: Write> {
    out: W,
    /// The first mishap; nothing is written after it.
    failed: Option<io::Error>,
}

impl<W: Write> Recorder<W> {
    /// Writes the header.
    pub fn begin(out: W, options: &Options) -> Self {
        let mut recorder = Recorder { out, failed: None };
        let swarm = options.swarm();
        let mut character = Object::new();
        for knob in KNOBS {
            character.number(knob.name, (knob.get)(&swarm));
        }
        let mut header = Object::new();
        header
            .text("kind", "header")
            .text("format", "quorate-trace")
            .number("version", FORMAT_VERSION)
            .text("command", &options.command())
            .text("protocol", options.protocol.name())
            .text("seed", &options.seed.to_string())
            .number("nodes", swarm.nodes as u64);
        if let Some(plant) = options.plant {
            header.text("plant", plant.name());
        }
        header.raw("swarm", &character.end());
        recorder.line(&header.end());
        recorder
    }

    /// Writes what happened.
    pub fn moment(&mut self, moment: &Moment) {
        let mut line = Object::new();
        line.number("t", moment.at);
        if let Some(node) = moment.what.node() {
            line.number("node", node);
        }
        line.text("kind", moment.what.kind());
        for (key, value) in moment.what.fields() {
            put(&mut line, key, &value);
        }
        self.line(&line.end());
    }

    /// Writes the end, and answers how the writing went.
    pub fn end(mut self, report: &Report) -> io::Result<()> {
        let mut end = Object::new();
        end.number("t", report.stats.virtual_us).text("kind", "end");
        if let Some(Failure { property, detail, .. }) = &report.failure {
            end.text("property", property).text("detail", detail);
        }
        end.text("trace_hash", &format!("{:016x}", report.trace_hash)).raw("stats", &sums(&report.stats));
        self.line(&end.end());
        match self.failed {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    fn line(&mut self, line: &str) {
        if self.failed.is_none() {
            self.failed = writeln!(self.out, "{line}").err();
        }
    }
}

fn put(line: &mut Object, key: &str, value: &Value) {
    match value {
        Value::Number(number) => line.number(key, *number),
        Value::Flag(flag) => line.raw(key, if *flag { "true" } else { "false" }),
        Value::Text(text) => line.text(key, text),
        Value::Numbers(numbers) => line.raw(key, &array(numbers.iter().map(u64::to_string))),
        Value::Pairs(pairs) => line.raw(key, &array(pairs.iter().map(|(from, to)| format!("[{from},{to}]")))),
        Value::Said(label) => line.raw(key, &said(label)),
    };
}

fn said(label: &Label) -> String {
    let mut object = Object::new();
    object.text("name", &label.name);
    for (key, value) in &label.fields {
        put(&mut object, key, value);
    }
    object.text("text", &label.text);
    object.end()
}

fn sums(stats: &Stats) -> String {
    let mut faults = Object::new();
    for fault in Fault::ALL {
        faults.number(fault.name(), stats.faults[fault as usize]);
    }
    let mut sums = Object::new();
    sums.number("events", stats.events)
        .number("elections", stats.elections)
        .number("committed", stats.committed)
        .number("snapshots", stats.snapshots)
        .number("operations", stats.operations)
        .number("answered", stats.answered)
        .number("ambiguous", stats.ambiguous)
        .number("watched", stats.watched)
        .number("transactions_committed", stats.transactions_committed)
        .number("transactions_aborted", stats.transactions_aborted)
        .number("doubts", stats.doubts.all().count)
        .number("doubt_us", stats.doubts.all().sum_us)
        .number("longest_doubt_us", stats.doubts.all().most_us)
        .number("healed_doubt_us", stats.doubts.healed_us)
        .number("still_in_doubt", stats.doubts.open)
        .raw("faults", &faults.end());
    sums.end()
}
