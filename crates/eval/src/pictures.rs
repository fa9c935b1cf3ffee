//! Questions about pictures: a model answers them, once with the picture, once without, and once with another one.
//!
//! A model that looks is right with its own picture alone: what it gets right without one, or with that of another question,
//! it has guessed from the question.

use std::collections::BTreeMap;

use data::{
    Tokenizer,
    pictures::{PictureKind, SetDocument},
};
use model::{Engine, EngineSettings, Gpt, Picture, Request, Sampling};
use serde::{Deserialize, Serialize};
use tensor::Kernels;

use crate::{
    EvalError, interval,
    vision::{CharacterErrors, anls, exact_match, relaxed_match},
};

/// Most tokens of an answer.
const MAX_NEW_TOKENS: usize = 48;

/// A question about a picture.
#[derive(Clone, Debug)]
pub struct PictureQuestion {
    /// What is drawn.
    pub kind: PictureKind,
    /// How hard it is.
    pub level: u32,
    /// What is asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// The picture as the model reads it.
    pub picture: Picture,
}

/// What the model is shown with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The picture that is asked about.
    Own,
    /// None.
    Nothing,
    /// That of another question of its kind.
    Another,
}

impl Shown {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Own, Self::Nothing, Self::Another];
}

/// What the model answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureAnswer {
    /// What is drawn.
    pub kind: PictureKind,
    /// How hard the question is.
    pub level: u32,
    /// Number of the question, from 0.
    pub doc_id: usize,
    /// What the model was shown.
    pub shown: Shown,
    /// What was asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// The model's.
    pub prediction: String,
    /// Whether that counts as right: charts by relaxed accuracy, words exactly, scenes but for case.
    pub is_right: bool,
}

impl PictureAnswer {
    /// The same with [`PictureAnswer::is_right`] computed again.
    #[must_use]
    pub fn scored(self) -> Self {
        let (prediction, answer) = (self.prediction.trim(), self.answer.trim());
        let is_right = match self.kind {
            PictureKind::Charts => relaxed_match(prediction, answer),
            PictureKind::Words => exact_match(prediction, answer),
            PictureKind::Scenes => exact_match(&prediction.to_lowercase(), &answer.to_lowercase()),
        };
        Self { is_right, ..self }
    }
}

/// The model's most likely answers, `batch` questions at a time; the batch changes none.
///
/// # Errors
/// If the model reads no images, or a question does not fit in its context.
pub fn ask(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    questions: &[PictureQuestion],
    shown: Shown,
    batch: usize,
) -> Result<Vec<PictureAnswer>, EvalError> {
    let Some(vision) = &gpt.config().vision else {
        return Err(model::DecodeError::NoEyes { n_images: questions.len() }.into());
    };
    let requests: Vec<Request> = (0..questions.len())
        .map(|i| {
            let question = &questions[i];
            let images: Vec<Picture> = match shown {
                Shown::Own => vec![question.picture.clone()],
                Shown::Nothing => Vec::new(),
                Shown::Another => vec![another(questions, i).picture.clone()],
            };
            let prompt = [
                vec![tokenizer.begin_of_text()],
                vec![vision.image_token; images.len() * vision.n_patches()],
                tokenizer.encode(&SetDocument::asked(&question.question)),
            ]
            .concat();
            Request {
                images,
                sampling: Sampling::greedy(),
                stop: tokenizer.stops(),
                ..Request::new(prompt, MAX_NEW_TOKENS)
            }
        })
        .collect();
    let longest = requests.iter().map(|request| request.prompt.len() + MAX_NEW_TOKENS).max().unwrap_or(1);
    let settings = EngineSettings::for_sequences(batch.max(1), longest.min(gpt.config().max_seq_len));
    let completions = Engine::new(gpt, kernels, settings).complete(requests, &mut |_, _| true)?;
    let answers = completions.iter().zip(questions).enumerate().map(|(doc_id, (done, question))| {
        let PictureQuestion { kind, level, question, answer, .. } = question.clone();
        let prediction = tokenizer.decode(&done.ids).trim().to_owned();
        PictureAnswer { kind, level, doc_id, shown, question, answer, prediction, is_right: false }.scored()
    });
    Ok(answers.collect())
}

/// The next question of the same kind whose picture is another; the question itself where there is none.
fn another(questions: &[PictureQuestion], i: usize) -> &PictureQuestion {
    let n = questions.len();
    let others = (1..n).map(|step| &questions[(i + step) % n]);
    let own = &questions[i];
    let is_other =
        |other: &&PictureQuestion| other.kind == own.kind && other.picture.hash() != own.picture.hash();
    others.into_iter().find(is_other).unwrap_or(own)
}

