//! A member loses its whole disk and is started again with `--replace-lost-disk`.
//!
//! Each round a member is killed, now one that follows, now the leader, its directory is removed, something is
//! written without it. Started as ever it must refuse, naming the flag; then it is started with that one flag. It has [`BOUND`] to hold what the others hold, and
//! must then come back from an ordinary restart, and be of use: with one of the others killed, the cluster takes
//! writes.

use std::time::{Duration, Instant};

use quorate_api::proto::etcdserverpb as pb;

use crate::{Cluster, raw};

/// How long a member may take to be whole again.
pub const BOUND: Duration = Duration::from_secs(30);

/// The flag.
const REPLACE: &str = "--replace-lost-disk";

/// Wipes members, one per round. How long each took to be whole again.
///
/// # Errors
/// What went wrong, in which round.
pub fn run(cluster: &mut Cluster, rounds: usize, keys: u64) -> Result<Vec<Duration>, String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut took = Vec::new();
    for round in 0..rounds {
        let leader = runtime.block_on(cluster.leader());
        runtime.block_on(write(cluster, leader, &format!("wipe/{round}/"), keys))?;
        runtime.block_on(cluster.agree());
        let lost = if round % 2 == 0 { (leader + 1) % cluster.len() } else { leader };
        cluster.kill(lost);
        std::fs::remove_dir_all(cluster.data_dir(lost)).map_err(|error| error.to_string())?;
        let without = runtime.block_on(cluster.leader());
        runtime.block_on(write(cluster, without, &format!("wipe/{round}/away/"), keys / 4))?;
        empty_handed(cluster, lost).map_err(|why| format!("round {round}: {why}"))?;
        let begun = Instant::now();
        cluster.launch_with(lost, &[REPLACE]);
        whole(cluster, &runtime, lost, without, begun).map_err(|why| format!("round {round}: {why}"))?;
        took.push(begun.elapsed());
        // At once, before it can have been made a voter.
        cluster.kill(lost);
        cluster.restart(lost);
        runtime.block_on(all_vote(cluster, without, lost)).map_err(|why| format!("round {round}: {why}"))?;
        // Now its vote and its acknowledgements have to count.
        cluster.kill(without);
        let leader = runtime.block_on(cluster.leader());
        runtime.block_on(write(cluster, leader, &format!("wipe/{round}/with/"), 10))?;
        cluster.restart(without);
        runtime.block_on(cluster.agree());
    }
    Ok(took)
}

/// Without the flag it must not serve as if nothing had happened: it has forgotten what it promised.
fn empty_handed(cluster: &mut Cluster, lost: usize) -> Result<(), String> {
    cluster.launch(lost);
    let status = cluster.member_mut(lost).ends();
    // The last lines may still be on their way.
    std::thread::sleep(Duration::from_millis(50));
    let said = cluster.member(lost).everything();
    cluster.bury(lost);
    match status.code() {
        Some(code) if code != 0 && said.contains(REPLACE) => Ok(()),
        _ => Err(format!(
            "m{lost}, started with an empty disk, ended with {status} and no word of {REPLACE}: {said}"
        )),
    }
}

async fn write(cluster: &Cluster, at: usize, prefix: &str, keys: u64) -> Result<(), String> {
    let mut client = cluster.client(at).await;
    for number in 0..keys {
        let put = client.put(format!("{prefix}{number:06}"), "value ".repeat(20), None).await;
        put.map_err(|error| format!("a put is refused: {error}"))?;
    }
    Ok(())
}

/// Waits until the members are as many as before and none is a learner, and until somebody says that the one that was lost
/// votes: the list says what ought to be, and while a change is under way the members before it are needed as well.
async fn all_vote(cluster: &Cluster, at: usize, lost: usize) -> Result<(), String> {
    let begun = Instant::now();
    let status = raw::status(&cluster.endpoint(lost)).await;
    let id = status.and_then(|status| status.header).map_or(0, |header| header.member_id);
    let votes = format!("member {id:x}, which came back after a lost disk, votes again");
    loop {
        // A leader that was replaced meanwhile has not said it; then it has had time enough.
        let said =
            (0..cluster.len()).any(|at| cluster.log(at).contains(&votes)) || begun.elapsed() > BOUND / 4;
        let mut member = raw::at(&cluster.endpoint(at));
        let asked = member.cluster.member_list(pb::MemberListRequest { linearizable: true });
        let list = match tokio::time::timeout(BOUND, asked).await {
            Ok(Ok(answer)) => answer.into_inner().members,
            _ => Vec::new(),
        };
        if said && list.len() == cluster.len() && list.iter().all(|member| !member.is_learner) {
            return Ok(());
        }
        if begun.elapsed() > BOUND {
            return Err(format!("not all are voters: {list:?}: {}", cluster.post_mortem()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn whole(
    cluster: &mut Cluster,
    runtime: &tokio::runtime::Runtime,
    lost: usize,
    other: usize,
    begun: Instant,
) -> Result<(), String> {
    loop {
        if let Some(status) = cluster.member_mut(lost).ended() {
            let everything = cluster.member(lost).everything();
            return Err(format!("m{lost} ended with {status}: {everything}"));
        }
        let hash = |at: usize| {
            let endpoint = cluster.endpoint(at);
            runtime.block_on(async {
                tokio::time::timeout(BOUND, raw::hash_kv(&endpoint, 0)).await.ok().flatten()
            })
        };
        let (mine, theirs) = (hash(lost), hash(other));
        if mine.is_some() && mine == theirs {
            return Ok(());
        }
        if begun.elapsed() > BOUND {
            return Err(format!("m{lost} has {mine:?}, m{other} {theirs:?}: {}", cluster.post_mortem()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
