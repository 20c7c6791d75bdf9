//! Who belongs to the cluster, as this node acts on it.
//!
//! Two things are replicated: the *members table*, which Cluster's requests change and which says who ought to vote and
//! to learn, and the *membership*, the configuration in force in the consensus core. A [`Roll`] holds the last of both
//! that this node has applied, and what it saw of its core at the last look. From these follow
//!
//! - to whom there are links ([`Shared::follow_peers`]): everybody in the table, and whoever the core still has to do
//!   with;
//! - what a leader asks of its core: the membership that the table says ([`desired`]), until it is in force;
//! - when a request to change the members is answered: once the two agree ([`Shared::await_change`]);
//! - when this node is at its end: it has been removed, and either it has applied that or a peer says so.
//!
//! A node may lag behind, or have joined just now and know no table. What it has heard of others (hearsay), because it asked
//! before it joined or because they say so when they connect and when the table changes, gets it links to them until its
//! own table is there.
//!
//! A member that stands in for a lost disk is made a voter by the leader's node as soon as it has caught up ([`tend`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use quorate_api::ApiError;
use quorate_kv::{Command, Member, MemberChange, Members};
use quorate_protocol::{Index, LogId, Membership, NodeId, PeerStatus, Role, Status};
use quorate_wire::{Answer, Ask, Roster};
use tokio::sync::watch;

use crate::config::Url;
use crate::identity::member_id;
use crate::shared::Shared;

/// How often the leader's node looks after returning members.
const PACE: Duration = Duration::from_millis(250);

/// How long a member must have been connected to count as healthy, as in etcd.
const HEALTHY: Duration = Duration::from_secs(5);

/// How long a removed member goes on, so that its last answers get out (as in etcd).
const FAREWELL: Duration = Duration::from_secs(1);

/// What this node knows of who belongs to the cluster.
#[derive(Debug)]
pub struct Roll {
    known: RwLock<Known>,
    changed: watch::Sender<()>,
    /// It has been removed, and will end.
    removed: AtomicBool,
    /// It lacks entries that its disk has lost.
    repairing: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    /// As applied.
    table: Arc<Members>,
    /// The last configuration applied.
    applied: Membership,
    /// The configuration in force in the core, committed or not.
    in_force: Membership,
    /// When this node leads: how far the others are, and its own last entry.
    progress: Vec<PeerStatus>,
    last: LogId,
    hearsay: BTreeMap<NodeId, Vec<String>>,
}

impl Known {
    /// Whether the configuration is what the table says, settled and committed.
    fn agrees(&self) -> bool {
        self.applied == desired(&self.table, &self.applied)
    }

    /// Whether the change to what the table says has at least begun.
    fn tends(&self) -> bool {
        self.in_force.settled() == desired(&self.table, &self.in_force)
    }

    fn addresses(&self) -> BTreeMap<NodeId, Vec<String>> {
        let mut all = self.hearsay.clone();
        all.retain(|node, _| !self.table.is_removed(node.0));
        all.extend(self.table.iter().map(|member| (NodeId(member.id), addresses(member))));
        all
    }
}

/// The membership that a table says ought to be. Which quorums it has is not in the table: they stay as they are at
/// `present`, or become all voters where there are no longer as many.
pub fn desired(table: &Members, present: &Membership) -> Membership {
    let desired = Membership::new(table.voters().map(NodeId), table.learners().map(NodeId));
    let voters = u32::try_from(desired.voters().nodes().len()).unwrap_or(u32::MAX);
    desired.with_write_quorum(present.write_quorum().min(voters))
}

/// Where a member's peers dial it.
fn addresses(member: &Member) -> Vec<String> {
    let urls = member.peer_urls.iter().filter_map(|url| url.parse::<Url>().ok());
    urls.map(|url| url.authority()).collect()
}

/// Where the members of a roster are dialled.
pub fn hearsay(roster: &Roster) -> BTreeMap<NodeId, Vec<String>> {
    roster.members.iter().map(|member| (NodeId(member.id), addresses(member))).collect()
}

impl Roll {
    /// What was found at the start.
    pub fn new(table: Arc<Members>, applied: Membership, hearsay: BTreeMap<NodeId, Vec<String>>) -> Self {
        let known = Known { table, in_force: applied.clone(), applied, hearsay, ..Known::default() };
        Roll {
            known: RwLock::new(known),
            changed: watch::Sender::new(()),
            removed: AtomicBool::new(false),
            repairing: AtomicBool::new(false),
        }
    }

