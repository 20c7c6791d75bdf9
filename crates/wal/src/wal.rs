//! The log itself: what the host's log thread holds.
//!
//! Invariants: 1. at most one frame is written and not yet synced; 2. `behind` is the state of all groups
//! as of the last durable frame, `ahead` includes what is buffered or in flight; 3. the current segment
//! always has room for one more seal;
//! 4. after an error of a write or a sync nothing is written ever again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use quorate_protocol::codec::Writer;
use quorate_protocol::{LogId, Recovered, WriteOp};

use crate::GroupId;
use crate::damage::Damage;
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::frame::{Kind, MAX_PAYLOAD_BYTES, Place, SECTOR, padding, span};
use crate::groups::{Summary, Tracks, encode_operations};
use crate::pool::{Prepared, Preparer};
use crate::recovery::{Found, Tip, clear, frame, recover, seal, settle};
use crate::replay::Missing;
use crate::scrub::Cursor;
use crate::segment::{Segment, file_name};
use crate::superblock::{Identity, Superblock};
use crate::track::{Ballots, Change, Track};

/// How a log is kept. May differ each time it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The length of a segment in bytes; rounded up to whole sectors, at least four of them.
    pub segment_bytes: u64,
    /// How many segments that are no longer needed are kept to be used again.
    pub spares: usize,
}

impl Default for Options {
    /// Segments of 64 MiB, two spares.
    fn default() -> Self {
        Options { segment_bytes: 64 << 20, spares: 2 }
    }
}

/// Where the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// The byte in it where the next frame goes.
    pub offset: u64,
    /// The sequence number of the next frame.
    pub sequence: u64,
}

/// What the log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Frames of operations made durable: one vectored write and one sync each.
    pub commits: u64,
    /// Bytes written to segments, padding, start frames and seals included; zero-filling is not.
    pub written_bytes: u64,
    /// Bytes of operations in them.
    pub payload_bytes: u64,
    /// Seals written.
    pub seals: u64,
    /// Segments made and zero-filled.
    pub segments_created: u64,
    /// Segments used again.
    pub segments_recycled: u64,
    /// Segments removed.
    pub segments_removed: u64,
    /// Times that a commit had to wait for its segment because none was ready.
    pub segments_waited_for: u64,
    /// Bytes that were [scrubbed](Wal::scrub).
    pub scrubbed_bytes: u64,
    /// Times that all of the log was.
    pub scrub_rounds: u64,
}

/// A frame written and not yet synced.
struct Flight {
    tip: Tip,
    payload_bytes: u64,
    changes: Vec<(GroupId, Change)>,
}

/// A node's write-ahead log. See the crate's essay.
pub struct Wal<D: Disk> {
    pub(crate) disk: D,
    pub(crate) salt: u32,
    superblock: Superblock<D>,
    pool: Preparer<D>,
    pub(crate) segments: VecDeque<Segment>,
    /// The last of `segments`.
    file: D::File,
    /// After the last durable frame.
    pub(crate) tip: Tip,
    sealed: bool,
    ahead: Tracks,
    /// As of `ahead`.
    ballots: BTreeMap<GroupId, Ballots>,
    behind: Tracks,
    changes: Vec<(GroupId, Change)>,
    /// The last durable frame's number and the groups it changed; unknown after a recovery.
    recent: Option<(u64, BTreeSet<GroupId>)>,
    buffer: Writer,
    pub(crate) damage: Vec<Damage>,
    missing: Vec<Missing>,
    /// Where the next [`scrub`](Self::scrub) goes on.
    pub(crate) cursor: Cursor,
    flight: Option<Flight>,
    poison: Option<WalError>,
    pub(crate) metrics: Metrics,
}

impl<D: Disk> Wal<D> {
    /// Whose log `disk` holds; nothing if it never held one. Writes nothing.
    pub fn identity(disk: &D) -> Result<Option<Identity>, WalError> {
        Ok(Superblock::load(disk)?.map(|superblock| superblock.identity().clone()))
    }

    /// [`open_at`](Self::open_at), of groups whose state machines nothing is known of.
    pub fn open(
        disk: D,
        options: Options,
        identity: &Identity,
    ) -> Result<(Self, BTreeMap<GroupId, Recovered>), WalError> {
        Self::open_at(disk, options, identity, &BTreeMap::new())
    }

