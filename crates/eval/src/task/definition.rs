//! A task's file: where its data lie, how a row becomes a prompt, what is scored.

use std::{collections::BTreeMap, path::Path};

use data::Template;
use serde::Deserialize;

use super::{Kind, Metric, data_folder::is_table, fill::Fill};
use crate::{
    Drawing, ExamError, GenerationSettings,
    generation::{Generate, settings},
};

/// Every task's file, embedded.
const FILES: [&str; 39] = [
    include_str!("../../tasks/arc_easy.toml"),
    include_str!("../../tasks/arc_challenge.toml"),
    include_str!("../../tasks/hellaswag.toml"),
    include_str!("../../tasks/piqa.toml"),
    include_str!("../../tasks/winogrande.toml"),
    include_str!("../../tasks/openbookqa.toml"),
    include_str!("../../tasks/boolq.toml"),
    include_str!("../../tasks/mmlu.toml"),
    include_str!("../../tasks/lambada_openai.toml"),
    include_str!("../../tasks/truthfulqa.toml"),
    include_str!("../../tasks/gsm8k.toml"),
    include_str!("../../tasks/gsm8k_cot.toml"),
    include_str!("../../tasks/mgsm_direct.toml"),
    include_str!("../../tasks/mgsm_en_cot.toml"),
    include_str!("../../tasks/mgsm_native_cot.toml"),
    include_str!("../../tasks/bbh_cot_fewshot.toml"),
    include_str!("../../tasks/bbh_fewshot.toml"),
    include_str!("../../tasks/bbh_cot_zeroshot.toml"),
    include_str!("../../tasks/bbh_zeroshot.toml"),
    include_str!("../../tasks/ifeval.toml"),
    include_str!("../../tasks/humaneval.toml"),
    include_str!("../../tasks/mbpp.toml"),
    include_str!("../../tasks/xcopa.toml"),
    include_str!("../../tasks/belebele.toml"),
    include_str!("../../tasks/mmmlu.toml"),
    include_str!("../../tasks/xquad.toml"),
    include_str!("../../tasks/flores.toml"),
    include_str!("../../tasks/core_choices.toml"),
    include_str!("../../tasks/core_contexts.toml"),
    include_str!("../../tasks/core_continuation.toml"),
    include_str!("../../tasks/agieval_en.toml"),
    include_str!("../../tasks/agieval_cn.toml"),
    include_str!("../../tasks/harmbench.toml"),
    include_str!("../../tasks/advbench.toml"),
    include_str!("../../tasks/xstest.toml"),
    include_str!("../../tasks/bbq.toml"),
    include_str!("../../tasks/crows_pairs.toml"),
    include_str!("../../tasks/hindsight_neglect.toml"),
    include_str!("../../tasks/steerability.toml"),
];

/// A task under the name that lm-evaluation-harness has for it.
#[derive(Debug)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The group that it is a part of, where it is.
    pub group: Option<String>,
    /// Of the task in lm-evaluation-harness whose prompts these are.
    pub version: u32,
    /// What it asks for.
    pub about: String,
    /// Where the data are published.
    pub source: String,
    /// Licence of the data.
    pub licence: String,
    /// Of the task's file.
    pub sha256: String,
    /// What is scored.
    pub kind: Kind,
    /// What is reported.
    pub metrics: Vec<Metric>,
    /// Examples in front of an item where nobody asks for a number.
    pub default_shots: usize,
    pub(crate) generate: Option<Generate>,
    /// The accuracy that guessing reaches, where scores are to be centred on it.
    pub baseline: Option<f64>,
    /// Whether contexts and choices are encoded as one text behind the begin of text, instead of apart.
    pub(crate) whole: bool,
    /// Seed of the order in which items are asked, where it is not that of the data.
    pub(super) shuffle: Option<u64>,
    /// Fields of the data that stand beside an item: what it is judged or sorted by.
    pub(super) keep: Vec<String>,
    /// What differs from the original task.
    pub(super) note: Option<String>,
    pub(super) description: String,
    pub(super) delimiter: String,
    pub(super) prompt: Option<Template>,
    pub(super) answers: Option<Template>,
    pub(super) test: String,
    pub(super) fewshot: Fewshot,
    pub(super) forms: Vec<Form>,
}

/// Where the examples in front of an item come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fewshot {
    #[serde(default)]
    pub(super) split: String,
    pub(super) draw: Draw,
    #[serde(default)]
    pub(super) shots: usize,
    /// The examples themselves, as fields of the task, where they are part of it.
    #[serde(default)]
    pub(super) samples: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// How examples are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Draw {
    /// At random.
    Sample,
    /// At random; one more is drawn, and the item itself left out.
    SampleOthers,
    /// The first of the split.
    First,
    /// The first of the split, without the item itself.
    FirstOthers,
    /// At random from all but the item itself, by a generator of its own for each item.
    SampleByItem,
}