    /// The members, as applied.
    pub fn table(&self) -> Arc<Members> {
        Arc::clone(&self.known.read().table)
    }

    /// Whether the log lacks what its disk has lost and the peers have yet to bring.
    pub fn repairing(&self) -> bool {
        self.repairing.load(Ordering::Relaxed)
    }

    /// Whether this node has been removed, and is about to end.
    pub fn removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    /// The voter, other than `own`, that would be the best to lead: the one that has the most of the log.
    pub fn successor(&self, own: NodeId) -> Option<NodeId> {
        let known = self.known.read();
        let ought = |node: NodeId| known.table.get(node.0).is_some_and(|member| !member.is_learner);
        let votes = |peer: &&PeerStatus| {
            peer.node != own && peer.active && ought(peer.node) && known.in_force.votes(peer.node)
        };
        known.progress.iter().filter(votes).max_by_key(|peer| peer.matched).map(|peer| peer.node)
    }
}

impl Shared {
    /// The table or the configuration has been applied.
    pub fn members_applied(&self, table: &Arc<Members>, membership: &Membership, applied: Index) {
        let mut known = self.roll.known.write();
        known.table = Arc::clone(table);
        known.applied = membership.clone();
        known.hearsay.retain(|node, _| table.get(node.0).is_none());
        drop(known);
        self.consensus().stands(applied);
        self.members_changed();
        self.peers.introduce(self.roster());
        if table.is_removed(self.member())
            && !membership.is_joint()
            && !membership.contains(NodeId(self.member()))
        {
            self.end_removed();
        }
    }

    /// The core was looked at.
    pub fn core_seen(&self, status: &Status) {
        self.roll.repairing.store(status.repairing, Ordering::Relaxed);
        let mut known = self.roll.known.write();
        let same = known.in_force == status.membership;
        if !same {
            let now = &status.membership;
            let voters: Vec<String> =
                now.voters().nodes().iter().map(|node| format!("{:x}", node.0)).collect();
            let joint = now.is_joint();
            tracing::info!(
                ?voters,
                joint,
                write_quorum = now.write_quorum(),
                "another membership is in force"
            );
            known.in_force = now.clone();
        }
        known.last = status.last;
        known.progress.clear();
        if status.role == Role::Leader {
            known.progress.extend_from_slice(&status.peers);
        }
        drop(known);
        if !same {
            self.members_changed();
        }
    }

    fn members_changed(&self) {
        self.follow_peers();
        self.roll.changed.send_replace(());
    }

    /// Keep links to those whom this node has to do with.
    pub fn follow_peers(&self) {
        let known = self.roll.known.read();
        let mut wanted = known.addresses();
        // A removed member is spoken to until the configuration without it is settled.
        let busy: BTreeSet<NodeId> = known.in_force.nodes().union(&known.applied.nodes()).copied().collect();
        let removed = known.table.removed().iter().map(|&id| NodeId(id));
        let former: Vec<NodeId> = removed.filter(|node| !busy.contains(node)).collect();
        drop(known);
        let linked = self.peers.known();
        for (node, addresses) in linked.into_iter().filter(|(node, _)| busy.contains(node)) {
            wanted.entry(node).or_insert(addresses);
        }
        self.peers.follow(&wanted, former);
    }

    /// This member has been removed: end, once what is under way is answered.
    pub fn end_removed(&self) {
        if self.roll.removed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.roll.changed.send_replace(());
        tracing::warn!("this member has been removed from the cluster; it stops serving");
        let fatal = Arc::clone(&self.fatal);
        self.runtime.spawn(async move {
            tokio::time::sleep(FAREWELL).await;
            fatal.removed();
        });
    }

    /// Whether this member is a learner, as far as it knows.
    pub fn is_learner(&self) -> bool {
        self.roll.known.read().table.get(self.member()).is_some_and(|member| member.is_learner)
    }

    /// The members, for other nodes.
    pub fn roster(&self) -> Roster {
        let table = self.roll.table();
        Roster {
            cluster: self.identity.cluster,
            protocol: self.peers.protocol().to_owned(),
            leader: self.leadership.leader().unwrap_or(0),
            members: table.iter().cloned().collect(),
            removed: table.removed().iter().copied().collect(),
        }
    }

