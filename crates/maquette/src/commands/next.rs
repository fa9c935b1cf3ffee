//! What can be done with what a command just made, as commands to paste.

use std::path::Path;

use data::ChatTemplate;
use model::checkpoint::PROCESSOR_FILES;

use crate::output::{program, shell_text, shell_word, talk};

/// After a training: let it write, look at its report, take it elsewhere.
pub(super) fn after_training(run: &Path, checkpoint: &Path, prompt: &str) {
    let mut steps = with_a_model(run, checkpoint, prompt);
    let report = run.join("report.html");
    if report.is_file() {
        steps.insert(steps.len() - 1, ("report", shell_word(&report)));
    }
    say(&steps);
}

/// After an import: let it write or talk, take it elsewhere.
pub(super) fn after_import(checkpoint: &Path) {
    say(&with_a_model(checkpoint, checkpoint, "Once upon a time"));
}

/// What every model can do. `model` is how it is named: by its run, whose newest checkpoint `checkpoint` is, or by itself.
fn with_a_model(model: &Path, checkpoint: &Path, prompt: &str) -> Vec<(&'static str, String)> {
    let (maquette, named) = (program(), shell_word(model));
    let mut steps =
        vec![("generate text", format!("{maquette} generate {named} --prompt {}", shell_text(prompt)))];
    if checkpoint.join(ChatTemplate::FILE).is_file() {
        steps.push(("chat with it", format!("{maquette} chat {named}")));
    }
    if checkpoint.join(PROCESSOR_FILES[0]).is_file() {
        let command = format!("{maquette} generate {named} --image FILE --prompt 'What is there?'");
        steps.push(("ask about a picture", command));
        return steps;
    }
    let name = model.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
    let file = shell_word(Path::new(&format!("{name}.gguf")));
    steps.push(("a GGUF file for llama.cpp", format!("{maquette} export {named} --out {file}")));
    steps
}

fn say(steps: &[(&str, String)]) {
    talk("");
    for (what, command) in steps {
        talk(format_args!("{what}:\n  {command}"));
    }
}