/// One form in which data are published: files, and which of their fields is what.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) splits: Vec<String>,
    /// Patterns below the data folder; `{split}` stands for the split.
    pub(super) files: Vec<String>,
    /// The same for files whose rows stand beside those, line by line: their fields are those of `beside`.
    pub(super) beside: Vec<String>,
    /// What is made in place of files.
    pub(super) made: Option<String>,
    /// Names of the columns, where the files have none.
    pub(super) columns: Vec<String>,
    /// The first and the last row that belong to the task, counted from 1.
    pub(super) between: Option<(usize, usize)>,
    /// A list of which each element becomes a row of its own, in the place of the list.
    pub(super) unroll: Option<String>,
    /// Rows that belong to the task: fields with their values.
    pub(super) only: BTreeMap<String, String>,
    /// Fields that are cleaned of what WikiHow's pages left.
    pub(super) wikihow: Vec<String>,
    /// Rows are those of a user's own quiz.
    pub(super) is_quiz: bool,
    /// What differs from the original.
    pub(super) note: Option<String>,
    pub(super) fields: Vec<(String, Template)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: u32,
    about: String,
    source: String,
    licence: String,
    kind: Kind,
    metrics: Vec<Metric>,
    #[serde(default)]
    description: String,
    #[serde(default = "blank")]
    delimiter: String,
    prompt: Option<String>,
    answers: Option<String>,
    test: String,
    fewshot: Fewshot,
    group: Option<String>,
    generate: Option<settings::File>,
    baseline: Option<f64>,
    #[serde(default)]
    whole: bool,
    shuffle: Option<u64>,
    #[serde(default)]
    keep: Vec<String>,
    note: Option<String>,
    /// Values of placeholders: a task for each combination.
    each: Option<BTreeMap<String, Vec<String>>>,
    data: Vec<FormFile>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormFile {
    split: Vec<String>,
    files: Vec<String>,
    made: Option<String>,
    #[serde(default)]
    beside: Vec<String>,
    #[serde(default)]
    columns: Vec<String>,
    between: Option<(usize, usize)>,
    unroll: Option<String>,
    #[serde(default)]
    only: BTreeMap<String, String>,
    #[serde(default)]
    wikihow: Vec<String>,
    #[serde(default)]
    quiz: bool,
    note: Option<String>,
    fields: BTreeMap<String, String>,
}

fn blank() -> String {
    " ".to_owned()
}

impl Task {
    /// Every task that is known, in the order of their files.
    pub fn all() -> Vec<Self> {
        let tasks = FILES.iter().flat_map(|text| Self::parse(text).expect("embedded files are tested"));
        tasks.collect()
    }

