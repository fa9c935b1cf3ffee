//! Errors about numbers of a library, in words of the command line: commands without a recipe name their options.

use eval::EvalError;
use model::SamplingError;
use train::TrainError;

/// Settings whose option has another name.
const RENAMED: [(&str, &str); 9] = [
    ("learning_rates.matrix", "lr"),
    ("learning_rates.embedding", "lr"),
    ("learning_rates.head", "lr"),
    ("learning_rates.gain", "lr"),
    ("batch_rows", "batch"),
    ("micro_batch_rows", "micro-batch"),
    ("adapters.rank", "rank"),
    ("max_new_tokens", "max-tokens"),
    ("n_parallel", "parallel"),
];

/// The same result, with an error that names options instead of what a recipe would have.
pub(super) fn named<T>(result: anyhow::Result<T>) -> anyhow::Result<T> {
    result.map_err(|error| match in_words(&error) {
        Some(words) => anyhow::anyhow!(words),
        None => error,
    })
}

fn in_words(error: &anyhow::Error) -> Option<String> {
    for cause in error.chain() {
        match cause.downcast_ref::<TrainError>() {
            Some(TrainError::Setting { name, expected, found }) => {
                return Some(setting(name, expected, found, "leave it out for the default"));
            }
            Some(TrainError::NotFinite { step, what, value, cursor }) => {
                return Some(format!(
                    "step {step}: {what} is {value}, expected a finite number; batch at {cursor}\n\
                     hint: give a lower --lr, or look at that batch; the checkpoint before it is kept"
                ));
            }
            _ => {}
        }
        if let Some(SamplingError { name, expected, found, hint }) = cause.downcast_ref() {
            return Some(setting(name, expected, found, hint));
        }
        if let Some(EvalError::Setting { name, expected, found, hint }) = cause.downcast_ref() {
            return Some(setting(name, expected, found, hint));
        }
    }
    let said = crate::message(error);
    let in_options = said
        .replace("`train.seq_len`", "--seq-len")
        .replace("train.seq_len", "--seq-len")
        .replace("the learning rates in [train]", "--lr");
    (said != in_options).then_some(in_options)
}

fn setting(name: &str, expected: &str, found: impl std::fmt::Display, hint: &str) -> String {
    let option = RENAMED.iter().find(|(setting, _)| *setting == name).map_or(name, |(_, option)| option);
    format!("--{} must be {expected}, found {found}\nhint: {hint}", option.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn settings_are_named_as_options() {
        let words = |error: anyhow::Error| crate::message(&named::<()>(Err(error)).unwrap_err());
        let setting = |name| TrainError::Setting { name, expected: "positive", found: "0".into() };
        assert_eq!(
            words(setting("learning_rates.head").into()),
            "--lr must be positive, found 0\nhint: leave it out for the default"
        );
        assert!(words(setting("clip_value").into()).starts_with("--clip-value must be positive, found 0\n"));
        let inner = Err::<(), _>(setting("batch_rows")).context("stage `a`").unwrap_err();
        assert!(words(inner).starts_with("--batch must be"));
        let sampling =
            SamplingError { name: "top_p", expected: "from 0 to 1", found: 2.0, hint: "1 switches it off" };
        assert_eq!(words(sampling.into()), "--top-p must be from 0 to 1, found 2\nhint: 1 switches it off");
        let far = TrainError::NotFinite { step: 3, what: "the loss", value: f64::NAN, cursor: "7".into() };
        let said = words(far.into());
        assert!(said.contains("--lr") && !said.contains("[train]"), "{said}");
        let data = anyhow::anyhow!("found 3\nhint: set a smaller train.seq_len");
        assert_eq!(words(data), "found 3\nhint: set a smaller --seq-len");
        assert_eq!(words(anyhow::anyhow!("as it was")), "as it was");
        let stopped: anyhow::Error = crate::stop::Interrupted(" after step 1".into()).into();
        assert!(named::<()>(Err(stopped)).unwrap_err().is::<crate::stop::Interrupted>());
    }
}
