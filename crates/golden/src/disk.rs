//! What survives a crash.

use std::collections::BTreeSet;

use quorate_protocol::{Ballot, Entry, EntryKind, Index, LogId, Membership, Recovered, WriteOp};

/// A promise and a log, as a sequence of writes leaves them.
#[derive(Clone, Debug, Default)]
pub struct LogView {
    /// The last promise.
    pub promised: Ballot,
    /// Whose history was taken over: Zab's currentEpoch.
    pub joined: Ballot,
    /// The entry before the first.
    pub base: LogId,
    /// Ascending, after `base`; dense unless `sparse`.
    pub entries: Vec<Entry>,
    /// The log is written slot by slot ([`WriteOp::Put`]): it has holes, and entries are known by kind and content.
    pub sparse: bool,
}

impl LogView {
    /// The last entry, or the base.
    pub fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    /// The entry at `index`, if held.
    pub fn get(&self, index: Index) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&index, |entry| entry.id.index).ok()?;
        self.entries.get(at)
    }

    /// The name of the entry at `index`: held, or the base.
    pub fn id_at(&self, index: Index) -> Option<LogId> {
        match index == self.base.index {
            true => Some(self.base),
            false => self.get(index).map(|entry| entry.id),
        }
    }

    /// Whether it holds this entry, or has purged that far.
    pub fn covers(&self, entry: &Entry) -> bool {
        let index = entry.id.index;
        match self.sparse {
            true => index <= self.base.index || self.get(index).is_some_and(|held| same_value(held, entry)),
            false => index < self.base.index || self.id_at(index) == Some(entry.id),
        }
    }

    /// Carry out one change. The error says what is wrong with it.
    pub fn apply(&mut self, op: &WriteOp) -> Result<(), String> {
        match op {
            WriteOp::Meta { promised, joined } => self.promise(*promised, *joined)?,
            WriteOp::Append(_) | WriteOp::Truncate(_) | WriteOp::Reset { .. } if self.sparse => {
                return Err("a change of many slots at once to a log that is put slot by slot".into());
            }
            WriteOp::Append(entries) => self.append(entries)?,
            WriteOp::Truncate(index) => {
                let kept = index.0.checked_sub(self.base.index.0).ok_or("a log cut before its beginning")?;
                self.entries.truncate(kept as usize);
            }
            WriteOp::Put(entries) => self.put(entries)?,
            WriteOp::Reset { id } => {
                self.base = *id;
                self.entries.clear();
            }
            WriteOp::Purge { id } => {
                let known = self.sparse || self.id_at(id.index) == Some(*id);
                if !known || id.index < self.base.index {
                    return Err(format!("a purge up to {id}, which is not in the log"));
                }
                self.entries.retain(|entry| entry.id.index > id.index);
                self.base = *id;
            }
        }
        Ok(())
    }

    /// A promise may be given to somebody else in its round only where rounds have one leader, whom it is then to name.
    fn promise(&mut self, promised: Ballot, joined: Ballot) -> Result<(), String> {
        let back = if self.sparse { promised < self.promised } else { promised.round < self.promised.round };
        if back {
            return Err(format!("a promise goes back: {} after {}", promised, self.promised));
        }
        if joined.round < self.joined.round || joined.round > promised.round {
            return Err(format!("joined {joined} after {}, with {promised} promised", self.joined));
        }
        (self.promised, self.joined) = (promised, joined);
        Ok(())
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), String> {
        let first = entries.first().ok_or("an append without entries")?.id.index;
        let last = self.last().index;
        if first <= self.base.index || first > last.next() {
            return Err(format!("an append at {first} to a log of {}..={last}", self.base.index));
        }
        self.entries.truncate((first.0 - self.base.index.0 - 1) as usize);
        for entry in entries {
            if entry.id.index != self.last().index.next() {
                return Err(format!("an append with a hole before {}", entry.id));
            }
            self.entries.push(entry.clone());
        }
        Ok(())
    }

    fn put(&mut self, entries: &[Entry]) -> Result<(), String> {
        if !self.sparse {
            return Err("a slot put into a dense log".into());
        }
        for entry in entries {
            if entry.id.index <= self.base.index {
                return Err(format!("{} put into what is purged up to {}", entry.id, self.base));
            }
            match self.entries.binary_search_by_key(&entry.id.index, |held| held.id.index) {
                Ok(at) => self.entries[at] = entry.clone(),
                Err(at) => self.entries.insert(at, entry.clone()),
            }
        }
        Ok(())
    }
}

