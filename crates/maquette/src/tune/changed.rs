//! What differs between a fine-tuning and the one that a folder holds, in words of the command line.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Made;

/// Differences that are named; those behind them are counted.
const MAX_NAMED: usize = 3;

/// Settings whose option has another name.
const RENAMED: [(&str, &str); 14] = [
    ("steps", "steps, of --epochs or --iterations,"),
    ("n_rollouts", "--rollouts"),
    ("n_epochs", "--policy-epochs"),
    ("n_parallel", "--parallel"),
    ("n_held_out", "--n-held-out"),
    ("max_new_tokens", "--max-tokens"),
    ("batch_rows", "--batch"),
    ("micro_batch_rows", "--micro-batch"),
    ("kl", "--kl-target"),
    ("horizon", "--kl-horizon"),
    ("whiten", "whitening, without --no-whitening,"),
    ("dtype", "data type"),
    ("method", "method"),
    ("environment", "environment or rewards"),
];

/// Settings that follow from the number of steps.
const OF_STEPS: [&str; 3] = ["warmup_steps", "decay_steps", "eval_every_steps"];

/// What `there` has and `here` has otherwise.
pub(super) fn between(there: &Made, here: &Made) -> anyhow::Result<String> {
    let [a, b] = [leaves(there)?, leaves(here)?];
    let names: BTreeMap<&String, ()> = a.keys().chain(b.keys()).map(|name| (name, ())).collect();
    let mut differing: Vec<&String> = names.into_keys().filter(|name| a.get(*name) != b.get(*name)).collect();
    if differing.iter().any(|name| last(name) == "steps") {
        differing.retain(|name| !OF_STEPS.contains(&last(name)));
    }
    // Rates of matrices, gains and others are one option.
    let mut shown: Vec<String> = Vec::new();
    for name in &differing {
        let (found, expected) = (value(a.get(*name)), value(b.get(*name)));
        let (found, expected) = apart(&found, &expected);
        let text = format!("{} {found} where this has {expected}", option(name));
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    if there.base_weights != here.base_weights {
        shown.insert(0, "another model that it began with".into());
    }
    // The hash of what policies learn from is that of their settings, too.
    let is_told = differing.iter().any(|name| name.starts_with("settings.") || last(name) == "seed");
    if there.data != here.data && !is_told {
        shown.push("other examples".into());
    }
    let n_more = shown.len().saturating_sub(MAX_NAMED);
    shown.truncate(MAX_NAMED);
    let more = if n_more > 0 { format!(", and {n_more} more") } else { String::new() };
    Ok(shown.join(", ") + &more)
}

/// Every number of a fine-tuning by its path.
fn leaves(made: &Made) -> anyhow::Result<BTreeMap<String, Value>> {
    let Made { method, train, tuning, settings, .. } = made;
    let whole =
        serde_json::json!({ "method": method, "train": train, "tuning": tuning, "settings": settings });
    let mut leaves = BTreeMap::new();
    let mut open = vec![(String::new(), whole)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(map) => {
                let below = |name: String| if path.is_empty() { name } else { format!("{path}.{name}") };
                open.extend(map.into_iter().map(|(name, value)| (below(name), value)));
            }
            Value::Null => {}
            other => drop(leaves.insert(path, other)),
        }
    }
    Ok(leaves)
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A setting as the command line has it.
fn option(path: &str) -> String {
    if path.contains("learning_rates.") {
        return "--lr".into();
    }
    let renamed = RENAMED.iter().find(|(name, _)| *name == last(path));
    renamed.map_or_else(|| format!("--{}", last(path).replace('_', "-")), |(_, option)| (*option).to_owned())
}

fn value(value: Option<&Value>) -> String {
    match value {
        None => "none".into(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => other.to_string(),
    }
}

/// Two descriptions without the parts that they have in common: a reward is made of several.
fn apart(a: &str, b: &str) -> (String, String) {
    let parts = |text: &str| -> Vec<String> {
        text.trim_matches('`').split([',', ';']).map(|part| part.trim().to_owned()).collect()
    };
    let (of_a, of_b) = (parts(a), parts(b));
    if of_a.len() < 2 || of_a.len() != of_b.len() {
        return (a.to_owned(), b.to_owned());
    }
    let differing: Vec<(&String, &String)> = of_a.iter().zip(&of_b).filter(|(a, b)| a != b).collect();
    let join = |texts: Vec<String>| format!("`{}`", texts.join(", "));
    (
        join(differing.iter().map(|(a, _)| short(a)).collect()),
        join(differing.iter().map(|(_, b)| short(b)).collect()),
    )
}

/// With hashes cut.
fn short(text: &str) -> String {
    let is_hash = |word: &str| word.len() > 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = |word: &str| if is_hash(word) { word[..8].to_owned() } else { word.to_owned() };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_descriptions_have_in_common_is_left_out() {
        let (a, b) = (
            "`prompts 0123456789abcdef, rule x × 1; reward model none × 1`",
            "`prompts 0123456789abcdef, rule x × 2; reward model none × 1`",
        );
        assert_eq!(apart(a, b), ("`rule x × 1`".to_owned(), "`rule x × 2`".to_owned()));
        let other = "`prompts fedcba9876543210, rule x × 1; reward model none × 1`";
        assert_eq!(apart(a, other), ("`prompts 01234567`".to_owned(), "`prompts fedcba98`".to_owned()));
        assert_eq!(apart("`calculator`", "`grid`"), ("`calculator`".to_owned(), "`grid`".to_owned()));
        assert_eq!(apart("1", "2"), ("1".to_owned(), "2".to_owned()));
    }

    #[test]
    fn settings_are_named_as_options() {
        assert_eq!(option("settings.policy.beta"), "--beta");
        assert_eq!(option("train.learning_rates.head"), "--lr");
        assert_eq!(option("train.batch_rows"), "--batch");
        assert_eq!(option("settings.policy.rollout.sampling.top_p"), "--top-p");
    }
}
