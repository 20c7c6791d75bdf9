//! Values known by small numbers.
//!
//! A world's state is made of parts (nodes, messages, sets of messages) of which there are few, compared with
//! their combinations. Each distinct part is kept once here and named by a number, so that a state is a
//! handful of numbers and equal states are equal numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash};

use crate::search::Mixer;

/// Distinct keys, each with a value, by number. The map is only looked into, never walked, so its order
/// reaches nothing.
#[derive(Debug)]
pub(crate) struct Interner<K, V> {
    numbers: HashMap<K, u32, BuildHasherDefault<Mixer>>,
    values: Vec<V>,
}

impl<K: Eq + Hash, V> Interner<K, V> {
    pub fn new() -> Self {
        Interner { numbers: HashMap::default(), values: Vec::new() }
    }

    /// The number of a key, with the value made if the key is new.
    pub fn number(&mut self, key: K, value: impl FnOnce() -> V) -> u32 {
        let next = u32::try_from(self.values.len()).expect("fewer parts than 2^32");
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.values.push(value());
        }
        number
    }

    /// The number of a key that has one.
    pub fn find(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// The value of a number given out.
    pub fn get(&self, number: u32) -> &V {
        &self.values[number as usize]
    }
}
