//! Carrying a request out, and what of the answer must be equal.

use quorate_api::proto::etcdserverpb as pb;
use quorate_api::proto::etcdserverpb::response_op::Response;
use quorate_api::proto::mvccpb;
use quorate_harness::raw::Raw;
use tonic::{Code, Status};

use crate::generate::Op;

/// An answer, without what names the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Range(pb::RangeResponse),
    /// Ranges in an order that leaves ties open: the ordered field, and the records as a set.
    Ordered {
        header: i64,
        count: i64,
        more: bool,
        fields: Vec<Vec<u8>>,
        set: Vec<mvccpb::KeyValue>,
    },
    Put(pb::PutResponse),
    DeleteRange(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Compact(i64),
    Grant(pb::LeaseGrantResponse),
    Revoke(i64),
    TimeToLive(pb::LeaseTimeToLiveResponse),
    Leases(Vec<i64>),
    Refused(Code, String),
}

impl Answer {
    /// The store's revision after it, if it tells.
    pub fn revision(&self) -> Option<i64> {
        let of = |header: &Option<pb::ResponseHeader>| header.as_ref().map(|header| header.revision);
        match self {
            Answer::Put(answer) => of(&answer.header),
            Answer::DeleteRange(answer) => of(&answer.header),
            Answer::Txn(answer) => of(&answer.header),
            Answer::Revoke(revision) => Some(*revision),
            _ => None,
        }
    }
}

/// Carries a request out.
pub async fn carry_out(raw: &mut Raw, op: Op) -> Answer {
    attempt(raw, op)
        .await
        .unwrap_or_else(|status| Answer::Refused(status.code(), status.message().to_owned()))
}

async fn attempt(raw: &mut Raw, op: Op) -> Result<Answer, Status> {
    Ok(match op {
        Op::Range(request) => range(request.clone(), raw.kv.range(request).await?.into_inner()),
        Op::Put(request) => {
            let mut answer = raw.kv.put(request).await?.into_inner();
            mask(&mut answer.header);
            Answer::Put(answer)
        }
        Op::DeleteRange(request) => {
            let mut answer = raw.kv.delete_range(request).await?.into_inner();
            mask(&mut answer.header);
            Answer::DeleteRange(answer)
        }
        Op::Txn(request) => {
            let mut answer = raw.kv.txn(request).await?.into_inner();
            mask_txn(&mut answer);
            Answer::Txn(answer)
        }
        Op::Compact(request) => Answer::Compact(revision(raw.kv.compact(request).await?.into_inner().header)),
        Op::Grant(request) => {
            let mut answer = raw.lease.lease_grant(request).await?.into_inner();
            mask(&mut answer.header);
            Answer::Grant(answer)
        }
        Op::Revoke(request) => {
            Answer::Revoke(revision(raw.lease.lease_revoke(request).await?.into_inner().header))
        }
        Op::TimeToLive(request) => {
            let mut answer = raw.lease.lease_time_to_live(request).await?.into_inner();
            mask(&mut answer.header);
            // Time passes differently on both; what is granted is compared.
            answer.ttl = answer.ttl.signum();
            answer.keys.sort();
            Answer::TimeToLive(answer)
        }
        Op::Leases => {
            let answer = raw.lease.lease_leases(pb::LeaseLeasesRequest {}).await?.into_inner();
            let mut ids: Vec<i64> = answer.leases.iter().map(|lease| lease.id).collect();
            ids.sort_unstable();
            Answer::Leases(ids)
        }
    })
}

fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.map_or(-1, |header| header.revision)
}

fn mask(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        let revision = header.revision;
        *header = pb::ResponseHeader { revision, ..Default::default() };
    }
}

fn mask_txn(answer: &mut pb::TxnResponse) {
    mask(&mut answer.header);
    for response in &mut answer.responses {
        match &mut response.response {
            Some(Response::ResponseRange(answer)) => mask(&mut answer.header),
            Some(Response::ResponsePut(answer)) => mask(&mut answer.header),
            Some(Response::ResponseDeleteRange(answer)) => mask(&mut answer.header),
            Some(Response::ResponseTxn(answer)) => mask_txn(answer),
            None => {}
        }
    }
}

fn range(request: pb::RangeRequest, mut answer: pb::RangeResponse) -> Answer {
    mask(&mut answer.header);
    if request.sort_target == 0 {
        return Answer::Range(answer);
    }
    let field = |kv: &mvccpb::KeyValue| match request.sort_target {
        1 => kv.version.to_be_bytes().to_vec(),
        2 => kv.create_revision.to_be_bytes().to_vec(),
        3 => kv.mod_revision.to_be_bytes().to_vec(),
        // With keys only the values that decided the order are not shown.
        _ => kv.value.to_vec(),
    };
    let fields = answer.kvs.iter().map(field).collect();
    let mut set = if request.limit > 0 { Vec::new() } else { answer.kvs };
    set.sort_by(|a, b| a.key.cmp(&b.key));
    Answer::Ordered { header: revision(answer.header), count: answer.count, more: answer.more, fields, set }
}
