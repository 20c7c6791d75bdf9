//! What is demanded of the healed cluster.

use std::time::{Duration, Instant};

use quorate_api::proto::etcdserverpb as pb;
use quorate_checker::Violation;
use quorate_checker::state_hash::StateHash;

use super::{HEALED, leases};
use crate::{Cluster, raw};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(3);

/// The longest time of a lease, and what a new leader adds to it.
const LEASES_END: Duration = Duration::from_secs(20);

/// Every member takes a write and serves a linearizable read.
pub(super) async fn serves_everywhere(cluster: &Cluster, since: Instant) -> Result<(), Violation> {
    for (at, endpoint) in cluster.endpoints().iter().enumerate() {
        let mut attempt = 0_u64;
        loop {
            attempt += 1;
            let mut member = raw::at(endpoint);
            // A key of its own for each attempt, so that none is written twice.
            let (key, value) = (format!("healed/{at}/{attempt}").into(), "yes".into());
            let put = pb::PutRequest { key, value, ..pb::PutRequest::default() };
            let get = pb::RangeRequest { key: format!("healed/{at}/{attempt}").into(), ..Default::default() };
            let both =
                async { Ok::<_, tonic::Status>((member.kv.put(put).await?, member.kv.range(get).await?)) };
            match tokio::time::timeout(ATTEMPT, both).await {
                Ok(Ok((_, read))) if read.get_ref().kvs.len() == 1 => break,
                Ok(Ok(_)) => {
                    let detail =
                        format!("m{at} acknowledged a write of healed/{at}/{attempt} and cannot read it");
                    return Err(Violation::new("Acknowledged", detail));
                }
                other => {
                    if since.elapsed() > HEALED {
                        let detail =
                            format!("m{at} does not serve {HEALED:?} after all was healed: {other:?}");
                        return Err(Violation::new("Convergence", detail));
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// Leases that nobody renews end, and take their keys along.
pub(super) async fn no_lease_left(cluster: &Cluster) -> Result<(), Violation> {
    let begun = Instant::now();
    loop {
        let mut member = raw::at(&cluster.endpoint(0));
        let leases = member.lease.lease_leases(pb::LeaseLeasesRequest {});
        let range_end = format!("{}0", leases::PREFIX.trim_end_matches('/')).into();
        let keys = pb::RangeRequest { key: leases::PREFIX.into(), range_end, ..pb::RangeRequest::default() };
        let left = match tokio::time::timeout(ATTEMPT, leases).await {
            Ok(Ok(answer)) => Some(answer.into_inner().leases.len()),
            _ => None,
        };
        let held = match tokio::time::timeout(ATTEMPT, member.kv.range(keys)).await {
            Ok(Ok(answer)) => Some(answer.into_inner().kvs.len()),
            _ => None,
        };
        if (left, held) == (Some(0), Some(0)) {
            return Ok(());
        }
        if begun.elapsed() > LEASES_END {
            let detail =
                format!("{LEASES_END:?} after the last renewal there are {left:?} leases and {held:?} keys");
            return Err(Violation::new("LeaseEnds", detail));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// All members hold the same history: its hash and revision.
pub(super) async fn one_state(cluster: &Cluster, since: Instant) -> Result<(u32, u64), Violation> {
    loop {
        let mut hashes = StateHash::new();
        let mut seen = Vec::new();
        let mut different = None;
        for (at, endpoint) in cluster.endpoints().iter().enumerate() {
            let answer = tokio::time::timeout(ATTEMPT, raw::hash_kv(endpoint, 0)).await.ok().flatten();
            if let Some((hash, revision, _)) = answer {
                let observed = hashes.observe(at as u64, revision as u64, u64::from(hash));
                different = different.or(observed.err());
            }
            seen.push(answer);
        }
        // Nobody writes any more, so equal revisions are equal states.
        different.map_or(Ok(()), Err)?;
        if let Some(&Some((hash, revision, _))) = seen.first()
            && seen.iter().all(|other| other.is_some_and(|(_, at, _)| at == revision))
        {
            return Ok((hash, revision as u64));
        }
        if since.elapsed() > HEALED {
            let detail =
                format!("the members are not of one state {HEALED:?} after all was healed: {seen:?}");
            return Err(Violation::new("Convergence", detail));
        }
        tokio::time::sleep(LOOK).await;
    }
}