    /// Open the log, or make one if the directory holds none, and give what each group finds in it.
    ///
    /// What is damaged is read around, see [`damage`](Self::damage) and [`missing`](Self::missing), or the log is
    /// refused. `applied` says where the groups' state machines stand durably: entries that cannot be read are not
    /// missing if all of them are before that, and the log then begins after it.
    ///
    /// [`Recovered::applied`] and [`Recovered::membership`] are left at their defaults. All that is returned is durable.
    pub fn open_at(
        disk: D,
        options: Options,
        identity: &Identity,
        applied: &BTreeMap<GroupId, LogId>,
    ) -> Result<(Self, BTreeMap<GroupId, Recovered>), WalError> {
        let segment_bytes = options.segment_bytes.next_multiple_of(SECTOR).max(4 * SECTOR);
        let salt = identity.salt();
        let superblock = Superblock::open(&disk, identity)?;
        let found = recover(&disk, salt, superblock.newest(), superblock.doubtful, applied)?;
        let next = found.as_ref().map_or(1, |found| found.tip.segment + 1);
        let pool = Preparer::new(disk.clone(), segment_bytes, options.spares, next);
        let (found, fresh) = match found {
            Some(found) => {
                settle(&disk, salt, &found)?;
                (found, false)
            }
            None => (begin(&disk, &pool)?, true),
        };
        let ballots =
            found.recovered.iter().map(|(group, found)| (*group, Ballots::of(&found.entries))).collect();
        let mut damage = found.damage;
        damage.extend(superblock.damage.clone());
        let mut wal = Wal {
            disk,
            salt,
            superblock,
            pool,
            tip: found.tip,
            segments: found.segments,
            file: found.file,
            sealed: !fresh,
            ahead: found.tracks.clone(),
            ballots,
            behind: found.tracks,
            changes: Vec::new(),
            recent: None,
            damage,
            missing: found.missing,
            cursor: Cursor::default(),
            buffer: Writer::new(),
            flight: None,
            poison: None,
            metrics: Metrics::default(),
        };
        if fresh {
            wal.start_segment()?;
        }
        // Of an old log, the newer copy may have been in the page cache only. Of a fresh one, the older
        // copy still says that it is being made.
        wal.superblock.save(wal.tip.segment)?;
        wal.retire();
        Ok((wal, found.recovered))
    }

    /// Buffer one group's operations for the next frame. Nothing is written yet.
    ///
    /// [`WalError::Refused`] leaves the log as it was before the call.
    pub fn append(&mut self, group: GroupId, ops: &[WriteOp]) -> Result<(), WalError> {
        self.healthy()?;
        let mut track = self.ahead.get(&group).copied().unwrap_or_default();
        let mut ballots = self.ballots.get(&group).cloned().unwrap_or_default();
        let buffered = self.changes.len();
        for op in ops {
            if let Err(what) = track.check(op) {
                self.changes.truncate(buffered);
                return Err(WalError::Refused { group, what });
            }
            if let Some(change) = Change::of(op) {
                let change = change.with(track.last, |index| ballots.at(index, track.base));
                track.apply(change, self.tip.sequence);
                ballots.apply(op);
                self.changes.push((group, change));
            }
        }
        if self.changes.len() > buffered {
            self.ahead.insert(group, track);
            self.ballots.insert(group, ballots);
            encode_operations(group, ops, &mut self.buffer);
        }
        Ok(())
    }

    /// Empty a group's log, durably, and let it begin anew from nothing; what it had held is told from now on
    /// ([`Recovered::held`]). For a replica whose state machine is lost while the log begins further on: what is left of
    /// the log leads nowhere, and an entry from before its beginning, of which others may send some, would be refused.
    pub fn start_over(&mut self, group: GroupId) -> Result<Recovered, WalError> {
        self.append(group, &[WriteOp::Reset { id: LogId::default() }])?;
        self.commit()?;
        self.seal()?;
        let track = self.behind.get(&group).copied().unwrap_or_default();
        let Track { promised, joined, .. } = track;
        Ok(Recovered { promised, joined, held: track.claims(), ..Recovered::default() })
    }

    /// Make everything buffered durable: one frame, one write, one sync. Nothing buffered, nothing done.
    pub fn commit(&mut self) -> Result<(), WalError> {
        self.write()?;
        self.sync()
    }

    /// The first half of [`commit`](Self::commit): write the frame. What was appended is not durable until
    /// [`sync`](Self::sync) has returned; appending more in between is fine, it goes to the frame after.
    pub fn write(&mut self) -> Result<(), WalError> {
        self.sync()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.write_frame();
        self.poisoned(written)
    }

