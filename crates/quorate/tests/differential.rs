//! The same random requests to a genuine etcd and to Quorate: the same answers, the same hash, the same
//! history.
//!
//! Genuine etcds are looked for in `$ETCD_BIN` (paths separated by colons) and on PATH; without one the test
//! says so and passes. Every sequence is named by its seed. `QUORATE_DIFFERENTIAL_SEEDS=100` runs more of them.
//!
//! Known and deliberate differences, kept out of the requests or of the comparison:
//!
//! - ids of cluster, member and term in headers name the server;
//! - a lease's remaining seconds depend on when one asks;
//! - where a sort order leaves ties open, etcd's order among them is unspecified; only the sorted field and
//!   the set are compared;
//! - sort orders and targets that mean nothing are refused by newer versions (as by Quorate), not by 3.4 and 3.5;
//! - a tombstone exactly at the compacted revision is kept by versions from 3.4.34 and 3.5.16 on (as by
//!   Quorate): histories are compared from the revision after the compacted one.

#[path = "differential/answer.rs"]
mod answer;
#[path = "differential/generate.rs"]
mod generate;

use std::collections::BTreeSet;
use std::path::Path;

use answer::{Answer, carry_out};
use bytes::Bytes;
use generate::{Generator, Op};
use quorate_api::proto::{etcdserverpb as pb, mvccpb};
use quorate_harness::etcd::{self, Etcd};
use quorate_harness::raw::{self, Raw, Watching};
use quorate_harness::{Cluster, Setup};
use quorate_protocol::Random;
use tonic::Status;

/// Requests of one sequence.
const LENGTH: usize = 400;

#[test]
fn answers_and_histories_are_those_of_genuine_etcd() {
    let genuine = etcd::find();
    if genuine.is_empty() {
        println!("SKIPPED: no genuine etcd on PATH and none named in ETCD_BIN, nothing was compared");
        return;
    }
    let seeds = std::env::var("QUORATE_DIFFERENTIAL_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for binary in genuine {
        for seed in 1..=seeds.unwrap_or(3) {
            runtime.block_on(compare(&binary, seed));
        }
    }
}

async fn compare(binary: &Path, seed: u64) {
    let etcd = Etcd::start(binary);
    let ours = Cluster::start(Setup::new(env!("CARGO_BIN_EXE_quorate"), 1));
    println!("seed {seed} against etcd {}", etcd.version);
    let (mut left, mut right) = (raw::at(&etcd.endpoint()), raw::at(&ours.endpoint(0)));
    let mut generator =
        Generator { random: Random::new(seed), revision: 1, compacts: seed.is_multiple_of(2) };
    let mut trail: Vec<(Op, Answer)> = Vec::new();
    let mut compacted = 1;
    for step in 0..LENGTH {
        let op = generator.next();
        let (due, got) = tokio::join!(carry_out(&mut left, op.clone()), carry_out(&mut right, op.clone()));
        if due != got {
            panic!("{}", difference(&etcd, seed, step, &trail, &op, &due, &got));
        }
        if let (Op::Compact(request), Answer::Compact(_)) = (&op, &got) {
            compacted = compacted.max(request.revision);
        }
        generator.revision = got.revision().unwrap_or(generator.revision);
        trail.push((op, got));
    }
    varied(seed, &trail);
    let (due, got) = (raw::hash_kv(&etcd.endpoint(), 0).await, raw::hash_kv(&ours.endpoint(0), 0).await);
    assert_eq!(due, got, "seed {seed}: HashKV of etcd {} and ours", etcd.version);
    let from = if compacted > 1 { compacted + 1 } else { 2 };
    let due = history(&mut left, from, generator.revision).await.expect("etcd's history");
    let got = history(&mut right, from, generator.revision).await.expect("our history");
    assert!(due.len() > LENGTH / 20 || compacted > 1, "a history worth comparing: {}", due.len());
    for (due, got) in due.iter().zip(&got) {
        assert_eq!(due, got, "seed {seed}: an event of etcd {} and ours", etcd.version);
    }
    assert_eq!(due.len(), got.len(), "seed {seed}: events of etcd {} and ours", etcd.version);
}

/// A sequence is worth something if much was done and much was refused, for many reasons.
fn varied(seed: u64, trail: &[(Op, Answer)]) {
    let refusals: Vec<&str> = trail
        .iter()
        .filter_map(|(_, answer)| match answer {
            Answer::Refused(_, text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let reasons: BTreeSet<&str> = refusals.iter().copied().collect();
    println!("seed {seed}: {} of {} refused: {reasons:?}", refusals.len(), trail.len());
    assert!(refusals.len() < trail.len() / 2 && reasons.len() >= 6, "seed {seed}: {reasons:?}");
}

fn difference(
    etcd: &Etcd,
    seed: u64,
    step: usize,
    trail: &[(Op, Answer)],
    op: &Op,
    due: &Answer,
    got: &Answer,
) -> String {
    let before: Vec<String> = trail.iter().rev().take(3).map(|done| format!("  {done:?}\n")).collect();
    format!(
        "seed {seed}, request {step} is answered otherwise than by etcd {}\nrequest {op:?}\netcd    {due:?}\nours    \
         {got:?}\nbefore it, newest first:\n{}",
        etcd.version,
        before.concat()
    )
}

/// All events from a revision up to another.
async fn history(raw: &mut Raw, from: i64, to: i64) -> Result<Vec<mvccpb::Event>, Status> {
    let mut events: Vec<mvccpb::Event> = Vec::new();
    if from > to {
        return Ok(events);
    }
    let all = Bytes::from_static(&[0]);
    let request = pb::WatchCreateRequest {
        key: all.clone(),
        range_end: all,
        start_revision: from,
        prev_kv: true,
        ..Default::default()
    };
    let mut watching = Watching::open(raw, request).await?;
    let seen = |events: &[mvccpb::Event]| {
        events.last().and_then(|event| event.kv.as_ref()).map_or(0, |kv| kv.mod_revision)
    };
    while seen(&events) < to {
        let answer = watching.next().await?;
        if answer.canceled {
            return Err(Status::aborted(format!("canceled: {answer:?}")));
        }
        events.extend(answer.events);
    }
    Ok(events)
}
