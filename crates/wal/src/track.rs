//! What the log knows of a group: enough to refuse a write it could not read back, to free segments, and to say,
//! with a frame lost, what that frame can have changed.
//!
//! A group's log has one of two forms ([`Form`]). *Appended* (Raft, Zab): dense, cut off and prolonged at its end.
//! *Put* (Paxos): slots, each written on its own, with holes. A log without entries may take either.
//!
//! Invariants of a [`Track`]: 1. `base.index <= last`; 2. the entries that are in the log have indexes from
//! `base.index + 1` to `last`, all of them if it is appended, and each is what was written there last; 3. `held`
//! is not before any of them, and goes down by [`WriteOp::Truncate`] only, of a log that ends with it; 4. `lost` never goes down.
//! [`Track::check`] is the gateway that keeps them.
//!
//! A summary with tracks stands in every frame. It does not tell what became of the entries from before a gap: a
//! lost frame may have replaced some of them. Of an appended log, `truncated` and `cut` answer that; see
//! [`Track::kept`]. Of a put log nothing is dropped, for an older acceptance is still true, but it is recorded in
//! `lost` that there may have been a newer one; see [`Track::doubt`].

use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};
use quorate_protocol::{Ballot, Entry, Index, LogId, WriteOp};

/// Nothing has been cut off.
const UNCUT: Index = Index(u64::MAX);

/// How a log's entries are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// It never had any.
    #[default]
    Unwritten = 0,
    /// By [`WriteOp::Append`] and [`WriteOp::Truncate`].
    Appended = 1,
    /// By [`WriteOp::Put`].
    Put = 2,
}

/// One group's state, without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its last promise.
    pub promised: Ballot,
    /// Whose history it took over last.
    pub joined: Ballot,
    /// The entry before its first.
    pub base: LogId,
    /// The greatest index of an entry, `base.index` if it has none.
    pub last: Index,
    /// Appended: the greatest entry, by (round, index), that it ever had, but for what it had and was asked to truncate. Put:
    /// the greatest ballot and, apart from that, the greatest index that it ever had.
    pub held: LogId,
    /// How its entries are written.
    pub form: Form,
    /// Put: what it had held, like `held`, by the time damage was last found in it, or by the time it was reset to
    /// begin earlier than it ended; nothing before.
    pub lost: LogId,
    /// The sequence number of the last frame that replaced or dropped entries; or of the frame before which a
    /// recovery did. Any frame that put some may have replaced them.
    pub truncated: u64,
    /// The lowest index at which that happened in this segment. What is told by a start frame is of the
    /// segment before.
    pub cut: Index,
    /// If it was a recovery: what it left had not been changed by this frame or any after it.
    pub sound: u64,
    /// The sequence number of the last frame that reset the log.
    pub reset: u64,
}

impl Default for Track {
    fn default() -> Self {
        let (promised, joined, base, held, lost) = Default::default();
        let (last, form, truncated, sound, reset) = Default::default();
        Track { promised, joined, base, last, held, form, lost, truncated, cut: UNCUT, sound, reset }
    }
}

/// A [`WriteOp`] without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Promise {
        promised: Ballot,
        joined: Ballot,
    },
    Append {
        first: Index,
        last: Index,
        held: LogId,
    },
    Put {
        first: Index,
        held: LogId,
    },
    /// With the ballots of the entry at `last` and of the one that the log ended with, if they are known.
    Truncate {
        last: Index,
        ballots: Option<(Ballot, Ballot)>,
    },
    Reset(LogId),
    Purge(LogId),
}

impl Change {
    /// What `op` changes; nothing, for no entries.
    pub fn of(op: &WriteOp) -> Option<Change> {
        Some(match op {
            WriteOp::Meta { promised, joined } => Change::Promise { promised: *promised, joined: *joined },
            WriteOp::Append(entries) => {
                let (first, last) = (entries.first()?.id.index, entries.last()?.id.index);
                let held = entries.iter().fold(LogId::default(), |held, entry| later(held, entry.id));
                Change::Append { first, last, held }
            }
            WriteOp::Put(entries) => {
                let first = entries.first()?.id.index;
                Change::Put {
                    first,
                    held: entries.iter().fold(LogId::default(), |held, entry| join(held, entry.id)),
                }
            }
            WriteOp::Truncate(last) => Change::Truncate { last: *last, ballots: None },
            WriteOp::Reset { id } => Change::Reset(*id),
            WriteOp::Purge { id } => Change::Purge(*id),
        })
    }

