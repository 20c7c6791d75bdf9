//! The state's invariants, for tests and the simulator.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::State;
use crate::record::{Record, Revision};
use crate::storage::Storage;
use crate::tree::{CountedTree, Only};
use crate::versions::Versions;

impl<S: Storage> State<S> {
    /// Whether the invariants hold, or which one does not. Reads every record.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let mut last = Revision::default();
        let mut ordered = true;
        let mut index = CountedTree::<Versions>::new();
        self.storage.scan(Revision::default(), &mut |revision, record| {
            ordered &= last < revision;
            last = revision;
            index.upsert(record.key(), |versions| match &record {
                Record::Put(kv) => versions.put_record(revision, kv),
                Record::Tombstone { .. } => versions.delete(revision),
            });
            ordered
        });
        if !ordered {
            return Err("the storage's records do not ascend");
        }
        if last.main > self.meta.revision {
            return Err("there is a record newer than the newest revision");
        }
        if self.storage.meta() != self.meta {
            return Err("the storage has other facts than the state");
        }
        self.check_index(&index)?;
        self.check_leases()
    }

    fn check_index(&self, rebuilt: &CountedTree<Versions>) -> Result<(), &'static str> {
        let mut equal = self.index.len() == rebuilt.len() && self.index.weight() == rebuilt.weight();
        self.index.ascend(&[], Only::Any, &mut |key, versions| {
            equal &= rebuilt.get(key).is_some_and(|other| versions.is_same(other));
            equal
        });
        if equal { Ok(()) } else { Err("the index is not that of the stored records") }
    }

    fn check_leases(&self) -> Result<(), &'static str> {
        if !self.leases().eq(self.storage.leases()) {
            return Err("the storage has other leases than the state");
        }
        let mut attached: BTreeMap<Box<[u8]>, i64> = BTreeMap::new();
        for (id, lease) in &self.leases {
            for key in lease.keys() {
                if attached.insert(key.clone(), *id).is_some() {
                    return Err("a key is attached to two leases");
                }
            }
        }
        let mut equal = true;
        self.index.ascend(&[], Only::Live, &mut |key, versions| {
            let lease = versions.head().map_or(0, |head| head.lease);
            equal &= attached.remove(key).unwrap_or(0) == lease;
            equal
        });
        if equal && attached.is_empty() {
            Ok(())
        } else {
            Err("the leases' keys are not those whose records say so")
        }
    }
}
