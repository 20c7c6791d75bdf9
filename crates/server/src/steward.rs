//! What a leader's node asks of its core because of the members table.
//!
//! The table says who ought to vote. Where the core's membership is another one, a leader's replica is told so once; it
//! remembers the wish and repeats it until the membership is that, or another leads. A table that lags the log would wish
//! an old membership back, so nothing is asked before everything is applied that the log held when this leader began: the
//! replica knows how far that was. A leader that is to lose its vote is asked to hand over first:
//! the cluster would otherwise be without a leader for an election timeout. If nobody takes over within a while the
//! change is asked for all the same.

use std::time::{Duration, Instant};

use quorate_protocol::{Index, Membership, NodeId, Status};
use quorate_replica::Input;

/// How often the core is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How soon after something was asked of it.
const AGAIN: Duration = Duration::from_millis(10);

/// How long a leader that is to go tries to hand over.
const HANDING_OVER: Duration = Duration::from_secs(3);

/// Looks after one core.
#[derive(Debug)]
pub struct Steward {
    /// Everything up to here is applied, and the table says so.
    applied: Index,
    next: Instant,
    /// Since when this leader has tried to hand over in order to go.
    leaving: Option<Instant>,
}

impl Steward {
    /// Nothing is known to be applied.
    pub fn new() -> Self {
        Steward { applied: Index(0), next: Instant::now(), leaving: None }
    }

    /// Everything up to here is applied, and the table says so.
    pub fn stands(&mut self, applied: Index) {
        self.applied = applied;
        self.look_soon();
    }

    /// Up to where everything is known to be applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// Something has happened that may call for more.
    pub fn look_soon(&mut self) {
        self.next = Instant::now();
    }

    /// Something was asked of the core: see soon what has come of it.
    pub fn look_again(&mut self) {
        self.next = Instant::now() + AGAIN;
    }

    /// Whether it is time to look at the core.
    pub fn due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.next;
        if due {
            self.next = now + LOOK;
        }
        due
    }

    /// This node does not lead.
    pub fn rest(&mut self) {
        self.leaving = None;
    }

    /// What to ask of a replica that leads, stands so and would heed the table, where this says `desired` and the replica has
    /// been `asked` for something already.
    pub fn advise<M>(
        &mut self,
        status: &Status,
        desired: Membership,
        asked: Option<&Membership>,
        successor: impl FnOnce() -> Option<NodeId>,
    ) -> Option<Input<M>> {
        // A wish that the table has gone back on is replaced too.
        let content = *asked.unwrap_or(&status.membership) == desired;
        if content || desired.voters().is_empty() {
            return None;
        }
        if desired.votes(status.id) || status.membership.is_joint() {
            return Some(Input::Change { target: desired, at: self.applied });
        }
        let since = *self.leaving.get_or_insert_with(Instant::now);
        match successor().filter(|_| since.elapsed() < HANDING_OVER) {
            Some(successor) => Some(Input::Transfer(successor)),
            None => Some(Input::Change { target: desired, at: self.applied }),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::{Ballot, LogId, Role};

    use super::*;

    fn membership(voters: &[u64]) -> Membership {
        Membership::new(voters.iter().copied().map(NodeId), [])
    }

    fn leader(membership: Membership) -> Status {
        let id = LogId::default();
        Status {
            id: NodeId(1),
            role: Role::Leader,
            promised: Ballot { round: 1, node: NodeId(1) },
            leader: Some(NodeId(1)),
            base: id,
            last: id,
            commit: Index(0),
            membership,
            held: id,
            repairing: false,
            peers: Vec::new(),
        }
    }

    /// What is asked of a leader of {1}, or whatever else it has been asked for, to which the table says `desired`.
    fn advice(steward: &mut Steward, status: &Status, desired: &[u64], asked: Option<&[u64]>) -> String {
        let asked = asked.map(membership);
        format!("{:?}", steward.advise::<()>(status, membership(desired), asked.as_ref(), || None))
    }

    #[test]
    fn what_differs_is_asked_for_once() {
        let mut steward = Steward::new();
        let before = leader(membership(&[1]));
        steward.stands(Index(7));
        let wish = advice(&mut steward, &before, &[1, 2], None);
        assert!(wish.contains("at: Index(7)"), "{wish}: the replica is told what the table is worth");
        assert!(advice(&mut steward, &before, &[1, 2], None).starts_with("Some(Change"));
        assert_eq!(advice(&mut steward, &before, &[1, 2], Some(&[1, 2])), "None", "the replica remembers");
        assert_eq!(advice(&mut steward, &leader(membership(&[1, 2])), &[1, 2], None), "None");
        assert!(
            advice(&mut steward, &before, &[1], Some(&[1, 2])).starts_with("Some(Change"),
            "it is not wished any more"
        );
        assert_eq!(advice(&mut steward, &before, &[], None), "None", "nothing is known");
    }

    #[test]
    fn a_leader_that_goes_hands_over_first_if_somebody_can_take_over() {
        let mut steward = Steward::new();
        let before = leader(membership(&[1, 2, 3]));
        let asked = |steward: &mut Steward, successor: Option<u64>| {
            format!(
                "{:?}",
                steward.advise::<()>(&before, membership(&[2, 3]), None, || successor.map(NodeId))
            )
        };
        assert_eq!(asked(&mut steward, Some(3)), "Some(Transfer(NodeId(3)))");
        assert!(asked(&mut steward, None).starts_with("Some(Change"));
        steward.leaving = Instant::now().checked_sub(HANDING_OVER);
        assert!(asked(&mut steward, Some(3)).starts_with("Some(Change"), "not for ever");
    }
}
