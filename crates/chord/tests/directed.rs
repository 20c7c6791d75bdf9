//! Single nodes, messages by hand; and bytes.

mod common;

use bytes::Bytes;
use common::variants::{PredecessorOwns, WalksTheRing};
use common::world::World;
use common::{peer, wrong};
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_chord::{
    Chord, Config, Corrected, Effect, Event, Id, LookupId, Manner, Message, Peer, Phase, Reason, Refusal,
    Rules, Token,
};
use quorate_protocol::NodeId;
use quorate_protocol::codec::{Encode, Reader, Writer};

/// The ring of 10, 20, 30, 40, and its member 20, which does nothing by itself.
fn twenty() -> Chord<Corrected> {
    let members = [10, 20, 30, 40].map(peer);
    let config = Config { stabilise_ticks: 0, finger_ticks: 0, ..Config::new(peer(20), 3) };
    Chord::among(config, &members, 1)
}

fn step<R: Rules>(node: &mut Chord<R>, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    node.step(event, &mut effects);
    effects
}

fn hear(node: &mut Chord<Corrected>, from: u64, message: Message) -> Vec<Effect> {
    step(node, Event::Receive { from: NodeId(from), message })
}

fn sent(to: u64, message: Message) -> Effect {
    Effect::Send { to: NodeId(to), message }
}

/// The number of the question a node asks.
fn asking(node: &Chord<Corrected>) -> Token {
    node.view().asking.expect("it asks").2
}

#[test]
fn who_waits_for_an_answer_tells_nobody_its_pointers() {
    let mut node = twenty();
    let token = Token(5);
    assert!(matches!(
        hear(&mut node, 10, Message::Query { token })[..],
        [Effect::Send { message: Message::State { .. }, .. }]
    ));
    step(&mut node, Event::Stabilise);
    assert_eq!(hear(&mut node, 10, Message::Query { token }), [sent(10, Message::Busy { token })]);
    // But a step towards a key it tells.
    let step = hear(&mut node, 10, Message::Step { token, key: Id(25) });
    assert!(matches!(&step[..], [Effect::Send { message: Message::Owner { successors, .. }, .. }]
        if successors[0] == peer(30)));
}

#[test]
fn a_nearer_successor_is_heard_before_it_is_adopted() {
    let mut node = twenty();
    step(&mut node, Event::Stabilise);
    let token = asking(&node);
    let told = Message::State {
        token,
        own: peer(30),
        predecessor: Some(peer(25)),
        successors: vec![peer(40), peer(10)],
    };
    hear(&mut node, 30, told);
    assert_eq!(node.view().successors[0], peer(30), "25 has not been heard");
    let token = asking(&node);
    let told = Message::State {
        token,
        own: peer(25),
        predecessor: None,
        successors: vec![peer(30), peer(40), peer(10)],
    };
    assert_eq!(hear(&mut node, 25, told), [sent(25, Message::Notify { own: peer(20) })]);
    assert_eq!(node.view().successors, [25, 30, 40].map(peer));
}

#[test]
fn an_answer_to_another_question_or_of_another_node_is_nothing() {
    let mut node = twenty();
    step(&mut node, Event::Stabilise);
    let before = node.view();
    let token = asking(&node);
    let told = |token| Message::State { token, own: peer(30), predecessor: None, successors: vec![] };
    assert!(hear(&mut node, 30, told(Token(token.0 ^ 1))).is_empty());
    assert!(hear(&mut node, 40, told(token)).is_empty());
    assert!(hear(&mut node, 40, Message::Absent { token }).is_empty());
    assert_eq!(node.view(), before);
}

#[test]
fn the_next_in_the_list_follows_the_dead() {
    let mut node = twenty();
    step(&mut node, Event::Stabilise);
    let token = asking(&node);
    let asked = hear(&mut node, 30, Message::Absent { token });
    assert!(matches!(asked[..], [Effect::Send { to: NodeId(40), message: Message::Query { .. } }]));
    assert_eq!(node.view().successors, [40, 10].map(peer));
    let after: Vec<Effect> = (0..30).flat_map(|_| step(&mut node, Event::Tick)).collect();
    assert!(after.contains(&sent(10, Message::Query { token: asking(&node) })), "{after:?}");
    let after: Vec<Effect> = (0..30).flat_map(|_| step(&mut node, Event::Tick)).collect();
    assert!(after.contains(&Effect::Lost), "{after:?}");
    assert_eq!(node.phase(), Phase::Outside);
}

