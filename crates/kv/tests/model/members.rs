//! The naive twin of the members table: an unordered list and a history of what happened to each id, with etcd's
//! conditions written as its own functions are, by counting.

use quorate_kv::*;

#[derive(Clone, Debug, Default)]
pub struct Roster {
    pub members: Vec<Member>,
    pub gone: Vec<u64>,
}

impl Roster {
    fn find(&self, id: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    fn edit(&mut self, id: u64) -> Result<&mut Member, Error> {
        self.members.iter_mut().find(|member| member.id == id).ok_or(Error::MemberNotFound)
    }

    /// The members, ascending.
    pub fn sorted(&self) -> Vec<Member> {
        let mut all = self.members.clone();
        all.sort_by_key(|member| member.id);
        all
    }

    /// `nmembers` and `nstarted` of etcd, beginning at the counts given, and whether the second makes a quorum.
    fn quorum(&self, mut members: usize, mut started: usize, but: u64) -> (usize, usize, bool) {
        for member in self.members.iter().filter(|member| !member.is_learner && member.id != but) {
            members += 1;
            if !member.client_urls.is_empty() {
                started += 1;
            }
        }
        (members, started, started > members / 2)
    }

    fn free(&self, id: u64) -> Result<(), Error> {
        match self.find(id) {
            _ if self.gone.contains(&id) => Err(Error::MemberNotFound),
            _ if id == 0 => Err(Error::MemberExists),
            Some(_) => Err(Error::MemberExists),
            None => Ok(()),
        }
    }

    fn urls_free(&self, id: u64, urls: &[String]) -> Result<(), Error> {
        for url in urls {
            if self.members.iter().any(|member| member.id != id && member.peer_urls.contains(url)) {
                return Err(Error::PeerUrlExists);
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: u64) -> Result<(), Error> {
        let doomed = self.find(id).ok_or(Error::MemberNotFound)?;
        let voters = self.members.iter().filter(|member| !member.is_learner).count();
        if voters == 1 && !doomed.is_learner {
            return Err(Error::NotEnoughStarted);
        }
        self.members.retain(|member| member.id != id);
        self.gone.push(id);
        Ok(())
    }

    pub fn publish(&mut self, publish: &Publish) -> Result<(), Error> {
        let member = self.edit(publish.member)?;
        member.name = publish.name.clone();
        member.client_urls = publish.client_urls.clone();
        Ok(())
    }

    /// May leave half a change behind when it fails; the caller works on a copy.
    pub fn change(&mut self, change: &MemberChange) -> Result<(), Error> {
        match change.clone() {
            MemberChange::Add { id, peer_urls, is_learner, max_learners, strict } => {
                let (members, started, quorum) = self.quorum(1, 0, 0);
                if strict && !is_learner && !quorum && (members, started) != (2, 1) {
                    return Err(Error::NotEnoughStarted);
                }
                self.free(id)?;
                self.urls_free(id, &peer_urls)?;
                self.members.push(Member { id, peer_urls, is_learner, ..Member::default() });
                let learners = self.members.iter().filter(|member| member.is_learner).count();
                if is_learner && learners > max_learners as usize {
                    return Err(Error::TooManyLearners);
                }
            }
            MemberChange::Remove { id, strict } => {
                let voter = self.find(id).is_none_or(|member| !member.is_learner);
                let (members, _, quorum) = self.quorum(0, 0, id);
                if strict && voter && (members == 0 || !quorum) {
                    return Err(Error::NotEnoughStarted);
                }
                self.remove(id)?;
            }
            MemberChange::Update { id, peer_urls } => {
                self.edit(id)?.peer_urls = peer_urls.clone();
                self.urls_free(id, &peer_urls)?;
            }
            MemberChange::Promote { id, strict } => {
                let member = self.edit(id)?;
                if !member.is_learner {
                    return Err(Error::MemberNotLearner);
                }
                let (_, _, quorum) = self.quorum(1, 1, 0);
                if strict && !quorum {
                    return Err(Error::NotEnoughStarted);
                }
                let member = self.edit(id)?;
                member.is_learner = false;
                member.is_returning = false;
            }
            MemberChange::Replace { old, new } => {
                let mut member = self.find(old).ok_or(Error::MemberNotFound)?.clone();
                self.free(new)?;
                self.remove(old)?;
                member.id = new;
                member.client_urls.clear();
                member.is_returning |= !member.is_learner;
                member.is_learner = true;
                self.members.push(member);
            }
        }
        Ok(())
    }
}
