//! A B+tree that can count: the order-statistic map from keys to what is known of them.
//!
//! etcd answers every range with the exact number of live keys in the span asked for, also when only a page
//! of it is returned (section 5.2 of our compatibility notes), so counting must not walk. Each inner node
//! keeps, per child, how many *live* keys lie below it; the count of a span is then the difference of two
//! ranks, each one descent. A second weight counts the *stale* keys, those with versions a compaction may
//! remove, so that a compaction finds its work without looking at every key.
//!
//! Keys are owned (`Box<[u8]>`): incoming keys are slices of network buffers far larger than themselves.
//!
//! Invariants, checked by [`CountedTree::check`] in tests:
//! 1. keys ascend strictly within a leaf and across leaves, and respect the separators above them;
//! 2. all leaves are at one depth; an inner node has at least two children, and only a root may be
//!    an empty leaf;
//! 3. a weight kept beside a child equals the sum of the weights below it.
//!
//! Nodes are filled to [`FANOUT`]. A split caused by an insertion at a node's very end leaves the old node
//! full, so ascending keys pack densely; in exchange nodes may be small, and a removal merges a node with
//! its neighbour as soon as both fit into one, or shares with it when they do not and the node is tiny.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

/// Most entries of a leaf, most children of an inner node.
const FANOUT: usize = 32;

/// What a value contributes to the counts above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// 1 when the key exists at the newest revision.
    pub live: u32,
    /// 1 when the key has versions a compaction may have to remove.
    pub stale: u32,
}

impl Weight {
    /// Replace one part of a sum.
    fn shift(&mut self, before: Weight, after: Weight) {
        self.live = self.live + after.live - before.live;
        self.stale = self.stale + after.stale - before.stale;
    }

    fn sum(weights: impl Iterator<Item = Weight>) -> Weight {
        weights.fold(Weight::default(), |mut total, weight| {
            total.shift(Weight::default(), weight);
            total
        })
    }
}

/// A value with a weight.
pub trait Weigh {
    /// Its weight now.
    fn weight(&self) -> Weight;
}

/// Which entries a walk visits; subtrees without any are not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// All.
    Any,
    /// Those that count as live.
    Live,
    /// Those that count as stale.
    Stale,
}

impl Only {
    fn admits(self, weight: Weight) -> bool {
        match self {
            Only::Any => true,
            Only::Live => weight.live > 0,
            Only::Stale => weight.stale > 0,
        }
    }
}

/// The map. See the module's text.
#[derive(Clone, Debug)]
pub struct CountedTree<V> {
    root: Node<V>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node<V> {
    Leaf(Leaf<V>),
    Inner(Inner<V>),
}

#[derive(Clone, Debug)]
struct Leaf<V> {
    keys: Vec<Box<[u8]>>,
    values: Vec<V>,
}

#[derive(Clone, Debug)]
struct Inner<V> {
    /// `bounds[i]` is at most every key below `children[i + 1]` and greater than all below `children[i]`.
    bounds: Vec<Box<[u8]>>,
    children: Vec<Node<V>>,
    weights: Vec<Weight>,
}

/// The right half of a node that was split, with the bound that parts it from the left one.
struct Split<V> {
    bound: Box<[u8]>,
    right: Node<V>,
}

/// What an edit below did to the weights, and what it answered.
struct Edited<V, R> {
    before: Weight,
    after: Weight,
    split: Option<Split<V>>,
    answer: R,
}

/// Called for each entry of a walk; false ends it.
pub type Visit<'v, 'a, V> = dyn FnMut(&'a [u8], &'a V) -> bool + 'v;

impl<V: Weigh> CountedTree<V> {
    /// The empty map.
    pub fn new() -> Self {
        CountedTree { root: Node::Leaf(Leaf { keys: Vec::new(), values: Vec::new() }), len: 0 }
    }

    /// Entries, live or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The weight of everything.
    pub fn weight(&self) -> Weight {
        self.root.weight()
    }

