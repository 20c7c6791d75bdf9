//! How long writes stand still when the leader goes: killed (SIGKILL) or stopped in its tracks (SIGSTOP).
//!
//! Writers ask for small puts, each with a short timeout, and turn to the next endpoint whenever an answer
//! fails to come; nothing tells them who leads. An outage lasts from the moment the signal has been delivered
//! to the first acknowledgement of a put that was asked for after it. Beside it the moment is noted at which
//! a survivor first says that it follows or is another leader, which splits the outage into election and rest.
//!
//! Between two rounds the member comes back and the cluster is given time to settle, or the next election
//! would be measured with a member missing. The next signal falls at a random phase of the heartbeats.
//!
//! Caveat: on a busy machine the figures hold what its scheduler adds; they are to be taken on an idle one.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quorate_api::proto::etcdserverpb as pb;
use quorate_protocol::Random;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::{Cluster, PATIENCE, raw};

/// How long a writer waits for an answer.
const ANSWER: Duration = Duration::from_millis(150);

/// Writers, spread over the endpoints.
const WRITERS: usize = 6;

/// Between two looks at who leads.
const LOOK: Duration = Duration::from_millis(5);

/// What is done to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// SIGKILL: its connections are closed by the system at once.
    Kill,
    /// SIGSTOP: nothing tells its peers but its silence.
    Stop,
}

/// One round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Until a survivor named another leader.
    pub elected: Duration,
    /// Until a write was acknowledged.
    pub writes_back: Duration,
}

/// All rounds.
#[derive(Clone, Debug)]
pub struct Outages {
    /// What was done.
    pub how: How,
    /// Each time.
    pub rounds: Vec<Round>,
}

impl Outages {
    /// The time that this share of all outages does not exceed, by rank: with fewer than a hundred rounds the
    /// 99th percentile is the longest.
    pub fn percentile(&self, percent: usize) -> Duration {
        rank(self.rounds.iter().map(|round| round.writes_back), percent)
    }
}

fn rank(times: impl Iterator<Item = Duration>, percent: usize) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or_default()
}

impl fmt::Display for Outages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.how {
            How::Kill => "SIGKILL",
            How::Stop => "SIGSTOP",
        };
        writeln!(f, "leader lost by {done}, {} rounds, milliseconds from the signal", self.rounds.len())?;
        writeln!(f, "{:<28}{:>8}{:>8}{:>8}{:>8}{:>8}", "", "min", "median", "p90", "p99", "max")?;
        let mut row = |name: &str, of: fn(&Round) -> Duration| {
            write!(f, "{name:<28}")?;
            for percent in [0, 50, 90, 99, 100] {
                write!(f, "{:>8}", rank(self.rounds.iter().map(of), percent).as_millis())?;
            }
            writeln!(f)
        };
        row("another leader is known", |round| round.elected)?;
        row("writes are back", |round| round.writes_back)
    }
}

/// What writers and the observer share. Times are nanoseconds since `begun`; 0 is "not yet".
struct Board {
    begun: Instant,
    over: AtomicBool,
    /// When the leader went; `u64::MAX` while nobody is to look.
    struck: AtomicU64,
    acknowledged: AtomicU64,
    /// The member id of the leader that went, and when another was named.
    leader: Mutex<Option<u64>>,
    elected: AtomicU64,
}

impl Board {
    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }
}

