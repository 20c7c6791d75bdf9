//! The refusals that no ordinary damage leads to: files and images whose checksums are right and whose content is
//! not, and directories in which something is in the way.

mod common;

use std::fs;
use std::io::ErrorKind;

use bytes::Bytes;
use common::{Disk, Model, options, put, rev};
use quorate_kv::{Meta, Storage};
use quorate_storage::{
    ImageError, ImageWriter, Options, StorageError, Store, activate, generation, image, set_aside,
};
use redb::{Database, TableDefinition};

const FACTS: TableDefinition<u128, &[u8]> = TableDefinition::new("facts");
const LEASES: TableDefinition<i64, &[u8]> = TableDefinition::new("leases");

fn filled() -> Disk {
    let disk = Disk::default();
    let mut store = Store::with_backend("disk", disk.clone(), &options()).unwrap();
    store.insert(rev(2, 0), put(2, "value"));
    store.put_lease(7, 60);
    store.set_meta(&Meta { applied_index: 3, revision: 2, ..Meta::default() });
    store.checkpoint(true).unwrap();
    drop(store);
    disk
}

fn sealed(key: u128, body: &[u8]) -> Vec<u8> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&key.to_le_bytes()), body);
    [&crc.to_le_bytes(), body].concat()
}

/// What is said of a store whose file was changed by this.
fn said_of(change: impl FnOnce(&Database), options: &Options) -> Result<Store, StorageError> {
    let disk = filled();
    let engine = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    change(&engine);
    drop(engine);
    Store::with_backend("disk", disk, options)
}

/// With one of the facts replaced, or gone.
fn with_fact(name: u128, value: Option<&[u8]>) -> String {
    let opened = said_of(
        |engine| {
            let txn = engine.begin_write().unwrap();
            {
                let mut facts = txn.open_table(FACTS).unwrap();
                match value {
                    Some(value) => drop(facts.insert(name, value).unwrap()),
                    None => assert!(facts.remove(name).unwrap().is_some()),
                }
            }
            txn.commit().unwrap();
        },
        &options(),
    );
    let error = opened.err().expect("refused");
    assert!(error.is_damage(), "{error}");
    error.to_string()
}

#[test]
fn each_fact_must_be_there_and_make_sense() {
    for (name, what) in [(1, "format"), (2, "applied index"), (3, "tally")] {
        let said = with_fact(name, None);
        assert!(said.contains(&format!("its {what} is missing")), "{said}");
        let said = with_fact(name, Some(&sealed(name + 1, &[2, 0, 0, 0])));
        assert!(said.contains(&format!("its {what} fails its checksum")), "{said}");
        let said = with_fact(name, Some(&[1]));
        assert!(said.contains(&format!("its {what} fails its checksum")), "{said}");
    }
    let said = with_fact(1, Some(&sealed(1, &[2, 0])));
    assert!(said.contains("its format is not told"), "{said}");
    let said = with_fact(2, Some(&sealed(2, &[0; 30])));
    assert!(said.contains("malformed end of input"), "{said}");
    let said = with_fact(3, Some(&sealed(3, &[0; 40])));
    assert!(said.contains("malformed tally"), "{said}");
    let said = with_fact(3, Some(&sealed(3, &[0; 32])));
    assert!(said.contains("it holds 1 records and 1 leases where 0 and 0 were written"), "{said}");
}

#[test]
fn a_table_that_is_gone_is_missed() {
    let drop_leases = |engine: &Database| {
        let txn = engine.begin_write().unwrap();
        assert!(txn.delete_table(LEASES).unwrap());
        txn.commit().unwrap();
    };
    for options in [options(), Options { verify: false, ..options() }] {
        let error = said_of(drop_leases, &options).err().unwrap();
        assert!(error.is_damage() && error.to_string().contains("leases"), "{error}");
    }
}

/// A lease whose checksum is wrong, or is right for a value that is no lease.
#[test]
fn a_damaged_lease_is_never_returned() {
    for value in [sealed(8, &60i64.to_le_bytes()), sealed(7, &[60]), vec![]] {
        let change = |engine: &Database| {
            let txn = engine.begin_write().unwrap();
            txn.open_table(LEASES).unwrap().insert(7, &value[..]).unwrap();
            txn.commit().unwrap();
        };
        let error = said_of(change, &options()).err().unwrap();
        assert!(error.to_string().contains("lease 7 fails its checksum"), "{error}");
        let store = said_of(change, &Options { verify: false, ..options() }).unwrap();
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.leases()));
        assert!(read.is_err(), "reading goes on");
        let mut reader = store.image().unwrap();
        let sent = std::iter::from_fn(|| reader.next_chunk().transpose()).collect::<Result<Vec<_>, _>>();
        assert!(matches!(sent, Err(StorageError::Damaged { .. })), "damage does not spread");
    }
}

/// A block with a good checksum.
fn block(kind: u8, sequence: u32, payload: &[u8]) -> Bytes {
    let mut out = b"Qi\x02".to_vec();
    out.push(kind);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out), payload);
    out.extend_from_slice(&crc.to_le_bytes());
    [&out[..], payload].concat().into()
}

