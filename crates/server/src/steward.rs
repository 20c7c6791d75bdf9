//! What a leader's node asks of its core because of the members table.
//!
//! The table says who ought to vote; while the core's membership is another one, a leader is asked to change it, again
//! and again until it has (a core takes such a wish only when nothing stands against it, and answers nothing). A
//! table that lags the log would wish an old membership back, so nothing is asked before the first entry of the
//! leader's own round is applied. A leader that is to lose its vote is asked to hand over first: the cluster would otherwise be without a leader for an
//! election timeout. If nobody takes over within a while the change is asked for all the same.

use std::time::{Duration, Instant};

use quorate_protocol::{Membership, NodeId, Status};
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
    desired: Option<Membership>,
    /// The round of the last entries applied when the table was last looked at.
    round: u64,
    next: Instant,
    /// Since when this leader has tried to hand over in order to go.
    leaving: Option<Instant>,
}

impl Steward {
    /// The table that was found at the start says this.
    pub fn new(desired: Membership) -> Self {
        let desired = Some(desired).filter(|desired| !desired.voters().is_empty());
        Steward { desired, round: 0, next: Instant::now(), leaving: None }
    }

    /// The table says this now, if that is news, with entries of this round applied.
    pub fn desire(&mut self, membership: Option<Membership>, round: u64) {
        self.desired = membership.or(self.desired.take());
        self.round = round;
        self.look_soon();
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

    /// What to ask of a core that leads and stands so.
    pub fn advise<M>(
        &mut self,
        status: &Status,
        successor: impl FnOnce() -> Option<NodeId>,
    ) -> Option<Input<M>> {
        let current = self.round == status.promised.round;
        let desired = self.desired.as_ref().filter(|desired| current && **desired != status.membership)?;
        if desired.votes(status.id) || status.membership.is_joint() {
            return Some(Input::Change(desired.clone()));
        }
        let since = *self.leaving.get_or_insert_with(Instant::now);
        match successor().filter(|_| since.elapsed() < HANDING_OVER) {
            Some(successor) => Some(Input::Transfer(successor)),
            None => Some(Input::Change(desired.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::{Ballot, Index, LogId, Role};

    use super::*;

    fn membership(voters: &[u64]) -> Membership {
        Membership::new(voters.iter().copied().map(NodeId), [])
    }

    fn leader(membership: Membership) -> Status {
        let id = LogId::default();
        let promised = Ballot { round: 1, node: NodeId(1) };
        Status {
            id: NodeId(1),
            role: Role::Leader,
            promised,
            leader: Some(NodeId(1)),
            base: id,
            last: id,
            commit: Index(0),
            membership,
            held: id,
            peers: Vec::new(),
        }
    }

    fn asked(steward: &mut Steward, status: &Status, successor: Option<u64>) -> String {
        format!("{:?}", steward.advise::<()>(status, || successor.map(NodeId)))
    }

    #[test]
    fn what_differs_is_asked_for_until_it_is_in_force() {
        let mut steward = Steward::new(membership(&[1, 2]));
        let before = leader(membership(&[1]));
        assert_eq!(asked(&mut steward, &before, None), "None", "the table may be older than the log");
        steward.desire(None, 1);
        for _ in 0..2 {
            assert!(asked(&mut steward, &before, None).starts_with("Some(Change"));
        }
        assert_eq!(asked(&mut steward, &leader(membership(&[1, 2])), None), "None");
        steward.desire(Some(membership(&[1])), 1);
        assert!(asked(&mut steward, &leader(membership(&[1, 2])), None).starts_with("Some(Change"));
        assert_eq!(
            asked(&mut Steward::new(Membership::default()), &before, None),
            "None",
            "nothing is known"
        );
    }

    #[test]
    fn a_leader_that_goes_hands_over_first_if_somebody_can_take_over() {
        let mut steward = Steward::new(membership(&[2, 3]));
        steward.desire(None, 1);
        let before = leader(membership(&[1, 2, 3]));
        assert_eq!(asked(&mut steward, &before, Some(3)), "Some(Transfer(NodeId(3)))");
        assert!(asked(&mut steward, &before, None).starts_with("Some(Change"));
        steward.leaving = Instant::now().checked_sub(HANDING_OVER);
        assert!(asked(&mut steward, &before, Some(3)).starts_with("Some(Change"), "not for ever");
    }
}
