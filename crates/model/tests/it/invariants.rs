//! One forward: a token's logits are the same bits however it is computed.

use model::{Completion, Engine, EngineSettings, Finish, Gpt, KvCache, Piece, Request, Sampling, Tokens};
use tensor::{Cpu, IGNORE_TARGET, Kernels, PAGE_LEN};

use crate::models::{
    add_gradients, check_same_bits, logits, logits_alone, losses_and_gradients, models, packed, text,
};

/// Names a model in a message.
fn label(gpt: &Gpt) -> String {
    let c = gpt.config();
    format!(
        "{}, width {}, heads {}/{}, qk_norm {}, qkv_bias {}, tied {}",
        gpt.dtype().name(),
        c.d_model,
        c.n_heads,
        c.n_kv_heads,
        c.qk_norm,
        c.qkv_bias,
        c.tie_embeddings
    )
}

/// Sizes of the pieces in which a slot is fed, in turn: a token at a time, ragged, all at once.
const PIECES: [&[usize]; 4] = [&[1], &[1, 5, 1, 13, 2], &[17, 1], &[usize::MAX]];

#[test]
fn decoding_with_a_cache_equals_the_full_forward() {
    let kernels = Cpu::new(2);
    for gpt in models() {
        let (label, v, longest) = (label(&gpt), gpt.config().vocab_size, gpt.config().max_seq_len);
        // Slot 2 stays empty, and slots differ in length: one position, some, all that the model has.
        let texts =
            [text(&gpt, 29, 0), text(&gpt, longest, 1), Vec::new(), text(&gpt, 1, 2), text(&gpt, 18, 3)];
        let full =
            texts.each_ref().map(|text| if text.is_empty() { Vec::new() } else { logits_alone(&gpt, text) });
        let control = logits_alone(&gpt, &[&[texts[0][0] ^ 1], &texts[0][1..]].concat());
        assert_ne!(control[28 * v..], full[0][28 * v..], "{label}: the last token sees the first");

        let mut cache = KvCache::new(gpt.config(), gpt.dtype(), &kernels);
        let n_pages = longest.div_ceil(PAGE_LEN);
        cache.grow_to(texts.len() * n_pages);
        // Pages of a slot lie apart.
        let pages: Vec<Vec<usize>> = (0..texts.len())
            .map(|slot| (0..n_pages).map(|i| (n_pages - 1 - i) * texts.len() + slot).collect())
            .collect();
        for (round, pieces) in PIECES.iter().enumerate() {
            // From the second round on, every slot still holds what an earlier text left there.
            let mut lens = [0usize; 5];
            for step in 0.. {
                let next = |slot: usize| {
                    let (at, piece) = (lens[slot], pieces[(step + slot) % pieces.len()]);
                    &texts[slot][at..at.saturating_add(piece).min(texts[slot].len())]
                };
                // Slots come in an order that is not theirs, and those that are done drop out.
                let news: Vec<(usize, &[u32])> = [3, 0, 4, 2, 1]
                    .map(|slot| (slot, next(slot)))
                    .into_iter()
                    .filter(|new| !new.1.is_empty())
                    .collect();
                if news.is_empty() {
                    break;
                }
                let places: Vec<(usize, usize)> = news
                    .iter()
                    .flat_map(|&(slot, new)| (lens[slot]..lens[slot] + new.len()).map(move |at| (slot, at)))
                    .collect();
                let tokens = Tokens::continued(news.iter().map(|&(slot, ids)| Piece {
                    ids,
                    start: lens[slot],
                    pages: &pages[slot],
                }));
                news.iter().for_each(|&(slot, new)| lens[slot] += new.len());
                let rows: Vec<usize> = (0..tokens.len()).collect();
                let got = gpt.logits(&kernels, &tokens, &rows, Some(&mut cache));
                for ((slot, at), got) in places.into_iter().zip(got.f32().chunks_exact(v)) {
                    let what = format!("{label}, round {round}, slot {slot}, position {at}");
                    check_same_bits(&what, got, &full[slot][at * v..][..v]);
                }
            }
            assert!((0..texts.len()).all(|slot| lens[slot] == texts[slot].len()));
        }
    }
}

