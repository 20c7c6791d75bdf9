//! Every refusal a client can get, with the code and the text it compares.
//!
//! gRPC knows seventeen codes and etcd has many more errors than that: its clients tell them apart by the
//! *text*. The Go client and Patroni compare whole strings, others look for a part. So the texts below are
//! part of the protocol; they are etcd's, to the letter.
//!
//! Two codes look like mistakes and are kept, because that is what etcd puts on the wire: `too many
//! requests` and `not enough started members` arrive as `Unknown` (its table says otherwise, its server
//! misses them).
//!
//! **Did the state change, and may the caller try again?** None of these changes the state, with one
//! exception: the timeouts. A write that timed out, or whose caller gave up, may still be committed later;
//! [`ApiError::is_ambiguous`] tells. `Unavailable` says to clients "try elsewhere": for reads they do so by
//! themselves, so a write must not get it unless nothing was done or the text is a timeout's.
//!
//! Source: etcd's `rpctypes` as of 3.7 (errors of users and roles are left out until those exist).

use std::fmt;

use tonic::{Code, Status};

/// One table makes the enum, its codes and its texts, so that none can be forgotten.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident: $code:ident, $text:literal;)*) => {
        /// A refusal, as clients see it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ApiError {
            $($(#[$doc])* $name,)*
        }

        impl ApiError {
            /// All of them.
            pub const ALL: &'static [ApiError] = &[$(ApiError::$name),*];

            /// The gRPC code on the wire.
            pub const fn code(self) -> Code {
                match self { $(ApiError::$name => Code::$code),* }
            }

            /// The exact text.
            pub const fn text(self) -> &'static str {
                match self { $(ApiError::$name => $text),* }
            }
        }
    };
}

errors! {
    // Keys, values and transactions.
    /// The key is empty.
    EmptyKey: InvalidArgument, "etcdserver: key is not provided";
    /// `ignore_value` or `ignore_lease` on a missing key; an operation of a transaction with no arm set.
    KeyNotFound: InvalidArgument, "etcdserver: key not found";
    /// `ignore_value` together with a value.
    ValueProvided: InvalidArgument, "etcdserver: value is provided";
    /// `ignore_lease` together with a lease.
    LeaseProvided: InvalidArgument, "etcdserver: lease is provided";
    /// More operations in a transaction than the member allows.
    TooManyOps: InvalidArgument, "etcdserver: too many operations in txn request";
    /// A transaction changes a key twice.
    DuplicateKey: InvalidArgument, "etcdserver: duplicate key given in txn request";
    /// The metadata `client-api-version` is not text.
    InvalidClientApiVersion: InvalidArgument, "etcdserver: invalid client api version";
    /// An unknown sort order or target.
    InvalidSortOption: InvalidArgument, "etcdserver: invalid sort option";
    /// The write, encoded, is larger than `--max-request-bytes`.
    RequestTooLarge: InvalidArgument, "etcdserver: request is too large";
    /// The revision's history is gone.
    Compacted: OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    /// The revision has not happened yet.
    FutureRevision: OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    /// The quota is used up (NOSPACE).
    NoSpace: ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// The queue of proposals is full: nothing was done, try again later. `Unknown` on etcd's wire.
    TooManyRequests: Unknown, "etcdserver: too many requests";

    // Leases and watches.
    /// No such lease.
    LeaseNotFound: NotFound, "etcdserver: requested lease not found";
    /// The lease id is taken.
    LeaseExists: FailedPrecondition, "etcdserver: lease already exists";
    /// The time to live is beyond the largest.
    LeaseTtlTooLarge: OutOfRange, "etcdserver: too large lease TTL";
    /// The client ended the watch stream.
    WatchCanceled: Cancelled, "etcdserver: watch canceled";

    // Members.
    /// The member's id is taken.
    MemberExists: FailedPrecondition, "etcdserver: member ID already exist";
    /// A peer URL is in use by another member.
    PeerUrlExists: FailedPrecondition, "etcdserver: Peer URLs already exists";
    /// The change would leave no quorum of started members. `Unknown` on etcd's wire.
    NotEnoughStarted: Unknown, "etcdserver: re-configuration failed due to not enough started members";
    /// The peer URLs given are malformed, or there is none.
    BadMemberUrls: InvalidArgument, "etcdserver: given member URLs are invalid";
    /// No such member.
    MemberNotFound: NotFound, "etcdserver: member not found";
    /// A voter cannot be promoted.
    NotLearner: FailedPrecondition, "etcdserver: can only promote a learner member";
    /// The learner is too far behind to be promoted.
    LearnerNotReady: FailedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader";
    /// There are as many learners as allowed.
    TooManyLearners: FailedPrecondition, "etcdserver: too many learner members in cluster";
    /// The peer belongs to another cluster.
    ClusterIdMismatch: FailedPrecondition, "etcdserver: cluster ID mismatch";
    /// Learners do not serve this.
    NotSupportedForLearner: FailedPrecondition, "etcdserver: rpc not supported for learner";
    /// The leadership cannot go to that member.
    BadLeaderTransferee: FailedPrecondition, "etcdserver: bad leader transferee";
    /// Members needed for the change cannot be reached.
    UnhealthyCluster: Unavailable, "etcdserver: unhealthy cluster";

    // The member and the cluster as a whole.
    /// This member knows of no leader.
    NoLeader: Unavailable, "etcdserver: no leader";
    /// Only the leader can do this.
    NotLeader: FailedPrecondition, "etcdserver: not leader";
    /// The leader changed while the read waited for its confirmation.
    LeaderChanged: Unavailable, "etcdserver: leader changed";
    /// The member does not know the cluster's version yet.
    NotCapable: FailedPrecondition, "etcdserver: not capable";
    /// The member is stopping.
    Stopped: Unavailable, "etcdserver: server stopped";
    /// No answer within the request timeout; a write may still be committed.
    Timeout: Unavailable, "etcdserver: request timed out";
    /// As [`Timeout`](Self::Timeout), when the leader was lost shortly before.
    TimeoutLeaderFailure: Unavailable,
        "etcdserver: request timed out, possibly due to previous leader failure";
    /// As [`Timeout`](Self::Timeout), when the member is cut off from the others.
    TimeoutConnectionLost: Unavailable,
        "etcdserver: request timed out, possibly due to connection lost";
    /// The entry was committed, or a read confirmed, but applying took too long.
    TimeoutApply: Unavailable,
        "etcdserver: request timed out, waiting for the applied index took too long";
    /// The members' data differ (CORRUPT).
    Corrupt: DataLoss, "etcdserver: corrupt cluster";
    /// The caller gave up; a write may still be committed.
    Canceled: Cancelled, "context canceled";
    /// The caller's deadline passed; a write may still be committed.
    DeadlineExceeded: DeadlineExceeded, "context deadline exceeded";
}

