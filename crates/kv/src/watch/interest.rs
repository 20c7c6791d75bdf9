//! Who wants to hear of a key: finding the watchers of an event without asking each.
//!
//! Watchers of single keys are in a map. Watchers of ranges are in a treap ordered by the range's start whose
//! nodes know the furthest end below them, so that the ranges around a key are found in logarithmic time and
//! a little for each. (A treap is a search tree that is also a heap by random priorities, which balance it;
//! Seidel and Aragon, 1996. The priorities come from a counter, so that runs repeat.) Equal ranges share a
//! node.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;
use core::mem;

use super::WatcherKey;
use crate::command::KeyRange;
use crate::span::{End, Span};

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Interests {
    single: BTreeMap<Bytes, BTreeSet<WatcherKey>>,
    ranges: Tree,
    /// Ranges ever added: the source of priorities.
    added: u64,
}

type Tree = Option<Box<Node>>;

#[derive(Clone, Debug)]
struct Node {
    bounds: Bounds,
    watchers: BTreeSet<WatcherKey>,
    priority: u64,
    /// The furthest end of this node and those below.
    furthest: Until,
    left: Tree,
    right: Tree,
}

/// A range as the treap orders it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bounds {
    start: Bytes,
    end: Until,
}

/// An exclusive end; the variants are declared in ascending order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Key(Bytes),
    Ever,
}

impl Until {
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Until::Key(end) => key < &**end,
            Until::Ever => true,
        }
    }
}

/// The bounds of a range, or nothing if it is a single key. Bytes are shared with `range`.
fn bounds(range: &KeyRange) -> Option<Bounds> {
    let end = match Span::from(range).end {
        End::Single => return None,
        End::Before(_) => Until::Key(range.end.clone()),
        End::Open => Until::Ever,
    };
    Some(Bounds { start: range.key.clone(), end })
}

