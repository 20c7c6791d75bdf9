//! The durable state's bytes, for an image that goes to disk or to a replica that lags.
//!
//! A participant that has prepared must still be prepared on a replica that got its state so.

use alloc::collections::{BTreeMap, BTreeSet};

use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

use crate::ids::{Age, Ballot, Timestamp, TxnId};
use crate::locks::Locks;
use crate::message::{decode_accepted, encode_accepted};
use crate::record::{Decision, Protocol, Reason, decode_answers, decode_sites, encode_answers};
use crate::rules::Rules;
use crate::state::{Finished, Prepared, Ready, State, Verdict, locked};
use crate::work::{Resource, Work};

impl<S: Resource> State<S> {
    /// Append it.
    pub(crate) fn encode(&self, out: &mut Writer) {
        self.resource.encode(out);
        map(&self.prepared, out);
        map(&self.finished, out);
        map(&self.ready, out);
        map(&self.verdicts, out);
        out.u32(self.open.len() as u32);
        self.open.iter().for_each(|txn| txn.encode(out));
        self.closed.encode(out);
        self.high.encode(out);
        out.u64(self.floor);
    }

    /// Take it off the front.
    pub(crate) fn decode<R: Rules>(input: &mut Reader) -> Result<Self, Malformed> {
        let mut state = State {
            resource: S::decode(input)?,
            prepared: unmap(input)?,
            finished: unmap(input)?,
            ready: unmap(input)?,
            verdicts: unmap(input)?,
            open: BTreeSet::from_iter(input.list::<TxnId>()?),
            locks: Locks::new(),
            closed: Timestamp::decode(input)?,
            high: Timestamp::decode(input)?,
            floor: input.u64()?,
        };
        for (txn, prepared) in &state.prepared {
            if R::holds_until_decided() {
                state.locks.hold((prepared.age, *txn), &locked::<R>(&prepared.work));
            }
        }
        Ok(state)
    }
}

fn map<V: Encode>(map: &BTreeMap<TxnId, V>, out: &mut Writer) {
    out.u32(map.len() as u32);
    for (txn, value) in map {
        txn.encode(out);
        value.encode(out);
    }
}

fn unmap<V: Decode>(input: &mut Reader) -> Result<BTreeMap<TxnId, V>, Malformed> {
    let count = input.u32()? as usize;
    (0..count).map(|_| Ok((TxnId::decode(input)?, V::decode(input)?))).collect()
}

impl Encode for Prepared {
    fn encode(&self, out: &mut Writer) {
        self.age.encode(out);
        self.protocol.encode(out);
        out.list(&self.participants);
        self.work.encode(out);
        self.ts.encode(out);
        out.bool(self.holds);
        out.bytes(&self.answer);
        self.promised.encode(out);
        encode_accepted(&self.accepted, out);
    }
}

impl Decode for Prepared {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Prepared {
            age: Age::decode(input)?,
            protocol: Protocol::decode(input)?,
            participants: decode_sites(input)?,
            work: Work::decode(input)?,
            ts: Timestamp::decode(input)?,
            holds: input.bool()?,
            answer: input.bytes()?,
            promised: Ballot::decode(input)?,
            accepted: decode_accepted(input)?,
        })
    }
}

impl Encode for Finished {
    fn encode(&self, out: &mut Writer) {
        self.decision.encode(out);
        self.reason.encode(out);
        out.bytes(&self.result);
        out.bool(self.held);
    }
}

impl Decode for Finished {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let (decision, reason) = (Decision::decode(input)?, Reason::decode(input)?);
        Ok(Finished { decision, reason, result: input.bytes()?, held: input.bool()? })
    }
}

impl Encode for Ready {
    fn encode(&self, out: &mut Writer) {
        self.protocol.encode(out);
        self.decision.encode(out);
        out.list(&self.participants);
        encode_answers(&self.answers, out);
    }
}

impl Decode for Ready {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Ready {
            protocol: Protocol::decode(input)?,
            decision: Decision::decode(input)?,
            participants: decode_sites(input)?,
            answers: decode_answers(input)?,
        })
    }
}

impl Encode for Verdict {
    fn encode(&self, out: &mut Writer) {
        self.decision.encode(out);
        self.reason.encode(out);
        out.list(&self.participants);
        encode_answers(&self.answers, out);
    }
}

impl Decode for Verdict {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Verdict {
            decision: Decision::decode(input)?,
            reason: Reason::decode(input)?,
            participants: decode_sites(input)?,
            answers: decode_answers(input)?,
        })
    }
}
