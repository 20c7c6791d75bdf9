//! Cycles, and their kinds.
//!
//! All cycles of a graph are within its strongly connected components (Tarjan 1972), of which a good history has none of more
//! than one node. In each component the worst kind is looked for first, by fewer kinds of edges: ww alone is G0; with
//! wr, G1c; with exactly one rw, G-single; with more that are never adjacent, a long fork; anything else is G2-item. Edges of
//! time are left out first: only what needs them is called so. Of each kind a short cycle is shown, by breadth-first search.
//!
//! That there is a cycle is always found; which kind it is called is subject to a limit of work, past which a component that
//! has only cycles with rw edges is called G2-item, the weakest claim.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use super::anomaly::{Kind, Time};
use super::graph::{Edge, Graph, Mask, Why};
use super::index::number;

/// Nodes looked at in search of a cycle's kind, in each component.
const WORK: usize = 3_000_000;

/// From how many nodes the shortest cycle is looked for.
const BEGINNINGS: usize = 64;

/// A cycle: nodes, each with the edge that leads to the next, the last's to the first.
pub(super) struct Cycle {
    pub kind: Kind,
    pub time: Time,
    pub steps: Vec<(u32, Edge)>,
}

/// The worst cycle of each component.
pub(super) fn find(graph: &Graph, time: Mask) -> Vec<Cycle> {
    let all: Vec<u32> = (0..number(graph.edges.len())).collect();
    let mut inside = vec![true; all.len()];
    let components = graph.components(&all, &inside, Mask::WW.and(Mask::WR).and(Mask::RW).and(time));
    inside.fill(false);
    let (stamp, from) = (vec![0; all.len()], vec![(0, 0); all.len()]);
    let mut search = Search { graph, inside, stamp, now: 0, from, work: 0 };
    let stages =
        [(Time::None, Mask::NONE), (Time::Process, time.within(Mask::PROCESS)), (Time::Realtime, time)];
    let mut found = Vec::new();
    for component in components {
        component.iter().for_each(|node| search.inside[*node as usize] = true);
        search.work = 0;
        let worst = stages.into_iter().find_map(|(time, mask)| {
            let (kind, steps) = search.worst(&component, mask)?;
            Some(Cycle { kind, time, steps })
        });
        found.extend(worst);
        component.iter().for_each(|node| search.inside[*node as usize] = false);
    }
    found
}

struct Search<'g> {
    graph: &'g Graph,
    /// Whether a node is in the component.
    inside: Vec<bool>,
    /// When a node was last reached, and from where, by which of its edges.
    stamp: Vec<u32>,
    now: u32,
    from: Vec<(u32, u32)>,
    work: usize,
}

type Steps = Vec<(u32, Edge)>;

/// A node, and whether it was reached by an rw edge.
type State = (u32, bool);

