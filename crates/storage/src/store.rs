//! The store: what the state machine reads and writes.

use std::fs;
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;

use quorate_kv::{LeaseId, Meta, Record, Revision, Size, Storage};
use redb::StorageBackend;

use crate::checkpoint::{Checkpoint, Committed, Retired};
use crate::database::{self, Db, Reading};
use crate::error::StorageError;
use crate::generation;
use crate::image_file::ImageReader;
use crate::layer::Layer;

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Memory for pages of the file, in bytes, both read and not yet written.
    pub cache_bytes: usize,
    /// Verify everything when opening: every page's checksum, every record's, and that none is missing. The file is
    /// read twice more; damage is then an error at opening instead of a surprise later.
    pub verify: bool,
    /// Called when a record cannot be read that was promised to be there: the state machine has no answer to
    /// that, so this must end the process (a test may panic).
    pub fatal: fn(StorageError) -> !,
}

impl Default for Options {
    fn default() -> Self {
        Options { cache_bytes: 32 << 20, verify: true, fatal: |error| panic!("{error}") }
    }
}

/// Records, leases and facts: changes in memory over a file. See the crate's own text.
pub struct Store {
    pending: Layer,
    /// Set aside by a checkpoint that is not finished.
    frozen: Option<Arc<Layer>>,
    reading: Reading,
    db: Arc<Db>,
    meta: Meta,
    /// The greatest revision that may be in `frozen` or the file; what is above is in `pending` only.
    below: Option<Revision>,
    options: Options,
}

impl Store {
    /// Open the current generation of a directory, or make the first one. Whatever else an interrupted
    /// snapshot has left there is deleted, so no [`ImageWriter`](crate::ImageWriter) may be at work.
    ///
    /// # Errors
    /// Any of [`StorageError`]'s; nothing has been deleted then.
    pub fn open(dir: &Path, options: &Options) -> Result<Store, StorageError> {
        fs::create_dir_all(dir).map_err(|error| StorageError::io("create", dir, error))?;
        let generation = match generation::current(dir)? {
            Some(generation) => generation,
            None => Store::without_current(dir, options)?,
        };
        let path = generation::path(dir, generation);
        if !path.try_exists().map_err(|error| StorageError::io("open", &path, error))? {
            return Err(StorageError::Missing { current: generation::current_path(dir), path });
        }
        let store = database::guarded(&path, || Store::over(Db::open(&path, options)?, options))?;
        generation::sweep(dir, generation)?;
        Ok(store)
    }

    /// The generation to use where none is named: a new one, or the only one there is.
    fn without_current(dir: &Path, options: &Options) -> Result<u64, StorageError> {
        let generation = match generation::complete(dir)?[..] {
            [] => {
                let staging = generation::staging_path(dir, 1);
                generation::remove(&staging)?;
                let db = Db::create(&staging, options)?;
                db.close()?;
                generation::complete_staged(dir, 1)?;
                1
            }
            [only] => only,
            ref found => {
                let current = generation::current_path(dir);
                return Err(StorageError::Ambiguous { current, found: found.to_vec() });
            }
        };
        generation::activate(dir, generation)?;
        Ok(generation)
    }

    /// Open a store on any kind of disk, such as a simulated one; makes an empty one where there are no bytes.
    /// `name` stands for it in errors.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn with_backend(
        name: &str,
        backend: impl StorageBackend,
        options: &Options,
    ) -> Result<Store, StorageError> {
        let path = Path::new(name);
        database::guarded(path, || Store::over(Db::with_backend(path, backend, options)?, options))
    }

    fn over(db: Db, options: &Options) -> Result<Store, StorageError> {
        let reading = db.reading()?;
        if options.verify {
            reading.verify(&db.path)?;
        }
        let below = reading.last(&db.path)?;
        let meta = reading.meta.clone();
        let (pending, db, options) = (Layer::default(), Arc::new(db), *options);
        Ok(Store { pending, frozen: None, reading, db, meta, below, options })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.db.path
    }

    /// Bytes of records that no checkpoint has been begun for: what says that one is due.
    pub fn pending_bytes(&self) -> u64 {
        self.pending.bytes
    }

    /// Set the changes so far aside, to be committed. They are read as before; later ones gather anew.
    ///
    /// # Panics
    /// The checkpoint before has not been finished.
    pub fn begin_checkpoint(&mut self) -> Checkpoint {
        assert!(self.frozen.is_none(), "one checkpoint at a time: finish the one before");
        let mut layer = std::mem::take(&mut self.pending);
        layer.meta = self.meta.clone();
        if let Some((last, _)) = layer.records.last_key_value() {
            self.below = self.below.max(Some(*last));
        }
        let layer = Arc::new(layer);
        self.frozen = Some(Arc::clone(&layer));
        Checkpoint { db: Arc::clone(&self.db), layer, tally: self.reading.tally }
    }

    /// Read from the file what a checkpoint has put there. Free what is returned after the lock is released:
    /// it may hold many records.
    ///
    /// # Panics
    /// It is not the checkpoint that was begun last.
    pub fn finish_checkpoint(&mut self, done: Committed) -> Retired {
        let ours = self.frozen.as_ref().is_some_and(|layer| Arc::ptr_eq(layer, &done.layer));
        assert!(ours, "a checkpoint is finished on the store it was begun on, once");
        let reading = std::mem::replace(&mut self.reading, done.reading);
        Retired { _layer: self.frozen.take(), _reading: reading }
    }

    /// All three steps at once, for those with no lock to release in between.
    ///
    /// # Errors
    /// As [`Checkpoint::commit`].
    pub fn checkpoint(&mut self, durable: bool) -> Result<(), StorageError> {
        let done = self.begin_checkpoint().commit(durable)?;
        drop(self.finish_checkpoint(done));
        Ok(())
    }

    /// A reader of the state as of the checkpoint committed last. It stays as it is, whatever happens to the
    /// store, and needs no lock; while it lives, the file cannot reuse the pages it reads.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn image(&self) -> Result<ImageReader, StorageError> {
        ImageReader::new(Arc::clone(&self.db))
    }

    fn or_fatal<T>(&self, result: Result<T, StorageError>) -> T {
        result.unwrap_or_else(|error| (self.options.fatal)(error))
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.pending).chain(self.frozen.as_deref())
    }
}

