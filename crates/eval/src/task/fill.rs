//! Placeholders of a task's file: one file, many tasks.

use std::collections::BTreeMap;

/// A value for each placeholder.
///
/// `{name}` stands for the value, `{name-}` for it with hyphens, `{name^}` for it in capitals and with hyphens. Of a value
/// with a hyphen `{name.0}` and `{name.1}` are the parts before and behind it, `{name.0^}` the first in capitals.
#[derive(Clone, Debug, Default)]
pub(super) struct Fill(Vec<(String, String)>);

impl Fill {
    /// One for every combination of values; one without placeholders where there are none.
    pub(super) fn all(each: Option<&BTreeMap<String, Vec<String>>>) -> Vec<Self> {
        let mut fills = vec![Self::default()];
        for (name, values) in each.into_iter().flatten() {
            let with = |fill: &Self, value: &String| {
                Self(fill.0.iter().cloned().chain([(name.clone(), value.clone())]).collect())
            };
            fills = fills.iter().flat_map(|fill| values.iter().map(move |value| with(fill, value))).collect();
        }
        fills
    }

    /// A name, a path or a value with its placeholders filled.
    pub(super) fn text(&self, text: &str) -> String {
        self.marked(text, "{", "}", |value| value.to_owned())
    }

    /// A text for readers: values are words.
    pub(super) fn words(&self, text: &str) -> String {
        self.marked(text, "{", "}", |value| value.replace('_', " "))
    }

    /// A template, in which braces have a meaning of their own: `<name>`.
    pub(super) fn template(&self, text: &str) -> String {
        self.marked(text, "<", ">", |value| value.to_owned())
    }

    fn marked(&self, text: &str, open: &str, close: &str, shown: impl Fn(&str) -> String) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            let (from, to) = value.split_once('-').unwrap_or((value, value));
            let hyphens = |text: &str| text.replace('_', "-");
            for (mark, value) in [
                ("", shown(value)),
                ("-", hyphens(value)),
                ("^", hyphens(value).to_uppercase()),
                (".0", shown(from)),
                (".1", shown(to)),
                (".0^", hyphens(from).to_uppercase()),
            ] {
                text = text.replace(&format!("{open}{name}{mark}{close}"), &value);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_filled() {
        let each = [("a", vec!["x_y-Words here", "z"]), ("b", vec!["1", "2"])];
        let each =
            each.map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()));
        let fills = Fill::all(Some(&each.into_iter().collect()));
        let filled = |text: &str| fills.iter().map(|fill| fill.text(text)).collect::<Vec<_>>();
        assert_eq!(filled("{a.0} {b}"), ["x_y 1", "x_y 2", "z 1", "z 2"]);
        assert_eq!(fills[0].text("{a.0^} {a.1} {a-} <b>"), "X-Y Words here x-y-Words here <b>");
        assert_eq!((fills[0].words("{a.0}"), fills[1].template("<b>{b}")), ("x y".into(), "2{b}".into()));
        assert_eq!(Fill::all(None)[0].text("{a}"), "{a}");
    }
}
