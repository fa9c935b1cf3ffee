//! Questions about pictures: a model answers them, once with the picture, once without, and once with another one.
//!
//! A model that looks is right with its own picture alone: what it gets right without one, or with that of another question,
//! it has guessed from the question. A model that sees in which order the frames of a clip come gives the reversed answer where they
//! come in reverse.

use std::collections::BTreeMap;

use data::Tokenizer;
use model::{Engine, EngineSettings, Gpt, Picture, Request, Sampling};
use serde::{Deserialize, Serialize};
use tensor::Kernels;

use crate::{
    EvalError, interval,
    vision::{CharacterErrors, PictureMetric},
};

/// Most tokens of an answer.
const MAX_NEW_TOKENS: usize = 48;

/// A piece of a question.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Text.
    Text(String),
    /// A picture as the model reads it.
    Picture(Picture),
}

/// A question about pictures.
#[derive(Clone, Debug)]
pub struct PictureQuestion {
    /// What it is a question of: the row of the table.
    pub kind: String,
    /// How hard it is; 0 where nobody says.
    pub level: u32,
    /// What is asked, with its pictures.
    pub asked: Vec<Asked>,
    /// The right answers.
    pub answers: Vec<String>,
    /// The right answer where the pictures come in reverse order, as the frames of a clip can.
    pub reversed_answer: Option<String>,
    /// How an answer is scored.
    pub metric: PictureMetric,
}

impl PictureQuestion {
    /// What is asked, in words.
    pub fn text(&self) -> String {
        let words = self.asked.iter().filter_map(|piece| match piece {
            Asked::Text(text) => Some(text.as_str()),
            Asked::Picture(_) => None,
        });
        words.collect::<Vec<_>>().concat().trim().to_owned()
    }

    fn pictures(&self) -> Vec<&Picture> {
        let pictures = self.asked.iter().filter_map(|piece| match piece {
            Asked::Picture(picture) => Some(picture),
            Asked::Text(_) => None,
        });
        pictures.collect()
    }

    /// The right answers with what is shown.
    fn right_answers(&self, shown: Shown) -> Vec<String> {
        match (shown, &self.reversed_answer) {
            (Shown::Reversed, Some(reversed)) => vec![reversed.clone()],
            _ => self.answers.clone(),
        }
    }

    /// What is read of this question: its text with its own pictures, without any, with those of `another` in their places, or
    /// with its own from the last to the first.
    pub(crate) fn shown<'q>(&'q self, shown: Shown, another: &'q Self) -> Vec<&'q Asked> {
        let is_picture = |piece: &&Asked| matches!(piece, Asked::Picture(_));
        let of = if shown == Shown::Another { another } else { self };
        let mut others: Vec<&'q Asked> = of.asked.iter().filter(is_picture).collect();
        if shown == Shown::Reversed {
            others.reverse();
        }
        let mut others = others.into_iter();
        let mut piece = |piece: &'q Asked| match (piece, shown) {
            (Asked::Text(_), _) | (Asked::Picture(_), Shown::Own) => Some(piece),
            (Asked::Picture(_), Shown::Another | Shown::Reversed) => others.next(),
            (Asked::Picture(_), Shown::Nothing) => None,
        };
        self.asked.iter().filter_map(&mut piece).collect()
    }
}

/// Of each question the next one of its kind with as many pictures, none of which is one of its own: equal pictures are the same, in
/// whatever file and order they come. None where there is no such question.
pub fn partners(questions: &[PictureQuestion]) -> Vec<Option<usize>> {
    let hashes =
        |question: &PictureQuestion| question.pictures().iter().map(|p| p.hash()).collect::<Vec<_>>();
    let pictures: Vec<Vec<u128>> = questions.iter().map(hashes).collect();
    let n = questions.len();
    let is_partner = |i: usize, other: usize| {
        let (own, others) = (&pictures[i], &pictures[other]);
        questions[i].kind == questions[other].kind
            && own.len() == others.len()
            && !own.is_empty()
            && own.iter().all(|picture| !others.contains(picture))
    };
    (0..n).map(|i| (1..n).map(|step| (i + step) % n).find(|other| is_partner(i, *other))).collect()
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
    /// The frames of its clip from the last to the first; of questions that have an answer for these alone.
    Reversed,
}

