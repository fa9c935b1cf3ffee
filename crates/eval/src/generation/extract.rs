//! Extractors: from what a model wrote to its answer, as the filters of lm-evaluation-harness.

use serde::Deserialize;
use serde_json::Value;

use super::number_words;
use crate::{
    ExamError,
    python::{Regex, strip},
};

/// What stands for an answer that was not found.
const INVALID: &str = "[invalid]";

/// A named chain of steps.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) name: String,
    steps: Vec<Step>,
}

/// A filter in a task's file, under the names that it has in lm-evaluation-harness.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    name: String,
    steps: Vec<StepFile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case", deny_unknown_fields)]
enum StepFile {
    /// Every sample is read, so the first is too.
    TakeFirst,
    RemoveWhitespace,
    Lowercase,
    Uppercase,
    Regex {
        regex_pattern: String,
        #[serde(default)]
        group_select: i64,
        #[serde(default = "invalid")]
        fallback: String,
    },
    /// A pattern, else the text of a choice, else a letter behind a colon.
    MultiChoiceRegex {
        regex_pattern: String,
        #[serde(default)]
        group_select: i64,
        #[serde(default)]
        ignore_case: bool,
        #[serde(default)]
        ignore_punctuation: bool,
        /// A pattern that finds the choices in the field `input`; where there is none, they are the field `choices`.
        choices_pattern: Option<String>,
    },
    /// The value of the first pattern that is found.
    MapRegex {
        regex_pattern_to_value: Vec<(String, String)>,
        #[serde(default)]
        group_select: i64,
        #[serde(default)]
        ignore_case: bool,
    },
    /// A number in digits, else in English words.
    NumberParseRegex {
        regex_pattern: String,
        #[serde(default)]
        group_select: i64,
    },
    /// The words of the list in `input`, in the order in which each comes last.
    WordSort,
    /// The text in front of the first fence of a block of code.
    BeforeFence,
    /// The first block of code in fences, where one was already open.
    CodeBlock,
}

fn invalid() -> String {
    INVALID.to_owned()
}

#[derive(Debug)]
enum Step {
    Strip,
    Lowercase,
    Uppercase,
    Regex { regex: Regex, group_select: i64, fallback: String },
    MultiChoice(MultiChoice),
    Map { whole: Regex, parts: Vec<(Regex, String)>, group_select: i64, ignore_case: bool },
    Number { regex: Regex, group_select: i64 },
    WordSort,
    BeforeFence,
    CodeBlock([Regex; 2]),
}

#[derive(Debug)]
struct MultiChoice {
    regex: Regex,
    group_select: i64,
    ignore_case: bool,
    /// Characters that are ignored.
    punctuation: Option<Regex>,
    choices: Option<Regex>,
}

impl Filter {
    pub(crate) fn new(file: File) -> Result<Self, ExamError> {
        let steps = file.steps.into_iter().filter_map(|step| step.compiled().transpose());
        let steps = steps.collect::<Result<_, _>>().map_err(|message| ExamError::Definition { message })?;
        Ok(Self { name: file.name, steps })
    }

    /// The answer in a text, given the fields of the item that a task keeps.
    pub(crate) fn apply(&self, text: &str, reference: &Value) -> String {
        self.steps.iter().fold(text.to_owned(), |text, step| step.apply(text, reference))
    }
}

