//! `expect`: what a script asserts, and not only records.
//!
//! | command | demands |
//! |---|---|
//! | `expect leader 1` · `expect leader none` | exactly this node believes it leads, or none does |
//! | `expect leaders 1 2` | exactly these believe so |
//! | `expect follows 2 1` | node 2 knows node 1 as leader (`none`: nobody) |
//! | `expect round 2 5` | node 2 has promised round 5 |
//! | `expect vote 2 1` | node 2's promise names node 1 (`none`: nobody) |
//! | `expect joined 2 3` | node 2 has taken over the history of round 3's leader, durably |
//! | `expect commit 2 7` · `expect last 2 7` · `expect base 2 7` | these indexes of node 2 |
//! | `expect applied 2 a b` | the commands node 2 has applied, all of them in order |
//! | `expect terms 2 1 1 2` | the rounds of the entries in node 2's log |
//! | `expect durable 2 4` | node 2's disk has the log up to index 4 |
//! | `expect read 2 7 waiting` (`ready`, `served`, `failed`) | what became of node 2's read 7 |
//! | `expect dropped 2 3` | node 2 has refused three proposals in this life |
//! | `expect matched 1 2 5` · `expect next 1 2 6` | what leader 1 knows of, and sends next to, peer 2 |
//! | `expect members 2 1 2 4 from 1 2 3 learners 5` | the membership in force at node 2 (`nobody`: none is known) |
//! | `expect quiet` | nothing is under way |
//! | `expect same` | all nodes that run have applied the same, and committed and ended at the same index |
//! | `expect sent 3 1 Rejected` with `n=2` or `max=2` | how many messages of a kind have left node 3 for node 1 |

use quorate_protocol::{Consensus, EntryKind, NodeId, ReadId, Role, Status};

use crate::Dialect;
use crate::cluster::Cluster;
use crate::node::ReadState;
use crate::report::{show_data, show_membership};
use crate::script::{Failure, node, number};
use crate::verb::Pick;

/// Check a demand; the error says what is the case instead.
pub(crate) fn expect<D: Dialect>(cluster: &Cluster<D>, words: &[String], pick: &Pick) -> Result<(), Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (is, want) = match words.as_slice() {
        ["leader", "none"] | ["leaders"] => (ids(&cluster.leaders()), String::new()),
        ["leader", one] => (ids(&cluster.leaders()), (*one).into()),
        ["leaders", all @ ..] => (ids(&cluster.leaders()), all.join(" ")),
        ["quiet"] => (format!("{:?}", cluster.network.busy()), "[]".into()),
        ["same"] => return same(cluster),
        ["sent", from, to, kind] => return sent(cluster, from, to, kind, pick),
        ["durable", id, index] => {
            let id = node(cluster, id.parse()?)?;
            (cluster.nodes[&id].disk.log.last().index.to_string(), (*index).into())
        }
        ["joined", id, round] => {
            let id = node(cluster, id.parse()?)?;
            (cluster.nodes[&id].disk.log.joined.round.to_string(), (*round).into())
        }
        [what, id, rest @ ..] => {
            let id = node(cluster, id.parse()?)?;
            (of_node(cluster, what, id, rest)?, wanted(what, rest))
        }
        _ => return Err(format!("unknown demand: {}", words.join(" ")).into()),
    };
    match is == want {
        true => Ok(()),
        false => Err(format!("expected {}, but it is '{is}'", words.join(" ")).into()),
    }
}

/// The part of a demand that is compared.
fn wanted(what: &str, rest: &[&str]) -> String {
    match what {
        "read" | "matched" | "next" => rest.get(1..).unwrap_or_default().join(" "),
        _ => rest.join(" "),
    }
}

fn of_node<D: Dialect>(
    cluster: &Cluster<D>,
    what: &str,
    id: NodeId,
    rest: &[&str],
) -> Result<String, Failure> {
    let host = &cluster.nodes[&id];
    let status = cluster.status(id).ok_or_else(|| format!("{id} is down"))?;
    let nobody = |id: Option<NodeId>| id.map_or("none".to_string(), |id| id.to_string());
    Ok(match what {
        "follows" => nobody(status.leader.filter(|_| status.role != Role::Leader)),
        "round" => status.promised.round.to_string(),
        "vote" => nobody(Some(status.promised.node).filter(|node| node.0 != 0)),
        "commit" => status.commit.to_string(),
        "members" => show_membership(&status.membership),
        "last" => status.last.index.to_string(),
        "base" => status.base.index.to_string(),
        "dropped" => host.dropped.to_string(),
        "applied" => applied(cluster, id),
        "terms" => {
            let core = host.core.as_ref().ok_or("the node is down")?;
            let entries = core.entries(status.base.index.next(), status.last.index);
            let terms: Vec<String> = entries.iter().map(|entry| entry.id.ballot.round.to_string()).collect();
            terms.join(" ")
        }
        "read" => {
            let read = ReadId(rest.first().ok_or("which read?")?.parse()?);
            let state = match host.reads.get(&read).ok_or("no such read")? {
                ReadState::Waiting => "waiting",
                ReadState::Ready(_) => "ready",
                ReadState::Served(_) => "served",
                ReadState::Failed => "failed",
            };
            state.into()
        }
        "matched" | "next" => progress(&status, what, rest)?,
        _ => return Err(format!("unknown demand: {what}").into()),
    })
}

fn progress(status: &Status, what: &str, rest: &[&str]) -> Result<String, Failure> {
    let peer = NodeId(rest.first().ok_or("of which peer?")?.parse()?);
    let known = status.peers.iter().find(|known| known.node == peer).ok_or("it knows of no such peer")?;
    Ok(if what == "next" { known.next } else { known.matched }.to_string())
}

fn ids(ids: &[NodeId]) -> String {
    ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}

fn applied<D: Dialect>(cluster: &Cluster<D>, id: NodeId) -> String {
    let entries = cluster.nodes[&id].state.entries.iter();
    let commands: Vec<String> =
        entries.filter(|entry| entry.kind == EntryKind::Command).map(show_data).collect();
    commands.join(" ")
}

fn same<D: Dialect>(cluster: &Cluster<D>) -> Result<(), Failure> {
    let look = |id: &NodeId| {
        let status = cluster.status(*id).expect("it runs");
        (status.commit, status.last, applied(cluster, *id))
    };
    let live = cluster.live();
    let looks: Vec<_> = live.iter().map(look).collect();
    match looks.iter().all(|look| *look == looks[0]) {
        true => Ok(()),
        false => Err(format!("expected all to be the same, but they are {looks:?}").into()),
    }
}

fn sent<D: Dialect>(
    cluster: &Cluster<D>,
    from: &str,
    to: &str,
    kind: &str,
    pick: &Pick,
) -> Result<(), Failure> {
    let (from, to) = (node(cluster, from.parse()?)?, node(cluster, to.parse()?)?);
    let of_kind = |(&(f, t, k), &n): (&(NodeId, NodeId, &str), &usize)| {
        (f == from && t == to && k == kind).then_some(n as u64)
    };
    let is: u64 = cluster.sent.iter().find_map(of_kind).unwrap_or(0);
    let (n, max) = (number(pick, "n")?, number(pick, "max")?);
    if n.is_none() && max.is_none() {
        return Err("how many? n= or max=".into());
    }
    match n.is_none_or(|n| is == n) && max.is_none_or(|max| is <= max) {
        true => Ok(()),
        false => Err(format!("{from} has sent {to} {is} {kind}").into()),
    }
}
