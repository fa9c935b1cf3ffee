//! Instructions whose following a program can check: IFEval, <https://arxiv.org/abs/2311.07911>.

mod check;
mod json;
mod language;
mod sentences;

use serde_json::Value;

use check::follows;

/// Whether an answer follows each instruction of an item: strictly, and where what may stand around it is taken off.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Followed {
    /// The instructions, as the data name them.
    pub(super) ids: Vec<String>,
    pub(super) strict: Vec<bool>,
    pub(super) loose: Vec<bool>,
}

/// Whether a text is of a language, by its letters and common words. Of a text that nothing is known of it is.
pub(super) fn is_language(text: &str, code: &str) -> bool {
    language::is(text, code)
}

/// Checks an answer against the fields `instruction_id_list` and `kwargs` of an item.
pub(super) fn followed(answer: &str, reference: &Value) -> Followed {
    let list = |name: &str| reference[name].as_array().cloned().unwrap_or_default();
    let ids: Vec<String> =
        list("instruction_id_list").iter().map(|id| id.as_str().unwrap_or_default().to_owned()).collect();
    let settings = list("kwargs");
    let of = |i: usize| settings.get(i).unwrap_or(&Value::Null);
    let variants = variants(answer);
    // An empty answer follows nothing.
    let holds = |i: usize, text: &str| {
        let is_empty = crate::python::strip(text).is_empty();
        !is_empty && follows(&ids[i], of(i), text)
    };
    let strict = (0..ids.len()).map(|i| holds(i, answer)).collect();
    let loose = (0..ids.len()).map(|i| variants.iter().any(|text| holds(i, text))).collect();
    Followed { ids, strict, loose }
}

/// The answer, without its first line, its last line and both, each also without asterisks.
fn variants(answer: &str) -> Vec<String> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let n = lines.len();
    let joined = |lines: &[&str]| crate::python::strip(&lines.join("\n")).to_owned();
    let inner = if n > 2 { &lines[1..n - 1] } else { &[] };
    let texts = [answer.to_owned(), joined(&lines[1..]), joined(&lines[..n - 1]), joined(inner)];
    let plain: Vec<String> = texts.iter().map(|text| text.replace('*', "")).collect();
    texts.into_iter().chain(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts with what the checkers of lm-evaluation-harness make of them: `tools/reference/ifeval.py`.
    #[test]
    fn instructions_are_checked_as_by_the_harness() {
        let path = std::env::var("IFEVAL_CASES").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ifeval.jsonl").to_owned()
        });
        let text = std::fs::read_to_string(path).unwrap();
        let (mut n_cases, mut kinds, mut wrong) = (0, std::collections::BTreeSet::new(), Vec::new());
        for line in text.lines().skip(1) {
            let case: Value = serde_json::from_str(line).unwrap();
            let found = followed(case["text"].as_str().unwrap(), &case);
            let expected = |name: &str| -> Vec<bool> {
                case[name].as_array().unwrap().iter().map(|value| value.as_bool().unwrap()).collect()
            };
            for (i, id) in found.ids.iter().enumerate() {
                if (found.strict[i], found.loose[i]) != (expected("strict")[i], expected("loose")[i]) {
                    wrong.push(format!("{id} {:?} {:?} in\n{line}", found.strict[i], found.loose[i]));
                }
                kinds.insert(id.clone());
            }
            n_cases += 1;
        }
        assert!(
            wrong.is_empty(),
            "{} of {n_cases}:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(5)].join("\n")
        );
        assert!(n_cases >= 200 && kinds.len() >= 20, "{n_cases} {kinds:?}");
    }

    #[test]
    fn loose_checks_leave_lines_and_asterisks_out() {
        let item = serde_json::json!({
            "instruction_id_list": ["startend:quotation", "punctuation:no_comma"], "kwargs": [{}, {}],
        });
        let found = followed("Sure, here:\n*\"yes\"*", &item);
        assert_eq!((found.strict, found.loose), (vec![false, false], vec![true, true]));
        assert_eq!(followed(" ", &item).loose, [false, false]);
    }
}
