//! From what a model wrote to metrics.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Generate, ifeval, pass_at_k, squad, steering};
use crate::{
    Metric, Output,
    exam::{ItemScore, Target},
    refusal::{self, Reading, Reply},
    sandbox::Outcome,
    translation::{self, Bleu},
};

/// Numbers of samples for which `pass@k` is reported, where there are so many; that of all samples is too.
const KS: [usize; 3] = [1, 10, 100];

/// The item with answers, verdicts and metrics computed from what is written in its outputs.
pub(crate) fn judge(generate: &Generate, metrics: &[Metric], item: &ItemScore) -> ItemScore {
    let mut item = item.clone();
    let targets: Vec<String> = match &item.target {
        Target::Text(text) => vec![text.clone()],
        Target::Texts(texts) => texts.clone(),
        Target::One(_) | Target::Any(_) => Vec::new(),
    };
    let reference = item.reference.clone().unwrap_or(Value::Null);
    for output in &mut item.outputs {
        output.answers = answers(generate, &output.text, &reference);
        output.verdicts.clear();
    }
    item.metrics = BTreeMap::new();
    for metric in metrics {
        match metric {
            Metric::ExactMatch => exact_match(generate, &targets, &mut item),
            Metric::Ifeval => instructions(&reference, &mut item),
            Metric::Program => programs(&mut item),
            Metric::Squad => squad(&targets, &mut item),
            Metric::Translation => translation(&targets, &mut item),
            Metric::Refusal => refusals(&mut item),
            Metric::Steering => steered(&reference, &mut item),
            Metric::Points => points(&reference, &mut item),
            _ => {}
        }
    }
    item
}

/// The answer by each extractor; without extractors, what was written is the answer.
fn answers(generate: &Generate, text: &str, reference: &Value) -> BTreeMap<String, String> {
    let filters = generate.filters.iter();
    filters.map(|filter| (filter.name.clone(), filter.apply(text, reference))).collect()
}

fn exact_match(generate: &Generate, targets: &[String], item: &mut ItemScore) {
    let name = Metric::ExactMatch.name();
    if generate.filters.is_empty() {
        let judged = item.outputs.iter_mut().map(|output| {
            let is_right = generate.exact_match.accepts(&output.text, targets);
            output.verdicts.insert(name.to_owned(), is_right);
            is_right
        });
        let verdicts: Vec<bool> = judged.collect();
        add_shares(&mut item.metrics, name, "", &verdicts);
        return;
    }
    for filter in &generate.filters {
        let key = format!("{name},{}", filter.name);
        let judged = item.outputs.iter_mut().map(|output: &mut Output| {
            let is_right = generate.exact_match.accepts(&output.answers[&filter.name], targets);
            output.verdicts.insert(key.clone(), is_right);
            is_right
        });
        let verdicts: Vec<bool> = judged.collect();
        add_shares(&mut item.metrics, &key, &format!(",{}", filter.name), &verdicts);
    }
}

/// Whether an answer is the first of the right ones, and the words that it has in common with that, as
/// lm-evaluation-harness has it.
fn squad(targets: &[String], item: &mut ItemScore) {
    let target = targets.first().map_or("", String::as_str);
    let (mut verdicts, mut f1) = (Vec::new(), 0.0);
    for output in &mut item.outputs {
        let is_right = squad::is_same(target, &output.text);
        output.verdicts.insert(Metric::Squad.name().to_owned(), is_right);
        verdicts.push(is_right);
        f1 += squad::f1(target, &output.text);
    }
    add_shares(&mut item.metrics, Metric::Squad.name(), "", &verdicts);
    item.metrics.insert("f1".to_owned(), f1 / item.outputs.len() as f64);
}

/// chrF and BLEU of the item's translations alone; those of a task are of all its items as one corpus.
fn translation(targets: &[String], item: &mut ItemScore) {
    let texts: Vec<&str> = item.outputs.iter().map(|output| output.text.as_str()).collect();
    let references: Vec<Vec<&str>> =
        targets.iter().map(|target| vec![target.as_str(); texts.len()]).collect();
    let references: Vec<&[&str]> = references.iter().map(Vec::as_slice).collect();
    let bleu = Bleu { effective_order: true, ..Bleu::default() };
    item.metrics.insert(CHRF.to_owned(), translation::chrf(&texts, &references));
    item.metrics.insert(BLEU.to_owned(), bleu.corpus(&texts, &references));
}

/// Names of the metrics of translations.
pub(crate) const CHRF: &str = "chrf";
/// As [`CHRF`].
pub(crate) const BLEU: &str = "bleu";

