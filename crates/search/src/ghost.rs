//! What has been, as far as the properties need it: who led, and what was committed.
//!
//! These are history variables in the sense of the dissertation's TLA+ text: they are part of a world's
//! state, but no node sees them. Two worlds whose nodes are the same but whose pasts differ here are two
//! states.
//!
//! | property | checked |
//! |---|---|
//! | ElectionSafety | when somebody leads: nobody else has led that round |
//! | LeaderCompleteness | when somebody leads, and when something is committed: leaders of later rounds have it |
//! | StateMachineSafety | when something is committed: nothing else ever was, at its index |
//! | Durable commit | when something is committed: it is on the disks of a quorum |
//! | LogMatching | in every state: logs that share an entry share all before it |
//! | OneValuePerBallot | in every state, in place of that where slots are filled one by one: nodes that accepted under the same ballot accepted the same |
//!
//! Where an entry's ballot is rewritten in place, entries are numbered here by what they hold and where, without
//! their ballots, and a "round" is a ballot's rank ([`rank`](crate::node::rank)): several nodes may lead a round, each its own
//! ballot, and ElectionSafety says nothing.

use std::collections::BTreeSet;

/// An entry, by number.
pub(crate) type EntryNumber = u32;

/// What the properties ask of a node, beside its state.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which node.
    pub id: u64,
    /// Its log in memory, from index 1.
    pub log: Vec<EntryNumber>,
    /// The same with each entry's ballot, if entries are numbered without: index, ballot's rank, entry.
    pub accepted: Vec<(u64, u64, EntryNumber)>,
    /// Its log on disk.
    pub disk: Vec<EntryNumber>,
    /// The round it leads, or the rank of the ballot.
    pub leads: Option<u64>,
    /// It does what leaders do, though it may not count as one yet.
    pub tends: bool,
    /// The round it is in, or the rank of the ballot.
    pub round: u64,
    /// The round, in any case.
    pub limited: u64,
    /// The voters in force, in each configuration, as bits.
    pub quorums: Vec<u32>,
    /// Writes that are not durable.
    pub pending: usize,
    /// For a reader.
    pub told: String,
}

/// The past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// Round and leader.
    leaders: Vec<(u64, u64)>,
    /// The committed log, each entry with the round of the node that committed it first.
    committed: Vec<(EntryNumber, u64)>,
    /// What went wrong.
    pub wrong: Option<String>,
}

impl Ghost {
    /// A past in which these rounds were led by these nodes.
    pub fn after(leaders: impl Iterator<Item = (u64, u64)>) -> Self {
        let leaders: BTreeSet<(u64, u64)> = leaders.collect();
        Ghost { leaders: leaders.into_iter().collect(), ..Ghost::default() }
    }

