//! The checks are checked: each rule of `rules.rs` broken on its own, and two bugs in the host, must be caught, by the
//! storms within a thousand seeds, or by the script that tells the story. The same scripts and storms pass under the papers' rules
//! (`scripts.rs`, `random.rs`).

#[allow(dead_code)]
mod common;

use std::path::Path;

use common::Spoken;
use quorate_golden::storm::storm_with;
use quorate_golden::{Detail, Planted, Script};
use quorate_paxos::{Body, Message, Paper, Paxos, Rules};
use quorate_protocol::{
    Ballot, Config, Consensus, Entry, EntryKind, Event, Index, LogId, Membership, NodeId, Random, Recovered,
};

/// Steps of a storm.
const STEPS: usize = 2_000;

/// Storms within which a bug must be caught.
const SEEDS: u64 = 1_000;

/// Storms until one breaks; the answer is what it broke.
fn caught_by_storms<R: Rules>(planted: Option<Planted>) -> String {
    let broken = |seed| Some((seed, storm_with::<Spoken<R>>(seed, STEPS, Detail::Silent, planted).err()?));
    let (seed, what) = (0..SEEDS).find_map(broken).expect("the bug is caught");
    println!("caught by seed {seed}: {what}");
    what
}

/// Run a script of `tests/scripts`; the answer is what it ended with.
fn caught_by_script<R: Rules>(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
    let input = std::fs::read_to_string(&path).expect("the script is there");
    let mut script = Script::<Spoken<R>>::new(Detail::Full);
    goldenscript::generate(&mut script, &input).expect_err("the bug is caught").to_string()
}

#[track_caller]
fn names(what: &str, properties: &[&str]) {
    println!("{what}");
    assert!(properties.iter().any(|property| what.contains(property)), "caught, but as: {what}");
}

/// What is broken when values get lost or mixed up.
const UNSAFE: [&str; 7] = [
    "Chosen stays",
    "ChosenSafe",
    "StateMachineSafety",
    "LeaderCompleteness",
    "Durable commit",
    "another value was accepted",
    "what a leader proposes is under its ballot",
];

