//! How an answer about a picture is scored, by name.

use data::pictures::PictureKind;
use serde::{Deserialize, Serialize};

use super::{VqaRules, anls, exact_match, relaxed_match, vqa_accuracy};

/// How an answer about a picture is scored; the best of the right answers counts, but for [`PictureMetric::Vqa`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureMetric {
    /// The same text.
    Exact,
    /// The same text but for case.
    ExactIgnoringCase,
    /// ChartQA's: numbers within 5 %, other texts but for case.
    Relaxed,
    /// DocVQA's similarity.
    Anls,
    /// The answers of several people: min(1, those who agree / 3), as for TextVQA and VQAv2.
    Vqa,
}

impl PictureMetric {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Exact, Self::ExactIgnoringCase, Self::Relaxed, Self::Anls, Self::Vqa];

    /// As it is written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::ExactIgnoringCase => "exact_ignoring_case",
            Self::Relaxed => "relaxed",
            Self::Anls => "anls",
            Self::Vqa => "vqa",
        }
    }

    /// By its name in files.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Of questions about what is drawn.
    pub fn of(kind: PictureKind) -> Self {
        match kind {
            PictureKind::Charts => Self::Relaxed,
            PictureKind::Words => Self::Exact,
            PictureKind::Scenes | PictureKind::Clips => Self::ExactIgnoringCase,
        }
    }

    /// The score of an answer, from 0 to 1.
    ///
    /// ```
    /// use eval::vision::PictureMetric;
    ///
    /// let right = ["105".to_owned(), "a hundred".to_owned()];
    /// assert_eq!(PictureMetric::Relaxed.score("103", &right), 1.0);
    /// assert_eq!(PictureMetric::Exact.score("103", &right), 0.0);
    /// ```
    pub fn score(self, prediction: &str, answers: &[String]) -> f64 {
        let prediction = prediction.trim();
        let right: Vec<&str> = answers.iter().map(|answer| answer.trim()).collect();
        let any = |is_right: &dyn Fn(&str) -> bool| f64::from(u8::from(right.iter().any(|a| is_right(a))));
        match self {
            Self::Exact => any(&|answer| exact_match(prediction, answer)),
            Self::ExactIgnoringCase => {
                any(&|answer| exact_match(&prediction.to_lowercase(), &answer.to_lowercase()))
            }
            Self::Relaxed => any(&|answer| relaxed_match(prediction, answer)),
            Self::Anls => anls(prediction, &right),
            Self::Vqa => vqa_accuracy(prediction, &right, VqaRules::TextVqa),
        }
    }
}
