//! `quorate member` and `quorate move-leader`: who is in the cluster, changing that, and who leads.
//!
//! Ids are hexadecimal, as everywhere in etcd's world. A change is sent to one endpoint only: whether a change whose
//! answer was lost has happened is seen by `member list`.

use std::fmt::Write;

use quorate_api::proto::etcdserverpb as pb;

use super::{print, request};
use crate::client::{self, ClientError, Cluster, Connection};

/// Show and change who is in the cluster
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Members {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Action {
    /// List the members
    List {
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Add a member; prints how to start it
    Add {
        /// The name it will have
        name: String,
        /// Where its peers will reach it, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        peer_urls: Vec<String>,
        /// It is to follow without a vote until it is promoted
        #[arg(long)]
        learner: bool,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Remove a member, for good
    Remove {
        /// Its id, as listed
        #[arg(value_parser = id)]
        member: u64,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Tell the others where a member has moved
    Update {
        /// Its id, as listed
        #[arg(value_parser = id)]
        member: u64,
        /// Where its peers reach it now, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        peer_urls: Vec<String>,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Give a learner that has caught up its vote
    Promote {
        /// Its id, as listed
        #[arg(value_parser = id)]
        member: u64,
        #[command(flatten)]
        cluster: Cluster,
    },
}

/// Hand the leadership over to another voter
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MoveLeader {
    /// The id of the member that is to lead, as listed
    #[arg(value_parser = id)]
    member: u64,
    #[command(flatten)]
    cluster: Cluster,
}

fn id(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match u64::from_str_radix(digits, 16) {
        Ok(id) if id > 0 => Ok(id),
        _ => Err("not a member's id: write it in hexadecimal, as `member list` shows it".into()),
    }
}

impl Members {
    pub(crate) async fn run(self) -> Result<(), ClientError> {
        match self.action {
            Action::List { cluster } => list(&cluster).await,
            Action::Add { name, peer_urls, learner, cluster } => {
                add(&cluster, &name, peer_urls, learner).await
            }
            Action::Remove { member, cluster } => {
                let message = pb::MemberRemoveRequest { id: member };
                let connection = client::connect(&cluster.endpoints).await?;
                let answer = connection.cluster().member_remove(request(message)).await;
                say(member, "removed from", &connection, answer.map(|answer| answer.into_inner().header))
            }
            Action::Update { member, peer_urls, cluster } => {
                let message = pb::MemberUpdateRequest { id: member, peer_ur_ls: peer_urls };
                let connection = client::connect(&cluster.endpoints).await?;
                let answer = connection.cluster().member_update(request(message)).await;
                say(member, "updated in", &connection, answer.map(|answer| answer.into_inner().header))
            }
            Action::Promote { member, cluster } => {
                let message = pb::MemberPromoteRequest { id: member };
                let connection = client::connect(&cluster.endpoints).await?;
                let answer = connection.cluster().member_promote(request(message)).await;
                say(member, "promoted in", &connection, answer.map(|answer| answer.into_inner().header))
            }
        }
    }
}

type Header = Result<Option<pb::ResponseHeader>, tonic::Status>;

/// What happened to a member, in etcdctl's words.
fn say(member: u64, done: &str, connection: &Connection, header: Header) -> Result<(), ClientError> {
    let header = header.map_err(|status| connection.refused(&status))?;
    let cluster = header.ok_or_else(|| super::incomplete("header"))?.cluster_id;
    print(format!("Member {member:x} {done} cluster {cluster:x}\n").as_bytes())
}

async fn list(cluster: &Cluster) -> Result<(), ClientError> {
    let ask = |connection: Connection| async move {
        let message = pb::MemberListRequest { linearizable: true };
        connection.cluster().member_list(request(message)).await
    };
    let answer = client::read(&cluster.endpoints, ask).await?.into_inner();
    let lines: Vec<String> = answer.members.iter().map(line).collect();
    print(lines.concat().as_bytes())
}

/// A member as etcdctl prints it.
fn line(member: &pb::Member) -> String {
    let status = if member.client_ur_ls.is_empty() { "unstarted" } else { "started" };
    let (peers, clients) = (member.peer_ur_ls.join(","), member.client_ur_ls.join(","));
    format!("{:x}, {status}, {}, {peers}, {clients}, {}\n", member.id, member.name, member.is_learner)
}

async fn add(
    cluster: &Cluster,
    name: &str,
    peer_urls: Vec<String>,
    learner: bool,
) -> Result<(), ClientError> {
    let message = pb::MemberAddRequest { peer_ur_ls: peer_urls, is_learner: learner };
    let connection = client::connect(&cluster.endpoints).await?;
    let answer = connection.cluster().member_add(request(message)).await;
    let answer = answer.map_err(|status| connection.refused(&status))?.into_inner();
    let header = answer.header.ok_or_else(|| super::incomplete("header"))?;
    let member = answer.member.ok_or_else(|| super::incomplete("member"))?;
    print(how_to_start(name, &member, &answer.members, header.cluster_id).as_bytes())
}

/// What etcdctl prints after a member was added: settings that the new member takes from its environment.
fn how_to_start(name: &str, new: &pb::Member, all: &[pb::Member], cluster: u64) -> String {
    let mut listed = Vec::new();
    for member in all {
        let name = if member.id == new.id { name } else { &member.name };
        listed.extend(member.peer_ur_ls.iter().map(|url| format!("{name}={url}")));
    }
    let mut out = format!("Member {:x} added to cluster {cluster:x}\n\n", new.id);
    let _ = writeln!(out, "ETCD_NAME=\"{name}\"");
    let _ = writeln!(out, "ETCD_INITIAL_CLUSTER=\"{}\"", listed.join(","));
    let _ = writeln!(out, "ETCD_INITIAL_ADVERTISE_PEER_URLS=\"{}\"", new.peer_ur_ls.join(","));
    out.push_str("ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n");
    out
}

impl MoveLeader {
    /// Asks the one who leads: nobody else may.
    pub(crate) async fn run(self) -> Result<(), ClientError> {
        for endpoint in &self.cluster.endpoints {
            let Ok(connection) = Connection::open(endpoint).await else { continue };
            let status = connection.maintenance().status(request(pb::StatusRequest {})).await;
            let Ok(status) = status.map(tonic::Response::into_inner) else { continue };
            let own = status.header.as_ref().map_or(0, |header| header.member_id);
            if status.leader != own {
                continue;
            }
            let message = pb::MoveLeaderRequest { target_id: self.member };
            let answer = connection.maintenance().move_leader(request(message)).await;
            answer.map_err(|status| connection.refused(&status))?;
            let (from, to) = (own, self.member);
            return print(format!("Leadership transferred from {from:x} to {to:x}\n").as_bytes());
        }
        Err(ClientError::Input(
            "none of the endpoints leads; name that of the leader (see `quorate status`)".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!((id("8ddab73534be950c"), id("0x1F")), (Ok(0x8dda_b735_34be_950c), Ok(31)));
        for text in ["", "0", "-1", "xyz", "18ddab73534be950c"] {
            assert!(id(text).is_err(), "{text}");
        }
    }

    /// What etcdctl 3.5.1 printed for the same answer.
    #[test]
    fn a_new_member_is_told_how_to_start_in_etcdctls_words() {
        let member = |id, name: &str, port: u16| pb::Member {
            id,
            name: name.into(),
            peer_ur_ls: vec![format!("http://127.0.0.1:{port}")],
            client_ur_ls: Vec::new(),
            is_learner: false,
        };
        let all = [member(0x5d8a_666c_28b6_f4d5, "", 31390), member(0x8dda_b735_34be_950c, "a", 31380)];
        assert_eq!(
            how_to_start("b", &all[0], &all, 0x8c2f_f406_32fd_55ca),
            "Member 5d8a666c28b6f4d5 added to cluster 8c2ff40632fd55ca\n\nETCD_NAME=\"b\"\n\
             ETCD_INITIAL_CLUSTER=\"b=http://127.0.0.1:31390,a=http://127.0.0.1:31380\"\n\
             ETCD_INITIAL_ADVERTISE_PEER_URLS=\"http://127.0.0.1:31390\"\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n"
        );
        assert_eq!(line(&all[0]), "5d8a666c28b6f4d5, unstarted, , http://127.0.0.1:31390, , false\n");
    }
}