    /// Something must not be. The first such thing counts.
    pub fn blame(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// A node leads a round.
    pub fn leads(&mut self, node: &Seen, round: u64, name: impl Fn(EntryNumber) -> String) {
        match self.leaders.iter().find(|(known, _)| *known == round) {
            Some(&(_, first)) if first != node.id => {
                self.blame(format!("ElectionSafety: {first} and {} both lead round {round}", node.id));
            }
            Some(_) => {}
            None => {
                self.leaders.push((round, node.id));
                self.leaders.sort_unstable();
            }
        }
        let missing = self.committed.iter().find(|(entry, by)| *by < round && !node.log.contains(entry));
        if let Some(&(entry, by)) = missing {
            self.blame(format!(
                "LeaderCompleteness: {} leads round {round} without {}, committed in round {by}",
                node.id,
                name(entry)
            ));
        }
    }

    /// A node commits the entry at `index`.
    pub fn commits(
        &mut self,
        by: usize,
        index: u64,
        entry: EntryNumber,
        nodes: &[&Seen],
        name: impl Fn(EntryNumber) -> String,
    ) {
        let (id, round) = (nodes[by].id, nodes[by].round);
        let at = index as usize - 1;
        if let Some(&(known, _)) = self.committed.get(at) {
            if known != entry {
                self.blame(format!(
                    "StateMachineSafety: at index {index} {} was committed, and {id} commits {}",
                    name(known),
                    name(entry)
                ));
            }
            return;
        }
        if at > self.committed.len() {
            return self.blame(format!("{id} commits {} before what precedes it", name(entry)));
        }
        self.committed.push((entry, round));
        let holding = nodes.iter().filter(|node| node.disk.contains(&entry)).map(|node| 1u32 << node.id);
        let holding: u32 = holding.sum();
        let majority = |voters: &u32| (voters & holding).count_ones() * 2 > voters.count_ones();
        if !nodes[by].quorums.iter().all(majority) {
            self.blame(format!(
                "Durable commit: {id} commits {} with {} disks holding it",
                name(entry),
                holding.count_ones()
            ));
        }
        let without =
            |node: &&&Seen| node.leads.is_some_and(|leads| leads > round) && !node.log.contains(&entry);
        if let Some(node) = nodes.iter().find(without) {
            self.blame(format!(
                "LeaderCompleteness: {id} commits {} in round {round}, {} leads round {} without it",
                name(entry),
                node.id,
                node.leads.unwrap_or(0)
            ));
        }
    }
}

/// Whether two logs that share an entry share all before it. Entries are numbered by their whole content, so
/// an entry with the same name but another value is found as well, by `same_name`.
pub(crate) fn logs_match(
    a: &[EntryNumber],
    b: &[EntryNumber],
    same_name: impl Fn(EntryNumber, EntryNumber) -> bool,
) -> bool {
    let shared = a.iter().zip(b).rposition(|(&a, &b)| a == b || same_name(a, b));
    shared.is_none_or(|last| a[..=last] == b[..=last])
}

/// Whether two nodes that accepted an entry in the same place under the same ballot accepted the same.
pub(crate) fn ballots_agree(a: &Seen, b: &Seen) -> bool {
    let contradicts = |(index, ballot, entry): &(u64, u64, EntryNumber)| {
        let same = |other: &&(u64, u64, EntryNumber)| (other.0, other.1) == (*index, *ballot);
        b.accepted.iter().find(same).is_some_and(|other| other.2 != *entry)
    };
    !a.accepted.iter().any(contradicts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: u64, round: u64, leads: bool, log: &[u32]) -> Seen {
        Seen {
            id,
            log: log.to_vec(),
            accepted: Vec::new(),
            disk: log.to_vec(),
            leads: leads.then_some(round),
            tends: leads,
            round,
            limited: round,
            quorums: vec![0b1110],
            pending: 0,
            told: String::new(),
        }
    }

    fn name(entry: u32) -> String {
        format!("e{entry}")
    }

    #[track_caller]
    fn wrong(ghost: &Ghost, property: &str) {
        assert!(ghost.wrong.as_ref().is_some_and(|what| what.starts_with(property)), "{:?}", ghost.wrong);
    }

    #[test]
    fn one_leader_to_a_round() {
        let mut ghost = Ghost::default();
        ghost.leads(&seen(1, 2, true, &[]), 2, name);
        ghost.leads(&seen(1, 2, true, &[]), 2, name);
        assert_eq!(ghost.wrong, None);
        ghost.leads(&seen(2, 2, true, &[]), 2, name);
        wrong(&ghost, "ElectionSafety");
    }

    #[test]
    fn leaders_have_what_was_committed_before() {
        let nodes = [seen(1, 1, true, &[7]), seen(2, 1, false, &[7]), seen(3, 1, false, &[])];
        let all: Vec<&Seen> = nodes.iter().collect();
        let mut ghost = Ghost::default();
        ghost.commits(0, 1, 7, &all, name);
        assert_eq!(ghost.wrong, None);
        let mut complete = ghost.clone();
        complete.leads(&seen(2, 2, true, &[7]), 2, name);
        assert_eq!(complete.wrong, None);
        ghost.leads(&seen(3, 2, true, &[]), 2, name);
        wrong(&ghost, "LeaderCompleteness");
        // The other way round: committed by an old leader while a later one lacks it.
        let nodes = [seen(1, 1, true, &[7]), seen(2, 1, false, &[7]), seen(3, 2, true, &[])];
        let mut ghost = Ghost::default();
        ghost.commits(0, 1, 7, &nodes.iter().collect::<Vec<_>>(), name);
        wrong(&ghost, "LeaderCompleteness");
    }

    #[test]
    fn what_is_committed_stays_and_is_on_a_quorum_of_disks() {
        let nodes = [seen(1, 1, true, &[7]), seen(2, 1, false, &[7]), seen(3, 1, false, &[])];
        let all: Vec<&Seen> = nodes.iter().collect();
        let mut ghost = Ghost::default();
        ghost.commits(0, 1, 7, &all, name);
        ghost.commits(1, 1, 7, &all, name);
        assert_eq!(ghost.wrong, None);
        let mut other = ghost.clone();
        other.commits(1, 1, 8, &all, name);
        wrong(&other, "StateMachineSafety");
        ghost.commits(0, 2, 9, &all, name);
        wrong(&ghost, "Durable commit");
        let mut early = Ghost::default();
        early.commits(0, 2, 7, &all, name);
        wrong(&early, "1 commits e7 before");
    }

    #[test]
    fn a_ballot_has_one_value_in_each_place() {
        let with =
            |accepted: &[(u64, u64, u32)]| Seen { accepted: accepted.to_vec(), ..seen(1, 1, false, &[]) };
        let a = with(&[(1, 17, 5), (2, 17, 6)]);
        assert!(ballots_agree(&a, &with(&[(1, 17, 5), (2, 33, 7)])));
        assert!(!ballots_agree(&a, &with(&[(2, 17, 7)])));
    }

    #[test]
    fn logs_that_share_an_entry_share_what_precedes_it() {
        let never = |_, _| false;
        assert!(logs_match(&[1, 2], &[1, 3], never) && logs_match(&[1], &[2, 3], never));
        assert!(!logs_match(&[1, 2], &[3, 2], never));
        assert!(!logs_match(&[1, 2], &[1, 3], |a, b| (a, b) == (2, 3)), "one name, two values");
    }
}