impl StepFile {
    fn compiled(self) -> Result<Option<Step>, String> {
        Ok(Some(match self {
            Self::TakeFirst => return Ok(None),
            Self::RemoveWhitespace => Step::Strip,
            Self::Lowercase => Step::Lowercase,
            Self::Uppercase => Step::Uppercase,
            Self::Regex { regex_pattern, group_select, fallback } => {
                Step::Regex { regex: Regex::new(&regex_pattern)?, group_select, fallback }
            }
            Self::MultiChoiceRegex {
                regex_pattern,
                group_select,
                ignore_case,
                ignore_punctuation,
                choices_pattern,
            } => Step::MultiChoice(MultiChoice {
                regex: Regex::new(&regex_pattern)?,
                group_select,
                ignore_case,
                punctuation: ignore_punctuation.then(|| Regex::new(r"\p{P}")).transpose()?,
                choices: choices_pattern.map(|pattern| Regex::new(&pattern)).transpose()?,
            }),
            Self::MapRegex { regex_pattern_to_value, group_select, ignore_case } => {
                let patterns: Vec<&str> =
                    regex_pattern_to_value.iter().map(|(pattern, _)| pattern.as_str()).collect();
                let whole = Regex::new(&patterns.join("|"))?;
                let parts = regex_pattern_to_value.iter();
                let parts = parts.map(|(pattern, value)| Ok((Regex::new(pattern)?, value.clone())));
                Step::Map { whole, parts: parts.collect::<Result<_, String>>()?, group_select, ignore_case }
            }
            Self::NumberParseRegex { regex_pattern, group_select } => {
                Step::Number { regex: Regex::new(&regex_pattern)?, group_select }
            }
            Self::WordSort => Step::WordSort,
            Self::BeforeFence => Step::BeforeFence,
            Self::CodeBlock => {
                Step::CodeBlock([Regex::new(r"(?s)```(?:\w+)?\n?(.*?)\n?```")?, Regex::new("```python")?])
            }
        }))
    }
}

impl Step {
    fn apply(&self, text: String, reference: &Value) -> String {
        match self {
            Self::Strip => strip(&text).to_owned(),
            Self::Lowercase => text.to_lowercase(),
            Self::Uppercase => text.to_uppercase(),
            // Several groups that are all empty are no answer; a single one that is empty is.
            Self::Regex { regex, group_select, fallback } => {
                regex.pick(&text, *group_select).unwrap_or_else(|| fallback.clone())
            }
            Self::MultiChoice(step) => step.apply(&text, reference),
            Self::Map { whole, parts, group_select, ignore_case } => {
                let lowered = |text: &str| if *ignore_case { text.to_lowercase() } else { text.to_owned() };
                let found = whole.select(&lowered(&text), *group_select).filter(|found| !found.is_empty());
                let value = found.and_then(|found| {
                    let found = lowered(&found);
                    let is_found = |regex: &Regex| {
                        regex.select(&found, *group_select).is_some_and(|found| !found.is_empty())
                    };
                    parts.iter().find(|(regex, _)| is_found(regex)).map(|(_, value)| value.clone())
                });
                value.unwrap_or_else(invalid)
            }
            Self::Number { regex, group_select } => {
                let digits = regex.select(&text, *group_select).filter(|found| !found.is_empty());
                digits.or_else(|| number_words::find(&text, *group_select)).unwrap_or_else(invalid)
            }
            Self::WordSort => word_sort(&text, reference),
            Self::BeforeFence => text.split("```").next().unwrap_or_default().to_owned(),
            Self::CodeBlock([block, language]) => {
                let first = |text: &str| block.find_all(text).first().copied().flatten().map(str::to_owned);
                let plain = || first(&language.replace(&text, "```"));
                first(&format!("```{text}")).or_else(plain).unwrap_or_default()
            }
        }
    }
}

impl MultiChoice {
    fn apply(&self, text: &str, reference: &Value) -> String {
        let some = |found: Option<String>| found.filter(|found| !found.is_empty());
        if let Some(found) = some(self.regex.select(text, self.group_select)) {
            return found;
        }
        let choices: Vec<String> = match &self.choices {
            Some(pattern) => {
                let input = reference["input"].as_str().unwrap_or_default();
                pattern
                    .find_all(input)
                    .into_iter()
                    .flatten()
                    .map(|choice| self.reduced(strip(choice)))
                    .collect()
            }
            None => {
                let list = reference["choices"].as_array().into_iter().flatten();
                list.filter_map(Value::as_str).map(|choice| self.reduced(strip(choice))).collect()
            }
        };
        let letter = |i: usize| char::from(b'A' + (i % 26) as u8);
        // Longest first: a choice that another begins with must not stand for it.
        let mut branches: Vec<String> = choices.iter().map(|choice| escaped(choice)).collect();
        branches.sort_by_key(|branch| std::cmp::Reverse(branch.chars().count()));
        let by_text = || {
            let regex = Regex::new(&branches.join("|")).ok()?;
            let found = some(regex.select(&self.reduced(text), self.group_select))?;
            // Of equal choices the last has the letter.
            let place = choices.iter().rposition(|choice| *choice == found);
            Some(place.map_or(found, |i| format!("({})", letter(i))))
        };
        let by_letter = || {
            let letters: Vec<String> = (0..choices.len()).map(|i| letter(i).to_string()).collect();
            let regex = Regex::new(&format!(r":[\s]*({})", letters.join("|"))).ok()?;
            let found = some(regex.select(text, self.group_select))?;
            Some(format!("({found})"))
        };
        by_text().or_else(by_letter).unwrap_or_else(invalid)
    }

