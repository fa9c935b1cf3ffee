//! Patterns of Python's `re`, as task files hold them.

use crate::python::strip;

/// A pattern that finds what Python's `re` finds.
#[derive(Debug)]
pub(crate) struct Regex {
    compiled: fancy_regex::Regex,
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let compiled = fancy_regex::Regex::new(&translated(pattern));
        compiled.map(|compiled| Self { compiled }).map_err(|error| format!("`{pattern}`: {error}"))
    }

    /// `re.findall`, with what lm-evaluation-harness takes of a match: the only group, the whole of a pattern without
    /// groups, of several groups the first that is not empty (none where all are).
    pub(crate) fn find_all<'t>(&self, text: &'t str) -> Vec<Option<&'t str>> {
        let (mut found, mut at) = (Vec::new(), 0);
        // A search that takes too many steps finds nothing more.
        while at <= text.len()
            && let Ok(Some(captures)) = self.compiled.captures_from_pos(text, at)
        {
            let Some(whole) = captures.get(0) else { break };
            let group = |i: usize| captures.get(i).map_or("", |group| group.as_str());
            found.push(match captures.len() {
                1 => Some(whole.as_str()),
                2 => Some(group(1)),
                n => (1..n).map(group).find(|group| !group.is_empty()),
            });
            let next = text[whole.end()..].chars().next().map_or(1, char::len_utf8);
            at = if whole.end() == whole.start() { whole.end() + next } else { whole.end() };
        }
        found
    }

    /// The match that `group_select` names, from the front or, if it is negative, from the back: `Some` of its stripped
    /// text, which is empty where every group is. None without a match, or where there are not so many.
    pub(crate) fn select(&self, text: &str, group_select: i64) -> Option<String> {
        self.at(text, group_select)
            .map(|group| group.map_or_else(String::new, |group| strip(group).to_owned()))
    }

    /// As [`Regex::select`]; none also where every one of several groups is empty.
    pub(crate) fn pick(&self, text: &str, group_select: i64) -> Option<String> {
        self.at(text, group_select).flatten().map(|group| strip(group).to_owned())
    }

    fn at<'t>(&self, text: &'t str, group_select: i64) -> Option<Option<&'t str>> {
        let found = self.find_all(text);
        let at = if group_select < 0 { found.len() as i64 + group_select } else { group_select };
        found.get(usize::try_from(at).ok()?).copied()
    }

    /// `re.sub(pattern, "", text)`.
    pub(crate) fn remove(&self, text: &str) -> String {
        self.replace(text, "")
    }

    /// `re.split` of a pattern without groups.
    pub(crate) fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let (mut parts, mut start) = (Vec::new(), 0);
        for found in self.compiled.find_iter(text).map_while(Result::ok) {
            parts.push(&text[start..found.start()]);
            start = found.end();
        }
        parts.push(&text[start..]);
        parts
    }

    /// `re.sub(pattern, with, text)` of a replacement without groups.
    pub(crate) fn replace(&self, text: &str, with: &str) -> String {
        let (mut kept, mut start) = (String::with_capacity(text.len()), 0);
        for found in self.compiled.find_iter(text).map_while(Result::ok) {
            kept.push_str(&text[start..found.start()]);
            kept.push_str(with);
            start = found.end();
        }
        kept.push_str(&text[start..]);
        kept
    }
}

/// Parts of words: `str.isalnum`, which has no marks.
const WORD: &str = r"[\p{L}\p{N}_]";

/// The pattern with the same meaning: Python's `$` also stands before a line break at the end, its `\s` holds four
/// characters more, and its words have no marks.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    // With that flag it stands before every line break.
    let is_multiline = pattern.starts_with("(?m)");
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('w') if in_class => out.push_str(r"\p{L}\p{N}_"),
                Some('w') => out.push_str(WORD),
                Some('W') if !in_class => out.push_str(&format!("[^{}", &WORD[1..])),
                Some('b') if !in_class => {
                    out.push_str(&format!("(?:(?<={WORD})(?!{WORD})|(?<!{WORD})(?={WORD}))"));
                }
                Some('S') if !in_class => out.push_str(r"[^\s\x1c-\x1f]"),
                Some('s') if in_class => out.push_str(r"\s\x1c-\x1f"),
                Some('s') => out.push_str(r"[\s\x1c-\x1f]"),
                Some('Z') => out.push_str(r"\z"),
                // Characters without a meaning of their own, which need no mark in front.
                Some(
                    plain @ (',' | '<' | '>' | '"' | '\'' | '/' | ':' | ';' | '=' | '!' | '@' | '%' | '_'),
                ) => {
                    out.push(plain);
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
                if chars.peek() == Some(&']') {
                    out.push_str(r"\]");
                    chars.next();
                }
            }
            // Inside a class it stands for itself in Python, and begins another class here.
            '[' => out.push_str(r"\["),
            '&' | '~' if in_class => out.extend(['\\', c]),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '$' if !in_class && !is_multiline => out.push_str(r"(?=\n?\z)"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_those_of_python() {
        let all = |pattern: &str, text: &str| -> Vec<String> {
            let regex = Regex::new(pattern).unwrap();
            regex.find_all(text).into_iter().map(|found| found.unwrap_or("-").to_owned()).collect()
        };
        // re.findall of Python 3.11
        assert_eq!(all(r"#### (\-?[0-9\.\,]+)", "a #### -1,200.5 b #### 7."), ["-1,200.5", "7."]);
        assert_eq!(
            all(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "x 5 y -$1,2. z -3 .. 9"),
            ["5", "-$1,2.", "-3", "..", "9"]
        );
        assert_eq!(all(r"(?<=the answer is )(.*)(?=.)", "So the answer is (A).\nNo"), ["(A)"]);
        assert_eq!(all(r"\b(True|False)\b", "Truely False, True"), ["False", "True"]);
        assert_eq!(all(r#"(?<= )([" \[\(<{}>\)\]]+)|([" \[\(<{}>\)\]]+)"#, "a: ] >"), [" ] >"]);
        assert_eq!(all(r"[[a]b", "[b ab"), ["[b", "ab"]);
        let remove = |pattern: &str, text: &str| Regex::new(pattern).unwrap().remove(text);
        assert_eq!(remove(r"\.$", "1.5."), "1.5");
        assert_eq!(remove(r"\.$", "5.\n"), "5\n");
        assert_eq!(remove(r"\.$", "5.\n\n"), "5.\n\n");
        assert_eq!(remove(r"(?s).*#### ", "a\nb #### 3 #### 4"), "4");
        assert_eq!(remove(r"\$", "$1$"), "1");
        assert_eq!(remove(r"\s", "a\u{1c}b c"), "abc");
        assert_eq!(all(r"\bnein\b", "याnein nein_ nein"), ["nein", "nein"]);
        assert_eq!(all(r"\w+", "या x½"), ["य", "x½"]);
        assert!(Regex::new("(").unwrap_err().starts_with("`(`"));
    }

    #[test]
    fn a_search_without_end_finds_nothing() {
        let regex = Regex::new(r"(?=(a+)+$)(a+)+b").unwrap();
        assert_eq!(regex.select(&"a".repeat(60), 0), None);
    }
}
