//! What survives a crash.

use std::collections::BTreeSet;

use quorate_protocol::{Ballot, Entry, EntryKind, Index, LogId, Membership, Recovered, WriteOp};

/// A promise and a log, as a sequence of writes leaves them.
#[derive(Clone, Debug, Default)]
pub struct LogView {
    /// The last promise.
    pub promised: Ballot,
    /// The entry before the first.
    pub base: LogId,
    /// Dense, from `base.index + 1`.
    pub entries: Vec<Entry>,
}

impl LogView {
    /// The last entry, or the base.
    pub fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    /// The name of the entry at `index`: held, or the base.
    pub fn id_at(&self, index: Index) -> Option<LogId> {
        if index == self.base.index {
            return Some(self.base);
        }
        let at = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(at as usize).map(|entry| entry.id)
    }

    /// Whether it holds this entry, or has purged that far.
    pub fn covers(&self, id: LogId) -> bool {
        id.index < self.base.index || self.id_at(id.index) == Some(id)
    }

    /// Carry out one change. The error says what is wrong with it.
    pub fn apply(&mut self, op: &WriteOp) -> Result<(), String> {
        match op {
            WriteOp::Meta { promised } => {
                if promised.round < self.promised.round {
                    return Err(format!("a promise goes back: {} after {}", promised, self.promised));
                }
                self.promised = *promised;
            }
            WriteOp::Append(entries) => {
                let first = entries.first().ok_or("an append without entries")?.id.index;
                if first <= self.base.index || first > self.last().index.next() {
                    return Err(format!(
                        "an append at {first} to a log of {}..={}",
                        self.base.index,
                        self.last().index
                    ));
                }
                self.entries.truncate((first.0 - self.base.index.0 - 1) as usize);
                for entry in entries {
                    if entry.id.index != self.last().index.next() {
                        return Err(format!("an append with a hole before {}", entry.id));
                    }
                    self.entries.push(entry.clone());
                }
            }
            WriteOp::Reset { id } => {
                self.base = *id;
                self.entries.clear();
            }
            WriteOp::Purge { id } => {
                if self.id_at(id.index) != Some(*id) {
                    return Err(format!("a purge up to {id}, which is not in the log"));
                }
                self.entries.drain(..(id.index.0 - self.base.index.0) as usize);
                self.base = *id;
            }
        }
        Ok(())
    }
}

/// The state machine at an entry: everything applied up to it.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The last entry applied.
    pub id: LogId,
    /// All of them, from index 1.
    pub entries: Vec<Entry>,
}

impl Image {
    /// Apply one more. The error says why it does not follow.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.id.index != self.id.index.next() {
            return Err(format!("{} is applied after {}", entry.id, self.id));
        }
        self.id = entry.id;
        self.entries.push(entry.clone());
        Ok(())
    }

    /// The membership that its entries brought last; unknown if none did.
    pub fn membership(&self) -> Membership {
        let last = self.entries.iter().rev().find(|entry| entry.kind == EntryKind::Config);
        let read = |entry: &Entry| Membership::from_bytes(entry.data.clone());
        last.map_or_else(Membership::default, |entry| {
            read(entry).expect("a committed membership can be read")
        })
    }
}

/// What a replica's disk holds.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Promise and log.
    pub log: LogView,
    /// The state machine's last checkpoint.
    pub checkpoint: Image,
    /// The last entry of the log before it was damaged.
    pub held: LogId,
    /// Entries that cannot be read any more. Their owner answers for them all the same, by [`Disk::held`].
    pub damaged: BTreeSet<LogId>,
}

impl Disk {
    /// What a core is given when it starts.
    pub fn recovered(&self) -> Recovered {
        Recovered {
            promised: self.log.promised,
            base: self.log.base,
            entries: self.log.entries.clone(),
            applied: self.checkpoint.id,
            membership: self.checkpoint.membership(),
            held: self.last_held(),
        }
    }

    /// The last entry it is known to have held: a log that is whole says so too.
    fn last_held(&self) -> LogId {
        let (last, held) = (self.log.last(), self.held);
        let later = (last.ballot.round, last.index) > (held.ballot.round, held.index);
        if later { last } else { held }
    }

    /// Damage the log after its first `keep` entries: they cannot be read any more, though it is known that the log
    /// went on.
    pub fn damage(&mut self, keep: usize) {
        self.held = self.last_held();
        self.damaged.extend(self.log.entries.drain(keep..).map(|entry| entry.id));
    }

    /// Whether an entry survives a crash here, in the log or in the checkpoint, or did until it was damaged.
    pub fn holds(&self, entry: &Entry) -> bool {
        let applied = entry.id.index.0.checked_sub(1).and_then(|at| self.checkpoint.entries.get(at as usize));
        self.log.covers(entry.id) || applied == Some(entry) || self.damaged.contains(&entry.id)
    }
}
