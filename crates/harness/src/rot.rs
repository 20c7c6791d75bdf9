//! Bits that flip on the disk of a stopped member.
//!
//! One member of three is stopped, one bit of one file in its data directory is flipped, and it is started
//! again. It has [`BOUND`] to be of one state with the others, by HashKV, which reads every revision; and
//! whatever it answers meanwhile to serializable reads of every key must be what the history says of the
//! revision the answer names. Or it ends, saying what it cannot repair and naming `--replace-lost-disk`. Nothing
//! else will do ([`Verdict::good`]). Then the bit is flipped back, unless what is there now is something else, and
//! a member that was not whole has to become whole again with its sound disk before the next bit is flipped.
//!
//! The directory is not simply put back as it was: starting a member adds to its log, and a member with an older
//! copy of its own disk has forgotten what it promised since, which is another fault than the one looked at here.
//!
//! Every so many flips ([`PHASE`]) more is written and compacted: now with the member stopped right after, when
//! its log holds much that its state's file does not, now when the file has caught up.

mod bits;
mod tally;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_api::proto::etcdserverpb as pb;
use quorate_checker::events::Event;
use quorate_checker::history::Record;
use quorate_checker::{Violation, replay};
use quorate_protocol::Random;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

pub use bits::Flip;
use bits::{files, forget_what_was_set_aside, invert, sector};
pub use tally::{Rot, Verdict};
use tally::{ended, plain, spoke_of_damage, tail};

use crate::follow::{self, Seen};
use crate::raw::{self, Raw};
use crate::{Cluster, PATIENCE, Setup};

/// How long a member may take to be whole again.
pub const BOUND: Duration = Duration::from_secs(30);

/// Flips on one copy.
const PHASE: usize = 25;

/// Writes under way at a time.
const AT_ONCE: u64 = 64;

/// Between two looks at a member that starts.
const LOOK: Duration = Duration::from_millis(5);

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(5);

/// What a run is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary.
    pub binary: PathBuf,
    /// How many bits.
    pub flips: usize,
    /// Keys written before the first; a seventh of it before each later phase.
    pub keys: u64,
    /// Decides which bits, as far as the files are alike.
    pub seed: u64,
    /// Further flags for the members.
    pub flags: Vec<String>,
}

/// Flips bits of a member of a new cluster.
pub fn run(options: &Options, progress: &dyn Fn(&Flip, &Verdict)) -> Rot {
    let mut rot = Rot::default();
    let mut field = Field::prepare(options, options.seed);
    for number in 0..options.flips {
        if number % PHASE == 0 {
            field.next_phase(number / PHASE);
        }
        let flip = field.choose();
        let (verdict, text) = field.flip(&flip);
        progress(&flip, &verdict);
        let whole = verdict.whole() || field.nurse();
        rot.count(flip, verdict, text);
        if !whole {
            // Its disk cannot be made sound again by flipping one bit back: that is told with the verdict.
            rot.abandoned += 1;
            // The old cluster goes first: two would fight for the machine.
            drop(field);
            field = Field::prepare(options, options.seed + 1 + number as u64);
            field.next_phase(number / PHASE);
        }
    }
    rot
}

/// A cluster, and which of its members is the one.
struct Field {
    runtime: Runtime,
    cluster: Cluster,
    random: Random,
    victim: usize,
    leader: usize,
    /// The hash and revision that all must come to.
    expected: (u32, i64),
    /// The last compaction.
    compacted: i64,
    /// The history, and what it leaves behind.
    events: Vec<Event>,
    state: BTreeMap<Bytes, Record>,
    seen: Arc<Seen>,
    keys: u64,
    written: u64,
}

impl Field {
    fn prepare(options: &Options, seed: u64) -> Field {
        let mut setup = Setup::new(&options.binary, 3);
        // Small segments, so that the log has several.
        setup.flags.retain(|flag| !flag.starts_with("--wal-segment-bytes"));
        let small = ["--wal-segment-bytes=262144", "--max-request-bytes=65536", "--snapshot-count=2000"];
        setup.flags.extend(small.map(String::from));
        setup.flags.extend(options.flags.iter().cloned());
        let cluster = Cluster::start(setup);
        Field {
            runtime: Runtime::new().expect("a runtime"),
            cluster,
            random: Random::new(seed),
            victim: 0,
            leader: 0,
            expected: (0, 0),
            compacted: 0,
            events: Vec::new(),
            state: BTreeMap::new(),
            seen: Arc::new(Seen::default()),
            keys: options.keys,
            written: 0,
        }
    }

