//! How a node comes by its identity.
//!
//! One that has run before finds it in its log, and whatever the flags say of an initial cluster is ignored, as in etcd.
//! Otherwise there are three ways to begin:
//!
//! - *Founding* (`--initial-cluster-state=new`): the ids follow from the flags. A node that was there at the founding
//!   and comes back empty-handed must not found anew: it has forgotten what it promised. So it asks the others whether
//!   they have seen this member before, which etcd does too; nobody answers when a cluster is really being founded.
//! - *Joining* (`existing`): somebody has added this member. Those in `--initial-cluster` are asked who the members are,
//!   and this node finds itself among them by its peer URLs. It begins with nothing; a leader sends it the state.
//! - *Returning* (`--replace-lost-disk`): the peers are asked to put a new member in the place of this one.
//!
//! All questions are bounded in time, and nothing has been changed on disk when one fails.
//!
//! Source: etcd's `bootstrap.go` and `ValidateClusterAndAssignIDs`.

use std::path::Path;
use std::time::{Duration, Instant};

use quorate_kv::Member;
use quorate_wal::{RealDisk, Wal, WalError};
use quorate_wire::{Answer, Ask, Roster};

use crate::config::{ClusterState, Config, Url};
use crate::identity::{Founding, Identity};
use crate::members::same_urls;
use crate::opening::StartError;
use crate::peers::question;

/// How long a question to one peer may take.
const QUESTION: Duration = Duration::from_secs(1);

/// How long a replacement may take: it goes through the log.
const REPLACEMENT: Duration = Duration::from_secs(15);

/// How long somebody is sought who knows the cluster.
const SEARCH: Duration = Duration::from_secs(8);

/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(300);

/// How a node begins.
#[derive(Debug)]
pub enum Beginning {
    /// With what its directory holds.
    Restart(Identity),
    /// As one of those who found the cluster.
    Found(Founding),
    /// As a member that has been added, among these.
    Join(Identity, Roster),
}

/// Find out how to begin.
///
/// # Errors
/// The flags do not fit the cluster, or nobody answers who should.
pub fn begin(config: &Config, protocol: &str) -> Result<Beginning, StartError> {
    match identity_in(&config.data_dir, protocol) {
        Ok(Some(identity)) => return Ok(Beginning::Restart(identity)),
        Ok(None) => {}
        // With what cannot be read there is one thing left to do, if it is asked for.
        Err(StartError::Log(error)) if config.replace_lost_disk && is_damage(&error) => {}
        Err(error) => return Err(error),
    }
    // A first start that did not come far leaves a directory that looks as if the member had run.
    config.validate()?;
    if config.replace_lost_disk {
        return come_back(config, protocol);
    }
    let peers = Others { config, protocol };
    match config.initial_cluster_state {
        ClusterState::New => peers.found(),
        ClusterState::Existing => peers.join(),
    }
}

/// Whether a log is damaged beyond what it can recover from by itself.
pub fn is_damage(error: &WalError) -> bool {
    matches!(error, WalError::Damaged { .. } | WalError::Superblock { .. })
}

/// Whose data a directory holds, if it holds any; refused if another protocol wrote it.
fn identity_in(directory: &Path, protocol: &str) -> Result<Option<Identity>, StartError> {
    let log = directory.join("wal");
    if !log.exists() {
        return Ok(None);
    }
    let Some(found) = Wal::identity(&RealDisk::open(log)?)? else { return Ok(None) };
    if found.protocol != protocol {
        let (directory, ours) = (directory.to_owned(), protocol.to_owned());
        return Err(StartError::WrittenByOther { directory, theirs: found.protocol, ours });
    }
    Ok(Some(Identity { cluster: found.cluster, member: found.node }))
}

/// Ask those of the initial cluster who the members are, for a node that belongs to `identity` and has lost its own
/// record of them.
///
/// # Errors
/// Nobody answers who knows.
pub fn roster(config: &Config, protocol: &str, identity: Identity) -> Result<Roster, StartError> {
    let others = Others { config, protocol };
    others.search(|roster| {
        (roster.cluster == identity.cluster).then(|| roster.clone()).ok_or_else(|| {
            let (theirs, ours) = (roster.cluster, identity.cluster);
            format!("--initial-cluster leads to cluster {theirs:x}, this member belongs to {ours:x}")
        })
    })
}