    /// What is under `key`.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.children[inner.child_of(key)],
                Node::Leaf(leaf) => return leaf.find(key).ok().map(|at| &leaf.values[at]),
            }
        }
    }

    /// Edit what is under `key`, which is the default value if there was nothing.
    pub fn upsert<R>(&mut self, key: &[u8], edit: impl FnOnce(&mut V) -> R) -> R
    where
        V: Default,
    {
        let edited = self.root.upsert(key, &mut self.len, edit);
        if let Some(split) = edited.split {
            let left =
                mem::replace(&mut self.root, Node::Leaf(Leaf { keys: Vec::new(), values: Vec::new() }));
            let weights = [left.weight(), split.right.weight()].into();
            let (bounds, children) = ([split.bound].into(), [left, split.right].into());
            self.root = Node::Inner(Inner { bounds, children, weights });
        }
        edited.answer
    }

    /// Edit what is under `key`, if there is anything.
    pub fn change<R>(&mut self, key: &[u8], edit: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.root.change(key, edit).map(|edited| edited.answer)
    }

    /// Take out what is under `key`.
    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let removed = self.root.remove(key)?;
        self.len -= 1;
        if let Node::Inner(inner) = &mut self.root
            && inner.children.len() == 1
            && let Some(child) = inner.children.pop()
        {
            self.root = child;
        }
        Some(removed)
    }

    /// Live keys less than `key`.
    pub fn rank(&self, key: &[u8]) -> usize {
        let mut node = &self.root;
        let mut rank = 0;
        loop {
            match node {
                Node::Inner(inner) => {
                    let at = inner.child_of(key);
                    rank += inner.weights[..at].iter().map(|weight| weight.live as usize).sum::<usize>();
                    node = &inner.children[at];
                }
                Node::Leaf(leaf) => {
                    let at = leaf.find(key).unwrap_or_else(|at| at);
                    return rank + leaf.values[..at].iter().map(|v| v.weight().live as usize).sum::<usize>();
                }
            }
        }
    }

    /// Visit entries with keys from `from` on, ascending.
    pub fn ascend<'a>(&'a self, from: &[u8], only: Only, visit: &mut Visit<'_, 'a, V>) {
        self.root.ascend(Some(from), only, visit);
    }

    /// Visit entries with keys less than `before` (`None` is no bound), descending.
    pub fn descend<'a>(&'a self, before: Option<&[u8]>, only: Only, visit: &mut Visit<'_, 'a, V>) {
        self.root.descend(before, only, visit);
    }
}

impl<V: Weigh> Node<V> {
    fn weight(&self) -> Weight {
        match self {
            Node::Leaf(leaf) => Weight::sum(leaf.values.iter().map(Weigh::weight)),
            Node::Inner(inner) => Weight::sum(inner.weights.iter().copied()),
        }
    }

    /// Entries of a leaf, children of an inner node.
    fn size(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.len(),
            Node::Inner(inner) => inner.children.len(),
        }
    }

    fn upsert<R>(&mut self, key: &[u8], len: &mut usize, edit: impl FnOnce(&mut V) -> R) -> Edited<V, R>
    where
        V: Default,
    {
        match self {
            Node::Leaf(leaf) => leaf.upsert(key, len, edit),
            Node::Inner(inner) => {
                let at = inner.child_of(key);
                let mut edited = inner.children[at].upsert(key, len, edit);
                inner.weights[at].shift(edited.before, edited.after);
                if let Some(split) = edited.split.take() {
                    edited.split = inner.adopt(at, split);
                }
                edited
            }
        }
    }

    fn change<R>(&mut self, key: &[u8], edit: impl FnOnce(&mut V) -> R) -> Option<Edited<V, R>> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.find(key).ok()?;
                let before = leaf.values[at].weight();
                let answer = edit(&mut leaf.values[at]);
                Some(Edited { before, after: leaf.values[at].weight(), split: None, answer })
            }
            Node::Inner(inner) => {
                let at = inner.child_of(key);
                let edited = inner.children[at].change(key, edit)?;
                inner.weights[at].shift(edited.before, edited.after);
                Some(edited)
            }
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<V> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.find(key).ok()?;
                leaf.keys.remove(at);
                Some(leaf.values.remove(at))
            }
            Node::Inner(inner) => {
                let at = inner.child_of(key);
                let removed = inner.children[at].remove(key)?;
                inner.weights[at].shift(removed.weight(), Weight::default());
                inner.tend(at);
                Some(removed)
            }
        }
    }

    fn ascend<'a>(&'a self, from: Option<&[u8]>, only: Only, visit: &mut Visit<'_, 'a, V>) -> bool {
        match self {
            Node::Leaf(leaf) => {
                let first = from.map_or(0, |key| leaf.find(key).unwrap_or_else(|at| at));
                (first..leaf.keys.len()).all(|at| leaf.show(at, only, visit))
            }
            Node::Inner(inner) => {
                let first = from.map_or(0, |key| inner.child_of(key));
                (first..inner.children.len()).all(|at| {
                    let bound = if at == first { from } else { None };
                    !only.admits(inner.weights[at]) || inner.children[at].ascend(bound, only, visit)
                })
            }
        }
    }

    fn descend<'a>(&'a self, before: Option<&[u8]>, only: Only, visit: &mut Visit<'_, 'a, V>) -> bool {
        match self {
            Node::Leaf(leaf) => {
                let end = before.map_or(leaf.keys.len(), |key| leaf.find(key).unwrap_or_else(|at| at));
                (0..end).rev().all(|at| leaf.show(at, only, visit))
            }
            Node::Inner(inner) => {
                let last = before.map_or(inner.children.len() - 1, |key| inner.child_of(key));
                (0..=last).rev().all(|at| {
                    let bound = if at == last { before } else { None };
                    !only.admits(inner.weights[at]) || inner.children[at].descend(bound, only, visit)
                })
            }
        }
    }

    /// Part off the entries or children from `at` on.
    fn cut(&mut self, at: usize) -> Split<V> {
        match self {
            Node::Leaf(leaf) => leaf.cut(at),
            Node::Inner(inner) => inner.cut(at),
        }
    }

    /// Append all of `right`, which lies behind `bound`.
    fn append(&mut self, bound: Box<[u8]>, right: Node<V>) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(mut right)) => {
                left.keys.append(&mut right.keys);
                left.values.append(&mut right.values);
            }
            (Node::Inner(left), Node::Inner(mut right)) => {
                left.bounds.push(bound);
                left.bounds.append(&mut right.bounds);
                left.children.append(&mut right.children);
                left.weights.append(&mut right.weights);
            }
            _ => unreachable!("siblings are at one depth"),
        }
    }
}