/// Rules with one of them broken.
macro_rules! broken {
    ($(#[$about:meta])* $name:ident { $($rule:item)* }) => {
        $(#[$about])*
        struct $name;

        impl Rules for $name {
            $($rule)*
        }
    };
}

broken!(
    /// What was promised to others does not bind.
    IgnoresPromise {
        fn may_accept(_: Ballot, _: Ballot) -> bool {
            true
        }
    }
);

#[test]
fn accepting_less_than_was_promised_is_caught() {
    names(&caught_by_storms::<IgnoresPromise>(None), &["Promise: "]);
}

broken!(
    /// A promise says nothing of what was accepted.
    ReportsNothing {
        fn reports_what_was_accepted() -> bool {
            false
        }
    }
);

#[test]
fn promising_without_a_report_is_caught() {
    names(&caught_by_storms::<ReportsNothing>(None), &UNSAFE);
}

broken!(
    /// "The largest value accepted", as some textbooks have it.
    LargestValue {
        fn outranks(other: &Entry, known: &Entry) -> bool {
            other.data > known.data
        }
    }
);

#[test]
fn proposing_the_largest_value_is_caught() {
    names(&caught_by_storms::<LargestValue>(None), &UNSAFE);
    let demand = "expected applied 1 y, but it is 'x y'";
    names(&caught_by_script::<LargestValue>("highest_ballot.txt"), &[demand]);
}

broken!(
    /// What follows a hole moves up.
    ClosesGaps {
        fn closes_gaps() -> bool {
            true
        }
    }
);

#[test]
fn closing_gaps_is_caught() {
    names(&caught_by_storms::<ClosesGaps>(None), &UNSAFE);
}

broken!(
    /// The ballot last promised is begun again.
    BeginsAgain {
        fn next_round(promised: Ballot, _: u64) -> Option<u64> {
            Some(promised.round.max(1))
        }
    }
);

#[test]
fn beginning_a_ballot_again_is_caught() {
    let demand = "expected round 1 2, but it is '1'";
    names(&caught_by_script::<BeginsAgain>("round_is_kept.txt"), &[demand, "goes back"]);
}

broken!(
    /// One promise less than it takes.
    ElectsTooEarly {
        fn elects(membership: &Membership, promised: impl Fn(NodeId) -> bool) -> bool {
            let voters = membership.voters();
            voters.any_of(voters.election_quorum(membership.write_quorum()) - 1, promised)
        }
    }
);

#[test]
fn leading_with_too_few_promises_is_caught() {
    names(&caught_by_storms::<ElectsTooEarly>(None), &UNSAFE);
}

broken!(
    /// What the leader says is chosen is applied, whatever is held there.
    AppliesUnmatched {
        fn may_apply(commit: Index, _: Index) -> Index {
            commit
        }
    }
);

/// Node 3 has accepted x in slot 1 under ballot 1, and hears from the leader of ballot 2 that slot 1 is chosen.
fn told_of_unmatched_commit<R: Rules>() -> Index {
    let mut paxos: Paxos<R> = Paxos::recover(
        Config::new(NodeId(3), (1..=3).map(NodeId).collect()),
        Recovered::default(),
        Random::new(1),
    );
    let ballot = |round| Ballot { round, node: NodeId(round) };
    let id = LogId { ballot: ballot(1), index: Index(1) };
    let entries = vec![Entry { id, kind: EntryKind::Command, data: "x".into() }];
    let mut hear = |round: u64, body| {
        let message = Message { ballot: ballot(round), body };
        paxos.step(Event::Receive { from: NodeId(round), message }, &mut Vec::new());
        paxos.status().commit
    };
    hear(1, Body::Accept { entries, commit: Index(0) });
    hear(2, Body::Heartbeat { commit: Index(1), round: 0 })
}

/// Told by hand: leaders, on their side, tell nobody of more than has been matched.
#[test]
fn applying_what_was_accepted_under_another_ballot_is_caught() {
    assert_eq!(told_of_unmatched_commit::<Paper>(), Index(0));
    assert_eq!(told_of_unmatched_commit::<AppliesUnmatched>(), Index(1), "the rule is what prevents it");
}

broken!(
    /// A damaged disk reports as if it had never held more.
    ForgetsWhatItHeld {
        fn heeds_what_was_held() -> bool {
            false
        }
    }
);

#[test]
fn promising_with_a_damaged_disk_is_caught() {
    names(&caught_by_storms::<ForgetsWhatItHeld>(None), &UNSAFE);
}

broken!(
    /// A leader trusts its commit index before what it found is chosen anew.
    ReadsBeforeItKnows {
        fn may_read(_: Index, _: Index) -> bool {
            true
        }
    }
);

#[test]
fn reading_before_it_is_known_what_is_chosen_is_caught() {
    names(&caught_by_storms::<ReadsBeforeItKnows>(None), &["Linearizable reads"]);
}

broken!(
    /// A leader does not ask whether it still leads.
    ReadsAlone {
        fn read_needs_quorum() -> bool {
            false
        }
    }
);

#[test]
fn reading_without_a_quorum_is_caught() {
    names(&caught_by_storms::<ReadsAlone>(None), &["Linearizable reads"]);
}

broken!(
    /// The voters are replaced in one step.
    SkipsJoint {
        fn towards(_: &Membership, target: &Membership) -> Membership {
            target.clone()
        }
    }
);

#[test]
fn changing_voters_without_the_joint_step_is_caught() {
    names(&caught_by_storms::<SkipsJoint>(None), &UNSAFE);
}

#[test]
fn sending_before_the_disk_is_caught() {
    names(&caught_by_storms::<Paper>(Some(Planted::SendsEarly)), &["Durable before sent"]);
}

#[test]
fn forgetting_the_promise_is_caught() {
    let properties = ["goes back", "Durable before sent", "Promise: ", "One value"];
    names(&caught_by_storms::<Paper>(Some(Planted::ForgetsPromise)), &properties);
}

broken!(
    /// A membership is proposed among slots that are in flight.
    ChangesAtOnce {
        fn may_change(_: Index, _: Index, _: Index) -> bool {
            true
        }
    }
);

#[test]
fn proposing_a_membership_among_slots_in_flight_is_caught() {
    let demand = "expected members 1 1 2 3, but it is '1 4 5 from 1 2 3'";
    names(&caught_by_script::<ChangesAtOnce>("far_membership.txt"), &[demand]);
}

broken!(
    /// The lease lasts as long as the acceptors' promise, as if clocks were equal and ticks began together.
    TrustsClocks {
        fn lease_ticks(election_ticks: u32, _: u8) -> u32 {
            election_ticks
        }
    }
);

broken!(
    /// The lease outlives the word to the next leader.
    LeadsTwice {
        fn gives_up_lease_to_transfer() -> bool {
            false
        }
    }
);

broken!(
    /// A restarted acceptor owes nothing.
    OwesNothing {
        fn keeps_promises_over_restarts() -> bool {
            false
        }
    }
);

#[test]
fn leases_without_their_rules_are_caught() {
    let still = "expected read 1 3 waiting, but it is 'served'";
    names(&caught_by_script::<TrustsClocks>("lease.txt"), &[still]);
    let still = "expected read 1 1 waiting, but it is 'served'";
    names(&caught_by_script::<LeadsTwice>("lease_transfer.txt"), &[still]);
    names(&caught_by_script::<OwesNothing>("lease_restart.txt"), &["expected round 2 "]);
}
