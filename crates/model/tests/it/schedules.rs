//! What a sequence gets from the engine is what a whole forward over its text gives, whatever else happens.

use std::collections::HashMap;

use base::Rng;
use model::{
    DecodeError, Engine, EngineSettings, Event, Finish, Gpt, ModelConfig, PromptToken, Request, Sampling,
    SequenceId, Token, Tokens,
};
use tensor::{Cpu, DType, Kernels as _, PAGE_LEN, Slice};

use crate::models::scattered;

fn small(max_seq_len: usize) -> Gpt {
    scattered(ModelConfig {
        vocab_size: 61,
        max_seq_len,
        n_layers: 2,
        d_model: 24,
        n_heads: 4,
        n_kv_heads: 2,
        d_head: 8,
        d_ff: 40,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        qk_norm: false,
        qkv_bias: false,
        rope_scaling: None,
        tie_embeddings: true,
        vision: None,
    })
}

/// What was asked, and what came.
struct Record {
    request: Request,
    prompt: Option<Vec<PromptToken>>,
    tokens: Vec<Token>,
    finish: Option<Finish>,
    stop_token: Option<Token>,
}

impl Record {
    fn new(request: Request) -> Self {
        Self { request, prompt: None, tokens: Vec::new(), finish: None, stop_token: None }
    }

    fn ids(&self) -> Vec<u32> {
        self.request.prompt.iter().copied().chain(self.tokens.iter().map(|token| token.id)).collect()
    }

    /// Compares every token with what the logits of one forward pass without a cache give.
    #[track_caller]
    fn check(&self, gpt: &Gpt, kernels: &Cpu, what: &str) {
        let (ids, Request { prompt, sampling, .. }) = (self.ids(), &self.request);
        let given: Vec<&Token> = self.tokens.iter().chain(&self.stop_token).collect();
        let read = &ids[..(prompt.len() + given.len()).saturating_sub(1).max(1)];
        let rows: Vec<usize> = (0..given.len()).map(|i| prompt.len() - 1 + i).collect();
        let v = gpt.config().vocab_size;
        let logits = gpt.logits(kernels, &Tokens::packed(read.to_vec(), [read.len()]), &rows, None);
        let mut log_sum_exps = vec![0.0; given.len()];
        kernels.log_sum_exp(Slice::F32(logits.f32()), &mut log_sum_exps, v);
        let mut rng = Rng::named(self.request.seed, "sampling");
        for (i, token) in given.into_iter().enumerate() {
            let what = format!("{what}, token {i} of {:?}", self.request);
            let (row, seen) = (&logits.f32()[i * v..][..v], &ids[..prompt.len() + i]);
            let bias = self.bias(&seen[prompt.len()..]);
            let distribution = sampling.distribution(row, seen, &bias);
            assert_eq!(token.id, distribution.draw(rng.uniform()), "{what}");
            assert_eq!(token.processed_logprob.to_bits(), distribution.logprob(token.id).to_bits(), "{what}");
            let own = (f64::from(row[token.id as usize]) - log_sum_exps[i]) as f32;
            assert_eq!(token.logprob.to_bits(), own.to_bits(), "{what}");
            let kept = distribution.kept();
            let again = sampling.distribution_over(&kept, row, seen, &bias);
            assert_eq!(token.processed_logprob.to_bits(), again.logprob(token.id).to_bits(), "{what}");
            assert_eq!(token.kept, self.request.lists_kept.then_some(kept), "{what}");
            assert_eq!(token.top.len(), self.request.n_top.min(v), "{what}");
            assert!(token.top.iter().all(|(_, logprob)| *logprob <= token.top[0].1), "{what}");
        }
        self.check_prompt(gpt, kernels, what);
        let (n, stop) = (self.tokens.len(), &self.request.stop);
        assert!(self.tokens.iter().all(|token| !stop.contains(&token.id)), "{what}");
        match self.finish {
            Some(Finish::Stop) => {
                assert!(self.stop_token.as_ref().is_some_and(|t| stop.contains(&t.id)), "{what}")
            }
            Some(Finish::Length) => assert_eq!(n, self.request.max_new_tokens, "{what}"),
            Some(Finish::ContextFull) => assert_eq!(ids.len(), gpt.config().max_seq_len + 1, "{what}"),
            None => {}
        }
    }

