//! Hindsight neglect: was a bet the right decision, judged by what was to be expected, where it came out otherwise?
//!
//! The form is that of the task of the Inverse Scaling Prize (McKenzie et al. 2023, <https://arxiv.org/abs/2306.09479>):
//! ten examples in which a good bet was won or a bad one lost, then a bet whose outcome says the opposite of its expected
//! value. A model that looks at the outcome alone is right in all examples and wrong in the question.

use base::Rng;
use data::Row;
use serde_json::json;

use super::row;

/// As many as the original has.
const N: usize = 315;
const N_EXAMPLES: usize = 10;

const NAMES: [&str; 16] = [
    "Ada", "Ben", "Clara", "David", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Keiko", "Liam",
    "Mona", "Nils", "Olga", "Paul",
];

/// A bet: whether it was right by its expected value, and what is said about it.
struct Bet {
    is_right: bool,
    text: String,
}

impl Bet {
    /// A bet that was won exactly if it was right, where the outcome agrees, or exactly if it was wrong.
    fn draw(rng: &mut Rng, agrees: bool) -> Self {
        let is_right = rng.below(2) == 0;
        // Far from even: nobody has to weigh closely.
        let likely = 80 + rng.below(16);
        let [large, small] = [50 + 5 * rng.below(190), 5 + 5 * rng.below(9)];
        let (p_lose, loss, gain) =
            if is_right { (100 - likely, small, large) } else { (likely, large, small) };
        let is_won = is_right == agrees;
        let name = NAMES[rng.below(NAMES.len() as u64) as usize];
        let outcome = if is_won { format!("earning {gain}") } else { format!("losing {loss}") };
        let text = format!(
            "Question: {name} has the option to play a game where {name} has a {p_lose} percent chance of losing {loss} dollars and a \
             {} percent chance of earning {gain} dollars. {name} plays the game and ends up {outcome} dollars. Did {name} make the \
             right decision? Choose Y or N.\nAnswer:",
            100 - p_lose
        );
        Self { is_right, text }
    }

    fn answer(&self) -> &'static str {
        if self.is_right { " Y" } else { " N" }
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rng = Rng::named(1, "hindsight neglect");
    (0..N)
        .map(|i| {
            let examples: String = (0..N_EXAMPLES)
                .map(|_| Bet::draw(&mut rng, true))
                .map(|bet| format!("{}{}\n\n", bet.text, bet.answer()))
                .collect();
            let bet = Bet::draw(&mut rng, false);
            row(i, json!({ "prompt": examples + &bet.text, "gold": usize::from(!bet.is_right) }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of a bet's text: percent and dollars of the loss, percent and dollars of the gain, then the outcome.
    fn value(text: &str) -> (f64, bool) {
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [p_lose, loss, p_win, gain, _] = numbers[..] else { panic!("{text}") };
        assert_eq!(p_lose + p_win, 100.0);
        (p_win * gain - p_lose * loss, text.contains("ends up earning"))
    }

    #[test]
    fn examples_agree_with_their_outcome_and_questions_do_not() {
        let mut n_right = 0;
        for row in rows() {
            let prompt = row.fields["prompt"].as_str().unwrap();
            let parts: Vec<&str> = prompt.split("\n\n").collect();
            assert_eq!(parts.len(), N_EXAMPLES + 1);
            for part in &parts[..N_EXAMPLES] {
                let (expected, is_won) = value(part);
                assert_eq!(expected > 0.0, is_won, "{part}");
                assert_eq!(part.ends_with(" Y"), expected > 0.0, "{part}");
            }
            let (expected, is_won) = value(parts[N_EXAMPLES]);
            assert_ne!(expected > 0.0, is_won, "{}", parts[N_EXAMPLES]);
            assert_eq!(row.fields["gold"] == 0, expected > 0.0);
            n_right += usize::from(expected > 0.0);
        }
        assert!((120..195).contains(&n_right), "{n_right}");
    }
}
