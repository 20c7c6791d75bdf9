//! Why a request is refused. None of these changes the state.

use core::fmt;

/// A refusal by the state machine. The texts clients match are made in `quorate-api`, not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key is empty.
    EmptyKey,
    /// `ignore_value`/`ignore_lease` on a missing key, or an operation with no arm.
    KeyNotFound,
    /// `ignore_value` together with a value.
    ValueProvided,
    /// `ignore_lease` together with a lease.
    LeaseProvided,
    /// More operations in a transaction than allowed.
    TooManyOps,
    /// A key changed twice in a transaction in a way etcd refuses.
    DuplicateKey,
    /// The revision has been compacted.
    Compacted,
    /// The revision has not happened yet.
    FutureRevision,
    /// No such lease.
    LeaseNotFound,
    /// The lease id is taken.
    LeaseExists,
    /// The time to live is beyond the largest.
    LeaseTtlTooLarge,
    /// The sort order or target is unknown.
    InvalidSort,
    /// No such member, or no longer.
    MemberNotFound,
    /// The member's id is taken.
    MemberExists,
    /// The peer URLs are empty, or one of them is.
    BadMemberUrls,
    /// Another member has the peer URL.
    PeerUrlExists,
    /// There are as many learners as allowed.
    TooManyLearners,
    /// Only a learner can be promoted.
    MemberNotLearner,
    /// The change would leave no quorum of started voters.
    NotEnoughStarted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::EmptyKey => "the key is empty",
            Error::KeyNotFound => "the key does not exist",
            Error::ValueProvided => "a value was given together with ignore_value",
            Error::LeaseProvided => "a lease was given together with ignore_lease",
            Error::TooManyOps => "the transaction has too many operations",
            Error::DuplicateKey => "the transaction changes a key twice",
            Error::Compacted => "the revision has been compacted",
            Error::FutureRevision => "the revision is in the future",
            Error::LeaseNotFound => "the lease does not exist",
            Error::LeaseExists => "the lease already exists",
            Error::LeaseTtlTooLarge => "the lease's time to live is too large",
            Error::InvalidSort => "the sort order or target is unknown",
            Error::MemberNotFound => "the member does not exist (any more)",
            Error::MemberExists => "the member's id is taken",
            Error::BadMemberUrls => "a member needs peer URLs",
            Error::PeerUrlExists => "another member has this peer URL",
            Error::TooManyLearners => "there are as many learners as allowed",
            Error::MemberNotLearner => "the member is no learner",
            Error::NotEnoughStarted => "the change would leave no quorum of started voters",
        })
    }
}

impl core::error::Error for Error {}