/// A number without pattern for each counter value (the finalizer of splitmix64).
fn scatter(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Interests {
    /// Note that `who` watches `range`. The range's bytes are kept.
    pub fn add(&mut self, range: &KeyRange, who: WatcherKey) {
        match bounds(range) {
            None => {
                self.single.entry(range.key.clone()).or_default().insert(who);
            }
            Some(bounds) => {
                self.added += 1;
                insert(&mut self.ranges, bounds, who, scatter(self.added));
            }
        }
    }

    /// Forget that `who` watches `range`.
    pub fn remove(&mut self, range: &KeyRange, who: WatcherKey) {
        match bounds(range) {
            None => {
                if let Some(watchers) = self.single.get_mut(&range.key) {
                    watchers.remove(&who);
                    if watchers.is_empty() {
                        self.single.remove(&range.key);
                    }
                }
            }
            Some(bounds) => remove(&mut self.ranges, &bounds, who),
        }
    }

    /// How many interests there are. Asks everyone.
    pub fn len(&self) -> usize {
        fn below(tree: &Tree) -> usize {
            tree.as_ref().map_or(0, |node| below(&node.left) + below(&node.right) + node.watchers.len())
        }
        self.single.values().map(BTreeSet::len).sum::<usize>() + below(&self.ranges)
    }

    /// Add to `found` all who watch `key`, each once.
    pub fn watchers(&self, key: &[u8], found: &mut Vec<WatcherKey>) {
        if let Some(watchers) = self.single.get(key) {
            found.extend(watchers);
        }
        around(&self.ranges, key, found);
    }
}

impl Node {
    fn measure(&mut self) {
        let below = self.left.iter().chain(&self.right).map(|node| &node.furthest);
        self.furthest = below.chain([&self.bounds.end]).max().unwrap_or(&Until::Ever).clone();
    }
}

fn insert(tree: &mut Tree, bounds: Bounds, who: WatcherKey, priority: u64) {
    let Some(node) = tree else {
        let furthest = bounds.end.clone();
        let watchers = BTreeSet::from([who]);
        *tree = Some(Box::new(Node { bounds, watchers, priority, furthest, left: None, right: None }));
        return;
    };
    match bounds.cmp(&node.bounds) {
        Ordering::Equal => {
            node.watchers.insert(who);
        }
        Ordering::Less => {
            insert(&mut node.left, bounds, who, priority);
            node.measure();
            if node.left.as_ref().is_some_and(|left| left.priority > node.priority) {
                raise_left(node);
            }
        }
        Ordering::Greater => {
            insert(&mut node.right, bounds, who, priority);
            node.measure();
            if node.right.as_ref().is_some_and(|right| right.priority > node.priority) {
                raise_right(node);
            }
        }
    }
}

/// Rotate the left child above its parent.
fn raise_left(node: &mut Box<Node>) {
    if let Some(mut left) = node.left.take() {
        node.left = left.right.take();
        node.measure();
        mem::swap(node, &mut left);
        node.right = Some(left);
        node.measure();
    }
}

/// Rotate the right child above its parent.
fn raise_right(node: &mut Box<Node>) {
    if let Some(mut right) = node.right.take() {
        node.right = right.left.take();
        node.measure();
        mem::swap(node, &mut right);
        node.left = Some(right);
        node.measure();
    }
}

fn remove(tree: &mut Tree, bounds: &Bounds, who: WatcherKey) {
    let Some(node) = tree else { return };
    match bounds.cmp(&node.bounds) {
        Ordering::Less => remove(&mut node.left, bounds, who),
        Ordering::Greater => remove(&mut node.right, bounds, who),
        Ordering::Equal => {
            node.watchers.remove(&who);
            if node.watchers.is_empty() {
                *tree = join(node.left.take(), node.right.take());
                return;
            }
        }
    }
    node.measure();
}

/// One tree of two, everything in the left one being less.
fn join(left: Tree, right: Tree) -> Tree {
    match (left, right) {
        (None, tree) | (tree, None) => tree,
        (Some(mut left), Some(right)) if left.priority > right.priority => {
            left.right = join(left.right.take(), Some(right));
            left.measure();
            Some(left)
        }
        (left, Some(mut right)) => {
            right.left = join(left, right.left.take());
            right.measure();
            Some(right)
        }
    }
}

fn around(tree: &Tree, key: &[u8], found: &mut Vec<WatcherKey>) {
    let Some(node) = tree else { return };
    if !node.furthest.is_after(key) {
        return;
    }
    around(&node.left, key, found);
    if *node.bounds.start <= *key {
        if node.bounds.end.is_after(key) {
            found.extend(&node.watchers);
        }
        around(&node.right, key, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::StreamId;
    use alloc::vec;
    use proptest::prelude::*;

    fn check(tree: &Tree) -> usize {
        let Some(node) = tree else { return 0 };
        for child in [&node.left, &node.right].into_iter().flatten() {
            assert!(child.priority <= node.priority);
        }
        assert!(node.left.as_ref().is_none_or(|left| left.bounds < node.bounds));
        assert!(node.right.as_ref().is_none_or(|right| right.bounds > node.bounds));
        let mut measured = node.clone();
        measured.measure();
        assert_eq!(measured.furthest, node.furthest);
        1 + check(&node.left).max(check(&node.right))
    }

    fn ranges() -> impl Strategy<Value = KeyRange> {
        let key = prop::collection::vec(0..6u8, 1..3);
        let end = prop_oneof![Just(vec![]), Just(vec![0]), key.clone()];
        (key, end).prop_map(|(key, end)| KeyRange { key: key.into(), end: end.into() })
    }

    proptest! {
        #[test]
        fn finds_what_asking_everyone_finds(
            steps in prop::collection::vec((ranges(), 0..40i64, any::<bool>()), 1..120),
            probes in prop::collection::vec(prop::collection::vec(0..6u8, 1..3), 20),
        ) {
            let mut interests = Interests::default();
            let mut twin: BTreeMap<WatcherKey, KeyRange> = BTreeMap::new();
            for (range, id, add) in steps {
                let who = WatcherKey { stream: StreamId(0), id };
                if let Some(old) = twin.remove(&who) {
                    interests.remove(&old, who);
                }
                if add {
                    interests.add(&range, who);
                    twin.insert(who, range);
                }
                check(&interests.ranges);
            }
            for key in probes {
                let mut found = Vec::new();
                interests.watchers(&key, &mut found);
                found.sort_unstable();
                let expected: Vec<_> =
                    twin.iter().filter(|(_, range)| range.contains(&key)).map(|(who, _)| *who).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn ascending_ranges_stay_balanced() {
        let mut interests = Interests::default();
        for number in 0..4096u32 {
            let key = Bytes::copy_from_slice(&number.to_be_bytes());
            let range = KeyRange { key, end: Bytes::from_static(&[0]) };
            interests.add(&range, WatcherKey { stream: StreamId(0), id: i64::from(number) });
        }
        assert!(check(&interests.ranges) < 48);
    }
}
