//! How long a site is in doubt when somebody crashes, under two phases and three; and how many transactions a second of real time
//! the worlds carry out.
//!
//! ```text
//! cargo run --release -p quorate-sim --example doubt -- 40
//! ```
//!
//! Single processes unless said otherwise: five sites, ticks of 10 ms, election timeouts of 10 to 20 of them. Processes crash, about one a
//! second, and are down for up to 5 s; nothing else fails. Groups of three are there to compare: of them, too, one member
//! crashes at a time.

use std::time::Instant;

use quorate_sim::{Met, Options, Plan, Protocol, Sites, explore};

const SET: &str = "chaos_us=20000000,tick_us=10000,election_ticks=10,faults.every_us=1000000,faults.crash=1,\
                   faults.down_us=5000000,faults.power_percent=50,pace.network_min_us=100,pace.network_max_us=1000,\
                   pace.tail_percent=0,pace.disk_max_us=1000,pace.apply_us=200,load.clients=8,load.think_us=20000,\
                   load.patience_us=500000,load.participants=3,commit.vote_ticks=20,commit.retry_ticks=5,\
                   commit.doubt_ticks=5,mixed=0,skew=0,room.uncommitted_bytes=1048576,room.proposals=100";

fn main() {
    let seeds = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10);
    let rows = [
        ("two phases", Protocol::TwoPhase, Sites::Processes),
        ("three phases", Protocol::ThreePhase, Sites::Processes),
        ("two phases, groups", Protocol::TwoPhase, Sites::Groups(Protocol::Raft)),
        ("three phases, groups", Protocol::ThreePhase, Sites::Groups(Protocol::Raft)),
    ];
    for (name, protocol, sites) in rows {
        let mut plan = Plan::default();
        plan.allow("crash,power").expect("classes");
        plan.set(SET).expect("numbers");
        let options = Options { protocol, sites: Some(sites), nodes: Some(5), plan, ..Options::default() };
        let began = Instant::now();
        let mut broken = 0;
        let stats = explore(0..seeds, 2, options, |report| {
            broken += u64::from(report.failure.is_some());
            true
        });
        let seconds = began.elapsed().as_secs_f64();
        let (committed, aborted) = (stats.transactions_committed, stats.transactions_aborted);
        println!("{name}: {committed} committed, {aborted} aborted, {broken} violations");
        for met in Met::ALL {
            println!("  {:<30} {}", met.name(), stats.doubts.of(met));
        }
        println!("  {:.0} transactions a second of real time", (committed + aborted) as f64 / seconds);
    }
}
