//! From request messages to what the state machine understands.
//!
//! Source: the field comments of etcd's `rpc.proto`, and for transactions `applyCompare`'s rules as observed:
//! an operand that does not belong to the compared field counts as absent, that is, zero or empty.

use bytes::Bytes;
use quorate_kv::{
    Compare, CompareResult, CompareTarget, DeleteRange, Error, KeyRange, Op, Put, Range, SortOrder,
    SortTarget, Txn,
};

use crate::proto::etcdserverpb as pb;
use pb::compare::{CompareResult as PbResult, CompareTarget as PbTarget, TargetUnion};
use pb::range_request::{SortOrder as PbOrder, SortTarget as PbSort};
use pb::request_op::Request;

/// A sort order, or [`Error::InvalidSort`] for a number nobody knows.
pub fn sort_order(number: i32) -> Result<SortOrder, Error> {
    match PbOrder::try_from(number) {
        Ok(PbOrder::None) => Ok(SortOrder::None),
        Ok(PbOrder::Ascend) => Ok(SortOrder::Ascend),
        Ok(PbOrder::Descend) => Ok(SortOrder::Descend),
        Err(_) => Err(Error::InvalidSort),
    }
}

/// A sort target, or [`Error::InvalidSort`] for a number nobody knows.
pub fn sort_target(number: i32) -> Result<SortTarget, Error> {
    match PbSort::try_from(number) {
        Ok(PbSort::Key) => Ok(SortTarget::Key),
        Ok(PbSort::Version) => Ok(SortTarget::Version),
        Ok(PbSort::Create) => Ok(SortTarget::Create),
        Ok(PbSort::Mod) => Ok(SortTarget::Mod),
        Ok(PbSort::Value) => Ok(SortTarget::Value),
        Err(_) => Err(Error::InvalidSort),
    }
}

impl TryFrom<pb::RangeRequest> for Range {
    type Error = Error;

    /// A request wrong in both key and sort is refused for its key, as in etcd.
    fn try_from(request: pb::RangeRequest) -> Result<Range, Error> {
        let sort = sort_order(request.sort_order).and_then(|o| Ok((o, sort_target(request.sort_target)?)));
        let (sort_order, sort_target) =
            sort.map_err(|unknown| if request.key.is_empty() { Error::EmptyKey } else { unknown })?;
        Ok(Range {
            sort_order,
            sort_target,
            range: KeyRange { key: request.key, end: request.range_end },
            limit: request.limit,
            revision: request.revision,
            keys_only: request.keys_only,
            count_only: request.count_only,
            min_mod_revision: request.min_mod_revision,
            max_mod_revision: request.max_mod_revision,
            min_create_revision: request.min_create_revision,
            max_create_revision: request.max_create_revision,
            serializable: request.serializable,
        })
    }
}

impl From<pb::PutRequest> for Put {
    fn from(request: pb::PutRequest) -> Put {
        Put {
            key: request.key,
            value: request.value,
            lease: request.lease,
            prev_kv: request.prev_kv,
            ignore_value: request.ignore_value,
            ignore_lease: request.ignore_lease,
        }
    }
}

impl From<pb::DeleteRangeRequest> for DeleteRange {
    fn from(request: pb::DeleteRangeRequest) -> DeleteRange {
        DeleteRange { range: KeyRange { key: request.key, end: request.range_end }, prev_kv: request.prev_kv }
    }
}

impl TryFrom<pb::TxnRequest> for Txn {
    type Error = Error;

    /// The recursion is bounded: a message nested deeper than prost's limit does not decode.
    fn try_from(request: pb::TxnRequest) -> Result<Txn, Error> {
        let ops = |ops: Vec<pb::RequestOp>| ops.into_iter().map(Op::try_from).collect::<Result<_, _>>();
        Ok(Txn {
            compare: request.compare.into_iter().map(Compare::from).collect(),
            success: ops(request.success)?,
            failure: ops(request.failure)?,
        })
    }
}

impl TryFrom<pb::RequestOp> for Op {
    type Error = Error;

    fn try_from(op: pb::RequestOp) -> Result<Op, Error> {
        Ok(match op.request {
            Some(Request::RequestRange(range)) => Op::Range(range.try_into()?),
            Some(Request::RequestPut(put)) => Op::Put(put.into()),
            Some(Request::RequestDeleteRange(delete)) => Op::DeleteRange(delete.into()),
            Some(Request::RequestTxn(txn)) => Op::Txn(txn.try_into()?),
            None => Op::Empty,
        })
    }
}

impl From<pb::Compare> for Compare {
    fn from(compare: pb::Compare) -> Compare {
        Compare {
            result: compare_result(compare.result),
            target: compare_target(compare.target, compare.target_union),
            range: KeyRange { key: compare.key, end: compare.range_end },
        }
    }
}

fn compare_result(number: i32) -> CompareResult {
    match PbResult::try_from(number) {
        Ok(PbResult::Equal) => CompareResult::Equal,
        Ok(PbResult::Greater) => CompareResult::Greater,
        Ok(PbResult::Less) => CompareResult::Less,
        Ok(PbResult::NotEqual) => CompareResult::NotEqual,
        Err(_) => CompareResult::Unknown,
    }
}

/// The target decides the field; the operand counts only when it is that field's arm.
fn compare_target(target: i32, operand: Option<TargetUnion>) -> CompareTarget {
    match (PbTarget::try_from(target), operand) {
        (Ok(PbTarget::Version), Some(TargetUnion::Version(version))) => CompareTarget::Version(version),
        (Ok(PbTarget::Version), _) => CompareTarget::Version(0),
        (Ok(PbTarget::Create), Some(TargetUnion::CreateRevision(revision))) => {
            CompareTarget::Create(revision)
        }
        (Ok(PbTarget::Create), _) => CompareTarget::Create(0),
        (Ok(PbTarget::Mod), Some(TargetUnion::ModRevision(revision))) => CompareTarget::Mod(revision),
        (Ok(PbTarget::Mod), _) => CompareTarget::Mod(0),
        (Ok(PbTarget::Value), Some(TargetUnion::Value(value))) => CompareTarget::Value(value),
        (Ok(PbTarget::Value), _) => CompareTarget::Value(Bytes::new()),
        (Ok(PbTarget::Lease), Some(TargetUnion::Lease(lease))) => CompareTarget::Lease(lease),
        (Ok(PbTarget::Lease), _) => CompareTarget::Lease(0),
        (Err(_), _) => CompareTarget::Unknown,
    }
}
