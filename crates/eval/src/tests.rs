//! Probabilities are those of the model, and samples agree with them.

use data::{
    Special, Tokenizer,
    tasks::{Problem, Task, suite},
};
use model::{Engine, EngineSettings, Gpt, ModelConfig, Request, Role, Tokens};
use tensor::{Cpu, DType, Kernels};

use crate::{CapabilitySettings, EvalError, Outcome, Score, capability, sampled};

/// A model of random weights whose opinions are strong: large embeddings make sharp distributions.
fn opinionated(vocab_size: usize, max_seq_len: usize) -> Gpt {
    let config = ModelConfig {
        vocab_size,
        max_seq_len,
        n_layers: 2,
        d_model: 32,
        n_heads: 2,
        n_kv_heads: 1,
        d_head: 16,
        d_ff: 64,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        qk_norm: true,
        qkv_bias: false,
        rope_scaling: None,
        tie_embeddings: false,
        vision: None,
    };
    let mut gpt = Gpt::new(config, 3);
    let roles: Vec<Role> = gpt.specs().iter().map(|spec| spec.role).collect();
    for (param, role) in gpt.params_mut().iter_mut().zip(roles) {
        let factor = match role {
            Role::Gain => 1.0,
            Role::Head => 40.0,
            _ => 8.0,
        };
        param.f32_mut().iter_mut().for_each(|weight| *weight *= factor);
    }
    gpt
}

fn problem(task: Task, prompt: &str, answer: &str) -> Problem {
    Problem { task, difficulty: 1, prompt: prompt.to_owned(), answer: answer.to_owned() }
}

fn evaluate(gpt: &Gpt, tokenizer: &Tokenizer, problems: &[Problem]) -> Vec<Score> {
    capability(gpt, &Cpu::new(2), tokenizer, problems, &CapabilitySettings::default()).unwrap()
}

#[track_caller]
fn log_prob(score: &Score) -> f64 {
    match score.outcome {
        Outcome::Exact { log_prob } => log_prob,
        Outcome::Sampled { .. } => panic!("{score:?}"),
    }
}

/// `ln p(answer | end-of-text, prompt)`, one token at a time through the engine.
fn token_by_token(gpt: &Gpt, prompt: &[u32], answer: &[u32]) -> f64 {
    let kernels = Cpu::new(1);
    let mut engine = Engine::new(gpt, &kernels, EngineSettings::for_sequences(1, gpt.config().max_seq_len));
    let mut read = [&[Special::EndOfText.id()], prompt].concat();
    let mut sum = 0.0;
    for &id in answer {
        // The bias forces the token; its log-probability under the model's own distribution does not know.
        let request = Request { logit_bias: vec![(id, 1e6)], ..Request::new(read.clone(), 1) };
        let mut logprob = None;
        engine
            .complete(vec![request], &mut |_, token| {
                token.id == id && logprob.replace(token.logprob).is_none()
            })
            .unwrap();
        sum += f64::from(logprob.unwrap());
        read.push(id);
    }
    sum
}

/// Losses of a few nats are rounded to f32 one by one. Worst seen: 4.5e-6; an answer read one token off errs by nats.
const LOG_PROB: f64 = 1e-4;

#[test]
fn the_probability_of_an_answer_is_the_product_of_its_softmaxes() {
    let suite = suite(1, 4);
    let texts: Vec<String> = suite.iter().map(|p| format!("{}{}", p.prompt, p.answer)).collect();
    let merged = Tokenizer::train_on(&texts, 400).unwrap();
    for tokenizer in [Tokenizer::bytes(), merged] {
        let gpt = opinionated(tokenizer.vocab_size(), 128);
        let exact: Vec<Problem> = suite.iter().filter(|p| p.task.has_one_answer()).cloned().collect();
        let mut worst = 0.0f64;
        for score in evaluate(&gpt, &tokenizer, &exact) {
            let Problem { prompt, answer, .. } = &score.problem;
            let want = token_by_token(&gpt, &tokenizer.encode(prompt), &tokenizer.encode(answer));
            worst = worst.max((log_prob(&score) - want).abs());
            assert!(want < -1.0, "{score:?}: a random model cannot know this");
        }
        assert!(worst <= LOG_PROB, "off by {worst:.1e}");
        println!("worst |Δ ln p| {worst:.1e}");
    }
}

