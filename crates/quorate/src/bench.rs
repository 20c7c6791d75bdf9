//! `quorate bench`: how fast a cluster answers, and what that costs.
//!
//! A closed loop: each of `--clients` makes one call at a time, its next when the last was answered, as
//! etcd's own load tool does; the figures of the two can be laid side by side. It speaks to anything that
//! speaks etcd's API. The load tool shares the machine with what it measures in most of its uses, so it is
//! made to cost little ([`http2`]), and it prints what it cost itself.
//!
//! A run is: connect; with `--fill`, put every key once; `--warmup` calls that are not counted; then `--total`
//! calls that are. Servers' processor time is taken over the last part alone.

mod args;
mod hpack;
mod http2;
mod load;
mod report;
mod run;
mod servers;

use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) use args::BenchArgs;
use args::{Common, Op};
use load::{KeyOrder, KeySpace, Load};
use report::{Found, Report};
use run::{Connection, Phase, run_phase};
use servers::Server;

use crate::client::{self, ClientError, Endpoint};
use quorate_api::proto::etcdserverpb::{RangeRequest, StatusRequest};

/// How many clients fill the store before a run of reads.
const FILL_CLIENTS: u32 = 256;

/// Runs `quorate bench`; the exit code.
pub(crate) fn main(args: BenchArgs) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("quorate bench: cannot start: {error}");
            return 1;
        }
    };
    match tokio::task::LocalSet::new().block_on(&runtime, bench(&args)) {
        Ok(report) => {
            let text = if args.common().json { report.json() } else { report.text() };
            print!("{text}");
            u8::from(!report.complete())
        }
        Err(error) => {
            eprintln!("quorate bench: {error}");
            1
        }
    }
}

async fn bench(args: &BenchArgs) -> Result<Report, BenchError> {
    let common = args.common();
    let keys = KeySpace::new(common.key_space, common.key_bytes)
        .ok_or(BenchError::Width { count: common.key_space, width: common.key_bytes })?;
    let targets = targets(common).await?;
    if let Op::Range(range) = &args.op
        && range.fill
    {
        fill(common, keys, &targets).await?;
    }
    let found = match &args.op {
        Op::Put(_) => None,
        Op::Range(_) => Some(Found { keys: count(common, keys).await?, of: keys.count, answers: 0 }),
    };
    let load = || match &args.op {
        Op::Put(_) => Load::put(keys, common.keys, common.value_bytes, common.seed),
        Op::Range(range) => Load::range(keys, common.keys, range.serializable, common.seed),
    };
    let connections = common.connections();
    let opened = open(common, &targets, load().path, common.clients, connections).await?;
    let stall = Duration::from_secs(common.timeout);
    let (opened, _, warm) = run_phase(opened, Phase::new(load(), common.warmup), stall).await;
    warm?;

    // Another seed, so that the counted calls are not those of the warm-up once more.
    let mut counted = common.clone();
    counted.seed = counted.seed.wrapping_add(1);
    let load = match &args.op {
        Op::Put(_) => Load::put(keys, counted.keys, counted.value_bytes, counted.seed),
        Op::Range(range) => Load::range(keys, counted.keys, range.serializable, counted.seed),
    };
    let servers = watched(common, &targets);
    let own_before = servers::own_cpu_seconds();
    let begun = Instant::now();
    let (_, tally, result) = run_phase(opened, Phase::new(load, common.total), stall).await;
    let elapsed = begun.elapsed();
    Ok(Report {
        op: args.op.name(),
        common: common.clone(),
        connections,
        endpoints: targets.to_vec(),
        elapsed,
        found: found.map(|found| Found { answers: tally.found, ..found }),
        tally,
        own_cpu_seconds: servers::own_cpu_seconds() - own_before,
        servers: servers.iter().map(Server::usage).collect(),
        cut_short: result.err().map(|error| error.to_string()),
    })
}

/// Why a run did not begin, or could not end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("{count} keys do not fit into {width} digits: raise --key-bytes, or lower --key-space")]
    Width { count: u64, width: usize },
    #[error("no member says that it leads: --target-leader needs a cluster with a leader")]
    NoLeader,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Run(#[from] run::RunError),
}

/// The endpoints to load, as `host:port`: all, or the leader's alone.
async fn targets(common: &Common) -> Result<Rc<[String]>, BenchError> {
    let all = &common.cluster.endpoints;
    if !common.target_leader {
        return Ok(all.iter().map(|endpoint| endpoint.0.clone()).collect());
    }
    for endpoint in all {
        let status = client::read(std::slice::from_ref(endpoint), |connection| async move {
            connection.maintenance().status(StatusRequest {}).await
        });
        let Ok(status) = status.await else { continue };
        let status = status.into_inner();
        if status.header.is_some_and(|header| header.member_id == status.leader) {
            return Ok(Rc::from([endpoint.0.clone()]));
        }
    }
    Err(BenchError::NoLeader)
}

/// Opens the connections and deals the clients out to them, and them to the endpoints.
async fn open(
    common: &Common,
    targets: &Rc<[String]>,
    path: &'static str,
    clients: u32,
    connections: u32,
) -> Result<Vec<Connection>, BenchError> {
    let timeout = Duration::from_secs(common.timeout.min(10));
    let mut opened = Vec::new();
    for at in 0..connections {
        let share = clients / connections + u32::from(at < clients % connections);
        let mut connection = Connection::new(targets.clone(), at as usize, share, path, timeout);
        connection.open().await?;
        opened.push(connection);
    }
    Ok(opened)
}

/// Puts every key once.
async fn fill(common: &Common, keys: KeySpace, targets: &Rc<[String]>) -> Result<(), BenchError> {
    let load = Load::put(keys, KeyOrder::Sequential, common.value_bytes, common.seed);
    let clients = FILL_CLIENTS.min(u32::try_from(keys.count).unwrap_or(FILL_CLIENTS));
    let opened = open(common, targets, load.path, clients, clients.div_ceil(16)).await?;
    let stall = Duration::from_secs(common.timeout);
    let (_, tally, result) = run_phase(opened, Phase::new(load, keys.count), stall).await;
    result?;
    if !tally.errors.is_empty() {
        let errors: u64 = tally.errors.values().sum();
        eprintln!("quorate bench: {errors} of {} puts failed while filling: {:?}", keys.count, tally.errors);
    }
    Ok(())
}

/// How many of the run's keys the store has.
async fn count(common: &Common, keys: KeySpace) -> Result<u64, BenchError> {
    let (key, range_end) = keys.interval();
    let request = RangeRequest { key, range_end, count_only: true, ..RangeRequest::default() };
    let answer = client::read(&common.cluster.endpoints, |connection| {
        let request = request.clone();
        async move { connection.kv().range(request).await }
    });
    Ok(answer.await?.into_inner().count.max(0) as u64)
}

/// The server processes to watch: those named, or those found.
fn watched(common: &Common, targets: &[String]) -> Vec<Server> {
    let pids = if common.pids.is_empty() {
        // With --target-leader the others work too: look for all that were named.
        let all: Vec<String> = common.cluster.endpoints.iter().map(|Endpoint(text)| text.clone()).collect();
        servers::find(if common.target_leader { &all } else { targets })
    } else {
        common.pids.clone()
    };
    pids.iter()
        .filter_map(|pid| {
            let server = Server::begin(*pid);
            if server.is_none() {
                eprintln!("quorate bench: there is no process {pid} to watch");
            }
            server
        })
        .collect()
}
