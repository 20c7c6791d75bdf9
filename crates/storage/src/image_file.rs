//! Images read from and built into files, a block at a time.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quorate_kv::{LeaseId, Meta, Revision};
use redb::{Durability, Range};

use crate::database::{self, Db};
use crate::error::StorageError;
use crate::generation;
use crate::image::{Block, Decoder, Encoder, ImageError};
use crate::layout;
use crate::store::Options;
use crate::tally::{Kind, Tally};

/// What a reader sends next.
enum Stage {
    Begin,
    Records(Box<Range<'static, u128, &'static [u8]>>),
    Leases(std::vec::IntoIter<(LeaseId, i64)>),
    End,
    Done,
}

/// Streams the state as of one checkpoint. Made by [`Store::image`](crate::Store::image).
pub struct ImageReader {
    db: Arc<Db>,
    meta: Meta,
    reading: database::Reading,
    encoder: Encoder,
    stage: Stage,
    /// What has been read so far.
    seen: Tally,
}

impl ImageReader {
    pub(crate) fn new(db: Arc<Db>) -> Result<ImageReader, StorageError> {
        let reading = db.reading()?;
        let meta = reading.meta.clone();
        let (encoder, seen) = (Encoder::default(), Tally::default());
        Ok(ImageReader { db, meta, reading, encoder, stage: Stage::Begin, seen })
    }

    /// The facts the image carries: among them, which log entry it stands at.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// About how many bytes the whole image will have.
    pub fn estimated_bytes(&self) -> u64 {
        self.reading.tally.in_use
    }

    /// The next part of the stream, or none after the last.
    ///
    /// # Errors
    /// The file cannot be read, or what is in it is damaged, or something is missing: then the image does not come to
    /// its end.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        loop {
            match &mut self.stage {
                Stage::Begin => {
                    let range = self.reading.records.range::<u128>(..);
                    let range = range.map_err(|error| self.db.failed("read", error))?;
                    self.stage = Stage::Records(Box::new(range));
                    return Ok(Some(self.encoder.begin(&self.meta)));
                }
                Stage::Records(range) => {
                    match next_records(&self.db, range, &mut self.encoder, &mut self.seen)? {
                        Some(block) => return Ok(Some(block)),
                        None => {
                            self.stage = Stage::Leases(self.reading.leases(&self.db.path)?.into_iter());
                            if let Some(block) = self.encoder.records_done() {
                                return Ok(Some(block));
                            }
                        }
                    }
                }
                Stage::Leases(leases) => {
                    let Self { encoder, seen, .. } = self;
                    let mut sealed = Vec::new();
                    let block = leases.find_map(|(id, ttl)| {
                        layout::seal_lease(&mut sealed, id, ttl);
                        let seal = layout::seal_of(&sealed);
                        seen.add(Kind::Lease, layout::lease_key(id), seal, layout::LEASE_BYTES);
                        encoder.lease(id, ttl)
                    });
                    match block {
                        Some(block) => return Ok(Some(block)),
                        None => self.stage = Stage::End,
                    }
                    if let Some(block) = self.encoder.leases_done() {
                        return Ok(Some(block));
                    }
                }
                Stage::End => {
                    let complete = self.seen.compare(&self.reading.tally);
                    complete.map_err(|what| StorageError::damaged(&self.db.path, what))?;
                    self.stage = Stage::Done;
                    return Ok(Some(self.encoder.end()));
                }
                Stage::Done => return Ok(None),
            }
        }
    }
}

