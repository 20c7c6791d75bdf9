//! The write-ahead log: segments, checksums, group commit
