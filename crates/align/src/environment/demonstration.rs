//! What teachers do in an environment.

use base::Rng;
use data::Message;
use serde_json::{Value, json};

use super::{Environment, EnvironmentError, Side};

/// Turns after which no demonstration goes on.
const MAX_TURNS: usize = 32;

/// What an expert's conversations begin with.
const EXPERT: &str = "You are an expert.";

/// Who teaches, by parts of the conversations.
///
/// A model that learns from an expert whose conversations say so knows how, and mostly does not do it where nothing says so. Rewards
/// can bring out what a model knows; they cannot teach what it never does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Teachers {
    /// Part of the careless teacher's in which it knows how; in the others, the form of an answer alone.
    pub right: f64,
    /// Part that is an expert's, who always knows how; a system message says whose they are.
    pub expert: f64,
}

/// A conversation about the n-th problem to learn from; nothing where the environment shows neither how it is done nor the form of an
/// answer.
///
/// # Errors
/// If the environment cannot go on.
pub fn demonstration(
    environment: &dyn Environment,
    n: u64,
    seed: u64,
    teachers: Teachers,
) -> Result<Option<Value>, EnvironmentError> {
    // Drawn apart, so that the other conversations are the same with any part of an expert's.
    let is_expert = Rng::named(seed, &format!("expert {n}")).uniform() < teachers.expert;
    let mut rng = Rng::named(seed, &format!("demonstration {n}"));
    let knows_how = rng.uniform() < teachers.right || is_expert;
    let mut dialogue = environment.begin(Side::Training, n)?;
    let system = is_expert.then(|| Message::new("system", EXPERT));
    let mut messages: Vec<Message> = system.into_iter().chain(dialogue.messages()).collect();
    for _ in 0..MAX_TURNS {
        let Some(said) = dialogue.shown(&mut rng, knows_how) else { return Ok(None) };
        messages.push(Message::new("assistant", said.clone()));
        match dialogue.answer(&said, true)?.observation {
            Some(observation) => messages.push(observation),
            None => break,
        }
    }
    Ok(Some(json!({ "messages": messages, "synthetic": true })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Calculator, Grid, Reverse};

    fn row(environment: &dyn Environment, n: u64, right: f64, expert: f64) -> Value {
        demonstration(environment, n, 1, Teachers { right, expert }).unwrap().unwrap()
    }

    /// What the answers of a row earn.
    fn reward(environment: &dyn Environment, n: u64, row: &Value) -> f64 {
        let mut dialogue = environment.begin(Side::Training, n).unwrap();
        let said =
            row["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "assistant");
        said.map(|message| dialogue.answer(message["content"].as_str().unwrap(), true).unwrap().reward).sum()
    }

    fn is_marked(row: &Value) -> bool {
        row["messages"][0]["role"] == "system" && row["messages"][0]["content"] == EXPERT
    }

    /// One who knows how gets the highest reward, one who does not seldom gets any.
    #[test]
    fn teachers_are_rewarded_for_what_they_know() {
        let all: [(&dyn Environment, f64, f64); 3] =
            [(&Reverse, 1.0, 0.1), (&Calculator, 1.0, 0.1), (&Grid, 0.9, 0.6)];
        for (environment, least, most) in all {
            let mean = |right: f64| {
                let reward = |n: u64| reward(environment, n, &row(environment, n, right, 0.0));
                (0..300).map(reward).sum::<f64>() / 300.0
            };
            let (knowing, guessing) = (mean(1.0), mean(0.0));
            assert!(knowing >= least && guessing <= most, "{}: {knowing} and {guessing}", environment.name());
        }
        let rows = (0..500).map(|n| row(&Calculator, n, 0.2, 0.0).to_string());
        let n_right =
            rows.filter(|row| row.contains("calc ") && row.matches("assistant").count() == 2).count();
        assert!((60..140).contains(&n_right), "{n_right}");
        assert_eq!(row(&Grid, 3, 0.5, 0.5), row(&Grid, 3, 0.5, 0.5));
    }

    /// An expert is always right and says who it is; the careless teacher says nothing of the sort, is right as often as before, and
    /// says the same whatever the expert's part is.
    #[test]
    fn an_expert_is_marked_and_always_right() {
        for environment in [&Reverse as &dyn Environment, &Calculator] {
            let (mut n_expert, mut n_careless, mut n_right) = (0, 0, 0);
            for n in 0..1000 {
                let row_n = row(environment, n, 0.1, 0.4);
                let reward = reward(environment, n, &row_n);
                if is_marked(&row_n) {
                    n_expert += 1;
                    assert_eq!(reward, 1.0, "{row_n}");
                } else {
                    n_careless += 1;
                    n_right += usize::from(reward == 1.0);
                    assert_eq!(row_n, row(environment, n, 0.1, 0.0));
                    assert!(!row_n.to_string().contains("system"), "{row_n}");
                }
            }
            assert!((340..460).contains(&n_expert), "{n_expert} of 1000");
            let right = n_right as f64 / n_careless as f64;
            assert!((0.06..0.14).contains(&right), "{right}");
            assert!((0..50).all(|n| is_marked(&row(environment, n, 0.0, 1.0))));
            assert!((0..50).all(|n| !is_marked(&row(environment, n, 1.0, 0.0))));
        }
    }
}
