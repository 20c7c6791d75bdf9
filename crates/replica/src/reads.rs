//! Reads in groups.
//!
//! One question to the core is in flight at a time; what arrives meanwhile shares the next. A question that
//! fails (its leadership ended, or nobody leads) is put again a little later, until its reads' time is up.

use alloc::vec::Vec;

use quorate_protocol::ReadId;

/// A read and the tick at which it is given up.
type Waiting = (ReadId, u64);

/// The reads of a replica's host.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    waiting: Vec<Waiting>,
    flying: Option<(ReadId, Vec<Waiting>)>,
    asked: u64,
    /// Not before this tick is the next question put.
    not_before: u64,
}

impl Reads {
    pub fn len(&self) -> usize {
        self.waiting.len() + self.flying.as_ref().map_or(0, |(_, reads)| reads.len())
    }

    pub fn flying(&self) -> bool {
        self.flying.is_some()
    }

    pub fn push(&mut self, id: ReadId, deadline: u64) {
        self.waiting.push((id, deadline));
    }

    /// The question to put now, if any.
    pub fn ask(&mut self, now: u64) -> Option<ReadId> {
        if self.flying.is_some() || self.waiting.is_empty() || now < self.not_before {
            return None;
        }
        self.asked += 1;
        let question = ReadId(self.asked);
        self.flying = Some((question, core::mem::take(&mut self.waiting)));
        Some(question)
    }

    /// The core answered; these reads are ready.
    pub fn answered(&mut self, question: ReadId) -> Vec<ReadId> {
        match self.flying.take_if(|(flying, _)| *flying == question) {
            Some((_, reads)) => reads.into_iter().map(|(id, _)| id).collect(),
            None => Vec::new(),
        }
    }

    /// The core gave up on the question: its reads wait again.
    pub fn failed(&mut self, question: ReadId, not_before: u64) {
        if let Some((_, mut reads)) = self.flying.take_if(|(flying, _)| *flying == question) {
            reads.append(&mut self.waiting);
            self.waiting = reads;
            self.not_before = not_before;
        }
    }

    /// Time passed: the reads whose time is up. Those in flight are left to their question.
    pub fn expired(&mut self, now: u64) -> Vec<ReadId> {
        if self.waiting.iter().all(|(_, deadline)| *deadline > now) {
            return Vec::new();
        }
        let (keep, expired): (Vec<Waiting>, Vec<Waiting>) =
            self.waiting.drain(..).partition(|(_, deadline)| *deadline > now);
        self.waiting = keep;
        expired.into_iter().map(|(id, _)| id).collect()
    }
}
