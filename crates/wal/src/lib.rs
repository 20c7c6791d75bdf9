//! The write-ahead log of a node: the only place where an acknowledged change must be before it is
//! acknowledged.
//!
//! One log serves all the groups of a node. What the consensus cores ask to be written ([`WriteOp`]) is
//! buffered by [`Wal::append`] and made durable by [`Wal::commit`]: everything waiting becomes *one* frame,
//! with one vectored write and one fdatasync (group commit). Everything else in this crate exists for the
//! day after: to find again, after a crash, exactly what had been acknowledged, and to say so when that is
//! impossible.
//!
//! # Files
//!
//! All live in one flat directory, reached through the [`Disk`] trait: [`RealDisk`] in production,
//! [`MemoryDisk`] in tests and in the simulator, where unsynced sectors can be lost, kept or torn at will.
//!
//! | name | what it is |
//! |---|---|
//! | `superblock-a`, `superblock-b` | whose log this is ([`Identity`]), and the newest segment; two copies |
//! | `wal-NNNNNNNNNNNNNNNN.log` | a segment, by its number in hexadecimal, from 1 without gaps |
//! | `wal-next.tmp`, `superblock.tmp` | a file being made; meaningless after a crash, removed at open |
//!
//! A segment is allocated and zero-filled to its full length before its first use, so that an fdatasync has
//! data to write and no metadata. Its number is its *generation*: a segment whose entries have all been
//! purged is renamed to the next number and used again with its old bytes in it, and since every frame's
//! checksum covers the segment's number and the frame's offset, none of those old bytes can pass for a
//! frame of the new generation. For the same reason a write that the disk put in the wrong place is
//! noticed.
//!
//! # A frame
//!
//! Frames begin at sector boundaries (512 bytes) and are padded with zeros to the next one: no write ever
//! touches a sector that holds an acknowledged frame (but see below on the last one, at recovery). All
//! integers are little-endian, checksums are CRC-32C.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | header checksum, over a salt (from the identity), segment number, offset, bytes 4..32 |
//! | 4..8 | payload checksum |
//! | 8..12 | header checksum of the frame before this one (the chain) |
//! | 12..16 | payload length |
//! | 16..24 | sequence: 1 for the log's first frame, then one more each |
//! | 24..28 | generation: the low half of the segment's number |
//! | 28..32 | kind: 1 start, 2 operations, 3 seal |
//! | 32.. | payload, then zeros up to the sector boundary |
//!
//! - *Start* is the first frame of every segment. Its payload is the segment's length in bytes (u64), a
//!   count (u32), then per group its number (u32), promised [`Ballot`](quorate_protocol::Ballot), base
//!   [`LogId`](quorate_protocol::LogId) and last index (u64): what earlier segments said of promises and
//!   bases is no longer needed. It is synced on its own before anything follows it.
//! - *Operations* carry, until the payload ends: group (u32), count (u32), that many [`WriteOp`]s.
//! - *Seal* is empty and has the sequence number the next frame will have; that frame overwrites it.
//!
//! # Torn, or damaged?
//!
//! A crash may leave the last frame half written. It was never acknowledged, so it is dropped. Rot, a bug
//! or a lying disk may spoil any other frame; it *was* acknowledged, and dropping it would let this node
//! deny a vote or an entry that others count on. The two look alike, and one rule tells them apart:
//!
//! > Frame N+1 is written only after the fdatasync of frame N has returned.
//!
//! So whenever an invalid frame N is followed, anywhere, by a valid *header* of a later frame of the same
//! generation, frame N had been durable: that is [`WalError::Damaged`], nothing is truncated, and the text
//! says to restore the node from its peers. Otherwise frame N is a torn tail. A header is proof enough: it
//! fits its sector, and its payload may itself be torn.
//!
//! By that rule the last acknowledged frame of an idle log would have no witness. [`Wal::seal`] gives it
//! one: an empty frame, written without waiting for the disk, after the commit that it vouches for. The
//! subtle cases:
//!
//! - *A seal lost or torn by a crash.* It has no sequence number of its own: the next frame takes its place
//!   and number, so nothing ever depends on a seal having reached the disk.
//! - *A crash while the next frame overwrites the seal.* Seal and header share one sector; either of them
//!   is a witness for the frame before.
//! - *A process killed between write and fdatasync* leaves a frame that is whole in the page cache but not
//!   on the disk. Recovery therefore syncs before it lets anyone act on what it read. And a process that
//!   ended because this very fdatasync failed leaves a frame that the kernel takes for clean although it is
//!   not on the disk: recovery writes the last frame again, with the same bytes, before it syncs.
//! - *A torn frame dropped, then another crash.* Recovery puts a seal over the torn frame's header and
//!   syncs it before anything is appended, so that sectors of two unacknowledged frames can never combine
//!   into a valid one.
//! - *A crash between the creation of a segment and its start frame* leaves a segment that was never used;
//!   it is removed at open.
//! - *A whole segment gone, or the start frame of one.* The superblock holds the number of the newest
//!   segment begun, written after its start frame and before its first operations: up to that number, from
//!   the oldest on, every segment must be there and must begin with a valid start frame. Segments leave
//!   from the oldest on, one at a time, with the directory synced in between, and what they held must be
//!   covered by the purged base.
//! - *A write that the disk acknowledged and lost.* The old bytes fail the checksum or are zeros; the frame
//!   after is the witness.
//!
//! What cannot be told: rot in the very last frame when the node lost power before its seal reached the
//! disk.
//!
//! # Failure
//!
//! A failed write or fsync poisons the log: every later call returns the same error, and the host must end
//! the process. After a failed fsync the kernel marks the pages clean, so trying again would "succeed"
//! without the data being on the disk.
//!
//! # How a host drives it
//!
//! One thread holds the [`Wal`]: it appends what is waiting, commits, releases what waited for it, and
//! seals when there has been nothing to do for some milliseconds. After a change of segment
//! ([`Wal::wants_next`]) it wakes another thread that holds the [`Preparer`]. A simulator splits
//! [`Wal::commit`] into [`Wal::write`] and [`Wal::sync`], so that the power can fail in between.
//!
//! ```
//! use quorate_wal::{Identity, MemoryDisk, Options, Wal, WriteOp};
//!
//! let disk = MemoryDisk::new();
//! let identity = Identity { cluster: 1, node: 1, protocol: "raft".into() };
//! let (mut wal, found) = Wal::open(disk.clone(), Options::default(), &identity)?;
//! assert!(found.is_empty());
//! let promised = quorate_protocol::Ballot { round: 3, ..Default::default() };
//! wal.append(7, &[WriteOp::Meta { promised }])?;
//! wal.commit()?; // durable from here on
//! wal.seal()?;
//! drop(wal);
//! let (_, found) = Wal::open(disk, Options::default(), &identity)?;
//! assert_eq!(found[&7].promised, promised);
//! # Ok::<(), quorate_wal::WalError>(())
//! ```
#![forbid(unsafe_code)]

mod disk;
mod error;
mod frame;
mod groups;
mod memory;
mod memory_file;
mod pool;
mod real;
mod recovery;
mod segment;
mod superblock;
mod wal;

pub use disk::{Disk, DiskFile};
pub use error::WalError;
pub use memory::{MemoryDisk, Operation, Verdict};
pub use memory_file::MemoryFile;
pub use pool::Preparer;
pub use real::{RealDisk, RealFile};
pub use superblock::Identity;
pub use wal::{Metrics, Options, Position, Wal};

#[doc(no_inline)]
pub use quorate_protocol::{Recovered, WriteOp};

/// The number of a consensus group; all groups of a node share its log.
pub type GroupId = u32;
