//! Whose log this is, in two copies that are rewritten in turn.
//!
//! A copy is one sector, so a crash leaves it old or new; should it be lost all the same, the other is at
//! most one segment behind. A copy is first made under a temporary name and renamed once durable: an
//! unreadable copy is therefore damage and never "not written yet". Both are unreadable only after two
//! faults, and then the log is not opened.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | "QUORATE", 0 |
//! | 8..12 | format version |
//! | 12..16 | CRC-32C of the other 508 bytes |
//! | 16..24 | counter: the higher one is the newer copy; odd in `superblock-a`, even in `superblock-b` |
//! | 24..32, 32..40 | cluster, node |
//! | 40..48 | the newest segment begun, 0 while the log is being made |
//! | 48, 49..113 | length and bytes of the protocol's name |

use bytes::Bytes;

use crate::damage::Damage;
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::segment::{self, is_unreadable};

/// The format this program writes.
const VERSION: u32 = 3;

const MAGIC: [u8; 8] = *b"QUORATE\0";
const BYTES: usize = 512;
const PROTOCOL_BYTES: usize = 64;

/// A copy that is being made.
pub const NEXT: &str = "superblock.tmp";

/// The copies.
const FILES: [&str; 2] = ["superblock-b", "superblock-a"];

/// Who writes a log, and how. A log is never opened by anyone else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: u64,
    /// The node.
    pub node: u64,
    /// The consensus protocol, 1 to 64 bytes: each understands promises and entries in its own way.
    pub protocol: String,
}

impl Identity {
    /// Folded into every frame's checksum, so that another node's segment never fits in.
    pub(crate) fn salt(&self) -> u32 {
        let sum = crc32c::crc32c(&self.cluster.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &self.node.to_le_bytes());
        crc32c::crc32c_append(sum, self.protocol.as_bytes())
    }

    /// Refuse a log in `dir` whose identity is not `wanted`.
    fn check(&self, wanted: &Identity, dir: String) -> Result<(), WalError> {
        let foreign = |what, found: String, wanted: String| {
            Err(WalError::Foreign { dir: dir.clone(), what, found, wanted })
        };
        if self.protocol != wanted.protocol {
            return foreign("protocol", self.protocol.clone(), wanted.protocol.clone());
        }
        if self.cluster != wanted.cluster {
            return foreign("cluster", format!("{:x}", self.cluster), format!("{:x}", wanted.cluster));
        }
        if self.node != wanted.node {
            return foreign("node", format!("{:x}", self.node), format!("{:x}", wanted.node));
        }
        Ok(())
    }
}

/// One copy's content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Copy {
    counter: u64,
    newest: u64,
    identity: Identity,
}

impl Copy {
    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.counter.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.identity.cluster.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.identity.node.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.newest.to_le_bytes());
        let name = self.identity.protocol.as_bytes();
        bytes[48] = name.len() as u8;
        bytes[49..49 + name.len()].copy_from_slice(name);
        let sum = checksum(&bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The copy in `bytes`; `Err` has the version of a valid copy that this program cannot read.
    fn decode(bytes: &[u8; BYTES]) -> Result<Option<Copy>, u32> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if bytes[..8] != MAGIC || u32_at(12) != checksum(bytes) {
            return Ok(None);
        }
        if u32_at(8) != VERSION {
            return Err(u32_at(8));
        }
        let name = bytes.get(49..49 + usize::from(bytes[48]).min(PROTOCOL_BYTES)).unwrap_or_default();
        let protocol = String::from_utf8_lossy(name).into_owned();
        let identity = Identity { cluster: u64_at(24), node: u64_at(32), protocol };
        Ok(Some(Copy { counter: u64_at(16), newest: u64_at(40), identity }))
    }
}

