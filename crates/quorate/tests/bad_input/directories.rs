//! Directories that are full, unreadable, taken, or somebody else's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use quorate_harness::{Cluster, Process, cluster, ports};

use crate::{blocking, setup, unharmed};

/// A small file system in memory; unmounted with the value.
struct Small(PathBuf);

impl Small {
    /// None where mounting is not allowed.
    fn mount(at: &Path, mib: u32) -> Option<Small> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(at);
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Small(at.to_path_buf()))
    }

    fn grow(&self, mib: u32) {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,size={mib}m")]).arg(&self.0);
        assert!(command.status().is_ok_and(|status| status.success()), "the file system grows");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: what still runs there is ended by others.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Puts until something is refused or the member is gone; how many were acknowledged.
async fn fill(cluster: &Cluster, endpoint: &str) -> usize {
    let mut client = cluster::connect(endpoint).await;
    let value = "x".repeat(60_000);
    for n in 0..5_000 {
        let put = client.put(format!("full/{n:04}"), value.as_str(), None);
        match tokio::time::timeout(Duration::from_secs(10), put).await {
            Ok(Ok(_)) => {}
            _ => return n,
        }
    }
    panic!("the disk is never full: {}", cluster.post_mortem());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk() {
    let mut cluster = Cluster::prepare(setup(1).flag("--wal-segment-bytes=4194304"));
    let directory = cluster.data_dir(0);
    std::fs::create_dir(&directory).expect("a directory");
    let Some(small) = Small::mount(&directory, 32) else {
        println!("SKIPPED: only root can mount a small file system; no disk was filled");
        return;
    };
    blocking(|| cluster.restart(0));
    let acknowledged = fill(&cluster, &cluster.endpoint(0)).await;
    assert!(acknowledged > 20, "{acknowledged} fitted");
    let status = blocking(|| cluster.member_mut(0).ends());
    assert_eq!(status.code(), Some(1), "{}", cluster.log(0));
    let said = cluster.log(0);
    let place = directory.to_str().expect("text");
    let clear = said.lines().any(|line| line.contains(place) && line.contains("cannot go on"));
    assert!(clear, "what is wrong where? {said}");

    small.grow(128);
    blocking(|| cluster.restart(0));
    let mut client = cluster.client(0).await;
    for n in 0..acknowledged {
        let found = client.get(format!("full/{n:04}"), None).await.expect("get");
        assert!(found.kvs().len() == 1, "the acknowledged put {n} of {acknowledged} is lost");
        assert_eq!((found.kvs()[0].value().len(), found.kvs()[0].version()), (60_000, 1));
    }
    // What was not acknowledged may be there: one put was under way.
    let count = etcd_client::GetOptions::new().with_prefix().with_count_only();
    let count = client.get("full/", Some(count)).await.expect("get").count() as usize;
    assert!((acknowledged..=acknowledged + 1).contains(&count), "{acknowledged}, {count}");
    unharmed(&cluster, "a full disk").await;
    drop(cluster);
    drop(small);
}

/// Ends with code 1 and this text.
fn does_not_start(words: &[String], texts: &[&str]) -> String {
    let mut process = Process::start(cluster::bare(env!("CARGO_BIN_EXE_quorate").as_ref()).args(words));
    assert_eq!(process.ends().code(), Some(1), "{}", process.everything());
    // Its last words may still be on their way.
    let begun = Instant::now();
    while !texts.iter().all(|text| process.said().contains(text)) {
        assert!(begun.elapsed() < Duration::from_secs(5), "{texts:?} were due: {}", process.everything());
        std::thread::sleep(Duration::from_millis(10));
    }
    process.said()
}

fn instead(words: &[String], flag: &str, value: &str) -> Vec<String> {
    let prefix = format!("--{flag}=");
    let replaced = |word: &String| match word.starts_with(&prefix) {
        true => format!("{prefix}{value}"),
        false => word.clone(),
    };
    words.iter().map(replaced).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_cannot_be_used() {
    let mut cluster = blocking(|| Cluster::start(setup(1)));
    cluster.client(0).await.put("a", "1", None).await.expect("put");
    let words = cluster.words(0);
    let directory = cluster.data_dir(0);
    let place = directory.to_str().expect("text").to_owned();
    blocking(|| {
        // Taken: the same member once more, on other ports.
        let port = ports::free_pairs(1);
        let twin = instead(&words, "listen-client-urls", &format!("http://127.0.0.1:{port}"));
        let twin = instead(&twin, "listen-peer-urls", &format!("http://127.0.0.1:{}", port + 1));
        does_not_start(&twin, &[&place, "in use by another node"]);
        cluster.kill(0);

        // A file where the directory should be, and a directory below a file.
        let file = cluster.home().join("file");
        std::fs::write(&file, "not a directory").expect("a file");
        let at = file.to_str().expect("text");
        does_not_start(&instead(&words, "data-dir", at), &[at]);
        does_not_start(&instead(&words, "data-dir", &format!("{at}/below")), &[at]);
    });
    damage(&directory, &words);
    blocking(|| cluster.restart(0));
    let got = cluster.client(0).await.get("a", None).await.expect("get");
    assert_eq!(got.kvs()[0].value(), b"1");
    unharmed(&cluster, "starts that were refused").await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(std::fs::copy(&from, &to).expect("copied")),
        }
    }
}

/// Each file of the member in turn is replaced by nonsense, in a copy: it must say where the trouble is, and
/// touch nothing; or do without that file.
fn damage(directory: &Path, words: &[String]) {
    let files: Vec<PathBuf> = ["wal", "state"]
        .iter()
        .flat_map(|part| std::fs::read_dir(directory.join(part)).expect("a directory").flatten())
        .map(|entry| entry.path())
        .filter(|path| std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0))
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    let mut refusals = 0;
    for (number, file) in files.iter().enumerate() {
        let spare = directory.with_file_name(format!("spare-{number}"));
        copy(directory, &spare);
        let place = spare.to_str().expect("text").to_owned();
        let hit = spare.join(file.strip_prefix(directory).expect("below it"));
        let mut broken = std::fs::read(&hit).expect("readable");
        let head = broken.len().min(4096);
        broken[..head].iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8 ^ 0x5a);
        std::fs::write(&hit, &broken).expect("written");
        let said = blocking(|| starts_or_refuses(&instead(words, "data-dir", &place)));
        match said {
            Some(said) => {
                refusals += 1;
                assert!(said.contains(&place), "{}: where? {said}", hit.display());
                assert!(std::fs::read(&hit).expect("readable") == broken, "{}: touched", hit.display());
            }
            // One of two superblocks, or a segment made in advance.
            None => println!("{} is not needed to start", hit.display()),
        }
    }
    assert!(refusals >= 2, "the log and the state are needed: {files:?}");
}

/// What it says when it refuses to start; none if it serves.
fn starts_or_refuses(words: &[String]) -> Option<String> {
    let mut process = Process::start(cluster::bare(env!("CARGO_BIN_EXE_quorate").as_ref()).args(words));
    let begun = Instant::now();
    loop {
        if let Some(status) = process.ended() {
            assert_eq!(status.code(), Some(1), "{}", process.everything());
            // Its last words may still be on their way.
            std::thread::sleep(Duration::from_millis(100));
            return Some(process.said());
        }
        if process.said().contains("ready to serve") {
            return None;
        }
        let late = begun.elapsed() > Duration::from_secs(10);
        assert!(!late, "neither refused nor ready: {}", process.everything());
        std::thread::sleep(Duration::from_millis(20));
    }
}