/// One row of the table: a kind, and what was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureSummary {
    /// What is drawn.
    pub kind: PictureKind,
    /// What the model was shown.
    pub shown: Shown,
    /// Questions.
    pub n: usize,
    /// Share that is right.
    pub accuracy: f64,
    /// Lower end of the 95 % interval.
    pub lo95: f64,
    /// Upper end of the 95 % interval.
    pub hi95: f64,
    /// Of each level, from 1 on; levels without a question are left out.
    pub by_level: BTreeMap<u32, f64>,
    /// Of words: errors per character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub character_error_rate: Option<f64>,
    /// Of words: the mean of [`crate::vision::anls`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anls: Option<f64>,
}

/// Answers by kind and by what was shown.
pub fn summarise(answers: &[PictureAnswer]) -> Vec<PictureSummary> {
    let mut groups: BTreeMap<(PictureKind, Shown), Vec<&PictureAnswer>> = BTreeMap::new();
    for answer in answers {
        groups.entry((answer.kind, answer.shown)).or_default().push(answer);
    }
    let summary = |((kind, shown), answers): ((PictureKind, Shown), Vec<&PictureAnswer>)| {
        let n = answers.len();
        let n_right = answers.iter().filter(|answer| answer.is_right).count();
        let [lo95, hi95] = interval::wilson(n_right, n).unwrap_or([0.0, 1.0]);
        let mut levels: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for answer in &answers {
            let (n_right, n) = levels.entry(answer.level).or_default();
            *n_right += usize::from(answer.is_right);
            *n += 1;
        }
        let by_level =
            levels.into_iter().map(|(level, (right, n))| (level, right as f64 / n as f64)).collect();
        let is_text = kind == PictureKind::Words;
        let mut errors = CharacterErrors::default();
        answers.iter().for_each(|answer| errors.add(&answer.prediction, &answer.answer));
        let similarity =
            answers.iter().map(|answer| anls(&answer.prediction, &[&answer.answer])).sum::<f64>();
        PictureSummary {
            kind,
            shown,
            n,
            accuracy: n_right as f64 / n as f64,
            lo95,
            hi95,
            by_level,
            character_error_rate: errors.rate().filter(|_| is_text),
            anls: is_text.then_some(similarity / n as f64),
        }
    };
    groups.into_iter().map(summary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: PictureKind, shown: Shown, answer: &str, prediction: &str) -> PictureAnswer {
        let (question, answer, prediction) = (String::new(), answer.to_owned(), prediction.to_owned());
        PictureAnswer { kind, level: 1, doc_id: 0, shown, question, answer, prediction, is_right: false }
            .scored()
    }

    #[test]
    fn each_kind_is_scored_in_its_own_way() {
        let is_right = |kind, right: &str, said: &str| answer(kind, Shown::Own, right, said).is_right;
        assert!(is_right(PictureKind::Charts, "100", "104") && !is_right(PictureKind::Charts, "100", "106"));
        assert!(
            is_right(PictureKind::Words, "Boat", "Boat") && !is_right(PictureKind::Words, "Boat", "boat")
        );
        assert!(is_right(PictureKind::Scenes, "red", "Red") && !is_right(PictureKind::Scenes, "3", "4"));
    }

    #[test]
    fn a_summary_keeps_controls_apart() {
        let answers = [
            answer(PictureKind::Words, Shown::Own, "boat", "boat"),
            answer(PictureKind::Words, Shown::Own, "boat", "goat"),
            answer(PictureKind::Words, Shown::Nothing, "boat", "x"),
            answer(PictureKind::Scenes, Shown::Own, "red", "red"),
        ];
        let rows = summarise(&answers);
        let row = |kind, shown| rows.iter().find(|row| (row.kind, row.shown) == (kind, shown)).unwrap();
        let own = row(PictureKind::Words, Shown::Own);
        assert_eq!((own.n, own.accuracy, own.by_level[&1]), (2, 0.5, 0.5));
        assert_eq!((own.character_error_rate, own.anls), (Some(0.125), Some(0.875)));
        assert_eq!(row(PictureKind::Words, Shown::Nothing).accuracy, 0.0);
        assert_eq!(row(PictureKind::Scenes, Shown::Own).character_error_rate, None);
        assert!(own.lo95 > 0.05 && own.hi95 < 0.95, "two answers say little: {own:?}");
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn pictures_are_exchanged_within_a_kind() {
        let question = |kind, x: f32| PictureQuestion {
            kind,
            level: 1,
            question: String::new(),
            answer: String::new(),
            picture: Picture::new(vec![x]),
        };
        let questions = [
            question(PictureKind::Charts, 1.0),
            question(PictureKind::Words, 2.0),
            question(PictureKind::Charts, 1.0),
            question(PictureKind::Charts, 3.0),
        ];
        let other = |i: usize| another(&questions, i).picture.patches()[0];
        assert_eq!([other(0), other(2), other(3)], [3.0, 3.0, 1.0]);
        assert_eq!(other(1), 2.0, "there is no other");
    }
}
