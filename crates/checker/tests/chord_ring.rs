//! Rings that are fine, and each way in which one is not.

mod common;

use common::broken;
use quorate_checker::chord_ring::{Node, check, ideal, may_go};

fn node(id: u64, predecessor: u64, successors: &[u64]) -> Node {
    Node { id, member: true, alone: false, predecessor: Some(predecessor), successors: successors.to_vec() }
}

/// Ten, thirty, fifty, seventy, each with two successors, from one side of the seam to the other.
fn ring() -> Vec<Node> {
    vec![node(10, 70, &[30, 50]), node(30, 10, &[50, 70]), node(50, 30, &[70, 10]), node(70, 50, &[10, 30])]
}

#[test]
fn a_whole_ring_passes() {
    check(&ring(), 4).unwrap();
    assert!(ideal(&ring(), 2));
    assert!(!ideal(&ring(), 3), "lists could be longer");
    let mut with_newcomer = ring();
    with_newcomer.push(node(20, 10, &[30, 50]));
    check(&with_newcomer, 4).unwrap();
    assert!(!ideal(&with_newcomer, 2));
    with_newcomer.push(Node { member: false, successors: vec![], ..node(60, 1, &[]) });
    check(&with_newcomer, 4).unwrap();
    let alone = Node { alone: true, predecessor: None, ..node(5, 0, &[]) };
    check(std::slice::from_ref(&alone), 1).unwrap();
    assert!(ideal(&[alone], 2));
    check(&[], 0).unwrap();
}

#[test]
fn without_a_live_successor_it_is_broken() {
    let mut nodes = ring();
    nodes[0].successors = vec![31, 51];
    broken(check(&nodes, 1), "ChordRing", "10 has no live successor among [31, 51]");
}

#[test]
fn with_too_few_principals_it_is_broken() {
    let mut nodes = ring();
    nodes[0].successors = vec![50, 70];
    broken(check(&nodes, 4), "ChordRing", "3 principals, fewer than 4");
    check(&nodes, 3).unwrap();
}

#[test]
fn a_list_out_of_order_is_broken() {
    for list in [[50, 30], [30, 30], [30, 10]] {
        let mut nodes = ring();
        nodes[0].successors = list.to_vec();
        broken(check(&nodes, 1), "ChordRing", "the list of 10 is out of order");
    }
}

#[test]
fn two_rings_are_broken() {
    let nodes = [node(10, 50, &[50]), node(50, 10, &[10]), node(30, 70, &[70]), node(70, 30, &[30])];
    broken(check(&nodes, 0), "ChordRing", "leads to another ring");
}

#[test]
fn a_ring_that_goes_round_twice_is_broken() {
    let nodes = [node(10, 0, &[50]), node(50, 0, &[20]), node(20, 0, &[60]), node(60, 0, &[10])];
    broken(check(&nodes, 0), "ChordRing", "goes round 2 times");
}

#[test]
fn who_may_go_is_who_is_not_needed() {
    let nodes = ring();
    assert!(may_go(&nodes, 30, 3));
    assert!(!may_go(&nodes, 30, 4), "three are left");
    let mut waits = ring();
    waits[0].successors = vec![30];
    assert!(!may_go(&waits, 30, 3), "10 knows nobody else");
    assert!(may_go(&waits, 50, 3));
}