    /// The same, with the ballots that a truncation needs of a log that ends at `end`.
    pub fn with(mut self, end: Index, ballot_at: impl Fn(Index) -> Option<Ballot>) -> Change {
        if let Change::Truncate { last, ballots } = &mut self {
            *ballots = ballot_at(*last).zip(ballot_at(end));
        }
        self
    }
}

/// The greater of two by (round, index).
fn later(a: LogId, b: LogId) -> LogId {
    if rank(b) > rank(a) { b } else { a }
}

fn rank(id: LogId) -> (u64, Index) {
    (id.ballot.round, id.index)
}

/// The greater ballot and the greater index of two.
pub fn join(a: LogId, b: LogId) -> LogId {
    LogId { ballot: a.ballot.max(b.ballot), index: a.index.max(b.index) }
}

/// Whether `a` has no less a ballot and no less an index than `b`.
fn covers(a: LogId, b: LogId) -> bool {
    join(a, b) == a
}

impl Track {
    /// Whether the log can be read back after `op`; if not, what is wrong.
    pub fn check(&self, op: &WriteOp) -> Result<(), String> {
        let holds = |form| self.form == form && self.last > self.base.index;
        match op {
            WriteOp::Append(_) | WriteOp::Truncate(_) if holds(Form::Put) => {
                Err("as to a dense log, while it holds entries that were put slot by slot".into())
            }
            WriteOp::Put(_) if holds(Form::Appended) => {
                Err("by slots, while it holds entries that were appended".into())
            }
            WriteOp::Append(entries) => self.check_append(entries),
            WriteOp::Put(entries) => self.check_put(entries),
            WriteOp::Truncate(last) if *last < self.base.index => Err(format!(
                "a cut after index {last}, which is before its log begins, at {}",
                self.base.index.next()
            )),
            _ => Ok(()),
        }
    }

    fn check_append(&self, entries: &[Entry]) -> Result<(), String> {
        let Some(first) = entries.first() else { return Ok(()) };
        if first.id.index <= self.base.index || first.id.index > self.last.next() {
            return Err(format!(
                "from index {}, with its log from {} to {}",
                first.id.index,
                self.base.index.next(),
                self.last
            ));
        }
        match entries.windows(2).find(|pair| pair[1].id.index != pair[0].id.index.next()) {
            Some(pair) => Err(format!("index {} after index {}", pair[1].id.index, pair[0].id.index)),
            None => Ok(()),
        }
    }

    fn check_put(&self, entries: &[Entry]) -> Result<(), String> {
        let Some(first) = entries.first() else { return Ok(()) };
        if first.id.index <= self.base.index {
            return Err(format!("slot {}, with its log from {}", first.id.index, self.base.index.next()));
        }
        match entries.windows(2).find(|pair| pair[1].id.index <= pair[0].id.index) {
            Some(pair) => Err(format!("slot {} after slot {}", pair[1].id.index, pair[0].id.index)),
            None => Ok(()),
        }
    }

    /// Make the change, which frame `sequence` tells of.
    pub fn apply(&mut self, change: Change, sequence: u64) {
        match change {
            Change::Promise { promised, joined } => (self.promised, self.joined) = (promised, joined),
            Change::Append { first, last, held } => {
                if first <= self.last {
                    self.truncate(first, sequence);
                }
                self.form = Form::Appended;
                self.last = last;
                self.held = later(self.held, held);
            }
            Change::Put { first, held } => {
                self.form = Form::Put;
                self.last = self.last.max(held.index);
                self.held = join(self.held, held);
                (self.truncated, self.cut) = (sequence, self.cut.min(first));
            }
            Change::Truncate { last, ballots } if last < self.last => {
                if let Some((ballot, end)) = ballots {
                    self.void(LogId { ballot, index: last }, LogId { ballot: end, index: self.last });
                }
                self.truncate(last.next(), sequence);
            }
            Change::Truncate { .. } => {}
            Change::Reset(id) => {
                self.disown(id);
                self.truncate(Index(0), sequence);
                self.reset = sequence;
                (self.base, self.last) = (id, id.index);
                self.hold(id);
            }
            Change::Purge(id) if id.index > self.base.index => {
                self.base = id;
                self.last = self.last.max(id.index);
                self.hold(id);
            }
            Change::Purge(_) => {}
        }
    }

