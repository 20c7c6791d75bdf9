//! Members are killed under load: nothing acknowledged is lost, nothing is there twice, and a watch misses
//! nothing (see `quorate_harness::chaos`; `examples/real_input.rs` is the same at full size).

use std::path::Path;

use quorate_harness::{Cluster, Setup, chaos, records};

/// Enough for a load that lasts through every kill, few enough for a test.
const RECORDS: usize = 4_000;

quorate_harness::under_each_protocol!(records_survive_the_loss_of_the_leader_of_each_follower_and_of_all);

fn records_survive_the_loss_of_the_leader_of_each_follower_and_of_all(protocol: &str) {
    let records = records::below(Path::new("/usr"), RECORDS);
    assert!(records.len() > RECORDS / 4, "this machine has hardly any files: {}", records.len());
    let mut cluster = Cluster::start(Setup::new(env!("CARGO_BIN_EXE_quorate"), 3).protocol(protocol));
    match chaos::run(&mut cluster, records, 12) {
        Ok(verdict) => {
            println!("{verdict:?}");
            assert!(verdict.resumed > 0, "the watch was never cut off: {verdict:?}");
        }
        Err(violation) => panic!("{violation}\n{}", cluster.post_mortem()),
    }
}