/// Add records until a block is full, or there are no more.
fn next_records(
    db: &Db,
    range: &mut Range<'static, u128, &'static [u8]>,
    encoder: &mut Encoder,
    seen: &mut Tally,
) -> Result<Option<Bytes>, StorageError> {
    for item in range {
        let (key, value) = item.map_err(|error| db.failed("read", error))?;
        let revision = layout::revision(key.value());
        // A damaged record must not spread.
        let body = layout::unseal(key.value(), value.value());
        let body = body.map_err(|_| StorageError::record(&db.path, revision))?;
        let bytes = layout::RECORD_OVERHEAD + body.len() as u64;
        seen.add(Kind::Record, key.value(), layout::seal_of(value.value()), bytes);
        if let Some(block) = encoder.record(revision, body) {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// A generation built from an image: complete and durable, not yet current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its number, for [`activate`](crate::activate).
    pub generation: u64,
    /// Its file.
    pub path: PathBuf,
    /// The facts it carries.
    pub meta: Meta,
}

/// Builds the next generation from the parts of an image. Dropped before it is finished, it deletes what it
/// has built.
pub struct ImageWriter {
    dir: PathBuf,
    generation: u64,
    staging: PathBuf,
    /// None once closed.
    db: Option<Db>,
    decoder: Decoder,
    meta: Option<Meta>,
    tally: Tally,
}

impl ImageWriter {
    /// Begin one beside the directory's current generation. One at a time.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(dir: &Path, options: &Options) -> Result<ImageWriter, StorageError> {
        let generation = generation::next(dir)?;
        let staging = generation::staging_path(dir, generation);
        let db = Some(Db::create(&staging, options)?);
        let (dir, decoder) = (dir.to_owned(), Decoder::default());
        Ok(ImageWriter { dir, generation, staging, db, decoder, meta: None, tally: Tally::default() })
    }

    /// The facts, once the first block has come.
    pub fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    /// Take the next part of the stream, cut anyhow.
    ///
    /// # Errors
    /// [`StorageError::Image`] when the stream is faulty, others when the disk is. Drop the writer.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), StorageError> {
        self.decoder.feed(chunk);
        while let Some(block) = self.decoder.next_block().map_err(|error| self.faulty(error))? {
            match block {
                Block::Begin(meta) => self.meta = Some(meta),
                Block::Records(records) => self.write_records(&records)?,
                Block::Leases(leases) => self.write_leases(&leases)?,
                Block::End => {}
            }
        }
        Ok(())
    }

    /// Make the generation complete and durable.
    ///
    /// # Errors
    /// [`StorageError::Image`] when the stream has not come to its end, others when the disk refuses.
    pub fn finish(mut self) -> Result<Image, StorageError> {
        self.decoder.finish().map_err(|error| self.faulty(error))?;
        let meta = self.meta.take().ok_or_else(|| self.faulty(ImageError::Length))?;
        let tally = self.tally;
        self.transact(Durability::Immediate, |txn| database::put_facts(txn, &meta, &tally))?;
        if let Some(db) = self.db.take() {
            db.close()?;
        }
        let path = generation::complete_staged(&self.dir, self.generation)?;
        Ok(Image { generation: self.generation, path, meta })
    }

    fn write_records(&mut self, records: &[(Revision, Bytes)]) -> Result<(), StorageError> {
        for (_, body) in records {
            layout::take_body(body.clone()).map_err(|error| self.faulty(error.into()))?;
        }
        let mut tally = self.tally;
        self.transact(Durability::None, |txn| {
            let mut table = txn.open_table(database::RECORDS)?;
            let mut cursor = table.upper_bound_mut(Bound::<u128>::Unbounded)?;
            let mut sealed = Vec::new();
            for (revision, body) in records {
                let key = layout::key(*revision);
                layout::seal(&mut sealed, key, |out| out.extend_from_slice(body));
                cursor.insert_before(key, &sealed[..])?;
                let bytes = layout::RECORD_OVERHEAD + body.len() as u64;
                tally.add(Kind::Record, key, layout::seal_of(&sealed), bytes);
            }
            Ok(cursor.close()?)
        })?;
        self.tally = tally;
        Ok(())
    }

    fn write_leases(&mut self, leases: &[(LeaseId, i64)]) -> Result<(), StorageError> {
        let mut tally = self.tally;
        self.transact(Durability::None, |txn| {
            let mut table = txn.open_table(database::LEASES)?;
            let mut sealed = Vec::new();
            for (id, ttl) in leases {
                layout::seal_lease(&mut sealed, *id, *ttl);
                table.insert(id, &sealed[..])?;
                tally.add(Kind::Lease, layout::lease_key(*id), layout::seal_of(&sealed), layout::LEASE_BYTES);
            }
            Ok(())
        })?;
        self.tally = tally;
        Ok(())
    }

    /// One transaction on the staged file. Only the last is made durable: before that, the file has no name.
    fn transact(
        &self,
        durability: Durability,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StorageError> {
        let db = self.db.as_ref().expect("open until finished");
        let run = || -> Result<(), redb::Error> {
            let mut txn = db.engine.begin_write()?;
            txn.set_durability(durability)?;
            work(&txn)?;
            Ok(txn.commit()?)
        };
        run().map_err(|error| db.failed("write", error))
    }

    fn faulty(&self, source: ImageError) -> StorageError {
        StorageError::Image { path: self.staging.clone(), source }
    }
}

impl Drop for ImageWriter {
    fn drop(&mut self) {
        drop(self.db.take());
        // After `finish` there is no such file. If it cannot be deleted now, the next open does it.
        let _ = generation::remove(&self.staging);
    }
}
