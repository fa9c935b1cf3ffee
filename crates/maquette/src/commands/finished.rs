//! What a finished training has to show.

use serde_json::{Map, Value, json};

use super::{next, stages::StageRef};
use crate::{
    output,
    pipeline::{Finished, Run},
};

/// As JSON, with the hash of what each stage was made from; `null` where that is not at hand.
pub(super) fn json(run: &Run, stages: &[StageRef], finished: Option<&Finished>) -> anyhow::Result<Value> {
    let inputs: Map<String, Value> =
        stages.iter().map(|stage| (stage.name().to_owned(), json!(stage.inputs(run).ok()))).collect();
    Ok(match finished {
        None => json!({ "out": run.dir(), "stages": inputs }),
        Some(finished) => json!({
            "out": run.dir(),
            "stages": inputs,
            "checkpoint": finished.checkpoint,
            "summary": finished.summary,
            "samples": finished.samples,
        }),
    })
}

/// In words, on stdout.
pub(super) fn print(run: &Run, finished: &Finished) -> anyhow::Result<()> {
    let v = &finished.summary.validation;
    output::words(format_args!(
        "validation: {:.4} bits per byte, {:.4} ± {:.4} nats per token (95 %, n = {} tokens)",
        v.bits_per_byte,
        v.loss_nats,
        1.96 * v.loss_stderr,
        v.n_tokens
    ))?;
    for sample in &finished.samples {
        let title = if sample.prompt.is_empty() { "(empty prompt)" } else { &sample.prompt };
        output::words(format_args!("\n--- {title}\n{}{}", sample.prompt, sample.text))?;
    }
    output::words(format_args!("\ncheckpoint: {}", finished.checkpoint.display()))?;
    let prompt = finished.samples.iter().map(|sample| sample.prompt.as_str()).find(|text| !text.is_empty());
    next::after_training(run.dir(), &finished.checkpoint, prompt.unwrap_or("Once upon a time"));
    Ok(())
}
