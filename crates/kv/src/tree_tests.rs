//! The counted tree against a `BTreeMap` that counts by walking.

use super::*;
use alloc::collections::BTreeMap;
use alloc::string::String;
use proptest::prelude::*;

/// A value that says of itself whether it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    number: u32,
    live: bool,
    stale: bool,
}

impl Weigh for Cell {
    fn weight(&self) -> Weight {
        Weight { live: u32::from(self.live), stale: u32::from(self.stale) }
    }
}

impl<V: Weigh> CountedTree<V> {
    /// Every invariant of the module's text, or which one is broken.
    pub fn check(&self) -> Result<(), String> {
        let mut leaves = Vec::new();
        self.root.check(None, None, 0, true, &mut leaves)?;
        if leaves.iter().map(|(_, size)| size).sum::<usize>() != self.len {
            return Err("len is wrong".into());
        }
        if leaves.windows(2).any(|pair| pair[0].0 != pair[1].0) {
            return Err("leaves at different depths".into());
        }
        Ok(())
    }
}

impl<V: Weigh> Node<V> {
    fn check(
        &self,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
        depth: usize,
        root: bool,
        leaves: &mut Vec<(usize, usize)>,
    ) -> Result<(), String> {
        if self.size() > FANOUT {
            return Err("overfull node".into());
        }
        match self {
            Node::Leaf(leaf) => {
                leaves.push((depth, leaf.keys.len()));
                let sorted = leaf.keys.windows(2).all(|pair| pair[0] < pair[1]);
                let above = leaf.keys.iter().all(|key| low.is_none_or(|low| low <= &**key));
                let below = leaf.keys.iter().all(|key| high.is_none_or(|high| &**key < high));
                if !(sorted && above && below) {
                    return Err("keys out of order".into());
                }
                if leaf.keys.is_empty() && !root {
                    return Err("empty leaf".into());
                }
            }
            Node::Inner(inner) => {
                if inner.children.len() < 2 || inner.bounds.len() + 1 != inner.children.len() {
                    return Err("inner node with too few children or bounds".into());
                }
                for (at, child) in inner.children.iter().enumerate() {
                    if child.weight() != inner.weights[at] {
                        return Err("wrong weight".into());
                    }
                    let low = if at == 0 { low } else { Some(&*inner.bounds[at - 1]) };
                    let high = inner.bounds.get(at).map(|bound| &**bound).or(high);
                    child.check(low, high, depth + 1, false, leaves)?;
                }
            }
        }
        Ok(())
    }
}

fn key(number: u16) -> Vec<u8> {
    alloc::format!("key/{number:05}").into_bytes()
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, Cell),
    Change(u16, Cell),
    Remove(u16),
    /// Put a whole run of ascending keys, which exercises the uneven split.
    Run(u16, u16),
    /// Remove a whole run, which exercises merging up to the root.
    Clear(u16, u16),
}

fn cells() -> impl Strategy<Value = Cell> {
    (0..1000u32, any::<bool>(), any::<bool>()).prop_map(|(number, live, stale)| Cell { number, live, stale })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..2000u16;
    let step = prop_oneof![
        6 => (id.clone(), cells()).prop_map(|(id, cell)| Step::Put(id, cell)),
        2 => (id.clone(), cells()).prop_map(|(id, cell)| Step::Change(id, cell)),
        3 => id.clone().prop_map(Step::Remove),
        2 => (id.clone(), 1..400u16).prop_map(|(id, run)| Step::Run(id, run)),
        1 => (id, 1..600u16).prop_map(|(id, run)| Step::Clear(id, run)),
    ];
    prop::collection::vec(step, 1..60)
}

fn run(tree: &mut CountedTree<Cell>, twin: &mut BTreeMap<Vec<u8>, Cell>, step: &Step) {
    match *step {
        Step::Put(id, cell) => {
            tree.upsert(&key(id), |slot| *slot = cell);
            twin.insert(key(id), cell);
        }
        Step::Change(id, cell) => {
            let changed = tree.change(&key(id), |slot| *slot = cell).is_some();
            let slot = twin.get_mut(&key(id));
            assert_eq!(changed, slot.is_some());
            if let Some(slot) = slot {
                *slot = cell;
            }
        }
        Step::Remove(id) => assert_eq!(tree.remove(&key(id)), twin.remove(&key(id))),
        Step::Run(from, run) => {
            for id in from..from + run {
                let cell = Cell { number: u32::from(id), live: id % 3 != 0, stale: id % 5 == 0 };
                tree.upsert(&key(id), |slot| *slot = cell);
                twin.insert(key(id), cell);
            }
        }
        Step::Clear(from, run) => {
            for id in from..from + run {
                assert_eq!(tree.remove(&key(id)), twin.remove(&key(id)));
            }
        }
    }
}

fn walked<'a>(
    tree: &'a CountedTree<Cell>,
    walk: impl FnOnce(&'a CountedTree<Cell>, &mut Visit<'_, 'a, Cell>),
    most: usize,
) -> Vec<(Vec<u8>, Cell)> {
    let mut seen = Vec::new();
    walk(tree, &mut |key, cell| {
        seen.push((key.to_vec(), *cell));
        seen.len() < most
    });
    seen
}

fn compare(tree: &CountedTree<Cell>, twin: &BTreeMap<Vec<u8>, Cell>, probe: u16, most: usize) {
    let bound = key(probe);
    assert_eq!(tree.len(), twin.len());
    assert_eq!(tree.get(&bound), twin.get(&bound));
    assert_eq!(tree.rank(&bound), twin.range(..bound.clone()).filter(|(_, cell)| cell.live).count());
    for only in [Only::Any, Only::Live, Only::Stale] {
        let kept = |cell: &Cell| only.admits(cell.weight());
        let expected: Vec<_> =
            twin.range(bound.clone()..).filter(|(_, cell)| kept(cell)).take(most).collect();
        let seen = walked(tree, |tree, visit| tree.ascend(&bound, only, visit), most);
        assert_eq!(seen.iter().map(|(key, cell)| (key, cell)).collect::<Vec<_>>(), expected);
        let expected: Vec<_> =
            twin.range(..bound.clone()).rev().filter(|(_, cell)| kept(cell)).take(most).collect();
        let seen = walked(tree, |tree, visit| tree.descend(Some(&bound), only, visit), most);
        assert_eq!(seen.iter().map(|(key, cell)| (key, cell)).collect::<Vec<_>>(), expected);
        let whole = walked(tree, |tree, visit| tree.descend(None, only, visit), usize::MAX);
        assert_eq!(whole.len(), twin.values().filter(|cell| kept(cell)).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_a_plain_map(
        steps in steps(),
        probes in prop::collection::vec(0..2700u16, 8),
        most in 1..40usize,
    ) {
        let mut tree = CountedTree::new();
        let mut twin = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            run(&mut tree, &mut twin, step);
            tree.check().map_err(TestCaseError::fail)?;
            compare(&tree, &twin, probes[at % probes.len()], most);
        }
    }
}

#[test]
fn ascending_keys_pack_densely() {
    let mut tree = CountedTree::<Cell>::new();
    for id in 0..10_000u32 {
        tree.upsert(&id.to_be_bytes(), |cell| cell.live = true);
    }
    let mut leaves = Vec::new();
    tree.root.check(None, None, 0, true, &mut leaves).unwrap();
    assert!(leaves.len() <= 10_000 / FANOUT + 2, "{} leaves", leaves.len());
    assert_eq!(tree.rank(&7_000u32.to_be_bytes()), 7_000);
}
