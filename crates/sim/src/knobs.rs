//! A run's character by name: every number that [`Swarm`] draws can be read, and set to another value.
//!
//! `quorate sim --set load.clients=1,pace.disk_max_us=300` sets them, the trace file's header lists them, and
//! shrinking turns them down. The list is complete: [`all_named`] does not compile while a field is missing.

use crate::faults::{Choice, Faults};
use crate::swarm::{Commit, Load, Pace, Ring, Room, Swarm};

/// One number of a run's character.
pub struct Knob {
    /// Its name.
    pub name: &'static str,
    /// The least and the greatest value that make sense.
    pub bounds: (u64, u64),
    /// Reads it.
    pub get: fn(&Swarm) -> u64,
    /// Sets it.
    pub set: fn(&mut Swarm, u64),
}

/// A field that a number can stand for.
trait Amount {
    fn amount(&self) -> u64;
    fn assign(&mut self, value: u64);
}

macro_rules! amounts {
    ($($kind:ty)*) => {$(
        impl Amount for $kind {
            fn amount(&self) -> u64 {
                *self as u64
            }
            fn assign(&mut self, value: u64) {
                *self = value as $kind;
            }
        }
    )*};
}
amounts!(u64 u32 usize);

impl Amount for bool {
    fn amount(&self) -> u64 {
        u64::from(*self)
    }
    fn assign(&mut self, value: u64) {
        *self = value != 0;
    }
}

macro_rules! knob {
    ($name:literal in $least:literal..=$most:literal: choice $choice:ident) => {
        Knob {
            name: $name,
            bounds: ($least, $most),
            get: |swarm| swarm.faults.weights.of(Choice::$choice),
            set: |swarm, value| swarm.faults.weights.set(Choice::$choice, value),
        }
    };
    ($name:literal in $least:literal..=$most:literal: $($field:tt).+) => {
        Knob {
            name: $name,
            bounds: ($least, $most),
            get: |swarm| swarm.$($field).+.amount(),
            set: |swarm, value| swarm.$($field).+.assign(value),
        }
    };
}