/// Whether two entries say the same, whatever ballots they have.
pub fn same_value(a: &Entry, b: &Entry) -> bool {
    a.kind == b.kind && a.data == b.data
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
            joined: self.log.joined,
            base: self.log.base,
            entries: self.log.entries.clone(),
            applied: self.checkpoint.id,
            membership: self.checkpoint.membership(),
            held: self.last_held(),
        }
    }

    /// The last entry it is known to have held: a dense log that is whole says so too, a sparse one only what damage told.
    fn last_held(&self) -> LogId {
        let (last, held) = (self.log.last(), self.held);
        let later = (last.ballot.round, last.index) > (held.ballot.round, held.index);
        if later && !self.log.sparse { last } else { held }
    }

    /// Damage the log after its first `keep` entries: they cannot be read any more, though it is known that the log
    /// went on.
    pub fn damage(&mut self, keep: usize) {
        self.held = self.last_held();
        if self.log.sparse {
            let ballots = self.log.entries.iter().map(|entry| entry.id.ballot);
            let ballot = ballots.chain([self.held.ballot]).max().unwrap_or_default();
            self.held = LogId { ballot, index: self.held.index.max(self.log.last().index) };
        }
        self.damaged.extend(self.log.entries.drain(keep..).map(|entry| entry.id));
    }

    /// Whether an entry survives a crash here, in the log or in the checkpoint, or did until it was damaged.
    pub fn holds(&self, entry: &Entry) -> bool {
        let applied = entry.id.index.0.checked_sub(1).and_then(|at| self.checkpoint.entries.get(at as usize));
        self.log.covers(entry) || applied == Some(entry) || self.damaged.contains(&entry.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_protocol::NodeId;

    fn entry(index: u64, round: u64) -> Entry {
        let id = LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) };
        Entry { id, kind: EntryKind::Command, data: format!("at{index}").into() }
    }

    fn rounds(log: &LogView) -> Vec<(u64, u64)> {
        log.entries.iter().map(|entry| (entry.id.index.0, entry.id.ballot.round)).collect()
    }

    #[test]
    fn a_sparse_log_has_holes_and_is_rewritten_in_place() {
        let mut log = LogView { sparse: true, ..LogView::default() };
        assert_eq!(log.apply(&WriteOp::Put(vec![entry(2, 1), entry(5, 1)])), Ok(()));
        assert_eq!(log.apply(&WriteOp::Put(vec![entry(2, 3), entry(3, 3)])), Ok(()));
        assert_eq!(rounds(&log), [(2, 3), (3, 3), (5, 1)]);
        assert!(log.covers(&entry(5, 9)) && !log.covers(&entry(4, 1)), "by value, not by ballot");
        let unheld = entry(4, 2).id;
        assert_eq!(log.apply(&WriteOp::Purge { id: unheld }), Ok(()), "a snapshot came");
        assert_eq!((rounds(&log), log.base), (vec![(5, 1)], unheld));
        assert!(log.apply(&WriteOp::Append(vec![entry(6, 3)])).is_err());
        assert!(log.apply(&WriteOp::Put(vec![entry(4, 3)])).is_err(), "what is purged");
        let meta = |round, node| WriteOp::Meta {
            promised: Ballot { round, node: NodeId(node) },
            joined: Ballot::default(),
        };
        assert_eq!(log.apply(&meta(3, 2)), Ok(()));
        assert!(log.apply(&meta(3, 1)).is_err(), "whole ballots are promised");
    }

    #[test]
    fn a_dense_log_is_cut_and_joins_no_later_than_it_promises() {
        let mut log = LogView::default();
        assert_eq!(log.apply(&WriteOp::Append(vec![entry(1, 1), entry(2, 1), entry(3, 1)])), Ok(()));
        assert_eq!(log.apply(&WriteOp::Truncate(Index(1))), Ok(()));
        assert_eq!(rounds(&log), [(1, 1)]);
        assert!(log.apply(&WriteOp::Put(vec![entry(2, 2)])).is_err());
        assert!(log.apply(&WriteOp::Purge { id: entry(1, 2).id }).is_err(), "another entry");
        let ballot = |round| Ballot { round, node: NodeId(1) };
        let meta = |promised, joined| WriteOp::Meta { promised: ballot(promised), joined: ballot(joined) };
        assert_eq!(log.apply(&meta(3, 2)), Ok(()));
        assert!(log.apply(&meta(3, 4)).is_err() && log.apply(&meta(4, 1)).is_err());
    }

    #[test]
    fn damage_to_a_sparse_log_tells_greatest_ballot_and_index() {
        let mut disk = Disk { log: LogView { sparse: true, ..LogView::default() }, ..Disk::default() };
        disk.log.apply(&WriteOp::Put(vec![entry(1, 7), entry(4, 2)])).expect("slots may be put");
        assert_eq!(disk.recovered().held, LogId::default(), "nothing, as long as nothing is damaged");
        disk.damage(0);
        let held = disk.recovered().held;
        assert_eq!((held.ballot.round, held.index), (7, Index(4)));
    }
}
