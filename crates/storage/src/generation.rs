//! Generations: which file of the directory is the state.
//!
//! ```text
//! CURRENT               one line: the name of the current generation's file, and the crc32c of that name
//! state-<n>.redb        a complete generation
//! state-<n>.staging     one being built
//! ```
//!
//! A generation is built under its staging name, made durable, renamed, and only then named by `CURRENT`,
//! which is itself replaced by a rename. Each step is followed by an fsync of the directory. A crash between
//! any two of them leaves the old generation current and at most some files that the next open deletes.
//!
//! The checksum keeps a flipped bit from naming another generation, should there be one. A line without it, as an
//! operator would write it, is believed too.
//!
//! A directory that is damaged is [set aside](set_aside) whole, and a new one is begun.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// The pointer file's name.
const CURRENT: &str = "CURRENT";
const STAGING: &str = "staging";
const COMPLETE: &str = "redb";
const ASIDE: &str = "damaged";

/// The file of a complete generation.
pub fn path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("state-{generation}.{COMPLETE}"))
}

/// The file of one being built.
pub(crate) fn staging_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("state-{generation}.{STAGING}"))
}

pub(crate) fn current_path(dir: &Path) -> PathBuf {
    dir.join(CURRENT)
}

/// `state-<n>.<suffix>` as (n, suffix); numbers have one spelling only.
fn parse(name: &str) -> Option<(u64, &str)> {
    let (digits, suffix) = name.strip_prefix("state-")?.split_once('.')?;
    let number: u64 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits && (suffix == STAGING || suffix == COMPLETE))
        .then_some((number, suffix))
}

/// The current generation, or none if the pointer file does not exist.
///
/// # Errors
/// The pointer file cannot be read or does not name a generation.
pub fn current(dir: &Path) -> Result<Option<u64>, StorageError> {
    let path = current_path(dir);
    let text = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("read", &path, error)),
    };
    let line = str::from_utf8(&text).ok().map(|text| text.strip_suffix('\n').unwrap_or(text));
    let name = line.and_then(|line| match line.split_once(' ') {
        Some((name, crc)) => (crc == checksum(name)).then_some(name),
        None => Some(line),
    });
    match name.and_then(parse) {
        Some((generation, COMPLETE)) => Ok(Some(generation)),
        _ => Err(StorageError::damaged(&path, "it does not hold the name of a state file")),
    }
}

fn checksum(name: &str) -> String {
    format!("{:08x}", crc32c::crc32c(name.as_bytes()))
}

