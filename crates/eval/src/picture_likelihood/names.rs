//! The right name of a picture among others.

use std::collections::BTreeMap;

use base::Rng;
use data::Tokenizer;
use model::Gpt;
use serde::{Deserialize, Serialize};
use tensor::Kernels;

use super::{PictureText, nats};
use crate::{
    EvalError, interval,
    pictures::{PictureQuestion, Shown, partners},
};

/// Names to choose from.
pub const N_NAMES: usize = 4;

/// Which of several names a model takes for that of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// What the questions are of.
    pub kind: String,
    /// Number of the question, from 0.
    pub doc_id: usize,
    /// What the model was shown.
    pub shown: Shown,
    /// Names to choose from; the first is the right one, and the order decides nothing.
    pub names: Vec<String>,
    /// How unlikely each is, in nats.
    pub nats: Vec<f64>,
    /// By how much each is likelier than without a picture, in nats: what a name owes to the picture alone, however common
    /// or short it is. None where no picture is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain_nats: Option<Vec<f64>>,
}

/// Whether the first is larger than all others: who says the same of all has picked none.
fn is_first_picked(scores: impl Iterator<Item = f64>) -> bool {
    let scores: Vec<f64> = scores.collect();
    scores[1..].iter().all(|score| *score < scores[0])
}

/// Lets a model choose between the name of each picture and [`N_NAMES`] - 1 others of the same questions: with the picture,
/// without it, and with that of another question; who has no [`partners`] is left out there.
///
/// # Errors
/// If the model reads no images, or `goes_on`, which is asked again and again, says no.
///
/// # Panics
/// If the questions have fewer names.
pub fn pick_names(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    questions: &[PictureQuestion],
    batch: usize,
    goes_on: &dyn Fn() -> bool,
) -> Result<Vec<Pick>, EvalError> {
    let mut all: Vec<&String> = questions.iter().map(|question| &question.answers[0]).collect();
    all.sort();
    all.dedup();
    assert!(all.len() >= N_NAMES, "{} names to choose from", all.len());
    let names: Vec<Vec<String>> = questions
        .iter()
        .enumerate()
        .map(|(i, question)| {
            let right = &question.answers[0];
            let mut rng = Rng::named(0, &format!("names beside number {i}"));
            let mut others: Vec<&String> = all.iter().copied().filter(|name| *name != right).collect();
            let mut draw = || others.swap_remove(rng.below(others.len() as u64) as usize).clone();
            let drawn: Vec<String> = (1..N_NAMES).map(|_| draw()).collect();
            std::iter::once(right.clone()).chain(drawn).collect()
        })
        .collect();
    let mut picks: Vec<Pick> = Vec::new();
    let mut blind: Vec<Vec<f64>> = Vec::new();
    let own: Vec<Option<usize>> = (0..questions.len()).map(Some).collect();
    for (shown, of) in [(Shown::Nothing, &own), (Shown::Own, &own), (Shown::Another, &partners(questions))] {
        let asked = of.iter().enumerate().filter_map(|(i, of)| Some((i, (*of)?)));
        let asked: Vec<(usize, usize)> = asked.collect();
        let texts: Vec<PictureText> = asked
            .iter()
            .flat_map(|&(i, of)| {
                let before = questions[i].shown(shown, &questions[of]);
                names[i].iter().map(move |text| PictureText { before: before.clone(), text })
            })
            .collect();
        let nats = nats(gpt, kernels, tokenizer, &texts, batch, goes_on)?;
        for (&(doc_id, _), nats) in asked.iter().zip(nats.chunks_exact(N_NAMES)) {
            let nats: Vec<f64> = nats.iter().map(|nats| nats.map_or(f64::MAX, |(nats, _)| nats)).collect();
            let gain_nats = match shown {
                Shown::Nothing => {
                    blind.push(nats.clone());
                    None
                }
                _ => Some(blind[doc_id].iter().zip(&nats).map(|(blind, own)| blind - own).collect()),
            };
            let (kind, names) = (questions[doc_id].kind.clone(), names[doc_id].clone());
            picks.push(Pick { kind, doc_id, shown, names, nats, gain_nats });
        }
    }
    Ok(picks)
}

/// How often the right name was picked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PickSummary {
    /// What the questions are of.
    pub kind: String,
    /// What the model was shown.
    pub shown: Shown,
    /// `likelihood`, or `gain`: the likelihood over that without a picture.
    pub by: String,
    /// Names to choose from.
    pub n_names: usize,
    /// Questions.
    pub n: usize,
    /// Share of right picks.
    pub accuracy: f64,
    /// Lower end of the 95 % interval.
    pub lo95: f64,
    /// Upper end of the 95 % interval.
    pub hi95: f64,
}

