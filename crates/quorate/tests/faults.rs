//! Every fault of `examples/fault_driver.rs`, in its short form, under each protocol.

use std::time::Duration;

use quorate_harness::{Cluster, Setup, outage, rot, storm, wipe};

const BINARY: &str = env!("CARGO_BIN_EXE_quorate");

quorate_harness::under_each_protocol!(
    every_promise_is_kept_through_a_storm,
    writes_come_back_when_the_leader_goes,
    a_flipped_bit_is_repaired_or_named,
    a_lost_disk_is_replaced_by_one_flag
);

fn members(protocol: &str) -> Setup {
    Setup::new(BINARY, 3).protocol(protocol)
}

fn flags(protocol: &str) -> Vec<String> {
    vec![format!("--protocol={protocol}")]
}

fn every_promise_is_kept_through_a_storm(protocol: &str) {
    let options = storm::Options {
        binary: BINARY.into(),
        duration: Duration::from_secs(20),
        seed: 1,
        clients: 8,
        disk_bytes: 512 << 20,
        flags: flags(protocol),
    };
    match storm::run(&options) {
        Ok(report) => {
            println!("{report}");
            // A run in which hardly anything happened would prove nothing.
            assert!(report.operations > 700 && report.ambiguous > 0 && report.resumed > 0, "{report}");
            assert!(report.faults.len() > 6, "{report}");
        }
        Err(broken) => panic!("{broken}"),
    }
}

fn writes_come_back_when_the_leader_goes(protocol: &str) {
    // The figure itself is measured on an idle machine, by the example.
    let bound = Duration::from_secs(10);
    let mut cluster = Cluster::start(members(protocol));
    for how in [outage::How::Kill, outage::How::Stop] {
        let outages = outage::measure(&mut cluster, how, 2, 1);
        println!("{outages}");
        assert!(outages.percentile(100) < bound, "{outages}");
    }
}

fn a_flipped_bit_is_repaired_or_named(protocol: &str) {
    let options =
        rot::Options { binary: BINARY.into(), flips: 24, keys: 3_000, seed: 1, flags: flags(protocol) };
    let rot = rot::run(&options, &|_, _| {});
    println!("{rot}");
    assert!(rot.bad.is_empty(), "{rot}");
}

fn a_lost_disk_is_replaced_by_one_flag(protocol: &str) {
    let mut cluster = Cluster::start(members(protocol));
    let took = wipe::run(&mut cluster, 2, 400).unwrap_or_else(|why| panic!("{why}"));
    println!("whole again after {took:?}");
}
