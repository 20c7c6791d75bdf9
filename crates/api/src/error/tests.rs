//! The table against a second one, typed from etcd's documentation of its errors: number of the code on the
//! wire, text.

use std::collections::BTreeMap;

use super::*;

#[rustfmt::skip]
const DOCUMENTED: &[(i32, &str)] = &[
    (3, "etcdserver: key is not provided"),
    (3, "etcdserver: key not found"),
    (3, "etcdserver: value is provided"),
    (3, "etcdserver: lease is provided"),
    (3, "etcdserver: too many operations in txn request"),
    (3, "etcdserver: duplicate key given in txn request"),
    (3, "etcdserver: invalid client api version"),
    (3, "etcdserver: invalid sort option"),
    (3, "etcdserver: request is too large"),
    (11, "etcdserver: mvcc: required revision has been compacted"),
    (11, "etcdserver: mvcc: required revision is a future revision"),
    (8, "etcdserver: mvcc: database space exceeded"),
    (2, "etcdserver: too many requests"),
    (5, "etcdserver: requested lease not found"),
    (9, "etcdserver: lease already exists"),
    (11, "etcdserver: too large lease TTL"),
    (1, "etcdserver: watch canceled"),
    (9, "etcdserver: member ID already exist"),
    (9, "etcdserver: Peer URLs already exists"),
    (2, "etcdserver: re-configuration failed due to not enough started members"),
    (3, "etcdserver: given member URLs are invalid"),
    (5, "etcdserver: member not found"),
    (9, "etcdserver: can only promote a learner member"),
    (9, "etcdserver: can only promote a learner member which is in sync with leader"),
    (9, "etcdserver: too many learner members in cluster"),
    (9, "etcdserver: cluster ID mismatch"),
    (14, "etcdserver: no leader"),
    (9, "etcdserver: not leader"),
    (14, "etcdserver: leader changed"),
    (9, "etcdserver: not capable"),
    (14, "etcdserver: server stopped"),
    (14, "etcdserver: request timed out"),
    (14, "etcdserver: request timed out, possibly due to previous leader failure"),
    (14, "etcdserver: request timed out, possibly due to connection lost"),
    (14, "etcdserver: request timed out, waiting for the applied index took too long"),
    (14, "etcdserver: unhealthy cluster"),
    (15, "etcdserver: corrupt cluster"),
    (9, "etcdserver: rpc not supported for learner"),
    (9, "etcdserver: bad leader transferee"),
    (1, "context canceled"),
    (4, "context deadline exceeded"),
];

#[test]
fn codes_and_texts_are_etcds() {
    let documented: BTreeMap<&str, i32> = DOCUMENTED.iter().map(|(code, text)| (*text, *code)).collect();
    assert_eq!(documented.len(), DOCUMENTED.len(), "a text is documented twice");
    let ours: BTreeMap<&str, i32> = ApiError::ALL.iter().map(|e| (e.text(), e.code() as i32)).collect();
    assert_eq!(ours.len(), ApiError::ALL.len(), "two errors share a text");
    assert_eq!(ours, documented);
}

#[test]
fn the_status_carries_both_unchanged() {
    for &error in ApiError::ALL {
        let status = Status::from(error);
        assert_eq!((status.code(), status.message()), (error.code(), error.text()));
        assert_eq!(error.to_string(), error.text());
    }
}

#[test]
fn refusals_of_the_state_machine() {
    use quorate_kv::Error;
    for (error, code, text) in [
        (Error::EmptyKey, 3, "etcdserver: key is not provided"),
        (Error::KeyNotFound, 3, "etcdserver: key not found"),
        (Error::ValueProvided, 3, "etcdserver: value is provided"),
        (Error::LeaseProvided, 3, "etcdserver: lease is provided"),
        (Error::TooManyOps, 3, "etcdserver: too many operations in txn request"),
        (Error::DuplicateKey, 3, "etcdserver: duplicate key given in txn request"),
        (Error::Compacted, 11, "etcdserver: mvcc: required revision has been compacted"),
        (Error::FutureRevision, 11, "etcdserver: mvcc: required revision is a future revision"),
        (Error::LeaseNotFound, 5, "etcdserver: requested lease not found"),
        (Error::LeaseExists, 9, "etcdserver: lease already exists"),
        (Error::LeaseTtlTooLarge, 11, "etcdserver: too large lease TTL"),
        (Error::InvalidSort, 3, "etcdserver: invalid sort option"),
        (Error::MemberNotFound, 5, "etcdserver: member not found"),
        (Error::MemberExists, 9, "etcdserver: member ID already exist"),
        (Error::BadMemberUrls, 3, "etcdserver: given member URLs are invalid"),
        (Error::PeerUrlExists, 9, "etcdserver: Peer URLs already exists"),
        (Error::TooManyLearners, 9, "etcdserver: too many learner members in cluster"),
        (Error::MemberNotLearner, 9, "etcdserver: can only promote a learner member"),
        (Error::NotEnoughStarted, 2, "etcdserver: re-configuration failed due to not enough started members"),
    ] {
        let refused = ApiError::from(error);
        assert_eq!((refused.code() as i32, refused.text()), (code, text), "{error:?}");
        assert!(!refused.is_ambiguous(), "{error:?} leaves no trace");
    }
}

/// What may be executed in spite of the refusal is what says so: a time-out, or a caller that left.
#[test]
fn ambiguous_refusals() {
    for &error in ApiError::ALL {
        let text = error.text();
        let says_so = text.contains("request timed out") || text.starts_with("context ");
        assert_eq!(error.is_ambiguous(), says_so, "{text}");
    }
}
