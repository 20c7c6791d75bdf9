//! From versions to edges: which transaction must come before which.
//!
//! Every edge holds in every order of the transactions that explains what was read, so a cycle proves that there is none:
//!
//! - the versions of a chain are in its order;
//! - a transaction that reads a version and writes the key makes the *next* one, for nothing comes between its read and its write;
//! - what is in a list, but not in its longest read, comes after that read; what was written to a register comes after nothing.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::anomaly::{Anomaly, Kind};
use super::graph::{Graph, Mask, Why};
use super::history::{Name, Status};
use super::index::{Index, Key, Touch, Version, number};

/// The graph of a history, with the edges of time that are asked for.
pub(super) fn graph(index: &Index, anomalies: &mut Vec<Anomaly>, mask: Mask) -> Graph {
    let mut graph = Graph::new(index.history.len());
    for (at, key) in index.keys.iter().enumerate() {
        let mut edges = KeyEdges { index, key, at: number(at), next: BTreeMap::new(), graph: &mut graph };
        edges.next = edges.updates(anomalies);
        edges.of_chain();
        edges.of_others();
        edges.of_reads();
    }
    if mask.allows(&Why::Process) {
        processes(index, &mut graph);
    }
    if mask.allows(&Why::Time) {
        let all = (0..index.history.len()).filter(|at| index.happened[*at]);
        line(index, &mut graph, all.collect(), Why::Time);
    }
    graph
}

struct KeyEdges<'a, 'h> {
    index: &'a Index<'h>,
    key: &'a Key<'h>,
    at: u32,
    /// What came next after a version, by those who read that version and then wrote.
    next: BTreeMap<Version, Touch>,
    graph: &'a mut Graph,
}

impl KeyEdges<'_, '_> {
    fn updates(&self, anomalies: &mut Vec<Anomaly>) -> BTreeMap<Version, Touch> {
        let mut next: BTreeMap<Version, Touch> = BTreeMap::new();
        for touch in self.key.touches.iter().filter(|touch| touch.last.is_some()) {
            let Some(seen) = touch.seen else { continue };
            if let Some(other) = next.get(&seen) {
                let txn = |touch: &Touch| &self.index.history[touch.by as usize];
                let (name, one, two) = (Name(self.key.name), txn(other), txn(touch));
                let what = format!("both read the same version of {name} and wrote it\n  {one}\n  {two}");
                anomalies.push(Anomaly::new(Kind::LostUpdate, what));
            } else {
                next.insert(seen, *touch);
            }
        }
        next
    }

    /// Who wrote a value, if that happened.
    fn writer(&self, value: u64) -> Option<u32> {
        let by = self.key.writes.get(&value)?.by;
        self.index.happened[by as usize].then_some(by)
    }

    fn placed(&self, value: u64) -> bool {
        self.key.writes.get(&value).is_some_and(|written| written.place.is_some())
    }

    /// The next of a version in the chain.
    fn in_chain_after(&self, version: Version) -> Option<u64> {
        let at = match version {
            None => 0,
            Some(value) => self.key.writes.get(&value)?.place? as usize + 1,
        };
        self.key.chain.get(at).copied()
    }

    fn ww(&mut self, before: u64, after: u64) {
        if let (Some(from), Some(to)) = (self.writer(before), self.writer(after)) {
            self.graph.edge(from, to, Why::Ww { key: self.at, before, after });
        }
    }

    fn of_chain(&mut self) {
        let known: Vec<u64> =
            self.key.chain.iter().copied().filter(|value| self.writer(*value).is_some()).collect();
        known.windows(2).for_each(|pair| self.ww(pair[0], pair[1]));
    }

    /// The version that everything of unknown place comes after.
    fn floor(&self) -> Version {
        self.key.chain.last().copied().filter(|_| self.key.list)
    }

    /// Writes of unknown place, by who did not read the key.
    fn of_others(&mut self) {
        let blind = |touch: &&Touch| touch.seen.is_none();
        let others: Vec<(u32, u64)> = (self.key.touches.iter().filter(blind))
            .filter_map(|touch| Some((touch.by, touch.last.filter(|last| !self.placed(*last))?)))
            .collect();
        let floor = self.floor();
        let mut base = floor;
        for _ in 0..self.next.len() {
            let Some(touch) = self.next.get(&base) else { break };
            base = touch.last;
        }
        if let Some(base) = base {
            others.iter().for_each(|(_, value)| self.ww(base, *value));
        }
        if let Some(floor) = floor {
            // A list's update has its place, but if it is not in the longest read it also comes after that.
            let firsts = self.next.values().filter_map(|touch| touch.first);
            let updates: Vec<u64> = firsts.filter(|first| !self.placed(*first)).collect();
            updates.into_iter().for_each(|first| self.ww(floor, first));
        }
        if others.is_empty() || self.next.contains_key(&floor) {
            return;
        }
        let helper = self.graph.helper();
        for (by, value) in others {
            self.graph.edge(helper, by, Why::After { key: self.at, value });
        }
        for touch in self.key.touches.iter().filter(|touch| touch.seen == Some(floor)) {
            self.graph.edge(touch.by, helper, Why::Rw { key: self.at, seen: floor, next: None });
        }
    }

    fn of_reads(&mut self) {
        for touch in &self.key.touches {
            let Some(seen) = touch.seen else { continue };
            if let Some(value) = seen
                && let Some(writer) = self.writer(value)
            {
                self.graph.edge(writer, touch.by, Why::Wr { key: self.at, value });
            }
            let updated = self.next.get(&seen).and_then(|update| update.first);
            let chained = self.in_chain_after(seen).filter(|next| Some(*next) != updated);
            for next in [updated, chained].into_iter().flatten() {
                if let Some(writer) = self.writer(next) {
                    self.graph.edge(touch.by, writer, Why::Rw { key: self.at, seen, next: Some(next) });
                }
            }
        }
    }
}

/// One line of time for each process. One of its transactions without a known end may take effect later than those after it.
fn processes(index: &Index, graph: &mut Graph) {
    let mut of: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for at in (0..index.history.len()).filter(|at| index.happened[*at]) {
        of.entry(index.history[at].process).or_default().push(at);
    }
    of.into_values().for_each(|own| line(index, graph, own, Why::Process));
}

/// A line of completions: who is completed leads to its place there, and the last place before a beginning leads on from it.
fn line(index: &Index, graph: &mut Graph, mut of: Vec<usize>, why: Why) {
    let mut ends = of.clone();
    ends.retain(|at| index.history[*at].status == Status::Committed);
    ends.sort_by_key(|at| index.history[*at].completed);
    of.sort_by_key(|at| index.history[*at].invoked);
    let (mut ends, mut last) = (ends.into_iter().peekable(), None);
    for at in of {
        while let Some(end) = ends.next_if(|end| index.history[*end].completed < index.history[at].invoked) {
            let place = graph.helper();
            if let Some(last) = last {
                graph.edge(last, place, why);
            }
            graph.edge(number(end), place, why);
            last = Some(place);
        }
        if let Some(last) = last {
            graph.edge(last, number(at), why);
        }
    }
}
