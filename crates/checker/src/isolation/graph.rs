//! The graph of what must come before what, and its strongly connected components.
//!
//! Nodes are the transactions that happened, and helpers that keep the number of edges linear: one for each completion, in a
//! line along time, and again for each process; and one for each key that stands between those who read its last known version and those whose writes
//! came at an unknown place after it.

use alloc::vec;
use alloc::vec::Vec;

use super::index::Version;

/// Why something comes before something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It wrote an earlier version of the key.
    Ww { key: u32, before: u64, after: u64 },
    /// It wrote what the other read.
    Wr { key: u32, value: u64 },
    /// It read a version that the other's write came after. Without `next` the edge leads to a key's helper.
    Rw { key: u32, seen: Version, next: Option<u64> },
    /// From a key's helper.
    After { key: u32, value: u64 },
    /// The same process completed it before it invoked the other.
    Process,
    /// It was completed before the other was invoked.
    Time,
}

/// A set of kinds of edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask(u8);

impl Mask {
    pub const NONE: Mask = Mask(0);
    pub const WW: Mask = Mask(1);
    pub const WR: Mask = Mask(2);
    pub const RW: Mask = Mask(4);
    const AFTER: Mask = Mask(8);
    pub const PROCESS: Mask = Mask(16);
    pub const TIME: Mask = Mask(32);

    pub const fn and(self, other: Mask) -> Mask {
        Mask(self.0 | other.0)
    }

    pub const fn within(self, other: Mask) -> Mask {
        Mask(self.0 & other.0)
    }

    pub fn allows(self, why: &Why) -> bool {
        let kind = match why {
            Why::Ww { .. } => Mask::WW,
            Why::Wr { .. } => Mask::WR,
            Why::Rw { .. } => Mask::RW,
            Why::After { .. } => Mask::AFTER,
            Why::Process => Mask::PROCESS,
            Why::Time => Mask::TIME,
        };
        // A helper is reached by an rw edge only; who got there may go on.
        (self.0 | Mask::AFTER.0) & kind.0 != 0
    }
}

/// An edge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub to: u32,
    pub why: Why,
}

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub edges: Vec<Vec<Edge>>,
}

impl Graph {
    pub fn new(nodes: usize) -> Self {
        Graph { edges: vec![Vec::new(); nodes] }
    }

    /// A helper.
    pub fn helper(&mut self) -> u32 {
        self.edges.push(Vec::new());
        super::index::number(self.edges.len() - 1)
    }

    /// An edge, unless it leads back to where it begins.
    pub fn edge(&mut self, from: u32, to: u32, why: Why) {
        if from != to {
            self.edges[from as usize].push(Edge { to, why });
        }
    }

    /// The components of more than one node, by these edges, among these nodes. `inside` says which these are.
    ///
    /// Tarjan 1972, with a stack of its own.
    pub fn components(&self, nodes: &[u32], inside: &[bool], mask: Mask) -> Vec<Vec<u32>> {
        let mut search = Tarjan {
            graph: self,
            inside,
            mask,
            index: vec![0; self.edges.len()],
            low: vec![0; self.edges.len()],
            count: 0,
            path: Vec::new(),
            found: Vec::new(),
        };
        for node in nodes {
            if search.index[*node as usize] == 0 {
                search.visit(*node);
            }
        }
        search.found
    }
}

/// Index of a node whose component is done.
const DONE: u32 = u32::MAX;

struct Tarjan<'g> {
    graph: &'g Graph,
    inside: &'g [bool],
    mask: Mask,
    index: Vec<u32>,
    low: Vec<u32>,
    count: u32,
    path: Vec<u32>,
    found: Vec<Vec<u32>>,
}

impl Tarjan<'_> {
    fn visit(&mut self, root: u32) {
        let mut calls = vec![(root, 0)];
        self.enter(root);
        while let Some((node, next)) = calls.last_mut() {
            let at = *node as usize;
            if let Some(edge) = self.graph.edges[at].get(*next) {
                *next += 1;
                let to = edge.to as usize;
                if !self.inside[to] || !self.mask.allows(&edge.why) || self.index[to] == DONE {
                    continue;
                }
                if self.index[to] == 0 {
                    calls.push((edge.to, 0));
                    self.enter(edge.to);
                } else {
                    self.low[at] = self.low[at].min(self.index[to]);
                }
            } else {
                let node = *node;
                calls.pop();
                if let Some((caller, _)) = calls.last() {
                    let caller = *caller as usize;
                    self.low[caller] = self.low[caller].min(self.low[at]);
                }
                self.leave(node);
            }
        }
    }

    fn enter(&mut self, node: u32) {
        self.count += 1;
        self.index[node as usize] = self.count;
        self.low[node as usize] = self.count;
        self.path.push(node);
    }

    /// Takes the node's component off the path, if the node is the first of it.
    fn leave(&mut self, node: u32) {
        if self.low[node as usize] != self.index[node as usize] {
            return;
        }
        let first = self.path.iter().rposition(|other| *other == node).unwrap_or(0);
        let component = self.path.split_off(first);
        for member in &component {
            self.index[*member as usize] = DONE;
        }
        if component.len() > 1 {
            self.found.push(component);
        }
    }
}
