//! What teachers do in an environment.

use base::Rng;
use data::Message;
use serde_json::{Value, json};

use super::{Environment, EnvironmentError, Side};

/// Turns after which no demonstration goes on.
const MAX_TURNS: usize = 32;

/// A conversation about the n-th problem to learn from, of a teacher who knows how with probability `right`, and otherwise knows the
/// form of an answer alone; nothing where the environment shows neither.
///
/// # Errors
/// If the environment cannot go on.
pub fn demonstration(
    environment: &dyn Environment,
    n: u64,
    seed: u64,
    right: f64,
) -> Result<Option<Value>, EnvironmentError> {
    let mut rng = Rng::named(seed, &format!("demonstration {n}"));
    let knows_how = rng.uniform() < right;
    let mut dialogue = environment.begin(Side::Training, n)?;
    let mut messages = dialogue.messages();
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

    /// One who knows how gets the highest reward, one who does not seldom gets any.
    #[test]
    fn teachers_are_rewarded_for_what_they_know() {
        let all: [(&dyn Environment, f64, f64); 3] =
            [(&Reverse, 1.0, 0.1), (&Calculator, 1.0, 0.1), (&Grid, 0.9, 0.6)];
        for (environment, least, most) in all {
            let mean = |right: f64| {
                let reward = |n: u64| {
                    let row = demonstration(environment, n, 1, right).unwrap().unwrap();
                    let mut dialogue = environment.begin(Side::Training, n).unwrap();
                    let said = row["messages"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter(|message| message["role"] == "assistant");
                    said.map(|message| {
                        dialogue.answer(message["content"].as_str().unwrap(), true).unwrap().reward
                    })
                    .sum::<f64>()
                };
                (0..300).map(reward).sum::<f64>() / 300.0
            };
            let (knowing, guessing) = (mean(1.0), mean(0.0));
            assert!(knowing >= least && guessing <= most, "{}: {knowing} and {guessing}", environment.name());
        }
        let rows = (0..500).map(|n| demonstration(&Calculator, n, 1, 0.2).unwrap().unwrap().to_string());
        let n_right =
            rows.filter(|row| row.contains("calc ") && row.matches("assistant").count() == 2).count();
        assert!((60..140).contains(&n_right), "{n_right}");
        assert_eq!(demonstration(&Grid, 3, 1, 0.5).unwrap(), demonstration(&Grid, 3, 1, 0.5).unwrap());
    }
}