impl Storage for Store {
    fn get(&self, revision: Revision) -> Option<Record> {
        for layer in self.layers() {
            if let Some(found) = layer.records.get(&revision) {
                return found.clone();
            }
        }
        self.or_fatal(self.reading.get(&self.db.path, revision))
    }

    fn insert(&mut self, revision: Revision, record: Record) {
        self.pending.insert(revision, record);
    }

    fn remove(&mut self, revisions: &[Revision]) {
        for revision in revisions {
            self.pending.remove(*revision, Some(*revision) <= self.below);
        }
    }

    fn scan(&self, from: Revision, visit: &mut dyn FnMut(Revision, Record) -> bool) {
        let frozen = self.frozen.as_deref();
        let file = self.or_fatal(self.reading.range(&self.db.path, from));
        let file = file.map(|item| self.or_fatal(item)).map(|(revision, record)| (revision, Some(record)));
        let cloned = |(revision, record): (&Revision, &Option<Record>)| (*revision, record.clone());
        let frozen = frozen.into_iter().flat_map(|layer| layer.records.range(from..)).map(cloned);
        let pending = self.pending.records.range(from..).map(cloned);
        for (revision, record) in overlay(pending, overlay(frozen, file)) {
            if let Some(record) = record
                && !visit(revision, record)
            {
                return;
            }
        }
    }

    fn put_lease(&mut self, id: LeaseId, ttl: i64) {
        self.pending.leases.insert(id, Some(ttl));
    }

    fn remove_lease(&mut self, id: LeaseId) {
        self.pending.leases.insert(id, None);
    }

    fn leases(&self) -> Vec<(LeaseId, i64)> {
        let file = self.or_fatal(self.reading.leases(&self.db.path)).into_iter();
        let file = file.map(|(id, ttl)| (id, Some(ttl)));
        let frozen = self.frozen.iter().flat_map(|layer| layer.leases.iter().map(|(id, ttl)| (*id, *ttl)));
        let pending = self.pending.leases.iter().map(|(id, ttl)| (*id, *ttl));
        let all = overlay(pending, overlay(frozen, file));
        all.filter_map(|(id, ttl)| Some((id, ttl?))).collect()
    }

    fn meta(&self) -> Meta {
        self.meta.clone()
    }

    fn set_meta(&mut self, meta: &Meta) {
        self.meta.clone_from(meta);
    }

    fn size(&self) -> Size {
        let added: u64 = self.layers().map(|layer| layer.bytes).sum();
        Size { total: self.reading.total, in_use: self.reading.tally.in_use + added }
    }
}

/// Two ascending sequences as one; where both have a key, the upper one's item counts.
fn overlay<K: Ord, V>(
    upper: impl Iterator<Item = (K, V)>,
    lower: impl Iterator<Item = (K, V)>,
) -> impl Iterator<Item = (K, V)> {
    let (mut upper, mut lower): (Peekable<_>, Peekable<_>) = (upper.peekable(), lower.peekable());
    std::iter::from_fn(move || match (upper.peek(), lower.peek()) {
        (Some((above, _)), Some((below, _))) if above > below => lower.next(),
        (Some((above, _)), Some((below, _))) => {
            if above == below {
                lower.next();
            }
            upper.next()
        }
        (Some(_), None) => upper.next(),
        (None, _) => lower.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_sequence_counts() {
        let upper = [(1, 'u'), (3, 'u'), (4, 'u'), (9, 'u')];
        let lower = [(0, 'l'), (3, 'l'), (5, 'l')];
        let all: Vec<_> = overlay(upper.into_iter(), lower.into_iter()).collect();
        assert_eq!(all, [(0, 'l'), (1, 'u'), (3, 'u'), (4, 'u'), (5, 'l'), (9, 'u')]);
    }

    /// The state machine is read by many threads and its checkpoint committed by another.
    #[test]
    fn what_threads_share_they_may_share() {
        fn shared<T: Send + Sync>() {}
        fn sent<T: Send>() {}
        shared::<Store>();
        sent::<Checkpoint>();
        sent::<Committed>();
        sent::<Retired>();
        sent::<ImageReader>();
        sent::<crate::ImageWriter>();
    }
}
