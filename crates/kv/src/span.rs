//! A span of keys, resolved from etcd's convention (section 5.1 of our compatibility notes).

use crate::command::KeyRange;

/// Where a span ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// It is the single key.
    Single,
    /// Before this key.
    Before(&'a [u8]),
    /// It does not.
    Open,
}

/// A span of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    /// The first key.
    pub start: &'a [u8],
    /// The end.
    pub end: End<'a>,
}

impl<'a> From<&'a KeyRange> for Span<'a> {
    fn from(range: &'a KeyRange) -> Self {
        let end = match &*range.end {
            [] => End::Single,
            [0] => End::Open,
            end => End::Before(end),
        };
        Span { start: &range.key, end }
    }
}

impl Span<'_> {
    /// Whether `key` is inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self.end {
            End::Single => key == self.start,
            End::Before(end) => self.start <= key && key < end,
            End::Open => self.start <= key,
        }
    }

    /// Whether nothing can be inside.
    pub fn is_empty(&self) -> bool {
        matches!(self.end, End::Before(end) if end <= self.start)
    }
}

impl KeyRange {
    /// The single key.
    pub fn single(key: impl Into<bytes::Bytes>) -> Self {
        KeyRange { key: key.into(), end: bytes::Bytes::new() }
    }

    /// Whether `key` is inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        Span::from(self).contains(key)
    }
}
