//! The states of a grammar, found as they are needed.

use std::collections::HashMap;

use model::TokenSet;

use super::node::{Node, NodeId, Nodes};

/// Most states of a grammar: some 50 MB.
const MAX_STATES: usize = 40_000;

/// Most places in all states, and most frames: another 50 MB each.
const MAX_PLACES: usize = 1_000_000;

/// Most work for one grammar, and for one token of it: others wait for the thread that does it. A place that is looked at is one
/// unit, a step sixteen; a million are some milliseconds.
const MAX_WORK: u64 = 80_000_000;
const MAX_WORK_OF_A_TOKEN: u64 = 16_000_000;

/// Most steps from one state to the next.
const MAX_STEPS: usize = 50_000;

/// A state, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StateId(u32);

/// What is left to do behind a node, by its number; none where nothing is.
type Rest = Option<u32>;

/// What comes behind the node that is read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Frame {
    /// The sequence goes on with this part.
    Part(NodeId, u32),
    /// So many of the repetitions were read.
    Count(NodeId, u32),
}

/// A byte that may come: of a text or a set, at a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    node: NodeId,
    at: u32,
    rest: Rest,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    places: Vec<Place>,
    /// Whether what was read is whole.
    is_complete: bool,
}

/// The next states of a state, by the byte: 0 where that is not known, 1 where there is none, or else the state's number and 2.
type Row = Box<[u32; 256]>;

/// A grammar and what is known of its states.
#[derive(Debug)]
pub(super) struct Machine {
    nodes: Nodes,
    frames: Vec<(Frame, Rest)>,
    frame_ids: HashMap<(Frame, Rest), u32>,
    states: Vec<State>,
    state_ids: HashMap<State, u32>,
    rows: Vec<Row>,
    allowed: HashMap<StateId, TokenSet>,
    /// Places in all states.
    n_places: usize,
    /// What was done, and how much of it before this token.
    work: u64,
    work_before: u64,
}

/// A state that is being put together.
#[derive(Default)]
struct Draft {
    places: Vec<Place>,
    is_complete: bool,
    /// Nodes that were entered with the same rest.
    seen: std::collections::HashSet<(NodeId, Rest)>,
    n_steps: usize,
}

impl Machine {
    pub(super) fn new(nodes: Nodes, root: NodeId) -> Result<(Self, StateId), String> {
        let mut machine = Self {
            nodes,
            frames: Vec::new(),
            frame_ids: HashMap::new(),
            states: Vec::new(),
            state_ids: HashMap::new(),
            rows: Vec::new(),
            allowed: HashMap::new(),
            n_places: 0,
            work: 0,
            work_before: 0,
        };
        let mut draft = Draft::default();
        machine.work(Step::Enter(root, None), &mut draft)?;
        let first = machine.state(draft)?;
        Ok((machine, first))
    }

    /// The state behind a byte, if that may come.
    pub(super) fn next(&mut self, state: StateId, byte: u8) -> Result<Option<StateId>, String> {
        let known = self.rows[state.0 as usize][usize::from(byte)];
        if known > 0 {
            return Ok(known.checked_sub(2).map(StateId));
        }
        let places = self.states[state.0 as usize].places.clone();
        self.spend(places.len() as u64)?;
        let mut draft = Draft::default();
        for place in places {
            let Place { node, at, rest } = place;
            match self.nodes.get(node) {
                Node::Text(text) if text[at as usize] == byte => match text.len() as u32 - at {
                    1 => self.work(Step::Leave(rest), &mut draft)?,
                    _ => draft.places.push(Place { at: at + 1, ..place }),
                },
                Node::One(set) if set.has(byte) => self.work(Step::Leave(rest), &mut draft)?,
                _ => {}
            }
        }
        let next =
            if draft.places.is_empty() && !draft.is_complete { None } else { Some(self.state(draft)?) };
        self.rows[state.0 as usize][usize::from(byte)] = next.map_or(1, |next| next.0 + 2);
        Ok(next)
    }

    /// From here on another token is worked on.
    pub(super) fn begin_token(&mut self) {
        self.work_before = self.work;
    }

    fn spend(&mut self, work: u64) -> Result<(), String> {
        self.work += work;
        match self.work > MAX_WORK || self.work - self.work_before > MAX_WORK_OF_A_TOKEN {
            true => Err("the grammar is too intricate".into()),
            false => Ok(()),
        }
    }