/// Takes the leader away this many times.
pub fn measure(cluster: &mut Cluster, how: How, rounds: usize, seed: u64) -> Outages {
    let runtime = Runtime::new().expect("a runtime");
    let board = Arc::new(Board {
        begun: Instant::now(),
        over: AtomicBool::new(false),
        struck: AtomicU64::new(u64::MAX),
        acknowledged: AtomicU64::new(0),
        leader: Mutex::new(None),
        elected: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    for number in 0..WRITERS {
        tasks.spawn_on(write(Arc::clone(&board), number, cluster.endpoints()), runtime.handle());
    }
    for endpoint in cluster.endpoints() {
        tasks.spawn_on(observe(Arc::clone(&board), endpoint), runtime.handle());
    }
    let mut random = Random::new(seed);
    let rounds = (0..rounds).map(|_| round(cluster, &runtime, &board, how, &mut random)).collect();
    board.over.store(true, Ordering::SeqCst);
    runtime.block_on(async { while tasks.join_next().await.is_some() {} });
    Outages { how, rounds }
}

fn round(cluster: &mut Cluster, runtime: &Runtime, board: &Board, how: How, random: &mut Random) -> Round {
    let leader = runtime.block_on(settled(cluster));
    std::thread::sleep(Duration::from_millis(random.between(300, 1_300)));
    let id = runtime.block_on(raw::status(&cluster.endpoint(leader))).map(|status| status.leader);
    *board.leader.lock().expect("nobody panics") = id;
    board.acknowledged.store(0, Ordering::SeqCst);
    board.elected.store(0, Ordering::SeqCst);
    match how {
        How::Kill => cluster.kill(leader),
        How::Stop => cluster.hang(leader, true),
    }
    let struck = board.now();
    board.struck.store(struck, Ordering::SeqCst);
    let wait = |moment: &AtomicU64, what: &str| loop {
        match moment.load(Ordering::SeqCst) {
            0 => {
                let waited = Duration::from_nanos(board.now() - struck);
                assert!(waited < PATIENCE, "no {what} after {waited:?}: {}", cluster.post_mortem());
                std::thread::sleep(Duration::from_millis(1));
            }
            at => return Duration::from_nanos(at - struck),
        }
    };
    let writes_back = wait(&board.acknowledged, "acknowledged write");
    let elected = wait(&board.elected, "other leader");
    board.struck.store(u64::MAX, Ordering::SeqCst);
    match how {
        How::Kill => cluster.restart(leader),
        How::Stop => cluster.hang(leader, false),
    }
    Round { elected, writes_back }
}

/// Waits until all members name one leader and hold what it holds; which one it is.
async fn settled(cluster: &Cluster) -> usize {
    let begun = Instant::now();
    loop {
        let mut answers = Vec::new();
        for endpoint in cluster.endpoints() {
            answers.extend(raw::status(&endpoint).await);
        }
        let leader = answers.first().map_or(0, |answer| answer.leader);
        let applied = |answer: &pb::StatusResponse| answer.raft_applied_index;
        let newest = answers.iter().map(applied).max().unwrap_or(0);
        let level = answers.iter().all(|answer| answer.leader == leader && newest - applied(answer) < 500);
        if leader != 0 && level && answers.len() == cluster.len() {
            let is = |answer: &pb::StatusResponse| {
                answer.header.as_ref().is_some_and(|header| header.member_id == leader)
            };
            return answers.iter().position(is).expect("the leader is one of them");
        }
        assert!(begun.elapsed() < PATIENCE, "the members do not settle: {}", cluster.post_mortem());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn write(board: Arc<Board>, number: usize, endpoints: Vec<String>) {
    let members: Vec<raw::Raw> = endpoints.iter().map(|endpoint| raw::at(endpoint)).collect();
    let mut at = number;
    let mut made = 0_u64;
    while !board.over.load(Ordering::SeqCst) {
        let mut member = members[at % members.len()].clone();
        made += 1;
        let put = pb::PutRequest {
            key: format!("outage/{number}").into(),
            value: made.to_string().into(),
            ..pb::PutRequest::default()
        };
        let asked = board.now();
        let answer = tokio::time::timeout(ANSWER, member.kv.put(put)).await;
        if matches!(answer, Ok(Ok(_))) {
            if asked > board.struck.load(Ordering::SeqCst) {
                let _ =
                    board.acknowledged.compare_exchange(0, board.now(), Ordering::SeqCst, Ordering::SeqCst);
            }
        } else {
            at += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks one member who leads, again and again.
async fn observe(board: Arc<Board>, endpoint: String) {
    let mut member = raw::at(&endpoint);
    while !board.over.load(Ordering::SeqCst) {
        tokio::time::sleep(LOOK).await;
        if board.struck.load(Ordering::SeqCst) == u64::MAX || board.elected.load(Ordering::SeqCst) != 0 {
            continue;
        }
        let answer = tokio::time::timeout(ANSWER, member.maintenance.status(pb::StatusRequest {})).await;
        let Ok(Ok(answer)) = answer else { continue };
        let (leader, before) = (answer.into_inner().leader, *board.leader.lock().expect("nobody panics"));
        if leader != 0 && Some(leader) != before {
            let _ = board.elected.compare_exchange(0, board.now(), Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_rank() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis);
        assert_eq!(rank(times(50), 0).as_millis(), 1);
        assert_eq!(rank(times(50), 50).as_millis(), 25);
        assert_eq!(rank(times(50), 99).as_millis(), 50);
        assert_eq!(rank(times(200), 99).as_millis(), 198);
        assert_eq!(rank(times(0), 99), Duration::ZERO);
    }
}
