//! What a store says and does when its disk, its directory or its file is not as it should be.

mod common;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use common::{Disk, Model, contents, options, put, rev};
use quorate_kv::{Meta, Storage};
use quorate_storage::{ImageWriter, Options, StorageError, Store, activate, generation, image};

fn open(dir: &Path) -> Result<Store, StorageError> {
    Store::open(dir, &options())
}

/// A store with some records, made durable.
fn filled(mut store: Store) -> Store {
    fill(&mut store, 2, 400);
    store.checkpoint(true).unwrap();
    store
}

fn fill(storage: &mut dyn Storage, from: i64, to: i64) {
    for main in from..to {
        storage.insert(rev(main, 0), put(main, vec![main as u8; 100]));
    }
    storage.put_lease(7, 60);
    storage.set_meta(&Meta { applied_index: to as u64, revision: to - 1, ..Meta::default() });
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_state_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(open(dir.path()).unwrap());
    assert_eq!(store.size().total, fs::metadata(store.path()).unwrap().len());
    let before = contents(&store);
    drop(store);
    assert_eq!(names(dir.path()), ["CURRENT", "state-1.redb"]);
    let crc = crc32c::crc32c(b"state-1.redb");
    assert_eq!(fs::read_to_string(dir.path().join("CURRENT")).unwrap(), format!("state-1.redb {crc:08x}\n"));
    assert_eq!(contents(&open(dir.path()).unwrap()), before);
}

#[test]
fn a_state_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path()).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, StorageError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("state-1.redb"), "{error}");
}

/// A flipped bit after a crash (`tests/damage.rs` has those after a stop), where the engine must tell a commit that was cut short from one that was damaged:
/// going back to the checkpoint before would lose what the log has already forgotten.
#[test]
fn a_flipped_bit_after_a_crash_does_not_bring_the_past_back() {
    let disk = Disk::default();
    let mut store = filled(Store::with_backend("disk", disk.clone(), &options()).unwrap());
    let mut past = Vec::new();
    for main in 400..420 {
        past.push(contents(&store));
        fill(&mut store, main, main + 1);
        store.checkpoint(true).unwrap();
    }
    let expected = contents(&store);
    let good = disk.after_power_cut(|| false).bytes();
    let mut noticed = 0;
    // Bits of the header, and some of the pages where they are not empty.
    let header = (0..320).step_by(3).flat_map(|at| (0..8).map(move |bit| (at, bit)));
    let used = (4096..good.len()).filter(|at| good[*at] != 0).step_by(997).map(|at| (at, at % 8));
    for (at, bit) in header.chain(used) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        match Store::with_backend("disk", Disk::with_bytes(bytes), &options()) {
            // The one bit that says which of the two commits counts has no checksum of its own. Its flip does
            // bring the past back, the whole of one checkpoint before; should the log have forgotten what came
            // after it, the host finds the log to begin later than the state.
            Ok(store) if (at, bit) == (9, 0) => assert!(past.contains(&contents(&store))),
            Ok(store) => assert_eq!(contents(&store), expected, "byte {at}, bit {bit}"),
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 10, "only {noticed} were noticed");
}

/// Unless the file is verified when opened, a damaged record is noticed when it is read.
#[test]
fn a_damaged_record_is_never_returned() {
    let disk = Disk::default();
    drop(filled(Store::with_backend("disk", disk.clone(), &options()).unwrap()));
    let mut bytes = disk.bytes();
    // The value of revision 200, wherever it is.
    let value = [200u8; 100];
    let copies: Vec<usize> = (0..bytes.len() - 100).filter(|at| bytes[*at..*at + 100] == value).collect();
    assert!(!copies.is_empty());
    copies.iter().for_each(|at| bytes[*at] ^= 1);
    let unverified = Options { verify: false, ..options() };
    let store = Store::with_backend("disk", Disk::with_bytes(bytes.clone()), &unverified).unwrap();
    assert!(store.get(rev(199, 0)).is_some());
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.get(rev(200, 0))));
    let text = read.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("revision 200.0 fails its checksum"), "{text}");
    let mut reader = store.image().unwrap();
    let sent = std::iter::from_fn(|| reader.next_chunk().transpose()).collect::<Result<Vec<_>, _>>();
    assert!(matches!(sent, Err(StorageError::Damaged { .. })), "damage does not spread");
    let opened = Store::with_backend("disk", Disk::with_bytes(bytes), &options());
    assert!(matches!(opened, Err(StorageError::Damaged { .. })));
}

#[test]
fn what_is_no_state_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(open(dir.path()).unwrap()));
    let file = generation::path(dir.path(), 1);
    let good = fs::read(&file).unwrap();
    let text = vec![b'x'; 10_000];
    for bad in [&b""[..], b"short", &text[..], &good[..good.len() / 2]] {
        fs::write(&file, bad).unwrap();
        let error = open(dir.path()).err().unwrap();
        assert!(matches!(error, StorageError::Damaged { .. }), "{} bytes: {error}", bad.len());
        assert!(error.to_string().contains("state-1.redb"), "{error}");
        assert_eq!(fs::read(&file).unwrap().len(), bad.len(), "left as it was");
    }
    fs::remove_file(&file).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, StorageError::Missing { .. }), "{error}");
    fs::create_dir(&file).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, StorageError::Io { .. }), "{error}");
}