    /// The tasks of a file.
    ///
    /// # Errors
    /// If the file is not what a task's file is.
    pub fn parse(text: &str) -> Result<Vec<Self>, ExamError> {
        let bad = |message: String| ExamError::Definition { message };
        let mut table: toml::Table = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        // Further tasks on the same data: what of the file they change.
        let also = table.remove("also");
        let mut tables = vec![table.clone()];
        for change in also.as_ref().and_then(toml::Value::as_array).into_iter().flatten() {
            let mut other = table.clone();
            other.extend(change.as_table().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
            tables.push(other);
        }
        let mut tasks = Vec::new();
        for table in tables {
            let file: File = table.try_into().map_err(|error: toml::de::Error| bad(error.to_string()))?;
            for fill in Fill::all(file.each.as_ref()) {
                tasks.push(Self::of(&file, &fill, text)?);
            }
        }
        Ok(tasks)
    }

    fn of(file: &File, fill: &Fill, text: &str) -> Result<Self, ExamError> {
        let compile = |source: &String| Template::parse(&fill.template(source));
        let form = |form: &FormFile| -> Result<Form, ExamError> {
            let fields = form.fields.iter().map(|(name, source)| Ok((name.clone(), compile(source)?)));
            Ok(Form {
                splits: form.split.clone(),
                files: form.files.iter().map(|pattern| fill.text(pattern)).collect(),
                beside: form.beside.iter().map(|pattern| fill.text(pattern)).collect(),
                made: form.made.as_ref().map(|name| fill.text(name)),
                columns: form.columns.clone(),
                between: form.between,
                unroll: form.unroll.clone(),
                only: form.only.iter().map(|(name, value)| (name.clone(), fill.text(value))).collect(),
                wikihow: form.wikihow.clone(),
                is_quiz: form.quiz,
                note: form.note.clone(),
                fields: fields.collect::<Result<_, ExamError>>()?,
            })
        };
        Ok(Self {
            name: fill.text(&file.name),
            group: file.group.as_ref().map(|group| fill.text(group)),
            version: file.version,
            about: fill.words(&file.about),
            source: file.source.clone(),
            licence: file.licence.clone(),
            sha256: base::hash::sha256(text.as_bytes()),
            kind: file.kind,
            metrics: file.metrics.clone(),
            default_shots: file.fewshot.shots,
            generate: file.generate.clone().map(Generate::new).transpose()?,
            baseline: file.baseline,
            whole: file.whole,
            shuffle: file.shuffle,
            keep: file
                .generate
                .iter()
                .flat_map(|generate| &generate.keep)
                .chain(&file.keep)
                .cloned()
                .collect(),
            note: file.note.clone(),
            description: fill.words(&file.description),
            delimiter: file.delimiter.clone(),
            prompt: file.prompt.as_ref().map(compile).transpose()?,
            answers: file.answers.as_ref().map(compile).transpose()?,
            test: file.test.clone(),
            fewshot: file.fewshot.clone(),
            forms: file.data.iter().map(form).collect::<Result<_, _>>()?,
        })
    }

    /// How the answers to this task are drawn; none where nothing is generated.
    ///
    /// # Errors
    /// If a setting is outside its range.
    pub fn drawing(&self, settings: &GenerationSettings) -> Result<Option<Drawing>, ExamError> {
        self.generate.as_ref().map(|generate| Drawing::of(generate, settings)).transpose()
    }

    /// Whether its answers are asked for in a conversation.
    pub fn is_chat(&self) -> bool {
        self.generate.as_ref().is_some_and(|generate| generate.chat)
    }

    /// Whether its questions are made, and need no data.
    pub fn is_made(&self) -> bool {
        self.forms.iter().any(|form| form.made.is_some())
    }

    /// Whether its answers get points by a rubric.
    pub fn has_rubric(&self) -> bool {
        self.metrics.contains(&Metric::Points)
    }

    /// Whether a model can judge its answers.
    pub fn can_be_judged(&self) -> bool {
        crate::judge::can_judge(self)
    }

    /// Whether its answers are programs, which are judged by running them.
    pub fn needs_programs(&self) -> bool {
        self.generate.as_ref().is_some_and(|generate| generate.program.is_some())
    }

    /// What every user's own questions with a rubric are.
    ///
    /// # Errors
    /// If the embedded file is damaged, which a test excludes.
    pub fn free_response() -> Result<Self, ExamError> {
        Ok(Self::parse(include_str!("../../tasks/free_response.toml"))?.remove(0))
    }

    /// A user's own questions to be answered freely, where a table has `rubric` and no `choices`; else a quiz: a table with `question`, `choices` and `answer`, which is a choice's text, its letter or its
    /// number from 0. Examples in front of an item are drawn from the other rows.
    ///
    /// # Errors
    /// If the path has no name.
    pub fn quiz(path: &Path) -> Result<Self, ExamError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem =
            name.split('.').next().filter(|stem| !stem.is_empty()).ok_or_else(|| ExamError::Table {
                place: path.display().to_string(),
                expected: "a file with a name, such as quiz.jsonl".to_owned(),
                found: "none".to_owned(),
                hint: "give the file another name".to_owned(),
            })?;
        if !is_table(path) {
            return Err(ExamError::Table {
                place: path.display().to_string(),
                expected: "a quiz as .jsonl, .csv, .tsv or .parquet, the first three also as .gz and .zst".to_owned(),
                found: "a file with another ending".to_owned(),
                hint: "write a line {\"question\": …, \"choices\": […], \"answer\": …} for each question into a file that ends with .jsonl".to_owned(),
            });
        }
        let is_free = data::rows(path).ok().and_then(|rows| {
            let first = rows.into_iter().next()?;
            Some(first.fields.contains_key("rubric") && !first.fields.contains_key("choices"))
        });
        let text = match is_free {
            Some(true) => include_str!("../../tasks/free_response.toml"),
            _ => include_str!("../../tasks/quiz.toml"),
        };
        let mut tasks = Self::parse(text)?;
        let mut task = tasks.remove(0);
        task.name = stem.to_owned();
        task.source = path.display().to_string();
        let path = std::path::absolute(path).map_err(base::FileError::new("find", path))?;
        task.forms[0].files = vec![glob::Pattern::escape(&path.display().to_string())];
        Ok(task)
    }
}
