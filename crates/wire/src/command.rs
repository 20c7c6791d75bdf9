//! The bytes of a command.
//!
//! A request is a version byte, who proposed it (`origin`, the node; `request`, that node's own number for
//! it), and the command: a tag and the fields of `quorate-kv`'s type in their order. The log carries these
//! bytes; the node that proposed them finds its waiting client again by `(origin, request)`, which
//! [`peek_origin`] reads without decoding the rest.
//!
//! Invariants:
//! 1. `decode_request(encode_request(o, r, c)) == (o, r, c)`.
//! 2. One value has one layout: unknown tags and flags, and trailing bytes, are refused.
//! 3. Transactions nest at most [`MAX_DEPTH`] deep, checked on both sides, so that neither can be made to
//!    overflow the stack.
//!
//! A replica that cannot decode a committed command has no way to go on with the others, so the check on
//! the encoding side is the one that matters to clients: what it accepts, every replica can read.

use bytes::Bytes;
use quorate_kv::{
    Command, Compare, CompareResult, CompareTarget, DeleteRange, KeyRange, MemberChange, Op, Publish, Put,
    Range, SortOrder, SortTarget, Txn,
};
use quorate_protocol::codec::{Malformed, Reader, Writer};

/// The layout this module writes and the only one it reads.
pub const REQUEST_VERSION: u8 = 1;

/// How deep transactions may nest; the outermost is at depth 1. A protobuf decoder with the customary limit
/// of 100 messages stops at half of that, so no request that arrives over gRPC comes near.
pub const MAX_DEPTH: usize = 64;

/// The refusal of a deeper one.
const TOO_DEEP: Malformed = Malformed("transaction: nested more than 64 deep");

/// A command together with who waits for its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The node that proposed it.
    pub origin: u64,
    /// That node's number for it.
    pub request: u64,
    /// What to do.
    pub command: Command,
}

/// The bytes of a request.
///
/// # Errors
/// The command holds transactions nested deeper than [`MAX_DEPTH`].
pub fn encode_request(origin: u64, request: u64, command: &Command) -> Result<Bytes, Malformed> {
    let mut out = Writer::new();
    out.u8(REQUEST_VERSION);
    out.u64(origin);
    out.u64(request);
    put_command(&mut out, command)?;
    Ok(out.into_bytes())
}

/// Read a request back. Keys and values are slices of `data`.
///
/// # Errors
/// The bytes are not a request in this layout.
pub fn decode_request(data: Bytes) -> Result<Request, Malformed> {
    let mut input = Reader::new(data);
    if input.u8()? != REQUEST_VERSION {
        return Err(Malformed("request: unknown version"));
    }
    let (origin, request) = (input.u64()?, input.u64()?);
    let command = take_command(&mut input)?;
    match input.remaining() {
        0 => Ok(Request { origin, request, command }),
        _ => Err(Malformed("request: trailing bytes")),
    }
}

/// The `(origin, request)` of an encoded request, without decoding its command.
///
/// # Errors
/// The bytes are too short or of another version.
pub fn peek_origin(data: &[u8]) -> Result<(u64, u64), Malformed> {
    let (head, _) = data.split_first_chunk::<17>().ok_or(Malformed("request: end of input"))?;
    if head[0] != REQUEST_VERSION {
        return Err(Malformed("request: unknown version"));
    }
    let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| head[at + i]));
    Ok((word(1), word(9)))
}

fn put_command(out: &mut Writer, command: &Command) -> Result<(), Malformed> {
    match command {
        Command::Put(put) => {
            out.u8(1);
            put_put(out, put);
        }
        Command::DeleteRange(delete) => {
            out.u8(2);
            put_delete(out, delete);
        }
        Command::Txn(txn) => {
            out.u8(3);
            put_txn(out, txn, 1)?;
        }
        Command::Compact { revision } => {
            out.u8(4);
            out.i64(*revision);
        }
        Command::LeaseGrant { id, ttl } => {
            out.u8(5);
            out.i64(*id);
            out.i64(*ttl);
        }
        Command::LeaseRevoke { id } => {
            out.u8(6);
            out.i64(*id);
        }
        Command::Publish(publish) => {
            out.u8(7);
            put_publish(out, publish);
        }
        Command::Member(change) => {
            out.u8(8);
            put_member_change(out, change);
        }
    }
    Ok(())
}