/// All of them, in the order in which they are listed.
pub static KNOBS: &[Knob] = &[
    knob!("chaos_us" in 0..=604_800_000_000: chaos_us),
    knob!("tick_us" in 1_000..=1_000_000: tick_us),
    knob!("skew" in 0..=1: skew),
    knob!("catch_up" in 0..=1: catch_up),
    knob!("mixed" in 0..=1: mixed),
    knob!("priorities" in 0..=1: priorities),
    knob!("election_ticks" in 2..=1_000: election_ticks),
    knob!("heartbeat_ticks" in 1..=1_000: heartbeat_ticks),
    knob!("max_message_bytes" in 1..=1_048_576: max_message_bytes),
    knob!("max_inflight" in 1..=1_024: max_inflight),
    knob!("retain_entries" in 0..=1_000_000: retain_entries),
    knob!("checkpoint_every" in 1..=1_000_000: checkpoint_every),
    knob!("segment_bytes" in 8_192..=67_108_864: segment_bytes),
    knob!("write_quorum" in 0..=100: write_quorum),
    knob!("room.uncommitted_bytes" in 0..=1_048_576: room.uncommitted_bytes),
    knob!("room.proposals" in 0..=1_000_000: room.proposals),
    knob!("room.reads" in 1..=1_000_000: room.reads),
    knob!("room.patience_tenths" in 1..=1_000: room.patience_tenths),
    knob!("pace.network_min_us" in 1..=10_000_000: pace.network_us.0),
    knob!("pace.network_max_us" in 1..=10_000_000: pace.network_us.1),
    knob!("pace.tail_percent" in 0..=100: pace.tail_percent),
    knob!("pace.tail_us" in 0..=60_000_000: pace.tail_us),
    knob!("pace.fifo" in 0..=1: pace.fifo),
    knob!("pace.disk_min_us" in 1..=10_000_000: pace.disk_us.0),
    knob!("pace.disk_max_us" in 1..=10_000_000: pace.disk_us.1),
    knob!("pace.apply_us" in 0..=10_000_000: pace.apply_us),
    knob!("pace.piece_us" in 0..=10_000_000: pace.piece_us),
    knob!("faults.loss" in 0..=1_000: faults.loss),
    knob!("faults.duplicates" in 0..=1_000: faults.duplicates),
    knob!("faults.corrupt" in 0..=10_000: faults.corrupt),
    knob!("faults.every_us" in 0..=600_000_000: faults.every_us),
    knob!("faults.strike_leaders" in 0..=100: faults.strike_leaders),
    knob!("faults.strike_within_us" in 0..=60_000_000: faults.strike_within_us),
    knob!("faults.crash_after_sync" in 0..=1_000: faults.crash_after_sync),
    knob!("faults.crash_after_promise" in 0..=100: faults.crash_after_promise),
    knob!("faults.crash_after_question" in 0..=100: faults.crash_after_question),
    knob!("faults.crash_in_install" in 0..=100: faults.crash_in_install),
    knob!("faults.crash_in_recovery" in 0..=100: faults.crash_in_recovery),
    knob!("faults.down_us" in 0..=600_000_000: faults.down_us),
    knob!("faults.power_percent" in 0..=100: faults.power_percent),
    knob!("faults.lost_answers" in 0..=1_000: faults.lost_answers),
    knob!("faults.crash" in 0..=1_000: choice Crash),
    knob!("faults.blackout" in 0..=1_000: choice Blackout),
    knob!("faults.pause" in 0..=1_000: choice Pause),
    knob!("faults.partition" in 0..=1_000: choice Partition),
    knob!("faults.oneway" in 0..=1_000: choice OneWay),
    knob!("faults.isolate" in 0..=1_000: choice Isolate),
    knob!("faults.reset" in 0..=1_000: choice Reset),
    knob!("faults.flap" in 0..=1_000: choice Flap),
    knob!("faults.slow-link" in 0..=1_000: choice SlowLink),
    knob!("faults.slow-node" in 0..=1_000: choice SlowNode),
    knob!("faults.crash-loop" in 0..=1_000: choice CrashLoop),
    knob!("faults.stranger" in 0..=1_000: choice Stranger),
    knob!("faults.usurp" in 0..=1_000: choice Usurp),
    knob!("faults.write-error" in 0..=1_000: choice WriteError),
    knob!("faults.fsync-error" in 0..=1_000: choice FsyncError),
    knob!("faults.read-error" in 0..=1_000: choice ReadError),
    knob!("faults.disk-full" in 0..=1_000: choice DiskFull),
    knob!("faults.slow-disk" in 0..=1_000: choice SlowDisk),
    knob!("faults.lost-write" in 0..=1_000: choice LostWrite),
    knob!("faults.misdirected" in 0..=1_000: choice Misdirected),
    knob!("faults.bit-flip" in 0..=1_000: choice BitFlip),
    knob!("faults.wipe" in 0..=1_000: choice Wipe),
    knob!("faults.state-loss" in 0..=1_000: choice StateLoss),
    knob!("faults.disk-crash" in 0..=1_000: choice DiskCrash),
    knob!("faults.rate" in 0..=1_000: choice Skew),
    knob!("faults.jump" in 0..=1_000: choice Jump),
    knob!("faults.freeze" in 0..=1_000: choice Freeze),
    knob!("faults.change" in 0..=1_000: choice Change),
    knob!("faults.transfer" in 0..=1_000: choice Transfer),
    knob!("load.clients" in 0..=100: load.clients),
    knob!("load.keys" in 1..=1_000: load.keys),
    knob!("load.think_us" in 0..=60_000_000: load.think_us),
    knob!("load.patience_us" in 1_000..=60_000_000: load.patience_us),
    knob!("load.read_percent" in 0..=100: load.read_percent),
    knob!("load.watchers" in 0..=100: load.watchers),
    knob!("load.compact" in 0..=1: load.compact),
    knob!("load.leases" in 0..=1: load.leases),
    knob!("load.participants" in 0..=50: load.participants),
    knob!("commit.vote_ticks" in 0..=10_000: commit.vote_ticks),
    knob!("commit.retry_ticks" in 0..=10_000: commit.retry_ticks),
    knob!("commit.doubt_ticks" in 0..=10_000: commit.doubt_ticks),
    knob!("commit.close_ticks" in 0..=10_000: commit.close_ticks),
    knob!("ring.successors" in 0..=16: ring.successors),
    knob!("ring.gentle" in 0..=1: ring.gentle),
    // A percentage, and one more: 0 for none.
    Knob {
        name: "lease_drift",
        bounds: (0, 100),
        get: |swarm| swarm.lease_drift.map_or(0, |percent| u64::from(percent) + 1),
        set: |swarm, value| swarm.lease_drift = value.checked_sub(1).map(|percent| percent as u8),
    },
];

