//! Texts behind pictures by their likelihood: the right name of a picture among others, and the pages of picture books.
//!
//! What a model knows of a picture that it cannot yet say shows in what it expects: the name of an emoji becomes likelier
//! with the emoji before it, and the text of a page with its own illustration.

use std::collections::BTreeMap;

use base::Rng;
use data::Tokenizer;
use model::{Gpt, Tokens, VisionConfig};
use serde::{Deserialize, Serialize};
use tensor::{IGNORE_TARGET, Kernels, Tensor};

use crate::{
    EvalError, interval,
    pictures::{Asked, PictureQuestion, Shown, partners},
};

/// Names to choose from.
pub const N_NAMES: usize = 4;
/// Pictures of other pages that a page's text is read with; the mean of them counts.
pub const N_OTHER_PICTURES: usize = 4;

/// A text with what stands before it.
#[derive(Clone, Debug)]
pub struct PictureText<'a> {
    /// Pictures and text in their order.
    pub before: Vec<&'a Asked>,
    /// The text, whose end is expected too.
    pub text: &'a str,
}

impl PictureText<'_> {
    fn ids(&self, tokenizer: &Tokenizer, vision: &VisionConfig) -> (Vec<u32>, usize) {
        let mut ids = vec![tokenizer.begin_of_text()];
        for piece in &self.before {
            match piece {
                Asked::Text(text) => ids.extend(tokenizer.encode(text)),
                Asked::Picture(_) => ids.extend(std::iter::repeat_n(vision.image_token, vision.n_patches())),
            }
        }
        let n_before = ids.len();
        ids.extend(tokenizer.encode(self.text));
        ids.push(tokenizer.end_of_text());
        (ids, n_before)
    }
}

/// How unlikely each text is, in nats of all its tokens and its end, and how many tokens these are; `batch` texts at a time,
/// which changes no number. None where a text is too long for the model.
///
/// # Errors
/// If the model reads no images, or `goes_on`, which is asked again and again, says no.
pub fn nats(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    texts: &[PictureText],
    batch: usize,
    goes_on: &dyn Fn() -> bool,
) -> Result<Vec<Option<(f64, usize)>>, EvalError> {
    let Some(vision) = &gpt.config().vision else {
        return Err(model::DecodeError::NoEyes { n_images: texts.len() }.into());
    };
    let mut found = Vec::with_capacity(texts.len());
    for texts in texts.chunks(batch.max(1)) {
        if !goes_on() {
            return Err(EvalError::Stopped);
        }
        let read: Vec<(Vec<u32>, usize)> = texts.iter().map(|text| text.ids(tokenizer, vision)).collect();
        let fits = |ids: &[u32]| ids.len() - 1 <= gpt.config().max_seq_len;
        let (mut inputs, mut targets, mut lens, mut patches) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (text, (ids, n_before)) in texts.iter().zip(&read).filter(|(_, (ids, _))| fits(ids)) {
            inputs.extend_from_slice(&ids[..ids.len() - 1]);
            lens.push(ids.len() - 1);
            targets.extend(std::iter::repeat_n(IGNORE_TARGET, n_before - 1));
            targets.extend_from_slice(&ids[*n_before..]);
            for piece in &text.before {
                if let Asked::Picture(picture) = piece {
                    patches.extend_from_slice(picture.patches());
                }
            }
        }
        let losses = match inputs.is_empty() {
            true => Vec::new(),
            false => {
                let shape = [patches.len() / vision.patch_len(), vision.patch_len()];
                let tokens = Tokens::packed(inputs, lens);
                let tokens = match patches.is_empty() {
                    true => tokens,
                    false => tokens.with_images(Tensor::from_f32(&shape, patches), vision.image_token),
                };
                gpt.losses(kernels, &tokens, &targets).f32().to_vec()
            }
        };
        let mut from = 0;
        for (ids, n_before) in &read {
            found.push(fits(ids).then(|| {
                let own = &losses[from..][..ids.len() - 1];
                from += own.len();
                (own.iter().map(|&loss| f64::from(loss)).sum(), ids.len() - n_before)
            }));
        }
    }
    Ok(found)
}

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

/// A page of a picture book.
#[derive(Clone, Debug)]
pub struct Page {
    /// The book.
    pub story: String,
    /// Its illustration.
    pub picture: Asked,
    /// Its text.
    pub text: String,
}

/// How unlikely a page's text is, in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageLoss {
    /// Number of the page among those that were asked about, from 0.
    pub doc_id: usize,
    /// The book.
    pub story: String,
    /// Tokens of the text, and its end.
    pub n_tokens: usize,
    /// Behind its own illustration.
    pub own_nats: f64,
    /// Behind none.
    pub nothing_nats: f64,
    /// Behind illustrations of other books: the mean of [`N_OTHER_PICTURES`]. None where no other book has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub another_nats: Option<f64>,
}

