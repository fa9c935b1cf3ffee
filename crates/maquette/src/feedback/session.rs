//! What a person is asked, and what came of it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base::hash::xxh3_64;
use data::{ChatTemplate, Message};
use model::{Engine, EngineSettings, Sampling};
use serde::Serialize;
use serde_json::json;
use tensor::Cpu;

use crate::{open_model::Opened, own_folder};

/// Two answers to compare.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Question {
    /// Its number among the prompts.
    pub(crate) number: usize,
    pub(crate) prompt: Vec<Message>,
    pub(crate) answers: [String; 2],
}

/// What a person says of two answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    First,
    Second,
    /// Neither is better, or the person does not want to say.
    Skip,
    /// A better one than both.
    Better(String),
}

/// How answers are drawn.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) sampling: Sampling,
    /// By frequency and by presence.
    pub(crate) penalties: (f64, f64),
    pub(crate) max_tokens: usize,
    pub(crate) seed: u64,
}

/// Prompts, a model that answers them, and files that grow by what a person says.
pub(crate) struct Session {
    opened: Opened,
    template: ChatTemplate,
    kernels: Cpu,
    prompts: Vec<Vec<Message>>,
    drawn: Drawn,
    files: Files,
    /// The question that waits for an answer.
    open: Option<Question>,
    /// The next prompt to be asked.
    next: usize,
    n_judged: usize,
}

impl Session {
    pub(crate) fn new(
        opened: Opened,
        kernels: Cpu,
        prompts: Vec<Vec<Message>>,
        drawn: Drawn,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let template = ChatTemplate::load(&opened.dir, &opened.tokenizer)?;
        let files = Files::open(dir)?;
        let n_judged = files.judged.len();
        Ok(Self { opened, template, kernels, prompts, drawn, files, open: None, next: 0, n_judged })
    }

    /// How many prompts were judged, and how many there are.
    pub(crate) fn progress(&self) -> [usize; 2] {
        [self.n_judged, self.prompts.len()]
    }

    /// The question that waits, or the next; nothing where all were asked.
    pub(crate) fn question(&mut self) -> anyhow::Result<Option<&Question>> {
        while self.open.is_none() && self.next < self.prompts.len() {
            let number = self.next;
            self.next += 1;
            if self.files.judged.contains(&key(&self.prompts[number])) {
                continue;
            }
            let answers = self.answers(number)?;
            // Where both are the same there is nothing to compare.
            if answers[0].trim() != answers[1].trim() {
                self.open = Some(Question { number, prompt: self.prompts[number].clone(), answers });
            }
        }
        Ok(self.open.as_ref())
    }

    fn answers(&self, number: usize) -> anyhow::Result<[String; 2]> {
        let prompt = self.template.encode(&self.opened.tokenizer, &self.prompts[number], true)?;
        let max_seq_len = self.opened.gpt.config().max_seq_len;
        let mut engine =
            Engine::new(&self.opened.gpt, &self.kernels, EngineSettings::for_sequences(2, max_seq_len));
        let request = |i: u64| model::Request {
            seed: base::Rng::named(self.drawn.seed, &format!("answer {i} to {}", key(&self.prompts[number])))
                .next_u64(),
            sampling: self.drawn.sampling.clone(),
            frequency_penalty: self.drawn.penalties.0,
            presence_penalty: self.drawn.penalties.1,
            stop: self.opened.tokenizer.stops(),
            ..model::Request::new(prompt.clone(), self.drawn.max_tokens)
        };
        let done = engine.complete(vec![request(0), request(1)], &mut |_, _| true)?;
        let text = |i: usize| self.opened.tokenizer.decode(&done[i].ids);
        Ok([text(0), text(1)])
    }

    /// Takes what a person says of question `number` to disk; false where another question is open.
    pub(crate) fn judge(&mut self, number: usize, verdict: &Verdict) -> anyhow::Result<bool> {
        let Some(question) = self.open.take_if(|question| question.number == number) else {
            return Ok(false);
        };
        if let Err(error) = self.files.write(&question, verdict) {
            self.open = Some(question);
            return Err(error);
        }
        self.n_judged += 1;
        Ok(true)
    }
}

/// Of what was asked alone.
fn key(prompt: &[Message]) -> u64 {
    xxh3_64(serde_json::to_string(prompt).unwrap_or_default().as_bytes())
}

/// The files of a folder, each of lines.
struct Files {
    dir: PathBuf,
    /// Prompts of which something was said.
    judged: BTreeSet<u64>,
}

const ABOUT: &str = "FEEDBACK.md";
const TEXT: &str = "# Feedback\n\nWritten by `maquette feedback`: pairs.jsonl for `maquette reward` and `maquette dpo`, better.jsonl for `maquette sft`, \
    judged.jsonl for itself.\n";
const JUDGED: &str = "judged.jsonl";

impl Files {
    fn open(dir: &Path) -> anyhow::Result<Self> {
        own_folder::open(dir, ABOUT, TEXT)?;
        let mut judged = BTreeSet::new();
        for name in [JUDGED, "pairs.jsonl", "better.jsonl"] {
            let path = dir.join(name);
            let text = whole_lines(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            if name == JUDGED {
                for line in text.lines() {
                    let row: serde_json::Value = serde_json::from_str(line).with_context(|| {
                        format!("`{}` has a line that is no JSON\nhint: mend or delete it", path.display())
                    })?;
                    judged.extend(row["key"].as_u64());
                }
            }
        }
        Ok(Self { dir: dir.to_owned(), judged })
    }

    /// Pairs and better answers first: a crash between them asks again, and loses nothing.
    fn write(&mut self, question: &Question, verdict: &Verdict) -> anyhow::Result<()> {
        let [first, second] = &question.answers;
        let pair = |chosen: &str, rejected: &str| json!({ "prompt": question.prompt, "chosen": chosen, "rejected": rejected, "by": "person" });
        let (pairs, name) = match verdict {
            Verdict::First => (vec![pair(first, second)], "first"),
            Verdict::Second => (vec![pair(second, first)], "second"),
            Verdict::Skip => (Vec::new(), "skip"),
            Verdict::Better(better) => (vec![pair(better, first), pair(better, second)], "better"),
        };
        if let Verdict::Better(better) = verdict {
            let answer = Message::new("assistant", better.clone());
            let messages: Vec<&Message> = question.prompt.iter().chain([&answer]).collect();
            self.append("better.jsonl", &[json!({ "messages": messages, "by": "person" })])?;
        }
        self.append("pairs.jsonl", &pairs)?;
        let key = key(&question.prompt);
        self.append(JUDGED, &[json!({ "key": key, "verdict": name, "answers": question.answers })])?;
        self.judged.insert(key);
        Ok(())
    }

    fn append(&self, name: &str, rows: &[serde_json::Value]) -> anyhow::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let path = self.dir.join(name);
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let write = || -> std::io::Result<()> {
            let mut file = base::disk::open_or_create(&path)?;
            file.seek(SeekFrom::End(0))?;
            base::disk::write_all(&mut file, lines.as_bytes())?;
            base::disk::sync_data(&file)
        };
        write().with_context(|| {
            format!("cannot write `{}`\nhint: make room on the disk, and say it again", path.display())
        })
    }
}

/// The lines of a file; what a crash left of a last one is cut off.
fn whole_lines(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if end < bytes.len() {
        base::disk::set_len(&base::disk::open_or_create(path)?, end as u64)?;
        bytes.truncate(end);
    }
    String::from_utf8(bytes).map_err(std::io::Error::other)
}
