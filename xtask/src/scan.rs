//! Just enough of Rust's grammar to tell code from comments and literals, and to find functions.
//!
//! A parser would know more and cost more: these checks need to know that a brace in a string is not a brace
//! and that a word in a comment is not a call. [`Source`] sorts every byte into one of three kinds; everything
//! else is a search in one kind with the others blanked out.
//!
//! Source: the Rust reference, chapters "Comments" and "Tokens" (string, raw string, byte string, C string and
//! character literals; lifetimes).
//!
//! Caveat: macros are read as if they were ordinary code, which is right for braces (they must balance).

use std::ops::Range;

/// A Rust file, sorted.
pub struct Source {
    /// The code; comments and literals are blanks. As long as the text.
    pub code: String,
    /// The comments; all else is blanks. As long as the text.
    pub comments: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, as written.
    pub name: String,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// From that line to the closing brace's, both counted.
    pub lines: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Comment,
    Literal,
}

impl Source {
    /// Sort a text.
    pub fn new(text: &str) -> Source {
        let bytes = text.as_bytes();
        let (mut code, mut comments) = (bytes.to_vec(), blank(bytes));
        let mut at = 0;
        while at < bytes.len() {
            let Some((kind, end)) = opaque(bytes, at) else {
                // A word is passed whole, so that the `r` of `for"` is not taken for a raw string's.
                at += if is_word(bytes[at]) { word(bytes, at) } else { 1 };
                continue;
            };
            code[at..end].copy_from_slice(&blank(&bytes[at..end]));
            if kind == Kind::Comment {
                comments[at..end].copy_from_slice(&bytes[at..end]);
            }
            at = end;
        }
        let text = |bytes| String::from_utf8(bytes).expect("whole characters were blanked");
        Source { code: text(code), comments: text(comments) }
    }

    /// The functions with bodies, in the order of their beginnings.
    pub fn functions(&self) -> Vec<Function> {
        let code = self.code.as_str();
        let mut found = Vec::new();
        for at in words(code, "fn") {
            let rest = code[at + 2..].trim_start();
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() {
                continue; // The type `fn(...)`.
            }
            let Some(body) = body(code.as_bytes(), at) else { continue };
            let line = line_of(code, at);
            found.push(Function { name, line, lines: line_of(code, body.end - 1) - line + 1 });
        }
        found
    }
}

/// Where a whole word occurs.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).is_none_or(|before| !is_word(bytes[before]));
        let after = bytes.get(at + word.len()).is_none_or(|&after| !is_word(after));
        before && after
    })
}

/// The line of a byte, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count()
}

/// The body of the function whose `fn` is at `at`: from its brace to past the closing one.
fn body(code: &[u8], at: usize) -> Option<Range<usize>> {
    let mut nested = 0_usize;
    let open = (at..code.len()).find(|&here| {
        match code[here] {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested = nested.saturating_sub(1),
            b'{' | b';' => return nested == 0,
            _ => {}
        }
        false
    })?;
    if code[open] == b';' {
        return None;
    }
    let mut depth = 0_usize;
    let close = (open..code.len()).find(|&here| {
        match code[here] {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    Some(open..close + 1)
}

/// The comment or literal that begins at `at`, and where it ends.
fn opaque(bytes: &[u8], at: usize) -> Option<(Kind, usize)> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let end = rest.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| at + end);
        return Some((Kind::Comment, end));
    }
    if rest.starts_with(b"/*") {
        return Some((Kind::Comment, block_comment(bytes, at)));
    }
    let prefix = [&b"br"[..], b"cr", b"b", b"c", b"r", b""].into_iter().find(|p| rest.starts_with(p))?;
    let opening = at + prefix.len();
    let raw = prefix.ends_with(b"r");
    let hashes = bytes[opening..].iter().take_while(|&&byte| raw && byte == b'#').count();
    match bytes.get(opening + hashes)? {
        b'"' if raw => Some((Kind::Literal, raw_string(bytes, opening + hashes + 1, hashes))),
        b'"' => Some((Kind::Literal, quoted(bytes, opening + 1, b'"'))),
        b'\'' if prefix == b"b" => Some((Kind::Literal, quoted(bytes, opening + 1, b'\''))),
        b'\'' if prefix.is_empty() => character(bytes, at).map(|end| (Kind::Literal, end)),
        _ => None,
    }
}

fn block_comment(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if bytes[at..].starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn raw_string(bytes: &[u8], from: usize, hashes: usize) -> usize {
    let ends = |&at: &usize| {
        bytes[at] == b'"' && bytes[at + 1..].iter().take_while(|&&byte| byte == b'#').count() >= hashes
    };
    (from..bytes.len()).find(ends).map_or(bytes.len(), |at| at + 1 + hashes)
}

fn quoted(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The end of the character literal at `at`, or nothing where it is a lifetime.
fn character(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at + 1)?;
    if first == b'\\' {
        return Some(quoted(bytes, at + 1, b'\''));
    }
    let length = match first {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (bytes.get(at + 1 + length) == Some(&b'\'')).then_some(at + length + 2)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn word(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().take_while(|&&byte| is_word(byte)).count()
}

fn blank(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|&byte| if byte == b'\n' { byte } else { b' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let source = Source::new(text);
        assert_eq!((source.code.len(), source.comments.len()), (text.len(), text.len()), "{text}");
        source.code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(code("a // { b\nc"), "a c");
        assert_eq!(code("a /* { /* } */ b */ c"), "a c");
        assert_eq!(code(r#"a("{ \" }") b"#), "a( ) b");
        assert_eq!(code(r##"a(r#"{ " "#) b"##), "a( ) b");
        assert_eq!(code(r#"a(b"{", c"}", br"\") b"#), "a( , , ) b");
        assert_eq!(code(r"a('{', '\'', b'}', '\u{7d}', '→') b"), "a( , , , , ) b");
        assert_eq!(
            code("fn f<'a>(x: &'a str) -> &'static str { r#type }"),
            "fn f<'a>(x: &'a str) -> &'static str { r#type }"
        );
        assert_eq!(code("\"open to the end {"), "");
    }

    #[test]
    fn comments_are_kept_apart() {
        let source = Source::new("let a = \"// no\"; // yes\n");
        assert_eq!(source.comments.trim(), "// yes");
    }

    #[test]
    fn functions_are_measured_from_name_to_brace() {
        let text = "trait T {\n fn declared(&self);\n}\nfn one() {}\nfn two(f: fn(u8) -> u8,\n a: [u8; { 3 }],\n) {\n let s = \"}\";\n {\n }\n}\n";
        let functions = Source::new(text).functions();
        let found: Vec<(&str, usize, usize)> =
            functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(found, [("one", 4, 1), ("two", 5, 7)]);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("fn fnord _fn fn", "fn").collect::<Vec<_>>(), [0, 13]);
    }
}