    /// Writes and compacts, with all members whole; then stops one that follows.
    fn next_phase(&mut self, phase: usize) {
        self.cluster.start_all();
        self.leader = self.runtime.block_on(self.cluster.leader());
        self.victim = (self.leader + 1 + phase % 2) % 3;
        self.write(if self.written == 0 { self.keys } else { self.keys.div_ceil(7) });
        self.expected = self.runtime.block_on(self.cluster.agree());
        let hash = self.runtime.block_on(raw::hash_kv(&self.cluster.endpoint(self.leader), 0));
        self.compacted = hash.map_or(0, |(.., compacted)| compacted);
        if phase % 2 == 1 {
            // The state's file catches up within so many seconds of the last change.
            std::thread::sleep(Duration::from_secs(6));
        }
        self.cluster.kill(self.victim);
    }

    /// Keys of which some are written again, deleted, and compacted away.
    fn write(&mut self, count: u64) {
        let first = self.events.last().map_or(1, |event| event.revision);
        let (from, upto) = (self.written, self.written + count);
        self.written = upto;
        let endpoint = self.cluster.endpoint(self.leader);
        self.seen.over.store(false, Ordering::SeqCst);
        let following =
            self.runtime.spawn(follow::everything(vec![endpoint.clone()], 0, Arc::clone(&self.seen)));
        let revision = self.runtime.block_on(async {
            let mut lanes = JoinSet::new();
            for lane in 0..AT_ONCE {
                let member = raw::at(&endpoint);
                lanes.spawn(async move {
                    for number in (from + lane..upto).step_by(AT_ONCE as usize) {
                        change(member.clone(), number).await;
                    }
                });
            }
            while lanes.join_next().await.is_some() {}
            self.cluster.agree().await.1
        });
        let begun = Instant::now();
        while self.seen.revision.load(Ordering::SeqCst) < revision as u64 {
            assert!(begun.elapsed() < PATIENCE, "the watch stands still: {}", self.cluster.post_mortem());
            std::thread::sleep(LOOK);
        }
        self.seen.over.store(true, Ordering::SeqCst);
        let stream = self.runtime.block_on(following).expect("the follower does not panic");
        self.events.extend(follow::events(&stream));
        let compact = pb::CompactionRequest { revision: first as i64 + count as i64 / 2, physical: true };
        let done = self.runtime.block_on(async { raw::at(&endpoint).kv.compact(compact).await });
        done.expect("a compaction");
        self.state.clear();
        for event in &self.events {
            match event.record() {
                Some(record) => self.state.insert(event.key.clone(), record),
                None => self.state.remove(&event.key),
            };
        }
    }

    /// Any bit of any file: a third by size, so that every byte has its chance; a third with equal chances for
    /// all files; a third likewise, but where bytes are not zero.
    fn choose(&mut self) -> Flip {
        let directory = self.cluster.data_dir(self.victim);
        let files = files(&directory);
        let size = |file: &PathBuf| fs::metadata(directory.join(file)).map_or(0, |file| file.len());
        let sizes: Vec<u64> = files.iter().map(size).collect();
        loop {
            let way = self.random.below(3);
            let at = if way == 0 {
                let mut left = self.random.below(sizes.iter().sum());
                sizes.iter().position(|size| {
                    let hit = left < *size;
                    left = left.saturating_sub(*size);
                    hit
                })
            } else {
                Some(self.random.below(files.len() as u64) as usize)
            };
            let Some(at) = at.filter(|at| sizes[*at] > 0) else { continue };
            let offset = self.random.below(sizes[at]);
            let flip = Flip { file: files[at].clone(), offset, bit: self.random.below(8) as u8 };
            let in_use = || sector(&directory.join(&flip.file), offset).iter().any(|byte| *byte != 0);
            if way < 2 || in_use() {
                return flip;
            }
        }
    }

    /// Flips it, starts the member, judges it, and flips it back. With the text it ended with.
    fn flip(&mut self, flip: &Flip) -> (Verdict, Option<String>) {
        let directory = self.cluster.data_dir(self.victim);
        invert(&directory, flip);
        let spoilt = sector(&directory.join(&flip.file), flip.offset);
        self.cluster.launch(self.victim);
        let verdict = self.await_verdict();
        let said = self.cluster.member(self.victim).everything();
        self.cluster.kill(self.victim);
        if sector(&directory.join(&flip.file), flip.offset) == spoilt {
            invert(&directory, flip);
        }
        forget_what_was_set_aside(&directory);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        match verdict {
            // What tells one damage from another in these lines is place and number.
            Verdict::Refused => (Verdict::Refused, Some(plain(last))),
            Verdict::Unharmed if spoke_of_damage(&said) => (Verdict::Repaired, None),
            other => (other, None),
        }
    }

