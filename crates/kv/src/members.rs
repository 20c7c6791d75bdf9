//! The members table: who belongs to the cluster, as the replicated state has it.
//!
//! etcd keeps the members beside the keys and changes them through the log like everything else; so does this.
//! The table says who *ought* to vote and who ought to learn. Which configuration of the consensus protocol is in
//! force is the log's own affair: the host of a leader compares the two and asks for a change until they agree.
//!
//! Source: etcd's `membership.RaftCluster`, its `ValidateConfigurationChange` and `IsReadyTo…` functions, and
//! section 10 of our compatibility notes. The order of checks is etcd's: it decides which of several errors a
//! client sees. What etcd checks before it proposes (`--strict-reconfig-check`, `--max-learners`) is carried in the
//! command and checked here, so that two changes proposed at once cannot both pass on what they saw before.
//! [`MemberChange::Replace`] is ours: it gives a member that lost its disk a new id, and with it a clean slate.
//!
//! Invariants:
//! 1. Members ascend by id; no id is 0, and none occurs twice or is also among the removed.
//! 2. A removed id never returns.
//! 3. Once there is a voter, there is one.
//! 4. A refused change leaves the table as it was.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Error;
use crate::command::{MemberChange, Publish};

/// A member as the replicated state knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id; never 0.
    pub id: u64,
    /// Its name; empty until it has started and published it.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; none until it has published them.
    pub client_urls: Vec<String>,
    /// It receives the log and has no vote.
    pub is_learner: bool,
    /// It stands in for a voter that lost its disk: it is to be promoted as soon as it has caught up, without an
    /// operator's asking.
    pub is_returning: bool,
}

impl Member {
    /// Whether it has ever published itself, which is etcd's sign that it has started.
    pub fn is_started(&self) -> bool {
        !self.client_urls.is_empty()
    }
}

/// The table. See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    list: Vec<Member>,
    removed: BTreeSet<u64>,
}

impl Members {
    /// The members a cluster begins with, in any order. Of two with one id the first counts, and id 0 is left out.
    pub fn founding(members: impl IntoIterator<Item = Member>) -> Self {
        let mut list: Vec<Member> = members.into_iter().filter(|member| member.id != 0).collect();
        list.sort_by_key(|member| member.id);
        list.dedup_by_key(|member| member.id);
        Members { list, removed: BTreeSet::new() }
    }

    /// The table of these members, ascending, and these removed ids; none if that breaks the first invariant.
    pub fn from_parts(list: Vec<Member>, removed: BTreeSet<u64>) -> Option<Self> {
        let ascending = list.windows(2).all(|pair| pair[0].id < pair[1].id);
        let sound = list.iter().all(|member| member.id != 0 && !removed.contains(&member.id));
        (ascending && sound).then_some(Members { list, removed })
    }

    /// The members, by id.
    pub fn iter(&self) -> core::slice::Iter<'_, Member> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none: the state has not been founded and nobody has been heard of.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A member.
    pub fn get(&self, id: u64) -> Option<&Member> {
        self.place(id).ok().map(|at| &self.list[at])
    }

    /// Whether a member had this id once and was removed.
    pub fn is_removed(&self, id: u64) -> bool {
        self.removed.contains(&id)
    }

    /// The ids of former members.
    pub fn removed(&self) -> &BTreeSet<u64> {
        &self.removed
    }

