//! The image of a state: what a snapshot sends from one node to another.
//!
//! A stream of blocks, each with a header of 16 bytes:
//!
//! ```text
//! offset  0     2        3     4     8         12
//!         "Qi"  version  kind  len   sequence  crc32c of bytes 0..12 and the payload
//! ```
//!
//! | kind | payload |
//! |---|---|
//! | 1 begin | the facts |
//! | 2 records | times: main (8), sub (8), length (4), body |
//! | 3 leases | times: id (8), granted seconds (8) |
//! | 4 end | how many records (8) and leases (8) went before, crc32c of all blocks' checksums (4) |
//!
//! First the begin block, then records in ascending order, leases in ascending order, the end block. A block
//! holds about [`BLOCK_BYTES`], or a single larger record. Sequence numbers and the counts at the end leave
//! no room for a lost, doubled or reordered block.
//!
//! [`encode`] and [`decode`] work on any [`Storage`], in memory at once: for simulated nodes and tests. Nodes
//! with files stream with [`ImageReader`](crate::ImageReader) and [`ImageWriter`](crate::ImageWriter); the
//! bytes are the same.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_kv::{LeaseId, Meta, Record, Revision, Storage};
use quorate_protocol::codec::{Malformed, Reader};

use crate::layout;

/// About how much a block holds.
pub const BLOCK_BYTES: usize = 256 << 10;

/// The most a block may hold; a record is far smaller.
const MAX_BLOCK_BYTES: usize = 64 << 20;

/// This layout's number.
const VERSION: u8 = 2;
const MAGIC: [u8; 2] = *b"Qi";
const HEADER_BYTES: usize = 16;

const BEGIN: u8 = 1;
const RECORDS: u8 = 2;
const LEASES: u8 = 3;
const END: u8 = 4;

/// Why a stream is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Not an image.
    #[error("the stream does not hold an image")]
    Magic,
    /// An image of another release.
    #[error(
        "the image has format {found}, this release reads format {VERSION}: run the same release on all members"
    )]
    Version {
        /// Its number.
        found: u8,
    },
    /// Damaged.
    #[error("block {sequence} fails its checksum")]
    Checksum {
        /// Which block.
        sequence: u32,
    },
    /// A block is missing, doubled or out of place.
    #[error("block {found} follows where block {expected} should: blocks are missing or out of order")]
    Sequence {
        /// The one expected.
        expected: u32,
        /// The one found.
        found: u32,
    },
    /// It ends too early, or goes on after its end.
    #[error("the image is incomplete or goes on after its end")]
    Length,
    /// The checksums hold and the content makes no sense: a fault of the sender.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

/// One block, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Begin(Meta),
    /// Records by revision, their bodies not yet decoded.
    Records(Vec<(Revision, Bytes)>),
    Leases(Vec<(LeaseId, i64)>),
    End,
}

/// Makes blocks.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    sequence: u32,
    chain: u32,
    records: u64,
    leases: u64,
    payload: Vec<u8>,
}

impl Encoder {
    fn block(&mut self, kind: u8) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.payload.len());
        out.put_slice(&MAGIC);
        out.put_u8(VERSION);
        out.put_u8(kind);
        out.put_u32_le(u32::try_from(self.payload.len()).expect("a block is shorter than 4 GiB"));
        out.put_u32_le(self.sequence);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out), &self.payload);
        out.put_u32_le(crc);
        out.put_slice(&self.payload);
        self.payload.clear();
        self.sequence += 1;
        self.chain = crc32c::crc32c_append(self.chain, &crc.to_le_bytes());
        out.freeze()
    }

    pub(crate) fn begin(&mut self, meta: &Meta) -> Bytes {
        self.payload.extend_from_slice(&layout::encode_meta(meta));
        self.block(BEGIN)
    }

    /// Whether the block under way should be closed before `more` bytes are added.
    fn is_full(&self, more: usize) -> bool {
        !self.payload.is_empty() && self.payload.len() + more > BLOCK_BYTES
    }

    /// Add a record; returns the block before it when that is full.
    pub(crate) fn record(&mut self, revision: Revision, body: &[u8]) -> Option<Bytes> {
        let full = self.is_full(20 + body.len()).then(|| self.block(RECORDS));
        self.payload.extend_from_slice(&revision.main.to_le_bytes());
        self.payload.extend_from_slice(&revision.sub.to_le_bytes());
        let len = u32::try_from(body.len()).expect("a record is shorter than 4 GiB");
        self.payload.extend_from_slice(&len.to_le_bytes());
        self.payload.extend_from_slice(body);
        self.records += 1;
        full
    }

    /// Close the last block of records; leases follow.
    pub(crate) fn records_done(&mut self) -> Option<Bytes> {
        (!self.payload.is_empty()).then(|| self.block(RECORDS))
    }

    pub(crate) fn lease(&mut self, id: LeaseId, ttl: i64) -> Option<Bytes> {
        let full = self.is_full(16).then(|| self.block(LEASES));
        self.payload.extend_from_slice(&id.to_le_bytes());
        self.payload.extend_from_slice(&ttl.to_le_bytes());
        self.leases += 1;
        full
    }

    /// Close the last block of leases; the end follows.
    pub(crate) fn leases_done(&mut self) -> Option<Bytes> {
        (!self.payload.is_empty()).then(|| self.block(LEASES))
    }

    pub(crate) fn end(&mut self) -> Bytes {
        for part in [&self.records.to_le_bytes()[..], &self.leases.to_le_bytes(), &self.chain.to_le_bytes()] {
            self.payload.extend_from_slice(part);
        }
        self.block(END)
    }
}