    /// What is added to logits once `added` was: OpenAI's formula, token by token.
    fn bias(&self, added: &[u32]) -> Vec<(u32, f64)> {
        let Request { logit_bias, frequency_penalty, presence_penalty, .. } = &self.request;
        let mut bias = logit_bias.clone();
        for id in 0..61 {
            let count = added.iter().filter(|token| **token == id).count() as f64;
            let presence = if count > 0.0 { 1.0 } else { 0.0 };
            if count * frequency_penalty != 0.0 || presence * presence_penalty != 0.0 {
                bias.push((id, -(count * frequency_penalty + presence * presence_penalty)));
            }
        }
        bias
    }

    /// Compares what was said of the prompt's tokens with one forward pass over them.
    #[track_caller]
    fn check_prompt(&self, gpt: &Gpt, kernels: &Cpu, what: &str) {
        let Request { prompt, prompt_top, .. } = &self.request;
        let Some(tokens) = &self.prompt else {
            assert!(self.tokens.is_empty() && self.stop_token.is_none(), "{what}: a token before the prompt");
            return;
        };
        let Some(n_top) = *prompt_top else {
            assert!(tokens.is_empty(), "{what}: nobody asked");
            return;
        };
        assert!(tokens.iter().map(|token| token.id).eq(prompt[1..].iter().copied()), "{what}");
        let (v, rows): (_, Vec<usize>) = (gpt.config().vocab_size, (0..tokens.len()).collect());
        if rows.is_empty() {
            return;
        }
        let logits = gpt.logits(kernels, &Tokens::packed(prompt.clone(), [prompt.len()]), &rows, None);
        let mut log_sum_exps = vec![0.0; rows.len()];
        kernels.log_sum_exp(Slice::F32(logits.f32()), &mut log_sum_exps, v);
        for ((token, row), log_sum_exp) in tokens.iter().zip(logits.f32().chunks(v)).zip(log_sum_exps) {
            let own = (f64::from(row[token.id as usize]) - log_sum_exp) as f32;
            assert_eq!(token.logprob.to_bits(), own.to_bits(), "{what}");
            assert_eq!(token.top.len(), n_top.min(v), "{what}");
            assert!(token.top.iter().all(|(_, logprob)| *logprob >= own) || token.top.len() > 1, "{what}");
        }
    }
}

/// Takes what a step gave.
fn take(records: &mut HashMap<SequenceId, Record>, events: Vec<Event>) -> Vec<SequenceId> {
    let mut ended = Vec::new();
    for event in events {
        match event {
            Event::Prompt { sequence, tokens, .. } => {
                let record = records.get_mut(&sequence).unwrap();
                assert_eq!(record.prompt.replace(tokens), None, "a prompt is read once");
            }
            Event::Token { sequence, token } => records.get_mut(&sequence).unwrap().tokens.push(token),
            Event::Finished { sequence, finish, stop_token } => {
                let record = records.get_mut(&sequence).unwrap();
                (record.finish, record.stop_token) = (Some(finish), stop_token);
                ended.push(sequence);
            }
        }
    }
    ended
}

fn random_sampling(rng: &mut Rng) -> Sampling {
    let mut of = |values: &[f64]| values[rng.below(values.len() as u64) as usize];
    Sampling {
        temperature: of(&[0.0, 0.5, 1.0, 1.0, 1.8]),
        top_k: of(&[0.0, 0.0, 1.0, 7.0, 40.0]) as usize,
        top_p: of(&[1.0, 1.0, 0.2, 0.9]),
        min_p: of(&[0.0, 0.0, 0.05, 0.6]),
        repetition_penalty: of(&[1.0, 1.0, 1.4]),
    }
}

fn random_request(rng: &mut Rng, max_seq_len: usize) -> Request {
    // A few beginnings, so that many are found in pages: whole, in part, or while they are read.
    let n_shared = rng.below(4 * PAGE_LEN as u64).min(max_seq_len as u64 - 20) as usize;
    let mut shared = Rng::new(77, rng.below(3));
    let mut prompt: Vec<u32> = (0..n_shared).map(|_| shared.below(61) as u32).collect();
    prompt.extend((0..1 + rng.below(19)).map(|_| rng.below(61) as u32));
    let stop = if rng.below(2) == 0 { vec![7, 8, 9] } else { Vec::new() };
    let logit_bias = (0..rng.below(3)).map(|_| (rng.below(61) as u32, rng.normal())).collect();
    Request {
        sampling: random_sampling(rng),
        seed: rng.below(1000),
        stop,
        logit_bias,
        frequency_penalty: [0.0, 0.0, 0.7, -0.4][rng.below(4) as usize],
        presence_penalty: [0.0, 0.0, 1.1][rng.below(3) as usize],
        n_top: rng.below(3) as usize,
        prompt_top: [None, None, Some(0), Some(3)][rng.below(4) as usize],
        lists_kept: rng.below(2) == 0,
        ..Request::new(prompt, rng.below(30) as usize)
    }
}

