//! Phase 0: who ought to lead (fast leader election; Medeiros §3.4).
//!
//! A node that has not heard a leader for its timeout looks for one: it votes for itself and tells everybody. Whoever
//! hears no leader either joins the election, and whoever sees a better history (by currentEpoch, then last zxid, then node)
//! changes its vote and tells everybody. The one on whom a quorum agrees is elected. Three things differ from ZooKeeper's:
//! who joins an election because it was asked keeps the asker's vote if its own history is no better, rather than
//! standing itself, so that elections are mostly of one candidate; nobody waits for better votes after a quorum agrees; and
//! a node that follows somebody stays silent: who was elected answers itself.
//!
//! All this is an oracle. It may elect two, or somebody whose history is not the best; the next phases find out.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::core::{Out, Part, Zab};
use crate::message::{Body, History, State, Vote};
use crate::rules::Rules;

/// What a node knows while it looks.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Looking {
    /// Its vote; none if it lacks entries and has seen nobody who has them.
    pub vote: Option<Vote>,
    /// The others', in this round.
    pub votes: BTreeMap<NodeId, NodeId>,
    /// The leader asked for this election: it is not returned to meanwhile.
    pub transfer: bool,
    /// Ticks since the vote was last told.
    pub told: u32,
}

impl<R: Rules> Zab<R> {
    pub(crate) fn draw_timeout(&mut self) {
        self.timeout = R::timeout(self.config.election_ticks, &mut self.random);
    }

    pub(crate) fn tick(&mut self, out: Out) {
        self.leases.tick();
        self.elapsed += 1;
        self.reads.tick(self.config.election_ticks, out);
        if let Part::Leading(_) = self.part {
            return self.lead_on(out);
        }
        // To look for a leader is to vote for oneself, which a promise to a leader forbids like any other.
        if self.elapsed >= self.timeout && !self.leases.forbid(self.config.id) {
            return self.look(false, out);
        }
        match &mut self.part {
            Part::Looking(looking) => {
                looking.told += 1;
                if looking.told >= self.config.heartbeat_ticks {
                    looking.told = 0;
                    self.tell_vote(None, out);
                }
            }
            Part::Following(following) => {
                following.tick(self.config.heartbeat_ticks);
                if following.lacks(self.log.last().index) {
                    self.ask(out);
                }
            }
            _ => {}
        }
    }

    /// Whether this node may lead: it has everything it ever held, and its vote counts, or did in a membership that may still
    /// be in force elsewhere.
    pub(crate) fn may_campaign(&self) -> bool {
        let own = self.config.id;
        self.members.any_since(self.commit, |membership| membership.votes(own)) && self.may_stand()
    }

    fn own_vote(&self) -> Option<Vote> {
        self.may_campaign().then(|| Vote { node: self.config.id, history: self.history() })
    }

    /// Begin a round of election; `transfer` says that the leader asked for it.
    pub(crate) fn look(&mut self, transfer: bool, out: Out) {
        self.leave(out);
        let Some(vote) = self.own_vote() else { return };
        self.round = self.round.saturating_add(1);
        self.part = Part::Looking(Looking { vote: Some(vote), transfer, ..Looking::default() });
        if !R::asks_first() {
            return self.discover(out);
        }
        self.tell_vote(None, out);
        self.elect(out);
    }

    /// Follow and lead nobody.
    pub(crate) fn leave(&mut self, out: Out) {
        self.fail_reads(out);
        self.part = Part::Waiting;
        self.leader = None;
        self.elapsed = 0;
        self.unreachable = false;
        self.draw_timeout();
    }

    /// The connection to the leader was lost. Its process may have ended, which this tells at once while silence
    /// would tell it only after a timeout: unless two heartbeats' time brings word of it, look for another. That is
    /// harmless where only the connection is gone, for who hears the leader does not join.
    ///
    /// Everybody who is left notices at the same moment, so they take turns, a heartbeat apart, rather than draw.
    pub(crate) fn leader_unreachable(&mut self) {
        if R::asks_first() && !self.unreachable {
            self.unreachable = true;
            let before = |&node: &NodeId| node < self.config.id && Some(node) != self.leader;
            let turn = self.other_voters().iter().filter(|node| before(node)).count() as u32;
            let soon = self.config.heartbeat_ticks * (2 + turn) + 1;
            self.timeout = self.timeout.min(self.elapsed + soon);
        }
    }

    /// Tell the vote, to one or to all.
    fn tell_vote(&mut self, to: Option<NodeId>, out: Out) {
        let Part::Looking(Looking { vote: Some(vote), transfer, .. }) = &self.part else { return };
        let transfer = *transfer && vote.node == self.config.id;
        let body = Body::Notification { round: self.round, vote: *vote, state: State::Looking, transfer };
        match to {
            Some(to) => self.send(to, body, self.seq, out),
            None => {
                self.other_voters().into_iter().for_each(|to| self.send(to, body.clone(), self.seq, out));
            }
        }
    }