    /// Without what makes no difference between choices.
    fn reduced(&self, text: &str) -> String {
        let text = if self.ignore_case { text.to_lowercase() } else { text.to_owned() };
        self.punctuation.as_ref().map_or_else(|| text.clone(), |punctuation| punctuation.remove(&text))
    }
}

fn word_sort(text: &str, reference: &Value) -> String {
    let input = reference["input"].as_str().unwrap_or_default();
    let list = input.split("List:").nth(1).unwrap_or_default();
    let words: Vec<String> = list.split_whitespace().map(|word| format!(r"\b{word}\b")).collect();
    let Ok(regex) = Regex::new(&words.join("|")) else { return String::new() };
    let mut last_first: Vec<&str> = Vec::new();
    for word in regex.find_all(text).into_iter().flatten().rev() {
        if !last_first.contains(&word) {
            last_first.push(word);
        }
    }
    last_first.reverse();
    last_first.join(" ")
}

/// `re.escape`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' && !c.is_ascii_control() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(steps: &str) -> Filter {
        Filter::new(toml::from_str(&format!("name = \"f\"\nsteps = [{steps}]")).unwrap()).unwrap()
    }

    #[test]
    fn choices_are_found_by_letter_by_text_and_behind_a_colon() {
        let filter = filter(
            r#"{ function = "multi_choice_regex", regex_pattern = '(\([A-Z]\))', ignore_case = true,
              ignore_punctuation = true, choices_pattern = '\([A-Z]\)([^\n^(]*)' }"#,
        );
        let item = json!({ "input": "Which?\nOptions:\n(A) Guilty\n(B) Guilty of Romance\n(C) e.g. c" });
        let cases = [
            ("It is (B), not (A).", "(B)"),
            ("guilty of romance!", "(B)"),
            ("GUILTY", "(A)"),
            ("eg c", "(C)"),
            ("Answer: C", "(C)"),
            ("Answer C", "[invalid]"),
        ];
        for (text, expected) in cases {
            assert_eq!(filter.apply(text, &item), expected, "{text}");
        }
    }

    #[test]
    fn other_extractors_find_what_those_of_the_harness_find() {
        let number =
            filter(r#"{ function = "number_parse_regex", regex_pattern = '([-0-9]+)', group_select = -1 }"#);
        let none = Value::Null;
        for (text, expected) in [("1, 2, -3.", "-3"), ("forty and twelve", "52"), ("many", "[invalid]")] {
            assert_eq!(number.apply(text, &none), expected, "{text}");
        }
        let map = filter(
            r#"{ function = "map_regex", ignore_case = true, regex_pattern_to_value = [
              ['\b(no|not plausible)\b', "no"], ['\b(yes|plausible)\b', "yes"]] }"#,
        );
        for (text, expected) in [("That is Not plausible.", "no"), ("Plausible", "yes"), ("?", "[invalid]")] {
            assert_eq!(map.apply(text, &none), expected, "{text}");
        }
        let item = json!({ "input": "Sort the following words alphabetically: List: bee ant cow" });
        let sort = filter(r#"{ function = "word_sort" }"#);
        assert_eq!(sort.apply("bee ant, no: ant bee cow cows", &item), "ant bee cow");
        let code = filter(r#"{ function = "code_block" }"#);
        assert_eq!(code.apply("python\nx = 1\n```\nText", &none), "x = 1");
        assert_eq!(code.apply("no code", &none), "");
        let chain = filter(
            r#"{ function = "lowercase" }, { function = "remove_whitespace" }, { function = "take_first" }"#,
        );
        assert_eq!(chain.apply(" A\n", &none), "a");
    }
}