/// Reads every page's text behind its own illustration, behind none, and behind those of other books. Pages that are too long
/// for the model are left out.
///
/// # Errors
/// If the model reads no images, or `goes_on`, which is asked again and again, says no.
pub fn read_pages(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    pages: &[Page],
    batch: usize,
    goes_on: &dyn Fn() -> bool,
) -> Result<Vec<PageLoss>, EvalError> {
    let others: Vec<Vec<usize>> = (0..pages.len()).map(|i| other_books(pages, i)).collect();
    let mut texts = Vec::new();
    for (page, others) in pages.iter().zip(&others) {
        let before = [vec![&page.picture], Vec::new()].into_iter();
        let before = before.chain(others.iter().map(|other| vec![&pages[*other].picture]));
        texts.extend(before.map(|before| PictureText { before, text: &page.text }));
    }
    let nats = nats(gpt, kernels, tokenizer, &texts, batch, goes_on)?;
    let (mut losses, mut rest) = (Vec::new(), &nats[..]);
    for (doc_id, (page, others)) in pages.iter().zip(&others).enumerate() {
        let (own, behind) = rest.split_at(2 + others.len());
        rest = behind;
        let Some(nats) = own.iter().copied().collect::<Option<Vec<(f64, usize)>>>() else { continue };
        let sum: f64 = nats[2..].iter().map(|(nats, _)| nats).sum();
        losses.push(PageLoss {
            doc_id,
            story: page.story.clone(),
            n_tokens: nats[0].1,
            own_nats: nats[0].0,
            nothing_nats: nats[1].0,
            another_nats: (!others.is_empty()).then(|| sum / others.len() as f64),
        });
    }
    Ok(losses)
}

/// Pages of other books with other illustrations, spread over all of them; none where there is no such book.
fn other_books(pages: &[Page], i: usize) -> Vec<usize> {
    let n = pages.len();
    let is_other = |other: &usize| {
        pages[*other].story != pages[i].story && !is_same_picture(&pages[*other].picture, &pages[i].picture)
    };
    let other = |k: usize| {
        let start = i + (k + 1) * n / (N_OTHER_PICTURES + 1);
        (0..n).map(|step| (start + step) % n).find(is_other)
    };
    (0..N_OTHER_PICTURES).filter_map(other).collect()
}

fn is_same_picture(one: &Asked, other: &Asked) -> bool {
    matches!((one, other), (Asked::Picture(one), Asked::Picture(other)) if one.hash() == other.hash())
}

/// What illustrations tell of the texts beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageSummary {
    /// Pages that were read.
    pub n: usize,
    /// Pages that were too long.
    pub n_left_out: usize,
    /// Books.
    pub n_stories: usize,
    /// Nats per token behind the page's own illustration.
    pub own_nats_per_token: f64,
    /// Behind none.
    pub nothing_nats_per_token: f64,
    /// Behind illustrations of other books; none where no other book has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub another_nats_per_token: Option<f64>,
    /// How much more unlikely a page's text is behind another illustration than behind its own: the mean over pages, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_nats: Option<f64>,
    /// Its standard error, for which the pages of a book count together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference_stderr: Option<f64>,
    /// Lower end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lo95: Option<f64>,
    /// Upper end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hi95: Option<f64>,
}

/// The means of pages, of which `n_left_out` more were too long; none of no page.
pub fn summarise_pages(pages: &[PageLoss], n_left_out: usize) -> Option<PageSummary> {
    let n_tokens: usize = pages.iter().map(|page| page.n_tokens).sum();
    if n_tokens == 0 {
        return None;
    }
    let per_token = |of: fn(&PageLoss) -> f64| pages.iter().map(of).sum::<f64>() / n_tokens as f64;
    let compared = pages.iter().filter_map(|page| Some((page, page.another_nats?)));
    let compared: Vec<(&PageLoss, f64)> = compared.collect();
    let differences: Vec<f64> = compared.iter().map(|(page, another)| another - page.own_nats).collect();
    let stories: Vec<&str> = compared.iter().map(|(page, _)| page.story.as_str()).collect();
    let difference = (!compared.is_empty()).then(|| interval::clustered_mean(&differences, &stories));
    let n_compared: usize = compared.iter().map(|(page, _)| page.n_tokens).sum();
    let another: f64 = compared.iter().map(|(_, another)| another).sum();
    let mut books: Vec<&str> = pages.iter().map(|page| page.story.as_str()).collect();
    books.sort_unstable();
    books.dedup();
    Some(PageSummary {
        n: pages.len(),
        n_left_out,
        n_stories: books.len(),
        own_nats_per_token: per_token(|page| page.own_nats),
        nothing_nats_per_token: per_token(|page| page.nothing_nats),
        another_nats_per_token: difference.map(|_| another / n_compared as f64),
        difference_nats: difference.map(|found| found.value),
        difference_stderr: difference.and_then(|found| found.stderr),
        lo95: difference.and_then(|found| found.lo95).filter(|x| x.is_finite()),
        hi95: difference.and_then(|found| found.hi95).filter(|x| x.is_finite()),
    })
}

#[cfg(test)]
mod tests {
    use model::{Picture, scaling::ModelOverrides};
    use tensor::Cpu;

    use super::*;
    use crate::vision::PictureMetric;

