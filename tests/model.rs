//! Every order of things for one connection between two real stacks, as far as a bound reaches: each packet may come now,
//! later or never, each application may close when it likes, and timers run out meanwhile. No order may lead to a state
//! that the connection cannot leave.
//!
//! It is a breadth-first search of our own and no model checker's, because a stack is no value that can be cloned or
//! hashed (a state is the list of actions that leads to it, played again), and because what is to be shown, that from
//! every state the end can still be reached, is no property of single paths.
//!
//! `TUNSTACK_MODEL_STATES=N cargo test --release --test model` searches N states of each setting; `scripts/soak` does.

#[path = "model/pair.rs"]
mod pair;

use pair::{Action, Pair, Setting};
use std::collections::{HashSet, VecDeque};
use tunstack::tcp::state::{Event, State};

/// States of each setting, unless the environment asks for more.
const STATES: usize = 20_000;

/// Who opens, and what else the applications may do.
const SETTINGS: [Setting; 6] = [
    Setting { both_open: false, writes: false, rude: false, drops: 2 },
    Setting { both_open: false, writes: true, rude: false, drops: 1 },
    Setting { both_open: false, writes: true, rude: true, drops: 1 },
    Setting { both_open: true, writes: false, rude: false, drops: 2 },
    Setting { both_open: true, writes: true, rude: false, drops: 1 },
    Setting { both_open: true, writes: false, rude: true, drops: 1 },
];

type Transition = (State, Event, State);

/// What a search has seen.
#[derive(Default)]
struct Seen {
    states: HashSet<State>,
    transitions: HashSet<Transition>,
    /// States searched, and actions on the longest way to one.
    searched: usize,
    depth: usize,
    /// Whether there was nothing left to search.
    complete: bool,
}

/// Searches the states of a setting, up to a number of them.
fn search(setting: Setting, most: usize, seen: &mut Seen) {
    let start = Pair::new(setting);
    let mut known = HashSet::from([start.fingerprint()]);
    let mut todo = VecDeque::from([(Vec::new(), start.actions())]);
    let mut searched = 0;
    while let Some((path, actions)) = todo.pop_front() {
        for action in actions {
            let mut pair = Pair::replay(setting, &path);
            pair.act(action);
            if !known.insert(pair.fingerprint()) {
                continue;
            }
            let mut way: Vec<Action> = path.clone();
            way.push(action);
            seen.depth = seen.depth.max(way.len());
            let next = pair.actions();
            pair.finish().unwrap_or_else(|why| panic!("{setting:?}\n{way:#?}\n{why}"));
            seen.states.extend(pair.states.iter().copied());
            seen.transitions.extend(pair.transitions.iter().copied());
            searched += 1;
            if searched == most {
                seen.searched += searched;
                return;
            }
            todo.push_back((way, next));
        }
    }
    seen.searched += searched;
    seen.complete = true;
}

fn bound() -> usize {
    let text = std::env::var("TUNSTACK_MODEL_STATES").ok();
    text.map_or(STATES, |n| n.parse().expect("TUNSTACK_MODEL_STATES is a number"))
}

/// What no order of these actions can bring about.
fn is_elsewhere((from, event, to): Transition) -> bool {
    // A listener's own coming and going is no connection's, and a cookie is only sent where the queue of SYNs is full. A
    // CLOSE in SYN-SENT is an ABORT in this stack.
    (from, to) == (State::Closed, State::Listen)
        || (from, to) == (State::Listen, State::Closed)
        || (from, event) == (State::Listen, Event::RcvAckOfSyn)
        || (from, event) == (State::SynSent, Event::Close)
}

#[test]
fn from_every_state_the_end_can_be_reached_and_every_state_is_reached() {
    let mut all = Seen::default();
    let searches = SETTINGS.map(|setting| {
        std::thread::spawn(move || {
            let mut seen = Seen::default();
            search(setting, bound(), &mut seen);
            seen
        })
    });
    for (setting, search) in SETTINGS.iter().zip(searches) {
        let seen = search.join().expect("a state without an end: see above");
        println!("{setting:?}: {} states, {} deep, all: {}", seen.searched, seen.depth, seen.complete);
        all.states.extend(seen.states);
        all.transitions.extend(seen.transitions);
        all.searched += seen.searched;
    }
    assert!(all.searched >= SETTINGS.len() * bound() || all.complete, "only {} states", all.searched);
    let unreached: Vec<State> = State::ALL.into_iter().filter(|state| !all.states.contains(state)).collect();
    assert_eq!(unreached, [], "states of RFC 9293 that were not reached");
    let wanted = State::ALL
        .into_iter()
        .flat_map(|from| Event::ALL.into_iter().filter_map(move |event| from.next(event).map(|to| (from, event, to))));
    let missing: Vec<Transition> = wanted.filter(|t| !is_elsewhere(*t) && !all.transitions.contains(t)).collect();
    assert_eq!(missing, [], "transitions that were not taken");
}

/// The search sees what it is to see: a stack that is given no time never ends its connections.
#[test]
fn a_connection_that_is_left_alone_is_found() {
    let mut pair = Pair::new(SETTINGS[0]);
    pair.frozen = true;
    let why = pair.finish().expect_err("nobody's SYN is sent again, and TIME-WAIT does not pass");
    assert!(why.contains("does not end"), "{why}");
}
