use data::Tokenizer;
use model::{Tokens, scaling::ModelOverrides};
use tensor::{Cpu, DType};

use super::*;

const MAX_LEN: usize = 96;

fn gpt(dtype: DType) -> Gpt {
    let shape =
        ModelOverrides { n_layers: Some(2), d_model: Some(32), n_heads: Some(2), ..Default::default() };
    let mut gpt = Gpt::new(shape.config(Tokenizer::bytes().vocab_size(), MAX_LEN, 16), 3);
    // Larger weights than at the start of a training, so that tokens differ in probability.
    gpt.params_mut().iter_mut().for_each(|param| param.f32_mut().iter_mut().for_each(|x| *x *= 3.0));
    gpt.with_dtype(dtype)
}

/// Contexts with long common beginnings, choices that begin alike or are beginnings of each other, a repeated request, and
/// one that is longer than the model's context.
fn pairs() -> Vec<Pair> {
    let tokenizer = Tokenizer::bytes();
    let mut pairs = Vec::new();
    for context in ["Shots. Q: why? A:", "Shots. Q: who? A:", "Shots. Q: who? A:", "", "x"] {
        for choice in [" no", " not", " none of these", " y", " no"] {
            pairs.push(Pair::encode(&tokenizer, context, choice));
        }
    }
    pairs.push(Pair::encode(&tokenizer, &"long ".repeat(40), "end"));
    pairs
}

#[test]
fn scores_are_the_same_bits_in_any_batch_order_and_number_of_threads() {
    for dtype in [DType::F32, DType::Bf16] {
        let gpt = gpt(dtype);
        let pairs = pairs();
        let alone: Vec<Likelihood> = pairs
            .iter()
            .map(|pair| Scorer::new(&gpt, &Cpu::new(1), 1).score(std::slice::from_ref(pair))[0])
            .collect();
        for (n_slots, n_threads) in [(1, 1), (1, 2), (3, 2), (7, 1), (64, 2)] {
            let kernels = Cpu::new(n_threads);
            let mut scorer = Scorer::new(&gpt, &kernels, n_slots);
            assert_eq!(scorer.score(&pairs), alone, "{dtype:?} {n_slots} {n_threads}");
            // A second time from what the slots hold, backwards, and in parts.
            let reversed: Vec<Pair> = pairs.iter().rev().cloned().collect();
            let mut again = scorer.score(&reversed);
            again.reverse();
            assert_eq!(again, alone);
            let parts: Vec<Likelihood> = pairs.chunks(4).flat_map(|part| scorer.score(part)).collect();
            assert_eq!(parts, alone);
        }
    }
}

#[test]
fn scores_are_the_losses_of_the_model() {
    let gpt = gpt(DType::F32);
    let kernels = Cpu::new(1);
    let pairs = pairs();
    let scores = Scorer::new(&gpt, &kernels, 4).score(&pairs);
    for (pair, score) in pairs.iter().zip(scores) {
        let input = pair.input(MAX_LEN);
        let n = pair.n_scored();
        let mut targets = vec![tensor::IGNORE_TARGET; input.len() - n];
        targets.extend(pair.continuation());
        let tokens = Tokens::packed(input.to_vec(), [input.len()]);
        let loss: f64 = gpt.losses(&kernels, &tokens, &targets).f32().iter().copied().map(f64::from).sum();
        assert!((score.loglikelihood + loss).abs() < 1e-4, "{} {loss}", score.loglikelihood);
    }
}

/// A pass may end anywhere: within a context, or within a continuation.
#[test]
fn scores_are_the_same_bits_however_little_a_pass_reads() {
    let gpt = gpt(DType::F32);
    let kernels = Cpu::new(2);
    let pairs = pairs();
    let whole = Scorer::new(&gpt, &kernels, 4).score(&pairs);
    for (tokens, rows) in [(1, 1), (7, 3), (64, 1), (5, 64)] {
        let mut scorer = Scorer::new(&gpt, &kernels, 4);
        scorer.limits = Limits { tokens, rows };
        assert_eq!(scorer.score(&pairs), whole, "{tokens} tokens, {rows} rows");
    }
}

/// Contexts that begin with the same 70 bytes, on both sides of the end of a page.
#[test]
fn what_contexts_have_in_common_is_read_once() {
    let gpt = gpt(DType::F32);
    let kernels = Cpu::new(1);
    let tokenizer = Tokenizer::bytes();
    let shots = "s".repeat(70);
    let pairs: Vec<Pair> = (0..20)
        .flat_map(|i| ["A", "B", "C"].map(|letter| (i, letter)))
        .map(|(i, letter)| Pair::encode(&tokenizer, &format!("{shots}{}?", char::from(b'a' + i)), letter))
        .collect();
    for n_slots in [1, 7, 64] {
        let mut scorer = Scorer::new(&gpt, &kernels, n_slots);
        let first = scorer.score(&pairs);
        assert_eq!(scorer.n_read(), 70 + 20 * 2, "{n_slots} slots");
        for _ in 0..5 {
            assert_eq!(scorer.score(&pairs), first);
        }
        // Those of one step, and those that they replace.
        let n_pages = scorer.pages.n_all();
        assert!(n_pages <= 3 + 2 * n_slots.min(20), "{n_pages} pages, {n_slots} slots");
        // Each slot holds two pages, of which the first is the same.
        let n_slots = n_slots.min(20);
        assert!(scorer.pages.n_used() <= 1 + n_slots, "{} pages, {n_slots} slots", scorer.pages.n_used());
    }
}

#[test]
fn blanks_at_the_end_of_a_context_are_scored() {
    let tokenizer = Tokenizer::bytes();
    let pair = Pair::encode(&tokenizer, "a \n", "b");
    assert_eq!(
        (pair.context(), pair.continuation()),
        (&tokenizer.encode("a")[..], &tokenizer.encode(" \nb")[..])
    );
    for context in ["", " "] {
        let pair = Pair::encode(&tokenizer, context, "b");
        assert_eq!(pair.context(), [tokenizer.end_of_text()]);
        assert_eq!(pair.continuation(), tokenizer.encode(&format!("{context}b")));
    }
}