impl Search<'_> {
    fn worst(&mut self, component: &[u32], time: Mask) -> Option<(Kind, Steps)> {
        let (ww, wr) = (Mask::WW.and(time), Mask::WW.and(Mask::WR).and(time));
        let steps = self.cycle(component, ww).map(|steps| (Kind::G0, steps));
        let steps = steps.or_else(|| Some((Kind::G1c, self.cycle(component, wr)?)));
        steps.or_else(|| {
            let any = self.cycle(component, wr.and(Mask::RW))?;
            let single = self.through_rw(component, |search, node, edge| search.path(edge.to, node, wr));
            if let Some(steps) = single {
                return Some((Kind::GSingle, steps));
            }
            let apart = self.through_rw(component, |search, node, edge| search.apart(edge.to, node, wr));
            Some(apart.map_or((Kind::G2Item, any), |steps| (Kind::LongFork, steps)))
        })
    }

    /// A short cycle of these edges.
    fn cycle(&mut self, component: &[u32], mask: Mask) -> Option<Steps> {
        let components = self.graph.components(component, &self.inside, mask);
        let smallest = components.iter().min_by_key(|component| component.len())?;
        let mut best: Option<Steps> = None;
        for node in smallest.iter().take(BEGINNINGS) {
            for edge in &self.graph.edges[*node as usize] {
                if mask.allows(&edge.why)
                    && self.inside[edge.to as usize]
                    && (best.is_none() || self.work < WORK)
                    && let Some(rest) = self.path(edge.to, *node, mask)
                    && best.as_ref().is_none_or(|best| rest.len() + 1 < best.len())
                {
                    best = Some([vec![(*node, *edge)], rest].concat());
                }
            }
        }
        best
    }

    /// The shortest cycle through an rw edge whose rest this finds.
    fn through_rw(
        &mut self,
        component: &[u32],
        rest: impl Fn(&mut Self, u32, &Edge) -> Option<Steps>,
    ) -> Option<Steps> {
        let mut best: Option<Steps> = None;
        for node in component {
            for edge in &self.graph.edges[*node as usize] {
                let rw = matches!(edge.why, Why::Rw { .. }) && self.inside[edge.to as usize];
                if rw
                    && self.work < WORK
                    && let Some(rest) = rest(self, *node, edge)
                    && best.as_ref().is_none_or(|best| rest.len() + 1 < best.len())
                {
                    best = Some([vec![(*node, *edge)], rest].concat());
                }
            }
        }
        best
    }

    /// The shortest way by these edges.
    fn path(&mut self, from: u32, to: u32, mask: Mask) -> Option<Steps> {
        self.now += 1;
        self.stamp[from as usize] = self.now;
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                return Some(self.way_back(from, to));
            }
            self.work += 1;
            for (at, edge) in self.graph.edges[node as usize].iter().enumerate() {
                let next = edge.to as usize;
                if self.inside[next] && self.stamp[next] != self.now && mask.allows(&edge.why) {
                    self.stamp[next] = self.now;
                    self.from[next] = (node, number(at));
                    queue.push_back(edge.to);
                }
            }
        }
        None
    }

    fn way_back(&self, from: u32, to: u32) -> Steps {
        let (mut steps, mut at) = (Vec::new(), to);
        while at != from {
            let (node, edge) = self.from[at as usize];
            steps.push((node, self.graph.edges[node as usize][edge as usize]));
            at = node;
        }
        steps.reverse();
        steps
    }

    /// A way on which rw edges are never adjacent, that neither begins nor ends with one, and that meets no node twice.
    ///
    /// Breadth first over pairs of a node and whether it was reached by an rw edge. Such a search may find a walk that meets a node
    /// both ways; that is no cycle, and is not taken.
    fn apart(&mut self, from: u32, to: u32, others: Mask) -> Option<Steps> {
        let mut reached: BTreeMap<State, Option<(State, Edge)>> = [((from, true), None)].into();
        let mut queue = VecDeque::from([(from, true)]);
        while let Some((node, by_rw)) = queue.pop_front() {
            self.work += 1;
            for edge in self.graph.edges[node as usize].iter().filter(|edge| self.inside[edge.to as usize]) {
                let rw = matches!(edge.why, Why::Rw { .. });
                if if rw { by_rw } else { !others.allows(&edge.why) } {
                    continue;
                }
                // A helper is in the middle of an rw edge.
                let state = (edge.to, rw || by_rw && matches!(edge.why, Why::After { .. }));
                if reached.contains_key(&state) {
                    continue;
                }
                reached.insert(state, Some(((node, by_rw), *edge)));
                queue.push_back(state);
            }
        }
        let (mut steps, mut state) = (Vec::new(), (to, false));
        while let Some((before, edge)) = *reached.get(&state)? {
            steps.push((before.0, edge));
            state = before;
        }
        steps.reverse();
        let mut nodes: Vec<u32> = steps.iter().map(|(node, _)| *node).chain([to]).collect();
        nodes.sort_unstable();
        nodes.windows(2).all(|pair| pair[0] != pair[1]).then_some(steps)
    }
}
