//! What the name of a column says: quantity, unit, and on what text a loss was measured.

use crate::number;

/// On what text a loss was measured, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    HeldOut,
    Training,
    Open,
}

pub(super) fn text_of(plain: &str) -> Text {
    let has = |words: &[&str]| plain.split('_').any(|word| words.contains(&word));
    if has(&["val", "valid", "validation", "eval", "evaluation", "test", "dev", "heldout", "holdout"]) {
        Text::HeldOut
    } else if has(&["train", "training", "trainer"]) {
        Text::Training
    } else {
        Text::Open
    }
}

/// Whether a column holds a loss of language modelling by its name, and not a part, a bound or a count of one.
pub(super) fn is_loss(plain: &str) -> bool {
    let words: Vec<&str> = plain.split('_').collect();
    let has = |any: &[&str]| words.iter().any(|word| any.contains(word));
    let is_one = has(&["loss", "nll", "xent", "crossentropy", "ce"]) || plain.contains("cross_entropy");
    let is_other = has(&[
        "aux",
        "z",
        "router",
        "balance",
        "balancing",
        "tokens",
        "count",
        "min",
        "max",
        "std",
        "var",
        "stderr",
        "scale",
        "weight",
        "coef",
        "grad",
        "name",
        "acc",
        "accuracy",
        "load",
        "downstream",
        "per",
        "fn",
        "type",
        "spike",
        "ema",
        "best",
        "step",
    ]);
    is_one && !is_other
}

/// Whether a name is that of a total and not of a rate, a part or a setting.
pub(super) fn is_a_total(plain: &str) -> bool {
    let has = |any: &[&str]| plain.split('_').any(|word| any.contains(&word));
    let is_rate = has(&[
        "per",
        "second",
        "sec",
        "s",
        "rate",
        "mfu",
        "util",
        "peak",
        "device",
        "hardware",
        "theoretical",
    ]);
    let is_part =
        has(&["loss", "acc", "batch", "vocab", "context", "eval", "val", "validation", "test", "max", "min"]);
    let is_speed = has(&["throughput"]) && !has(&["total"]);
    !(is_rate || is_part && !plain.ends_with("loss") && !plain.ends_with("seed") || is_speed)
}

/// A name without what differs between habits and without its unit, and that unit; 1 where it names none.
pub(super) fn split_unit(name: &str) -> (String, f64) {
    let name = name.trim();
    let close = |open: char, close: char| {
        let (before, inner) = name.strip_suffix(close)?.rsplit_once(open)?;
        Some((before, number::unit(inner)?))
    };
    let bracketed = close('(', ')').or_else(|| close('[', ']'));
    if let Some((before, unit)) = bracketed.filter(|(before, _)| !plain(before).is_empty()) {
        return (plain(before), unit * split_unit(before).1);
    }
    let plain = plain(name);
    let words: Vec<&str> = plain.split('_').collect();
    // `tokens_in_billions` ends with a unit of one word, `compute_pf_days` with one of two.
    for n_words in 1..=3.min(words.len()) {
        let (rest, last) = words.split_at(words.len() - n_words);
        let Some(unit) = number::unit_of_words(last).filter(|unit| *unit != 1.0) else { continue };
        // A word such as `gflops` is quantity and unit in one.
        let quantity = if last.iter().any(|word| word.contains("flop") || word.starts_with("pf")) {
            "flops"
        } else {
            ""
        };
        let is_letter = last.len() == 1 && last[0].len() == 1;
        let rest: Vec<&str> = rest.iter().copied().filter(|word| *word != "in").collect();
        if rest.is_empty() && (quantity.is_empty() || is_letter) {
            continue;
        }
        let ends_with_quantity =
            rest.last().is_some_and(|word| matches!(*word, "flops" | "flop" | "compute"));
        let rest = rest.join("_");
        let base = match (rest.is_empty(), quantity.is_empty() || ends_with_quantity) {
            (true, _) => quantity.to_owned(),
            (false, true) => rest,
            (false, false) => format!("{rest}_{quantity}"),
        };
        return (base, unit);
    }
    (plain, 1.0)
}

/// A name without what differs between habits: lower case, `_` for all that is no letter or digit and between words.
pub(super) fn plain(name: &str) -> String {
    let mut spaced = String::with_capacity(name.len() + 4);
    let mut last = ' ';
    for c in name.chars() {
        if last.is_lowercase() && c.is_uppercase() {
            spaced.push('_');
        }
        spaced.push(c);
        last = c;
    }
    let words = spaced.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_a_unit() {
        for (name, plain, unit) in [
            ("tokens (B)", "tokens", 1e9),
            ("Pretraining Data Size (T)", "pretraining_data_size", 1e12),
            ("Model Size (B)", "model_size", 1e9),
            ("FLOPs (1E21)", "flops", 1e21),
            ("FLOPs [x10^18]", "flops", 1e18),
            ("throughput/total_gflops", "throughput_total_flops", 1e9),
            ("PFLOPs", "flops", 1e15),
            ("compute_pf_days", "compute", 8.64e19),
            ("Compute (PF-days)", "compute", 8.64e19),
            ("petaflop/s-days", "flops", 8.64e19),
            ("tokens_in_billions", "tokens", 1e9),
            ("params_M", "params", 1e6),
            ("billions of tokens", "billions_of_tokens", 1.0),
            ("n_tokens_1e9", "n_tokens", 1e9),
            ("n_params", "n_params", 1.0),
            ("flops", "flops", 1.0),
            ("Peak GPU Memory (MB)", "peak_gpu_memory_mb", 1.0),
            ("b", "b", 1.0),
        ] {
            assert_eq!(split_unit(name), (plain.to_owned(), unit), "{name}");
        }
    }
}