fn checksum(bytes: &[u8; BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

/// The superblock of an open log.
#[derive(Debug)]
pub struct Superblock<D> {
    disk: D,
    current: Copy,
    /// Which copies' files exist.
    exists: [bool; 2],
    /// Whether a copy was lost, so that `newest` may be one behind.
    pub doubtful: bool,
    /// That copy.
    pub damage: Option<Damage>,
}

impl<D: Disk> Superblock<D> {
    /// What the directory holds; nothing if it never held a log.
    pub fn load(disk: &D) -> Result<Option<Self>, WalError> {
        let files = disk.list().map_err(|error| WalError::io("list", disk.path(""), error))?;
        let mut copies = Vec::new();
        let mut exists = [false; 2];
        for (slot, file) in FILES.into_iter().enumerate() {
            exists[slot] = files.iter().any(|name| name == file);
            if exists[slot] {
                copies.extend(read(disk, file)?);
            }
        }
        let all = copies.len() == 2;
        match copies.into_iter().max_by_key(|copy| copy.counter) {
            Some(current) => {
                let doubtful = !all && current.newest > 0;
                let damage = doubtful.then(|| lost(disk, &current, exists));
                Ok(Some(Superblock { disk: disk.clone(), current, exists, doubtful, damage }))
            }
            None if exists != [false; 2] => Err(WalError::Superblock {
                file: disk.path(FILES[usize::from(exists[1])]),
                why: "no copy of it can be read and has a valid checksum".into(),
            }),
            None if files.iter().any(|file| segment::number_of(file).is_some()) => {
                Err(WalError::Superblock {
                    file: disk.path(FILES[1]),
                    why: "it is missing, although the directory holds a log".into(),
                })
            }
            None => Ok(None),
        }
    }

    /// Check that the directory is `identity`'s, and make it so if it is nobody's.
    pub fn open(disk: &D, identity: &Identity) -> Result<Self, WalError> {
        if !(1..=PROTOCOL_BYTES).contains(&identity.protocol.len()) {
            return Err(WalError::ProtocolName { protocol: identity.protocol.clone() });
        }
        if let Some(found) = Self::load(disk)? {
            found.current.identity.check(identity, disk.path(""))?;
            return Ok(found);
        }
        let current = Copy { counter: 0, newest: 0, identity: identity.clone() };
        let (exists, disk) = ([false; 2], disk.clone());
        let mut made = Superblock { disk, current, exists, doubtful: false, damage: None };
        made.save(0)?;
        Ok(made)
    }

    /// Whose log it is.
    pub fn identity(&self) -> &Identity {
        &self.current.identity
    }

    /// The newest segment begun, 0 while the log is being made.
    pub fn newest(&self) -> u64 {
        self.current.newest
    }

    /// Make durable that segment `newest` has been begun. Writes over the older copy.
    pub fn save(&mut self, newest: u64) -> Result<(), WalError> {
        let next =
            Copy { counter: self.current.counter + 1, newest, identity: self.current.identity.clone() };
        let slot = (next.counter % 2) as usize;
        let bytes = [Bytes::copy_from_slice(&next.encode())];
        let (disk, file) = (&self.disk, FILES[slot]);
        let place = |name: &str| disk.path(name);
        if self.exists[slot] {
            let handle = disk.open(file).map_err(|error| WalError::io("open", place(file), error))?;
            handle.write_at(&bytes, 0).map_err(|error| WalError::write(place(file), error))?;
            handle.sync().map_err(|error| WalError::sync(place(file), error))?;
        } else {
            let handle = disk.create(NEXT).map_err(|error| WalError::io("create", place(NEXT), error))?;
            handle.write_at(&bytes, 0).map_err(|error| WalError::write(place(NEXT), error))?;
            handle.sync().map_err(|error| WalError::sync(place(NEXT), error))?;
            disk.rename(NEXT, file).map_err(|error| WalError::io("rename", place(NEXT), error))?;
            disk.sync_dir().map_err(|error| WalError::sync(place(""), error))?;
            self.exists[slot] = true;
        }
        self.current = next;
        Ok(())
    }
}

/// What is to be said of the copy that is not `valid`.
fn lost<D: Disk>(disk: &D, valid: &Copy, exists: [bool; 2]) -> Damage {
    let slot = usize::from(valid.counter.is_multiple_of(2));
    let why = if exists[slot] { "it cannot be read or has no valid checksum" } else { "it is missing" };
    let why = format!("{why}; the other copy has been used, and this one is written anew");
    Damage { file: disk.path(FILES[slot]), offset: 0, sequence: 0, frames: 0, why }
}

/// One copy, if it is valid.
fn read<D: Disk>(disk: &D, file: &str) -> Result<Option<Copy>, WalError> {
    let fail = |error| WalError::io("read", disk.path(file), error);
    let handle = disk.open(file).map_err(fail)?;
    let mut bytes = [0; BYTES];
    if handle.size().map_err(fail)? < BYTES as u64 {
        return Ok(None);
    }
    match handle.read_at(&mut bytes, 0) {
        Err(error) if is_unreadable(&error) => return Ok(None),
        other => other.map_err(fail)?,
    }
    Copy::decode(&bytes).map_err(|found| WalError::Version { file: disk.path(file), found, known: VERSION })
}