    /// The second half of [`commit`](Self::commit): make the frame durable.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.healthy()?;
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let synced = self.file.sync().map_err(|error| WalError::sync(self.path(), error));
        self.poisoned(synced)?;
        let sequence = self.tip.sequence;
        self.tip = flight.tip;
        self.recent = Some((sequence, flight.changes.iter().map(|(group, _)| *group).collect()));
        self.metrics.commits += 1;
        self.metrics.payload_bytes += flight.payload_bytes;
        let mut moved = false;
        for (group, change) in flight.changes {
            self.behind.entry(group).or_default().apply(change, sequence);
            Segment::note(self.segments.iter_mut(), group, change);
            moved |= matches!(change, Change::Reset(_) | Change::Purge(_));
        }
        if moved {
            self.retire();
        }
        Ok(())
    }

    /// Leave a witness that the last commit was durable: call it when the log has been idle for some
    /// milliseconds, and before closing it. Writes one sector and does not wait for the disk; does nothing
    /// if it has been done, or while a frame is in flight.
    pub fn seal(&mut self) -> Result<(), WalError> {
        self.healthy()?;
        if self.sealed || self.flight.is_some() {
            return Ok(());
        }
        let seal = seal(self.salt, self.tip, &self.summary());
        let written =
            self.file.write_at(&seal, self.tip.offset).map_err(|error| WalError::write(self.path(), error));
        self.poisoned(written)?;
        self.sealed = true;
        self.metrics.seals += 1;
        self.metrics.written_bytes += seal.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Whether anything is buffered or in flight.
    pub fn is_idle(&self) -> bool {
        self.buffer.is_empty() && self.flight.is_none()
    }

    /// What makes the next segment ready; give it to a background thread.
    pub fn preparer(&self) -> Preparer<D> {
        self.pool.clone()
    }

    /// Whether [`prepare_next`](Self::prepare_next) has something to do. Cheap enough to ask after every
    /// commit.
    pub fn wants_next(&self) -> bool {
        self.pool.is_due()
    }

    /// [`Preparer::prepare_next`], here and now.
    pub fn prepare_next(&self) -> Result<(), WalError> {
        self.pool.prepare_next()
    }

    /// The places that could not be read when the log was opened, and those that [`scrub`](Self::scrub) has found
    /// since. For a warning: what matters of the former is made good already or named by
    /// [`missing`](Self::missing).
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The entries that were lost by it, as far as this start is the first to find that. It is for the replicas to
    /// get them again; [`Recovered::held`] tells them, at this start and every later one.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Where the log ends.
    pub fn position(&self) -> Position {
        Position { segment: self.tip.segment, offset: self.tip.offset, sequence: self.tip.sequence }
    }

    /// The bytes buffered for the next frame.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The bytes that all segments take on the disk, spares and the one made ready included.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum::<u64>() + self.pool.held_bytes()
    }

    /// The number of segments that hold something needed, the current one included.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// What has been done since the log was opened.
    pub fn metrics(&self) -> Metrics {
        let counts = self.pool.counts();
        Metrics {
            segments_created: counts.created,
            segments_recycled: counts.recycled,
            segments_removed: counts.removed,
            ..self.metrics
        }
    }

    fn path(&self) -> String {
        self.disk.path(&file_name(self.tip.segment))
    }

    pub(crate) fn healthy(&self) -> Result<(), WalError> {
        self.poison.clone().map_or(Ok(()), Err)
    }

    /// Remember a failure for ever.
    fn poisoned(&mut self, outcome: Result<(), WalError>) -> Result<(), WalError> {
        if let Err(error) = &outcome {
            self.poison = Some(error.clone());
        }
        outcome
    }

    fn write_frame(&mut self) -> Result<(), WalError> {
        let payload_bytes = self.buffer.len();
        if payload_bytes > MAX_PAYLOAD_BYTES {
            let why =
                format!("one commit of {payload_bytes} bytes; no more than {MAX_PAYLOAD_BYTES} are possible");
            return Err(WalError::write(self.path(), std::io::Error::other(why)));
        }
        let bytes = span(self.summary_bytes() + payload_bytes as u64);
        if !self.has_room(self.tip.offset, bytes) {
            self.roll(bytes)?;
        }
        let parts = std::mem::take(&mut self.buffer).into_segments();
        let tip = self.put(Kind::Operations, parts)?;
        let changes = std::mem::take(&mut self.changes);
        self.flight = Some(Flight { tip, payload_bytes: payload_bytes as u64, changes });
        Ok(())
    }

    /// What the next frame tells of the groups.
    fn summary(&self) -> Summary {
        Summary::brief(&self.behind, self.recent.as_ref())
    }

    /// The bytes of the longest summary that the next frame, or the seal after it, may have.
    fn summary_bytes(&self) -> u64 {
        let changed: BTreeSet<GroupId> = self.changes.iter().map(|(group, _)| *group).collect();
        let recent = self.recent.as_ref().map(|(_, groups)| groups);
        let frame = Summary::brief_bytes(&self.behind, recent);
        frame.max(Summary::brief_bytes(&self.ahead, Some(&changed)))
    }

    /// Whether the current segment takes `bytes` at `offset`, and a seal after it.
    fn has_room(&self, offset: u64, bytes: u64) -> bool {
        let size = self.segments.back().map_or(0, |segment| segment.size);
        offset + bytes + span(self.summary_bytes()) <= size
    }

    /// Write one frame at the tip; the tip once it is durable. A start frame is written with a seal after it.
    fn put(&mut self, kind: Kind, payload: Vec<Bytes>) -> Result<Tip, WalError> {
        let Tip { segment, offset, sequence, .. } = self.tip;
        // A segment can be read without those before it only if it tells of all groups.
        let summary = if kind == Kind::Start { Summary::all(&self.behind) } else { self.summary() };
        let place = Place { salt: self.salt, segment, offset };
        let (bytes, summary_bytes, (header, sum)) = frame(place, kind, self.tip, &summary, &payload);
        let after = u64::from(header.summary_length) + u64::from(header.length);
        let tip = Tip { segment, offset: offset + header.span(), sequence: sequence + 1, previous: sum };
        let mut parts = Vec::with_capacity(payload.len() + 3);
        parts.extend([bytes, summary_bytes]);
        parts.extend(payload);
        parts.push(padding(after));
        if kind == Kind::Start {
            parts.extend(seal(self.salt, tip, &summary));
        }
        self.file.write_at(&parts, offset).map_err(|error| WalError::write(self.path(), error))?;
        self.sealed = kind == Kind::Start;
        self.metrics.written_bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(tip)
    }

    /// Change to the next segment, which must take a frame of `bytes`.
    fn roll(&mut self, bytes: u64) -> Result<(), WalError> {
        let (prepared, waited) = self.pool.take()?;
        self.metrics.segments_waited_for += u64::from(waited);
        let Prepared { number, file, mut size } = prepared;
        let start = span(Summary::all(&self.behind).to_bytes().len() as u64 + 8);
        let needed = start + bytes.max(start) + span(self.summary_bytes());
        if needed > size {
            // A frame longer than a segment gets one of its own length.
            let path = || self.disk.path(&file_name(number));
            file.allocate(needed).map_err(|error| WalError::io("grow", path(), error))?;
            file.sync().map_err(|error| WalError::sync(path(), error))?;
            size = needed;
        }
        self.segments.push_back(Segment::new(number, size));
        self.file = file;
        self.tip = Tip { segment: number, offset: 0, ..self.tip };
        self.start_segment()?;
        self.retire();
        Ok(())
    }

    /// Begin the current segment: start frame durable, then the superblock that tells of it, then anything
    /// else.
    fn start_segment(&mut self) -> Result<(), WalError> {
        let mut payload = Writer::new();
        payload.u64(self.segments.back().map_or(0, |segment| segment.size));
        let sequence = self.tip.sequence;
        let tip = self.put(Kind::Start, payload.into_segments())?;
        self.file.sync().map_err(|error| WalError::sync(self.path(), error))?;
        self.tip = tip;
        self.behind.values_mut().for_each(Track::begin_segment);
        self.recent = Some((sequence, BTreeSet::new()));
        self.superblock.save(tip.segment)
    }

    /// Hand over the oldest segments as far as nothing in them is needed. Never the current one.
    fn retire(&mut self) {
        while self.segments.len() > 1
            && let Some(oldest) = self.segments.pop_front_if(|oldest| oldest.is_dead(&self.behind))
        {
            self.pool.retire(oldest.number, oldest.size);
        }
    }
}

/// The first segment of a new log; whatever an unfinished attempt left is removed before.
fn begin<D: Disk>(disk: &D, pool: &Preparer<D>) -> Result<Found<D>, WalError> {
    clear(disk, |_| true)?;
    let (Prepared { number, file, size }, _) = pool.take()?;
    Ok(Found {
        tip: Tip { segment: number, offset: 0, sequence: 1, previous: 0 },
        segments: VecDeque::from([Segment::new(number, size)]),
        file,
        last: 0,
        tracks: Tracks::new(),
        recovered: BTreeMap::new(),
        damage: Vec::new(),
        missing: Vec::new(),
    })
}