/// Names every field of a run's character: a new one does not compile until it is named here, and wants a line in
/// the list above. `nodes` and `groups` are options of their own; the choices of the nemesis are counted by a test.
#[rustfmt::skip]
const fn all_named(swarm: &Swarm) {
    let Swarm {
        nodes: _, groups: _, chaos_us: _, tick_us: _, skew: _, catch_up: _, mixed: _, lease_drift: _, priorities: _,
        election_ticks: _, heartbeat_ticks: _, max_message_bytes: _, max_inflight: _, retain_entries: _,
        checkpoint_every: _, segment_bytes: _, write_quorum: _, room, pace, faults, load, commit, ring,
    } = swarm;
    let Ring { successors: _, gentle: _ } = ring;
    let Room { uncommitted_bytes: _, proposals: _, reads: _, patience_tenths: _ } = room;
    let Pace {
        network_us: (_, _), tail_percent: _, tail_us: _, fifo: _, disk_us: (_, _), apply_us: _, piece_us: _,
    } = pace;
    let Faults {
        loss: _, duplicates: _, corrupt: _, every_us: _, weights: _, strike_leaders: _, strike_within_us: _,
        crash_after_sync: _, crash_after_promise: _, crash_after_question: _, crash_in_install: _, crash_in_recovery: _, down_us: _,
        power_percent: _, lost_answers: _,
    } = faults;
    let Load {
        clients: _, keys: _, think_us: _, patience_us: _, read_percent: _, watchers: _, compact: _, leases: _, participants: _,
    } = load;
    let Commit { vote_ticks: _, retry_ticks: _, doubt_ticks: _, close_ticks: _, max_proposed: _ } = commit;
}
const _: fn(&Swarm) = all_named;

/// The knob of this name.
pub fn named(name: &str) -> Option<&'static Knob> {
    KNOBS.iter().find(|knob| knob.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::CLASSES;
    use quorate_protocol::Random;

    #[test]
    fn every_knob_turns_a_field_of_its_own() {
        let drawn = Swarm::draw(Random::new(1), None);
        let values = |swarm: &Swarm| KNOBS.iter().map(|knob| (knob.get)(swarm)).collect::<Vec<_>>();
        let choices = KNOBS.iter().filter(|knob| CLASSES.iter().any(|class| class.is_choice(knob.name)));
        assert_eq!(choices.count(), Choice::ALL.len());
        for (at, knob) in KNOBS.iter().enumerate() {
            let mut swarm = drawn.clone();
            let other = if (knob.get)(&drawn) == knob.bounds.0 { knob.bounds.1 } else { knob.bounds.0 };
            (knob.set)(&mut swarm, other);
            let mut expected = values(&drawn);
            expected[at] = other;
            assert_eq!(values(&swarm), expected, "{}", knob.name);
            assert_eq!(named(knob.name).map(|knob| knob.name), Some(knob.name));
        }
    }
}
