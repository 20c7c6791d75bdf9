//! What can be asked of the state machine.
//!
//! These are the requests of etcd's v3 API with the wire format taken away: the same fields, the same
//! meaning, the same defaults (zero and empty). [`Command`] is what travels through the replicated log; a
//! [`Range`] on its own never does, it is a read.
//!
//! Source: etcd's `rpc.proto`, release 3.7; the rules are told where they are carried out.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::record::LeaseId;

/// A span of keys, in etcd's convention: `end` empty is the single key, `end == [0]` is every key from
/// `key` on, anything else is the half-open interval `key..end` in unsigned byte order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyRange {
    /// The first key.
    pub key: Bytes,
    /// The end, see the type's own text.
    pub end: Bytes,
}

/// The field a range is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key, as unsigned bytes.
    #[default]
    Key,
    /// Puts since the key was created.
    Version,
    /// The revision that created the key.
    Create,
    /// The revision that changed the key last.
    Mod,
    /// The value, as unsigned bytes.
    Value,
}

/// The direction a range is sorted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// As the store finds them: ascending by key; with another target than the key, ascending by it.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// A read of a span of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Which keys.
    pub range: KeyRange,
    /// At most so many; zero or negative is no limit.
    pub limit: i64,
    /// As of this revision; zero or negative is the current one.
    pub revision: i64,
    /// Direction.
    pub sort_order: SortOrder,
    /// Sort key.
    pub sort_target: SortTarget,
    /// Leave values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Drop keys changed before this revision; zero is no bound. Likewise below.
    pub min_mod_revision: i64,
    /// Drop keys changed after this revision.
    pub max_mod_revision: i64,
    /// Drop keys created before this revision.
    pub min_create_revision: i64,
    /// Drop keys created after this revision.
    pub max_create_revision: i64,
    /// Only says how the *host* may serve it (without a quorum round); the state machine ignores it, apart
    /// from carrying it inside transactions.
    pub serializable: bool,
}

/// A write of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The key, never empty.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// The lease to attach it to; zero detaches.
    pub lease: LeaseId,
    /// Return the record as it was before.
    pub prev_kv: bool,
    /// Keep the present value; the key must exist.
    pub ignore_value: bool,
    /// Keep the present lease; the key must exist.
    pub ignore_lease: bool,
}

/// A removal of a span of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRange {
    /// Which keys.
    pub range: KeyRange,
    /// Return the records as they were before.
    pub prev_kv: bool,
}

/// How a compared field must relate to the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareResult {
    /// Field equals operand.
    Equal,
    /// Field is greater than the operand.
    Greater,
    /// Field is less than the operand.
    Less,
    /// Field differs from the operand.
    NotEqual,
    /// A number this release does not know: holds for whatever record is compared, as in etcd.
    Unknown,
}

/// The field compared, with its operand.
///
/// etcd carries the operand apart from the target; when the two do not match, the operand is zero or empty.
/// That rule is applied where the message is decoded, so here they are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareTarget {
    /// Puts since creation; 0 for a missing key.
    Version(i64),
    /// Creating revision; 0 for a missing key.
    Create(i64),
    /// Last changing revision; 0 for a missing key.
    Mod(i64),
    /// The value; never holds for a missing key.
    Value(Bytes),
    /// The attached lease; 0 for none or a missing key.
    Lease(LeaseId),
    /// A target number this release does not know: the fields compare as equal.
    Unknown,
}

/// One condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The keys whose records must all satisfy it.
    pub range: KeyRange,
    /// Relation.
    pub result: CompareResult,
    /// Field and operand.
    pub target: CompareTarget,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read.
    Range(Range),
    /// Write.
    Put(Put),
    /// Remove.
    DeleteRange(DeleteRange),
    /// A transaction inside; its conditions see the state before the outermost one.
    Txn(Txn),
    /// An operation with no arm set: refused when validated.
    Empty,
}

/// If all of `compare` hold then `success` else `failure`, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions; none is true.
    pub compare: Vec<Compare>,
    /// Run when they hold.
    pub success: Vec<Op>,
    /// Run when they do not.
    pub failure: Vec<Op>,
}

/// What a member tells the others of itself once it has started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// The member's id.
    pub member: u64,
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// A change of the members table, see [`Members`](crate::Members).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new member.
    Add {
        /// Its id, chosen by whoever proposes.
        id: u64,
        /// Where its peers will reach it.
        peer_urls: Vec<String>,
        /// It is to receive the log without a vote.
        is_learner: bool,
        /// How many learners there may be with it; does not bind voters.
        max_learners: u32,
        /// Refuse a voter with which no quorum would be started.
        strict: bool,
    },
    /// A member goes, for good.
    Remove {
        /// Its id.
        id: u64,
        /// Refuse if no quorum of the remaining voters has started.
        strict: bool,
    },
    /// A member moved.
    Update {
        /// Its id.
        id: u64,
        /// Where its peers reach it now.
        peer_urls: Vec<String>,
    },
    /// A learner becomes a voter. Whether it has caught up is for the leader to know before it proposes.
    Promote {
        /// Its id.
        id: u64,
        /// Refuse if no quorum of the voters with it has started.
        strict: bool,
    },
    /// A member that lost its disk comes back as somebody else: the old id goes, and the new one is a learner with
    /// the same name and peer URLs. Does not count against the most learners allowed.
    Replace {
        /// The id that goes.
        old: u64,
        /// The id that comes, chosen by whoever proposes.
        new: u64,
    },
}

/// What the replicated log carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write one key.
    Put(Put),
    /// Remove keys.
    DeleteRange(DeleteRange),
    /// A transaction. Boxed: it is the rare, large one.
    Txn(Box<Txn>),
    /// Forget history below a revision.
    Compact {
        /// The revision.
        revision: i64,
    },
    /// Create a lease. The id has been chosen (never 0) and the time to live clamped before proposing.
    LeaseGrant {
        /// Its id.
        id: LeaseId,
        /// Seconds to live, granted.
        ttl: i64,
    },
    /// End a lease and delete its keys; also how the leader expires one.
    LeaseRevoke {
        /// Its id.
        id: LeaseId,
    },
    /// A member's attributes.
    Publish(Publish),
    /// A change of who belongs to the cluster.
    Member(MemberChange),
}
