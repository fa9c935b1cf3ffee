//! The loop that decodes.

use std::{
    collections::{HashMap, VecDeque},
    sync::OnceLock,
};

use tensor::{Kernels, PAGE_LEN};

use super::{
    DecodeError, Event, Finish, KvCache, PromptToken, Request, SequenceId, Token, TokenSet,
    page_pool::PagePool,
    sequence::{Prefix, Sequence},
};
use crate::{Gpt, Tokens, input::Piece};

/// Most tokens of prompts that a step scores: each takes a row of logits.
const MAX_SCORED: usize = 128;

/// How much an engine holds and does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Most pages of keys and values, [`PAGE_LEN`] positions each; memory is taken as they are needed.
    pub n_pages: usize,
    /// Most sequences that are decoded at a time; others wait.
    pub max_sequences: usize,
    /// Most tokens of prompts that a step reads, beside one token of every sequence that is past its prompt.
    pub chunk_tokens: usize,
}

impl EngineSettings {
    /// Room for `n` sequences of `n_tokens` each, and for one page more of each, so that what is kept for later stays.
    pub fn for_sequences(n: usize, n_tokens: usize) -> Self {
        let n_pages = n.saturating_mul(n_tokens.div_ceil(PAGE_LEN) + 1);
        Self { n_pages, max_sequences: n, chunk_tokens: 512 }
    }
}

/// What an engine has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tokens that went through the model.
    pub n_read: u64,
    /// Tokens whose keys and values were found in pages.
    pub n_reused: u64,
    /// Steps that ran the model.
    pub n_steps: u64,
}

/// Decodes sequences of one model, which join and leave at any step.
///
/// What a sequence gets depends on its request alone: see the invariant of [`crate::decode`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = model::ModelConfig {
/// #     vocab_size: 40, max_seq_len: 64, n_layers: 1, d_model: 16, n_heads: 2, n_kv_heads: 1, d_head: 8, d_ff: 16,
/// #     rope_theta: 1e4, norm_eps: 1e-5, qk_norm: false, qkv_bias: false, rope_scaling: None, tie_embeddings: true,
/// #     vision: None,
/// # };
/// use model::{Engine, EngineSettings, Event, Gpt, Request};
/// let (gpt, kernels) = (Gpt::new(config, 0), tensor::Cpu::new(1));
/// let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(2, 64));
/// let id = engine.submit(Request::new(vec![1, 2, 3], 5))?;
/// let mut ids = Vec::new();
/// while !engine.is_idle() {
///     for event in engine.step() {
///         if let Event::Token { token, .. } = event {
///             ids.push(token.id);
///         }
///     }
/// }
/// assert_eq!(ids.len(), 5);
/// # Ok(()) }
/// ```
pub struct Engine<'a> {
    pub(super) gpt: &'a Gpt,
    pub(super) kernels: &'a dyn Kernels,
    settings: EngineSettings,
    pool: PagePool,
    cache: KvCache,
    waiting: VecDeque<Sequence>,
    /// In the order in which they came in.
    pub(super) active: Vec<Sequence>,
    n_submitted: u64,
    stats: Stats,
    /// A number for every image that was ever given, by its hash.
    pub(super) images: HashMap<u128, u32>,
}

impl<'a> Engine<'a> {
    /// An engine without a sequence.
    pub fn new(gpt: &'a Gpt, kernels: &'a dyn Kernels, settings: EngineSettings) -> Self {
        Self {
            gpt,
            kernels,
            settings,
            pool: PagePool::new(settings.n_pages),
            cache: KvCache::new(gpt.config(), gpt.dtype(), kernels),
            waiting: VecDeque::new(),
            active: Vec::new(),
            n_submitted: 0,
            stats: Stats::default(),
            images: HashMap::new(),
        }
    }

