//! What BLEU counts as a word.

use std::sync::LazyLock;

use regex::Regex;

use crate::python::{is_space, rstrip};

/// What BLEU counts as a word: the tokenizers of sacreBLEU under their names there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenization {
    /// `13a`, that of WMT.
    #[default]
    Wmt,
    /// `intl`: cuts at the punctuation and symbols of all scripts.
    International,
    /// `char`: every character but blanks.
    Characters,
}

type Rules = [(Regex, &'static str)];

impl Tokenization {
    pub(super) fn words(self, sentence: &str) -> Vec<String> {
        let sentence = rstrip(sentence);
        match self {
            Self::Wmt => split(&applied(&WMT[..], &format!(" {} ", unescaped(sentence)))),
            Self::International => split(&applied(&INTERNATIONAL[..], sentence)),
            Self::Characters => sentence.chars().filter(|c| !is_space(*c)).map(String::from).collect(),
        }
    }
}

static WMT: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
    [
        (rule(r"([\{-\~\[-\x60 -\&\(-\+\:-\@/])"), " ${1} "),
        (rule(r"([^0-9])([\.,])"), "${1} ${2} "),
        (rule(r"([\.,])([^0-9])"), " ${1} ${2}"),
        (rule(r"([0-9])(-)"), "${1} ${2} "),
    ]
});

static INTERNATIONAL: LazyLock<[(Regex, &str); 3]> = LazyLock::new(|| {
    [
        (rule(r"(?s)(\P{N})(\p{P})"), "${1} ${2} "),
        (rule(r"(?s)(\p{P})(\P{N})"), " ${1} ${2}"),
        (rule(r"(\p{S})"), " ${1} "),
    ]
});

fn rule(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

fn applied(rules: &Rules, sentence: &str) -> String {
    rules.iter().fold(sentence.to_owned(), |text, (rule, with)| rule.replace_all(&text, *with).into_owned())
}

fn unescaped(sentence: &str) -> String {
    let text = sentence.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
}

fn split(text: &str) -> Vec<String> {
    text.split(is_space).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
