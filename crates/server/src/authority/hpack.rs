//! A header block, walked without being decoded.
//!
//! RFC 7541 sections 5 and 6: a block is a row of representations, each told by the high bits of its first byte.
//!
//! | first byte | what | followed by |
//! |---|---|---|
//! | `1.......` | an indexed field | |
//! | `01......` | a literal that enters the table | name unless indexed, value |
//! | `001.....` | a new size of the table | |
//! | `000.....` | a literal that does not, or never may | name unless indexed, value |
//!
//! The remaining bits begin an integer. A string is a bit that tells Huffman's code, a length, and the bytes. To find the
//! authority, neither the table nor the code is needed: a name that is indexed by 1 is `:authority`, in every table
//! (appendix A), and whether a coded value begins with a text is told by its first bits, since a code
//! word depends on nothing before it (appendix B).

use std::ops::Range;

/// What takes a URL's place: shorter than the schemes below, as it stands and against their code.
pub const STAND_IN: &[u8] = b"etcd";

/// The static table's entry for `:authority` without a value.
const AUTHORITY: usize = 1;

/// What an authority must not begin with, and etcd's client lets it.
const SCHEMES: [Text; 3] = [Text::new(b"http://"), Text::new(b"https://"), Text::new(b"unix://")];

/// A string's bit that tells Huffman's code.
const CODED: u8 = 0x80;

/// The stand-in as a string: its length, its bytes.
pub fn stand_in() -> impl Iterator<Item = u8> {
    std::iter::once(STAND_IN.len() as u8).chain(STAND_IN.iter().copied())
}

/// Where in a block the value of `:authority` lies, with its length, if it is a literal and a URL.
pub fn url_authority(block: &[u8]) -> Option<Range<usize>> {
    let mut walk = Walk { block, at: 0 };
    while let Some(&first) = block.get(walk.at) {
        let name_bits = match first {
            0x80.. => {
                walk.integer(7)?;
                continue;
            }
            0x40.. => 6,
            0x20.. => {
                walk.integer(5)?;
                continue;
            }
            _ => 4,
        };
        let name = walk.integer(name_bits)?;
        if name == 0 {
            walk.string()?;
        }
        let from = walk.at;
        let (coded, value) = walk.string()?;
        if name == AUTHORITY && SCHEMES.iter().any(|scheme| scheme.begins(coded, value)) {
            return Some(from..walk.at);
        }
    }
    None
}

struct Walk<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.block.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// An integer whose first `bits` share a byte with something else (section 5.1).
    fn integer(&mut self, bits: u32) -> Option<usize> {
        let full = (1 << bits) - 1;
        let mut value = usize::from(self.byte()?) & full;
        if value < full {
            return Some(value);
        }
        // Four more bytes say more than any block can hold.
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A string's bytes, and whether they are in Huffman's code (section 5.2).
    fn string(&mut self) -> Option<(bool, &'a [u8])> {
        let coded = self.block.get(self.at)? & CODED != 0;
        let length = self.integer(7)?;
        let bytes = self.block.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some((coded, bytes))
    }
}

/// A text, plain and in Huffman's code.
struct Text {
    plain: &'static [u8],
    /// The code from the highest bit on.
    code: u64,
    /// How many bits that are.
    bits: u32,
}

impl Text {
    const fn new(plain: &'static [u8]) -> Self {
        let (mut code, mut used, mut at) = (0, 0, 0);
        while at < plain.len() {
            let (bits, word) = code_word(plain[at]);
            used += bits;
            assert!(used <= 64, "a text's code fits a word");
            code |= word << (64 - used);
            at += 1;
        }
        Text { plain, code, bits: used }
    }

    /// Whether a string begins with this text.
    fn begins(&self, coded: bool, string: &[u8]) -> bool {
        if !coded {
            return string.starts_with(self.plain);
        }
        let mut head = [0; 8];
        let known = string.len().min(8);
        head[..known].copy_from_slice(&string[..known]);
        let mask = u64::MAX << (64 - self.bits);
        known * 8 >= self.bits as usize && u64::from_be_bytes(head) & mask == self.code
    }
}

/// Length and code word of the letters that schemes are made of (appendix B).
const fn code_word(letter: u8) -> (u32, u64) {
    match letter {
        b'/' => (6, 0b01_1000),
        b':' => (7, 0b101_1100),
        b'h' => (6, 0b10_0111),
        b'i' => (5, 0b0_0110),
        b'n' => (6, 0b10_1010),
        b'p' => (6, 0b10_1011),
        b's' => (5, 0b0_1000),
        b't' => (5, 0b0_1001),
        b'u' => (6, 0b10_1101),
        b'x' => (7, 0b111_1001),
        _ => panic!("no scheme has this letter"),
    }
}