/// Sequences join, leave, fork and are cancelled at random, with few pages and chunks of any size.
fn run_schedule(gpt: &Gpt, kernels: &Cpu, seed: u64) {
    let mut rng = Rng::new(seed, 12);
    let max_seq_len = gpt.config().max_seq_len;
    let n_least = max_seq_len.div_ceil(PAGE_LEN);
    let settings = EngineSettings {
        n_pages: n_least + rng.below(8) as usize,
        max_sequences: 1 + rng.below(6) as usize,
        chunk_tokens: [1, 3, 17, 64, 100, 1000][rng.below(6) as usize],
    };
    let what = format!("schedule {seed}, {settings:?}, {}", gpt.dtype().name());
    let mut engine = Engine::new(gpt, kernels, settings);
    let (mut records, mut living, mut done) = (HashMap::new(), Vec::new(), Vec::new());
    let mut n_left = 2 + rng.below(8);
    for round in 0.. {
        assert!(round < 20_000, "{what}: it does not end");
        let any = |living: &[SequenceId], rng: &mut Rng| {
            (!living.is_empty()).then(|| living[rng.below(living.len() as u64) as usize])
        };
        match rng.below(12) {
            0..3 if n_left > 0 => {
                n_left -= 1;
                let request = random_request(&mut rng, max_seq_len);
                let id = engine.submit(request.clone()).unwrap();
                records.insert(id, Record::new(request));
                living.push(id);
            }
            3 if n_left > 0
                && let Some(parent) = any(&living, &mut rng) =>
            {
                n_left -= 1;
                let seed = rng.below(1000);
                let child = engine.fork(parent, seed).unwrap();
                let parent: &Record = &records[&parent];
                let max_new_tokens = parent.request.max_new_tokens - parent.tokens.len();
                let (prompt, request) = (parent.ids(), parent.request.clone());
                let request = Request { prompt, max_new_tokens, seed, prompt_top: None, ..request };
                records.insert(child, Record::new(request));
                living.push(child);
            }
            4 if rng.below(4) == 0
                && let Some(id) = any(&living, &mut rng) =>
            {
                engine.cancel(id).unwrap();
                assert!(engine.cancel(id).is_err() && engine.fork(id, 0).is_err(), "{what}: cancelled twice");
                living.retain(|other| *other != id);
                done.push(records.remove(&id).unwrap());
            }
            _ => {
                for id in take(&mut records, engine.step()) {
                    living.retain(|other| *other != id);
                    done.push(records.remove(&id).unwrap());
                }
            }
        }
        if n_left == 0 && engine.is_idle() {
            break;
        }
    }
    assert!(living.is_empty() && engine.n_pages_used() == 0, "{what}: {} pages", engine.n_pages_used());
    done.iter().for_each(|record| record.check(gpt, kernels, &what));
}

fn run_schedules(seeds: std::ops::Range<u64>) {
    let f32 = small(4 * PAGE_LEN + 9);
    let kernels = Cpu::new(2);
    for gpt in [f32.clone(), f32.with_dtype(DType::Bf16)] {
        seeds.clone().for_each(|seed| run_schedule(&gpt, &kernels, seed));
    }
}

#[test]
fn random_schedules_change_no_bit() {
    run_schedules(0..60);
}

#[test]
#[ignore = "takes minutes"]
fn two_thousand_random_schedules_change_no_bit() {
    run_schedules(0..2000);
}

#[test]
fn processed_logprobs_are_those_of_a_whole_forward() {
    let f32 = small(PAGE_LEN + 40);
    let kernels = Cpu::new(2);
    for gpt in [f32.clone(), f32.with_dtype(DType::Bf16)] {
        let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(48, PAGE_LEN + 40));
        let (mut records, mut rng) = (HashMap::new(), Rng::new(3, 0));
        let prompt: Vec<u32> = (0..PAGE_LEN + 5).map(|_| rng.below(61) as u32).collect();
        for temperature in [0.0, 0.3, 1.0, 1.6] {
            for top_k in [0, 1, 5, 60] {
                for top_p in [0.1, 0.7, 0.99, 1.0] {
                    for min_p in [0.0, 0.02, 0.4] {
                        for repetition_penalty in [0.8, 1.0, 1.5] {
                            let sampling = Sampling { temperature, top_k, top_p, min_p, repetition_penalty };
                            let seed = records.len() as u64;
                            let request = Request {
                                sampling,
                                seed,
                                lists_kept: true,
                                ..Request::new(prompt.clone(), 6)
                            };
                            records.insert(engine.submit(request.clone()).unwrap(), Record::new(request));
                        }
                    }
                }
            }
        }
        while !engine.is_idle() {
            take(&mut records, engine.step());
        }
        records.values().for_each(|record| record.check(&gpt, &kernels, gpt.dtype().name()));
    }
}

