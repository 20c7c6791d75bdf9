//! What a transaction does at one site, and what carries it out.
//!
//! The core knows which keys and ranges are read and written, for these it locks; the payload it hands to a
//! [`Resource`]. etcd's Txn is one-shot: compares, and two branches, all known from the start. So all locks are taken
//! at once, at prepare: those of the compares and of both branches. Under them the resource says whether its compares
//! hold and what was read; once it is decided it is told which branch, for the branch is taken by the whole
//! transaction: all compares of all participants must hold for the first.

use alloc::vec::Vec;

use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

use crate::ids::{Timestamp, TxnId};

/// Participants of one transaction, at most.
pub const PARTICIPANTS: usize = 50;

/// Operations of one transaction, at most, at all participants together: an operation is a span read or written.
pub const OPERATIONS: usize = 128;

/// A key, or all keys from one on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// This key.
    Key(Bytes),
    /// All keys from the first on and before the second; without a second, all that follow.
    Range(Bytes, Option<Bytes>),
}

impl Span {
    /// Whether there is a key in both.
    pub fn overlaps(&self, other: &Span) -> bool {
        match (self, other) {
            (Span::Key(one), Span::Key(two)) => one == two,
            (Span::Key(key), Span::Range(start, end)) | (Span::Range(start, end), Span::Key(key)) => {
                start <= key && before(key, end)
            }
            (Span::Range(start, end), Span::Range(other_start, other_end)) => {
                let (first, last) = (start.max(other_start), smaller(end, other_end));
                before(first, last)
            }
        }
    }
}

fn before(key: &Bytes, end: &Option<Bytes>) -> bool {
    end.as_ref().is_none_or(|end| key < end)
}

fn smaller<'a>(one: &'a Option<Bytes>, two: &'a Option<Bytes>) -> &'a Option<Bytes> {
    match (one, two) {
        (None, end) | (end, None) => end,
        (Some(a), Some(b)) => {
            if a < b {
                one
            } else {
                two
            }
        }
    }
}

/// What a transaction does at one site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// What it may read, compares included.
    pub reads: Vec<Span>,
    /// What it may write, in either branch.
    pub writes: Vec<Span>,
    /// What the resource is to do.
    pub payload: Bytes,
}

impl Work {
    /// How many operations it is.
    pub fn operations(&self) -> usize {
        self.reads.len() + self.writes.len()
    }
}

/// What a resource says at prepare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Its compares hold.
    pub holds: bool,
    /// What was read; for the client, who knows how to take it apart.
    pub answer: Bytes,
}

/// What carries transactions out at a site: a store of several versions. Pure and deterministic: each replica of the
/// site has one, and they must stay the same, to the byte.
pub trait Resource: Sized {
    /// Look, under locks, and change nothing. No other transaction will change what is looked at before this one is
    /// decided.
    fn evaluate(&self, payload: &Bytes) -> Evaluation;

    /// Carry it out: the first branch or the second. What is answered goes to the client too, for example a revision.
    fn commit(&mut self, txn: TxnId, ts: Timestamp, payload: &Bytes, first: bool) -> Bytes;

    /// Read as of a moment: what was committed then or before. The payload is the caller's.
    fn read(&self, at: Timestamp, payload: &Bytes) -> Bytes;

    /// All of it, for an image.
    fn encode(&self, out: &mut Writer);

    /// From an image.
    ///
    /// # Errors
    /// If the bytes are not such an image.
    fn decode(input: &mut Reader) -> Result<Self, Malformed>;
}

impl Encode for Span {
    fn encode(&self, out: &mut Writer) {
        match self {
            Span::Key(key) => {
                out.u8(0);
                out.bytes(key);
            }
            Span::Range(start, end) => {
                out.u8(if end.is_some() { 1 } else { 2 });
                out.bytes(start);
                end.iter().for_each(|end| out.bytes(end));
            }
        }
    }
}

impl Decode for Span {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            0 => Span::Key(input.bytes()?),
            1 => Span::Range(input.bytes()?, Some(input.bytes()?)),
            2 => Span::Range(input.bytes()?, None),
            _ => return Err(Malformed("span")),
        })
    }
}

impl Encode for Work {
    fn encode(&self, out: &mut Writer) {
        out.list(&self.reads);
        out.list(&self.writes);
        out.bytes(&self.payload);
    }
}

impl Decode for Work {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let work = Work { reads: input.list()?, writes: input.list()?, payload: input.bytes()? };
        if work.operations() > OPERATIONS {
            return Err(Malformed("work of too many operations"));
        }
        Ok(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &'static str) -> Span {
        Span::Key(Bytes::from_static(key.as_bytes()))
    }

    fn range(start: &'static str, end: &'static str) -> Span {
        let end = (!end.is_empty()).then(|| Bytes::from_static(end.as_bytes()));
        Span::Range(Bytes::from_static(start.as_bytes()), end)
    }

    #[test]
    fn spans_overlap_where_they_share_a_key() {
        assert!(key("a").overlaps(&key("a")) && !key("a").overlaps(&key("aa")));
        assert!(range("a", "c").overlaps(&key("a")) && range("a", "c").overlaps(&key("bz")));
        assert!(!range("a", "c").overlaps(&key("c")) && range("a", "").overlaps(&key("z")));
        assert!(range("a", "c").overlaps(&range("b", "d")) && !range("a", "c").overlaps(&range("c", "d")));
        assert!(range("b", "").overlaps(&range("a", "c")) && !range("c", "").overlaps(&range("a", "c")));
        assert!(!range("c", "a").overlaps(&range("a", "z")), "an empty range shares nothing");
    }
}
