//! Command lines that are none: what was probably meant.

use std::path::Path;

use clap::{
    Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    output::{shell_word, talk},
    terminal::shown,
};

/// Says what is wrong, what was probably meant, and ends the program as clap does.
pub(super) fn end(mut error: Error) -> ! {
    let hint = match error.kind() {
        ErrorKind::InvalidSubcommand => invalid(&error).and_then(|word| meant(&word)),
        ErrorKind::MissingRequiredArgument => missing(&error),
        _ => None,
    };
    if hint.is_some() {
        // Clap goes by letters and would name another.
        error.remove(ContextKind::SuggestedSubcommand);
    }
    let code = error.exit_code();
    if std::env::args_os().any(|arg| is_hostile(&arg.to_string_lossy())) {
        // The message may quote names of files; its own colours are not worth theirs.
        talk(error.render().to_string().trim_end());
    } else {
        let _ = error.print();
    }
    if let Some(hint) = hint {
        talk(format_args!("\nhint: {hint}"));
    }
    std::process::exit(code)
}

/// Whether a terminal would obey something in it.
fn is_hostile(text: &str) -> bool {
    shown(text) != text
}

fn invalid(error: &Error) -> Option<String> {
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(word) => Some(word.clone()),
        _ => None,
    }
}

/// What a word means that other programs have as a command, or a path that stands where a command should.
fn meant(word: &str) -> Option<String> {
    let known = match word.to_ascii_lowercase().as_str() {
        "train" | "fit" | "learn" | "start" => {
            "`maquette run RECIPE` trains a model; a text file can stand in for the recipe"
        }
        "finetune" | "fine-tune" | "tune" | "continue" => {
            "`maquette run RECIPE` with from = \"MODEL\" in the recipe's [model] table continues training a model"
        }
        "resume" => "give the same `maquette run` command again: it resumes the run",
        "sample" | "predict" | "infer" | "inference" | "complete" | "completion" | "prompt" | "write" => {
            "`maquette generate MODEL --prompt TEXT` continues a text"
        }
        "talk" | "repl" => "`maquette chat MODEL` chats with a model",
        "test" | "evaluate" | "validate" | "score" => "`maquette eval MODEL` evaluates a model",
        "convert" | "quantize" | "quantise" | "gguf" => {
            "`maquette import FOLDER --out MODEL` imports a model, `maquette export MODEL --out FILE.gguf` exports one"
        }
        "download" | "pull" | "load" | "add" => {
            "maquette downloads nothing: `maquette import FOLDER --out MODEL` imports a local folder or .gguf file"
        }
        "tokenize" | "tokenise" | "encode" => "`maquette tokenizer encode MODEL FILE` turns text into ids",
        "prepare" | "preprocess" => "`maquette data prepare RECIPE` prepares the text of a recipe",
        "watch" | "verdict" | "seal" | "verify" | "backtest" => {
            return Some(format!("it is `maquette forecast {word}`"));
        }
        "info" | "show" | "describe" => "`maquette inspect MODEL` shows a model",
        "demo" | "init" | "new" | "example" => {
            "`maquette quickstart` trains a model on books that ship with the project"
        }
        "benchmark" => "it is `maquette bench`",
        "check" | "status" | "gpu" => "`maquette doctor` checks this machine",
        "serve" | "server" | "api" => {
            "there is no server yet: `maquette chat MODEL` chats with a model in the terminal"
        }
        "version" => "it is `maquette --version`",
        _ => return of_path(Path::new(word)),
    };
    Some(known.to_owned())
}

fn of_path(path: &Path) -> Option<String> {
    if !path.exists() {
        return None;
    }
    let word = shell_word(path);
    let is_model = path.join("pretrain").is_dir() || path.join("config.json").is_file();
    Some(match is_model {
        true => format!("`maquette generate {word} --prompt TEXT` generates text with that model"),
        false => format!("`maquette run {word}` trains on it"),
    })
}

/// What to give where a model or a recipe is missing.
fn missing(error: &Error) -> Option<String> {
    let ContextValue::Strings(names) = error.get(ContextKind::InvalidArg)? else { return None };
    let lacks = |name: &str| names.iter().any(|missing| missing.contains(name));
    if lacks("<CHECKPOINT>") {
        return Some(format!("expected a model: {}", crate::open_model::known_runs()));
    }
    lacks("<RECIPE>").then(|| {
        "expected a recipe, such as recipes/shakespeare-char.toml, or a text file or folder of texts to train on".to_owned()
    })
}