fn take_command(input: &mut Reader) -> Result<Command, Malformed> {
    Ok(match input.u8()? {
        1 => Command::Put(take_put(input)?),
        2 => Command::DeleteRange(take_delete(input)?),
        3 => Command::Txn(Box::new(take_txn(input, 1)?)),
        4 => Command::Compact { revision: input.i64()? },
        5 => Command::LeaseGrant { id: input.i64()?, ttl: input.i64()? },
        6 => Command::LeaseRevoke { id: input.i64()? },
        7 => Command::Publish(take_publish(input)?),
        8 => Command::Member(take_member_change(input)?),
        _ => return Err(Malformed("command: unknown kind")),
    })
}

/// Up to eight booleans in a byte, the first in the lowest bit.
fn put_flags<const N: usize>(out: &mut Writer, flags: [bool; N]) {
    out.u8(flags.iter().enumerate().fold(0, |byte, (bit, flag)| byte | (u8::from(*flag) << bit)));
}

fn take_flags<const N: usize>(input: &mut Reader) -> Result<[bool; N], Malformed> {
    let byte = input.u8()?;
    if u32::from(byte) >> N != 0 {
        return Err(Malformed("flags: unknown bit"));
    }
    Ok(core::array::from_fn(|bit| byte & (1 << bit) != 0))
}

fn put_keys(out: &mut Writer, keys: &KeyRange) {
    out.bytes(&keys.key);
    out.bytes(&keys.end);
}

fn take_keys(input: &mut Reader) -> Result<KeyRange, Malformed> {
    Ok(KeyRange { key: input.bytes()?, end: input.bytes()? })
}

fn put_put(out: &mut Writer, put: &Put) {
    out.bytes(&put.key);
    out.bytes(&put.value);
    out.i64(put.lease);
    put_flags(out, [put.prev_kv, put.ignore_value, put.ignore_lease]);
}

fn take_put(input: &mut Reader) -> Result<Put, Malformed> {
    let (key, value, lease) = (input.bytes()?, input.bytes()?, input.i64()?);
    let [prev_kv, ignore_value, ignore_lease] = take_flags(input)?;
    Ok(Put { key, value, lease, prev_kv, ignore_value, ignore_lease })
}

fn put_delete(out: &mut Writer, delete: &DeleteRange) {
    put_keys(out, &delete.range);
    put_flags(out, [delete.prev_kv]);
}

fn take_delete(input: &mut Reader) -> Result<DeleteRange, Malformed> {
    let range = take_keys(input)?;
    let [prev_kv] = take_flags(input)?;
    Ok(DeleteRange { range, prev_kv })
}

fn put_range(out: &mut Writer, range: &Range) {
    put_keys(out, &range.range);
    out.i64(range.limit);
    out.i64(range.revision);
    out.u8(match range.sort_order {
        SortOrder::None => 0,
        SortOrder::Ascend => 1,
        SortOrder::Descend => 2,
    });
    out.u8(match range.sort_target {
        SortTarget::Key => 0,
        SortTarget::Version => 1,
        SortTarget::Create => 2,
        SortTarget::Mod => 3,
        SortTarget::Value => 4,
    });
    out.i64(range.min_mod_revision);
    out.i64(range.max_mod_revision);
    out.i64(range.min_create_revision);
    out.i64(range.max_create_revision);
    put_flags(out, [range.keys_only, range.count_only, range.serializable]);
}

