//! What recovery found damaged and could read around.

use std::fmt;

/// A place in the log's files that cannot be read any more.
///
/// Nothing in it is denied: what the frames after it tell, or the other copy, has made up for it as far as
/// can be; entries that were in it are named by [`Wal::missing`](crate::Wal::missing). It stays where it is, and is
/// found again at every start, until its segment is no longer needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// The sequence number of the first frame that cannot be read; 0 if it is unknown, or no frame.
    pub sequence: u64,
    /// How many frames that is; 0 if it is unknown, or none.
    pub frames: u64,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at byte {}", self.file, self.offset)?;
        match (self.sequence, self.frames) {
            (0, _) | (_, 0) => {}
            (first, 1) => write!(f, " (frame {first})")?,
            (first, frames) => write!(f, " (frames {first} to {})", first.saturating_add(frames - 1))?,
        }
        write!(f, ": {}", self.why)
    }
}