/// Reads blocks from bytes that may arrive in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    sequence: u32,
    chain: u32,
    records: u64,
    leases: u64,
    last: Option<Revision>,
    last_lease: Option<LeaseId>,
    ended: bool,
}

impl Decoder {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// The next whole block, or none until more bytes arrive.
    pub(crate) fn next_block(&mut self) -> Result<Option<Block>, ImageError> {
        let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| header[at + i]));
        if header[..2] != MAGIC {
            return Err(ImageError::Magic);
        }
        if header[2] != VERSION {
            return Err(ImageError::Version { found: header[2] });
        }
        let (kind, len, found, crc) = (header[3], word(4) as usize, word(8), word(12));
        if len > MAX_BLOCK_BYTES {
            return Err(ImageError::Checksum { sequence: self.sequence });
        }
        let Some(whole) = self.buffer.get(..HEADER_BYTES + len) else { return Ok(None) };
        let actual = crc32c::crc32c_append(crc32c::crc32c(&whole[..12]), &whole[HEADER_BYTES..]);
        if actual != crc {
            return Err(ImageError::Checksum { sequence: self.sequence });
        }
        if self.ended {
            return Err(ImageError::Length);
        }
        if found != self.sequence {
            return Err(ImageError::Sequence { expected: self.sequence, found });
        }
        let mut whole = self.buffer.split_to(HEADER_BYTES + len).freeze();
        whole.advance(HEADER_BYTES);
        let block = self.take(kind, whole)?;
        self.sequence += 1;
        self.chain = crc32c::crc32c_append(self.chain, &crc.to_le_bytes());
        Ok(Some(block))
    }

    fn take(&mut self, kind: u8, payload: Bytes) -> Result<Block, ImageError> {
        if (kind == BEGIN) != (self.sequence == 0) {
            return Err(Malformed("image: the begin block comes first and once").into());
        }
        let mut input = Reader::new(payload.clone());
        match kind {
            BEGIN => Ok(Block::Begin(layout::decode_meta(payload)?)),
            RECORDS => {
                let mut records = Vec::new();
                while input.remaining() > 0 {
                    let revision = Revision { main: input.i64()?, sub: input.i64()? };
                    if self.last >= Some(revision) {
                        return Err(Malformed("image: revisions are out of order").into());
                    }
                    self.last = Some(revision);
                    records.push((revision, input.bytes()?));
                }
                self.records += records.len() as u64;
                Ok(Block::Records(records))
            }
            LEASES => {
                let mut leases = Vec::new();
                while input.remaining() > 0 {
                    let (id, ttl) = (input.i64()?, input.i64()?);
                    if self.last_lease >= Some(id) {
                        return Err(Malformed("image: leases are out of order").into());
                    }
                    self.last_lease = Some(id);
                    leases.push((id, ttl));
                }
                self.leases += leases.len() as u64;
                Ok(Block::Leases(leases))
            }
            END => {
                let told = (input.u64()?, input.u64()?, input.u32()?);
                if input.remaining() > 0 || told != (self.records, self.leases, self.chain) {
                    return Err(ImageError::Length);
                }
                self.ended = true;
                Ok(Block::End)
            }
            _ => Err(Malformed("image: unknown kind of block").into()),
        }
    }

    /// That the end block has come and nothing after it.
    pub(crate) fn finish(&self) -> Result<(), ImageError> {
        match self.ended && self.buffer.is_empty() {
            true => Ok(()),
            false => Err(ImageError::Length),
        }
    }
}

/// The image of any storage, whole.
pub fn encode(storage: &dyn Storage) -> Vec<Bytes> {
    let mut encoder = Encoder::default();
    let mut blocks = vec![encoder.begin(&storage.meta())];
    let mut body = Vec::new();
    storage.scan(Revision { main: i64::MIN, sub: i64::MIN }, &mut |revision, record| {
        body.clear();
        layout::put_body(&mut body, &record);
        blocks.extend(encoder.record(revision, &body));
        true
    });
    blocks.extend(encoder.records_done());
    for (id, ttl) in storage.leases() {
        blocks.extend(encoder.lease(id, ttl));
    }
    blocks.extend(encoder.leases_done());
    blocks.push(encoder.end());
    blocks
}

/// Fill an empty storage from a whole image, cut into pieces anyhow; returns the facts, which are set last.
///
/// # Errors
/// The pieces are no image. What came before the fault has been put into the storage: throw it away.
pub fn decode<'a>(
    pieces: impl IntoIterator<Item = &'a Bytes>,
    storage: &mut dyn Storage,
) -> Result<Meta, ImageError> {
    let mut decoder = Decoder::default();
    let mut meta = None;
    for piece in pieces {
        decoder.feed(piece);
        while let Some(block) = decoder.next_block()? {
            match block {
                Block::Begin(begin) => meta = Some(begin),
                Block::Records(records) => insert(storage, records)?,
                Block::Leases(leases) => leases.into_iter().for_each(|(id, ttl)| storage.put_lease(id, ttl)),
                Block::End => {}
            }
        }
    }
    decoder.finish()?;
    let meta = meta.ok_or(ImageError::Length)?;
    storage.set_meta(&meta);
    Ok(meta)
}

fn insert(storage: &mut dyn Storage, records: Vec<(Revision, Bytes)>) -> Result<(), ImageError> {
    for (revision, body) in records {
        // A copy of its own: a slice would keep the whole block in memory.
        let record: Record = layout::take_body(Bytes::copy_from_slice(&body))?;
        storage.insert(revision, record);
    }
    Ok(())
}