#[test]
fn a_shared_prefix_is_read_once() {
    let gpt = small(2100);
    let kernels = Cpu::new(2);
    for chunk_tokens in [100, 512] {
        let settings = EngineSettings { chunk_tokens, ..EngineSettings::for_sequences(64, 2010) };
        let mut engine = Engine::new(&gpt, &kernels, settings);
        let mut rng = Rng::new(1, 0);
        let prefix: Vec<u32> = (0..2000).map(|_| rng.below(60) as u32).collect();
        let mut records = HashMap::new();
        for i in 0..64 {
            let own = [60, i as u32 % 60, i as u32 / 60, 5];
            // The first own token differs from that of most others, or is theirs as well: both are read by each.
            let own = [[i as u32 % 60].as_slice(), &own].concat();
            let request = Request { seed: i, ..Request::new([&prefix[..], &own].concat(), 2) };
            records.insert(engine.submit(request.clone()).unwrap(), Record::new(request));
        }
        while !engine.is_idle() {
            take(&mut records, engine.step());
        }
        let stats = engine.stats();
        // Of its two new tokens each reads the first.
        assert!(stats.n_read <= 2000 + 64 * (5 + 1), "{stats:?}");
        assert_eq!(stats.n_read + stats.n_reused, 64 * (2005 + 1));
        assert_eq!(engine.n_pages_used(), 0);
        for record in records.values().take(5) {
            record.check(&gpt, &kernels, "shared prefix");
        }
        // 31 pages of the prefix in common, and of each a page with the rest of it and its own tokens. In f32,
        // with 2 heads in 2 layers, a key has 8 numbers, and a value 32: heads of 8 do not fill a panel.
        let page_bytes = PAGE_LEN * 2 * 2 * 4 * (8 + 32);
        assert_eq!(engine.n_cache_bytes(), (31 + 64) * page_bytes);
    }
}

#[test]
fn a_later_turn_reads_only_what_is_new() {
    let gpt = small(1000);
    let kernels = Cpu::new(2);
    let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(1, 1000));
    let mut rng = Rng::new(2, 0);
    let mut text = Vec::new();
    for turn in 0..10 {
        let n_user = 17 + 3 * turn;
        text.extend((0..n_user).map(|_| rng.below(61) as u32));
        let before = engine.stats().n_read;
        let request = Request { seed: turn, ..Request::new(text.clone(), 40) };
        let mut record = Record { prompt: Some(Vec::new()), ..Record::new(request.clone()) };
        engine
            .complete(vec![request], &mut |_, token| {
                record.tokens.push(token.clone());
                true
            })
            .unwrap();
        record.check(&gpt, &kernels, "a turn");
        // The last token of an answer is read with the next message; the first turn has none before it.
        let n_new = n_user + 40 - 1 + u64::from(turn > 0);
        assert_eq!(engine.stats().n_read - before, n_new, "turn {turn}");
        text = record.ids();
    }
    // The same message again, as for another answer: all but its last token is there.
    let before = engine.stats().n_read;
    engine.complete(vec![Request::new(text, 1)], &mut |_, _| true).unwrap();
    assert_eq!(engine.stats().n_read - before, 1);
}

#[test]
fn forks_copy_no_more_than_a_page() {
    let gpt = small(300);
    let kernels = Cpu::new(2);
    let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(9, 250));
    let mut rng = Rng::new(2, 0);
    let prompt = (0..200).map(|_| rng.below(61) as u32).collect();
    let parent = engine.submit(Request { seed: 1, ..Request::new(prompt, 30) }).unwrap();
    assert_eq!(engine.step().len(), 2); // the prompt was read, and a token came
    (1..5).for_each(|_| assert_eq!(engine.step().len(), 1));
    assert_eq!(engine.n_pages_used(), 4); // 204 tokens
    for seed in 0..8 {
        engine.fork(parent, seed).unwrap();
    }
    let before = engine.stats();
    assert_eq!(engine.step().len(), 9 + 8); // a token of each, and the prompts of the forks
    assert_eq!(engine.n_pages_used(), 4 + 8);
    assert_eq!(engine.stats().n_read - before.n_read, 9, "each reads the token that the parent reads");
    engine.cancel(parent).unwrap();
    assert_eq!(engine.n_pages_used(), 3 + 8);
    while !engine.is_idle() {
        engine.step();
    }
    assert_eq!(engine.n_pages_used(), 0);
    assert!(engine.fork(parent, 0).unwrap_err().to_string().contains("hint: "));
}