#[test]
fn who_notifies_meanwhile_gets_its_turn() {
    let mut node = twenty();
    step(&mut node, Event::Stabilise);
    let token = asking(&node);
    assert!(hear(&mut node, 15, Message::Notify { own: peer(15) }).is_empty());
    assert_eq!(node.view().predecessor, Some(peer(10)));
    let effects = hear(&mut node, 30, Message::Busy { token });
    assert_eq!(effects, [Effect::Given { from: Id(10), upto: Id(15), to: peer(15) }]);
    assert_eq!(node.view().predecessor, Some(peer(15)));
}

#[test]
fn a_predecessor_is_replaced_by_one_farther_off_only_when_it_is_gone() {
    let mut node = twenty();
    assert!(matches!(
        hear(&mut node, 5, Message::Notify { own: peer(5) })[..],
        [Effect::Send { to: NodeId(10), message: Message::Query { .. } }]
    ));
    assert!(matches!(node.view().asking, Some((Reason::Rectify(new), _, _)) if new == peer(5)));
    let token = asking(&node);
    let effects = hear(&mut node, 10, Message::Absent { token });
    assert_eq!(effects, [Effect::Gained { from: Id(5), upto: Id(10), at: None }]);
    assert_eq!(node.view().predecessor, Some(peer(5)));
    // A notification in another's name is nothing.
    assert!(hear(&mut node, 77, Message::Notify { own: peer(18) }).is_empty());
}

#[test]
fn an_identifier_that_is_taken_cannot_join() {
    let mut world: World<Corrected> = World::new(3);
    world.found(&[10, 20, 30].map(peer), 2);
    world.join(Peer { id: Id(20), node: NodeId(99) }, 2, NodeId(30));
    world.run(60);
    assert!(world.told.contains(&(NodeId(99), Effect::JoinFailed(Refusal::Taken))), "{:?}", world.told);
    world.join(peer(50), 2, NodeId(404));
    world.run(60);
    assert!(world.told.contains(&(NodeId(50), Effect::JoinFailed(Refusal::NoAnswer))), "{:?}", world.told);
}

#[test]
fn joining_walks_on_to_the_best_predecessor() {
    let config = Config { stabilise_ticks: 0, finger_ticks: 0, ..Config::new(peer(35), 3) };
    let mut node: Chord<Corrected> = Chord::new(config, 1);
    let effects = step(&mut node, Event::Join(NodeId(10)));
    let [Effect::Send { message: Message::Step { token, .. }, .. }] = effects[..] else {
        panic!("{effects:?}")
    };
    // 10 thinks, wrongly by now, that it comes before 40.
    let effects = hear(&mut node, 10, Message::Owner { token, own: peer(10), successors: vec![peer(40)] });
    assert!(matches!(effects[..], [Effect::Send { to: NodeId(10), message: Message::Query { .. } }]));
    let token = asking(&node);
    let told = Message::State {
        token,
        own: peer(10),
        predecessor: None,
        successors: [20, 30, 40].map(peer).to_vec(),
    };
    let effects = hear(&mut node, 10, told);
    assert!(
        matches!(effects[..], [Effect::Send { to: NodeId(30), message: Message::Query { .. } }]),
        "{effects:?}"
    );
    let token = asking(&node);
    let told = Message::State {
        token,
        own: peer(30),
        predecessor: None,
        successors: [40, 10, 20].map(peer).to_vec(),
    };
    let effects = hear(&mut node, 30, told);
    assert!(effects.contains(&Effect::Joined));
    assert!(effects.contains(&Effect::Gained { from: Id(30), upto: Id(35), at: Some(peer(40)) }));
    assert_eq!(node.view().successors, [40, 10, 20].map(peer));
}