/// Have the peers put a new member in the place of this one.
///
/// # Errors
/// They do not.
pub fn come_back(config: &Config, protocol: &str) -> Result<Beginning, StartError> {
    Others { config, protocol }.come_back()
}

/// The other members of the initial cluster.
struct Others<'a> {
    config: &'a Config,
    protocol: &'a str,
}

impl Others<'_> {
    fn urls(&self) -> Vec<&Url> {
        let others = self.config.initial_cluster.iter().filter(|(name, _)| *name != self.config.name);
        others.flat_map(|(_, urls)| urls).collect()
    }

    /// This member's peer URLs as the members table has them.
    fn own_urls(&self) -> Vec<String> {
        self.config.initial_advertise_peer_urls.iter().map(ToString::to_string).collect()
    }

    /// Put a question to all of them at once; the answers, or why there is none.
    fn ask_all(&self, ask: &Ask) -> Vec<Result<Answer, String>> {
        std::thread::scope(|scope| {
            let questions: Vec<_> = self
                .urls()
                .into_iter()
                .map(|url| scope.spawn(move || self.ask(url, ask, QUESTION)))
                .collect();
            questions
                .into_iter()
                .map(|question| question.join().unwrap_or_else(|_| Err("the question failed".into())))
                .collect()
        })
    }

    fn ask(&self, url: &Url, ask: &Ask, patience: Duration) -> Result<Answer, String> {
        let answer = question::ask(self.protocol, &url.authority(), ask, patience);
        answer.map_err(|error| format!("{url}: {error}"))
    }

    fn rosters(&self) -> (Vec<Roster>, Vec<String>) {
        let (mut rosters, mut refusals) = (Vec::new(), Vec::new());
        for answer in self.ask_all(&Ask::Members) {
            match answer {
                Ok(Answer::Members(roster)) if !roster.members.is_empty() => rosters.push(roster),
                Ok(_) => refusals.push("a peer knows no members yet".into()),
                Err(refusal) => refusals.push(refusal),
            }
        }
        // Who has seen more changes is nearer to the truth.
        rosters.sort_by_key(|roster| std::cmp::Reverse((roster.removed.len(), roster.members.len())));
        (rosters, refusals)
    }

    /// That they run what this node would run: its greetings would only be turned away, by all of them.
    fn check_protocol(&self, rosters: &[Roster]) -> Result<(), StartError> {
        match rosters.iter().find(|roster| roster.protocol != self.protocol) {
            Some(other) => Err(StartError::OtherProtocol {
                theirs: other.protocol.clone(),
                ours: self.protocol.to_owned(),
            }),
            None => Ok(()),
        }
    }

    fn found(&self) -> Result<Beginning, StartError> {
        let founding = Founding::of(self.config).expect("a valid configuration lists this member");
        let member = founding.identity.member;
        let (rosters, _) = self.rosters();
        self.check_protocol(&rosters)?;
        let started = |known: &Member| known.id == member && known.is_started();
        let removed = |roster: &Roster| roster.removed.contains(&member);
        let seen = |roster: &Roster| {
            roster.cluster == founding.identity.cluster
                && (roster.members.iter().any(started) || removed(roster))
        };
        if rosters.iter().any(seen) {
            return Err(StartError::Bootstrapped { member, directory: self.config.data_dir.clone() });
        }
        // etcd goes on here, with a cluster of its own that its peers do not listen to.
        match rosters.iter().find(|roster| roster.cluster != founding.identity.cluster) {
            Some(other) => Err(StartError::FoundedAlready { cluster: other.cluster }),
            None => Ok(Beginning::Found(founding)),
        }
    }

    /// Ask until `take` is content with somebody's answer.
    fn search<T>(&self, take: impl Fn(&Roster) -> Result<T, String>) -> Result<T, StartError> {
        let deadline = Instant::now() + SEARCH;
        loop {
            let (rosters, refusals) = self.rosters();
            self.check_protocol(&rosters)?;
            let mut why = None;
            for roster in &rosters {
                match take(roster) {
                    Ok(taken) => return Ok(taken),
                    Err(reason) => why = why.or(Some(reason)),
                }
            }
            if Instant::now() >= deadline || self.urls().is_empty() {
                return Err(match why {
                    Some(why) => StartError::NotAdded { why },
                    None => StartError::NoPeers { refusals },
                });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn join(&self) -> Result<Beginning, StartError> {
        let (identity, roster) = self.search(|roster| {
            let member = self.itself(roster)?;
            self.check_initial_cluster(roster)?;
            Ok((Identity { cluster: roster.cluster, member: member.id }, roster.clone()))
        })?;
        tracing::info!(member = identity.member, cluster = identity.cluster, "joining a cluster that exists");
        Ok(Beginning::Join(identity, roster))
    }

    /// This member among the others.
    fn itself<'r>(&self, roster: &'r Roster) -> Result<&'r Member, String> {
        let own = self.own_urls();
        let found = roster.members.iter().find(|member| same_urls(&member.peer_urls, &own));
        let found = found.ok_or_else(|| {
            format!("no member has the peer URLs {}: add it first, with `member add`", own.join(","))
        })?;
        match found.is_started() {
            false => Ok(found),
            true => Err(format!(
                "member {:x} has already been bootstrapped: it has these peer URLs and has run before; if its disk is \
                 lost, start it once with --replace-lost-disk",
                found.id
            )),
        }
    }

    /// As in etcd, the flags must name exactly the members there are.
    fn check_initial_cluster(&self, roster: &Roster) -> Result<(), String> {
        let mut unmatched: Vec<String> = self
            .config
            .initial_cluster
            .iter()
            .map(|(_, urls)| urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            .collect();
        if unmatched.len() != roster.members.len() {
            return Err(format!(
                "error validating peerURLs: member count is unequal: --initial-cluster lists {}, the cluster has {}; \
                 list those that `member list` shows",
                unmatched.len(),
                roster.members.len()
            ));
        }
        for member in &roster.members {
            let same = |listed: &String| {
                same_urls(&listed.split(',').map(str::to_owned).collect::<Vec<_>>(), &member.peer_urls)
            };
            match unmatched.iter().position(same) {
                Some(at) => drop(unmatched.swap_remove(at)),
                None => {
                    return Err(format!(
                        "error validating peerURLs: --initial-cluster does not list member {:x} ({}); list those that \
                         `member list` shows",
                        member.id,
                        member.peer_urls.join(",")
                    ));
                }
            }
        }
        Ok(())
    }

    fn come_back(&self) -> Result<Beginning, StartError> {
        let own = self.own_urls();
        let old = self.search(|roster| {
            let found = roster.members.iter().find(|member| same_urls(&member.peer_urls, &own));
            found.map(|member| member.id).ok_or_else(|| {
                format!("no member has the peer URLs {}: there is nothing to replace", own.join(","))
            })
        })?;
        let mut refusals = Vec::new();
        for url in self.urls() {
            match self.ask(url, &Ask::ReplaceLost { old, peer_urls: own.clone() }, REPLACEMENT) {
                Ok(Answer::Replaced { cluster, id }) => {
                    tracing::warn!("the lost member {old:x} comes back as {id:x}");
                    let identity = Identity { cluster, member: id };
                    let roster = self.search(|roster| {
                        let known = roster.members.iter().any(|member| member.id == id);
                        known.then(|| roster.clone()).ok_or_else(|| format!("nobody knows member {id:x} yet"))
                    })?;
                    return Ok(Beginning::Join(identity, roster));
                }
                Ok(Answer::Refused { why }) => refusals.push(format!("{url}: {why}")),
                Ok(_) => refusals.push(format!("{url}: it does not know how to replace a member")),
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(StartError::NotReplaced { refusals })
    }
}
