//! Fixed little-endian layouts for what travels between peers and into the log.
//!
//! One writer and one reader serve every core, so that framing (`wire`) and the log (`wal`) need not know
//! whose messages they carry. The writer gathers: a large value is taken by reference and ends up as a
//! segment of its own for a vectored write, a small one is copied into the running tail. The reader slices:
//! a decoded value shares the buffer it came in.
//!
//! Nothing here can panic on bad input: every read is checked and returns [`Malformed`].

use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// Values at least this long, in bytes, become segments of their own instead of being copied.
const GATHER_BYTES: usize = 4096;

/// The bytes do not say what they should; names the part that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "malformed {}", self.0)
    }
}

impl core::error::Error for Malformed {}

/// Something with a byte layout.
pub trait Encode {
    /// Append it.
    fn encode(&self, out: &mut Writer);
}

/// Something that can be read back from its layout.
pub trait Decode: Sized {
    /// Take it off the front.
    fn decode(input: &mut Reader) -> Result<Self, Malformed>;
}

/// Gathers encoded bytes as a list of segments.
#[derive(Debug, Default)]
pub struct Writer {
    segments: Vec<Bytes>,
    tail: BytesMut,
    len: usize,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.tail.put_u8(value);
        self.len += 1;
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.tail.put_u32_le(value);
        self.len += 4;
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.tail.put_u64_le(value);
        self.len += 8;
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self, value: i64) {
        self.tail.put_i64_le(value);
        self.len += 8;
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(value as u8);
    }

    /// A length (four bytes) and the bytes themselves.
    pub fn bytes(&mut self, value: &Bytes) {
        self.u32(u32::try_from(value.len()).expect("a value is shorter than 4 GiB"));
        self.len += value.len();
        if value.len() >= GATHER_BYTES {
            if !self.tail.is_empty() {
                self.segments.push(self.tail.split().freeze());
            }
            self.segments.push(value.clone());
        } else {
            self.tail.put_slice(value);
        }
    }

    /// A length (four bytes) and copied bytes.
    pub fn slice(&mut self, value: &[u8]) {
        self.u32(u32::try_from(value.len()).expect("a value is shorter than 4 GiB"));
        self.tail.put_slice(value);
        self.len += value.len();
    }

    /// A count (four bytes) and the items.
    pub fn list<T: Encode>(&mut self, items: &[T]) {
        self.u32(u32::try_from(items.len()).expect("a list is shorter than 2^32"));
        for item in items {
            item.encode(self);
        }
    }

    /// The segments, in order, for a vectored write.
    pub fn into_segments(mut self) -> Vec<Bytes> {
        if !self.tail.is_empty() {
            self.segments.push(self.tail.freeze());
        }
        self.segments
    }

    /// Everything in one buffer; copies only if there is more than one segment.
    pub fn into_bytes(self) -> Bytes {
        let len = self.len;
        let mut segments = self.into_segments();
        match segments.len() {
            0 => Bytes::new(),
            1 => segments.remove(0),
            _ => {
                let mut all = BytesMut::with_capacity(len);
                segments.iter().for_each(|segment| all.put_slice(segment));
                all.freeze()
            }
        }
    }
}

/// Reads from the front of a shared buffer.
#[derive(Debug)]
pub struct Reader {
    input: Bytes,
}

impl Reader {
    /// Read from `input`.
    pub fn new(input: Bytes) -> Self {
        Reader { input }
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.input.len()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let head = self.input.get(..N).ok_or(Malformed("end of input"))?;
        let array = head.try_into().expect("the slice has N bytes");
        bytes::Buf::advance(&mut self.input, N);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// One byte, 0 or 1 and nothing else.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("bool")),
        }
    }

    /// What [`Writer::bytes`] and [`Writer::slice`] wrote; shares the buffer.
    pub fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let len = self.u32()? as usize;
        if len > self.input.len() {
            return Err(Malformed("length"));
        }
        Ok(self.input.split_to(len))
    }

    /// What [`Writer::list`] wrote. The count is not trusted for allocation.
    pub fn list<T: Decode>(&mut self) -> Result<Vec<T>, Malformed> {
        let count = self.u32()? as usize;
        let mut items = Vec::with_capacity(count.min(self.input.len() / 8 + 1).min(1 << 16));
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }

    /// The whole value, with nothing left over.
    pub fn whole<T: Decode>(input: Bytes) -> Result<T, Malformed> {
        let mut reader = Reader::new(input);
        let value = T::decode(&mut reader)?;
        match reader.remaining() {
            0 => Ok(value),
            _ => Err(Malformed("trailing bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_gathered_and_read_back() {
        let large = Bytes::from(alloc::vec![7u8; GATHER_BYTES]);
        let mut out = Writer::new();
        out.u64(1);
        out.bytes(&large);
        out.bytes(&Bytes::from_static(b"small"));
        assert_eq!(out.len(), 8 + 4 + GATHER_BYTES + 4 + 5);
        let segments = out.into_segments();
        assert_eq!(segments.len(), 3);
        assert_eq!(segments[1].as_ptr(), large.as_ptr(), "taken by reference");
        let mut reader = Reader::new(Bytes::from(segments.concat()));
        assert_eq!(reader.u64(), Ok(1));
        assert_eq!(reader.bytes(), Ok(large));
        assert_eq!(reader.bytes(), Ok(Bytes::from_static(b"small")));
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn short_or_wrong_input_is_refused() {
        assert_eq!(Reader::new(Bytes::from_static(&[1, 2])).u32(), Err(Malformed("end of input")));
        assert_eq!(Reader::new(Bytes::from_static(&[2])).bool(), Err(Malformed("bool")));
        assert_eq!(Reader::new(Bytes::from_static(&[9, 0, 0, 0, 1])).bytes(), Err(Malformed("length")));
        let huge = Bytes::from_static(&[255, 255, 255, 255, 1]);
        assert!(Reader::new(huge).list::<crate::Index>().is_err(), "a huge count allocates nothing huge");
    }
}