#[test]
fn requests_that_cannot_be_followed_are_refused_by_name() {
    let gpt = small(300);
    let kernels = Cpu::new(1);
    let settings = EngineSettings { n_pages: 3, max_sequences: 4, chunk_tokens: 10 };
    let mut engine = Engine::new(&gpt, &kernels, settings);
    let mut refused = |request: Request| engine.submit(request).unwrap_err().to_string();
    let none = refused(Request::new(vec![], 1));
    assert!(none.starts_with("expected a prompt of one token or more, found none\nhint: "), "{none}");
    let long = refused(Request::new(vec![0; 301], 1));
    assert!(long.starts_with("expected a prompt of at most 300 tokens, found 301\nhint: "), "{long}");
    let unknown = refused(Request::new(vec![0, 61], 1));
    assert!(unknown.starts_with("expected ids below 61 in the prompt, found 61\nhint: "), "{unknown}");
    let bias = |bias| Request { logit_bias: vec![bias], ..Request::new(vec![0], 1) };
    assert!(refused(bias((99, 0.0))).contains("in the logit bias, found 99"));
    assert!(refused(bias((9, f64::NAN))).starts_with("expected a finite logit bias of token 9, found NaN"));
    let penalty = Request { presence_penalty: f64::INFINITY, ..Request::new(vec![0], 1) };
    assert!(refused(penalty).starts_with("expected a finite `presence_penalty`, found inf\nhint: "));
    let sampling = Sampling { top_p: 2.0, ..Sampling::default() };
    assert!(refused(Request { sampling, ..Request::new(vec![0], 1) }).contains("`top_p`"));
    let large = refused(Request::new(vec![0; 100], 200));
    assert!(large.starts_with("expected a request of at most 192 tokens, found 300"), "{large}");
    assert!(engine.is_idle());
    let endless = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(1, usize::MAX))
        .complete(vec![Request::new(vec![1], usize::MAX)], &mut |_, _| true)
        .unwrap();
    assert_eq!((endless[0].ids.len(), endless[0].finish), (300, Finish::ContextFull));
    // What fits is taken, one after the other, though all together do not.
    for seed in 0..5 {
        engine.submit(Request { seed, ..Request::new(vec![seed as u32; 100], 90) }).unwrap();
    }
    let mut n_tokens = 0;
    while !engine.is_idle() {
        n_tokens += engine.step().iter().filter(|event| matches!(event, Event::Token { .. })).count();
    }
    assert_eq!(n_tokens, 5 * 90);
}

#[test]
fn a_restricted_sequence_draws_what_it_may() {
    let gpt = small(100);
    let kernels = Cpu::new(2);
    let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(2, 100));
    let id = engine.submit(Request::new(vec![1, 2, 3], 20)).unwrap();
    let free = engine.submit(Request::new(vec![1, 2, 3], 20)).unwrap();
    let none = engine.restrict(id, Some([61, 700].into_iter().collect()));
    assert_eq!(none, Err(DecodeError::NothingAllowed));
    let (mut n, mut ids) = (0, Vec::new());
    while !engine.is_idle() {
        // Another set for each token.
        if n < 20 {
            engine.restrict(id, Some([3 * n, 3 * n + 1].into_iter().collect())).unwrap();
        }
        for event in engine.step() {
            match event {
                Event::Token { sequence, token } if sequence == id => {
                    assert!([3 * n, 3 * n + 1].contains(&token.id), "token {n} is {}", token.id);
                    assert!(token.logprob < token.processed_logprob);
                    n += 1;
                }
                Event::Token { token, .. } => ids.push(token.id),
                _ => {}
            }
        }
    }
    assert_eq!(n, 20);
    assert_eq!(engine.restrict(id, None), Err(DecodeError::UnknownSequence(id)));
    assert_ne!(id, free);
    let alone = engine.complete(vec![Request::new(vec![1, 2, 3], 20)], &mut |_, _| true).unwrap();
    assert_eq!(alone[0].ids, ids);
}