#[test]
fn lookups_are_refused_and_fall_back() {
    let mut outside: Chord<Corrected> = Chord::new(Config::new(peer(1), 2), 1);
    let ask = |lookup, manner| Event::Lookup { lookup: LookupId(lookup), key: Id(5), manner };
    let failed = |lookup, why| Effect::Failed { lookup: LookupId(lookup), why };
    assert_eq!(step(&mut outside, ask(1, Manner::Iterative)), [failed(1, Refusal::NotMember)]);
    let config = Config { max_lookups: 1, stabilise_ticks: 0, finger_ticks: 0, ..Config::new(peer(20), 3) };
    let mut node: Chord<Corrected> = Chord::among(config, &[10, 20, 30, 40].map(peer), 1);
    let effects = step(&mut node, ask(2, Manner::Recursive));
    assert!(matches!(effects[..], [Effect::Send { message: Message::Route { .. }, .. }]));
    assert_eq!(step(&mut node, ask(3, Manner::Iterative)), [failed(3, Refusal::TooMany)]);
    // Nobody answers: it is asked iteratively, one after the other, and fails when all were asked.
    let effects: Vec<Effect> = (0..100).flat_map(|_| step(&mut node, Event::Tick)).collect();
    let steps =
        effects.iter().filter(|effect| matches!(effect, Effect::Send { message: Message::Step { .. }, .. }));
    assert!(steps.count() >= 2);
    assert_eq!(effects.last(), Some(&failed(2, Refusal::NoAnswer)));
}

/// Found by the seeded world, seeds 8 and 12: a node that came back with another identifier asked itself for the pointers of
/// its former life, which was busy for ever, and passed a question on to it for ever.
#[test]
fn a_former_life_at_the_own_address_is_gone() {
    let former = Peer { id: Id(30), node: NodeId(20) };
    let config = Config { stabilise_ticks: 0, finger_ticks: 0, ..Config::new(peer(20), 3) };
    let mut node: Chord<Corrected> = Chord::among(config, &[peer(10), peer(20), former, peer(40)], 1);
    step(&mut node, Event::Stabilise);
    let token = asking(&node);
    assert_eq!(hear(&mut node, 20, Message::Query { token }), [sent(20, Message::Absent { token })]);
    hear(&mut node, 20, Message::Absent { token });
    assert_eq!(node.view().successors, [40, 10].map(peer));
    let route = |to| Message::Route { token, to: Id(to), asker: peer(10), key: Id(35), hops: 1 };
    assert!(hear(&mut node, 10, route(30)).is_empty(), "it is for the former life");
    assert_eq!(hear(&mut node, 10, route(20)).len(), 1);
}

#[test]
fn leaving_tells_the_neighbours_and_gives_the_keys_away() {
    let mut node = twenty();
    let effects = step(&mut node, Event::Leave);
    let successors = [30, 40, 10].map(peer).to_vec();
    let leaving = |to| sent(to, Message::Leaving { own: peer(20), successors: successors.clone() });
    let given = Effect::Given { from: Id(10), upto: Id(20), to: peer(30) };
    assert_eq!(effects, [given, leaving(10), leaving(30), Effect::Left]);
    assert!(step(&mut node, Event::Stabilise).is_empty() && node.phase() == Phase::Left);
}

#[test]
fn a_late_word_of_one_who_has_left_is_not_believed() {
    let mut node = twenty();
    assert!(hear(&mut node, 10, Message::Leaving { own: peer(10), successors: vec![peer(20)] }).is_empty());
    let gained = Effect::Gained { from: Id(5), upto: Id(10), at: Some(peer(10)) };
    assert_eq!(hear(&mut node, 5, Message::Notify { own: peer(5) }), [gained], "nobody has to be asked");
    let effects = hear(&mut node, 10, Message::Notify { own: peer(10) });
    assert!(
        matches!(effects[..], [Effect::Send { to: NodeId(10), message: Message::Query { .. } }]),
        "{effects:?}"
    );
    let token = asking(&node);
    assert!(hear(&mut node, 10, Message::Absent { token }).is_empty());
    assert_eq!(node.view().predecessor, Some(peer(5)));
    // It is back, and says so again.
    hear(&mut node, 10, Message::Notify { own: peer(10) });
    let (token, own) = (asking(&node), peer(10));
    let told = Message::State { token, own, predecessor: None, successors: vec![peer(20)] };
    let given = Effect::Given { from: Id(5), upto: Id(10), to: peer(10) };
    assert_eq!(hear(&mut node, 10, told), [given]);
}

