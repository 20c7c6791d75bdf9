//! The 40-byte header of a frame, and what makes it valid at one place only.
//!
//! The layout is in the crate's essay. This module knows bytes and checksums; it does no input or output and
//! cannot panic on any input.

use bytes::Bytes;

/// Frames begin at multiples of this many bytes, and a write of so many is taken to be atomic.
pub const SECTOR: u64 = 512;

/// The bytes of a header.
pub const HEADER_BYTES: usize = 40;

/// No frame may have a longer payload; far above what a host batches, and far below what a u32 holds.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// Zeros to pad with.
static PADDING: [u8; SECTOR as usize] = [0; SECTOR as usize];

/// Where a frame is; folded into its header's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the log's identity: a file of another node's log never fits.
    pub salt: u32,
    /// The segment's number.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first frame of a segment.
    Start,
    /// Groups' operations.
    Operations,
    /// Vouches for the frame before it.
    Seal,
    /// Valid, but of a kind this version does not know.
    Unknown(u32),
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Kind::Start => 1,
            Kind::Operations => 2,
            Kind::Seal => 3,
            Kind::Unknown(code) => code,
        }
    }

    fn of(code: u32) -> Self {
        match code {
            1 => Kind::Start,
            2 => Kind::Operations,
            3 => Kind::Seal,
            code => Kind::Unknown(code),
        }
    }
}

/// A header, without its own checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// Its number in the log.
    pub sequence: u64,
    /// The header checksum of the frame before.
    pub previous: u32,
    /// The payload's length in bytes.
    pub length: u32,
    /// The payload's checksum.
    pub payload: u32,
    /// The length in bytes of the summary between header and payload.
    pub summary_length: u32,
    /// The summary's own checksum: it can be read where the payload cannot.
    pub summary: u32,
}

impl Header {
    /// The header's bytes at `place`, and its checksum (the next frame's `previous`).
    pub fn encode(&self, place: Place) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.payload.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.previous.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&generation(place).to_le_bytes());
        bytes[28..32].copy_from_slice(&self.kind.code().to_le_bytes());
        bytes[32..36].copy_from_slice(&self.summary_length.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.summary.to_le_bytes());
        let sum = checksum(&bytes, place);
        bytes[0..4].copy_from_slice(&sum.to_le_bytes());
        (bytes, sum)
    }

    /// The header in `bytes`, and its checksum, if it is one that belongs at `place`.
    pub fn decode(bytes: &[u8], place: Place) -> Option<(Header, u32)> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        // Cheap, and enough for nearly all sectors of a scan; the checksum covers it as well.
        if u32_at(24) != generation(place) {
            return None;
        }
        let sum = u32_at(0);
        if sum != checksum(bytes, place) {
            return None;
        }
        let header = Header {
            kind: Kind::of(u32_at(28)),
            sequence: u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32,
            previous: u32_at(8),
            length: u32_at(12),
            payload: u32_at(4),
            summary_length: u32_at(32),
            summary: u32_at(36),
        };
        Some((header, sum))
    }

    /// The bytes the whole frame takes, with its padding.
    pub fn span(&self) -> u64 {
        span(u64::from(self.summary_length) + u64::from(self.length))
    }
}

/// The bytes a frame takes that has so many after its header, with header and padding.
pub fn span(bytes: u64) -> u64 {
    (HEADER_BYTES as u64 + bytes).next_multiple_of(SECTOR)
}

/// The zeros after them.
pub fn padding(bytes: u64) -> Bytes {
    let zeros = span(bytes) - HEADER_BYTES as u64 - bytes;
    Bytes::from_static(&PADDING[..zeros as usize])
}

/// The checksum of a payload in pieces.
pub fn payload_checksum(parts: &[Bytes]) -> u32 {
    parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part))
}

fn generation(place: Place) -> u32 {
    place.segment as u32
}

fn checksum(bytes: &[u8; HEADER_BYTES], place: Place) -> u32 {
    let mut all = [0; 20 + HEADER_BYTES - 4];
    all[0..4].copy_from_slice(&place.salt.to_le_bytes());
    all[4..12].copy_from_slice(&place.segment.to_le_bytes());
    all[12..20].copy_from_slice(&place.offset.to_le_bytes());
    all[20..].copy_from_slice(&bytes[4..]);
    crc32c::crc32c(&all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLACE: Place = Place { salt: 7, segment: 3, offset: 1024 };

    fn header() -> Header {
        Header {
            kind: Kind::Operations,
            sequence: 1 << 40 | 9,
            previous: 5,
            length: 700,
            payload: 11,
            summary_length: 104,
            summary: 13,
        }
    }

    #[test]
    fn a_header_is_valid_at_its_place_only() {
        let (bytes, sum) = header().encode(PLACE);
        assert_eq!(Header::decode(&bytes, PLACE), Some((header(), sum)));
        for elsewhere in [
            Place { salt: 8, ..PLACE },
            Place { segment: 4, ..PLACE },
            Place { segment: 3 + (1 << 32), ..PLACE },
            Place { offset: 512, ..PLACE },
        ] {
            assert_eq!(Header::decode(&bytes, elsewhere), None, "{elsewhere:?}");
        }
        assert_eq!(Header::decode(&bytes[..39], PLACE), None, "too short");
    }

    #[test]
    fn no_flipped_bit_passes() {
        let (bytes, _) = header().encode(PLACE);
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped, PLACE), None, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_fills_whole_sectors() {
        for bytes in [0, 1, 471, 472, 473, 984, 985] {
            let whole = HEADER_BYTES as u64 + bytes + padding(bytes).len() as u64;
            assert_eq!(whole, span(bytes));
            assert!(whole.is_multiple_of(512) && whole - bytes < 512 + HEADER_BYTES as u64, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_are_no_header(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(Header::decode(&bytes, PLACE), None);
        }
    }
}