    /// A random model whose eyes make rows of some size.
    fn model(tokenizer: &Tokenizer) -> Gpt {
        let mut config = ModelOverrides::default().config(tokenizer.vocab_size(), 64, 64);
        config.vision = Some(model::VisionConfig {
            image_token: 3,
            image_size: 8,
            patch_size: 4,
            n_layers: 1,
            d_model: 24,
            n_heads: 3,
            d_ff: 40,
            norm_eps: 1e-6,
            activation: model::Activation::GeluTanh,
            projector_activation: model::Activation::Gelu,
            is_clip: false,
        });
        let mut gpt = Gpt::new(config, 3);
        // What writes to the residual stream begins as 0: pictures would change nothing.
        for (i, param) in gpt.params_mut().iter_mut().enumerate() {
            let shape = param.shape().to_vec();
            *param = Tensor::normal(&shape, 0.3, tensor::DType::F32, &mut Rng::new(3, i as u64));
        }
        gpt
    }

    fn picture(x: f32) -> Asked {
        Asked::Picture(Picture::new((0..192).map(|i| (i as f32 * x).sin()).collect()))
    }

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
    fn likelihoods_are_those_of_one_text_alone_in_any_batch() {
        let tokenizer = Tokenizer::bytes();
        let gpt = model(&tokenizer);
        let (a, b, question) = (picture(1.0), picture(2.0), Asked::Text("\n?\n".to_owned()));
        let text = |before: Vec<&'static str>, text| (before, text);
        let wanted = [
            text(vec!["a"], "one"),
            text(vec![], "one"),
            text(vec!["b", "?"], "two words"),
            text(vec!["a", "b"], "x"),
        ];
        let texts: Vec<PictureText> = wanted
            .iter()
            .map(|(before, text)| {
                let piece = |name: &&str| match *name {
                    "a" => &a,
                    "b" => &b,
                    _ => &question,
                };
                PictureText { before: before.iter().map(piece).collect(), text }
            })
            .collect();
        let kernels = Cpu::new(1);
        let together = nats(&gpt, &kernels, &tokenizer, &texts, 8, &|| true).unwrap();
        for batch in [1, 3] {
            assert_eq!(nats(&gpt, &Cpu::new(2), &tokenizer, &texts, batch, &|| true).unwrap(), together);
        }
        assert_eq!(together.iter().map(|found| found.unwrap().1).collect::<Vec<_>>(), [4, 4, 10, 2]);
        assert_ne!(together[0].unwrap().0, together[1].unwrap().0, "the picture changes nothing");
        // Behind no picture, the sum of what the plain model loses on each token.
        let ids: Vec<u32> = [vec![tokenizer.begin_of_text()], tokenizer.encode("one")].concat();
        let targets = [&ids[1..], &[tokenizer.end_of_text()]].concat();
        let losses = gpt.losses(&kernels, &Tokens::packed(ids.clone(), [ids.len()]), &targets);
        let sum: f64 = losses.f32().iter().map(|&loss| f64::from(loss)).sum();
        assert_eq!(together[1].unwrap().0, sum);
        let long = "x".repeat(100);
        let too_long = [PictureText { before: vec![&a], text: &long }, texts[1].clone()];
        let found = nats(&gpt, &kernels, &tokenizer, &too_long, 2, &|| true).unwrap();
        assert_eq!((found[0], found[1]), (None, together[1]));
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

    #[test]
    fn pages_are_compared_with_those_of_other_books() {
        let tokenizer = Tokenizer::bytes();
        let gpt = model(&tokenizer);
        let page = |i: usize| Page {
            story: format!("{}", i / 3),
            picture: picture(i as f32 + 1.0),
            text: if i == 4 { "x".repeat(100) } else { format!("page {i}") },
        };
        let pages: Vec<Page> = (0..9).map(page).collect();
        for i in 0..9 {
            assert!(other_books(&pages, i).iter().all(|other| pages[*other].story != pages[i].story));
        }
        assert!(other_books(&pages[..3], 1).is_empty(), "there is no other book");
        let copies: Vec<Page> = (0..9).map(|i| Page { picture: picture(1.0), ..page(i) }).collect();
        assert!(other_books(&copies, 4).is_empty(), "there is no other illustration");
        let alone = read_pages(&gpt, &Cpu::new(1), &tokenizer, &copies[..2], 3, &|| true).unwrap();
        let alone = summarise_pages(&alone, 0).unwrap();
        assert_eq!((alone.n, alone.another_nats_per_token, alone.difference_nats), (2, None, None));
        let losses = read_pages(&gpt, &Cpu::new(1), &tokenizer, &pages, 3, &|| true).unwrap();
        assert_eq!(losses.len(), 8, "one is too long");
        let summary = summarise_pages(&losses, 1).unwrap();
        assert_eq!((summary.n, summary.n_left_out, summary.n_stories), (8, 1, 3));
        let mean = losses.iter().map(|page| page.another_nats.unwrap() - page.own_nats).sum::<f64>() / 8.0;
        assert!((summary.difference_nats.unwrap() - mean).abs() < 1e-12 && mean != 0.0);
        assert!(summary.lo95.unwrap() < mean && mean < summary.hi95.unwrap());
        assert_eq!(summarise_pages(&[], 2), None);
    }
}
