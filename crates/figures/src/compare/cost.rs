//! What an operation costs when nothing fails.
//!
//! A client proposes, waits until the node it asked knows the entry committed, and proposes again; or it keeps
//! many entries outstanding, and then they share messages. Times are counted in ways of a message, one
//! direction: a round trip is two.

use quorate_protocol::{Consensus, Event, NodeId};

use super::arena::{ELECTION, WAY, command, led};
use super::{Contender, Table};
use crate::world::{Delay, Time};

/// Operations of one measurement.
const OPERATIONS: u64 = 1_000;

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Voters.
    nodes: u64,
    /// Entries proposed at once, and waited for together.
    together: u64,
    /// The client's node is a follower, which forwards.
    through_follower: bool,
}

/// What it came to, for one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    messages: f64,
    bytes: f64,
    /// Ways of a message until the node asked knows.
    ways: f64,
    /// While nothing is asked: messages in an election timeout.
    idle: f64,
}

pub(super) fn measure<C: Consensus>(setting: &Setting) -> Cost {
    let (mut world, leader) = led::<C>(setting.nodes, Delay::Fixed(WAY), 1);
    world.count();
    world.run(world.now + 10 * ELECTION, |_| false);
    let idle = world.tally().messages as f64 / 10.0;
    let follower = world.up().into_iter().find(|&node| node != leader).unwrap_or(leader);
    let asked: NodeId = if setting.through_follower { follower } else { leader };
    world.count();
    let mut took: Time = 0;
    let rounds = OPERATIONS / setting.together;
    for _ in 0..rounds {
        let (began, upto) = (world.now, world.commit(leader) + setting.together);
        world.tell(asked, Event::Propose(vec![command(); setting.together as usize]));
        let deadline = world.now + 1_000 * WAY;
        assert!(
            world.run(deadline, |world| world.commit(asked) >= upto),
            "nothing keeps it from being committed"
        );
        took += world.now - began;
        // Let the others hear of it, so that one operation's messages are not counted with the next one's.
        world.run(world.now + 4 * WAY, |_| false);
    }
    let tally = world.tally();
    let operations = (rounds * setting.together) as f64;
    Cost {
        messages: tally.messages as f64 / operations,
        bytes: tally.bytes as f64 / operations,
        ways: took as f64 / (rounds * WAY) as f64,
        idle,
    }
}

pub(super) fn table(contenders: &[Contender], head: Vec<String>) -> Table {
    let alone = Setting { nodes: 3, together: 1, through_follower: false };
    let costs = |setting: &Setting| -> Vec<Cost> { contenders.iter().map(|c| (c.cost)(setting)).collect() };
    let mut rows = Vec::new();
    for (name, setting) in [
        ("one at a time", alone),
        ("one at a time, five nodes", Setting { nodes: 5, ..alone }),
        ("one at a time, through a follower", Setting { through_follower: true, ..alone }),
        ("a hundred at once", Setting { together: 100, ..alone }),
    ] {
        let costs = costs(&setting);
        let mut push = |what: &str, tell: &dyn Fn(&Cost) -> String| {
            let cells = costs.iter().map(tell);
            rows.push(std::iter::once(format!("{name}: {what}")).chain(cells).collect::<Vec<String>>());
        };
        push("messages per operation", &|cost| format!("{:.2}", cost.messages));
        push("bytes per operation", &|cost| format!("{:.0}", cost.bytes));
        push("ways of a message until it is known", &|cost| format!("{:.1}", cost.ways));
        if name == "one at a time" {
            push("messages per election timeout while idle", &|cost| format!("{:.0}", cost.idle));
        }
    }
    Table { title: "What an operation costs", head, rows }
}
