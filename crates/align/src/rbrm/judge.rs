//! A validated grader as a reward.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{Answered, Grader, GraderId, PropositionScore, Questions, ResponseType, Weights};
use crate::{
    AlignError,
    environment::{Judge, Prompt},
};

/// What `maquette rbrm` writes: weights, and how well the grader agrees with people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RbrmFile {
    /// What grades.
    pub grader: GraderId,
    /// What it is asked, where it is a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questions: Option<Questions>,
    /// F1 that a proposition with a weight must have reached, beside being better than always saying yes.
    #[serde(default)]
    pub min_f1: f64,
    /// By what a prompt asks for.
    pub weights: BTreeMap<ResponseType, Weights>,
    /// F1 of each proposition on labelled answers; a grader without them is refused.
    #[serde(default)]
    pub validation: BTreeMap<String, PropositionScore>,
}

impl RbrmFile {
    /// Reads it.
    ///
    /// # Errors
    /// If it cannot be read, has no weights, or one of a proposition about which the grader was never validated or agrees with people
    /// too little.
    pub fn read(path: &Path) -> Result<Self, AlignError> {
        let refuse = |expected: &str, found: String| AlignError::Grader {
            path: path.to_owned(),
            expected: expected.into(),
            found,
        };
        let bytes =
            std::fs::read(path).map_err(|error| refuse("a grader with its weights", error.to_string()))?;
        let file: Self = serde_json::from_slice(&bytes)
            .map_err(|error| refuse("a grader with its weights", error.to_string()))?;
        let is_model = file.grader != GraderId::Rules;
        if is_model && file.questions.is_none() {
            return Err(refuse("the questions that the grader is asked", "none".into()));
        }
        let named = || file.weights.values().flat_map(|weights| weights.names());
        if named().next().is_none() {
            return Err(refuse("a proposition with a weight", file.weightless()));
        }
        for name in named() {
            match file.validation.get(name) {
                None => {
                    return Err(refuse(
                        "a grader that was validated on labelled answers",
                        format!("no F1 of `{name}`, which has a weight"),
                    ));
                }
                Some(score) if !score.is_enough(file.min_f1) => {
                    return Err(refuse(
                        &format!(
                            "propositions with a weight whose F1 is above that of always saying yes{}, on at least half of the labelled answers",
                            file.bar()
                        ),
                        format!(
                            "an F1 of {:.3} of `{name}` on {}, where always saying yes has {:.3}",
                            score.f1,
                            score.n,
                            score.always_yes()
                        ),
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(file)
    }

    /// What else an F1 must be, in words.
    fn bar(&self) -> String {
        if self.min_f1 > 0.0 { format!(" and at least {}", self.min_f1) } else { String::new() }
    }

    /// Why nothing has a weight.
    pub fn weightless(&self) -> String {
        let n_enough = self.validation.values().filter(|score| score.is_enough(self.min_f1)).count();
        match n_enough {
            0 => format!("none: no F1 is above that of always saying yes{}", self.bar()),
            _ => "none: of what the grader can tell, nothing tells the classes of the answers apart".into(),
        }
    }
}

/// Rewards answers by what a grader finds true of them, on the prompts whose row says in `label` or `response_type` what they ask
/// for.
pub struct RbrmJudge {
    weights: BTreeMap<ResponseType, Weights>,
    grader: Box<dyn Grader>,
}

impl RbrmJudge {
    /// Weights of a file, and the grader that was validated for it.
    ///
    /// # Errors
    /// Says what `grader` is if it is another one.
    pub fn new(file: RbrmFile, grader: Box<dyn Grader>) -> Result<Self, String> {
        match grader.id() {
            id if id == file.grader => Ok(Self { weights: file.weights, grader }),
            other => Err(format!("{other} instead of {}", file.grader)),
        }
    }

    /// Rewards of answers to prompts that ask for `kind`.
    fn of_kind(&self, kind: ResponseType, answers: &[Answered<'_>]) -> Vec<Result<f64, String>> {
        let Some(weights) = self.weights.get(&kind) else {
            return vec![Err(format!("no weights for `{}` in the grader", kind.name())); answers.len()];
        };
        let names: Vec<&str> = weights.names().collect();
        let reward = |grades: super::Grades| {
            for name in &names {
                if let Some(Err(reason)) = grades.get(*name) {
                    return Err(format!("no verdict of the grader on `{name}`: {reason}"));
                }
            }
            Ok(weights.reward(|name| grades.get(name).is_some_and(|verdict| *verdict == Ok(true))))
        };
        self.grader.grade(answers, &names).into_iter().map(reward).collect()
    }
}

fn kind(prompt: &Prompt) -> Option<ResponseType> {
    let named = ["response_type", "label"].iter().find_map(|name| prompt.fields.get(*name)?.as_str());
    ResponseType::named(named?)
}

impl Judge for RbrmJudge {
    fn name(&self) -> &str {
        "rbrm"
    }

    fn lacks(&self, prompt: &Prompt) -> Option<String> {
        match kind(prompt) {
            None => Some("a `label` (disallowed, allowed or look_alike) or a `response_type`".into()),
            Some(kind) => (!self.weights.contains_key(&kind))
                .then(|| format!("weights for `{}` in the grader", kind.name())),
        }
    }

    fn rewards(&self, answered: &[(&Prompt, &str)]) -> Vec<Result<f64, String>> {
        let mut rewards = vec![Err("a prompt without a label".to_owned()); answered.len()];
        for kind_of_all in ResponseType::ALL {
            let of_kind: Vec<usize> =
                (0..answered.len()).filter(|i| kind(answered[*i].0) == Some(kind_of_all)).collect();
            let asked = |i: &usize| {
                let (prompt, answer) = answered[*i];
                Answered { messages: &prompt.messages, answer }
            };
            let answers: Vec<Answered<'_>> = of_kind.iter().map(asked).collect();
            if !answers.is_empty() {
                for (i, reward) in of_kind.into_iter().zip(self.of_kind(kind_of_all, &answers)) {
                    rewards[i] = reward;
                }
            }
        }
        rewards
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbrm::{Grades, Rules};
    use data::Message;

    /// Says nothing of one answer, and that all is so of the others.
    struct Silent;

    impl Grader for Silent {
        fn id(&self) -> GraderId {
            GraderId::Endpoint { url: "http://a/v1".into(), model: "m".into() }
        }

        fn grade(&self, answers: &[Answered<'_>], names: &[&str]) -> Vec<Grades> {
            let verdict = |answer: &str| if answer == "?" { Err("HTTP 503".to_owned()) } else { Ok(true) };
            let of = |one: &Answered<'_>| {
                names.iter().map(|name| ((*name).to_owned(), verdict(one.answer))).collect()
            };
            answers.iter().map(of).collect()
        }
    }

    /// A missing verdict gives no reward, unless nothing hangs on it; another grader than the validated one is refused.
    #[test]
    fn what_has_no_verdict_has_no_reward() {
        let weights = Weights { bias: 0.0, of: [("apology".to_owned(), 2.0)].into(), n: 3, r2: 0.0 };
        let file = RbrmFile {
            grader: Silent.id(),
            questions: Some(Questions::new(None, BTreeMap::new())),
            min_f1: 0.5,
            weights: [(ResponseType::Comply, weights)].into(),
            validation: BTreeMap::new(),
        };
        let judge = RbrmJudge::new(file.clone(), Box::new(Silent)).unwrap();
        let fields = [("label".to_owned(), "allowed".into())].into_iter().collect();
        let prompt = Prompt { messages: Vec::new(), fields, path: "p".into(), row: 1 };
        let rewards = judge.rewards(&[(&prompt, "yes"), (&prompt, "?")]);
        assert_eq!(rewards[0], Ok(2.0));
        assert_eq!(rewards[1], Err("no verdict of the grader on `apology`: HTTP 503".into()));
        assert!(RbrmJudge::new(file, Box::new(Rules)).err().unwrap().contains("rules instead of `m`"));
    }

    #[test]
    fn a_grader_that_was_not_validated_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rbrm.json");
        let score =
            PropositionScore { f1: 0.9, lo95: 0.8, hi95: 1.0, n_true: 2, n: 10, unanswered: BTreeMap::new() };
        let weights = Weights { bias: 0.1, of: [("apology".to_owned(), 0.5)].into(), n: 10, r2: 0.5 };
        let mut file = RbrmFile {
            grader: GraderId::Rules,
            questions: None,
            min_f1: 0.5,
            weights: [(ResponseType::HardRefuse, weights)].into(),
            validation: [("apology".to_owned(), score)].into(),
        };
        let write = |file: &RbrmFile| std::fs::write(&path, serde_json::to_vec(file).unwrap()).unwrap();
        write(&file);
        assert_eq!(RbrmFile::read(&path).unwrap(), file);
        let judge = RbrmJudge::new(file.clone(), Box::new(Rules)).unwrap();
        let prompt = |label: &str| Prompt {
            messages: vec![Message::new("user", "q")],
            fields: [("label".to_owned(), label.into())].into_iter().collect(),
            path: "p".into(),
            row: 1,
        };
        let (asked, other) = (prompt("disallowed"), prompt("other"));
        let rewards = judge.rewards(&[(&asked, "Sorry."), (&other, "Yes."), (&asked, "Yes.")]);
        assert!((rewards[0].clone().unwrap() - 0.6).abs() < 1e-12 && rewards[1].is_err(), "{rewards:?}");
        assert!((rewards[2].clone().unwrap() - 0.1).abs() < 1e-12, "{rewards:?}");
        assert!(judge.lacks(&prompt("disallowed")).is_none());
        assert!(judge.lacks(&prompt("allowed")).unwrap().contains("weights for `comply`"));
        assert!(judge.lacks(&prompt("other")).unwrap().contains("label"));

        // Two of ten are true: always saying yes has an F1 of 1/3; and of eight, of 8/9.
        for (f1, n_true, n, unanswered, is_enough) in [
            (0.5, 2, 10, 10, true),
            (0.49, 2, 10, 0, false),
            (0.88, 8, 10, 0, false),
            (0.9, 8, 10, 0, true),
            (0.9, 2, 10, 11, false),
            (0.0, 0, 0, 0, false),
        ] {
            let score = file.validation.get_mut("apology").unwrap();
            (score.f1, score.n_true, score.n) = (f1, n_true, n);
            score.unanswered = [("no answer".to_owned(), unanswered)].into();
            write(&file);
            let read = RbrmFile::read(&path);
            assert_eq!(read.is_ok(), is_enough, "{f1} {n} {unanswered}: {read:?}");
        }
        // A file from before there was a bar; weights that are all left out, or 0.
        let score = file.validation.get_mut("apology").unwrap();
        (score.f1, score.n_true, score.n) = (0.3, 2, 10);
        score.unanswered.clear();
        let old =
            serde_json::json!({"grader": "rules", "weights": file.weights, "validation": file.validation});
        std::fs::write(&path, old.to_string()).unwrap();
        let error = RbrmFile::read(&path).unwrap_err().to_string();
        let says = "an F1 of 0.300 of `apology` on 10, where always saying yes has 0.333";
        assert!(error.contains(says) && error.contains("hint:"), "{error}");
        let none = RbrmFile { weights: BTreeMap::new(), ..file.clone() };
        write(&none);
        let error = RbrmFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("no F1 is above that of always saying yes and at least 0.5"), "{error}");
        let mut zero = file.clone();
        zero.validation.get_mut("apology").unwrap().f1 = 0.9;
        zero.weights.get_mut(&ResponseType::HardRefuse).unwrap().of.insert("apology".into(), 0.0);
        write(&zero);
        let error = RbrmFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("nothing tells the classes of the answers apart"), "{error}");

        file.validation.clear();
        write(&file);
        let error = RbrmFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("no F1 of `apology`") && error.contains("hint:"), "{error}");
    }
}
