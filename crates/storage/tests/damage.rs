//! A stopped node's state files, damaged: whatever bit flips, page moves or file goes, what is opened holds exactly
//! what was written, or says that it is damaged. Never anything else.

mod common;

use std::fs;
use std::io::Error;
use std::path::Path;

use common::{Disk, Model, contents, options, put, rev};
use quorate_kv::{Member, Members, Meta, Storage};
use quorate_storage::{
    ImageWriter, Options, StorageBackend, StorageError, Store, activate, generation, image, move_aside,
    set_aside,
};
use redb::TableDefinition;

const PAGE: usize = 4096;

fn fill(storage: &mut dyn Storage, from: i64, to: i64) {
    for main in from..to {
        storage.insert(rev(main, 0), put(main, vec![main as u8; 100]));
        storage.put_lease(main, 60);
    }
    let member = Member { id: 7, name: "m7".into(), ..Member::default() };
    storage.set_meta(&Meta {
        applied_index: to as u64,
        revision: to - 1,
        members: Members::founding([member]).into(),
        membership: "who votes".into(),
        ..Meta::default()
    });
}

/// A small store with a history: several checkpoints, records removed again, closed in good order.
fn stopped() -> (Vec<u8>, Model) {
    let disk = Disk::default();
    let mut store = Store::with_backend("disk", disk.clone(), &options()).unwrap();
    fill(&mut store, 2, 100);
    store.checkpoint(true).unwrap();
    store.remove(&(2..30).map(|main| rev(main, 0)).collect::<Vec<_>>());
    store.remove_lease(50);
    store.checkpoint(false).unwrap();
    fill(&mut store, 100, 120);
    store.checkpoint(true).unwrap();
    let expected = contents(&store);
    drop(store);
    (disk.bytes(), expected)
}

/// What became of the damaged files tried.
#[derive(Debug, Default)]
struct Verdicts {
    equal: usize,
    damaged: usize,
}

impl Verdicts {
    fn judge(&mut self, opened: Result<Store, StorageError>, expected: &Model, what: &str) {
        match opened {
            Ok(store) => {
                assert_eq!(contents(&store), *expected, "{what}: other contents");
                self.equal += 1;
            }
            Err(error) => {
                assert!(error.is_damage(), "{what}: {error}");
                self.damaged += 1;
            }
        }
    }

    fn bytes(&mut self, bytes: Vec<u8>, expected: &Model, what: &str) {
        self.judge(Store::with_backend("disk", Disk::with_bytes(bytes), &options()), expected, what);
    }
}

/// Every bit of the file's header, and a bit of every 23rd byte of the rest.
#[test]
fn a_flipped_bit_is_noticed_or_in_dead_space() {
    let (good, expected) = stopped();
    let mut header = Verdicts::default();
    let mut pages = Verdicts::default();
    for at in (0..320).chain((320..good.len()).step_by(23)) {
        for bit in 0..8 {
            if at >= 320 && bit != at % 8 {
                continue;
            }
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let verdicts = if at < 320 { &mut header } else { &mut pages };
            verdicts.bytes(bytes, &expected, &format!("byte {at}, bit {bit}"));
        }
    }
    assert!(header.damaged > 500, "{header:?}");
    assert!(pages.damaged > 500 && pages.equal > 500, "{pages:?}");
}

/// A write that went to the wrong place, or never happened: pages that carry another page's bytes, or none.
#[test]
fn a_page_out_of_place_is_noticed_or_dead() {
    let (good, expected) = stopped();
    let pages = good.len() / PAGE;
    let mut verdicts = Verdicts::default();
    for to in 0..pages {
        for from in (0..=pages).filter(|from| *from != to) {
            let mut bytes = good.clone();
            match from < pages {
                true => bytes.copy_within(from * PAGE..(from + 1) * PAGE, to * PAGE),
                false => bytes[to * PAGE..(to + 1) * PAGE].fill(0),
            }
            verdicts.bytes(bytes, &expected, &format!("page {from} in the place of {to}"));
        }
    }
    assert!(verdicts.damaged > 50 && verdicts.equal > 10, "{verdicts:?}");
}

#[test]
fn a_file_cut_short_or_gone_on_with_is_noticed_or_whole() {
    let (good, expected) = stopped();
    let mut cut = Verdicts::default();
    for len in (1..good.len()).step_by(509).chain((PAGE..good.len()).step_by(PAGE)) {
        cut.bytes(good[..len].to_vec(), &expected, &format!("cut to {len} bytes"));
    }
    assert!(cut.damaged > 100, "{cut:?}");
    let mut longer = Verdicts::default();
    for len in [1, 511, PAGE, 10 * PAGE] {
        let bytes = [&good[..], &vec![0xa5; len]].concat();
        longer.bytes(bytes, &expected, &format!("{len} bytes too long"));
    }
}

/// The same through real files, the pointer among them.
#[test]
fn real_files_are_no_better() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let mut store = Store::open(&dir, &options()).unwrap();
    fill(&mut store, 2, 60);
    store.checkpoint(true).unwrap();
    let expected = contents(&store);
    drop(store);
    let (file, pointer) = (generation::path(&dir, 1), dir.join("CURRENT"));
    let (good, named) = (fs::read(&file).unwrap(), fs::read(&pointer).unwrap());
    let mut verdicts = Verdicts::default();
    for at in (0..good.len()).step_by(307) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&file, bytes).unwrap();
        verdicts.judge(Store::open(&dir, &options()), &expected, &format!("byte {at}"));
    }
    assert!(verdicts.damaged > 20 && verdicts.equal > 20, "{verdicts:?}");
    fs::write(&file, &good).unwrap();
    let mut verdicts = Verdicts::default();
    for at in 0..named.len() * 8 {
        let mut bytes = named.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        fs::write(&pointer, bytes).unwrap();
        verdicts.judge(Store::open(&dir, &options()), &expected, &format!("bit {at} of CURRENT"));
    }
    assert!(verdicts.damaged >= named.len() * 7, "{verdicts:?}");
    for (bytes, what) in [(&b""[..], "nothing"), (b"garbage", "garbage"), (&[0xff; 9000], "a file of ones")] {
        fs::write(&pointer, &named).unwrap();
        fs::write(&file, bytes).unwrap();
        let error = Store::open(&dir, &options()).err().expect(what);
        assert!(matches!(error, StorageError::Damaged { .. }), "{what}: {error}");
    }
    fs::remove_file(&file).unwrap();
    assert!(Store::open(&dir, &options()).err().is_some_and(|error| error.is_damage()), "missing");
}

