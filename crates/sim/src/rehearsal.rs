//! Harm done to copies of a log, that no run could bear.
//!
//! In a run a disk may be harmed only as far as the cluster can make up for it, and every harm costs the run something:
//! so most of what recovery is there for would hardly ever happen. But the log of a node that is about to start is as
//! a run makes it, with torn ends, old segments used again, earlier damage; and a copy of it may be harmed at will. So,
//! now and then, it is rehearsed what the log would make of that. Nothing of it reaches the run, but its findings:
//!
//! * Whatever the harm, a log that is opened denies nothing that was durable before its last frame (**LogRecovery**, as of
//!   the log itself), and one that is refused is left as it was.
//! * Flipped bits before the last frame never lead to a refusal.
//! * What must be refused is: another node's log, frames of two logs in one, a superblock without a readable copy.
//!
//! So it is done with the logs of all protocols, with small segments, many groups and large frames.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::{LogId, Random, Recovered};
use quorate_wal::{Damage, Disk, DiskFile, GroupId, Identity, MemoryDisk, Options, Wal, WalError};

use crate::host::GROUP;
use crate::kept::Kept;

mod written;

use written::{commit, meta};

const SECTOR: u64 = 512;

/// The first of the groups that there are in copies only.
const STRANGERS: GroupId = 100;

/// The log to copy.
pub struct Rehearsal<'a> {
    pub disk: &'a MemoryDisk,
    pub identity: &'a Identity,
    pub options: Options,
    /// Where the state machine stands.
    pub applied: LogId,
    /// What is known to be durable.
    pub kept: &'a Kept,
    /// Up to which byte of which segment a later frame vouches for everything; there the last frame begins, or did.
    pub vouched: (u64, u64),
    /// Whether the protocol's log is one of slots.
    pub sparse: bool,
    /// Whether it was harmed before, so that a little more may be too much.
    pub harmed: bool,
    /// The damage that a start finds in it; filled in by [`Self::run`].
    pub known: Vec<Damage>,
}

/// What is wrong with what came out.
type Wrong = String;

/// A kind of harm.
type Harm<'a> = fn(&Rehearsal<'a>, &MemoryDisk, &mut Random) -> Result<&'static str, Wrong>;

/// A log opened, with what was found for each group.
type Opened = (Wal<MemoryDisk>, BTreeMap<GroupId, Recovered>);

fn segment(number: u64) -> String {
    format!("wal-{number:016x}.log")
}

fn contents(disk: &MemoryDisk) -> Vec<Option<Vec<u8>>> {
    disk.sizes().iter().map(|(file, _)| disk.content(file)).collect()
}

/// Write to a copy as the log does not.
fn overwrite(disk: &MemoryDisk, file: &str, bytes: Vec<u8>, offset: u64) {
    let written = disk.open(file).and_then(|handle| handle.write_at(&[Bytes::from(bytes)], offset));
    written.expect("a copy has no troubles");
}

