//! The nodes as Zave's invariant takes them.
//!
//! A node changes its pointers upon an answer, and tells nobody of them until it has come; so the change counts from when the
//! answer was given. While an answer is on its way, or the word of one who has left, the node is looked at as it will be when that has come. A question that is
//! doubled on its way has two answers, and which of them counts is not known until one has come: what holds with
//! one of them is not said to be wrong, and nobody may go that is needed with any.

use quorate_checker::Violation;
use quorate_checker::chord_ring::{self, Node};
use quorate_chord::{Effect, Event, Message, Phase, Rules, View};
use quorate_protocol::NodeId;

use super::member::{Member, place};
use super::name;

/// A view as the invariant takes it.
pub fn node(view: &View) -> Node {
    Node {
        id: view.own.id.0,
        member: view.phase == Phase::Member,
        alone: view.alone,
        predecessor: view.predecessor.map(|peer| peer.id.0),
        successors: view.successors.iter().map(|peer| peer.id.0).collect(),
    }
}

/// Which of several answers on their way counts.
#[derive(Clone, Copy)]
enum Answer {
    First,
    Last,
    None,
}

/// What may be on its way or not: an answer, and the word of those who have left.
const CASES: [(Answer, bool); 6] = [
    (Answer::First, true),
    (Answer::Last, true),
    (Answer::None, true),
    (Answer::First, false),
    (Answer::Last, false),
    (Answer::None, false),
];

/// All nodes, in this case, and if this is said besides.
fn views<R: Rules + Clone>(
    nodes: &[Member<R>],
    (answer, words): (Answer, bool),
    besides: &[(NodeId, Message)],
) -> Vec<Node> {
    let up = nodes.iter().filter_map(|node| Some((node, node.process()?)));
    up.map(|(own, process)| {
        let mut heard: Vec<Message> = Vec::new();
        if let Some((_, asked, token)) = process.view.asking {
            let mut answers = nodes[place(asked.node)].answers(name(own.place()), token);
            let message = match answer {
                Answer::First => answers.next(),
                Answer::Last => answers.last(),
                Answer::None => None,
            };
            heard.extend(message.cloned());
        }
        let told = |(to, message): &(NodeId, Message)| (*to == name(own.place())).then(|| message.clone());
        let spoken = nodes.iter().filter(|_| words).flat_map(Member::last_words);
        heard.extend(spoken.chain(besides).filter_map(told));
        if heard.is_empty() {
            return node(&process.view);
        }
        let mut chord = process.chord.clone();
        for message in heard {
            let from = match &message {
                Message::State { own, .. } | Message::Leaving { own, .. } => own.node,
                _ => continue,
            };
            chord.step(Event::Receive { from, message }, &mut Vec::new());
        }
        node(&chord.view())
    })
    .collect()
}

/// Whether the invariant holds.
pub fn check<R: Rules + Clone>(nodes: &[Member<R>], principals: usize) -> Result<(), Violation> {
    let judge = |case| chord_ring::check(&views(nodes, case, &[]), principals);
    judge(CASES[0]).or_else(|violation| {
        if CASES[1..].iter().any(|case| judge(*case).is_ok()) { Ok(()) } else { Err(violation) }
    })
}

/// Whether a node may fail within the assumptions; or leave, whether its word to its neighbours comes before they miss it or after.
pub fn may_go<R: Rules + Clone>(nodes: &[Member<R>], gone: usize, leaves: bool, principals: usize) -> bool {
    let Some(process) = nodes[gone].process() else { return false };
    let mut effects = Vec::new();
    if leaves {
        process.chord.clone().step(Event::Leave, &mut effects);
    }
    let said: Vec<(NodeId, Message)> = (effects.into_iter())
        .filter_map(|effect| match effect {
            Effect::Send { to, message } => Some((to, message)),
            _ => None,
        })
        .collect();
    let id = process.view.own.id.0;
    let stays = |case, said| chord_ring::may_go(&views(nodes, case, said), id, principals);
    CASES.into_iter().all(|case| stays(case, &said[..]) && stays(case, &[]))
}