/// No problem of a suite is like that, but one made by hand may be.
#[test]
fn a_merge_across_the_border_does_not_hide_the_answer() {
    let tokenizer = Tokenizer::train_on(&["abab abab"], 273).unwrap();
    let gpt = opinionated(273, 16);
    let id = |letter: u8| Special::COUNT + u32::from(letter);
    assert_eq!(tokenizer.encode("ab"), [272]);
    let score = evaluate(&gpt, &tokenizer, &[problem(Task::Copy, "a", "b")]).remove(0);
    let want = token_by_token(&gpt, &[id(b'a')], &[id(b'b')]);
    assert!((log_prob(&score) - want).abs() <= LOG_PROB, "{score:?}, {want}");
}

/// All answers of one character, and the share that is left to other bytes and to special tokens.
#[test]
fn probabilities_of_all_answers_sum_to_one() {
    let (gpt, tokenizer) = (opinionated(272, 32), Tokenizer::bytes());
    let characters = (0..128u8).map(|byte| char::from(byte).to_string());
    let problems: Vec<Problem> =
        characters.map(|answer| problem(Task::Copy, "copy: a =>", &answer)).collect();
    let of_text: f64 = evaluate(&gpt, &tokenizer, &problems).iter().map(Score::pass_rate).sum();
    let prompt = tokenizer.encode("copy: a =>");
    let others = (0..Special::COUNT).chain(Special::COUNT + 128..272);
    let of_others: f64 = others.map(|id| token_by_token(&gpt, &prompt, &[id]).exp()).sum();
    assert!((of_text + of_others - 1.0).abs() < 1e-5, "{of_text} + {of_others}");
    assert!(of_text < 1.0 - 1e-3 && of_text > 1e-3, "{of_text}: the test sees both parts");
}

/// The most likely of some answers, and its probability.
fn most_likely(gpt: &Gpt, tokenizer: &Tokenizer, prompt: &str, answers: Vec<String>) -> (Problem, f64) {
    let problems: Vec<Problem> = answers.iter().map(|answer| problem(Task::Copy, prompt, answer)).collect();
    let scores = evaluate(gpt, tokenizer, &problems);
    let best = scores.into_iter().max_by(|a, b| log_prob(a).total_cmp(&log_prob(b))).unwrap();
    (best.problem.clone(), best.pass_rate())
}

#[test]
fn samples_pass_as_often_as_the_probability_says() {
    let (gpt, tokenizer) = (opinionated(272, 32), Tokenizer::bytes());
    let kernels = Cpu::new(2);
    let ascii =
        |start: &str| (0..128u8).map(|byte| format!("{start}{}", char::from(byte))).collect::<Vec<_>>();
    let mut n_between = 0;
    for prompt in ["copy: a =>", "sort: zq =>", "lookup: k3, k =>", "add: 1+2 =>"] {
        let (first, _) = most_likely(&gpt, &tokenizer, prompt, ascii(""));
        let (both, p) = most_likely(&gpt, &tokenizer, prompt, ascii(&first.answer));
        let prompt = [&[Special::EndOfText.id()], &tokenizer.encode(prompt)[..]].concat();
        let n = 4000;
        let passes = sampled::n_passes(&gpt, &kernels, &tokenizer, &both, &prompt, n, 7).unwrap() as f64;
        let (mean, sd) = (p * n as f64, (p * (1.0 - p) * n as f64).sqrt());
        assert!((passes - mean).abs() <= 4.5 * sd, "{both:?}: {passes} of {n}, p {p:.4}");
        n_between += u32::from((0.02..0.98).contains(&p));
    }
    assert!(n_between >= 2, "the probabilities are too near 0 or 1 to say anything");
}