/// Everything in the directory that is named like a generation: (number, complete, file).
fn list(dir: &Path) -> Result<Vec<(u64, bool, PathBuf)>, StorageError> {
    let failed = |error| StorageError::io("list", dir, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some((number, suffix)) = entry.file_name().to_str().and_then(parse) {
            found.push((number, suffix == COMPLETE, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The complete generations, ascending.
pub(crate) fn complete(dir: &Path) -> Result<Vec<u64>, StorageError> {
    Ok(list(dir)?.into_iter().filter(|(_, complete, _)| *complete).map(|(number, ..)| number).collect())
}

/// A number greater than any generation's in the directory.
pub(crate) fn next(dir: &Path) -> Result<u64, StorageError> {
    let greatest = list(dir)?.last().map_or(0, |(number, ..)| *number);
    Ok(greatest.max(current(dir)?.unwrap_or(0)) + 1)
}

/// Make a complete generation the current one, durably. The one before stays until the next
/// [`Store::open`](crate::Store::open), which may follow at once.
///
/// # Errors
/// There is no such generation, or the disk refuses; the one before is current still (or, if only the last
/// fsync failed, either may be: both are complete).
pub fn activate(dir: &Path, generation: u64) -> Result<(), StorageError> {
    let (current, file) = (current_path(dir), path(dir, generation));
    if !file.is_file() {
        return Err(StorageError::Missing { current, path: file });
    }
    let temporary = dir.join(format!("{CURRENT}.tmp"));
    let write = || {
        let mut out = File::create(&temporary)?;
        let name = format!("state-{generation}.{COMPLETE}");
        out.write_all(format!("{name} {}\n", checksum(&name)).as_bytes())?;
        out.sync_all()?;
        fs::rename(&temporary, &current)
    };
    write().map_err(|error| StorageError::io("replace", &current, error))?;
    sync(dir)
}

/// Give a staged generation, durable itself, its complete name.
pub(crate) fn complete_staged(dir: &Path, generation: u64) -> Result<PathBuf, StorageError> {
    let (from, to) = (staging_path(dir, generation), path(dir, generation));
    fs::rename(&from, &to).map_err(|error| StorageError::io("rename", &from, error))?;
    sync(dir)?;
    Ok(to)
}

/// Delete everything but the current generation. Only to be called once that one has been opened.
pub(crate) fn sweep(dir: &Path, current: u64) -> Result<(), StorageError> {
    for (number, complete, file) in list(dir)? {
        if number != current || !complete {
            remove(&file)?;
        }
    }
    remove(&dir.join(format!("{CURRENT}.tmp")))
}

/// Move a damaged directory out of the way, for examination, as `<dir>.damaged-<n>` beside it; answers where it is
/// now, or none if there was none. One is kept: those set aside before are deleted, after this one is safe.
///
/// The next [`Store::open`](crate::Store::open) then makes an empty state, which stands at index 0.
///
/// # Errors
/// The directory cannot be moved, or an older one not be deleted. Doing it again is safe.
pub fn set_aside(dir: &Path) -> Result<Option<PathBuf>, StorageError> {
    let Some((place, older)) = rename(dir, ASIDE)? else { return Ok(None) };
    for (_, path) in older {
        fs::remove_dir_all(&path).map_err(|error| StorageError::io("delete", &path, error))?;
    }
    Ok(Some(place))
}

/// Move any directory out of the way, durably, as `<dir>.<what>-<n>` beside it. All of them are kept.
///
/// # Errors
/// The directory cannot be moved. Doing it again is safe.
pub fn move_aside(dir: &Path, what: &str) -> Result<Option<PathBuf>, StorageError> {
    Ok(rename(dir, what)?.map(|(place, _)| place))
}

/// Directories with their numbers.
type Numbered = Vec<(u64, PathBuf)>;

/// Where a directory is after it was moved, and those that were moved before; none if there was none.
fn rename(dir: &Path, what: &str) -> Result<Option<(PathBuf, Numbered)>, StorageError> {
    let failed = |error| StorageError::io("set aside", dir, error);
    let (Some(name), Some(parent)) = (dir.file_name().and_then(|name| name.to_str()), dir.parent()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let older = aside(parent, &format!("{name}.{what}-")).map_err(failed)?;
    if !dir.try_exists().map_err(failed)? {
        return Ok(None);
    }
    let number = older.iter().map(|(number, _)| number + 1).max().unwrap_or(1);
    let place = parent.join(format!("{name}.{what}-{number}"));
    fs::rename(dir, &place).map_err(failed)?;
    sync(parent)?;
    Ok(Some((place, older)))
}

/// What was set aside before: directories whose name is `prefix` and a number.
fn aside(parent: &Path, prefix: &str) -> io::Result<Numbered> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(prefix));
        if let Some(number) = digits.and_then(|digits| digits.parse::<u32>().ok())
            && entry.file_type()?.is_dir()
        {
            found.push((u64::from(number), entry.path()));
        }
    }
    Ok(found)
}

/// Delete a file that may not be there.
pub(crate) fn remove(file: &Path) -> Result<(), StorageError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::io("delete", file, error)),
        _ => Ok(()),
    }
}

/// Make renames durable.
fn sync(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| StorageError::io("sync", dir, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        assert_eq!(parse("state-12.redb"), Some((12, COMPLETE)));
        assert_eq!(parse("state-3.staging"), Some((3, STAGING)));
        for other in
            ["state-.redb", "state-0.redb", "state-03.redb", "state-+3.redb", "state-3.old", "CURRENT"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_exists_becomes_current() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(current(dir.path()).unwrap(), None);
        assert!(matches!(activate(dir.path(), 4), Err(StorageError::Missing { .. })));
        fs::write(path(dir.path(), 4), "").unwrap();
        activate(dir.path(), 4).unwrap();
        assert_eq!(current(dir.path()).unwrap(), Some(4));
        assert_eq!(next(dir.path()).unwrap(), 5);
        fs::write(current_path(dir.path()), "state-4.staging\n").unwrap();
        assert!(matches!(current(dir.path()), Err(StorageError::Damaged { .. })));
    }
}
