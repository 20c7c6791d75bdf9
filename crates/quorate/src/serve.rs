//! placeholder
pub(crate) fn main(_w: &[String]) -> u8 {
    0
}
