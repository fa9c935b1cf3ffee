//! Verdicts that a grader gave, kept beside its file: what was answered once is not asked again.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use align::rbrm::{Gold, Grader, GraderId, Grades, Questions};
use anyhow::Context as _;
use base::hash::sha256;
use eval::endpoint::Failure;
use serde::{Deserialize, Serialize};

use crate::{
    progress::{Field, Progress},
    run_dir::write_whole,
    stop::{self, Interrupted},
};

/// Answers that are graded between two writes of the file.
const N_EACH: usize = 4;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Hash of the grader, its questions and the answer.
    answer: String,
    verdicts: BTreeMap<String, bool>,
}

/// Grades labelled answers; `names` are the propositions. What has no verdict is asked again by a later call.
pub(super) fn graded(
    gold: &[Gold],
    names: &[&str],
    grader: &dyn Grader,
    questions: &Questions,
    path: &Path,
) -> anyhow::Result<Vec<Grades>> {
    let is_model_behind_an_endpoint = matches!(grader.id(), GraderId::Endpoint { .. });
    let about = serde_json::to_string(&(grader.id(), questions))?;
    let key = |item: &Gold| -> anyhow::Result<String> {
        let asked = serde_json::to_string(&(&about, &item.messages, &item.answer))?;
        Ok(sha256(asked.as_bytes()))
    };
    let mut known = read(path)?;
    let keys: Vec<String> = gold.iter().map(key).collect::<anyhow::Result<_>>()?;
    let mut all: Vec<Grades> = keys
        .iter()
        .map(|key| {
            let verdicts = known.get(key).into_iter().flat_map(|line| &line.verdicts);
            verdicts.map(|(name, verdict)| (name.clone(), Ok(*verdict))).collect()
        })
        .collect();
    let lacks = |grades: &Grades| names.iter().any(|name| !grades.contains_key(*name));
    let waiting: Vec<usize> = (0..gold.len()).filter(|i| lacks(&all[*i])).collect();
    let mut bar = Progress::new("grades");
    for (n_done, numbers) in waiting.chunks(N_EACH).enumerate() {
        let n_known = gold.len() - waiting.len() + n_done * N_EACH;
        if stop::flag().load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Interrupted(format!(" after {n_known} of {} answers, kept", gold.len())).into());
        }
        bar.update(n_known as u64, gold.len() as u64, [Field::new(5, format!("{n_known}/{}", gold.len()))]);
        let answered: Vec<_> = numbers.iter().map(|i| gold[*i].answered()).collect();
        let lacking = |name: &&&str| numbers.iter().any(|i| !all[*i].contains_key(**name));
        let asked: Vec<&str> = names.iter().filter(lacking).copied().collect();
        let graded = grader.grade(&answered, &asked);
        let is_answered = graded.iter().flat_map(Grades::values).any(Result::is_ok);
        let reason = graded.iter().flat_map(Grades::values).find_map(|verdict| verdict.clone().err());
        for (i, grades) in numbers.iter().zip(graded) {
            for (name, verdict) in grades {
                let known = all[*i].entry(name).or_insert_with(|| verdict.clone());
                if known.is_err() {
                    *known = verdict;
                }
            }
            let verdict = |(name, verdict): (&String, &Result<bool, String>)| {
                Some((name.clone(), *verdict.as_ref().ok()?))
            };
            let verdicts: BTreeMap<String, bool> = all[*i].iter().filter_map(verdict).collect();
            if !verdicts.is_empty() {
                known.insert(keys[*i].clone(), Line { answer: keys[*i].clone(), verdicts });
            }
        }
        write(path, &known)?;
        // Nonsense is an answer, of which no proposition is scored.
        let is_reached = |reason: &String| {
            [Failure::NoVerdict, Failure::JudgeRefused].iter().any(|failure| failure.to_string() == *reason)
        };
        let unreached = reason.filter(|reason| is_model_behind_an_endpoint && !is_reached(reason));
        if let Some(reason) = unreached.filter(|_| !is_answered) {
            let advice = grader.hint().unwrap_or_else(|| "look at the grader".into());
            anyhow::bail!(
                "expected verdicts of {}, found none on {} answers in a row: {reason}\nhint: {advice}; the same command goes on after {n_known} of {} answers",
                grader.id(),
                numbers.len(),
                gold.len()
            );
        }
    }
    bar.clear();
    Ok(all)
}

/// Where the verdicts of a grader's file are kept.
pub(super) fn path_beside(out: &Path) -> PathBuf {
    let mut name = OsString::from(out);
    name.push(".verdicts.jsonl");
    name.into()
}

fn read(path: &Path) -> anyhow::Result<HashMap<String, Line>> {
    let Ok(bytes) = fs::read(path) else { return Ok(HashMap::new()) };
    let refuse = || {
        format!(
            "expected verdicts of a grader at `{}`, found another file\nhint: move it away, or choose another --out",
            path.display()
        )
    };
    let text = String::from_utf8(bytes).with_context(refuse)?;
    let lines = text.lines().map(|line| serde_json::from_str::<Line>(line).with_context(refuse));
    lines.map(|line| line.map(|line| (line.answer.clone(), line))).collect()
}

fn write(path: &Path, known: &HashMap<String, Line>) -> anyhow::Result<()> {
    let mut lines: Vec<&Line> = known.values().collect();
    lines.sort_by(|a, b| a.answer.cmp(&b.answer));
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    write_whole(path, &bytes)
}
