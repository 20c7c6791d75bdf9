//! Reads as of a moment, and closing moments for writing.
//!
//! A moment is closed at a site when nothing will be committed there, at it or before, that is not yet: what is
//! prepared is later, and what will prepare is put later. So a read at a closed moment needs no lock, sees nothing
//! undecided, and will see the same for ever; of several sites it sees the same moment. Any replica can serve it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::contract::{Effect, Effects, Refusal};
use crate::ids::{ReadId, Timestamp};
use crate::record::Record;
use crate::rules::Rules;
use crate::site::Site;
use crate::work::Resource;

/// Reads that wait for their moment to be closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    waiting: BTreeMap<(Timestamp, ReadId), (Bytes, u64)>,
    close_at: u64,
}

impl<S: Resource, R: Rules> Site<S, R> {
    pub(crate) fn read(&mut self, read: ReadId, at: Timestamp, payload: Bytes, effects: &mut Effects) {
        if at <= self.state.closed {
            effects.push(Effect::ReadDone { read, answer: self.state.resource.read(at, &payload) });
        } else if self.reads.waiting.len() >= self.config.max_reads {
            effects.push(Effect::ReadRefused { read, why: Refusal::Overloaded });
        } else {
            self.reads.waiting.insert((at, read), (payload, self.ticks + self.config.read_ticks));
        }
    }

    /// Serve what has become closed.
    pub(crate) fn serve_reads(&mut self, effects: &mut Effects) {
        while let Some(entry) = self.reads.waiting.first_entry()
            && entry.key().0 <= self.state.closed
        {
            let ((at, read), (payload, _)) = entry.remove_entry();
            effects.push(Effect::ReadDone { read, answer: self.state.resource.read(at, &payload) });
        }
    }

    /// Refuse what has waited too long.
    pub(crate) fn expire_reads(&mut self, effects: &mut Effects) {
        let late = |(_, (_, deadline)): &(&(Timestamp, ReadId), &(Bytes, u64))| *deadline <= self.ticks;
        let late: Vec<_> = self.reads.waiting.iter().filter(late).map(|(key, _)| *key).collect();
        for key in late {
            self.reads.waiting.remove(&key);
            effects.push(Effect::ReadRefused { read: key.1, why: Refusal::NotClosed });
        }
    }

    /// Propose to close, if it is time or somebody waits for it, and if it can be.
    pub(crate) fn close(&mut self, effects: &mut Effects) {
        let wanted = !self.reads.waiting.is_empty();
        let due = self.config.close_ticks > 0 && self.ticks >= self.reads.close_at;
        if !wanted && !due {
            return;
        }
        self.reads.close_at = self.ticks + self.config.close_ticks;
        let lag = if wanted { 0 } else { self.config.close_lag };
        let ts = Timestamp(self.now.0.saturating_sub(lag));
        let first = self.state.prepared.values().map(|prepared| prepared.ts.prev()).min();
        if ts.min(first.unwrap_or(ts)) > self.state.closed {
            self.propose(Record::Close { ts }, effects);
        }
    }
}
