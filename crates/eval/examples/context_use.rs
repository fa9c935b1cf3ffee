//! What a model makes of its context: its loss by position, and of a passage that comes twice.
//!
//! `cargo run --release -p eval --example context_use -- TEXT CHECKPOINT…`
//!
//! A model that copies what stood before (Olsson et al. 2022, "In-context learning and induction heads",
//! <https://arxiv.org/abs/2209.11895>) loses less and less along the window, and far less on the second reading of a passage
//! than on the first. One that has not learned to is as good after a dozen bytes as after hundreds. The step from one to the other
//! comes suddenly in training, and no law of smaller runs predicts it.

use std::{error::Error, path::Path};

use base::Rng;
use data::Tokenizer;
use model::{Gpt, Tokens};
use tensor::{Cpu, IGNORE_TARGET, Kernels};

/// Rows computed at a time.
const BATCH_ROWS: usize = 32;
/// Longest window looked at, of models that are made for more.
const LONGEST: usize = 1024;
/// Where the positions are cut; the last part ends with the window.
const CUTS: [usize; 8] = [0, 8, 16, 32, 64, 128, 256, 512];
/// Tokens of one snippet, snippets of one passage, and how many passages are read twice.
const SNIPPET: usize = 16;
const N_SNIPPETS: usize = 6;
const N_PASSAGES: usize = 128;
/// The first tokens of a passage tell too little to find it again.
const WARM_UP: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("expected a text file and checkpoints, found no argument")?;
    let text = std::fs::read_to_string(&path).map_err(|error| format!("`{path}`: {error}"))?;
    let checkpoints: Vec<String> = arguments.collect();
    if checkpoints.is_empty() {
        return Err("expected checkpoints after the text, found none".into());
    }
    let kernels = Cpu::new(0);
    for path in checkpoints {
        let gpt = model::checkpoint::read_model(Path::new(&path))?;
        let ids = Tokenizer::load(Path::new(&path))?.encode(&text);
        let window = window_of(&gpt);
        if ids.len() <= window.max(SNIPPET) {
            return Err(format!("expected more than {window} tokens of text, found {}", ids.len()).into());
        }
        println!("{path}");
        let losses = by_position(&gpt, &kernels, &ids);
        for (k, &from) in CUTS.iter().enumerate().filter(|(_, from)| **from < window) {
            let to = CUTS.get(k + 1).map_or(window, |cut| window.min(*cut));
            println!("  positions {from:>3} to {:>3}: {:.4} nats per token", to - 1, mean(&losses[from..to]));
        }
        match twice(&gpt, &kernels, &ids) {
            Some([first, second]) => println!("  a passage read first {first:.3}, again {second:.3}"),
            None => println!("  a window of {window} is too short to read a passage twice"),
        }
    }
    Ok(())
}

fn window_of(gpt: &Gpt) -> usize {
    gpt.config().max_seq_len.min(LONGEST)
}

/// Mean loss at each position of the window, over all windows of the text.
fn by_position(gpt: &Gpt, kernels: &dyn Kernels, ids: &[u32]) -> Vec<f64> {
    let window = window_of(gpt);
    let rows: Vec<&[u32]> = ids.chunks_exact(window + 1).collect();
    let mut sums = vec![0.0; window];
    for batch in rows.chunks(BATCH_ROWS) {
        let inputs = batch.iter().flat_map(|row| row[..window].iter().copied()).collect();
        let targets: Vec<u32> = batch.iter().flat_map(|row| row[1..].iter().copied()).collect();
        let tokens = Tokens::packed(inputs, batch.iter().map(|_| window));
        for row in gpt.losses(kernels, &tokens, &targets).f32().chunks_exact(window) {
            sums.iter_mut().zip(row).for_each(|(sum, loss)| *sum += f64::from(*loss));
        }
    }
    sums.into_iter().map(|sum| sum / rows.len() as f64).collect()
}

/// Mean loss of passages of snippets from all over the text, and of the same once more right behind them; `None` where the window
/// has no room for both.
fn twice(gpt: &Gpt, kernels: &dyn Kernels, ids: &[u32]) -> Option<[f64; 2]> {
    let len = SNIPPET * N_SNIPPETS;
    if window_of(gpt) < 2 * len {
        return None;
    }
    let mut rng = Rng::named(1, "passages");
    let mut readings = [Vec::new(), Vec::new()];
    for _ in 0..N_PASSAGES {
        let snippet = |rng: &mut Rng| {
            let at = (rng.next_u64() % (ids.len() - SNIPPET) as u64) as usize;
            ids[at..at + SNIPPET].to_vec()
        };
        let passage: Vec<u32> = (0..N_SNIPPETS).flat_map(|_| snippet(&mut rng)).collect();
        let both = passage.repeat(2);
        let targets: Vec<u32> = both[1..].iter().copied().chain([IGNORE_TARGET]).collect();
        let losses = gpt.losses(kernels, &Tokens::packed(both, [2 * len]), &targets);
        let losses: Vec<f64> = losses.f32().iter().map(|&loss| f64::from(loss)).collect();
        for (reading, losses) in readings.iter_mut().zip(losses.chunks_exact(len)) {
            reading.extend_from_slice(&losses[WARM_UP..len - 1]);
        }
    }
    Some(readings.each_ref().map(|losses| mean(losses)))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