/// Where many answers are right, the passes are those of the sum over them.
#[test]
fn many_right_answers_pass_by_the_sum_of_their_probabilities() {
    let (kernels, tokenizer) = (Cpu::new(2), Tokenizer::bytes());
    let gpt = Gpt::new(opinionated(272, 32).config().clone(), 3);
    let prompt = "shuffle: ab =>";
    let ids = [&[Special::EndOfText.id()], &tokenizer.encode(prompt)[..]].concat();
    let orders = [" ab\n", " ba\n"];
    let texts = orders.map(|answer| [&ids[..], &tokenizer.encode(answer)].concat());
    let gpt = taught(gpt, &texts, 40);
    let alone = orders.map(|answer| problem(Task::Copy, prompt, answer));
    let [p, q] = [0, 1].map(|i| evaluate(&gpt, &tokenizer, &alone)[i].pass_rate());
    assert!(p > 0.05 && q > 0.05 && p + q < 0.95, "{p:.3} and {q:.3}: too sure to say anything");
    let many = problem(Task::Shuffle, prompt, orders[0]);
    let settings = CapabilitySettings { n_samples: 2000, seed: 7 };
    let score = capability(&gpt, &kernels, &tokenizer, &[many], &settings).unwrap().remove(0);
    let Outcome::Sampled { n: 2000, passes } = score.outcome else { panic!("{score:?}") };
    let (mean, sd) = ((p + q) * 2000.0, ((p + q) * (1.0 - p - q) * 2000.0).sqrt());
    assert!((passes as f64 - mean).abs() <= 4.5 * sd, "{passes} of 2000, p {:.4}", p + q);
}

/// The model after `n_steps` steps of one size in the direction of the gradient's signs.
fn taught(mut gpt: Gpt, texts: &[Vec<u32>], n_steps: usize) -> Gpt {
    let inputs = texts.iter().flat_map(|ids| ids[..ids.len() - 1].to_vec()).collect();
    let targets: Vec<u32> = texts.iter().flat_map(|ids| ids[1..].to_vec()).collect();
    let tokens = Tokens::packed(inputs, texts.iter().map(|ids| ids.len() - 1));
    for _ in 0..n_steps {
        let mut grads = gpt.no_gradients();
        gpt.add_gradients(&Cpu::new(1), &tokens, &targets, 1.0, None, &mut grads);
        for (param, grad) in gpt.params_mut().iter_mut().zip(&grads) {
            for (weight, slope) in param.f32_mut().iter_mut().zip(grad.f32()) {
                *weight -= 5e-3 * slope.signum();
            }
        }
    }
    gpt
}

#[test]
fn scores_do_not_depend_on_company_threads_or_packing() {
    let tokenizer = Tokenizer::bytes();
    let gpt = opinionated(272, 128);
    let problems: Vec<Problem> = suite(2, 2);
    let all = evaluate(&gpt, &tokenizer, &problems);
    assert_eq!(all.iter().map(|score| score.problem.clone()).collect::<Vec<_>>(), problems);
    let mut packed = gpt.clone();
    packed.pack(&Cpu::new(1));
    let one_thread: &dyn Kernels = &Cpu::new(1);
    for (problem, want) in problems.iter().zip(&all) {
        let settings = CapabilitySettings::default();
        let alone = capability(&packed, one_thread, &tokenizer, std::slice::from_ref(problem), &settings);
        assert_eq!(alone.unwrap(), std::slice::from_ref(want));
    }
    assert!(evaluate(&gpt.with_dtype(DType::Bf16), &tokenizer, &problems[..1])[0].pass_rate() < 1.0);
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_a_hint() {
    let (gpt, tokenizer) = (opinionated(272, 16), Tokenizer::bytes());
    let run = |tokenizer: &Tokenizer, problem: Problem, n_samples| {
        let settings = CapabilitySettings { n_samples, seed: 0 };
        capability(&gpt, &Cpu::new(1), tokenizer, &[problem], &settings)
    };
    let fits = problem(Task::Copy, "copy: abc =>", " abc"); // 1 + 12 + 4 − 1
    assert!(run(&tokenizer, fits.clone(), 100).is_ok());
    let long = problem(Task::Copy, "copy: abc =>", " abc\n");
    let sampled = problem(Task::Shuffle, "copy: abc =>", " abc\n");
    let larger = Tokenizer::train_on(&["abab abab"], 273).unwrap();
    for (error, expected) in [
        (run(&tokenizer, long, 100), "at most 16 tokens, found 17 in one of `copy` at difficulty 1"),
        (run(&tokenizer, sampled, 100), "found 17 in one of `shuffle`"),
        (run(&tokenizer, problem(Task::Copy, "copy: a", ""), 100), "`answer` must be"),
        (run(&tokenizer, fits.clone(), 99), "`n_samples` must be at least 100, found 99"),
        (run(&larger, fits, 100), "a tokenizer of at most 272 tokens, found 273"),
    ] {
        let error: EvalError = error.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains("\nhint: ") && !text.ends_with('.'), "{text}");
    }
}