impl Shown {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Own, Self::Nothing, Self::Another, Self::Reversed];
}

/// What the model answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureAnswer {
    /// What it is a question of.
    pub kind: String,
    /// How hard the question is; 0 where nobody says.
    pub level: u32,
    /// Number of the question, from 0.
    pub doc_id: usize,
    /// What the model was shown.
    pub shown: Shown,
    /// What was asked.
    pub question: String,
    /// The right answers.
    pub answers: Vec<String>,
    /// The model's.
    pub prediction: String,
    /// How it is scored.
    pub metric: PictureMetric,
    /// The score, from 0 to 1.
    pub score: f64,
}

impl PictureAnswer {
    /// The same with [`PictureAnswer::score`] computed again.
    #[must_use]
    pub fn scored(self) -> Self {
        let score = self.metric.score(&self.prediction, &self.answers);
        Self { score, ..self }
    }
}

/// The model's most likely answers, `batch` questions at a time; the batch changes none. Questions without what is to be shown are
/// left out: without a reversed answer, or without [`partners`].
///
/// # Errors
/// If the model reads no images, a question does not fit in its context, or `goes_on`, which is asked again and again, says no.
pub fn ask(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    questions: &[PictureQuestion],
    shown: Shown,
    batch: usize,
    goes_on: &dyn Fn() -> bool,
) -> Result<Vec<PictureAnswer>, EvalError> {
    let Some(vision) = &gpt.config().vision else {
        return Err(model::DecodeError::NoEyes { n_images: questions.len() }.into());
    };
    let partners = match shown {
        Shown::Another => partners(questions),
        _ => (0..questions.len()).map(Some).collect(),
    };
    let is_asked = |i: usize| shown != Shown::Reversed || questions[i].reversed_answer.is_some();
    // Each with the question whose pictures may stand in the place of its own.
    let asked = partners.into_iter().enumerate().filter(|(i, _)| is_asked(*i));
    let asked: Vec<(usize, usize)> = asked.filter_map(|(i, partner)| Some((i, partner?))).collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let requests: Vec<Request> = asked
        .iter()
        .map(|&(i, partner)| {
            let (mut prompt, mut images) = (vec![tokenizer.begin_of_text()], Vec::new());
            for piece in questions[i].shown(shown, &questions[partner]) {
                match piece {
                    Asked::Text(text) => prompt.extend(tokenizer.encode(text)),
                    Asked::Picture(picture) => {
                        prompt.extend(std::iter::repeat_n(vision.image_token, vision.n_patches()));
                        images.push(picture.clone());
                    }
                }
            }
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
    let mut engine = Engine::new(gpt, kernels, settings);
    let completions = engine.complete_while(requests, &mut |_, _| true, goes_on)?;
    let answers = completions.iter().zip(asked).map(|(done, (doc_id, _))| {
        let question = &questions[doc_id];
        PictureAnswer {
            kind: question.kind.clone(),
            level: question.level,
            doc_id,
            shown,
            question: question.text(),
            answers: question.right_answers(shown),
            prediction: tokenizer.decode(&done.ids).trim().to_owned(),
            metric: question.metric,
            score: 0.0,
        }
        .scored()
    });
    Ok(answers.collect())
}

/// One row of the table: a kind, and what was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureSummary {
    /// What the questions are of.
    pub kind: String,
    /// What the model was shown.
    pub shown: Shown,
    /// How answers are scored.
    pub metric: PictureMetric,
    /// Questions.
    pub n: usize,
    /// Mean score.
    pub accuracy: f64,
    /// Lower end of the 95 % interval.
    pub lo95: f64,
    /// Upper end of the 95 % interval.
    pub hi95: f64,
    /// Of each level, from 1 on; levels without a question are left out.
    pub by_level: BTreeMap<u32, f64>,
    /// Of texts that count when they are the same: errors per character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub character_error_rate: Option<f64>,
    /// Of these: the mean of [`crate::vision::anls`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anls: Option<f64>,
}

/// Answers by kind and by what was shown.
pub fn summarise(answers: &[PictureAnswer]) -> Vec<PictureSummary> {
    let mut groups: BTreeMap<(&str, Shown), Vec<&PictureAnswer>> = BTreeMap::new();
    for answer in answers {
        groups.entry((&answer.kind, answer.shown)).or_default().push(answer);
    }
    let summary = |((kind, shown), answers): ((&str, Shown), Vec<&PictureAnswer>)| {
        let n = answers.len();
        let scores: Vec<f64> = answers.iter().map(|answer| answer.score).collect();
        let mean = interval::bounded_mean(&scores);
        let accuracy = mean.value;
        let [lo95, hi95] = [mean.lo95.unwrap_or(0.0), mean.hi95.unwrap_or(1.0)];
        let mut levels: BTreeMap<u32, (f64, usize)> = BTreeMap::new();
        for answer in answers.iter().filter(|answer| answer.level > 0) {
            let (sum, n) = levels.entry(answer.level).or_default();
            *sum += answer.score;
            *n += 1;
        }
        let by_level = levels.into_iter().map(|(level, (sum, n))| (level, sum / n as f64)).collect();
        let metric = answers[0].metric;
        let is_text = metric == PictureMetric::Exact;
        let mut errors = CharacterErrors::default();
        answers.iter().for_each(|answer| errors.add(&answer.prediction, &answer.answers[0]));
        let similarity =
            |answer: &&PictureAnswer| PictureMetric::Anls.score(&answer.prediction, &answer.answers);
        let similarity = answers.iter().map(similarity).sum::<f64>();
        PictureSummary {
            kind: kind.to_owned(),
            shown,
            metric,
            n,
            accuracy,
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

    fn answer(
        kind: &str,
        metric: PictureMetric,
        shown: Shown,
        answer: &str,
        prediction: &str,
    ) -> PictureAnswer {
        PictureAnswer {
            kind: kind.to_owned(),
            level: 1,
            doc_id: 0,
            shown,
            question: String::new(),
            answers: vec![answer.to_owned()],
            prediction: prediction.to_owned(),
            metric,
            score: 0.0,
        }
        .scored()
    }

    #[test]
    fn each_metric_scores_in_its_own_way() {
        let score = |metric, right: &str, said: &str| answer("", metric, Shown::Own, right, said).score;
        assert_eq!(score(PictureMetric::Relaxed, "100", "104"), 1.0);
        assert_eq!(score(PictureMetric::Relaxed, "100", "106"), 0.0);
        assert_eq!(score(PictureMetric::Exact, "Boat", "Boat"), 1.0);
        assert_eq!(score(PictureMetric::Exact, "Boat", "boat"), 0.0);
        assert_eq!(score(PictureMetric::ExactIgnoringCase, "red", "Red "), 1.0);
        assert_eq!(score(PictureMetric::Anls, "boat", "goat"), 0.75);
        let people: Vec<String> = ["two", "2", "3"].map(str::to_owned).to_vec();
        assert!((PictureMetric::Vqa.score("2", &people) - 2.0 / 3.0).abs() < 0.25);
        for metric in PictureMetric::ALL {
            assert_eq!(PictureMetric::named(metric.name()), Some(metric));
        }
    }

    #[test]
    fn a_summary_keeps_controls_apart() {
        let exact = |shown, said| answer("words", PictureMetric::Exact, shown, "boat", said);
        let answers = [
            exact(Shown::Own, "boat"),
            exact(Shown::Own, "goat"),
            exact(Shown::Nothing, "x"),
            answer("scenes", PictureMetric::ExactIgnoringCase, Shown::Own, "red", "red"),
            answer("letters", PictureMetric::Anls, Shown::Own, "boat", "goat"),
            answer("letters", PictureMetric::Anls, Shown::Own, "boat", "boat"),
        ];
        let rows = summarise(&answers);
        let row = |kind, shown| rows.iter().find(|row| row.kind == kind && row.shown == shown).unwrap();
        let own = row("words", Shown::Own);
        assert_eq!((own.n, own.accuracy, own.by_level[&1]), (2, 0.5, 0.5));
        assert_eq!((own.character_error_rate, own.anls), (Some(0.125), Some(0.875)));
        assert_eq!(row("words", Shown::Nothing).accuracy, 0.0);
        assert_eq!(row("scenes", Shown::Own).character_error_rate, None);
        assert!(own.lo95 > 0.05 && own.hi95 < 0.95, "two answers say little: {own:?}");
        let letters = row("letters", Shown::Own);
        assert!(letters.accuracy == 0.875 && letters.lo95 < 0.8 && letters.hi95 > 0.99, "{letters:?}");
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn pictures_are_exchanged_for_others_within_a_kind() {
        let question = |kind: &str, pictures: &[f32]| PictureQuestion {
            kind: kind.to_owned(),
            level: 1,
            asked: pictures.iter().map(|x| Asked::Picture(Picture::new(vec![*x]))).collect(),
            answers: vec![String::new()],
            reversed_answer: None,
            metric: PictureMetric::Exact,
        };
        let questions = [
            question("charts", &[1.0]),
            question("words", &[2.0]),
            question("charts", &[1.0]),
            question("charts", &[3.0]),
            question("charts", &[3.0, 4.0]),
        ];
        assert_eq!(partners(&questions), [Some(3), None, Some(3), Some(0), None]);
        // Other questions about one picture, and the same pictures in another order, are no exchange.
        let one = [question("charts", &[1.0]), question("charts", &[1.0]), question("charts", &[1.0])];
        assert_eq!(partners(&one), [None; 3]);
        let pairs =
            [question("pairs", &[1.0, 2.0]), question("pairs", &[2.0, 1.0]), question("pairs", &[2.0, 3.0])];
        assert_eq!(partners(&pairs), [None; 3]);
        let pairs = [&pairs[..], &[question("pairs", &[4.0, 5.0])]].concat();
        assert_eq!(partners(&pairs), [Some(3), Some(3), Some(3), Some(0)]);
        assert_eq!(partners(&[question("none", &[]), question("none", &[])]), [None; 2]);
    }

    #[test]
    fn frames_are_reversed_in_their_places_and_have_an_answer_of_their_own() {
        let frame = |x: f32| Asked::Picture(Picture::new(vec![x]));
        let text = |text: &str| Asked::Text(text.to_owned());
        let clip = PictureQuestion {
            kind: "clips".to_owned(),
            level: 1,
            asked: vec![text("0.0s "), frame(1.0), text(" 0.5s "), frame(2.0), text("?")],
            answers: vec!["left".to_owned()],
            reversed_answer: Some("right".to_owned()),
            metric: PictureMetric::Exact,
        };
        let read = |shown| -> Vec<String> {
            let piece = |piece: &Asked| match piece {
                Asked::Text(text) => text.clone(),
                Asked::Picture(picture) => picture.patches()[0].to_string(),
            };
            clip.shown(shown, &clip).into_iter().map(piece).collect()
        };
        assert_eq!(read(Shown::Own), ["0.0s ", "1", " 0.5s ", "2", "?"]);
        assert_eq!(read(Shown::Reversed), ["0.0s ", "2", " 0.5s ", "1", "?"]);
        assert_eq!(read(Shown::Nothing), ["0.0s ", " 0.5s ", "?"]);
        assert_eq!(clip.right_answers(Shown::Reversed), ["right"]);
        assert_eq!(clip.right_answers(Shown::Own), ["left"]);
    }
}
