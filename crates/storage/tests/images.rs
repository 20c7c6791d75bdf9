//! Images: whole, cut, damaged, and read while the store goes on.

mod common;

use bytes::Bytes;
use common::{Disk, Model, contents, options, put, rev};
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_kv::{Member, Members, Meta, Record, Storage};
use quorate_storage::image::{self, BLOCK_BYTES};
use quorate_storage::{ImageError, ImageReader, ImageWriter, StorageError, Store};

fn model() -> impl Strategy<Value = Model> {
    let record = (any::<Option<u8>>(), prop_oneof![20 => 0usize..50, 1 => 100_000usize..700_000]);
    (vec(record, 0..40), vec(any::<(i64, i64)>(), 0..9)).prop_map(|(records, leases)| {
        let mut model = Model { leases: leases.into_iter().collect(), ..Model::default() };
        for (main, (byte, len)) in (2..).zip(records) {
            let record = match byte {
                Some(byte) => put(main, vec![byte; len]),
                None => Record::Tombstone { key: "gone".into() },
            };
            model.records.insert(rev(main, len as i64), record);
            model.meta.revision = main;
        }
        model
    })
}

fn store_of(model: &Model) -> Store {
    let mut store = Store::with_backend("disk", Disk::default(), &options()).unwrap();
    model.records.iter().for_each(|(revision, record)| store.insert(*revision, record.clone()));
    model.leases.iter().for_each(|(id, ttl)| store.put_lease(*id, *ttl));
    store.set_meta(&model.meta);
    store
}

fn chunks(mut reader: ImageReader) -> Vec<Bytes> {
    std::iter::from_fn(|| reader.next_chunk().unwrap()).collect()
}

/// Cut a stream into pieces of these sizes, over and over.
fn cut(blocks: &[Bytes], sizes: &[usize]) -> Vec<Bytes> {
    let mut stream = Bytes::from(blocks.concat());
    let mut sizes = sizes.iter().cycle();
    let next = || (!stream.is_empty()).then(|| stream.split_to((*sizes.next().unwrap()).min(stream.len())));
    std::iter::from_fn(next).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Streamed from a file or made in memory, an image is the same bytes; and however it is cut, it becomes
    /// the same state, in a file or in memory.
    #[test]
    fn an_image_is_the_state(model in model(), sizes in vec(1usize..400_000, 1..4)) {
        let mut store = store_of(&model);
        store.checkpoint(false).unwrap();
        let blocks = chunks(store.image().unwrap());
        prop_assert_eq!(&blocks, &image::encode(&store));
        let largest = blocks.iter().map(Bytes::len).max().unwrap();
        prop_assert!(largest <= 16 + BLOCK_BYTES.max(700_100), "{} bytes in one block", largest);
        let pieces = cut(&blocks, &sizes);
        let mut copy = Model::default();
        prop_assert_eq!(image::decode(&pieces, &mut copy), Ok(model.meta.clone()));
        prop_assert_eq!(&copy, &model);
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ImageWriter::create(dir.path(), &options()).unwrap();
        for piece in &pieces {
            writer.write(piece).unwrap();
        }
        prop_assert_eq!(writer.finish().unwrap().meta, model.meta.clone());
        // The only generation there is.
        prop_assert_eq!(contents(&Store::open(dir.path(), &options()).unwrap()), model);
    }

    #[test]
    fn a_damaged_image_is_refused(model in model(), at: prop::sample::Index, bit in 0u32..8) {
        let mut stream = image::encode(&model).concat();
        let at = at.index(stream.len());
        stream[at] ^= 1 << bit;
        prop_assert!(image::decode(&[stream.into()], &mut Model::default()).is_err());
    }

    #[test]
    fn a_cut_image_is_refused(model in model(), at: prop::sample::Index) {
        let stream = Bytes::from(image::encode(&model).concat());
        let at = at.index(stream.len());
        prop_assert_eq!(image::decode(&[stream.slice(..at)], &mut Model::default()), Err(ImageError::Length));
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in vec(any::<u8>(), 0..100), kind in 0u8..6) {
        let mut copy = Model::default();
        prop_assert!(image::decode(&[data.clone().into()], &mut copy).is_err());
        // The same as a block's payload, so that what is behind the checksum is reached.
        let mut block = [&b"Qi\x01"[..], &[kind]].concat();
        block.extend((data.len() as u32).to_le_bytes());
        block.extend([0; 4]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&block), &data);
        block.extend(crc.to_le_bytes());
        block.extend(&data);
        prop_assert!(image::decode(&[block.into()], &mut copy).is_err());
    }
}

