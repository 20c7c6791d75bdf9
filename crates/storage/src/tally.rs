//! What the file ought to hold: counts and a sum over everything stored.
//!
//! A record that is there proves itself by its checksum; one that is missing proves nothing. So the facts of a
//! checkpoint carry a [`Tally`], kept up with every change: how many records and leases there are, and a sum over
//! the checksums of all of them, whatever their order. A reader that has seen all of them can tell whether it has:
//! an opening store, and an image before it is called complete.
//!
//! The sum is of mixed 64-bit numbers, one for each stored value, so what is added can be taken away again. It is
//! made against accidents, not against an adversary, who could write a matching one.

use quorate_protocol::codec::{Malformed, Reader};

/// See the module's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Bytes in use.
    pub(crate) in_use: u64,
    records: u64,
    leases: u64,
    sum: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Record,
    Lease,
}

/// A number that differs in about half of its bits for any two stored values (the finisher of SplitMix64).
fn mixed(kind: Kind, key: u128, seal: u32) -> u64 {
    let place = (key as u64).rotate_left(32) ^ (key >> 64) as u64;
    let mut word = place ^ u64::from(seal) ^ ((kind as u64 + 1) << 62);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Tally {
    fn count(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Record => &mut self.records,
            Kind::Lease => &mut self.leases,
        }
    }

    /// A value of so many bytes, sealed so, is stored under `key`.
    pub(crate) fn add(&mut self, kind: Kind, key: u128, seal: u32, bytes: u64) {
        *self.count(kind) += 1;
        self.in_use += bytes;
        self.sum = self.sum.wrapping_add(mixed(kind, key, seal));
    }

    /// A value is gone. Cannot go below nothing, as what is removed was added once; should the file be damaged in
    /// that very place, the sum no longer fits and the next to look says so.
    pub(crate) fn remove(&mut self, kind: Kind, key: u128, seal: u32, bytes: u64) {
        let count = self.count(kind);
        *count = count.saturating_sub(1);
        self.in_use = self.in_use.saturating_sub(bytes);
        self.sum = self.sum.wrapping_sub(mixed(kind, key, seal));
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.in_use, self.records, self.leases, self.sum]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    pub(crate) fn decode(body: bytes::Bytes) -> Result<Tally, Malformed> {
        let mut input = Reader::new(body);
        let (in_use, records) = (input.u64()?, input.u64()?);
        let (leases, sum) = (input.u64()?, input.u64()?);
        match input.remaining() {
            0 => Ok(Tally { in_use, records, leases, sum }),
            _ => Err(Malformed("tally: trailing bytes")),
        }
    }

    /// How this one, of what was found, differs from what ought to be there.
    pub(crate) fn compare(&self, expected: &Tally) -> Result<(), String> {
        if self == expected {
            return Ok(());
        }
        let Tally { records, leases, .. } = expected;
        let found = format!("it holds {} records and {} leases", self.records, self.leases);
        Err(match (self.records, self.leases) == (*records, *leases) {
            true => format!("{found}, and not those that were written"),
            false => format!("{found} where {records} and {leases} were written"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever was added and removed, in any order, what remains counts; and anything else is told apart.
        #[test]
        fn a_tally_is_of_what_remains(
            stored in proptest::collection::btree_map((any::<bool>(), any::<u128>()), any::<u32>(), 1..20),
            gone in proptest::collection::btree_map(any::<u128>(), any::<u32>(), 0..20),
            at: prop::sample::Index,
        ) {
            let kind = |lease: bool| if lease { Kind::Lease } else { Kind::Record };
            let mut tally = Tally::default();
            let mut plain = Tally::default();
            gone.iter().for_each(|(key, seal)| tally.add(Kind::Record, *key, *seal, 9));
            for ((lease, key), seal) in &stored {
                tally.add(kind(*lease), *key, *seal, 5);
                plain.add(kind(*lease), *key, *seal, 5);
            }
            gone.iter().for_each(|(key, seal)| tally.remove(Kind::Record, *key, *seal, 9));
            prop_assert_eq!(tally, plain);
            prop_assert_eq!(Tally::decode(tally.encode().into()), Ok(tally));
            let ((lease, key), seal) = stored.iter().nth(at.index(stored.len())).expect("one");
            let mut other = tally;
            other.remove(kind(*lease), *key, *seal, 5);
            prop_assert!(other.compare(&tally).is_err(), "one is missing");
            other.add(kind(*lease), *key, seal ^ 1, 5);
            prop_assert!(other.compare(&tally).is_err(), "another is in its place");
            other.remove(kind(*lease), *key, seal ^ 1, 5);
            other.add(kind(!lease), *key, *seal, 5);
            prop_assert!(other.compare(&tally).is_err(), "it became something else");
        }
    }
}