#[test]
fn a_prompt_alone_equals_itself_at_any_place_of_a_batch() {
    let kernels = Cpu::new(2);
    for gpt in models() {
        let v = gpt.config().vocab_size;
        let [short, long, longest] = [3, 31, gpt.config().max_seq_len].map(|len| text(&gpt, len, 7));
        for len in [1, 13, 40] {
            let prompt = text(&gpt, len, 8);
            let alone = logits_alone(&gpt, &prompt);
            let batches: [&[&[u32]]; 6] = [
                &[&prompt, &long],
                &[&short, &prompt],
                &[&short, &prompt, &longest],
                &[&longest, &short, &prompt],
                &[&longest, &longest, &prompt, &short],
                &[&prompt, &prompt],
            ];
            for (i, batch) in batches.into_iter().enumerate() {
                let what = format!("{}, prompt of {len}, batch {i}", label(&gpt));
                let all = logits(&gpt, &kernels, &packed(batch));
                let at = batch.iter().position(|text| *text == prompt).unwrap();
                let start: usize = batch[..at].iter().map(|text| text.len()).sum();
                check_same_bits(&what, &all[start * v..][..len * v], &alone);
                // The decode loop asks for some rows only.
                let tokens = packed(batch);
                let rows = tokens.last_rows();
                let last = gpt.logits(&kernels, &tokens, &rows, None);
                check_same_bits(&what, &last.f32()[at * v..][..v], &alone[(len - 1) * v..]);
            }
        }
    }
}

