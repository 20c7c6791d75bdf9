//! What a driver has proposed and what it will: records that are not applied yet.
//!
//! A group's log takes so much at a time and no more. What is proposed beyond that waits in it, in the order in which it came:
//! a decision behind the votes of transactions that have all their time, and with it whoever is in doubt. So no more than a
//! *window* of records is under way at once. Of those that wait for it, what ends a transaction, or answers somebody in
//! doubt, goes before what begins one: it frees locks. Nor is anything passed over for ever, for only what has begun can
//! end.
//!
//! What is late is not proposed again: it is late because the log is slow, or stands still for want of a quorum, and each
//! repetition would be one more record in front of all others when it goes on. Only what the log has not taken is, and
//! its host tells of that ([`Event::Lost`](crate::Event::Lost)).
//!
//! Invariants: of each subject one record is here; as long as one waits, the window is full.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::contract::{Config, Effect, Effects};
use crate::ids::SiteId;
use crate::record::{Record, Subject};
use crate::site::backoff;

/// Who is told of one decision once it is applied, at most; others will ask again.
const ASKERS: usize = 64;

/// A record that is not applied yet.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub(crate) record: Record,
    /// Who is told the decision once this is applied.
    pub(crate) askers: Vec<SiteId>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// Not proposed yet.
    Waits(Turn),
    /// Proposed.
    UnderWay { tries: u64 },
    /// Not taken, so often; to be proposed again at this tick.
    Lost { tries: u64, at: u64 },
}

/// Whether it begins a transaction, and its number: the order in which records are proposed.
type Turn = (bool, u64);

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposals {
    all: BTreeMap<Subject, Proposal>,
    waiting: BTreeMap<Turn, Subject>,
    /// How many there have been.
    count: u64,
}

impl Proposals {
    /// How many are here.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// What is to be applied of this, if anything is.
    pub(crate) fn get(&self, subject: Subject) -> Option<&Record> {
        Some(&self.all.get(&subject)?.record)
    }

    /// Propose a record when the window has room, unless one about the same is here.
    pub(crate) fn add(&mut self, record: Record, config: &Config, effects: &mut Effects) {
        let subject = record.subject();
        if self.all.contains_key(&subject) {
            return;
        }
        self.count += 1;
        let turn = (record.begins(), self.count);
        self.waiting.insert(turn, subject);
        self.all.insert(subject, Proposal { record, askers: Vec::new(), standing: Standing::Waits(turn) });
        self.fill(config, effects);
    }

    /// Whoever asks is told the decision once this is applied.
    pub(crate) fn ask(&mut self, subject: Subject, asker: SiteId) {
        if let Some(proposal) = self.all.get_mut(&subject)
            && proposal.askers.len() < ASKERS
            && !proposal.askers.contains(&asker)
        {
            proposal.askers.push(asker);
        }
    }

    /// It is applied.
    pub(crate) fn remove(&mut self, subject: Subject) -> Option<Proposal> {
        let proposal = self.all.remove(&subject)?;
        if let Standing::Waits(turn) = proposal.standing {
            self.waiting.remove(&turn);
        }
        Some(proposal)
    }

    /// Propose what there is room for.
    pub(crate) fn fill(&mut self, config: &Config, effects: &mut Effects) {
        while self.all.len() - self.waiting.len() < config.max_proposed.max(1) {
            let Some((_, subject)) = self.waiting.pop_first() else { return };
            let Some(proposal) = self.all.get_mut(&subject) else { continue };
            proposal.standing = Standing::UnderWay { tries: 0 };
            effects.push(Effect::Propose(proposal.record.clone()));
        }
    }

    /// The log has not taken it.
    pub(crate) fn lost(&mut self, record: &Record, config: &Config, now: u64) {
        if let Some(proposal) = self.all.get_mut(&record.subject())
            && proposal.record == *record
            && let Standing::UnderWay { tries } = proposal.standing
        {
            let at = now + backoff(config.retry_ticks, tries);
            proposal.standing = Standing::Lost { tries: tries + 1, at };
        }
    }