/// Kind, what was shown, and what decides.
type PickGroup<'a> = (&'a str, Shown, &'static str);

/// Picks by kind, by what was shown, and by what decides.
pub fn summarise_picks(picks: &[Pick]) -> Vec<PickSummary> {
    // Of each pick whether it is right.
    let mut groups: BTreeMap<PickGroup, Vec<bool>> = BTreeMap::new();
    for pick in picks {
        let mut add = |by, is_right| groups.entry((&pick.kind, pick.shown, by)).or_default().push(is_right);
        add("likelihood", is_first_picked(pick.nats.iter().map(|nats| -nats)));
        if let Some(gain) = &pick.gain_nats {
            add("gain", is_first_picked(gain.iter().copied()));
        }
    }
    let n_names = picks.first().map_or(0, |pick| pick.names.len());
    let mut rows = Vec::new();
    for ((kind, shown, by), picks) in groups {
        let (n, n_right) = (picks.len(), picks.iter().filter(|is_right| **is_right).count());
        let [lo95, hi95] = interval::wilson(n_right, n).unwrap_or([0.0, 1.0]);
        let (kind, by, accuracy) = (kind.to_owned(), by.to_owned(), n_right as f64 / n as f64);
        rows.push(PickSummary { kind, shown, by, n_names, n, accuracy, lo95, hi95 });
    }
    rows
}

#[cfg(test)]
mod tests {
    use tensor::Cpu;

    use super::{
        super::tests::{model, picture},
        *,
    };
    use crate::{pictures::Asked, vision::PictureMetric};

    fn questions() -> Vec<PictureQuestion> {
        let names = ["sun", "red apple", "hash key", "flag", "keycap 1", "ox"];
        let question = |(i, name): (usize, &&str)| PictureQuestion {
            kind: "emoji".to_owned(),
            level: 0,
            asked: vec![picture(i as f32 + 1.0), Asked::Text("\nWhat is this?\n".to_owned())],
            answers: vec![(*name).to_owned()],
            reversed_answer: None,
            metric: PictureMetric::ExactIgnoringCase,
        };
        names.iter().enumerate().map(question).collect()
    }

    #[test]
    fn names_are_drawn_from_the_others_and_gains_are_over_no_picture() {
        let tokenizer = Tokenizer::bytes();
        let (gpt, questions) = (model(&tokenizer), questions());
        let picks = pick_names(&gpt, &Cpu::new(1), &tokenizer, &questions, 4, &|| true).unwrap();
        assert_eq!(picks.len(), 3 * questions.len());
        for pick in &picks {
            assert_eq!(pick.names[0], questions[pick.doc_id].answers[0]);
            let mut names = pick.names.clone();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), N_NAMES);
            let blind = picks.iter().find(|p| p.doc_id == pick.doc_id && p.shown == Shown::Nothing).unwrap();
            match &pick.gain_nats {
                None => assert_eq!(pick.shown, Shown::Nothing),
                Some(gain) => (0..N_NAMES).for_each(|k| assert_eq!(gain[k], blind.nats[k] - pick.nats[k])),
            }
        }
        let rows = summarise_picks(&picks);
        assert_eq!(rows.iter().map(|row| row.n).collect::<Vec<_>>(), [6; 5]);
        // Six names of one picture: there is no other to exchange it with.
        let same: Vec<PictureQuestion> = questions
            .iter()
            .map(|question| PictureQuestion { asked: vec![picture(1.0)], ..question.clone() })
            .collect();
        let picks = pick_names(&gpt, &Cpu::new(1), &tokenizer, &same, 4, &|| true).unwrap();
        assert!(picks.len() == 12 && picks.iter().all(|pick| pick.shown != Shown::Another));
        let pick = |nats: [f64; 2], gain: [f64; 2]| Pick {
            kind: "emoji".to_owned(),
            doc_id: 0,
            shown: Shown::Own,
            names: vec![String::new(); 2],
            nats: nats.to_vec(),
            gain_nats: Some(gain.to_vec()),
        };
        let rows = summarise_picks(&[pick([1.0, 2.0], [0.0, 0.0]), pick([2.0, 1.0], [0.5, 0.0])]);
        let share = |by: &str| rows.iter().find(|row| row.by == by).unwrap().accuracy;
        assert_eq!((share("likelihood"), share("gain")), (0.5, 0.5), "equal names are no pick");
    }
}
