//! The stage `explain`: answers about held-out pictures, right and wrong ones, with maps of what they depend on.

use std::{collections::BTreeMap, fs, path::Path};

use data::{
    image::{Preprocessing, RgbImage},
    pictures::{PictureSet, SetDocument, SetPart, Side},
};
use eval::{
    attribution::AttributionSettings,
    pictures::{Asked, PictureAnswer, PictureQuestion, Shown, ask},
    vision::PictureMetric,
};
use model::{Picture, VisionConfig, checkpoint};
use tensor::DType;

use super::{
    run::Run,
    stage::{Stage, hash},
};
use crate::{
    explanation::Explainer,
    image_files, progress,
    run_dir::{EXPLAINED, EXPLAINED_INPUTS, ExplainedAnswer, SUMMARY, write_whole},
    stop,
};

/// Questions of each kind that are asked, and how many right and wrong answers of them are shown.
const N_ASKED: u64 = 16;
const N_SHOWN: usize = 2;

/// Questions that are asked at a time; it changes no answer.
const BATCH: usize = 16;

/// Most tokens of an answer.
const MAX_TOKENS: usize = 48;

/// Explains answers, or keeps those that are there. Of a run without pictures there is nothing to explain.
#[derive(Debug)]
pub(crate) struct ExplainAnswers;

impl Stage for ExplainAnswers {
    fn name(&self) -> &'static str {
        "explain"
    }

    fn about(&self) -> &'static str {
        "Explain answers about held-out pictures"
    }

    fn inputs(&self, run: &Run) -> anyhow::Result<String> {
        let plan = run.plan()?;
        let settings = serde_json::to_string(&AttributionSettings::default())?;
        Ok(hash(&[plan.inputs(), self.name(), &settings, &format!("{N_ASKED} {N_SHOWN} {MAX_TOKENS}")]))
    }

    fn run(&self, run: &Run) -> anyhow::Result<()> {
        let plan = run.plan()?;
        let Some(vision) = &plan.config().vision else { return Ok(()) };
        let Some(set) = run.pictures(vision.image_size)? else { return Ok(()) };
        run.require("pretrain", SUMMARY.trim_start_matches("pretrain/"), "pretrain")?;
        let inputs = self.inputs(run)?;
        let (path, made_from) = (run.dir.join(EXPLAINED), run.dir.join(EXPLAINED_INPUTS));
        if fs::read_to_string(&made_from).is_ok_and(|made_from| made_from == inputs)
            && let Some(kept) = ExplainedAnswer::read_all(&path)
        {
            match kept {
                Ok(_) => return Ok(()),
                Err(_) => {
                    progress::say(self.name(), &format!("`{}` is damaged: written again", path.display()))
                }
            }
        }
        let answers = explain(run, set, vision, &run.checkpoint()?).map_err(stop::resumable)?;
        ExplainedAnswer::write_all(&path, &answers)?;
        write_whole(&made_from, inputs.as_bytes())
    }
}

fn explain(
    run: &Run,
    set: &PictureSet,
    vision: &VisionConfig,
    dir: &Path,
) -> anyhow::Result<Vec<ExplainedAnswer>> {
    let preprocessing = image_files::preprocessing(dir, vision)?;
    let questions = questions(set, &preprocessing, vision);
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    // Gradients in f32: the maps of a model are compared with each other.
    let mut gpt = checkpoint::read_model(dir)?.with_dtype(DType::F32);
    let (tokenizer, kernels) = (run.tokenizer()?, run.kernels());
    gpt.pack(&*kernels);
    let explainer = Explainer {
        gpt: &gpt,
        kernels: &*kernels,
        tokenizer,
        preprocessing,
        settings: AttributionSettings::default(),
        max_tokens: MAX_TOKENS,
    };
    // A question that is longer than what the model reads is not asked.
    let room = gpt.config().max_seq_len.saturating_sub(MAX_TOKENS);
    let with_prompts = questions.into_iter().filter_map(|question| {
        let mut prompt = vec![tokenizer.begin_of_text()];
        for part in &question.parts {
            match part {
                SetPart::Text { text, .. } => prompt.extend(tokenizer.encode(text)),
                SetPart::Image(_) => {
                    prompt.extend(std::iter::repeat_n(vision.image_token, vision.n_patches()))
                }
            }
        }
        (prompt.len() <= room).then_some((question, prompt))
    });
    let (questions, prompts): (Vec<Question>, Vec<Vec<u32>>) = with_prompts.unzip();
    let asked: Vec<PictureQuestion> = questions.iter().map(|question| question.asked.clone()).collect();
    let given = ask(&gpt, &*kernels, tokenizer, &asked, Shown::Own, BATCH, &stop::goes_on)?;
    let mut explained = Vec::new();
    for i in chosen(&given) {
        let PictureAnswer { kind, question, answers, score, .. } = given[i].clone();
        let images: Vec<RgbImage> = questions[i].images();
        let explanation = explainer.explain(&prompts[i], &images, None)?;
        explained.push(ExplainedAnswer {
            kind,
            question,
            prediction: explanation.answer,
            answers,
            score: Some(score),
            pictures: explanation.maps.iter().map(|maps| maps.encoded()).collect(),
            attribution: explanation.attribution,
        });
    }
    Ok(explained)
}