#[test]
fn threads_change_no_bit_of_logits_losses_or_gradients() {
    for gpt in models() {
        // Rows enough that every kernel has several tasks to share out.
        let texts: Vec<Vec<u32>> =
            (0..12).map(|i| text(&gpt, gpt.config().max_seq_len - 5 * i as usize, i)).collect();
        let tokens = packed(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let targets = text(&gpt, tokens.len(), 99);
        let run = |n_threads: usize| {
            let kernels = Cpu::new(n_threads);
            assert_eq!(kernels.n_threads(), n_threads);
            let (losses, grads) =
                losses_and_gradients(&gpt, &kernels, &tokens, &targets, 1.0 / targets.len() as f64);
            (logits(&gpt, &kernels, &tokens), losses, grads)
        };
        let one = run(1);
        for n_threads in [2, 3] {
            let more = run(n_threads);
            let what = |part: &str| format!("{}, {n_threads} threads: {part}", label(&gpt));
            check_same_bits(&what("logits"), &more.0, &one.0);
            check_same_bits(&what("losses"), &more.1, &one.1);
            for (spec, (more, one)) in gpt.config().params().iter().zip(more.2.iter().zip(&one.2)) {
                check_same_bits(&what(&spec.name), more.f32(), one.f32());
            }
        }
    }
}

#[test]
fn a_document_does_not_feel_another_in_its_row() {
    let kernels = Cpu::new(2);
    for gpt in models() {
        let (label, v) = (label(&gpt), gpt.config().vocab_size);
        let documents = [text(&gpt, 11, 0), text(&gpt, 23, 1), text(&gpt, 6, 2)];
        let targets = text(&gpt, 40, 3);
        let run = |first: &[u32], last: &[u32]| {
            let tokens = packed(&[first, &documents[1], last]);
            let (losses, _) = losses_and_gradients(&gpt, &kernels, &tokens, &targets, 1.0);
            let logits = logits(&gpt, &kernels, &tokens);
            (logits[11 * v..34 * v].to_vec(), losses[11..34].to_vec(), logits, losses)
        };
        let before = run(&documents[0], &documents[2]);
        let after = run(&text(&gpt, 11, 4), &text(&gpt, 6, 5));
        check_same_bits(&format!("{label}: logits"), &after.0, &before.0);
        check_same_bits(&format!("{label}: losses"), &after.1, &before.1);
        assert!(after.2[..v] != before.2[..v] && after.3 != before.3, "{label}: the others did change");
        // Without the borders it would feel them.
        let joined = documents.concat();
        let tokens = Tokens::packed(joined.clone(), [joined.len()]);
        assert_ne!(logits(&gpt, &kernels, &tokens)[11 * v..34 * v], before.0, "{label}: borders matter");
    }
}

#[test]
fn completions_do_not_depend_on_what_is_decoded_beside_them() {
    let greedy = Sampling::greedy();
    let plain = Sampling::default();
    let cut = Sampling { temperature: 0.8, top_k: 40, top_p: 0.9, ..Sampling::default() };
    let penalised = Sampling { repetition_penalty: 1.3, min_p: 0.02, ..Sampling::default() };
    let mut ends = Vec::new();
    for gpt in models() {
        for settings in [[&greedy, &greedy, &greedy, &greedy], [&greedy, &plain, &cut, &penalised]] {
            // Ends differ: by length, by a full context, by a stop token where one comes.
            let longest = gpt.config().max_seq_len;
            let lens = [(1, 12), (longest - 4, 30), (17, 25), (5, 3)];
            let requests: Vec<Request> = (0..4)
                .map(|i| Request {
                    sampling: settings[i].clone(),
                    seed: i as u64,
                    stop: vec![3, 50],
                    ..Request::new(text(&gpt, lens[i].0, i as u64), lens[i].1)
                })
                .collect();
            let together = complete(&gpt, &Cpu::new(2), requests.clone());
            assert!(together.iter().map(|done| done.ids.len()).sum::<usize>() > 8, "{together:?}");
            ends.extend(together.iter().map(|done| done.finish));
            let alone: Vec<Completion> = (requests.iter())
                .flat_map(|request| complete(&gpt, &Cpu::new(1), vec![request.clone()]))
                .collect();
            check_same_completions(&format!("{}, together", label(&gpt)), &together, &alone);
            let mut reversed = complete(&gpt, &Cpu::new(2), requests.iter().rev().cloned().collect());
            reversed.reverse();
            check_same_completions(&format!("{}, reversed", label(&gpt)), &reversed, &alone);
            let mut packed = gpt.clone();
            packed.pack(&Cpu::new(2));
            let got = complete(&packed, &Cpu::new(2), requests);
            check_same_completions(&format!("{}, packed", label(&gpt)), &got, &alone);
        }
        // Greedy completions are the argmax of the plain forward: the loop adds nothing of its own.
        let prompt = text(&gpt, 9, 77);
        let request = Request { sampling: Sampling::greedy(), ..Request::new(prompt.clone(), 8) };
        let done = complete(&gpt, &Cpu::new(1), vec![request]).remove(0);
        let read = [&prompt[..], &done.ids].concat();
        let v = gpt.config().vocab_size;
        let all = logits_alone(&gpt, &read);
        for (i, &id) in done.ids.iter().enumerate() {
            let row = &all[(prompt.len() + i - 1) * v..][..v];
            assert!(row.iter().all(|&logit| logit <= row[id as usize]), "{}: token {i}", label(&gpt));
        }
    }
    for end in [Finish::Stop, Finish::Length, Finish::ContextFull] {
        assert!(ends.contains(&end), "no completion ended by {end:?}");
    }
}

fn complete(gpt: &Gpt, kernels: &dyn Kernels, requests: Vec<Request>) -> Vec<Completion> {
    let settings = EngineSettings::for_sequences(requests.len(), gpt.config().max_seq_len);
    Engine::new(gpt, kernels, settings).complete(requests, &mut |_, _| true).unwrap()
}

#[track_caller]
fn check_same_completions(what: &str, got: &[Completion], want: &[Completion]) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!((&got.ids, got.finish), (&want.ids, want.finish), "{what}: request {i}");
        check_same_bits(&format!("{what}: log-probabilities of request {i}"), &got.logprobs, &want.logprobs);
    }
}

#[test]
fn packed_weights_change_no_bit_and_do_not_outlive_the_weights() {
    for plain in models() {
        let mut gpt = plain.clone();
        gpt.pack(&Cpu::new(2));
        for len in [1, 2, 33] {
            let tokens = packed(&[&text(&gpt, len, 0), &text(&gpt, 5, 1)]);
            for n_threads in [1, 2] {
                let kernels = Cpu::new(n_threads);
                let (got, want) = (logits(&gpt, &kernels, &tokens), logits(&plain, &kernels, &tokens));
                check_same_bits(&format!("{}, {} rows", label(&gpt), len + 5), &got, &want);
            }
        }
        // Changed weights must not meet copies of the old ones.
        let change = |gpt: &mut Gpt| gpt.params_mut().iter_mut().for_each(|param| param.f32_mut()[0] += 0.5);
        let mut changed = plain.clone();
        change(&mut changed);
        change(&mut gpt);
        let tokens = packed(&[&text(&gpt, 9, 2)]);
        let want = logits(&changed, &Cpu::new(1), &tokens);
        assert_ne!(want, logits(&plain, &Cpu::new(1), &tokens));
        check_same_bits(&label(&gpt), &logits(&gpt, &Cpu::new(1), &tokens), &want);
    }
}

