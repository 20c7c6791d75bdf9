//! Names: of sites, transactions, ages, moments and ballots, and their bytes.

use core::fmt;

use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

/// A place that coordinates and takes part: a replicated group, or one process that recovers from its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u64);

/// A transaction, for good: a client that asks again under the same name is given the same decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId {
    /// A coarse time of its birth. What is decided is remembered until its epoch is below a site's floor; from then on
    /// nothing of that epoch may begin there.
    pub epoch: u64,
    /// The site that decides.
    pub coordinator: SiteId,
    /// Its number there, unique within the epoch.
    pub number: u64,
}

/// How old a transaction is, for wait-die: the smaller, the older. A client that tries again after a conflict takes a
/// new [`TxnId`] and keeps the age, so that it is the oldest one day (Rosenkrantz, Stearns and Lewis, §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age(pub u64);

/// What locks are given by: the age, and the name between equals. The smaller is the older.
pub type Seniority = (Age, TxnId);

/// A moment of a hybrid logical clock, which the host reads. The core only compares them and counts up by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment after.
    pub fn next(self) -> Timestamp {
        Timestamp(self.0.saturating_add(1))
    }

    /// The moment before; 0 stays 0.
    pub fn prev(self) -> Timestamp {
        Timestamp(self.0.saturating_sub(1))
    }
}

/// A caller's name for a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// An attempt to end a transaction of three phases (Keidar and Dolev: "elected"). The smallest is the coordinator's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Which attempt; 0 is the coordinator's, and nobody else's.
    pub round: u64,
    /// Who makes it.
    pub site: SiteId,
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `coordinator.number`, and the epoch behind it where it is not 0.
impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.coordinator, self.number)?;
        if self.epoch > 0 { write!(f, "e{}", self.epoch) } else { Ok(()) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.round, self.site)
    }
}

macro_rules! number {
    ($($name:ident),*) => {$(
        impl Encode for $name {
            fn encode(&self, out: &mut Writer) {
                out.u64(self.0);
            }
        }

        impl Decode for $name {
            fn decode(input: &mut Reader) -> Result<Self, Malformed> {
                Ok($name(input.u64()?))
            }
        }
    )*};
}

number!(SiteId, Age, Timestamp, ReadId);

impl Encode for TxnId {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.epoch);
        self.coordinator.encode(out);
        out.u64(self.number);
    }
}

impl Decode for TxnId {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(TxnId { epoch: input.u64()?, coordinator: SiteId::decode(input)?, number: input.u64()? })
    }
}

impl Encode for Ballot {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.round);
        self.site.encode(out);
    }
}

impl Decode for Ballot {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Ballot { round: input.u64()?, site: SiteId::decode(input)? })
    }
}