fn record(main: i64, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_le_bytes();
    [&main.to_le_bytes()[..], &0i64.to_le_bytes(), &len, body].concat()
}

fn lease(id: i64) -> Vec<u8> {
    [id.to_le_bytes(), 60i64.to_le_bytes()].concat()
}

/// What a sender with a fault of its own may send: each block arrives as it was sent, and the image is none.
#[test]
fn an_image_that_makes_no_sense_is_refused() {
    let begin = image::encode(&Model::default()).remove(0);
    let dead = [&[2u8][..], b"key"].concat();
    let refused = |blocks: &[Bytes], what: &str| {
        let error = image::decode(blocks, &mut Model::default()).unwrap_err();
        assert!(error.to_string().contains(what), "{error}, not {what}");
        let home = tempfile::tempdir().unwrap();
        let mut writer = ImageWriter::create(home.path(), &options()).unwrap();
        let written = blocks.iter().try_for_each(|block| writer.write(block));
        let error = written.and_then(|()| writer.finish().map(drop)).unwrap_err();
        assert!(matches!(error, StorageError::Image { .. }) && !error.is_damage(), "{error}");
        assert!(error.to_string().contains(what), "{error}, not {what}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left of it");
    };
    refused(&[Bytes::from_static(b"no image, but longer than a header")], "does not hold an image");
    refused(&[block(2, 0, &record(2, &dead))], "the begin block comes first");
    refused(&[begin.clone(), block(1, 1, &[])], "the begin block comes first and once");
    refused(&[begin.clone(), block(9, 1, &[])], "unknown kind of block");
    refused(&[block(1, 0, b"no facts")], "malformed");
    let twice = [record(2, &dead), record(2, &dead)].concat();
    refused(&[begin.clone(), block(2, 1, &twice)], "revisions are out of order");
    refused(&[begin.clone(), block(2, 1, &record(2, &[7, 7]))], "record: unknown kind");
    refused(&[begin.clone(), block(2, 1, &record(2, &[]))], "malformed");
    refused(&[begin.clone(), block(2, 1, &record(2, &dead)[..9])], "malformed");
    refused(&[begin.clone(), block(3, 1, &[lease(5), lease(5)].concat())], "leases are out of order");
    refused(&[begin.clone(), block(3, 1, &lease(5)[..9])], "malformed");
    refused(&[begin.clone(), block(4, 1, &[0; 21])], "incomplete");
    refused(&[begin], "incomplete");
    let huge = [&b"Qi\x02\x01"[..], &[255; 12]].concat();
    let error = image::decode(&[huge.into()], &mut Model::default()).unwrap_err();
    assert_eq!(error, ImageError::Checksum { sequence: 0 }, "a length nobody sends is not waited for");
}

/// An entry of the directory that is in the way is named, with what was tried.
#[test]
fn what_is_in_the_way_is_named() {
    let refusal = |prepare: &dyn Fn(&std::path::Path), what: &str| {
        let home = tempfile::tempdir().unwrap();
        drop(Store::open(home.path(), &options()).unwrap());
        prepare(home.path());
        let error = Store::open(home.path(), &options()).err().expect(what);
        assert!(matches!(error, StorageError::Io { .. }) && !error.is_damage(), "{error}");
        assert!(error.to_string().contains(what), "{error}, not {what}");
    };
    refusal(
        &|dir| {
            fs::remove_file(dir.join("CURRENT")).unwrap();
            fs::create_dir(dir.join("CURRENT")).unwrap();
        },
        "cannot read",
    );
    refusal(&|dir| fs::create_dir(dir.join("state-9.staging")).unwrap(), "cannot delete");
    refusal(
        &|dir| {
            fs::remove_file(dir.join("CURRENT")).unwrap();
            fs::create_dir(dir.join("CURRENT.tmp")).unwrap();
        },
        "cannot replace",
    );
    refusal(
        &|dir| {
            fs::remove_file(dir.join("CURRENT")).unwrap();
            fs::remove_file(generation::path(dir, 1)).unwrap();
            fs::create_dir(dir.join("state-1.staging")).unwrap();
        },
        "cannot delete",
    );
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let error = Store::open(&file, &options()).err().unwrap();
    assert!(error.to_string().contains("cannot create"), "{error}");
    let gone = home.path().join("gone");
    let error = ImageWriter::create(&gone, &options()).err().unwrap();
    assert!(error.to_string().contains("cannot list"), "{error}");
    assert!(matches!(activate(&gone, 1), Err(StorageError::Missing { .. })));
    let error = set_aside(std::path::Path::new("/")).unwrap_err();
    assert!(error.to_string().contains("cannot set aside"), "{error}");
    let error = set_aside(&gone.join("deeper")).unwrap_err();
    assert!(
        matches!(&error, StorageError::Io { source, .. } if source.kind() == ErrorKind::NotFound),
        "{error}"
    );
}

/// A file that somebody made before this one was asked for is not overwritten.
#[test]
fn a_staging_file_in_use_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let first = ImageWriter::create(home.path(), &options()).unwrap();
    let second = ImageWriter::create(home.path(), &options()).unwrap();
    drop(first);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "each has its own number");
    drop(second);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}