impl ApiError {
    /// Whether a write refused so may nevertheless be executed, now or later.
    pub const fn is_ambiguous(self) -> bool {
        matches!(
            self,
            ApiError::Timeout
                | ApiError::TimeoutLeaderFailure
                | ApiError::TimeoutConnectionLost
                | ApiError::TimeoutApply
                | ApiError::Canceled
                | ApiError::DeadlineExceeded
        )
    }

    /// As the gRPC status that carries it.
    pub fn status(self) -> Status {
        Status::new(self.code(), self.text())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        error.status()
    }
}

impl From<quorate_kv::Error> for ApiError {
    fn from(error: quorate_kv::Error) -> ApiError {
        use quorate_kv::Error;
        match error {
            Error::EmptyKey => ApiError::EmptyKey,
            Error::KeyNotFound => ApiError::KeyNotFound,
            Error::ValueProvided => ApiError::ValueProvided,
            Error::LeaseProvided => ApiError::LeaseProvided,
            Error::TooManyOps => ApiError::TooManyOps,
            Error::DuplicateKey => ApiError::DuplicateKey,
            Error::Compacted => ApiError::Compacted,
            Error::FutureRevision => ApiError::FutureRevision,
            Error::LeaseNotFound => ApiError::LeaseNotFound,
            Error::LeaseExists => ApiError::LeaseExists,
            Error::LeaseTtlTooLarge => ApiError::LeaseTtlTooLarge,
            Error::InvalidSort => ApiError::InvalidSortOption,
            Error::MemberNotFound => ApiError::MemberNotFound,
            Error::MemberExists => ApiError::MemberExists,
            Error::BadMemberUrls => ApiError::BadMemberUrls,
            Error::PeerUrlExists => ApiError::PeerUrlExists,
            Error::TooManyLearners => ApiError::TooManyLearners,
            Error::MemberNotLearner => ApiError::NotLearner,
            Error::NotEnoughStarted => ApiError::NotEnoughStarted,
        }
    }
}

#[cfg(test)]
mod tests;
