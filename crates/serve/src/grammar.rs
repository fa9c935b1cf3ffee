//! What an answer must be: JSON, JSON of a schema, or the call of a tool.
//!
//! A schema becomes a grammar over bytes ([`schema`], [`node`]), whose states are found as they are needed ([`machine`]); a token may
//! come next if its bytes lead from the state of the answer so far to another. Every state can be finished: what leads nowhere is taken
//! out of a grammar before it is used.

mod json;
mod machine;
mod node;
mod number;
mod schema;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use data::Tokenizer;
use model::TokenSet;

use crate::ask::Ordered;
use machine::{Machine, StateId};
use node::{Node, NodeId, Nodes};

/// Makes grammars for one vocabulary, whose order is found with the first.
#[derive(Debug, Default)]
pub(crate) struct Grammars(OnceLock<Arc<Vocabulary>>);

/// What the next tokens of an answer may be.
#[derive(Clone)]
pub(crate) struct Grammar {
    machine: Arc<Mutex<Machine>>,
    vocabulary: Arc<Vocabulary>,
    state: StateId,
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grammar in {:?}", self.state)
    }
}

/// Tokens with bytes, in ascending order of these.
#[derive(Debug)]
struct Vocabulary {
    tokens: Vec<Word>,
    /// The bytes of each id.
    bytes: Vec<Vec<u8>>,
    /// Tokens that end an answer.
    stops: Vec<u32>,
}

#[derive(Debug)]
struct Word {
    id: u32,
    /// Bytes that it begins with in common with the one before.
    n_common: usize,
}

impl Grammars {
    /// Of any object.
    pub(crate) fn object(&self, tokenizer: &Tokenizer) -> Result<Grammar, String> {
        let kind = ("type".to_owned(), Ordered::Text("object".into()));
        self.schema(tokenizer, &Ordered::Object(vec![kind]))
    }

    /// Of the values of a JSON schema.
    pub(crate) fn schema(&self, tokenizer: &Tokenizer, schema: &Ordered) -> Result<Grammar, String> {
        let mut nodes = Nodes::default();
        let root = schema::compile(&mut nodes, schema)?;
        self.of(tokenizer, nodes, root)
    }

    /// Of one of several calls: a name, and arguments of its schema, in the form that the texts make.
    pub(crate) fn call(
        &self,
        tokenizer: &Tokenizer,
        calls: &[(&str, &Ordered)],
        (before, arguments, after): (&str, &str, &str),
    ) -> Result<Grammar, String> {
        let mut nodes = Nodes::default();
        let mut all = Vec::new();
        for (name, schema) in calls {
            let value = schema::compile(&mut nodes, schema).map_err(|error| format!("`{name}`: {error}"))?;
            let name = serde_json::Value::from(*name);
            let head = nodes.add(Node::text(&format!("{before}{{\"name\": {name}, \"{arguments}\": ")))?;
            let tail = nodes.add(Node::text(&format!("}}{after}")))?;
            all.push(nodes.add(Node::Sequence(vec![head, value, tail]))?);
        }
        let root = nodes.add(Node::Either(all))?;
        self.of(tokenizer, nodes, root)
    }

    fn of(&self, tokenizer: &Tokenizer, mut nodes: Nodes, root: NodeId) -> Result<Grammar, String> {
        if !nodes.prune(root) {
            return Err("no value can have this schema".into());
        }
        let (machine, state) = Machine::new(nodes, root)?;
        let vocabulary = self.0.get_or_init(|| Arc::new(Vocabulary::of(tokenizer))).clone();
        Ok(Grammar { machine: Arc::new(Mutex::new(machine)), vocabulary, state })
    }
}

impl Grammar {
    /// The tokens that may come next.
    pub(crate) fn allowed(&self) -> Result<TokenSet, String> {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(allowed) = machine.allowed(self.state) {
            return Ok(allowed);
        }
        machine.begin_token();
        let allowed = self.vocabulary.allowed(&mut machine, self.state)?;
        machine.remember(self.state, allowed.clone());
        Ok(allowed)
    }

    /// Takes the token that came; `true` if nothing may follow it.
    pub(crate) fn push(&mut self, id: u32) -> Result<bool, String> {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in self.vocabulary.bytes.get(id as usize).into_iter().flatten() {
            let next = machine.next(self.state, *byte)?;
            self.state = next.ok_or("a token came that the grammar does not allow")?;
        }
        Ok(machine.is_over(self.state))
    }
}

impl Vocabulary {
    fn of(tokenizer: &Tokenizer) -> Self {
        let bytes: Vec<Vec<u8>> =
            (0..tokenizer.vocab_size() as u32).map(|id| tokenizer.decode_bytes(&[id])).collect();
        let mut ids: Vec<u32> =
            (0..bytes.len() as u32).filter(|&id| !bytes[id as usize].is_empty()).collect();
        ids.sort_by(|&a, &b| bytes[a as usize].cmp(&bytes[b as usize]));
        let mut before: &[u8] = &[];
        let tokens = ids.into_iter().map(|id| {
            let own = &bytes[id as usize];
            let n_common = own.iter().zip(before).take_while(|(a, b)| a == b).count();
            before = own;
            Word { id, n_common }
        });
        Self { tokens: tokens.collect(), stops: tokenizer.stops(), bytes: bytes.clone() }
    }

    /// Walks through all tokens in their order, so that what several begin with is read once.
    fn allowed(&self, machine: &mut Machine, state: StateId) -> Result<TokenSet, String> {
        let mut words = vec![0u32; self.bytes.len().div_ceil(32)];
        let mut allow = |id: u32| words[id as usize / 32] |= 1 << (id % 32);
        // The states behind the first bytes of the token before.
        let mut states = vec![state];
        for word in &self.tokens {
            let bytes = &self.bytes[word.id as usize];
            // It begins as one that could not go on.
            if word.n_common >= states.len() {
                continue;
            }
            states.truncate(word.n_common + 1);
            for byte in &bytes[word.n_common..] {
                match machine.next(states[states.len() - 1], *byte)? {
                    Some(next) => states.push(next),
                    None => break,
                }
            }
            if states.len() == bytes.len() + 1 {
                allow(word.id);
            }
        }
        if machine.is_complete(state) {
            self.stops.iter().for_each(|stop| allow(*stop));
        }
        Ok(TokenSet::from_words(words))
    }
}

#[cfg(test)]
mod tests;
