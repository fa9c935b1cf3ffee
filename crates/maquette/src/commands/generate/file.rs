//! `maquette generate --prompts`: many prompts at a time.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use anyhow::Context as _;
use data::{Tokenizer, image::Preprocessing};
use model::{Completion, DecodeError, Engine, Event, Finish, Gpt, Picture, Request, VisionConfig};
use tensor::Cpu;

use super::{Args, ContinuedText, json, request, settings, tell_names};
use crate::{image_files, open_model::Opened, stop, video_files::Frames};

/// Continues a file's prompts, `--batch` at a time: the next begins where one ends. The prompt of line `i` draws with the seed plus `i`,
/// so that its text does not depend on the lines beside it.
pub(super) fn continue_file(
    args: &Args,
    path: &Path,
    Opened { gpt, tokenizer, dir }: &Opened,
    kernels: &Cpu,
) -> anyhow::Result<()> {
    anyhow::ensure!(args.batch > 0, "--batch must be at least 1, found 0\nhint: 16 is fast on most machines");
    let eyes = match &gpt.config().vision {
        Some(vision) => Some((vision, image_files::preprocessing(dir, vision)?)),
        None => None,
    };
    let prompts = prompts(args, path, gpt, tokenizer, eyes.as_ref())?;
    let texts: Vec<&str> = prompts.iter().map(|(prompt, _)| prompt.as_str()).collect();
    tell_names(args, &texts, tokenizer);
    let mut engine = Engine::new(gpt, kernels, settings(args.batch, prompts.iter().map(|(_, r)| r)));
    let mut places = HashMap::new();
    for (i, (_, request)) in prompts.iter().enumerate() {
        places.insert(engine.submit(request.clone())?, i);
    }
    // Completions come in any order and are written in that of the file.
    let mut done: Vec<Continued> = prompts.iter().map(|_| Continued::new(args, tokenizer)).collect();
    let mut n_written = 0;
    while !engine.is_idle() {
        anyhow::ensure!(
            stop::check().is_continue(),
            stop::Abandoned(format!(" after {n_written} of {} prompts", prompts.len()))
        );
        for event in engine.step() {
            match event {
                Event::Prompt { .. } => {}
                Event::Token { sequence, token } => {
                    let done = &mut done[places[&sequence]];
                    done.completion.push(&token);
                    done.text.push(token.id);
                    if done.text.has_ended {
                        done.end(Finish::Stop);
                        // It may have ended with this very token.
                        let _ = engine.cancel(sequence);
                    }
                }
                Event::Finished { sequence, finish, .. } => done[places[&sequence]].end(finish),
            }
        }
        while let Some((done, (prompt, request))) = done.get(n_written).zip(prompts.get(n_written))
            && done.has_ended
        {
            let text = done.text.text.clone();
            crate::output::json_line(&json(prompt, &request.prompt, &done.completion, text)?)?;
            n_written += 1;
        }
    }
    Ok(())
}

/// The prompts of the file with their requests. All of them first: a bad line is reported before hours of work.
fn prompts(
    args: &Args,
    path: &Path,
    gpt: &Gpt,
    tokenizer: &Tokenizer,
    eyes: Option<&(&VisionConfig, Preprocessing)>,
) -> anyhow::Result<Vec<(String, Request)>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let bytes = std::fs::read(path)
        .with_context(|| format!("cannot read `{}`\nhint: check the path", path.display()))?;
    let text = data::text_of(path, bytes)?;
    let mut prompts = Vec::new();
    let mut ignored = BTreeSet::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("in line {} of `{}`", i + 1, path.display());
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).map_err(|error| {
                anyhow::anyhow!(
                    "expected a JSON object with a text \"prompt\" {}, found `{}` ({})\n\
                     hint: such as {{\"prompt\": \"Once upon\"}}",
                    place(),
                    line.chars().take(60).collect::<String>(),
                    // Each line is a text of its own, so that its place in it alone says something.
                    error.to_string().replace("line 1 ", "")
                )
            })?;
        let prompt = fields.get("prompt").and_then(serde_json::Value::as_str).with_context(|| {
            format!(
                "expected a text \"prompt\" {}, found {}\nhint: such as {{\"prompt\": \"Once upon\"}}",
                place(),
                fields.get("prompt").map_or_else(
                    || match fields.len() {
                        0 => "no field".to_owned(),
                        _ => format!("the fields {}", list(fields.keys())),
                    },
                    |value| format!("`{}`", value.to_string().chars().take(60).collect::<String>())
                )
            )
        })?;
        let is_used = |name: &String| ["prompt", "images", "image"].contains(&name.as_str());
        ignored.extend(fields.keys().filter(|name| !is_used(name)).cloned());
        let images = image_files::of_row(&fields, folder, &format!("{}:line {}", path.display(), i + 1))?;
        let images = match eyes {
            Some((vision, preprocessing)) => {
                let picture = |image| Picture::new(preprocessing.patches(image, vision.patch_size));
                images.iter().map(picture).collect()
            }
            None => {
                anyhow::ensure!(
                    images.is_empty(),
                    "expected no image {}: this model reads text alone\nhint: use a model that was trained with images",
                    place()
                );
                Vec::new()
            }
        };
        let seed = args.sampling.seed.wrapping_add(i as u64);
        let n_images = images.len();
        let request =
            request(args, prompt, seed, gpt, tokenizer, Frames::still(images)).with_context(place)?;
        if let Some((vision, _)) = eyes {
            let n_patches = vision.n_patches();
            let n_placeholders = request.prompt.iter().filter(|id| **id == vision.image_token).count();
            let error = match n_images {
                0 => DecodeError::NoImages { n_placeholders },
                _ => DecodeError::Placeholders { n_patches, n_images, n_placeholders },
            };
            anyhow::ensure!(
                n_placeholders == n_images * n_patches,
                anyhow::Error::new(error).context(place())
            );
        }
        prompts.push((prompt.to_owned(), request));
    }
    anyhow::ensure!(
        !prompts.is_empty(),
        "expected a prompt on each line of `{}`, found no line\nhint: such as {{\"prompt\": \"Once upon\"}}",
        path.display()
    );
    if !ignored.is_empty() {
        crate::output::talk(format_args!(
            "not used of the lines of `{}`: {}; settings are options of the command",
            path.display(),
            list(&ignored)
        ));
    }
    Ok(prompts)
}

fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().take(8).map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// A prompt of a file on its way.
struct Continued {
    completion: Completion,
    text: ContinuedText,
    has_ended: bool,
}

impl Continued {
    fn new(args: &Args, tokenizer: &Tokenizer) -> Self {
        let text = ContinuedText::new(&args.stop, tokenizer);
        Self { completion: Completion::empty(), text, has_ended: false }
    }

    /// Ends it, unless it has ended.
    fn end(&mut self, finish: Finish) {
        if !self.has_ended {
            self.has_ended = true;
            self.completion.finish = finish;
            self.text.finish();
        }
    }
}