    /// What the log held after `last` is void, up to its end at `end`: nobody counts on it. What the disk has lost, and was never
    /// told to be void, it is still known to have held.
    fn void(&mut self, last: LogId, end: LogId) {
        if rank(end) >= rank(self.held) {
            self.held = last;
        }
    }

    /// A log that is to begin at `id`, before where it ended, had held more, and says so from now on.
    fn disown(&mut self, id: LogId) {
        if id.index >= self.last {
            return;
        }
        match self.form {
            Form::Put => self.lost = join(self.lost, join(self.held, self.base)),
            Form::Appended | Form::Unwritten => self.held = later(self.held, self.base),
        }
    }

    /// What is purged or covered by a snapshot counts as held by a log that held something and goes on from there. Nobody
    /// has accepted it by that.
    fn hold(&mut self, id: LogId) {
        if self.form == Form::Appended && self.held != LogId::default() {
            self.held = later(self.held, id);
        }
    }

    /// What was there from `first` on is gone, by frame `sequence` or whatever stands in its place.
    pub fn truncate(&mut self, first: Index, sequence: u64) {
        self.last = self.last.min(first.prev()).max(self.base.index);
        self.truncated = sequence;
        self.cut = self.cut.min(first);
    }

    /// A new segment begins.
    pub fn begin_segment(&mut self) {
        self.cut = UNCUT;
    }

    /// A recovery found no more of the entries than those up to `last`. The last frames it had to do without
    /// began with `gap`; the next frame will be `sequence`.
    pub fn recovered(&mut self, last: Index, gap: u64, sequence: u64) {
        self.truncate(last.next(), sequence);
        self.sound = gap;
    }

    /// With this track told of by frame `sequence`, after a gap that begins with frame `gap`: the entries from
    /// before the gap are still those below this index. `covered` says whether the gap lies in the segment that
    /// `cut` is about. Of an appended log.
    pub fn kept(&self, gap: u64, covered: bool, sequence: u64) -> Index {
        if self.truncated < gap {
            return UNCUT;
        }
        match covered {
            // A recovery went around this very gap, or one that began earlier.
            _ if self.truncated == sequence && self.sound <= gap => Index(self.last.0.saturating_add(1)),
            true => self.cut,
            false => Index(0),
        }
    }

    /// With this track told of after a gap that begins with frame `gap`: if the gap may have put entries, no greater
    /// ballot and index than these. Of a put log.
    pub fn doubt(&self, gap: u64) -> Option<LogId> {
        let some = self.form == Form::Put && self.truncated >= gap && self.last > self.base.index;
        some.then_some(LogId { index: self.last, ..self.held })
    }

    /// Whether a recovery has recorded this doubt.
    pub fn admits(&self, doubt: LogId) -> bool {
        covers(self.lost, doubt)
    }

    /// What the replica is told that its log held.
    pub fn claims(&self) -> LogId {
        match self.form {
            Form::Put => self.lost,
            Form::Appended | Form::Unwritten => self.held,
        }
    }

    /// How many bytes it is encoded in.
    pub fn bytes(&self) -> u64 {
        let has = |some: bool, bytes: u64| if some { bytes } else { 0 };
        97 + has(self.joined != Ballot::default(), 16)
            + has(self.lost != LogId::default(), 24)
            + has(self.reset > 0, 8)
    }

