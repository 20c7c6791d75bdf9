//! The end of a run of atomic commit: what the sites hold is put beside what clients saw.

use quorate_protocol::Consensus;

use super::data::Found;
use super::plans::BALANCE;
use crate::world::World;

impl<C: Consensus> World<C> {
    /// The verdicts over the whole run. All replicas of a site hold the same by now.
    pub fn conclude_atomic(&mut self) {
        let (mut state, mut accounts) = (Found::new(), Vec::new());
        for group in 0..self.operators.len() {
            let seat = self.hosts(group).find_map(|host| host.seat.as_ref());
            let Some(data) = seat.map(|seat| seat.data()) else { continue };
            state.extend(data.all(&b"l"[..].into()));
            state.extend(data.all(&b"r"[..].into()));
            let last = |(_, versions): (_, Vec<i64>)| versions.last().copied();
            accounts.extend(data.all(&b"a"[..].into()).into_iter().filter_map(last));
        }
        let total = BALANCE * self.operators.len() as i64;
        let now = self.ground.env.checks.stamp();
        let verdict = self.ground.env.atomic.conclude(now, state, accounts, total);
        self.ground.env.checks.note(verdict);
    }
}