/// Enough for several blocks.
fn large() -> Model {
    let mut model = Model::default();
    for main in 2..5000 {
        model.insert(rev(main, 0), put(main, vec![main as u8; 200]));
    }
    model.put_lease(1, 2);
    let learner = Member { id: 4, peer_urls: vec!["http://d".into()], is_learner: true, ..Member::default() };
    let voter = Member { id: 3, name: "c".into(), client_urls: vec!["http://c".into()], ..Member::default() };
    let members = Members::from_parts(vec![voter, learner], [1, 2].into()).expect("ascending");
    model.set_meta(&Meta {
        applied_index: 9,
        revision: 4999,
        members: members.into(),
        membership: "3 votes, 4 learns".into(),
        ..Meta::default()
    });
    model
}

#[test]
fn blocks_are_bounded_and_each_has_its_place() {
    let blocks = image::encode(&large());
    assert!(blocks.len() > 6 && blocks.iter().all(|block| block.len() <= 16 + BLOCK_BYTES));
    let decode = |blocks: &[Bytes]| image::decode(blocks, &mut Model::default());
    let mut swapped = blocks.clone();
    swapped.swap(2, 3);
    assert_eq!(decode(&swapped), Err(ImageError::Sequence { expected: 2, found: 3 }));
    let mut missing = blocks.clone();
    missing.remove(2);
    assert_eq!(decode(&missing), Err(ImageError::Sequence { expected: 2, found: 3 }));
    let mut doubled = blocks.clone();
    doubled.insert(2, blocks[2].clone());
    assert_eq!(decode(&doubled), Err(ImageError::Sequence { expected: 3, found: 2 }));
    let mut endless = blocks.clone();
    endless.push(blocks[2].clone());
    assert_eq!(decode(&endless), Err(ImageError::Length));
    // Two images of different states, spliced: every block is good, the whole is not.
    let mut other = large();
    other.records.insert(rev(2, 0), put(2, vec![9; 200]));
    let mut spliced = image::encode(&other);
    spliced[1] = blocks[1].clone();
    assert_eq!(decode(&spliced), Err(ImageError::Length));
    let mut later = blocks[0].to_vec();
    later[2] = 9;
    assert_eq!(decode(&[later.into()]), Err(ImageError::Version { found: 9 }));
}

#[test]
fn an_image_stands_still_while_the_store_goes_on() {
    let before = large();
    let mut store = store_of(&before);
    store.checkpoint(true).unwrap();
    let mut reader = store.image().unwrap();
    let mut blocks = vec![reader.next_chunk().unwrap().unwrap(), reader.next_chunk().unwrap().unwrap()];
    let all: Vec<_> = before.records.keys().copied().collect();
    for part in all.chunks(500) {
        store.remove(part);
        store.checkpoint(true).unwrap();
    }
    store.insert(rev(6000, 0), put(6000, "new"));
    store.checkpoint(true).unwrap();
    assert_eq!(reader.meta(), &before.meta);
    drop(store);
    blocks.extend(chunks(reader));
    let mut copy = Model::default();
    image::decode(&blocks, &mut copy).unwrap();
    assert_eq!(copy, before);
}

/// What is only in memory is not in an image: it has no checkpoint's facts to go with it.
#[test]
fn an_image_is_of_the_last_checkpoint() {
    let before = large();
    let mut store = store_of(&before);
    store.checkpoint(false).unwrap();
    store.insert(rev(6000, 0), put(6000, "pending"));
    store.set_meta(&Meta { applied_index: 10, ..before.meta.clone() });
    let mut copy = Model::default();
    image::decode(&chunks(store.image().unwrap()), &mut copy).unwrap();
    assert_eq!(copy, before);
}

#[test]
fn a_faulty_stream_is_told_from_a_faulty_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut blocks = image::encode(&large());
    let mut writer = ImageWriter::create(dir.path(), &options()).unwrap();
    writer.write(&blocks[0]).unwrap();
    assert!(matches!(writer.finish(), Err(StorageError::Image { source: ImageError::Length, .. })));
    let mut writer = ImageWriter::create(dir.path(), &options()).unwrap();
    let mut bytes = blocks.remove(0).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let error = writer.write(&bytes).unwrap_err();
    assert!(
        matches!(error, StorageError::Image { source: ImageError::Checksum { sequence: 0 }, .. }),
        "{error}"
    );
}
