//! What every world stands on, whatever its nodes are: the nodes, and what they share.
//!
//! A node of a world of consensus is a replica with a disk; one of another world may be nothing but memory. All of them are
//! harmed alike: links are cut, processes end, stand still and start again, clocks go wrong. So whatever befalls a node
//! of any kind is done here and in [`crate::nemesis`] to a [`Body`]; what only some kinds have, disks and an operator,
//! is their world's own.

use bytes::Bytes;

use crate::env::{Env, Event};
use crate::node::NodeEvent;
use crate::report::Fault;

/// Until when a node or its clock stands still.
#[derive(Clone, Copy, Debug, Default)]
pub struct Still {
    /// It does nothing until then.
    pub paused_until: u64,
    /// Its clock does not tick until then.
    pub frozen_until: u64,
}

/// A node, as far as the world's loop and the nemesis know it.
pub trait Body {
    /// Which life it is in: an event that was meant for an earlier one does not reach it.
    fn life(&self) -> u64;

    /// Whether its process runs.
    fn is_up(&self) -> bool;

    /// Whether it is one of those that the nemesis aims at: it is up and believes to lead.
    fn leads(&self) -> bool;

    /// Until when it stands still.
    fn still(&mut self) -> &mut Still;

    /// Something happens to it.
    fn handle(&mut self, event: NodeEvent, env: &mut Env);

    /// Its process ends here and now; with `power`, what was not synced is lost or torn. It starts again after
    /// `down_us`. Answers whether there was a process that may end now.
    fn crash(&mut self, power: bool, down_us: u64, env: &mut Env) -> bool;

    /// Its clock's rate changes.
    fn set_rate(&mut self, permille: u64, env: &Env);

    /// Its clock jumps forward.
    fn jump(&mut self, ticks: u64, env: &mut Env);

    /// What a later version of it might say: a frame that this version cannot read; nothing, if it is down.
    fn strange(&self) -> Option<Bytes>;
}

/// See the module's text.
pub struct Ground<B> {
    pub env: Env,
    pub nodes: Vec<B>,
}

impl<B: Body> Ground<B> {
    /// Something reaches a node, unless it comes too late, meets a cut, or has to wait.
    pub fn reach(&mut self, at: usize, life: Option<u64>, event: NodeEvent) {
        let node = &mut self.nodes[at];
        if life.is_some_and(|life| life != node.life()) {
            return;
        }
        if let NodeEvent::Parcel { from, bytes, .. } = &event
            && self.env.network.is_cut(*from, at)
        {
            self.env.trace.arrives(self.env.now, *from, at, bytes, Some("a link that has failed"));
            return self.env.stats.fault(Fault::Cut);
        }
        let paused_until = node.still().paused_until;
        if paused_until > self.env.now {
            let wait = paused_until - self.env.now;
            return self.env.after(wait, Event::Node { node: at, life, event });
        }
        if let NodeEvent::Parcel { from, bytes, .. } = &event {
            let why_not = (!node.is_up()).then_some("a node that is down");
            self.env.trace.arrives(self.env.now, *from, at, bytes, why_not);
        }
        node.handle(event, &mut self.env);
    }

    /// Whether a node is up and believes to lead.
    pub fn leads(&self, node: usize) -> bool {
        self.nodes[node].leads()
    }
}