/// A crash between naming a new generation and deleting the old one leaves both. No flipped bit of the pointer
/// brings the old one back.
#[test]
fn a_flipped_bit_names_no_other_generation() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    drop(Store::open(dir, &options()).unwrap());
    let mut model = Model::default();
    fill(&mut model, 2, 30);
    let make = |number: u64| {
        let mut writer = ImageWriter::create(dir, &options()).unwrap();
        image::encode(&model).iter().for_each(|block| writer.write(block).unwrap());
        assert_eq!(writer.finish().unwrap().generation, number);
    };
    make(2);
    make(3);
    activate(dir, 3).unwrap();
    let named = fs::read(dir.join("CURRENT")).unwrap();
    for at in 0..named.len() * 8 {
        let mut bytes = named.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        fs::write(dir.join("CURRENT"), bytes).unwrap();
        let current = generation::current(dir);
        let fits = matches!(current, Ok(Some(3)) | Err(StorageError::Damaged { .. }));
        assert!(fits, "bit {at}: {current:?}");
    }
}

/// Something that a good checksum cannot show: a record, or a lease, that is simply not there.
#[test]
fn what_is_missing_is_missed() {
    let (good, _) = stopped();
    let unverified = Options { verify: false, ..options() };
    for (what, lease) in [("a record", false), ("a lease", true)] {
        let disk = Disk::with_bytes(good.clone());
        let engine = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
        let txn = engine.begin_write().unwrap();
        match lease {
            true => {
                let leases = TableDefinition::<i64, &[u8]>::new("leases");
                assert!(txn.open_table(leases).unwrap().remove(77).unwrap().is_some());
            }
            false => {
                let records = TableDefinition::<u128, &[u8]>::new("records");
                assert!(txn.open_table(records).unwrap().pop_first().unwrap().is_some());
            }
        }
        txn.commit().unwrap();
        drop(engine);
        let disk = Disk::with_bytes(disk.bytes());
        let error = Store::with_backend("disk", disk.clone(), &options()).err().expect(what);
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(if lease { "116 leases" } else { "89 records" }), "{error}");
        let store = Store::with_backend("disk", disk, &unverified).unwrap();
        let mut reader = store.image().unwrap();
        let sent = std::iter::from_fn(|| reader.next_chunk().transpose()).collect::<Result<Vec<_>, _>>();
        assert!(matches!(sent, Err(StorageError::Damaged { .. })), "{what}: an image comes to its end");
    }
}

/// A disk on which the engine stumbles.
#[derive(Debug)]
struct Trap(Disk);

impl StorageBackend for Trap {
    fn len(&self) -> Result<u64, Error> {
        self.0.len()
    }

    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), Error> {
        panic!("the floor is gone")
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.0.write(offset, data)
    }
}

#[test]
fn a_panic_while_opening_is_damage() {
    let trap = Trap(Disk::with_bytes(stopped().0));
    let error = Store::with_backend("disk", trap, &options()).err().unwrap();
    assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("gave up on it: the floor is gone"), "{error}");
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_damaged_store_is_set_aside_and_a_new_one_begun() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    assert_eq!(set_aside(&dir).unwrap(), None, "there is nothing yet");
    // What only looks alike is left alone.
    fs::create_dir(home.path().join("state.damaged-x")).unwrap();
    fs::write(home.path().join("state.damaged-9"), "a file").unwrap();
    for number in 1..4 {
        let mut store = Store::open(&dir, &options()).unwrap();
        assert_eq!(contents(&store), Model::default(), "empty, at index 0");
        fill(&mut store, 2, 30);
        store.checkpoint(true).unwrap();
        drop(store);
        fs::write(generation::path(&dir, 1), format!("garbage {number}")).unwrap();
        assert!(Store::open(&dir, &options()).err().unwrap().is_damage());
        let place = set_aside(&dir).unwrap().unwrap();
        assert_eq!(place, home.path().join(format!("state.damaged-{number}")));
        let kept = fs::read_to_string(generation::path(&place, 1)).unwrap();
        assert_eq!(kept, format!("garbage {number}"));
        let one = format!("state.damaged-{number}");
        assert_eq!(names(home.path()), [one.as_str(), "state.damaged-9", "state.damaged-x"]);
    }
    assert!(!StorageError::InUse { path: dir.clone() }.is_damage() && !dir.exists());
}

#[test]
fn what_is_moved_aside_on_request_is_all_kept() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("m0");
    assert_eq!(move_aside(&dir, "lost").unwrap(), None, "there is nothing yet");
    for number in 1..4 {
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("file"), format!("{number}")).unwrap();
        let place = move_aside(&dir, "lost").unwrap().unwrap();
        assert_eq!(place, home.path().join(format!("m0.lost-{number}")));
        assert_eq!(fs::read_to_string(place.join("file")).unwrap(), format!("{number}"));
    }
    assert_eq!(names(home.path()), ["m0.lost-1", "m0.lost-2", "m0.lost-3"]);
}
