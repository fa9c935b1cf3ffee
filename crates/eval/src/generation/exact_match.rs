//! Whether an answer is the right one, after what does not matter was taken away.

use serde::Deserialize;

use crate::{ExamError, python::Regex};

/// `exact_match` of lm-evaluation-harness.
#[derive(Debug)]
pub(crate) struct ExactMatch {
    ignored: Vec<Regex>,
    settings: File,
}

/// Its settings, under the names that they have there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    regexes_to_ignore: Vec<String>,
    ignore_case: bool,
    ignore_punctuation: bool,
    ignore_numbers: bool,
}

impl ExactMatch {
    pub(crate) fn new(settings: File) -> Result<Self, ExamError> {
        let ignored = settings.regexes_to_ignore.iter().map(|pattern| Regex::new(pattern));
        let ignored =
            ignored.collect::<Result<_, _>>().map_err(|message| ExamError::Definition { message })?;
        Ok(Self { ignored, settings })
    }

    /// Whether an answer is any of the right ones.
    pub(crate) fn accepts(&self, answer: &str, targets: &[String]) -> bool {
        let answer = self.reduced(answer);
        targets.iter().any(|target| self.reduced(target) == answer)
    }

    fn reduced(&self, text: &str) -> String {
        // NumPy's texts end with their last character that is not NUL.
        let cut = |text: String| text.trim_end_matches('\0').to_owned();
        let mut text = cut(text.to_owned());
        for ignored in &self.ignored {
            text = cut(ignored.remove(&text));
        }
        if self.settings.ignore_case {
            text = text.to_lowercase();
        }
        if self.settings.ignore_punctuation {
            text.retain(|c| !c.is_ascii_punctuation());
        }
        if self.settings.ignore_numbers {
            text.retain(|c| !c.is_ascii_digit());
        }
        cut(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_makes_no_difference() {
        let of = |toml: &str| ExactMatch::new(toml::from_str(toml).unwrap()).unwrap();
        let gsm8k = of(r#"
            ignore_case = true
            regexes_to_ignore = [",", "\\$", "(?s).*#### ", "\\.$"]
        "#);
        let target = ["He has\n2 * 3 = 6.\n#### 1,206".to_owned()];
        for right in ["1206", "1,206", "$1206.", "x\n#### 1206", "1206\0"] {
            assert!(gsm8k.accepts(right, &target), "{right}");
        }
        for wrong in ["1206 ", "206", "1206..", "-1206", "", "[invalid]"] {
            assert!(!gsm8k.accepts(wrong, &target), "{wrong}");
        }
        let plain = of("");
        assert!(
            plain.accepts("(A)", &["(B)".to_owned(), "(A)".to_owned()])
                && !plain.accepts("(a)", &["(A)".to_owned()])
        );
        let loose = of("ignore_punctuation = true\nignore_case = true\nignore_numbers = true");
        assert!(loose.accepts("¿No? 3", &["¿no ".to_owned()]));
    }
}
