//! Puts and removals (section 5.4 of our compatibility notes).

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::State;
use crate::Error;
use crate::command::{DeleteRange, Put};
use crate::record::{Event, KeyValue, Record, Revision};
use crate::span::Span;
use crate::storage::Storage;
use crate::versions::Head;

/// The changes of one command while it runs; they share a main revision.
pub struct Change {
    /// The main revision they have, if there are any.
    pub main: i64,
    /// What was changed, in order.
    pub events: Vec<Event>,
}

impl Change {
    /// Nothing yet, on top of main revision `revision`.
    pub fn after(revision: i64) -> Self {
        Change { main: revision + 1, events: Vec::new() }
    }

    /// The place of the next change.
    fn next(&self) -> Revision {
        Revision { main: self.main, sub: self.events.len() as i64 }
    }

    /// The store's main revision as seen from within.
    pub fn seen(&self) -> i64 {
        if self.events.is_empty() { self.main - 1 } else { self.main }
    }
}

impl<S: Storage> State<S> {
    /// Whether a put on its own can be carried out: first the lease, then the key, as etcd.
    pub(super) fn check_put(&self, put: &Put) -> Result<(), Error> {
        self.check_lease(put)?;
        self.check_ignore(put)
    }

    pub(super) fn check_lease(&self, put: &Put) -> Result<(), Error> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(Error::LeaseNotFound);
        }
        Ok(())
    }

    pub(super) fn check_ignore(&self, put: &Put) -> Result<(), Error> {
        if (put.ignore_value || put.ignore_lease) && self.head(&put.key).is_none() {
            return Err(Error::KeyNotFound);
        }
        Ok(())
    }

    /// The newest record of a key, without its value, if it is live.
    pub(super) fn head(&self, key: &[u8]) -> Option<Head> {
        self.index.get(key)?.head()
    }

    /// Write one key; everything has been checked. Answers the record before, when asked for.
    pub(super) fn put(&mut self, put: &Put, change: &mut Change) -> Option<KeyValue> {
        let revision = change.next();
        let (before, after) = self.index.upsert(&put.key, |versions| {
            let before = versions.head();
            let (create, version) = before.map_or((revision.main, 1), |head| (head.create, head.version + 1));
            let lease = if put.ignore_lease { before.map_or(0, |head| head.lease) } else { put.lease };
            versions.put(revision, create, version, lease);
            (before, Head { revision, create, version, lease })
        });
        let previous = match before {
            Some(head) if put.prev_kv || put.ignore_value => Some(self.record(head.revision)),
            _ => None,
        };
        let value = match &previous {
            Some(kv) if put.ignore_value => kv.value.clone(),
            _ => put.value.clone(),
        };
        self.move_lease(&put.key, before.map_or(0, |head| head.lease), after.lease);
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: after.create,
            mod_revision: revision.main,
            version: after.version,
            value,
            lease: after.lease,
        };
        self.log(change, Record::Put(kv));
        previous.filter(|_| put.prev_kv)
    }

    /// Remove keys. Answers how many, and their records when asked for.
    pub(super) fn delete_range(&mut self, delete: &DeleteRange, change: &mut Change) -> (i64, Vec<KeyValue>) {
        let mut doomed: Vec<(Box<[u8]>, Revision)> = Vec::new();
        self.each_live(Span::from(&delete.range), |key, head| {
            doomed.push((key.into(), head.revision));
            true
        });
        let previous = match delete.prev_kv {
            true => doomed.iter().map(|(_, revision)| self.record(*revision)).collect(),
            false => Vec::new(),
        };
        let deleted = doomed.len() as i64;
        for (key, _) in doomed {
            self.delete(key.into(), change);
        }
        (deleted, previous)
    }

    /// Remove one live key.
    pub(super) fn delete(&mut self, key: Bytes, change: &mut Change) {
        let revision = change.next();
        let before = self.index.change(&key, |versions| {
            let before = versions.head();
            versions.delete(revision);
            before
        });
        let lease = before.flatten().map_or(0, |head| head.lease);
        self.move_lease(&key, lease, 0);
        self.log(change, Record::Tombstone { key });
    }

    /// Write a record and note its event.
    fn log(&mut self, change: &mut Change, record: Record) {
        let revision = change.next();
        self.storage.insert(revision, record.clone());
        change.events.push(Event { revision, record });
    }
}