#[test]
fn recomputed_activations_change_no_bit_of_the_gradients() {
    let kernels = Cpu::new(2);
    for gpt in models() {
        let texts: Vec<Vec<u32>> = (0..3).map(|i| text(&gpt, 50 - i as usize, i)).collect();
        let tokens = packed(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let targets = text(&gpt, tokens.len(), 9);
        let kept = losses_and_gradients(&gpt, &kernels, &tokens, &targets, 0.01);
        let label = label(&gpt);
        let recomputing = gpt.with_recomputation(true);
        let recomputed = losses_and_gradients(&recomputing, &kernels, &tokens, &targets, 0.01);
        check_same_bits(&format!("{label}: losses"), &recomputed.0, &kept.0);
        for (spec, (got, want)) in recomputing.config().params().iter().zip(recomputed.1.iter().zip(&kept.1))
        {
            check_same_bits(&format!("{label}: {}", spec.name), got.f32(), want.f32());
        }
    }
}

/// Relative to the largest gradient of the same parameter. Worst seen: 8.8e-7, the rounding of sums in another
/// order, which is f32 in both dtypes. The mean over micro-batches of their own means errs by 0.9 and more, except where all
/// are alike.
const SPLIT: f32 = 1e-5;

#[test]
fn micro_batches_add_up_to_the_gradient_of_the_batch() {
    let kernels = Cpu::new(2);
    let mut worst = 0.0f32;
    for gpt in models() {
        let rows: Vec<Vec<u32>> = (0..6).map(|i| text(&gpt, 40, i)).collect();
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        for ignores in [false, true] {
            let mut targets = text(&gpt, 240, 9);
            if ignores {
                // A prompt that is not learned in every row, most of one row, and all of another.
                (0..240).filter(|i| i % 40 < 7).for_each(|i| targets[i] = IGNORE_TARGET);
                targets[50..80].fill(IGNORE_TARGET);
                targets[120..160].fill(IGNORE_TARGET);
            }
            let n_targets = targets.iter().filter(|&&target| target != IGNORE_TARGET).count();
            let scale = 1.0 / n_targets as f64;
            let (losses, whole) = losses_and_gradients(&gpt, &kernels, &packed(&rows), &targets, scale);
            for split in [&[1; 6][..], &[2, 2, 2], &[1, 5], &[4, 1, 1]] {
                let (_, mut grads) = losses_and_gradients(&gpt, &kernels, &packed(&rows), &targets, 0.0);
                let mut start = 0;
                for n in split {
                    let tokens = packed(&rows[start..start + n]);
                    let part = start * 40..(start + n) * 40;
                    let got =
                        add_gradients(&gpt, &kernels, &tokens, &targets[part.clone()], scale, &mut grads);
                    check_same_bits("losses of the rows", &got, &losses[part]);
                    start += n;
                }
                for (spec, (split_sum, whole)) in gpt.config().params().iter().zip(grads.iter().zip(&whole)) {
                    let largest = whole.f32().iter().fold(0.0f32, |a, g| a.max(g.abs()));
                    assert!(largest > 0.0, "{} has a gradient", spec.name);
                    for (got, want) in split_sum.f32().iter().zip(whole.f32()) {
                        let error = (got - want).abs() / largest;
                        assert!(
                            error <= SPLIT,
                            "{}, {}, {split:?}: off by {error:.1e}",
                            label(&gpt),
                            spec.name
                        );
                        worst = worst.max(error);
                    }
                }
            }
        }
    }
    println!("micro-batches: worst error relative to the largest gradient {worst:.1e}, bound {SPLIT:.1e}");
}
