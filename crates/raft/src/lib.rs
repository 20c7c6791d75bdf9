//! Raft as a pure value