    /// The model that it decodes with.
    pub fn gpt(&self) -> &'a Gpt {
        self.gpt
    }

    /// Whether every sequence has ended.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Pages that sequences use now; those that are kept for later are not among them.
    pub fn n_pages_used(&self) -> usize {
        self.pool.n_used()
    }

    /// Bytes of keys and values, those that are kept for later among them.
    pub fn n_cache_bytes(&self) -> usize {
        self.cache.n_bytes()
    }

    /// Takes a sequence in. It begins with the next step in which there is room, after those that came before.
    ///
    /// # Errors
    /// If the model cannot read the prompt, a setting is outside its range, or all pages together are too few.
    pub fn submit(&mut self, request: Request) -> Result<SequenceId, DecodeError> {
        let id = SequenceId(self.n_submitted);
        let sequence = self.checked(id, request)?;
        self.n_submitted += 1;
        self.waiting.push_back(sequence);
        Ok(id)
    }

    /// Another sequence that goes on from what a sequence has so far, drawing with a seed of its own, for as many tokens as
    /// that one has left. Neither changes what the other gets: it is as if the text so far were the prompt.
    ///
    /// # Errors
    /// If there is no such sequence.
    pub fn fork(&mut self, sequence: SequenceId, seed: u64) -> Result<SequenceId, DecodeError> {
        let parent = self.active.iter().chain(&self.waiting).find(|parent| parent.id == sequence);
        let parent = parent.ok_or(DecodeError::UnknownSequence(sequence))?;
        let max_new_tokens = parent.request.max_new_tokens - parent.n_new();
        // It finds the pages of what was read, and copies the last if that is not full.
        let (prompt, request) = (parent.ids.clone(), parent.request.clone());
        self.submit(Request { prompt, max_new_tokens, seed, prompt_top: None, ..request })
    }

    /// From now on the sequence draws tokens of this set alone, or any where none is given; the token that stands for images is
    /// never drawn. It is not passed on by [`Engine::fork`].
    ///
    /// # Errors
    /// If there is no such sequence, or the set has no token of the model.
    pub fn restrict(&mut self, sequence: SequenceId, allowed: Option<TokenSet>) -> Result<(), DecodeError> {
        let config = self.gpt.config();
        let mut drawn = (0..config.vocab_size as u32).filter(|id| Some(*id) != config.never_written());
        if allowed.as_ref().is_some_and(|allowed| !drawn.any(|id| allowed.contains(id))) {
            return Err(DecodeError::NothingAllowed);
        }
        let known = self.active.iter_mut().chain(&mut self.waiting).find(|known| known.id == sequence);
        known.ok_or(DecodeError::UnknownSequence(sequence))?.allowed = allowed;
        Ok(())
    }

    /// Ends a sequence, whether it has begun or not, and frees its pages. No event tells of it.
    ///
    /// # Errors
    /// If there is no such sequence.
    pub fn cancel(&mut self, sequence: SequenceId) -> Result<(), DecodeError> {
        if let Some(i) = self.active.iter().position(|active| active.id == sequence) {
            self.pool.release(&self.active.remove(i).pages);
            return Ok(());
        }
        let waiting = self.waiting.iter().position(|waiting| waiting.id == sequence);
        waiting.and_then(|i| self.waiting.remove(i)).ok_or(DecodeError::UnknownSequence(sequence))?;
        Ok(())
    }

    /// Runs the model once: every sequence that is past its prompt gets a token, and prompts are read on.
    pub fn step(&mut self) -> Vec<Event> {
        let mut events = self.admit();
        let ranges = self.plan();
        self.look(&ranges);
        let running = || self.active.iter().zip(&ranges).filter(|(_, range)| !range.is_empty());
        if running().next().is_none() {
            return events;
        }
        self.cache.grow_to(self.pool.n_touched());
        let pieces = running().map(|(sequence, range)| Piece {
            ids: &sequence.ids[range.clone()],
            start: range.start,
            pages: &sequence.pages,
        });
        let tokens = Tokens::continued(pieces);
        let tokens = self.with_images(tokens, &ranges);
        // Those that have read all that they have are due a token.
        let is_due = |sequence: &Sequence| sequence.n_read == sequence.ids.len();
        let mut rows = Vec::new();
        // For each row: of which active sequence, and the token that follows where the prompt has it.
        let mut wanted: Vec<(usize, Option<u32>)> = Vec::new();
        let numbered = self.active.iter().zip(&ranges).enumerate();
        let numbered = numbered.filter(|(_, (_, range))| !range.is_empty());
        for ((i, (sequence, range)), last_row) in numbered.zip(tokens.last_rows()) {
            if sequence.is_scoring() {
                let end = range.end.min(sequence.ids.len() - 1);
                rows.extend((range.start..end).map(|at| last_row + 1 + at - range.end));
                wanted.extend((range.start..end).map(|at| (i, Some(sequence.ids[at + 1]))));
            }
            if is_due(sequence) {
                rows.push(last_row);
                wanted.push((i, None));
            }
        }
        let logits = self.gpt.logits(self.kernels, &tokens, &rows, Some(&mut self.cache));
        self.stats.n_read += tokens.len() as u64;
        self.stats.n_steps += 1;
        for (sequence, range) in self.active.iter().zip(&ranges).filter(|(_, range)| !range.is_empty()) {
            let pages = &sequence.pages[range.start / PAGE_LEN..range.end.div_ceil(PAGE_LEN)];
            pages.iter().for_each(|page| self.pool.set_ready(*page));
        }
        let found = self.choose(&wanted, logits.f32(), logits.last_dim());
        let mut ended = Vec::new();
        for ((i, _), found) in wanted.into_iter().zip(found) {
            let sequence = &mut self.active[i];
            let id = sequence.id;
            let token = match found {
                Found::Scored(token) => {
                    sequence.scored.push(token);
                    continue;
                }
                Found::Chosen(token) => token,
            };
            if sequence.n_new() == 0 {
                let tokens = std::mem::take(&mut sequence.scored);
                events.push(Event::Prompt { sequence: id, n_reused: sequence.n_reused, tokens });
            }
            if sequence.request.stop.contains(&token.id) {
                events.push(Event::Finished { sequence: id, finish: Finish::Stop, stop_token: Some(token) });
                ended.push(i);
                continue;
            }
            let finish = sequence.push(token.id, self.gpt.config().max_seq_len);
            events.push(Event::Token { sequence: id, token });
            if let Some(finish) = finish {
                events.push(Event::Finished { sequence: id, finish, stop_token: None });
                ended.push(i);
            }
        }
        for i in ended.into_iter().rev() {
            self.pool.release(&self.active.remove(i).pages);
        }
        events
    }

    /// A sequence that the model can read and the pages can hold.
    fn checked(&mut self, id: SequenceId, request: Request) -> Result<Sequence, DecodeError> {
        let config = self.gpt.config();
        let (n_tokens, max_seq_len, vocab_size) =
            (request.prompt.len(), config.max_seq_len, config.vocab_size);
        if n_tokens == 0 {
            return Err(DecodeError::EmptyPrompt);
        }
        if n_tokens > max_seq_len {
            return Err(DecodeError::PromptTooLong { n_tokens, max_seq_len });
        }
        let is_unknown = |id: &u32| *id as usize >= vocab_size;
        let in_bias = || request.logit_bias.iter().map(|(id, _)| *id).find(is_unknown);
        let in_prompt = request.prompt.iter().copied().find(is_unknown).map(|id| ("prompt", id));
        if let Some((place, id)) = in_prompt.or_else(|| in_bias().map(|id| ("logit bias", id))) {
            return Err(DecodeError::UnknownToken { place, id, vocab_size });
        }
        if let Some(&(id, found)) = request.logit_bias.iter().find(|(_, bias)| !bias.is_finite()) {
            return Err(DecodeError::Bias { id, found });
        }
        let penalties = [
            ("frequency_penalty", request.frequency_penalty),
            ("presence_penalty", request.presence_penalty),
        ];
        if let Some((name, found)) = penalties.into_iter().find(|(_, penalty)| !penalty.is_finite()) {
            return Err(DecodeError::Penalty { name, found });
        }
        request.sampling.validate()?;
        let keys = self.keys(&request)?;
        let sequence = Sequence::new(id, request, keys, config);
        if sequence.n_pages_needed > self.pool.capacity() {
            let Request { prompt, max_new_tokens, .. } = &sequence.request;
            return Err(DecodeError::TooLarge {
                n_tokens: prompt.len().saturating_add(*max_new_tokens).min(max_seq_len),
                capacity: self.pool.capacity() * PAGE_LEN,
            });
        }
        Ok(sequence)
    }

    /// Lets sequences in, in their order, as long as pages can be held free for the longest that each can become.
    /// Those that ask for no token end at once.
    fn admit(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while self.active.len() < self.settings.max_sequences.max(1)
            && let Some(next) = self.waiting.front()
        {
            if next.request.max_new_tokens == 0 {
                events.push(Event::Finished { sequence: next.id, finish: Finish::Length, stop_token: None });
                self.waiting.pop_front();
                continue;
            }
            let n_owed: usize = self.active.iter().map(Sequence::n_pages_owed).sum();
            let n_wanted = next.n_pages_needed - next.n_shared_pages(&self.pool);
            if n_owed + n_wanted > self.pool.n_available() {
                break;
            }
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            // What it shares is its own from now on.
            self.begin(&mut sequence);
            self.active.push(sequence);
        }
        events
    }

    /// Goes on with what pages hold of the next tokens; `false` if that is being read by somebody else.
    fn begin(&mut self, sequence: &mut Sequence) -> bool {
        let n_before = sequence.n_read;
        let (prefix, n) = sequence.take_prefix(&mut self.pool);
        if let Prefix::Copied { from } = prefix {
            let start = sequence.n_read;
            // Not to be taken for the copy.
            self.pool.retain(from);
            sequence.extend(&mut self.pool, n);
            self.pool.release(&[from]);
            let to = sequence.pages[start / PAGE_LEN];
            self.pool.set_ready(to);
            self.cache.grow_to(self.pool.n_touched());
            self.cache.copy(from, to);
        }
        let n_reused = sequence.n_read - n_before;
        sequence.n_reused += n_reused;
        self.stats.n_reused += n_reused as u64;
        prefix != Prefix::Awaited
    }

    /// Which of its tokens every active sequence reads in this step; their pages are theirs then.
    fn plan(&mut self) -> Vec<std::ops::Range<usize>> {
        let mut left = self.settings.chunk_tokens.max(1);
        let mut left_scored = MAX_SCORED;
        let mut active = std::mem::take(&mut self.active);
        let ranges = active
            .iter_mut()
            .map(|sequence| {
                let is_decoding = sequence.n_read + 1 == sequence.ids.len() && sequence.n_new() > 0;
                if !is_decoding && (left == 0 || !self.begin(sequence)) {
                    return 0..0;
                }
                let (start, n_unread) = (sequence.n_read, sequence.ids.len() - sequence.n_read);
                let most = if sequence.is_scoring() { left.min(left_scored) } else { left };
                let n = if is_decoding { 1 } else { n_unread.min(most) };
                if !is_decoding {
                    left -= n;
                }
                if sequence.is_scoring() {
                    left_scored -= n;
                }
                sequence.extend(&mut self.pool, n);
                start..start + n
            })
            .collect();
        self.active = active;
        ranges
    }

    /// What the rows of logits are wanted for: each of an active sequence, and the token of its prompt that follows there or
    /// nothing where one is to be chosen.
    fn choose(&mut self, wanted: &[(usize, Option<u32>)], logits: &[f32], vocab_size: usize) -> Vec<Found> {
        let mut log_sum_exps = vec![0.0; wanted.len()];
        self.kernels.log_sum_exp(tensor::Slice::F32(logits), &mut log_sum_exps, vocab_size);
        let uniforms: Vec<f64> = wanted
            .iter()
            .map(|&(i, next)| if next.is_none() { self.active[i].uniform() } else { 0.0 })
            .collect();
        let found: Vec<OnceLock<Found>> = wanted.iter().map(|_| OnceLock::new()).collect();
        let active = &self.active;
        self.kernels.for_each(wanted.len(), &|row| {
            let (i, next) = wanted[row];
            let (logits, log_sum_exp) = (&logits[row * vocab_size..][..vocab_size], log_sum_exps[row]);
            let here = match next {
                Some(next) => Found::Scored(active[i].score(next, logits, log_sum_exp)),
                None => Found::Chosen(active[i].choose(logits, log_sum_exp, uniforms[row])),
            };
            // Every task fills a cell of its own.
            let _ = found[row].set(here);
        });
        found.into_iter().filter_map(OnceLock::into_inner).collect()
    }
}

/// What a row of logits gave.
#[derive(Debug)]
enum Found {
    /// How likely a token of the prompt was.
    Scored(PromptToken),
    /// The next token.
    Chosen(Token),
}
