//! The Lease service's rules about what may be asked.
//!
//! The state machine takes a lease with its id chosen and its time to live settled (so that every replica
//! does the same); both happen here and in the server, before proposing.

use quorate_kv::{Error, LeaseId};

use crate::proto::etcdserverpb as pb;

/// The shortest a lease is granted, in seconds: one and a half election timeouts, rounded up, so that a new
/// leader has a chance to hear of a renewal before the lease is over.
pub const fn min_ttl_seconds(election_timeout_millis: u64) -> i64 {
    // 3/2 of a timeout, in whole seconds; the configuration keeps the timeout below a minute.
    election_timeout_millis.saturating_mul(3).div_ceil(2000) as i64
}

/// What a grant asks for: the id (none: the server picks one) and the time to live to be granted. Negative
/// ids are legal, and so is any time to live that is not too large.
pub fn grant(request: &pb::LeaseGrantRequest, min_ttl: i64) -> Result<(Option<LeaseId>, i64), Error> {
    let ttl = quorate_kv::clamp_ttl(request.ttl, min_ttl)?;
    Ok(((request.id != 0).then_some(request.id), ttl))
}

/// The `TTL` by which TimeToLive says that there is no such lease (KeepAlive says it with 0).
pub const TTL_NO_LEASE: i64 = -1;
