//! Bits of files.

use std::fmt;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flip {
    /// The file, below the data directory.
    pub file: PathBuf,
    /// The byte.
    pub offset: u64,
    /// The bit in it.
    pub bit: u8,
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte {} bit {}", self.file.display(), self.offset, self.bit)
    }
}

/// All files below a directory, by their path below it, in order.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if let Ok(below) = path.strip_prefix(directory) {
                found.push(below.to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Removes directories that the member keeps for an operator to examine: nobody reads them.
pub(super) fn forget_what_was_set_aside(directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        if entry.file_name().to_string_lossy().contains(".damaged") {
            fs::remove_dir_all(entry.path()).expect("a directory to remove");
        }
    }
}

/// The sector around a byte; empty if there is none any more.
pub(super) fn sector(file: &Path, offset: u64) -> Vec<u8> {
    let mut sector = Vec::new();
    if let Ok(mut file) = fs::File::open(file) {
        file.seek(SeekFrom::Start(offset / 512 * 512)).expect("a place in it");
        file.take(512).read_to_end(&mut sector).expect("its bytes");
    }
    sector
}

pub(super) fn invert(directory: &Path, flip: &Flip) {
    let mut file =
        fs::File::options().read(true).write(true).open(directory.join(&flip.file)).expect("a file");
    let mut byte = [0];
    file.seek(SeekFrom::Start(flip.offset)).expect("a place in it");
    file.read_exact(&mut byte).expect("a byte");
    byte[0] ^= 1 << flip.bit;
    file.seek(SeekFrom::Start(flip.offset)).expect("a place in it");
    file.write_all(&byte).expect("a byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_is_undone_by_another() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("file"), [0b0101; 1000]).expect("a file");
        let flip = Flip { file: "file".into(), offset: 700, bit: 3 };
        invert(home.path(), &flip);
        let spoilt = sector(&home.path().join("file"), 700);
        assert_eq!((spoilt.len(), spoilt[700 - 512]), (488, 0b1101));
        invert(home.path(), &flip);
        assert_eq!(fs::read(home.path().join("file")).expect("a file"), [0b0101; 1000]);
    }
}