fn take_range(input: &mut Reader) -> Result<Range, Malformed> {
    let range = take_keys(input)?;
    let (limit, revision) = (input.i64()?, input.i64()?);
    let sort_order = match input.u8()? {
        0 => SortOrder::None,
        1 => SortOrder::Ascend,
        2 => SortOrder::Descend,
        _ => return Err(Malformed("range: unknown sort order")),
    };
    let sort_target = match input.u8()? {
        0 => SortTarget::Key,
        1 => SortTarget::Version,
        2 => SortTarget::Create,
        3 => SortTarget::Mod,
        4 => SortTarget::Value,
        _ => return Err(Malformed("range: unknown sort target")),
    };
    let (min_mod_revision, max_mod_revision) = (input.i64()?, input.i64()?);
    let (min_create_revision, max_create_revision) = (input.i64()?, input.i64()?);
    let [keys_only, count_only, serializable] = take_flags(input)?;
    Ok(Range {
        range,
        limit,
        revision,
        sort_order,
        sort_target,
        keys_only,
        count_only,
        min_mod_revision,
        max_mod_revision,
        min_create_revision,
        max_create_revision,
        serializable,
    })
}

fn put_compare(out: &mut Writer, compare: &Compare) {
    put_keys(out, &compare.range);
    out.u8(match compare.result {
        CompareResult::Equal => 0,
        CompareResult::Greater => 1,
        CompareResult::Less => 2,
        CompareResult::NotEqual => 3,
        CompareResult::Unknown => 255,
    });
    let (tag, operand) = match &compare.target {
        CompareTarget::Version(operand) => (0, operand),
        CompareTarget::Create(operand) => (1, operand),
        CompareTarget::Mod(operand) => (2, operand),
        CompareTarget::Value(value) => {
            out.u8(3);
            return out.bytes(value);
        }
        CompareTarget::Lease(operand) => (4, operand),
        CompareTarget::Unknown => return out.u8(255),
    };
    out.u8(tag);
    out.i64(*operand);
}

fn take_compare(input: &mut Reader) -> Result<Compare, Malformed> {
    let range = take_keys(input)?;
    let result = match input.u8()? {
        0 => CompareResult::Equal,
        1 => CompareResult::Greater,
        2 => CompareResult::Less,
        3 => CompareResult::NotEqual,
        255 => CompareResult::Unknown,
        _ => return Err(Malformed("compare: unknown relation")),
    };
    let target = match input.u8()? {
        0 => CompareTarget::Version(input.i64()?),
        1 => CompareTarget::Create(input.i64()?),
        2 => CompareTarget::Mod(input.i64()?),
        3 => CompareTarget::Value(input.bytes()?),
        4 => CompareTarget::Lease(input.i64()?),
        255 => CompareTarget::Unknown,
        _ => return Err(Malformed("compare: unknown target")),
    };
    Ok(Compare { range, result, target })
}

fn put_txn(out: &mut Writer, txn: &Txn, depth: usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    put_count(out, txn.compare.len());
    txn.compare.iter().for_each(|compare| put_compare(out, compare));
    for branch in [&txn.success, &txn.failure] {
        put_count(out, branch.len());
        branch.iter().try_for_each(|op| put_op(out, op, depth))?;
    }
    Ok(())
}

fn take_txn(input: &mut Reader, depth: usize) -> Result<Txn, Malformed> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    let compare = take_list(input, take_compare)?;
    let success = take_list(input, |input| take_op(input, depth))?;
    let failure = take_list(input, |input| take_op(input, depth))?;
    Ok(Txn { compare, success, failure })
}

fn put_op(out: &mut Writer, op: &Op, depth: usize) -> Result<(), Malformed> {
    match op {
        Op::Range(range) => {
            out.u8(1);
            put_range(out, range);
        }
        Op::Put(put) => {
            out.u8(2);
            put_put(out, put);
        }
        Op::DeleteRange(delete) => {
            out.u8(3);
            put_delete(out, delete);
        }
        Op::Txn(txn) => {
            out.u8(4);
            put_txn(out, txn, depth + 1)?;
        }
        Op::Empty => out.u8(5),
    }
    Ok(())
}

