//! Header blocks of HTTP/2, as far as a gRPC client of one method needs them.
//!
//! Source: RFC 7541. Sending: every request of a connection has the same six headers, so the first block
//! enters four of them into the server's table and every later block is six bytes. Receiving: we announce a
//! table of size 0, so a server may only use the static table and literals, and a block can be read alone;
//! equal blocks can then be recognised by comparing bytes, which is what makes reading trailers cheap.
//!
//! Caveats: of the Huffman code only symbols of at most 15 bits are known, which is all of printable ASCII
//! but the backslash; gRPC percent-encodes everything else. An unknown symbol ends the text with `?`.

/// The request headers of one method at one server.
pub(crate) struct RequestHeaders {
    /// Spelled out, entering the four long headers into the peer's table.
    pub(crate) first: Vec<u8>,
    /// By index alone.
    pub(crate) later: Vec<u8>,
}

/// What the entries of [`RequestHeaders::first`] take in the peer's table, names and values of this length
/// included; a peer with a smaller table gets `first` every time.
pub(crate) const TABLE_BYTES_NEEDED: u32 = 1024;

impl RequestHeaders {
    /// Headers of a POST to `path`. Both texts must be shorter than 127 bytes.
    pub(crate) fn new(path: &str, authority: &str) -> RequestHeaders {
        const METHOD_POST: u8 = 0x83;
        const SCHEME_HTTP: u8 = 0x86;
        let mut first = vec![METHOD_POST, SCHEME_HTTP];
        // 01xxxxxx: a literal that is entered into the table, its name at static index x (0: name follows).
        for (name_index, value) in [(4, path), (1, authority), (31, "application/grpc")] {
            first.push(0x40 | name_index);
            literal(&mut first, value);
        }
        first.push(0x40);
        literal(&mut first, "te");
        literal(&mut first, "trailers");
        // The newest entry has index 62.
        let later = vec![METHOD_POST, SCHEME_HTTP, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62];
        RequestHeaders { first, later }
    }
}

fn literal(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() < 127);
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// What a block of response headers says about a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trailers {
    /// `grpc-status`, when there was one that is a number.
    pub(crate) status: Option<u32>,
    /// `grpc-message`, percent-decoded.
    pub(crate) message: String,
}

/// Reads a block, or `None` when it is malformed or refers to a table we do not have.
pub(crate) fn read(mut block: &[u8]) -> Option<Trailers> {
    let mut found = Trailers::default();
    while let Some(&first) = block.first() {
        let name_bits = match first {
            0x80.. => {
                // A whole header from the static table: none of them is ours.
                (1..=61).contains(&integer(&mut block, 7)?).then_some(())?;
                continue;
            }
            0x40.. => 6,
            0x20.. => {
                integer(&mut block, 5)?; // The new size of a table that is not used.
                continue;
            }
            _ => 4,
        };
        let index = integer(&mut block, name_bits)?;
        let name = match index {
            0 => string(&mut block)?,
            1..=61 => String::new(),
            _ => return None,
        };
        let value = string(&mut block)?;
        match name.as_str() {
            "grpc-status" => found.status = value.parse().ok(),
            "grpc-message" => found.message = percent_decoded(&value),
            _ => {}
        }
    }
    Some(found)
}

/// An integer whose first byte holds `bits` of it.
fn integer(input: &mut &[u8], bits: u32) -> Option<usize> {
    let mask = (1usize << bits) - 1;
    let (&first, mut rest) = input.split_first()?;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            value = value.checked_add(usize::from(byte & 0x7f) << shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return None;
            }
        }
    }
    *input = rest;
    Some(value)
}

fn string(input: &mut &[u8]) -> Option<String> {
    let coded = input.first()? & 0x80 != 0;
    let len = integer(input, 7)?;
    let (text, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(if coded { huffman(text) } else { String::from_utf8_lossy(text).into_owned() })
}

/// The printable symbols by length of their code, in order of their code: the code is canonical, so lengths
/// and order are all there is to it (RFC 7541, appendix B). Symbol 0 shares a length with some of them.
const SYMBOLS: [(u32, &str); 9] = [
    (5, "012aceiost"),
    (6, " %-./3456789=A_bdfghlmnpru"),
    (7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, "&*,;XZ"),
    (10, "!\"()?"),
    (11, "'+|"),
    (12, "#>"),
    (13, "\0$@[]~"),
    (14, "^}"),
];

fn huffman(coded: &[u8]) -> String {
    let mut text = String::new();
    let (mut code, mut bits) = (0u32, 0u32);
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))) {
        code = code << 1 | bit;
        bits += 1;
        if let Some(symbol) = symbol(code, bits) {
            text.push(symbol);
            (code, bits) = (0, 0);
        } else if bits == 15 {
            text.push('?');
            return text;
        }
    }
    text
}

/// The symbol whose code is `code`, `bits` long.
fn symbol(code: u32, bits: u32) -> Option<char> {
    let (mut next, mut length) = (0u32, 5);
    for (bits_here, symbols) in SYMBOLS {
        next <<= bits_here - length;
        length = bits_here;
        if bits_here == bits {
            return symbols.chars().nth(code.checked_sub(next)? as usize);
        }
        next += symbols.len() as u32;
    }
    None
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541, C.4.1 and C.6.1.
    #[test]
    fn the_rfcs_huffman_examples() {
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(huffman(&www), "www.example.com");
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66,
            0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(huffman(&date), "Mon, 21 Oct 2013 20:13:21 GMT");
        let url = [
            0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43,
            0xd3,
        ];
        assert_eq!(huffman(&url), "https://www.example.com");
    }

    /// Codes of 10 to 14 bits, from the table of appendix B: `!#` and `|$^`, padded with ones.
    #[test]
    fn the_longer_codes() {
        assert_eq!(huffman(&[0b1111_1110, 0b0011_1111, 0b1110_1011]), "!#");
        assert_eq!(huffman(&[0b1111_1111, 0b1001_1111, 0b1111_1001, 0b1111_1111, 0b1111_0011]), "|$^");
    }

    #[test]
    fn trailers_plain_and_indexed() {
        let mut block = vec![0x20, 0x88, 0x5f, 0x10];
        block.extend_from_slice(b"application/grpc");
        for (name, value) in [("grpc-status", "8"), ("grpc-message", "no%20space%3A%")] {
            block.push(0);
            literal(&mut block, name);
            literal(&mut block, value);
        }
        let expected = Trailers { status: Some(8), message: "no space:%".into() };
        assert_eq!(read(&block), Some(expected));
    }

    #[test]
    fn malformed_blocks_are_refused_and_never_panic() {
        assert_eq!(read(&[0x80 | 62]), None, "an entry of a table we do not have");
        assert_eq!(read(&[0x80]), None, "index 0");
        assert_eq!(read(&[0, 11, b'g']), None, "a text cut short");
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None, "an endless integer");
        let mut state = 1u64;
        for _ in 0..20_000 {
            let block: Vec<u8> = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let _ = read(&block);
        }
    }

    #[test]
    fn later_blocks_are_six_bytes() {
        let headers = RequestHeaders::new("/etcdserverpb.KV/Put", "127.0.0.1:2379");
        assert_eq!(headers.later.len(), 6);
        assert!(headers.first.len() < 127);
    }
}
