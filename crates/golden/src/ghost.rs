//! What an all-seeing observer knows, and the properties it checks.
//!
//! Of dense logs (Raft, Zab) entries are compared with their ballots, and a round has one leader. Of sparse ones
//! (Multi-Paxos, which rewrites an entry's ballot in place) they are compared by kind and content, and leaders by whole ballot;
//! what each slot owes to Paxos is in [`Slots`].
//!
//! Two properties that look true and are not, and so are not checked: that whoever granted a vote has a log
//! no more up to date than the winner's (it may have truncated since), and that a committed entry is never
//! truncated anywhere (a minority that has not heard of the new term may still obey an old leader).

use std::collections::BTreeMap;

use quorate_protocol::{Ballot, Entry, Index, LogId, Membership, NodeId, ReadId};

use crate::disk::{LogView, same_value};
use crate::slots::Slots;

/// A committed entry.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The entry.
    pub entry: Entry,
    /// Dense: the round of the node that first committed it, when it did. Sparse: the ballot it was chosen at.
    pub at: Ballot,
}

/// The observer.
#[derive(Debug, Default)]
pub struct Ghost {
    /// Whether logs are sparse.
    sparse: bool,
    /// Who led in each round; of sparse logs, in each ballot.
    pub leaders: BTreeMap<Ballot, NodeId>,
    /// The committed log, from index 1.
    pub committed: Vec<Committed>,
    /// Every entry ever written to a dense log, with the name of the one before it.
    written: BTreeMap<LogId, (LogId, Entry)>,
    /// What was written to sparse ones.
    slots: Slots,
    /// Votes that have left: voter and round, candidate.
    votes: BTreeMap<(NodeId, u64), NodeId>,
    /// What was committed when a read was asked: node, its life, the read.
    floors: BTreeMap<(NodeId, u64, ReadId), Index>,
}

impl Ghost {
    /// The observer of a core's replicas.
    pub fn new(sparse: bool) -> Self {
        Ghost { sparse, ..Ghost::default() }
    }

    /// How far the group has committed.
    pub fn commit(&self) -> Index {
        Index(self.committed.len() as u64)
    }

    /// What of a ballot tells leaderships apart.
    pub(crate) fn rank(&self, ballot: Ballot) -> Ballot {
        if self.sparse { ballot } else { Ballot { round: ballot.round, node: NodeId(0) } }
    }

    fn same(&self, a: &Entry, b: &Entry) -> bool {
        if self.sparse { same_value(a, b) } else { a == b }
    }

    /// A node leads; `log` is its log.
    pub fn leads(&mut self, node: NodeId, round: u64, log: &LogView) -> Result<(), String> {
        let rank = self.rank(Ballot { round, node });
        let first = *self.leaders.entry(rank).or_insert(node);
        if first != node {
            return Err(format!("ElectionSafety: {first} and {node} both lead in round {round}"));
        }
        match self.committed.iter().find(|c| c.at < rank && !log.covers(&c.entry)) {
            Some(c) => Err(format!(
                "LeaderCompleteness: {node} leads in round {round} without {}, committed in round {}",
                c.entry.id, c.at.round
            )),
            None => Ok(()),
        }
    }

    /// Entries are written after `before`, and what followed it is gone.
    pub fn writes(&mut self, mut before: LogId, entries: &[Entry]) -> Result<(), String> {
        for entry in entries {
            let known = self.written.entry(entry.id).or_insert_with(|| (before, entry.clone()));
            if known.0 != before {
                return Err(format!("LogMatching: {} follows {} and {before}", entry.id, known.0));
            }
            if known.1 != *entry {
                return Err(format!("LogMatching: {} has two values", entry.id));
            }
            before = entry.id;
        }
        Ok(())
    }

    /// A node that has promised `promised` puts entries into its slots.
    pub fn puts(&mut self, node: NodeId, promised: Ballot, entries: &[Entry]) -> Result<(), String> {
        entries.iter().try_for_each(|entry| self.slots.writes(node, promised, entry))
    }

    /// What a node put is on its disk.
    pub fn durable(&mut self, node: NodeId, entries: &[Entry]) {
        entries.iter().for_each(|entry| self.slots.durable(node, entry));
    }

