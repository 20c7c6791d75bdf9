//! Handing a leadership over, as far as all protocols share it (Ongaro's dissertation §3.10, which works for any
//! leader).
//!
//! The leader takes no more proposals, brings the target up to its last entry, and then tells it, once, to campaign. If
//! nothing has come of it within an election timeout the leader goes on as before.
//!
//! To its host a leader that hands over is a leader that knows of no leader: what is proposed and read waits as
//! it does between leaderships, and goes on when one is known again.
//!
//! A leader hands over by itself to a voter of higher priority that has caught up, at most once in an election
//! timeout.
//!
//! What a core adds is when a peer has everything, the message that tells it so, and why its campaign is not refused by
//! those who hear the leader.

use crate::ids::NodeId;

/// The handing over of a leadership, if there is one under way.
#[derive(Clone, Debug, Default, Hash)]
pub struct Transfer(Option<UnderWay>);

/// A leadership being handed over.
#[derive(Clone, Debug, Hash)]
struct UnderWay {
    to: NodeId,
    /// The target was told to campaign.
    told: bool,
    /// Ticks since it began.
    ticks: u32,
}

impl Transfer {
    /// Whether the leadership is being handed over.
    pub fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it is being handed over to this node.
    pub fn is_to(&self, node: NodeId) -> bool {
        self.0.as_ref().is_some_and(|transfer| transfer.to == node)
    }

    /// Begin to hand over to `to`, whomever it was to be before. Answers whether that is news: whether the target must
    /// be brought up to date.
    #[must_use = "a target that is not brought up to date is never told"]
    pub fn begin(&mut self, to: NodeId) -> bool {
        let news = !self.is_to(to);
        if news {
            self.0 = Some(UnderWay { to, told: false, ticks: 0 });
        }
        news
    }

    /// Keep the leadership.
    pub fn give_up(&mut self) {
        self.0 = None;
    }

    /// Whom to tell now to campaign: the target, if it `has_everything` and was not told before.
    #[must_use = "a target is told once"]
    pub fn tell(&mut self, has_everything: impl FnOnce(NodeId) -> bool) -> Option<NodeId> {
        let transfer = self.0.as_mut().filter(|transfer| !transfer.told && has_everything(transfer.to))?;
        transfer.told = true;
        Some(transfer.to)
    }

    /// A tick passes: after `election_ticks` the leadership is kept.
    pub fn tick(&mut self, election_ticks: u32) {
        if let Some(transfer) = &mut self.0 {
            transfer.ticks += 1;
            if transfer.ticks >= election_ticks {
                self.give_up();
            }
        }
    }
}

/// Who should lead rather than a leader of priority `own`: of the peers that could take over at once, each with its
/// priority, the one with the highest.
pub fn preferred(able: impl Iterator<Item = (NodeId, u8)>, own: u8) -> Option<NodeId> {
    let rather = able.filter(|(_, priority)| *priority > own);
    rather.max_by_key(|(_, priority)| *priority).map(|(node, _)| node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_told_once_and_only_when_it_has_everything() {
        let mut transfer = Transfer::default();
        assert!(!transfer.is_under_way() && transfer.tell(|_| true).is_none());
        assert!(transfer.begin(NodeId(2)) && transfer.is_to(NodeId(2)) && !transfer.is_to(NodeId(3)));
        assert_eq!(transfer.tell(|node| node != NodeId(2)), None);
        assert_eq!(transfer.tell(|node| node == NodeId(2)), Some(NodeId(2)));
        assert_eq!(transfer.tell(|_| true), None);
        assert!(transfer.is_under_way(), "until another leads, or time is up");
    }

    #[test]
    fn it_is_given_up_after_an_election_timeout() {
        let mut transfer = Transfer::default();
        assert!(transfer.begin(NodeId(2)));
        (0..2).for_each(|_| transfer.tick(3));
        assert!(!transfer.begin(NodeId(2)), "to ask again gives it no more time");
        transfer.tick(3);
        assert!(!transfer.is_under_way());
        transfer.tick(3);
        assert!(transfer.begin(NodeId(2)), "it can be begun anew");
    }

    #[test]
    fn another_target_begins_anew() {
        let mut transfer = Transfer::default();
        assert!(transfer.begin(NodeId(2)) && transfer.tell(|_| true).is_some());
        (0..2).for_each(|_| transfer.tick(3));
        assert!(transfer.begin(NodeId(3)));
        (0..2).for_each(|_| transfer.tick(3));
        assert_eq!(transfer.tell(|_| true), Some(NodeId(3)));
        transfer.give_up();
        assert!(!transfer.is_under_way() && transfer.tell(|_| true).is_none());
    }

    #[test]
    fn only_a_higher_priority_is_preferred() {
        let able = [(NodeId(2), 1), (NodeId(3), 3), (NodeId(4), 2)];
        assert_eq!(preferred(able.into_iter(), 0), Some(NodeId(3)));
        assert_eq!(preferred(able.into_iter(), 3), None);
        assert_eq!(preferred([].into_iter(), 0), None);
    }
}