    /// Wait until the members are in force as the table says.
    ///
    /// A member that is `added` may be needed for that, as the second of two is, and it is started only once the answer
    /// is there: then it is enough that the change is on its way.
    ///
    /// # Errors
    /// They are not within the time a request may take.
    pub async fn await_change(&self, added: bool) -> Result<(), ApiError> {
        let mut changed = self.roll.changed.subscribe();
        let settled = || {
            let known = self.roll.known.read();
            known.agrees() || (added && known.tends()) || self.roll.removed()
        };
        let wait = changed.wait_for(|()| settled());
        match tokio::time::timeout(self.request_timeout(), wait).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ApiError::Stopped),
            Err(_) => Err(self.no_answer()),
        }
    }

    /// Change the members and wait until that is in force; all of them as they are then.
    ///
    /// # Errors
    /// The table's refusal, or why it was not carried out (or may not have been).
    pub async fn change_members(&self, change: MemberChange) -> Result<Vec<Member>, ApiError> {
        let added = matches!(change, MemberChange::Add { .. });
        let command = Command::Member(change);
        quorate_kv::validate(&command, self.config.max_txn_ops)?;
        let outcome = self.propose(&command).await?.outcome?;
        self.await_change(added).await?;
        match outcome {
            quorate_kv::Outcome::Members(members) => Ok(members),
            _ => Ok(self.roll.table().iter().cloned().collect()),
        }
    }

    /// Whether every other voter has been connected for a while.
    fn all_healthy(&self) -> bool {
        self.healthy_voters() == self.roll.table().voters().count()
    }

    /// Voters that have been connected for a while, this one included.
    fn healthy_voters(&self) -> usize {
        let since = |id: u64| self.peers.connected_since(NodeId(id));
        let healthy = |&id: &u64| {
            id == self.member() || since(id).is_some_and(|since: Instant| since.elapsed() >= HEALTHY)
        };
        self.roll.table().voters().filter(healthy).count()
    }

    /// etcd's check before a member is added: everybody is well. (Whether enough have started is checked as the
    /// change is applied; here only to refuse in etcd's order.)
    ///
    /// # Errors
    /// Somebody is not.
    pub fn check_add(&self, is_learner: bool) -> Result<(), ApiError> {
        if !self.config.strict_reconfig_check {
            return Ok(());
        }
        if !is_learner {
            let table = self.roll.table();
            let voters: Vec<&Member> = table.iter().filter(|member| !member.is_learner).collect();
            let started = voters.iter().filter(|member| member.is_started()).count();
            if (voters.len(), started) != (1, 1) && started <= voters.len().div_ceil(2) {
                return Err(ApiError::NotEnoughStarted);
            }
        }
        match self.all_healthy() {
            true => Ok(()),
            false => Err(ApiError::UnhealthyCluster),
        }
    }

    /// etcd's check before a member is removed: those that remain are a quorum that is well, unless the one removed is
    /// down anyway.
    ///
    /// # Errors
    /// They are not.
    pub fn check_remove(&self, id: u64) -> Result<(), ApiError> {
        let table = self.roll.table();
        let learner = table.get(id).is_some_and(|member| member.is_learner);
        if !self.config.strict_reconfig_check || learner {
            return Ok(());
        }
        let remain: Vec<&Member> =
            table.iter().filter(|member| !member.is_learner && member.id != id).collect();
        if remain.iter().filter(|member| member.is_started()).count() < remain.len() / 2 + 1 {
            return Err(ApiError::NotEnoughStarted);
        }
        let down = id != self.member() && self.peers.connected_since(NodeId(id)).is_none();
        let voters = table.voters().count();
        match down || self.healthy_voters() > 1 + (voters - 1) / 2 {
            true => Ok(()),
            false => Err(ApiError::UnhealthyCluster),
        }
    }

    /// Whether a member has caught up with the leader, by whoever leads.
    ///
    /// # Errors
    /// It has not, or nobody knows.
    pub async fn check_in_sync(&self, id: u64) -> Result<(), ApiError> {
        match self.ask_leader(&Ask::InSync { id }, |shared| shared.in_sync_here(id)).await? {
            Answer::InSync { ready: true } => Ok(()),
            Answer::InSync { ready: false } => Err(ApiError::LearnerNotReady),
            _ => Err(ApiError::MemberNotFound),
        }
    }

    /// Whether a member has nine tenths of the log (etcd's measure), if this node leads.
    pub fn in_sync_here(&self, id: u64) -> Answer {
        if !self.leadership.leads() {
            return Answer::NotLeader;
        }
        let known = self.roll.known.read();
        if known.table.get(id).is_none() {
            return Answer::NotFound;
        }
        let peer = known.progress.iter().find(|peer| peer.node.0 == id);
        let enough = |matched: u64| u128::from(matched) * 10 >= u128::from(known.last.index.0) * 9;
        Answer::InSync { ready: id == self.member() || peer.is_some_and(|peer| enough(peer.matched.0)) }
    }

    /// Give a member that lost its disk a new identity.
    pub async fn replace_lost(&self, old: u64, peer_urls: &[String]) -> Answer {
        match self.replace(old, peer_urls).await {
            Ok(id) => Answer::Replaced { cluster: self.identity.cluster, id },
            Err(why) => Answer::Refused { why },
        }
    }

    async fn replace(&self, old: u64, peer_urls: &[String]) -> Result<u64, String> {
        let not_now = |error: ApiError| {
            format!(
                "{}: a majority of the voters must be up for this; bring members back first",
                error.text()
            )
        };
        self.confirm_read().await.map_err(not_now)?;
        let table = self.roll.table();
        let same = |member: &&Member| same_urls(&member.peer_urls, peer_urls);
        let lost = table.get(old).filter(same).or_else(|| table.iter().find(same));
        let lost = lost.ok_or("no member has these peer URLs: add one with `member add`")?.id;
        if lost == self.member() || self.peers.reaches(NodeId(lost)) {
            return Err(format!("member {lost:x} is up and connected: stop it first"));
        }
        let urls: Vec<Url> = peer_urls.iter().filter_map(|url| url.parse::<Url>().ok()).collect();
        let taken = |id: u64| table.get(id).is_some() || table.is_removed(id);
        let new = (unix_seconds()..).map(|time| member_id(&urls, "", Some(time))).find(|&id| !taken(id));
        let new = new.expect("few ids are taken");
        let applied = self.propose(&Command::Member(MemberChange::Replace { old: lost, new })).await;
        let outcome = applied.map_err(not_now)?.outcome;
        outcome.map_err(|error| ApiError::from(error).text().to_owned())?;
        tracing::warn!("member {lost:x} lost its disk and comes back as {new:x}");
        Ok(new)
    }

    /// A peer says who the members are: there may be some that this node has not heard of yet.
    pub fn heard(&self, roster: &Roster) {
        if roster.cluster != self.identity.cluster {
            return;
        }
        let mut known = self.roll.known.write();
        let news: Vec<_> = hearsay(roster)
            .into_iter()
            .filter(|(node, at)| known.table.get(node.0).is_none() && known.hearsay.get(node) != Some(at))
            .collect();
        let any = !news.is_empty();
        known.hearsay.extend(news);
        drop(known);
        if any {
            self.follow_peers();
        }
    }

    /// Make voters of those that stand in for a lost disk and have caught up, if this node leads.
    async fn welcome(&self) {
        let table = self.roll.table();
        for member in table.iter().filter(|member| member.is_learner && member.is_returning) {
            let id = member.id;
            let ready = self.in_sync_here(id) == Answer::InSync { ready: true };
            if ready && self.peers.reaches(NodeId(id)) {
                match self.change_members(MemberChange::Promote { id, strict: false }).await {
                    Ok(_) => tracing::info!("member {id:x}, which came back after a lost disk, votes again"),
                    Err(error) => tracing::warn!("member {id:x} is not promoted yet: {}", error.text()),
                }
            }
        }
    }
}

/// Look after members that return, for as long as the node runs.
pub async fn tend(shared: Arc<Shared>) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        if shared.leadership.leads() {
            shared.welcome().await;
        }
    }
}
/// Whether two lists name the same URLs.
pub fn same_urls(a: &[String], b: &[String]) -> bool {
    let set = |urls: &[String]| urls.iter().cloned().collect::<BTreeSet<String>>();
    !a.is_empty() && set(a) == set(b)
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quorums_stay_as_they_are_while_there_are_as_many_voters() {
        let member = |id| Member { id, peer_urls: vec![format!("http://m{id}:1")], ..Member::default() };
        let table = |count| Members::founding((1..=count).map(member));
        let present = Membership::new((1..=5).map(NodeId), []).with_write_quorum(4);
        let wished = [5, 4, 3].map(|count| desired(&table(count), &present).write_quorum());
        assert_eq!(wished, [4, 4, 3]);
        assert_eq!(desired(&table(3), &Membership::new([NodeId(1)], [])).write_quorum(), 0);
    }
}