#[test]
fn walking_the_ring_and_taking_the_predecessor_are_noticed() {
    fn hops<R: Rules>(seed: u64) -> (f64, u64) {
        let mut world: World<R> = World::new(seed);
        let members: Vec<Peer> = (1..=64).map(|n| peer(n << 57)).collect();
        world.found(&members, 3);
        let (found, right, _) = world.ask_around(100, Manner::Iterative);
        let hops = world.told.iter().filter_map(|(_, effect)| match effect {
            Effect::Found { hops, .. } => Some(f64::from(*hops)),
            _ => None,
        });
        (hops.sum::<f64>() / found as f64, right)
    }
    let (by_fingers, right) = hops::<Corrected>(1);
    assert!(by_fingers < 4.0 && right == 100, "{by_fingers} {right}");
    let (by_successors, right) = hops::<WalksTheRing>(1);
    assert!(by_successors > 20.0 && right > 90, "{by_successors} {right}");
    assert!(hops::<PredecessorOwns>(1).1 < 5);
}

fn peers() -> impl Strategy<Value = Vec<Peer>> {
    vec((0..60u64).prop_map(peer), 0..6)
}

fn message() -> impl Strategy<Value = Message> {
    let token = || any::<u64>().prop_map(Token);
    let place = || (0..60u64).prop_map(peer);
    let maybe = || proptest::option::of((0..60u64).prop_map(peer));
    prop_oneof![
        token().prop_map(|token| Message::Query { token }),
        (token(), place(), maybe(), peers()).prop_map(|(token, own, predecessor, successors)| {
            Message::State { token, own, predecessor, successors }
        }),
        token().prop_map(|token| Message::Busy { token }),
        token().prop_map(|token| Message::Absent { token }),
        place().prop_map(|own| Message::Notify { own }),
        (token(), 0..60u64).prop_map(|(token, key)| Message::Step { token, key: Id(key) }),
        (token(), place(), peers()).prop_map(|(token, own, successors)| Message::Owner {
            token,
            own,
            successors
        }),
        (token(), peers()).prop_map(|(token, peers)| Message::Closer { token, peers }),
        (token(), place(), any::<u64>(), any::<u32>()).prop_map(|(token, asker, key, hops)| Message::Route {
            token,
            to: asker.id,
            asker,
            key: Id(key),
            hops
        }),
        (token(), place(), any::<u32>()).prop_map(|(token, owner, hops)| Message::Routed {
            token,
            owner,
            hops
        }),
        (place(), peers()).prop_map(|(own, successors)| Message::Leaving { own, successors }),
    ]
}

fn bytes(message: &Message) -> Bytes {
    let mut out = Writer::new();
    message.encode(&mut out);
    out.into_bytes()
}

/// Puts the number of the question under way into a message, so that it is listened to.
fn fitting(mut message: Message, number: Option<Token>) -> Message {
    if let Message::State { token, .. } | Message::Busy { token } | Message::Absent { token } = &mut message
        && let Some(number) = number
    {
        *token = number;
    }
    message
}

proptest! {
    #[test]
    fn messages_come_back_from_their_bytes(message in message()) {
        let whole = bytes(&message);
        let back: Result<Message, _> = Reader::whole(whole.clone());
        prop_assert_eq!(back, Ok(message));
        for len in 0..whole.len() {
            prop_assert!(Reader::whole::<Message>(whole.slice(..len)).is_err());
        }
    }

    #[test]
    fn no_bytes_panic(noise in vec(any::<u8>(), 0..200)) {
        let _ = Reader::whole::<Message>(Bytes::from(noise));
    }

    #[test]
    fn whatever_arrives_the_list_stays_a_list(
        events in vec((0..60u64, message(), any::<bool>(), 0..4u8), 0..60),
    ) {
        let mut node = twenty();
        for (from, message, fits, other) in events {
            let asked = node.view().asking;
            let number = asked.map(|(_, _, token)| token).filter(|_| fits);
            let from = asked.map_or(from, |(_, to, _)| if fits { to.node.0 } else { from });
            match other {
                0 => { step(&mut node, Event::Stabilise); }
                1 => { (0..11).for_each(|_| { step(&mut node, Event::Tick); }); }
                2 => { step(&mut node, Event::Lookup { lookup: LookupId(1), key: Id(from), manner: Manner::Iterative }); }
                _ => {}
            }
            hear(&mut node, from, fitting(message, number));
            let view = node.view();
            prop_assert!(view.successors.len() <= 3);
            prop_assert!(view.phase != Phase::Member || view.alone || !view.successors.is_empty());
            // Alone, the only thing that can be wrong is the list's order.
            let what = wrong(&[view], 0);
            prop_assert!(what.as_ref().is_none_or(|what| what.contains("live successor")), "{:?}", what);
        }
    }
}