    /// A node, in `round`, says that these are committed. Answers those that are news.
    pub fn commits(&mut self, node: NodeId, round: u64, entries: &[Entry]) -> Result<Vec<Entry>, String> {
        let mut news = Vec::new();
        for entry in entries {
            let at = entry.id.index.0 as usize - 1;
            match self.committed.get(at) {
                Some(known) if !self.same(&known.entry, entry) => {
                    return Err(format!(
                        "StateMachineSafety: the committed index {} changes value: {} was committed, {node} commits {}",
                        entry.id.index, known.entry.id, entry.id
                    ));
                }
                Some(_) => {}
                None if at == self.committed.len() => {
                    let at = self.rank(Ballot { round, node });
                    self.committed.push(Committed { entry: entry.clone(), at });
                    news.push(entry.clone());
                }
                None => return Err(format!("{node} commits {} before what precedes it", entry.id)),
            }
        }
        Ok(news)
    }

    /// A newly committed entry is on the disks of a quorum, by the membership of the node that commits it (`held` says whose
    /// dense logs have it), and in the logs of those who lead now by a later leadership.
    pub fn holds<'a>(
        &mut self,
        entry: &Entry,
        membership: &Membership,
        held: impl Fn(NodeId) -> bool,
        leaders: impl Iterator<Item = (NodeId, Ballot, &'a LogView)>,
    ) -> Result<(), String> {
        let at = entry.id.index.0 as usize - 1;
        if self.sparse {
            self.committed[at].at = self.slots.chosen(entry, membership)?;
        } else if !membership.chooses(held) {
            return Err(format!("Durable commit: {} is committed, and no quorum's disks hold it", entry.id));
        }
        let at = self.committed[at].at;
        for (node, leads, log) in leaders {
            if self.rank(leads) > at && !log.covers(entry) {
                return Err(format!(
                    "LeaderCompleteness: {} is committed in round {}, {node} leads in {} without it",
                    entry.id, at.round, leads.round
                ));
            }
        }
        Ok(())
    }

    /// A vote leaves its voter.
    pub fn votes(&mut self, voter: NodeId, vote: Ballot) -> Result<(), String> {
        let first = *self.votes.entry((voter, vote.round)).or_insert(vote.node);
        match first == vote.node {
            true => Ok(()),
            false => Err(format!("{voter} votes for {first} and for {} in round {}", vote.node, vote.round)),
        }
    }

    /// A read is asked.
    pub fn asked(&mut self, node: NodeId, life: u64, read: ReadId) {
        self.floors.insert((node, life, read), self.commit());
    }

    /// A read is given up.
    pub fn failed(&mut self, node: NodeId, life: u64, read: ReadId) -> Result<(), String> {
        match self.floors.remove(&(node, life, read)) {
            Some(_) => Ok(()),
            None => Err(format!("{node} fails the read {}, which is answered or unasked", read.0)),
        }
    }

