//! The write-ahead log of a node: the only place where an acknowledged change must be before it is
//! acknowledged.
//!
//! One log serves all the groups of a node. What the consensus cores ask to be written ([`WriteOp`]) is
//! buffered by [`Wal::append`] and made durable by [`Wal::commit`]: everything waiting becomes *one*
//! frame, with one vectored write and one fdatasync (group commit). Everything else in this crate exists
//! for the day after: to find again, after a crash, exactly what had been acknowledged, and to say so
//! when that is impossible.
//!
//! # Files
//!
//! All live in one flat directory, reached through the [`Disk`] trait: [`RealDisk`] in production,
//! [`MemoryDisk`] in tests and in the simulator, where unsynced sectors can be lost, kept or torn at
//! will.
//!
//! | name | what it is |
//! |---|---|
//! | `superblock-a`, `superblock-b` | whose log this is ([`Identity`]), and the newest segment; two copies |
//! | `wal-NNNNNNNNNNNNNNNN.log` | a segment, by its number in hexadecimal, from 1 without gaps |
//! | `wal-next.tmp`, `superblock.tmp` | a file being made; meaningless after a crash, removed at open |
//!
//! A segment is allocated and zero-filled to its full length before its first use, so that an fdatasync
//! has data to write and no metadata. Its number is its *generation*: a segment whose entries have all
//! been purged is renamed to the next number and used again with its old bytes in it, and since every
//! frame's checksum covers the segment's number and the frame's offset, none of those old bytes can pass
//! for a frame of the new generation. For the same reason a write that the disk put in the wrong place
//! is noticed.
//!
//! # A frame
//!
//! Frames begin at sector boundaries (512 bytes) and are padded with zeros to the next one: no write ever
//! touches a sector that holds an acknowledged frame (but see below on the last one, at recovery). All
//! integers are little-endian, checksums are CRC-32C.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | header checksum, over a salt (from the identity), segment number, offset, bytes 4..40 |
//! | 4..8 | payload checksum |
//! | 8..12 | header checksum of the frame before this one (the chain) |
//! | 12..16 | payload length |
//! | 16..24 | sequence: 1 for the log's first frame, then one more each |
//! | 24..28 | generation: the low half of the segment's number |
//! | 28..32 | kind: 1 start, 2 operations, 3 seal |
//! | 32..36, 36..40 | summary length, summary checksum |
//! | 40.. | summary, payload, then zeros up to the sector boundary |
//!
//! - *Start* is the first frame of every segment. Its payload is the segment's length in bytes (u64). It
//!   is written together with a seal and synced before anything follows it.
//! - *Operations* carry, until the payload ends: group (u32), count (u32), that many [`WriteOp`]s.
//! - *Seal* has no payload, and the sequence number the next frame will have; that frame overwrites it.
//!
//! The *summary* tells what the groups were like just before the frame: first a sequence number (u64)
//! and a count (u32), then per group
//!
//! | bytes | field |
//! |---|---|
//! | 4 | its number |
//! | 1 | the form of its log, in the low two bits: 0 never written, 1 appended, 2 put; 4, 8, 16: which of the last three fields follow |
//! | 16 | promised [`Ballot`](quorate_protocol::Ballot) |
//! | 24 | base [`LogId`](quorate_protocol::LogId): the entry before its first |
//! | 8 | its greatest index |
//! | 24 | what it ever held: appended, the greatest entry by (round, index) that it was not asked to truncate; put, the greatest ballot and, apart from that, the greatest index |
//! | 8, 8, 8 | of entries that were replaced: the last frame that did it (or put any), the lowest index in this segment, and what a recovery made of it |
//! | 16 | joined ballot, unless it is nothing |
//! | 24 | put: what it had held by the time of its last damage, if there was any |
//! | 8 | the last frame that reset it, if any did |
//!
//! A start frame tells of all groups: nothing that earlier
//! segments said of promises and bases is needed after it. So does every other frame, while there are no
//! more than 64 groups; with more of them a frame tells of those that the one before it changed, and the
//! sequence number says so.
//!
//! # Torn, or damaged?
//!
//! A crash may leave the last frame half written. It was never acknowledged, so it is dropped. Rot, a bug
//! or a lying disk may spoil any other frame; it *was* acknowledged, and dropping it would let this node
//! deny a vote or an entry that others count on. The two look alike, and one rule tells them apart:
//!
//! > Frame N+1 is written only after the fdatasync of frame N has returned.
//!
//! So whenever an invalid frame N is followed, anywhere, by a valid *header* of a later frame of the
//! same generation, frame N had been durable, and it is damaged. Otherwise frame N is a torn tail. A
//! header is proof enough: it fits its sector, and its payload may itself be torn.
//!
//! By that rule the last acknowledged frame of an idle log would have no witness. [`Wal::seal`] gives it
//! one: a frame without operations, written without waiting for the disk, after the commit that it
//! vouches for. The subtle cases:
//!
//! - *A seal lost or torn by a crash.* It has no sequence number of its own: the next frame takes its
//!   place and number, so nothing ever depends on a seal having reached the disk.
//! - *A crash while the next frame overwrites the seal.* Both headers are in one sector; either of them
//!   is a witness for the frame before.
//! - *A process killed between write and fdatasync* leaves a frame that is whole in the page cache but
//!   not on the disk. Recovery therefore syncs before it lets anyone act on what it read. And a process
//!   that ended because this very fdatasync failed leaves a frame that the kernel takes for clean
//!   although it is not on the disk: recovery writes the last frame again, with the same bytes, before
//!   it syncs.
//! - *A torn frame dropped, then another crash.* Recovery puts a seal over the torn frame's header and
//!   syncs it before anything is appended, so that sectors of two unacknowledged frames can never combine
//!   into a valid one.
//! - *A crash between the creation of a segment and its start frame* leaves a segment that was never
//!   used; it is removed at open.
//! - *A whole segment gone, or the start frame of one.* The superblock holds the number of the newest
//!   segment begun, written after its start frame and before its first operations: up to there something
//!   had been durable. Segments leave from the oldest on, one at a time, with the directory synced in
//!   between, and what they held must be covered by the purged base.
//! - *A write that the disk acknowledged and lost.* The old bytes fail the checksum or are zeros; the
//!   frame after is the witness.
//!
//! What cannot be told: rot in the very last frame when the node lost power before its seal reached the
//! disk, or in the last frame and its seal at once.
//!
//! # Reading around damage
//!
//! A damaged log is opened all the same if the rest of it tells two things of every group: its last
//! promise, and the greatest entry, by (round, index), that it ever held. Then the replica neither
//! breaks a promise nor denies an entry: [`Recovered::held`] tells it how far its log had reached, and
//! what of it is missing comes from its peers. Recovery goes on at the first later frame with a readable
//! summary, which tells both, and where the log began and ended. A run of damaged frames, a start frame,
//! a whole segment: it is all the same as long as anything after it can be read. A sector that the
//! device cannot read (EIO) is damage of the frames that touch it.
//!
//! What is given to a replica that appends ([`WriteOp::Append`]) is always a *prefix* of what it had. Entries
//! from before the gap are
//! kept as far as no lost frame can have replaced them, which the summary tells too (it may tell too
//! little, and then entries are fetched that were there). Entries from after the gap are of no use
//! without those before, unless the caller of [`Wal::open_at`] has a state machine that is past the gap;
//! then the log begins after that.
//!
//! Nothing is rewritten: the damage stays where it is, and every later start goes around it again, until
//! its segment is purged. But what recovery made of it is recorded, in the seal it puts at the end and
//! in the next frame's summary: from there the log goes on as if the missing entries had been cut off,
//! but for `held`, which never goes down. So it does not matter whether the replica has refilled its
//! log, in part or at all, when the next crash, or the next damage, comes; nor whether a sector is
//! readable again that was not.
//!
//! Refused, with [`WalError::Damaged`] and the directory left as it is, is a log of which something had
//! been durable after the last summary that can be read:
//!
//! - a valid header stands there, but its summary is damaged too;
//! - the superblock knows of a segment of which nothing can be read, or the newest one is shorter than
//!   it was, as its start frame says or, if that is lost as well, the room that is missing for the next seal;
//! - the device cannot read where the log seems to end, and there is no seal to vouch for that.
//!
//! One damaged place alone (a bit, a sector, a frame) leads to none of these, except the last: a sector
//! that can no longer be read just where the next frame would go. Refused is also what no disk does:
//! frames that are valid and contradict each other, a log put together from two. A superblock copy that
//! is damaged is replaced from the other.
//!
//! # Logs of slots
//!
//! A replica that puts its entries slot by slot ([`WriteOp::Put`], Paxos) is in another position. Nothing can be cut
//! off: each slot tells what an acceptor has accepted there, holes are nothing special, and an entry that was read is
//! a true answer even if a later one of the same slot is lost. It may only be too old an answer. So after damage
//! all readable entries are given, and [`Recovered::held`], which is nothing otherwise, is the greatest ballot and
//! the greatest index that lost frames can have put, each for itself: there is no slot beyond that index and no
//! acceptance beyond that ballot that the replica would deny by going on from what was read. Until every slot up
//! to that index is chosen, or accepted anew at that ballot or a later one, it must promise nothing. Promise, joined
//! ballot and base are told exactly, as ever.
//!
//! The pair is what the summary *after* the gap tells, so every start that goes around the same damage comes to the same
//! pair, whatever has been put since. It is recorded with the rest of what recovery made of the damage, and never
//! goes down: later starts tell it after refilling, after the segment is gone, and when the sector has
//! become readable again (then newer entries appear, and all of them are within the pair). A lost frame
//! that cannot have put anything in a group leaves that group alone; nor is there any doubt of what is purged by now.
//!
//! Entries at or before the caller's `applied` ([`Wal::open_at`]) are dropped where a lost frame may have put others:
//! another
//! value may have been chosen there than the one that could be read, and a replica does not look again at what is
//! applied.
//!
//! A segment is used again when every entry put in it is purged, a newer one of the same slot or not; a segment with a
//! lost frame, when everything is purged that the frame can have put.
//!
//! A log that holds entries of one form refuses the other's operations, for a mixture could not be read back.
//!
//! # Failure
//!
//! A failed write or fsync poisons the log: every later call returns the same error, and the host must
//! end the process. After a failed fsync the kernel marks the pages clean, so trying again would
//! "succeed" without the data being on the disk.
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
//! wal.append(7, &[WriteOp::Meta { promised, joined: Default::default() }])?;
//! wal.commit()?; // durable from here on
//! wal.seal()?;
//! drop(wal);
//! let (_, found) = Wal::open(disk, Options::default(), &identity)?;
//! assert_eq!(found[&7].promised, promised);
//! # Ok::<(), quorate_wal::WalError>(())
//! ```
#![forbid(unsafe_code)]

mod damage;
mod disk;
mod error;
mod frame;
mod groups;
mod memory;
mod memory_file;
mod pool;
mod real;
mod recovery;
mod replay;
mod scrub;
mod segment;
mod superblock;
mod track;
mod wal;
mod walk;

pub use damage::Damage;
pub use disk::{Disk, DiskFile};
pub use error::WalError;
pub use memory::{MemoryDisk, Operation, Verdict};
pub use memory_file::MemoryFile;
pub use pool::Preparer;
pub use real::{RealDisk, RealFile};
pub use replay::Missing;
pub use superblock::Identity;
pub use wal::{Metrics, Options, Position, Wal};

#[doc(no_inline)]
pub use quorate_protocol::{Recovered, WriteOp};

/// The number of a consensus group; all groups of a node share its log.
pub type GroupId = u32;
