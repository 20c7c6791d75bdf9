//! What a member does by itself: history compacted after its retention, growth refused at the quota and
//! allowed again once there is room.

use std::time::{Duration, Instant};

use etcd_client::{Client, DeleteOptions, GetOptions};
use quorate_harness::{Cluster, PATIENCE, Setup};

const QUOTA_BYTES: usize = 3_000_000;
const VALUE_BYTES: usize = 900_000;

/// Try until it works, or fail with the last error.
async fn until<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("{what}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Whether the history at `revision` is gone.
async fn compacted(client: &Client, revision: i64) -> Result<(), String> {
    let options = GetOptions::new().with_revision(revision);
    match client.clone().get("key", Some(options)).await {
        Err(error) if error.to_string().contains("required revision has been compacted") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_compacted_and_growth_is_bounded_without_being_asked() {
    let setup = Setup::new(env!("CARGO_BIN_EXE_quorate"), 1)
        .flag("--auto-compaction-mode=periodic")
        .flag("--auto-compaction-retention=1s")
        .flag(&format!("--quota-backend-bytes={QUOTA_BYTES}"));
    let cluster = tokio::task::block_in_place(|| Cluster::start(setup));
    let mut client = cluster.client(0).await;

    client.put("key", "old", None).await.expect("put");
    let first = client.get("key", None).await.expect("get").header().map_or(0, |header| header.revision());
    client.put("key", "new", None).await.expect("put");
    until("compaction", || compacted(&client, first)).await;
    let kept = client.get("key", None).await.expect("get");
    assert_eq!(kept.kvs()[0].value(), b"new", "the newest value is never compacted");

    let value = vec![b'x'; VALUE_BYTES];
    let mut grown = 0;
    let refusal = loop {
        match client.put(format!("large/{grown}"), value.clone(), None).await {
            Ok(_) => grown += 1,
            Err(error) => break error.to_string(),
        }
        assert!(grown <= 2 * QUOTA_BYTES / VALUE_BYTES, "growth has no bound");
        // The size is looked at every half second.
        tokio::time::sleep(Duration::from_millis(600)).await;
    };
    assert!(refusal.contains("etcdserver: mvcc: database space exceeded"), "{refusal}");
    assert!(grown * VALUE_BYTES >= QUOTA_BYTES - VALUE_BYTES, "refused long before the quota: {grown}");

    client.delete("large/", Some(DeleteOptions::new().with_prefix())).await.expect("deletes still work");
    until("room again", || {
        let mut client = client.clone();
        async move { client.put("small", "x", None).await.map(drop).map_err(|error| error.to_string()) }
    })
    .await;
}
