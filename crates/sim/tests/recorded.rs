//! A run as a file: a reader that knows nothing of us finds in it what the documentation promises.

use std::collections::{BTreeMap, BTreeSet};

use quorate_sim::{FORMAT_VERSION, Happening, Options, Plant, Recorder, Report, run};
use serde_json::Value;

fn recorded(options: &Options) -> (Report, String) {
    let mut file = Vec::new();
    let mut recorder = Recorder::begin(&mut file, options);
    let report = run(options, Some(&mut |moment| recorder.moment(moment)));
    recorder.end(&report).expect("memory does not fail");
    (report, String::from_utf8(file).expect("text"))
}

fn lines(file: &str) -> Vec<Value> {
    file.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn word<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_else(|| panic!("{key} in {line}"))
}

fn number(line: &Value, key: &str) -> u64 {
    line[key].as_u64().unwrap_or_else(|| panic!("{key} in {line}"))
}

#[test]
fn a_recording_does_not_change_the_run_and_is_the_same_each_time() {
    let options = Options { seed: 7, ..Options::default() };
    let (report, file) = recorded(&options);
    assert_eq!(report, run(&options, None));
    assert_eq!(file, recorded(&options).1);
}

#[test]
fn the_header_says_which_run_and_the_end_what_came_of_it() {
    let options = Options { seed: u64::MAX, plant: Some(Plant::WatchResumesOneLate), ..Options::default() };
    let (report, file) = recorded(&options);
    let lines = lines(&file);
    let (header, end) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!((word(header, "kind"), word(header, "format")), ("header", "quorate-trace"));
    assert_eq!(number(header, "version"), FORMAT_VERSION);
    assert_eq!(word(header, "seed"), u64::MAX.to_string());
    assert_eq!(word(header, "plant"), "watch-resumes-one-late");
    assert_eq!(word(header, "command"), options.command());
    let swarm = options.swarm();
    assert_eq!(number(header, "nodes"), swarm.nodes as u64);
    assert_eq!(number(&header["swarm"], "load.keys"), swarm.load.keys);
    assert_eq!(word(end, "kind"), "end");
    assert_eq!(number(end, "t"), report.stats.virtual_us);
    assert_eq!(word(end, "trace_hash"), format!("{:016x}", report.trace_hash));
    assert_eq!(number(&end["stats"], "operations"), report.stats.operations);
    let property = report.failure.as_ref().map(|failure| failure.property.as_str());
    assert_eq!(end["property"].as_str(), property);
}

#[test]
fn time_goes_on_and_messages_that_arrive_were_sent() {
    let (report, file) = recorded(&Options { seed: 3, ..Options::default() });
    let lines = lines(&file);
    let (mut now, mut read, mut received, mut sent, mut kinds) = (0, 0, 0, BTreeMap::new(), BTreeSet::new());
    for line in &lines[1..] {
        assert!(number(line, "t") >= now, "{line}");
        now = number(line, "t");
        kinds.insert(word(line, "kind"));
        match word(line, "kind") {
            "send" => {
                // What a later version might say cannot be read.
                if let Some(name) = line["message"]["name"].as_str() {
                    read += 1;
                    assert!(name == "SnapshotChunk" || line["message"]["term"].is_u64(), "{line}");
                }
                sent.insert(number(line, "id"), (number(line, "node"), number(line, "to"), now, line));
            }
            // A message without a number was damaged on its way.
            "receive" if line["id"].is_null() => {}
            "receive" => {
                received += 1;
                let (from, to, at, send) = sent[&number(line, "id")];
                assert_eq!((from, to), (number(line, "from"), number(line, "node")), "{line}");
                assert!(at < now && send["message"] == line["message"], "{send} {line}");
            }
            _ => {}
        }
    }
    assert!(read > 1_000 && received > 1_000, "{read} messages can be read, {received} arrive as they were");
    let asked = lines.iter().filter(|line| line["kind"] == "ask").count() as u64;
    assert_eq!(asked, report.stats.operations);
    for kind in ["role", "commit", "start", "crash", "answer", "deed", "peace"] {
        assert!(kinds.contains(kind), "{kinds:?}");
    }
}

#[test]
fn every_kind_is_described() {
    let page = include_str!("../../../docs/trace.md");
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    for seed in 0..12 {
        let mut note = |moment: &quorate_sim::Moment| {
            kinds.insert(moment.what.kind());
        };
        run(&Options { seed, ..Options::default() }, Some(&mut note));
    }
    kinds.insert(Happening::Note { text: String::new() }.kind());
    assert!(kinds.len() >= 17, "{kinds:?}");
    for kind in kinds {
        assert!(page.contains(&format!("| `{kind}` |")), "docs/trace.md does not describe {kind:?}");
    }
}
