//! Flexible quorums: how many choose and how many elect is agreed on with the membership (Howard and others, "Flexible
//! Paxos", 2016). Scenario 31.

#[allow(dead_code)]
mod common;

use common::Spoken;
use quorate_golden::{Cluster, Detail, ReadState, Settings};
use quorate_protocol::{Event, Membership, NodeId, ReadId};

const ONE: NodeId = NodeId(1);

/// Five nodes of which node 1 leads, where so many choose.
fn five(write_quorum: u32) -> Cluster<Spoken> {
    let mut cluster = Cluster::new(Settings::new(5, 1, Detail::Silent));
    let all = cluster.ids();
    cluster.campaign(ONE);
    cluster.stabilize(&all);
    assert_eq!(cluster.leaders(), [ONE]);
    let target = Membership::new(all.clone(), []).with_write_quorum(write_quorum);
    cluster.step(ONE, Event::Change(target.clone()));
    pass(&mut cluster, 3);
    let status = cluster.status(ONE).expect("it runs");
    assert_eq!((status.membership, status.commit), (target, status.last.index), "by way of a joint one");
    cluster
}

fn pass(cluster: &mut Cluster<Spoken>, ticks: usize) {
    let live = cluster.live();
    for _ in 0..ticks {
        live.iter().for_each(|id| cluster.tick(*id));
        cluster.stabilize(&live);
    }
    assert_eq!(cluster.violation, None);
}

/// Whether a command proposed at node 1 is applied there soon.
fn serves(cluster: &mut Cluster<Spoken>, leader: NodeId) -> bool {
    let before = cluster.nodes[&leader].state.entries.len();
    cluster.propose(leader, vec!["x".into()]);
    pass(cluster, 5);
    cluster.nodes[&leader].state.entries.len() > before
}

fn crash(cluster: &mut Cluster<Spoken>, nodes: &[u64]) {
    nodes.iter().for_each(|id| cluster.crash(NodeId(*id)));
}

#[test]
fn two_of_five_choose_with_three_down_and_four_elect_with_one_down() {
    let mut cluster = five(2);
    crash(&mut cluster, &[3, 4, 5]);
    assert!(serves(&mut cluster, ONE));
    cluster.read(ONE, ReadId(1));
    pass(&mut cluster, 1);
    assert!(matches!(cluster.nodes[&ONE].reads[&ReadId(1)], ReadState::Served(_)), "a read needs no more");
    crash(&mut cluster, &[2]);
    assert!(!serves(&mut cluster, ONE), "one is not two");
    // Elections: of the five, four.
    let mut cluster = five(2);
    crash(&mut cluster, &[1, 2]);
    pass(&mut cluster, 200);
    assert_eq!(cluster.leaders(), [], "three do not meet every two");
    cluster.restart(NodeId(2));
    pass(&mut cluster, 100);
    let leader = cluster.leaders()[0];
    crash(&mut cluster, &[if leader == NodeId(2) { 3 } else { 2 }]);
    assert!(serves(&mut cluster, leader));
}

#[test]
fn four_of_five_choose_and_two_elect() {
    let mut cluster = five(4);
    crash(&mut cluster, &[5]);
    assert!(serves(&mut cluster, ONE));
    crash(&mut cluster, &[1, 4]);
    pass(&mut cluster, 100);
    let leader = cluster.leaders()[0];
    assert!(!serves(&mut cluster, leader), "two elect and cannot choose");
    crash(&mut cluster, &[2, 3]);
    cluster.restart(NodeId(2));
    cluster.restart(NodeId(4));
    cluster.restart(ONE);
    cluster.restart(NodeId(3));
    pass(&mut cluster, 100);
    let leader = cluster.leaders()[0];
    assert!(serves(&mut cluster, leader));
}

#[test]
fn quorums_change_as_voters_do() {
    let mut cluster = five(2);
    crash(&mut cluster, &[5]);
    let majority = Membership::new((1..=5).map(NodeId), []);
    cluster.step(ONE, Event::Change(majority.clone()));
    pass(&mut cluster, 3);
    assert_eq!(cluster.status(NodeId(2)).expect("it runs").membership, majority);
    crash(&mut cluster, &[1, 5]);
    pass(&mut cluster, 100);
    assert_eq!(cluster.leaders().len(), 1, "three of five elect again");
}
