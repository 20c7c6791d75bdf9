//! From outcomes to response messages, and the headers they carry.
//!
//! A header names the *answering* member, not the leader, and its revision is the store's at the moment the
//! request was carried out: for a write its own revision, for a range at an old revision still the current
//! one. The exceptions, all as etcd has them:
//!
//! | response | header |
//! |---|---|
//! | operations inside a transaction | only `revision`: see [`OpOutcome::revision`] |
//! | a transaction inside a transaction | present, but empty |
//! | Cluster.* | no `revision`: [`Answering::cluster_header`] |
//! | a watch cancelled because of compaction | `revision` 0 |
//! | Defragment, MoveLeader, Snapshot | none at all |

use quorate_kv::{KeyValue, Member, OpOutcome, OpResult, RangeOutcome, TxnOutcome};

use crate::proto::etcdserverpb as pb;
use crate::proto::mvccpb;
use pb::response_op::Response;

/// Who answers: the part of a header that does not depend on the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answering {
    /// The cluster; never changes.
    pub cluster_id: u64,
    /// The member that answers; never changes.
    pub member_id: u64,
    /// The ballot's round as this member knows it; never decreases.
    pub raft_term: u64,
}

impl Answering {
    /// The header of an answer as of a revision.
    pub fn header(&self, revision: i64) -> pb::ResponseHeader {
        pb::ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision,
            raft_term: self.raft_term,
        }
    }

    /// The header of the Cluster service's answers: membership has no revision.
    pub fn cluster_header(&self) -> pb::ResponseHeader {
        self.header(0)
    }
}

impl From<KeyValue> for mvccpb::KeyValue {
    fn from(kv: KeyValue) -> mvccpb::KeyValue {
        mvccpb::KeyValue {
            key: kv.key,
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            value: kv.value,
            lease: kv.lease,
        }
    }
}

impl From<&Member> for pb::Member {
    fn from(member: &Member) -> pb::Member {
        pb::Member {
            id: member.id,
            name: member.name.clone(),
            peer_ur_ls: member.peer_urls.clone(),
            client_ur_ls: member.client_urls.clone(),
            is_learner: member.is_learner,
        }
    }
}

/// The members, as every answer of Cluster lists them.
pub fn members<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<pb::Member> {
    members.into_iter().map(Into::into).collect()
}

/// Answer a range.
pub fn range(header: pb::ResponseHeader, outcome: RangeOutcome) -> pb::RangeResponse {
    pb::RangeResponse {
        header: Some(header),
        kvs: key_values(outcome.kvs),
        more: outcome.more,
        count: outcome.count,
    }
}

/// Answer a put.
pub fn put(header: pb::ResponseHeader, prev_kv: Option<KeyValue>) -> pb::PutResponse {
    pb::PutResponse { header: Some(header), prev_kv: prev_kv.map(Into::into) }
}

/// Answer a removal.
pub fn delete_range(
    header: pb::ResponseHeader,
    deleted: i64,
    prev_kvs: Vec<KeyValue>,
) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse { header: Some(header), deleted, prev_kvs: key_values(prev_kvs) }
}

/// Answer a transaction.
pub fn txn(header: pb::ResponseHeader, outcome: TxnOutcome) -> pb::TxnResponse {
    pb::TxnResponse {
        header: Some(header),
        succeeded: outcome.succeeded,
        responses: outcome.responses.into_iter().map(response_op).collect(),
    }
}

fn response_op(op: OpOutcome) -> pb::ResponseOp {
    let header = pb::ResponseHeader { revision: op.revision, ..Default::default() };
    let response = match op.outcome {
        OpResult::Range(outcome) => Response::ResponseRange(range(header, outcome)),
        OpResult::Put(prev_kv) => Response::ResponsePut(put(header, prev_kv)),
        OpResult::DeleteRange { deleted, prev_kvs } => {
            Response::ResponseDeleteRange(delete_range(header, deleted, prev_kvs))
        }
        OpResult::Txn(outcome) => Response::ResponseTxn(txn(pb::ResponseHeader::default(), outcome)),
    };
    pb::ResponseOp { response: Some(response) }
}

/// Both record types have the same fields in the same order, so the vector is converted in place.
fn key_values(kvs: Vec<KeyValue>) -> Vec<mvccpb::KeyValue> {
    kvs.into_iter().map(Into::into).collect()
}
