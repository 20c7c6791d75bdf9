//! What is asked: one prepared request, whose key is patched in place for every call.
//!
//! Keys are decimal numbers of a fixed width with leading zeros, so that every request of a run has the same
//! size, the keys of a run are one contiguous range, and a person can look one up. The value is one block of
//! pseudorandom bytes for the whole run, as in etcd's own load tool: a store that compresses gains nothing
//! inside a value.

use bytes::Bytes;
use prost::Message;
use quorate_api::proto::etcdserverpb::{PutRequest, RangeRequest};

/// In which order keys are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeyOrder {
    /// Uniformly, with repetition.
    Random,
    /// One after the other, beginning again at the end.
    Sequential,
}

/// The keys of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeySpace {
    /// How many there are.
    pub(crate) count: u64,
    /// How many digits each has.
    pub(crate) width: usize,
}

impl KeySpace {
    /// `None` when the largest key does not fit.
    pub(crate) fn new(count: u64, width: usize) -> Option<KeySpace> {
        let digits = count.checked_sub(1)?.to_string().len();
        (digits <= width).then_some(KeySpace { count, width })
    }

    /// The key with this number.
    pub(crate) fn key(&self, number: u64) -> Bytes {
        format!("{number:0width$}", width = self.width).into()
    }

    /// The half-open interval of keys that holds them all: after the largest key comes the key that follows it.
    pub(crate) fn interval(&self) -> (Bytes, Bytes) {
        let mut end = self.key(self.count - 1).to_vec();
        end.push(0);
        (self.key(0), end.into())
    }
}

/// A small generator with a seed, for keys and values: SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `bound`, up to a bias of `bound` in 2^64.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// A stream of requests for one method.
pub(crate) struct Load {
    /// The method's path.
    pub(crate) path: &'static str,
    request: Vec<u8>,
    /// Where the key lies in `request`.
    key_at: usize,
    keys: KeySpace,
    order: KeyOrder,
    random: Random,
    next: u64,
}

impl Load {
    /// Puts of `value_bytes` each.
    pub(crate) fn put(keys: KeySpace, order: KeyOrder, value_bytes: usize, seed: u64) -> Load {
        let mut random = Random(seed ^ 0x0076_616c_7565);
        let mut value: Vec<u8> = Vec::with_capacity(value_bytes + 8);
        while value.len() < value_bytes {
            value.extend_from_slice(&random.next().to_le_bytes());
        }
        value.truncate(value_bytes);
        let message = PutRequest { key: keys.key(0), value: value.into(), ..PutRequest::default() };
        Load::new("/etcdserverpb.KV/Put", message, keys, order, seed)
    }

    /// Reads of one key each.
    pub(crate) fn range(keys: KeySpace, order: KeyOrder, serializable: bool, seed: u64) -> Load {
        let message = RangeRequest { key: keys.key(0), serializable, ..RangeRequest::default() };
        Load::new("/etcdserverpb.KV/Range", message, keys, order, seed)
    }

    fn new(path: &'static str, message: impl Message, keys: KeySpace, order: KeyOrder, seed: u64) -> Load {
        let body = message.encode_to_vec();
        // gRPC's frame: not compressed, and the length.
        let mut request = vec![0];
        request.extend_from_slice(&(body.len() as u32).to_be_bytes());
        // The key is field 1 of both messages and comes first: tag, length, bytes.
        let key_at = request.len() + 1 + prost::length_delimiter_len(keys.width);
        request.extend_from_slice(&body);
        Load { path, request, key_at, keys, order, random: Random(seed), next: 0 }
    }

    /// The next request, framed for gRPC; valid until the next call.
    pub(crate) fn next(&mut self) -> &[u8] {
        let mut number = match self.order {
            KeyOrder::Random => self.random.below(self.keys.count),
            KeyOrder::Sequential => {
                let number = self.next;
                self.next = (number + 1) % self.keys.count;
                number
            }
        };
        for digit in self.request[self.key_at..self.key_at + self.keys.width].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        &self.request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &[u8]) -> &[u8] {
        let len = u32::from_be_bytes(request[1..5].try_into().expect("four bytes")) as usize;
        assert_eq!((request[0], request.len()), (0, len + 5));
        &request[5..]
    }

    #[test]
    fn puts_decode_as_what_was_meant() {
        for width in [8, 200] {
            let keys = KeySpace::new(100, width).expect("keys");
            let mut load = Load::put(keys, KeyOrder::Sequential, 256, 1);
            for number in [0, 1, 2] {
                let put = PutRequest::decode(body(load.next())).expect("a put");
                assert_eq!((put.key, put.value.len(), put.lease), (keys.key(number), 256, 0));
            }
        }
    }

    #[test]
    fn ranges_decode_and_random_keys_cover_the_space() {
        let keys = KeySpace::new(50, 8).expect("keys");
        let mut load = Load::range(keys, KeyOrder::Random, true, 1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let range = RangeRequest::decode(body(load.next())).expect("a range");
            assert!(range.serializable && range.range_end.is_empty());
            seen.insert(range.key);
        }
        assert_eq!(seen.len(), 50);
        let (first, end) = keys.interval();
        assert!(seen.iter().all(|key| *key >= first && *key < end));
    }

    #[test]
    fn sequential_keys_begin_again() {
        let keys = KeySpace::new(2, 1).expect("keys");
        let mut load = Load::range(keys, KeyOrder::Sequential, false, 1);
        let mut key = || RangeRequest::decode(body(load.next())).expect("a range").key;
        assert_eq!([key(), key(), key()], ["0", "1", "0"]);
    }

    #[test]
    fn a_space_that_does_not_fit_its_width() {
        assert!(KeySpace::new(100_000, 5).is_some());
        assert!(KeySpace::new(100_001, 5).is_none());
        assert!(KeySpace::new(0, 5).is_none());
    }
}