    /// Somebody's vote.
    pub(crate) fn notified(
        &mut self,
        from: NodeId,
        round: u64,
        (vote, state): (Vote, State),
        transfer: bool,
        out: Out,
    ) {
        if transfer && vote.node == from && self.yields_to(from, vote.history) {
            self.leave(out);
            self.round = self.round.max(round);
            self.part = Part::Looking(Looking { transfer: true, ..Looking::default() });
        }
        let content = self.is_content_without(from, round, vote);
        match &self.part {
            Part::Leading(leader) => {
                if leader.peers.contains_key(&from) && state == State::Looking {
                    self.ping_one(from, out);
                }
            }
            Part::Discovering(discovery) => {
                if !discovery.heard.contains_key(&from) && state == State::Looking {
                    let vote = Vote { node: self.config.id, history: self.history() };
                    let body = Body::Notification { round, vote, state: State::Elected, transfer: false };
                    self.send(from, body, self.seq, out);
                }
            }
            Part::Following(_) if content => {}
            Part::Waiting | Part::Looking(_) | Part::Following(_) => {
                self.take_part(from, round, vote, state == State::Elected, out);
            }
        }
    }

    /// Whether this follower has no need of an election that `asker` takes part in. Who follows one that was elected and has
    /// not been heard since stays silent too, unless somebody has begun a later round: were followers to tell of it, they would
    /// keep each other believing in one that has crashed.
    fn is_content_without(&self, asker: NodeId, round: u64, vote: Vote) -> bool {
        let Part::Following(following) = &self.part else { return false };
        if following.leader == asker {
            // It has not seen yet that it was elected.
            return vote.node == asker && !following.accepted;
        }
        let unheard = following.vote.is_some() && !following.accepted;
        let recently = self.elapsed < self.config.election_ticks && !self.unreachable;
        recently && !(unheard && round > self.round)
    }

    /// Whether to leave a leader that is heard because it hands over to `from`.
    fn yields_to(&self, from: NodeId, history: History) -> bool {
        let knows = R::may_lead(history, self.history());
        match &self.part {
            Part::Leading(leader) => knows && leader.transfer.is_to(from),
            Part::Following(following) => knows && following.leader != from,
            _ => false,
        }
    }

    /// Take part in an election.
    fn take_part(&mut self, from: NodeId, round: u64, vote: Vote, elected: bool, out: Out) {
        let by_request = matches!(&self.part, Part::Looking(looking) if looking.transfer);
        if self.leases.forbid(vote.node) && !by_request {
            return;
        }
        let joins = !matches!(self.part, Part::Looking(_));
        if joins {
            self.leave(out);
            self.part = Part::Looking(Looking::default());
        }
        if round < self.round && !joins && !elected {
            return self.tell_vote(Some(from), out);
        }
        let (own, history) = (self.own_vote(), self.history());
        let renewed = round > self.round || joins;
        self.round = self.round.max(round);
        let Part::Looking(looking) = &mut self.part else { return };
        if renewed {
            // Who is asked has nothing against the asker's vote if its own history is no better.
            looking.votes.clear();
            looking.vote = if joins { None } else { own };
        }
        looking.votes.insert(from, vote.node);
        let before = looking.vote;
        let better = match before {
            None => true,
            Some(mine) => (vote.history.rank(), vote.node) > (mine.history.rank(), mine.node),
        };
        if better && R::may_lead(vote.history, history) {
            looking.vote = Some(vote);
        }
        looking.vote = looking.vote.or(own);
        if looking.vote != before || renewed {
            looking.told = 0;
            let mine = looking.vote;
            self.tell_vote(None, out);
            if mine.is_some() && !self.other_voters().contains(&from) {
                self.tell_vote(Some(from), out);
            }
        }
        self.elect(out);
        if elected && vote.node == from && matches!(self.part, Part::Looking(_)) {
            self.follow_elected(vote, out);
        }
    }

    /// Whether a quorum agrees on somebody.
    pub(crate) fn elect(&mut self, out: Out) {
        let own = self.config.id;
        let Part::Looking(looking) = &self.part else { return };
        let mut candidates: Vec<NodeId> = looking.votes.values().copied().collect();
        candidates.extend(looking.vote.map(|vote| vote.node));
        candidates.sort_unstable();
        candidates.dedup();
        let votes_for = |node: NodeId, candidate: NodeId| match node == own {
            true => looking.vote.is_some_and(|vote| vote.node == candidate),
            false => looking.votes.get(&node) == Some(&candidate),
        };
        let agreed = |candidate: &&NodeId| self.membership().any_quorum(|node| votes_for(node, **candidate));
        let Some(&node) = candidates.iter().find(agreed) else { return };
        if node != own {
            // Its history matters only to the answers this node gives; that of the vote will do.
            let history = looking.vote.map(|vote| vote.history).unwrap_or_default();
            return self.follow_elected(Vote { node, history }, out);
        }
        if looking.vote.is_some_and(|vote| vote.node == own) && self.may_campaign() {
            self.discover(out);
        }
    }

    /// A node that was elected by a quorum is followed, and told so.
    fn follow_elected(&mut self, vote: Vote, out: Out) {
        let transfer = matches!(&self.part, Part::Looking(looking) if looking.transfer);
        self.follow(vote.node, Some(vote), transfer, out);
        self.ask(out);
    }
}