/// A held-out document whose end is an answer.
struct Question {
    /// What stands before the answer.
    parts: Vec<SetPart>,
    asked: PictureQuestion,
}

impl Question {
    fn images(&self) -> Vec<RgbImage> {
        let image = |part: &SetPart| match part {
            SetPart::Image(image) => Some(image.clone()),
            SetPart::Text { .. } => None,
        };
        self.parts.iter().filter_map(image).collect()
    }
}

/// The first held-out questions of every kind; documents that ask nothing are left out.
fn questions(set: &PictureSet, preprocessing: &Preprocessing, vision: &VisionConfig) -> Vec<Question> {
    let n_turns = set.n_turns(Side::Test);
    let numbers = 0..N_ASKED * n_turns;
    numbers
        .filter_map(|number| question(set.document(Side::Test, number).ok()?, preprocessing, vision))
        .collect()
}

fn question(document: SetDocument, preprocessing: &Preprocessing, vision: &VisionConfig) -> Option<Question> {
    let SetDocument { kind, mut parts } = document;
    let SetPart::Text { text: answer, is_learned: true } = parts.pop()? else { return None };
    let is_question = |part: &SetPart| matches!(part, SetPart::Text { is_learned: false, .. });
    let is_learned = |part: &SetPart| matches!(part, SetPart::Text { is_learned: true, .. });
    let has_image = parts.iter().any(|part| matches!(part, SetPart::Image(_)));
    if !has_image || !parts.iter().any(is_question) || parts.iter().any(is_learned) {
        return None;
    }
    let asked = parts.iter().map(|part| match part {
        SetPart::Text { text, .. } => Asked::Text(text.clone()),
        SetPart::Image(image) => {
            Asked::Picture(Picture::new(preprocessing.patches(image, vision.patch_size)))
        }
    });
    let asked = PictureQuestion {
        kind: kind.map_or("files", |kind| kind.name()).to_owned(),
        level: 0,
        asked: asked.collect(),
        answers: vec![answer.trim().to_owned()],
        reversed_answer: None,
        metric: kind.map_or(PictureMetric::ExactIgnoringCase, PictureMetric::of),
    };
    Some(Question { parts, asked })
}

/// Of every kind the first right and the first wrong answers, in their order. What was answered with nothing has no map.
fn chosen(answers: &[PictureAnswer]) -> Vec<usize> {
    let mut counts: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    let mut chosen = Vec::new();
    for (i, answer) in answers.iter().enumerate().filter(|(_, answer)| !answer.prediction.is_empty()) {
        let n = counts.entry((&answer.kind, answer.score == 1.0)).or_default();
        *n += 1;
        if *n <= N_SHOWN {
            chosen.push(i);
        }
    }
    chosen.sort_by(|a, b| answers[*a].kind.cmp(&answers[*b].kind).then(a.cmp(b)));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_and_wrong_answers_of_every_kind_are_chosen() {
        let answer = |kind: &str, prediction: &str, score: f64| PictureAnswer {
            kind: kind.to_owned(),
            level: 0,
            doc_id: 0,
            shown: Shown::Own,
            question: String::new(),
            answers: vec!["a".to_owned()],
            prediction: prediction.to_owned(),
            metric: PictureMetric::Exact,
            score,
        };
        let answers = [
            answer("words", "a", 1.0),
            answer("charts", "b", 0.0),
            answer("words", "", 0.0),
            answer("words", "a", 1.0),
            answer("words", "b", 0.0),
            answer("words", "a", 1.0),
            answer("charts", "b", 0.5),
            answer("charts", "b", 0.0),
            answer("charts", "a", 1.0),
        ];
        assert_eq!(chosen(&answers), [1, 6, 8, 0, 3, 4]);
    }

    #[test]
    fn only_documents_that_end_with_an_answer_are_questions() {
        let vision = model::eyes::VisionOverrides { image_size: Some(8), ..Default::default() }.config(32);
        let preprocessing = Preprocessing::square(8);
        let text = |text: &str, is_learned| SetPart::Text { text: text.to_owned(), is_learned };
        let image = || SetPart::Image(RgbImage::filled(8, 8, [9; 3]));
        let of = |parts| question(SetDocument { kind: None, parts }, &preprocessing, &vision);
        let found = of(vec![image(), text("\nWhat?\n", false), text("a\n", true)]).unwrap();
        assert_eq!((found.images().len(), &found.asked.answers[0][..], found.parts.len()), (1, "a", 2));
        for parts in [
            vec![],
            vec![image(), text("a caption", true)],
            vec![text("\nWhat?\n", false), text("a", true)],
            vec![text("a", true), image()],
            vec![image(), text("b", true), text("\nWhat?\n", false), text("a", true)],
        ] {
            assert!(of(parts).is_none());
        }
    }
}