/// Whether programs passed, where all of them were run.
fn programs(item: &mut ItemScore) {
    let ended: Option<Vec<bool>> =
        item.outputs.iter().map(|output| Some(*output.program.as_ref()? == Outcome::Passed)).collect();
    let Some(verdicts) = ended else { return };
    for (output, is_right) in item.outputs.iter_mut().zip(&verdicts) {
        output.verdicts.insert("passed".to_owned(), *is_right);
    }
    add_shares(&mut item.metrics, Metric::Program.name(), "", &verdicts);
}

/// Whether answers keep to the system message.
fn steered(reference: &Value, item: &mut ItemScore) {
    let judged = item.outputs.iter_mut().map(|output| {
        let is_kept = steering::keeps_to(&output.text, &reference["check"]);
        output.verdicts.insert("kept".to_owned(), is_kept);
        is_kept
    });
    let verdicts: Vec<bool> = judged.collect();
    add_shares(&mut item.metrics, Metric::Steering.name(), "", &verdicts);
}

/// The share of the points that a grader gave, where one was asked about every answer.
fn points(reference: &Value, item: &mut ItemScore) {
    let most = reference["points"].as_f64().unwrap_or(0.0);
    let given: Option<Vec<f64>> = item.outputs.iter().map(|output| output.judged.as_ref()?.points).collect();
    if let Some(given) = given.filter(|_| most > 0.0) {
        item.metrics.insert("points".to_owned(), given.iter().sum::<f64>() / (most * given.len() as f64));
    }
}

/// The share of answers of each kind, by the rules, by the published lists, and by a judge if one was asked.
fn refusals(item: &mut ItemScore) {
    let readings: Vec<Reading> = item.outputs.iter().map(|output| refusal::read(&output.text)).collect();
    let n = readings.len() as f64;
    let mut share = |name: &str, is_so: &dyn Fn(&Reading) -> bool| {
        let n_so = readings.iter().filter(|reading| is_so(reading)).count();
        item.metrics.insert(name.to_owned(), n_so as f64 / n);
    };
    share("refused", &|reading| reading.reply.is_refusal());
    share("refused_by_advbench_list", &|reading| reading.is_in_advbench);
    share("refused_by_autodan_list", &|reading| reading.is_in_autodan);
    for kind in Reply::KINDS.into_iter().chain([Reply::Empty]) {
        share(kind.name(), &|reading| reading.reply == kind);
    }
    for (output, reading) in item.outputs.iter_mut().zip(&readings) {
        output.answers.insert("rules".to_owned(), reading.reply.name().to_owned());
    }
    let judged = item.outputs.iter().map(|output| Reply::named(output.judged.as_ref()?.reply.as_ref()?));
    let Some(judged) = judged.collect::<Option<Vec<Reply>>>() else { return };
    let n_refused = judged.iter().filter(|reply| reply.is_refusal()).count();
    item.metrics.insert("refused_by_judge".to_owned(), n_refused as f64 / n);
}

/// Whether all instructions are followed, and which share of them, strictly and loosely.
fn instructions(reference: &Value, item: &mut ItemScore) {
    for name in ["strict", "loose"] {
        let mut verdicts = Vec::new();
        let mut share = 0.0;
        for output in &mut item.outputs {
            let followed = ifeval::followed(&output.text, reference);
            let each = if name == "strict" { &followed.strict } else { &followed.loose };
            for (i, (id, is_followed)) in followed.ids.iter().zip(each).enumerate() {
                output.verdicts.insert(format!("{name},{i},{id}"), *is_followed);
            }
            let n_followed = each.iter().filter(|is_followed| **is_followed).count();
            share += n_followed as f64 / each.len().max(1) as f64;
            verdicts.push(n_followed == each.len());
        }
        let suffix = format!(",{name}");
        add_shares(&mut item.metrics, &format!("prompt_level_{name}_acc"), &suffix, &verdicts);
        item.metrics.insert(format!("{INSTRUCTION_LEVEL}{name}_acc"), share / item.outputs.len() as f64);
    }
}

/// What names of metrics begin with whose mean is over instructions, of which an item may have several.
pub(crate) const INSTRUCTION_LEVEL: &str = "inst_level_";

/// The share of right samples, and where there are several, the chance that one of k is right.
pub(super) fn add_shares(metrics: &mut BTreeMap<String, f64>, name: &str, suffix: &str, verdicts: &[bool]) {
    let n = verdicts.len();
    let n_right = verdicts.iter().filter(|is_right| **is_right).count();
    metrics.insert(name.to_owned(), n_right as f64 / n as f64);
    if n > 1 {
        for k in KS.into_iter().filter(|k| *k < n).chain([n]) {
            metrics.insert(format!("pass@{k}{suffix}"), pass_at_k(n, n_right, k));
        }
    }
}