impl<'a> Rehearsal<'a> {
    /// Do one kind of harm; what came of it, in few words.
    pub fn run(mut self, dice: &mut Random) -> Result<&'static str, Wrong> {
        let copy = self.disk.duplicate();
        if self.vouched.0 == 0 {
            return Ok("nothing");
        }
        // A node counts as whole again once it has back what damage took. The damage itself stays in its log.
        match self.open(&copy.duplicate()) {
            Ok((wal, _)) => self.known = wal.damage().to_vec(),
            Err(_) => self.harmed = true,
        }
        self.harmed |= !self.known.is_empty();
        let (harm, done): (&str, Harm<'a>) = match dice.below(13) {
            0..=1 => ("flipped bits", Self::flip_bits),
            2 => ("unreadable sectors", Self::spoil),
            3 => ("a file lost", Self::lose_file),
            4 => ("a file cut short", Self::cut_short),
            5 => ("both superblocks harmed", Self::harm_superblocks),
            6 => ("a frame harmed, and the next one's summary", Self::harm_witness),
            7 => ("another node's directory", Self::mistake),
            8 => ("two logs in one", Self::mix),
            9 => ("many groups", Self::crowd),
            10 => ("a full disk", Self::fill),
            11 => ("both forms of a log", Self::forms),
            _ => ("scrubbing", Self::scrub),
        };
        done(&self, &copy, dice).map_err(|wrong| format!("{harm}: {wrong}"))
    }

    fn open(&self, copy: &MemoryDisk) -> Result<Opened, WalError> {
        let applied = BTreeMap::from([(GROUP, self.applied)]);
        Wal::open_at(copy.clone(), self.options, self.identity, &applied)
    }

    /// Open the copy; it denies nothing, or is refused and left alone.
    fn judge(&self, copy: &MemoryDisk) -> Result<Result<Opened, WalError>, Wrong> {
        let before = contents(copy);
        match self.open(copy) {
            Ok((wal, groups)) => {
                let found = groups.get(&GROUP).cloned().unwrap_or_default();
                let found = Recovered { applied: self.applied, ..found };
                let damage = wal.damage().iter().map(ToString::to_string);
                let said: Vec<String> = damage.chain(wal.missing().iter().map(ToString::to_string)).collect();
                match self.kept.lacking_in(&found, self.sparse) {
                    Some(lacks) => Err(format!("{lacks}; it says: {said:?}")),
                    None => Ok(Ok((wal, groups))),
                }
            }
            Err(error) if contents(copy) == before => Ok(Err(error)),
            Err(error) => Err(format!("it was changed and then refused: {error}")),
        }
    }

    /// A place before the last frame.
    fn place(&self, copy: &MemoryDisk, dice: &mut Random) -> Option<(String, u64)> {
        let (newest, bytes) = self.vouched;
        let part = |(file, size): (String, u64)| match file == segment(newest) {
            true => (file, bytes.min(size)),
            false => (file, size),
        };
        let mut files: Vec<_> = copy.sizes().into_iter().map(part).collect();
        files.retain(|(file, size)| *file <= segment(newest) && file.ends_with(".log") && *size > 0);
        if files.is_empty() {
            return None;
        }
        let (file, size) = files.swap_remove(dice.below(files.len() as u64) as usize);
        Some((file, dice.below(size)))
    }

    /// Flipped bits before the last frame, and in a copy of the superblock: all are read around.
    fn flip_bits(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let mut flipped = Vec::new();
        for _ in 0..dice.between(1, 7) {
            if let Some((file, byte)) = self.place(copy, dice) {
                let bit = dice.below(8) as u8;
                copy.flip(&file, byte, bit);
                flipped.push(format!("bit {bit} of byte {byte} of {file}"));
            }
        }
        let file = if dice.percent(50) { "superblock-a" } else { "superblock-b" };
        if dice.percent(20) {
            let byte = dice.below(SECTOR);
            copy.flip(file, byte, 0);
            flipped.push(format!("bit 0 of byte {byte} of {file}"));
        }
        match self.judge(copy)? {
            Err(error) if !self.harmed => {
                let (at, vouched) = (flipped.join(" and "), self.vouched);
                Err(format!("flipped {at}, of a log that is vouched for up to {vouched:?}: {error}"))
            }
            _ => Ok("bits"),
        }
    }

    /// Sectors anywhere that the device cannot read.
    fn spoil(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let sizes = copy.sizes();
        for _ in 0..dice.between(1, 4) {
            let (file, size) = &sizes[dice.below(sizes.len() as u64) as usize];
            let from = dice.below((*size).max(1));
            copy.spoil(file, from..from + dice.between(1, 6 * SECTOR));
        }
        if dice.percent(50) {
            let (newest, bytes) = self.vouched;
            copy.spoil(&segment(newest), bytes + SECTOR..u64::MAX);
        }
        self.judge(copy).map(|_| "sectors")
    }

    /// A segment is gone.
    fn lose_file(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let (newest, _) = self.vouched;
        let sizes = copy.sizes();
        let file = match dice.percent(30) {
            true => segment(newest),
            false => sizes[dice.below(sizes.len() as u64) as usize].0.clone(),
        };
        match file.ends_with(".log") && copy.remove(&file).is_ok() {
            true => self.judge(copy).map(|_| "file"),
            false => Ok("nothing"),
        }
    }

    /// A segment is shorter than it was.
    fn cut_short(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let (newest, bytes) = self.vouched;
        // That is known without the start frame too; but not if the file ends behind another frame that is lost.
        let alone = |damage: &Damage| damage.offset == 0 && damage.frames == 1;
        if self.known.iter().any(|damage| damage.file.ends_with(&segment(newest)) && !alone(damage)) {
            return Ok("nothing");
        }
        let place = if dice.percent(50) { Some((segment(newest), bytes)) } else { self.place(copy, dice) };
        let Some((file, size)) = place else { return Ok("nothing") };
        let Some(mut content) = copy.content(&file) else { return Ok("nothing") };
        // Down to nothing, or behind the last frame.
        content.truncate(if dice.percent(20) { 0 } else { (size + dice.below(4) * SECTOR) as usize });
        copy.create(&file).expect("a copy has no troubles");
        overwrite(copy, &file, content, 0);
        self.judge(copy).map(|_| "short")
    }

    /// Both copies of the superblock are damaged or gone.
    fn harm_superblocks(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let gone = dice.percent(50);
        for file in ["superblock-a", "superblock-b"] {
            let _ = if gone { copy.remove(file).is_ok() } else { copy.flip(file, dice.below(SECTOR), 1) };
        }
        if !gone && dice.percent(30) {
            let _ = copy.create("superblock-a");
        }
        let empty = !copy.sizes().iter().any(|(file, _)| file.ends_with(".log"));
        match self.judge(copy)? {
            Err(WalError::Superblock { .. }) => Ok("superblocks"),
            _ if gone && empty => Ok("superblocks"),
            other => Err(format!("without a superblock: {:?}", other.err())),
        }
    }

    /// A frame is damaged, and of the last one, which tells of it, all but the header.
    fn harm_witness(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let (newest, bytes) = self.vouched;
        if bytes >= 2 * SECTOR {
            copy.flip(&segment(newest), bytes - SECTOR + dice.below(40), 2);
            copy.flip(&segment(newest), bytes + 40 + dice.below(100), 2);
            if dice.percent(30) {
                // Or the newest segment has no start any more.
                (0..bytes / SECTOR).for_each(|sector| {
                    copy.flip(&segment(newest), sector * SECTOR + 3, 2);
                });
            }
        }
        self.judge(copy).map(|_| "witness")
    }

    /// The directory is given to another node.
    fn mistake(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let right = self.identity.clone();
        let other = match dice.below(4) {
            0 => Identity { cluster: right.cluster + 1, ..right },
            1 => Identity { node: right.node + 1, ..right },
            2 => Identity { protocol: format!("{}-like", right.protocol), ..right },
            _ => Identity { protocol: right.protocol.repeat(40), ..right },
        };
        let harmless = Wal::identity(copy).ok().flatten().is_none();
        let before = contents(copy);
        let opened = Wal::open(copy.clone(), self.options, &other).map(|_| ());
        match opened {
            Err(_) if contents(copy) != before => Err("another's log was changed".into()),
            Err(WalError::Foreign { .. } | WalError::ProtocolName { .. }) => Ok("mistake"),
            _ if harmless || self.harmed => Ok("mistake"),
            other_outcome => Err(format!("opened for {other:?}: {other_outcome:?}")),
        }
    }

    /// A disk that is put together from two logs with one past.
    fn mix(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        if self.open(copy).is_err() {
            return Ok("nothing");
        }
        let second = copy.duplicate();
        let (Ok((mut one, _)), Ok((mut two, _))) = (self.open(copy), self.open(&second)) else {
            return Ok("nothing");
        };
        let short = |round| vec![meta(STRANGERS, round)];
        let long = |round| (0..12).map(|group| meta(STRANGERS + group, round)).collect::<Vec<_>>();
        let skew = dice.percent(30);
        let frames = [short(1), short(2), short(3)];
        let others = if skew { vec![long(4), short(5)] } else { vec![short(4), short(5), short(6)] };
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for (wal, frames, places) in [(&mut one, frames.into(), &mut mine), (&mut two, others, &mut theirs)] {
            for frame in frames {
                places.push((wal.position().segment, wal.position().offset));
                commit(wal, &frame)?;
                if wal.position().segment != places[0].0 {
                    return Ok("nothing");
                }
            }
        }
        // Where both have the beginning of a frame, and not of the first.
        let shared = theirs[1..].iter().find(|place| mine[1..].contains(place)).copied();
        let Some((number, offset)) = shared else { return Ok("nothing") };
        let (one_was, frame_was) = (one.position(), mine[0].1);
        drop((one, two));
        let content = second.content(&segment(number)).unwrap_or_default();
        let sector = content[offset as usize..(offset + SECTOR) as usize].to_vec();
        overwrite(copy, &segment(number), sector, offset);
        if !skew && dice.percent(50) {
            // And the frame before it cannot be read, but for its header.
            copy.flip(&segment(number), frame_was + 60, 1);
        }
        match self.judge(copy)? {
            Err(WalError::Damaged { .. }) => Ok("mixed"),
            other => Err(format!("two logs in one up to {one_was:?}: {:?}", other.err())),
        }
    }

    /// Read all of it again, with a bit flipped since it was opened.
    fn scrub(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let Ok((mut wal, _)) = self.open(copy) else { return Ok("nothing") };
        let known = wal.damage().len();
        let harm = self.place(copy, dice).filter(|_| dice.percent(80));
        if let Some((file, byte)) = &harm {
            let _ = match dice.percent(70) {
                true => copy.flip(file, *byte, 0),
                false => copy.spoil(file, *byte..*byte + dice.between(1, 2 * SECTOR)),
            };
        }
        let rounds = wal.metrics().scrub_rounds + 2;
        while wal.metrics().scrub_rounds < rounds {
            let bytes = dice.between(SECTOR, self.options.segment_bytes);
            let found = wal.scrub(bytes).map_err(|error| format!("scrubbing: {error}"))?;
            if harm.is_none() && !self.harmed && !found.is_empty() {
                return Err(format!("scrubbing finds {found:?} in a whole log"));
            }
        }
        let learnt: Vec<_> = wal.damage()[known..].to_vec();
        drop(wal);
        match self.judge(copy)? {
            Ok((wal, _)) if !self.harmed && !learnt.is_empty() && wal.damage().is_empty() => {
                Err(format!("scrubbing found {learnt:?}, and the next start does not"))
            }
            Err(error) if !self.harmed && harm.is_none() => Err(format!("after scrubbing: {error}")),
            _ => Ok("scrub"),
        }
    }
}