    /// The ids of those who ought to vote, ascending.
    pub fn voters(&self) -> impl Iterator<Item = u64> + '_ {
        self.list.iter().filter(|member| !member.is_learner).map(|member| member.id)
    }

    /// The ids of those who ought to learn, ascending.
    pub fn learners(&self) -> impl Iterator<Item = u64> + '_ {
        self.list.iter().filter(|member| member.is_learner).map(|member| member.id)
    }

    fn place(&self, id: u64) -> Result<usize, usize> {
        self.list.binary_search_by_key(&id, |member| member.id)
    }

    /// The place of a member that is to be changed.
    fn present(&self, id: u64) -> Result<usize, Error> {
        // etcd tells removed members from unknown ones, but not to clients.
        self.place(id).map_err(|_| Error::MemberNotFound)
    }

    /// Carry out a change.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then.
    pub fn change(&mut self, change: &MemberChange) -> Result<(), Error> {
        match change {
            MemberChange::Add { id, peer_urls, is_learner, max_learners, strict } => {
                if *strict && !is_learner && !self.may_add_voter() {
                    return Err(Error::NotEnoughStarted);
                }
                let at = self.vacancy(*id)?;
                self.check_urls(peer_urls, *id)?;
                if *is_learner && self.learners().count() as u64 >= u64::from(*max_learners) {
                    return Err(Error::TooManyLearners);
                }
                let (id, peer_urls, is_learner) = (*id, peer_urls.clone(), *is_learner);
                self.list.insert(at, Member { id, peer_urls, is_learner, ..Member::default() });
            }
            MemberChange::Remove { id, strict } => {
                let learner = self.get(*id).is_some_and(|member| member.is_learner);
                if *strict && !learner && !self.may_remove_voter(*id) {
                    return Err(Error::NotEnoughStarted);
                }
                self.remove(*id)?;
            }
            MemberChange::Update { id, peer_urls } => {
                let at = self.present(*id)?;
                self.check_urls(peer_urls, *id)?;
                self.list[at].peer_urls.clone_from(peer_urls);
            }
            MemberChange::Promote { id, strict } => {
                let at = self.present(*id)?;
                if !self.list[at].is_learner {
                    return Err(Error::MemberNotLearner);
                }
                if *strict && !self.may_promote() {
                    return Err(Error::NotEnoughStarted);
                }
                (self.list[at].is_learner, self.list[at].is_returning) = (false, false);
            }
            MemberChange::Replace { old, new } => self.replace(*old, *new)?,
        }
        Ok(())
    }

    /// What a member says of itself. One that is unknown is told so: it has been removed, or never was.
    pub(crate) fn publish(&mut self, publish: &Publish) -> Result<(), Error> {
        let at = self.present(publish.member)?;
        self.list[at].name.clone_from(&publish.name);
        self.list[at].client_urls.clone_from(&publish.client_urls);
        Ok(())
    }

    /// Where a new member goes.
    fn vacancy(&self, id: u64) -> Result<usize, Error> {
        if self.removed.contains(&id) {
            return Err(Error::MemberNotFound);
        }
        match self.place(id) {
            Err(at) if id != 0 => Ok(at),
            _ => Err(Error::MemberExists),
        }
    }

    /// That nobody but member `id` has one of these URLs.
    fn check_urls(&self, peer_urls: &[String], id: u64) -> Result<(), Error> {
        let mut others = self.list.iter().filter(|member| member.id != id);
        match others.any(|member| member.peer_urls.iter().any(|url| peer_urls.contains(url))) {
            true => Err(Error::PeerUrlExists),
            false => Ok(()),
        }
    }

    fn remove(&mut self, id: u64) -> Result<Member, Error> {
        let at = self.present(id)?;
        if self.voters().eq([id]) {
            return Err(Error::NotEnoughStarted);
        }
        self.removed.insert(id);
        Ok(self.list.remove(at))
    }

    fn replace(&mut self, old: u64, new: u64) -> Result<(), Error> {
        self.present(old)?;
        self.vacancy(new)?;
        let Member { name, peer_urls, is_learner, is_returning, .. } = self.remove(old)?;
        let is_returning = !is_learner || is_returning;
        let member =
            Member { id: new, name, peer_urls, client_urls: Vec::new(), is_learner: true, is_returning };
        // The old one's place is free again, so look anew.
        let at = self.place(new).unwrap_or_else(|at| at);
        self.list.insert(at, member);
        Ok(())
    }

    /// Voters, and those of them that have started; `but` is not counted.
    fn count(&self, but: Option<u64>) -> (usize, usize) {
        let voters = || self.list.iter().filter(|member| !member.is_learner && Some(member.id) != but);
        (voters().count(), voters().filter(|member| member.is_started()).count())
    }

    /// Whether a quorum would be started after a voter, not started yet, was added. From one to two always, which
    /// is how a cluster begins to grow.
    fn may_add_voter(&self) -> bool {
        let (voters, started) = self.count(None);
        (voters, started) == (1, 1) || started > voters.div_ceil(2)
    }

    /// Whether a quorum of those that remain has started.
    fn may_remove_voter(&self, id: u64) -> bool {
        let (voters, started) = self.count(Some(id));
        voters > 0 && started > voters / 2
    }

    /// Whether a quorum would be started with a learner, started itself, promoted.
    fn may_promote(&self) -> bool {
        let (voters, started) = self.count(None);
        started + 1 > voters.div_ceil(2)
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Member;
    type IntoIter = core::slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
