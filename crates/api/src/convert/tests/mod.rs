//! The rule tables of the conversions, the rows of etcd's recorded answers that they decide, and properties.

mod requests;
mod responses;
mod wire;

use bytes::Bytes;

/// Bytes of a literal.
fn b(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
