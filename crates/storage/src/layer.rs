//! Changes that are not in the file yet.

use std::collections::BTreeMap;

use quorate_kv::{LeaseId, Meta, Record, Revision};

use crate::layout;

/// Changes since some checkpoint, by what they change; the last one counts.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    /// Records added (some) and removed (none).
    pub(crate) records: BTreeMap<Revision, Option<Record>>,
    /// Leases noted (some seconds) and forgotten (none).
    pub(crate) leases: BTreeMap<LeaseId, Option<i64>>,
    /// The facts as of the checkpoint; set when the layer is frozen.
    pub(crate) meta: Meta,
    /// Bytes that the added records will take.
    pub(crate) bytes: u64,
}

impl Layer {
    pub(crate) fn insert(&mut self, revision: Revision, record: Record) {
        self.bytes += layout::record_bytes(&record);
        if let Some(Some(before)) = self.records.insert(revision, Some(record)) {
            self.bytes -= layout::record_bytes(&before);
        }
    }

    /// `below` says whether an older layer or the file may hold the record too.
    pub(crate) fn remove(&mut self, revision: Revision, below: bool) {
        let before = match below {
            true => self.records.insert(revision, None),
            false => self.records.remove(&revision),
        };
        if let Some(Some(before)) = before {
            self.bytes -= layout::record_bytes(&before);
        }
    }
}