impl<V: Weigh> Leaf<V> {
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.keys.binary_search_by(|probe| (**probe).cmp(key))
    }

    fn show<'a>(&'a self, at: usize, only: Only, visit: &mut Visit<'_, 'a, V>) -> bool {
        let value = &self.values[at];
        !only.admits(value.weight()) || visit(&self.keys[at], value)
    }

    fn upsert<R>(&mut self, key: &[u8], len: &mut usize, edit: impl FnOnce(&mut V) -> R) -> Edited<V, R>
    where
        V: Default,
    {
        match self.find(key) {
            Ok(at) => {
                let before = self.values[at].weight();
                let answer = edit(&mut self.values[at]);
                Edited { before, after: self.values[at].weight(), split: None, answer }
            }
            Err(at) => {
                let mut value = V::default();
                let answer = edit(&mut value);
                let after = value.weight();
                *len += 1;
                let split = self.insert(at, key.into(), value);
                Edited { before: Weight::default(), after, split, answer }
            }
        }
    }

    fn insert(&mut self, at: usize, key: Box<[u8]>, value: V) -> Option<Split<V>> {
        self.keys.insert(at, key);
        self.values.insert(at, value);
        let size = self.keys.len();
        if size <= FANOUT {
            return None;
        }
        Some(self.cut(if at + 1 == size { at } else { size / 2 }))
    }

    /// Part off the entries from `at` on.
    fn cut(&mut self, at: usize) -> Split<V> {
        let right = Leaf { keys: self.keys.split_off(at), values: self.values.split_off(at) };
        Split { bound: right.keys[0].clone(), right: Node::Leaf(right) }
    }
}

impl<V: Weigh> Inner<V> {
    /// The child `key` is or would be under.
    fn child_of(&self, key: &[u8]) -> usize {
        self.bounds.partition_point(|bound| **bound <= *key)
    }

    /// Take in the right half of the child at `at`; its weight still stands with the left half.
    fn adopt(&mut self, at: usize, split: Split<V>) -> Option<Split<V>> {
        let weight = split.right.weight();
        self.weights[at].shift(weight, Weight::default());
        self.bounds.insert(at, split.bound);
        self.children.insert(at + 1, split.right);
        self.weights.insert(at + 1, weight);
        let size = self.children.len();
        if size <= FANOUT {
            return None;
        }
        // At the end two children go to the right: one alone would have no bound.
        Some(self.cut(if at + 2 == size { size - 2 } else { size / 2 }))
    }

    /// Part off the children from `at` on.
    fn cut(&mut self, at: usize) -> Split<V> {
        let children = self.children.split_off(at);
        let weights = self.weights.split_off(at);
        let bounds = self.bounds.split_off(at);
        let bound = self.bounds.pop().expect("there are children on both sides of a cut");
        Split { bound, right: Node::Inner(Inner { bounds, children, weights }) }
    }

    /// Mend the child at `at`, which lost an entry: merge it with a neighbour if the two fit into one node,
    /// share with a neighbour if it has become very small.
    fn tend(&mut self, at: usize) {
        let size = self.children[at].size();
        if size > FANOUT / 2 || self.children.len() < 2 {
            return;
        }
        let fits = |other: usize| self.children.get(other).is_some_and(|node| node.size() + size <= FANOUT);
        let left = if fits(at + 1) {
            at
        } else if at > 0 && (fits(at - 1) || size < FANOUT / 4) {
            at - 1
        } else if size < FANOUT / 4 {
            at
        } else {
            return;
        };
        let bound = self.bounds.remove(left);
        let right = self.children.remove(left + 1);
        let weight = self.weights.remove(left + 1);
        self.weights[left].shift(Weight::default(), weight);
        self.children[left].append(bound, right);
        let merged = self.children[left].size();
        if merged > FANOUT {
            let split = self.children[left].cut(merged / 2);
            let overflow = self.adopt(left, split);
            debug_assert!(overflow.is_none(), "one child was taken out before one was added");
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