#[test]
fn another_format_is_named() {
    let disk = Disk::default();
    drop(Store::with_backend("disk", disk.clone(), &options()).unwrap());
    let engine = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    let txn = engine.begin_write().unwrap();
    let facts = redb::TableDefinition::<u128, &[u8]>::new("facts");
    let crc = crc32c::crc32c_append(crc32c::crc32c(&1u128.to_le_bytes()), &9u32.to_le_bytes());
    let sealed = [crc.to_le_bytes(), 9u32.to_le_bytes()].concat();
    txn.open_table(facts).unwrap().insert(1, &sealed[..]).unwrap();
    txn.commit().unwrap();
    drop(engine);
    let error = Store::with_backend("disk", disk, &options()).err().unwrap();
    assert!(matches!(error, StorageError::Format { found: 9, expected: 2, .. }), "{error}");
}

#[test]
fn a_lost_pointer_is_replaced_only_when_there_is_no_choice() {
    let dir = tempfile::tempdir().unwrap();
    let expected = contents(&filled(open(dir.path()).unwrap()));
    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    assert_eq!(contents(&open(dir.path()).unwrap()), expected);
    fs::copy(generation::path(dir.path(), 1), generation::path(dir.path(), 3)).unwrap();
    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("state-3.redb"), "{error}");
    assert_eq!(names(dir.path()), ["state-1.redb", "state-3.redb"], "nothing is deleted");
    fs::write(dir.path().join("CURRENT"), "state-3.redb\n").unwrap();
    assert_eq!(contents(&open(dir.path()).unwrap()), expected);
    assert_eq!(names(dir.path()), ["CURRENT", "state-3.redb"]);
}

/// The disk fills up, or breaks, at every possible write of a checkpoint.
#[test]
fn a_failed_checkpoint_is_told_and_costs_nothing_durable() {
    for (kind, full) in [(ErrorKind::StorageFull, true), (ErrorKind::Other, false)] {
        let mut failures = 0;
        for after in 0..40 {
            let disk = Disk::default();
            let mut store = filled(Store::with_backend("disk", disk.clone(), &options()).unwrap());
            let before = contents(&store);
            fill(&mut store, 400, 600);
            let after_all = contents(&store);
            disk.fail_after(after, kind);
            let result = store.begin_checkpoint().commit(true);
            let Err(error) = result else { continue };
            failures += 1;
            assert_eq!(matches!(error, StorageError::Full { .. }), full, "{error}");
            assert!(error.to_string().contains("disk"), "{error}");
            assert_eq!(contents(&store), after_all, "reads go on until the host stops");
            let restarted = Store::with_backend("disk", disk.after_power_cut(|| true), &options()).unwrap();
            let found = contents(&restarted);
            assert!(found == before || found == after_all, "{after}: half a checkpoint");
        }
        assert!(failures > 3, "{failures} failures only");
    }
}

#[test]
fn an_interrupted_snapshot_is_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    let expected = contents(&filled(open(dir.path()).unwrap()));
    let mut model = Model::default();
    fill(&mut model, 2, 5000);
    let blocks = image::encode(&model);
    // Dropped, killed while building, killed before it became current.
    let mut writer = ImageWriter::create(dir.path(), &options()).unwrap();
    writer.write(&blocks[0]).unwrap();
    assert_eq!(writer.meta(), Some(&model.meta));
    assert_eq!(names(dir.path()), ["CURRENT", "state-1.redb", "state-2.staging"]);
    drop(writer);
    assert_eq!(names(dir.path()), ["CURRENT", "state-1.redb"]);
    fs::write(dir.path().join("state-2.staging"), "half").unwrap();
    fs::write(dir.path().join("CURRENT.tmp"), "half").unwrap();
    let mut writer = ImageWriter::create(dir.path(), &options()).unwrap();
    blocks.iter().for_each(|block| writer.write(block).unwrap());
    assert_eq!(writer.finish().unwrap().generation, 3);
    assert_eq!(contents(&open(dir.path()).unwrap()), expected);
    assert_eq!(names(dir.path()), ["CURRENT", "state-1.redb"]);
}

#[test]
fn a_snapshot_replaces_the_state_while_the_old_one_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let old = filled(open(dir.path()).unwrap());
    let mut model = Model::default();
    fill(&mut model, 2, 5000);
    let mut writer = ImageWriter::create(dir.path(), &options()).unwrap();
    image::encode(&model).iter().for_each(|block| writer.write(block).unwrap());
    let image = writer.finish().unwrap();
    assert_eq!((image.generation, &image.meta), (2, &model.meta));
    activate(dir.path(), image.generation).unwrap();
    let new = open(dir.path()).unwrap();
    assert_eq!(contents(&new), model);
    assert_eq!(new.size().in_use, common::in_use(&model));
    assert!(old.get(rev(300, 0)).is_some(), "who still reads the old one may finish");
    assert_eq!(names(dir.path()), ["CURRENT", "state-2.redb"]);
}