    /// Whether this may be what a recovery made of `read`: by way of damage it may have found less, never
    /// more and nothing else. With `unsure`, `read` may have gone without the truncation of what it held.
    pub fn follows(&self, read: &Track, unsure: bool) -> bool {
        let fewer = self.last <= read.last || self.last == self.base.index;
        let held = match self.form {
            Form::Put => covers(self.held, read.held),
            Form::Appended | Form::Unwritten => unsure || rank(self.held) >= rank(read.held),
        };
        (self.promised, self.joined, self.form) == (read.promised, read.joined, read.form)
            && self.base.index >= read.base.index
            && covers(self.lost, read.lost)
            && held
            && fewer
    }
}

/// What is nothing in most logs is left out of a track's bytes; the low two bits are the form.
const HAS_JOINED: u8 = 4;
const HAS_LOST: u8 = 8;
const HAS_RESET: u8 = 16;

impl Encode for Track {
    fn encode(&self, out: &mut Writer) {
        let has = |some: bool, flag: u8| if some { flag } else { 0 };
        let joined = has(self.joined != Ballot::default(), HAS_JOINED);
        let lost = has(self.lost != LogId::default(), HAS_LOST);
        let reset = has(self.reset > 0, HAS_RESET);
        out.u8(self.form as u8 | joined | lost | reset);
        self.promised.encode(out);
        self.base.encode(out);
        self.last.encode(out);
        self.held.encode(out);
        out.u64(self.truncated);
        self.cut.encode(out);
        out.u64(self.sound);
        if joined > 0 {
            self.joined.encode(out);
        }
        if lost > 0 {
            self.lost.encode(out);
        }
        if reset > 0 {
            out.u64(self.reset);
        }
    }
}

impl Decode for Track {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let flags = input.u8()?;
        let form = match flags & 3 {
            0 => Form::Unwritten,
            1 => Form::Appended,
            2 => Form::Put,
            _ => return Err(Malformed("form of a log")),
        };
        let (promised, base) = (Ballot::decode(input)?, LogId::decode(input)?);
        let (last, held) = (Index::decode(input)?, LogId::decode(input)?);
        let (truncated, cut, sound) = (input.u64()?, Index::decode(input)?, input.u64()?);
        let mut track = Track { promised, base, last, held, form, truncated, cut, sound, ..Track::default() };
        if flags & HAS_JOINED > 0 {
            track.joined = Ballot::decode(input)?;
        }
        if flags & HAS_LOST > 0 {
            track.lost = LogId::decode(input)?;
        }
        if flags & HAS_RESET > 0 {
            track.reset = input.u64()?;
        }
        Ok(track)
    }
}

/// Where in an appended log each ballot begins: what a truncation needs to say which entry the log then ends with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ballots {
    /// The first entry of each; the first of all may be purged.
    firsts: Vec<LogId>,
}

impl Ballots {
    /// Of these entries.
    pub fn of(entries: &[Entry]) -> Self {
        let mut ballots = Ballots::default();
        ballots.extend(entries);
        ballots
    }

    fn extend(&mut self, entries: &[Entry]) {
        for Entry { id, .. } in entries {
            if self.firsts.last().is_none_or(|first| first.ballot != id.ballot) {
                self.firsts.push(*id);
            }
        }
    }

    fn drop_from(&mut self, index: Index) {
        self.firsts.truncate(self.firsts.partition_point(|first| first.index < index));
    }

    /// The ballot of the entry at `index`, which the log holds, or which is the base.
    pub fn at(&self, index: Index, base: LogId) -> Option<Ballot> {
        if index <= base.index {
            return Some(base.ballot);
        }
        let upto = self.firsts.partition_point(|first| first.index <= index);
        Some(self.firsts[..upto].last()?.ballot)
    }

    /// Carry out an operation.
    pub fn apply(&mut self, op: &WriteOp) {
        match op {
            WriteOp::Append(entries) => {
                if let Some(first) = entries.first() {
                    self.drop_from(first.id.index);
                }
                self.extend(entries);
            }
            WriteOp::Truncate(last) => {
                self.firsts.truncate(self.firsts.partition_point(|first| first.index <= *last));
            }
            WriteOp::Reset { .. } => self.firsts.clear(),
            WriteOp::Purge { id } => {
                let upto = self.firsts.partition_point(|first| first.index <= id.index);
                self.firsts.drain(..upto.saturating_sub(1));
            }
            WriteOp::Meta { .. } | WriteOp::Put(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