    /// Starts the member with its sound disk and stops it again. Whether it is whole.
    fn nurse(&mut self) -> bool {
        self.cluster.launch(self.victim);
        let whole = self.await_verdict().whole();
        self.cluster.kill(self.victim);
        whole
    }

    fn await_verdict(&mut self) -> Verdict {
        let begun = Instant::now();
        let within = self.runtime.enter();
        let mut member = raw::at(&self.cluster.endpoint(self.victim));
        drop(within);
        let mut last = String::new();
        while begun.elapsed() < BOUND {
            if let Some(status) = self.cluster.member_mut(self.victim).ended() {
                // The last lines may still be on their way.
                std::thread::sleep(Duration::from_millis(50));
                return ended(status, &self.cluster.member(self.victim).everything());
            }
            match self.runtime.block_on(self.look(&mut member)) {
                Ok(true) => return Verdict::Unharmed,
                Ok(false) => {}
                Err(Looked::Wrong(violation)) => return Verdict::Wrong(violation.to_string()),
                Err(Looked::NoAnswer(error)) => last = error,
            }
            std::thread::sleep(LOOK);
        }
        Verdict::Stuck(format!("{last}: {}", tail(&self.cluster.member(self.victim).said())))
    }

    /// Reads every key as the member has it, then its hash. Whether it is whole.
    async fn look(&self, member: &mut Raw) -> Result<bool, Looked> {
        self.read_all(member).await?;
        let hash = member.maintenance.hash_kv(pb::HashKvRequest { revision: 0 });
        let answer = answered(hash).await?;
        let revision = answer.header.map_or(0, |header| header.revision);
        // A compaction changes the hash and makes no revision: a member that has yet to come to it has another.
        if (revision, answer.compact_revision) != (self.expected.1, self.compacted) {
            return Ok(false);
        }
        if answer.hash != self.expected.0 {
            let detail = format!(
                "at revision {revision} its hash is {:08x}, that of all others {:08x}",
                answer.hash, self.expected.0
            );
            return Err(Looked::Wrong(Violation::new("StateHash", detail)));
        }
        // Once more, now that it says it is whole.
        Ok(self.read_all(member).await? == self.expected.1)
    }

    /// A serializable read of every key; the revision it names.
    async fn read_all(&self, member: &mut Raw) -> Result<i64, Looked> {
        let all = pb::RangeRequest {
            key: Bytes::from_static(&[0]),
            range_end: Bytes::from_static(&[0]),
            serializable: true,
            ..pb::RangeRequest::default()
        };
        let answer = answered(member.kv.range(all)).await?;
        let revision = answer.header.map_or(0, |header| header.revision);
        let found: BTreeMap<Bytes, Record> =
            answer.kvs.into_iter().map(|kv| (kv.key.clone(), record(kv))).collect();
        if revision == self.expected.1 && found == self.state {
            return Ok(revision);
        }
        replay::check_map(revision as u64, &found, &self.events).map_err(Looked::Wrong)?;
        Ok(revision)
    }
}

/// Why a look did not succeed.
enum Looked {
    NoAnswer(String),
    Wrong(Violation),
}

async fn answered<T>(
    request: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Looked> {
    match tokio::time::timeout(ANSWER, request).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(Looked::NoAnswer(status.to_string())),
        Err(_) => Err(Looked::NoAnswer("no answer in time".into())),
    }
}

/// The `number`th change: mostly a new key, now and then an old one written again or deleted.
async fn change(mut member: Raw, number: u64) {
    let key = |number: u64| Bytes::from(format!("key/{:08x}", number.wrapping_mul(0x9e37_79b9) as u32));
    let value = Bytes::from(format!("{number} {}", "value ".repeat(number as usize % 16)));
    let done = match number % 16 {
        7 => {
            let request = pb::DeleteRangeRequest { key: key(number / 2), ..Default::default() };
            member.kv.delete_range(request).await.map(drop)
        }
        other => {
            let number = if other == 3 { number / 2 } else { number };
            let request = pb::PutRequest { key: key(number), value, ..pb::PutRequest::default() };
            member.kv.put(request).await.map(drop)
        }
    };
    done.expect("the cluster is whole");
}

fn record(kv: quorate_api::proto::mvccpb::KeyValue) -> Record {
    Record {
        value: kv.value,
        create_revision: kv.create_revision as u64,
        mod_revision: kv.mod_revision as u64,
        version: kv.version as u64,
    }
}