    /// Whether what was read is whole.
    pub(super) fn is_complete(&self, state: StateId) -> bool {
        self.states[state.0 as usize].is_complete
    }

    /// Whether it is whole and nothing may follow.
    pub(super) fn is_over(&self, state: StateId) -> bool {
        let State { places, is_complete } = &self.states[state.0 as usize];
        *is_complete && places.is_empty()
    }

    pub(super) fn allowed(&self, state: StateId) -> Option<TokenSet> {
        self.allowed.get(&state).cloned()
    }

    pub(super) fn remember(&mut self, state: StateId, allowed: TokenSet) {
        // States that come again are few.
        if self.allowed.len() < 256 {
            self.allowed.insert(state, allowed);
        }
    }

    fn state(&mut self, draft: Draft) -> Result<StateId, String> {
        let Draft { mut places, is_complete, .. } = draft;
        places.sort_unstable();
        places.dedup();
        let state = State { places, is_complete };
        if let Some(id) = self.state_ids.get(&state) {
            return Ok(StateId(*id));
        }
        self.n_places += state.places.len();
        if self.states.len() >= MAX_STATES || self.n_places.max(self.frames.len()) > MAX_PLACES {
            return Err("the grammar has too many states".into());
        }
        let id = self.states.len() as u32;
        self.states.push(state.clone());
        self.state_ids.insert(state, id);
        self.rows.push(Box::new([0; 256]));
        Ok(StateId(id))
    }

    fn frame(&mut self, frame: Frame, rest: Rest) -> Rest {
        let next = self.frames.len() as u32;
        let id = *self.frame_ids.entry((frame, rest)).or_insert(next);
        if id == next {
            self.frames.push((frame, rest));
        }
        Some(id)
    }

    /// Everything that may come first, once all of this is done. A list of what is left takes the place of calls: a schema may be
    /// longer than the stack is deep.
    fn work(&mut self, first: Step, draft: &mut Draft) -> Result<(), String> {
        let mut left = vec![first];
        while let Some(step) = left.pop() {
            draft.n_steps += 1;
            self.spend(16)?;
            if draft.n_steps > MAX_STEPS {
                return Err("the grammar is too intricate".into());
            }
            match step {
                Step::Enter(node, rest) => {
                    if !draft.seen.insert((node, rest)) {
                        continue;
                    }
                    match self.nodes.get(node) {
                        Node::Text(text) if text.is_empty() => left.push(Step::Leave(rest)),
                        Node::Text(_) | Node::One(_) => draft.places.push(Place { node, at: 0, rest }),
                        Node::Sequence(_) => left.push(Step::Part(node, 0, rest)),
                        Node::Either(all) => left.extend(all.iter().map(|one| Step::Enter(*one, rest))),
                        Node::Repeated { .. } => left.push(Step::Count(node, 0, rest)),
                    }
                }
                Step::Leave(None) => draft.is_complete = true,
                Step::Leave(Some(rest)) => left.push(match self.frames[rest as usize] {
                    (Frame::Part(node, at), rest) => Step::Part(node, at, rest),
                    (Frame::Count(node, n), rest) => Step::Count(node, n, rest),
                }),
                Step::Part(node, at, rest) => {
                    let Node::Sequence(parts) = self.nodes.get(node) else { continue };
                    let (n, part) = (parts.len() as u32, parts.get(at as usize).copied());
                    // Behind the last part comes what comes behind the sequence.
                    let rest = if at + 1 < n { self.frame(Frame::Part(node, at + 1), rest) } else { rest };
                    left.push(part.map_or(Step::Leave(rest), |part| Step::Enter(part, rest)));
                }
                Step::Count(node, n, rest) => {
                    let &Node::Repeated { item, least, most } = self.nodes.get(node) else { continue };
                    if n >= least {
                        left.push(Step::Leave(rest));
                    }
                    if most.is_none_or(|most| n < most) {
                        // Without an upper end it is of no account by how many they are more.
                        let next = if most.is_some() { n + 1 } else { (n + 1).min(least) };
                        let rest = self.frame(Frame::Count(node, next), rest);
                        left.push(Step::Enter(item, rest));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Something that is left to do.
enum Step {
    /// Read a node.
    Enter(NodeId, Rest),
    /// Go on behind one.
    Leave(Rest),
    /// Go on with a part of a sequence.
    Part(NodeId, u32, Rest),
    /// Go on behind so many repetitions.
    Count(NodeId, u32, Rest),
}