fn take_op(input: &mut Reader, depth: usize) -> Result<Op, Malformed> {
    Ok(match input.u8()? {
        1 => Op::Range(take_range(input)?),
        2 => Op::Put(take_put(input)?),
        3 => Op::DeleteRange(take_delete(input)?),
        4 => Op::Txn(take_txn(input, depth + 1)?),
        5 => Op::Empty,
        _ => return Err(Malformed("operation: unknown kind")),
    })
}

fn put_publish(out: &mut Writer, publish: &Publish) {
    out.u64(publish.member);
    out.slice(publish.name.as_bytes());
    put_strings(out, &publish.client_urls);
}

fn take_publish(input: &mut Reader) -> Result<Publish, Malformed> {
    Ok(Publish { member: input.u64()?, name: take_string(input)?, client_urls: take_strings(input)? })
}

fn put_member_change(out: &mut Writer, change: &MemberChange) {
    match change {
        MemberChange::Add { id, peer_urls, is_learner, max_learners, strict } => {
            out.u8(1);
            out.u64(*id);
            put_strings(out, peer_urls);
            out.u32(*max_learners);
            put_flags(out, [*is_learner, *strict]);
        }
        MemberChange::Remove { id, strict } => {
            out.u8(2);
            out.u64(*id);
            put_flags(out, [*strict]);
        }
        MemberChange::Update { id, peer_urls } => {
            out.u8(3);
            out.u64(*id);
            put_strings(out, peer_urls);
        }
        MemberChange::Promote { id, strict } => {
            out.u8(4);
            out.u64(*id);
            put_flags(out, [*strict]);
        }
        MemberChange::Replace { old, new } => {
            out.u8(5);
            out.u64(*old);
            out.u64(*new);
        }
    }
}

fn take_member_change(input: &mut Reader) -> Result<MemberChange, Malformed> {
    let (kind, id) = (input.u8()?, input.u64()?);
    Ok(match kind {
        1 => {
            let (peer_urls, max_learners) = (take_strings(input)?, input.u32()?);
            let [is_learner, strict] = take_flags(input)?;
            MemberChange::Add { id, peer_urls, is_learner, max_learners, strict }
        }
        2 => MemberChange::Remove { id, strict: take_flags::<1>(input)?[0] },
        3 => MemberChange::Update { id, peer_urls: take_strings(input)? },
        4 => MemberChange::Promote { id, strict: take_flags::<1>(input)?[0] },
        5 => MemberChange::Replace { old: id, new: input.u64()? },
        _ => return Err(Malformed("member change: unknown kind")),
    })
}

/// A list of texts, such as URLs.
pub(crate) fn put_strings(out: &mut Writer, texts: &[String]) {
    put_count(out, texts.len());
    texts.iter().for_each(|text| out.slice(text.as_bytes()));
}

pub(crate) fn take_strings(input: &mut Reader) -> Result<Vec<String>, Malformed> {
    take_list(input, take_string)
}

pub(crate) fn put_count(out: &mut Writer, count: usize) {
    out.u32(u32::try_from(count).expect("a list is shorter than 2^32"));
}

/// A count and its items. The count is not trusted: every item takes at least a byte of input, and room is
/// made for a few at first.
pub(crate) fn take_list<T>(
    input: &mut Reader,
    mut item: impl FnMut(&mut Reader) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = input.u32()? as usize;
    if count > input.remaining() {
        return Err(Malformed("count"));
    }
    let mut items = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        items.push(item(input)?);
    }
    Ok(items)
}

/// Text, checked to be UTF-8.
pub(crate) fn take_string(input: &mut Reader) -> Result<String, Malformed> {
    String::from_utf8(input.bytes()?.into()).map_err(|_| Malformed("text: not UTF-8"))
}
