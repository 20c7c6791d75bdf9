//! What a check answers when a promise was broken, and the digest hosts use to name contents.

use alloc::string::String;
use core::fmt;

/// A broken property: which one, and the evidence in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the property, as in the table of the crate's documentation.
    pub property: &'static str,
    /// The conflicting observations, readable without the recording at hand. May span lines.
    pub detail: String,
}

impl Violation {
    /// A violation of `property`, with its evidence.
    pub fn new(property: &'static str, detail: impl Into<String>) -> Self {
        Self { property, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violated: {}", self.property, self.detail)
    }
}

impl core::error::Error for Violation {}

/// A 64-bit digest (FNV-1a) of an entry's contents, for the checks that compare contents between nodes.
///
/// It is not meant to resist an adversary: two contents a fault could confuse differ in it almost surely.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
