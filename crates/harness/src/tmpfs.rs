//! A small disk of its own, to be filled: a tmpfs, which only root can mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs {
    at: PathBuf,
}

impl Tmpfs {
    /// Mount one of this size at a new directory; none if this process may not.
    pub fn mount(at: &Path, bytes: u64) -> Option<Tmpfs> {
        fs::create_dir_all(at).expect("a directory");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "tmpfs"]).arg(at);
        let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then(|| Tmpfs { at: at.to_owned() })
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }

    /// Leave no byte free.
    pub fn fill(&self) {
        let file = fs::File::create(self.filler()).expect("one more file");
        let mut length = 0;
        // What is there to be had, by ever smaller pieces: others write meanwhile.
        for _ in 0..1_000 {
            let free = statvfs(&self.at).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
            if free == 0 {
                return;
            }
            match fallocate(&file, FallocateFlags::empty(), length, free) {
                Ok(()) => length += free,
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// Give the room back.
    pub fn free(&self) {
        let _ = fs::remove_file(self.filler());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that was killed may not be gone entirely.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_full_disk_takes_no_byte_until_it_is_freed() {
        let home = tempfile::tempdir().expect("a directory");
        let Some(disk) = Tmpfs::mount(&home.path().join("small"), 1 << 20) else {
            println!("SKIPPED: this process may not mount a tmpfs");
            return;
        };
        let written = || {
            let mut file = fs::File::create(home.path().join("small/file"))?;
            file.write_all(&[1; 100])?;
            file.sync_all()
        };
        written().expect("there is room");
        disk.fill();
        fs::remove_file(home.path().join("small/file")).expect("it is there");
        disk.fill();
        written().expect_err("the disk is full");
        disk.free();
        written().expect("there is room again");
    }
}