    /// Propose again what was not taken, after a while.
    pub(crate) fn again(&mut self, now: u64, effects: &mut Effects) {
        for proposal in self.all.values_mut() {
            if let Standing::Lost { tries, at } = proposal.standing
                && at <= now
            {
                proposal.standing = Standing::UnderWay { tries };
                effects.push(Effect::Propose(proposal.record.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::ids::TxnId;
    use crate::record::{Decision, Reason};

    fn refuse(number: u64) -> Record {
        Record::Refuse { txn: TxnId { number, ..TxnId::default() }, reason: Reason::Fenced }
    }

    fn resolve(number: u64) -> Record {
        let txn = TxnId { number, ..TxnId::default() };
        Record::Resolve { txn, decision: Decision::Abort, known: false }
    }

    fn prepare(number: u64) -> Record {
        let (txn, ts) = (TxnId { number, ..TxnId::default() }, Default::default());
        Record::Local { txn, age: Default::default(), work: Default::default(), ts }
    }

    fn proposed(effects: &mut Effects) -> Vec<Record> {
        effects
            .drain(..)
            .filter_map(|effect| if let Effect::Propose(record) = effect { Some(record) } else { None })
            .collect()
    }

    #[test]
    fn no_more_is_under_way_than_the_window_holds_and_what_ends_goes_first() {
        let config = Config { max_proposed: 2, ..Config::new(SiteId(1)) };
        let (mut proposals, mut effects) = (Proposals::default(), Vec::new());
        for record in [prepare(1), prepare(2), prepare(3), resolve(1), prepare(3), refuse(4)] {
            proposals.add(record, &config, &mut effects);
        }
        assert_eq!(proposed(&mut effects), [prepare(1), prepare(2)]);
        assert_eq!(proposals.len(), 5);
        for (applied, next) in [
            (prepare(2), vec![resolve(1)]),
            (prepare(3), vec![]),
            (prepare(1), vec![refuse(4)]),
            (prepare(9), vec![]),
            (resolve(1), vec![]),
        ] {
            proposals.remove(applied.subject());
            proposals.fill(&config, &mut effects);
            assert_eq!(proposed(&mut effects), next, "after {applied:?}");
        }
        assert_eq!((proposals.len(), proposals.get(refuse(4).subject())), (1, Some(&refuse(4))));
    }

    #[test]
    fn what_was_not_taken_is_proposed_again_and_nothing_else_is() {
        let config = Config { max_proposed: 2, retry_ticks: 10, ..Config::new(SiteId(1)) };
        let (mut proposals, mut effects) = (Proposals::default(), Vec::new());
        (1..4).for_each(|number| proposals.add(resolve(number), &config, &mut effects));
        assert_eq!(proposed(&mut effects), [resolve(1), resolve(2)]);
        let again: Vec<u64> = (1..=200)
            .filter(|now| {
                proposals.lost(&resolve(1), &config, *now);
                proposals.lost(&resolve(3), &config, *now);
                proposals.again(*now, &mut effects);
                proposed(&mut effects) == [resolve(1)]
            })
            .collect();
        assert_eq!(again, [11, 32, 73, 114, 155, 196], "later each time, four times as late at most");
    }

    #[test]
    fn a_record_keeps_who_asks_but_not_everybody() {
        let (mut proposals, mut effects) = (Proposals::default(), Vec::new());
        proposals.add(refuse(1), &Config::new(SiteId(1)), &mut effects);
        for site in 0..100 {
            proposals.ask(refuse(1).subject(), SiteId(site));
            proposals.ask(refuse(1).subject(), SiteId(0));
        }
        let askers = proposals.remove(refuse(1).subject()).map(|proposal| proposal.askers);
        assert_eq!(askers, Some((0..ASKERS as u64).map(SiteId).collect()));
    }
}
