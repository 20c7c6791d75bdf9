//! Records made of this machine's own files: real keys of uneven length, in no helpful order.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use quorate_checker::digest;

/// Begins the key of every record.
pub const PREFIX: &[u8] = b"file:";

/// How much of a file is read for its hash, at most: what is tested is the store, not this machine's disk.
const HASHED_BYTES: u64 = 1 << 20;

/// A key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Up to `wanted` records, one for each path below `root`: what it is, its size and its hash.
pub fn below(root: &Path, wanted: usize) -> Vec<Record> {
    let mut records = Vec::with_capacity(wanted);
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let Ok(listing) = fs::read_dir(&directory) else { continue };
        for entry in listing.flatten() {
            if records.len() == wanted {
                return records;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                directories.push(entry.path());
            }
            records.push(record(&entry.path(), kind));
        }
    }
    records
}

fn record(path: &PathBuf, kind: fs::FileType) -> Record {
    let key = [PREFIX, path.as_os_str().as_bytes()].concat();
    let value = if kind.is_file() {
        let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
        format!("file {size} {:016x}", digest(&head(path)))
    } else if kind.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        format!("link {}", target.display())
    } else {
        "directory".to_owned()
    };
    (key, value.into_bytes())
}

fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        // What cannot be read counts as empty: the path itself is unique.
        let _ = file.take(HASHED_BYTES).read_to_end(&mut bytes);
    }
    bytes
}