    /// A read may be served at `index`.
    pub fn answered(&mut self, node: NodeId, life: u64, read: ReadId, index: Index) -> Result<(), String> {
        let Some(floor) = self.floors.remove(&(node, life, read)) else {
            return Err(format!("{node} answers the read {} twice or unasked", read.0));
        };
        match index >= floor {
            true => Ok(()),
            false => Err(format!(
                "Linearizable reads: {node} reads at {index} what was asked after {floor} was committed"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_protocol::EntryKind;
    use std::slice::from_ref;

    fn entry(index: u64, round: u64, data: &'static str) -> Entry {
        let id = LogId { ballot: Ballot { round, node: NodeId(round) }, index: Index(index) };
        Entry { id, kind: EntryKind::Command, data: data.into() }
    }

    fn log(entries: &[Entry]) -> LogView {
        LogView { entries: entries.to_vec(), ..LogView::default() }
    }

    fn broken<T: std::fmt::Debug>(checked: Result<T, String>, property: &str) {
        let what = checked.expect_err("the property is broken");
        assert!(what.contains(property), "{what}");
    }

    #[test]
    fn one_leader_to_a_round_and_one_vote_to_a_voter() {
        let mut ghost = Ghost::default();
        assert_eq!(ghost.leads(NodeId(1), 3, &log(&[])), Ok(()));
        assert_eq!(ghost.leads(NodeId(1), 3, &log(&[])), Ok(()));
        broken(ghost.leads(NodeId(2), 3, &log(&[])), "ElectionSafety");
        let vote = |node| Ballot { round: 3, node: NodeId(node) };
        assert_eq!(ghost.votes(NodeId(2), vote(1)), Ok(()));
        assert_eq!(ghost.votes(NodeId(2), vote(1)), Ok(()), "the same vote may be repeated");
        broken(ghost.votes(NodeId(2), vote(3)), "votes for 1 and for 3");
    }

    #[test]
    fn an_entry_has_one_value_and_one_predecessor() {
        let mut ghost = Ghost::default();
        let [a, b, c] = [entry(1, 1, "a"), entry(1, 2, "b"), entry(2, 2, "c")];
        assert_eq!(ghost.writes(LogId::default(), from_ref(&a)), Ok(()));
        assert_eq!(ghost.writes(a.id, from_ref(&c)), Ok(()));
        broken(ghost.writes(LogId::default(), &[b, c]), "LogMatching");
        broken(ghost.writes(LogId::default(), &[entry(1, 1, "z")]), "two values");
    }

    #[test]
    fn what_is_committed_stays_and_later_leaders_have_it() {
        let mut ghost = Ghost::default();
        let a = entry(1, 1, "a");
        assert_eq!(ghost.commits(NodeId(1), 1, from_ref(&a)).map(|news| news.len()), Ok(1));
        assert_eq!(ghost.commits(NodeId(2), 1, from_ref(&a)).map(|news| news.len()), Ok(0));
        broken(ghost.commits(NodeId(2), 2, &[entry(1, 2, "b")]), "StateMachineSafety");
        broken(ghost.commits(NodeId(2), 2, &[entry(3, 2, "b")]), "before what precedes it");
        broken(ghost.leads(NodeId(2), 2, &log(&[])), "LeaderCompleteness");
        assert_eq!(ghost.leads(NodeId(3), 3, &log(&[a])), Ok(()));
    }

    #[test]
    fn a_commit_needs_a_quorum_of_disks() {
        let (mut ghost, a) = (Ghost::default(), entry(1, 1, "a"));
        ghost.commits(NodeId(1), 1, from_ref(&a)).expect("the first entry");
        let three = Membership::new((1..=3).map(NodeId), []);
        assert_eq!(ghost.holds(&a, &three, |node| node.0 < 3, std::iter::empty()), Ok(()));
        broken(ghost.holds(&a, &three, |node| node.0 < 2, std::iter::empty()), "Durable commit");
        let empty = LogView::default();
        let later = [(NodeId(3), Ballot { round: 2, node: NodeId(3) }, &empty)];
        broken(ghost.holds(&a, &three, |_| true, later.into_iter()), "LeaderCompleteness");
    }

    /// Two leaders to a round, entries under other ballots, a chosen value that a later leader lacks.
    #[test]
    fn sparse_logs_are_compared_by_value_and_their_leaders_by_ballot() {
        let mut ghost = Ghost::new(true);
        let sparse = |entries: &[Entry]| LogView { sparse: true, ..log(entries) };
        assert_eq!(ghost.leads(NodeId(1), 1, &sparse(&[])), Ok(()));
        assert_eq!(ghost.leads(NodeId(2), 1, &sparse(&[])), Ok(()));
        let (a, again) = (entry(1, 1, "a"), entry(1, 4, "a"));
        for node in [NodeId(1), NodeId(2)] {
            assert_eq!(ghost.puts(node, Ballot::default(), from_ref(&a)), Ok(()));
            ghost.durable(node, from_ref(&a));
        }
        assert_eq!(ghost.commits(NodeId(1), 3, from_ref(&again)).map(|news| news.len()), Ok(1));
        let three = Membership::new((1..=3).map(NodeId), []);
        assert_eq!(ghost.holds(&again, &three, |_| false, std::iter::empty()), Ok(()));
        assert_eq!(ghost.committed[0].at, a.id.ballot, "chosen at the lowest ballot a quorum had it at");
        assert_eq!(ghost.commits(NodeId(2), 1, from_ref(&a)).map(|news| news.len()), Ok(0));
        broken(ghost.commits(NodeId(2), 1, &[entry(1, 1, "b")]), "StateMachineSafety");
        assert_eq!(ghost.leads(NodeId(3), 5, &sparse(&[again])), Ok(()));
        broken(ghost.leads(NodeId(3), 6, &sparse(&[])), "LeaderCompleteness");
    }

    #[test]
    fn a_read_sees_what_was_committed_when_it_was_asked() {
        let mut ghost = Ghost::default();
        ghost.asked(NodeId(1), 1, ReadId(1));
        ghost.commits(NodeId(1), 1, &[entry(1, 1, "a")]).expect("the first entry");
        assert_eq!(ghost.answered(NodeId(1), 1, ReadId(1), Index(0)), Ok(()), "asked before");
        broken(ghost.answered(NodeId(1), 1, ReadId(1), Index(1)), "twice");
        ghost.asked(NodeId(1), 1, ReadId(2));
        broken(ghost.answered(NodeId(1), 1, ReadId(2), Index(0)), "Linearizable reads");
    }
}
