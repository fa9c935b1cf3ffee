//! Arithmetic with a calculator.

use base::Rng;
use data::Message;

use super::{Dialogue, Environment, EnvironmentError, Side, Turn};

/// A sum, difference or product of numbers up to 99; `calc 12*34` asks the calculator, whose result comes as an observation.
/// The reward is 1 where the last number of the last answer is right.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calculator;

/// Most calls before an answer is wanted.
const MAX_CALLS: usize = 3;

impl Environment for Calculator {
    fn name(&self) -> &str {
        "calculator"
    }

    fn begin(&self, side: Side, n: u64) -> Result<Box<dyn Dialogue + '_>, EnvironmentError> {
        let mut rng = Rng::named(n, "sums to compute");
        let mut a = 1 + rng.below(98) as i64;
        let (b, sign) = (1 + rng.below(98) as i64, ['+', '-', '*'][rng.below(3) as usize]);
        // Every tenth pair of numbers is held out.
        while ((a + b) % 10 == 0) != (side == Side::HeldOut) {
            a += 1;
        }
        Ok(Box::new(Sum { a, b, sign, n_calls: 0, result: None }))
    }
}

struct Sum {
    a: i64,
    b: i64,
    sign: char,
    n_calls: usize,
    /// What the calculator said last.
    result: Option<String>,
}

impl Dialogue for Sum {
    fn messages(&self) -> Vec<Message> {
        let Self { a, b, sign, .. } = self;
        vec![Message::new("user", format!("{a}{sign}{b}? You may use: calc"))]
    }

    fn answer(&mut self, text: &str, _: bool) -> Result<Turn, EnvironmentError> {
        if let Some(expression) = text.trim().strip_prefix("calc ")
            && self.n_calls < MAX_CALLS
        {
            self.n_calls += 1;
            let found = compute(expression).map_or_else(|| "error".to_owned(), |value| value.to_string());
            self.result = Some(found.clone());
            return Ok(Turn { reward: 0.0, observation: Some(Message::new("user", found)) });
        }
        let right = binary(self.a, self.sign, self.b);
        Ok(Turn::last(f64::from(u8::from(right.is_some() && last_number(text) == right))))
    }

    /// Asks the calculator and says what it said, or guesses.
    fn shown(&self, rng: &mut Rng, knows_how: bool) -> Option<String> {
        let Self { a, b, sign, .. } = self;
        Some(match &self.result {
            _ if !knows_how => rng.below(1000).to_string(),
            None => format!("calc {a}{sign}{b}"),
            Some(result) => result.clone(),
        })
    }
}

fn binary(a: i64, sign: char, b: i64) -> Option<i64> {
    match sign {
        '+' => a.checked_add(b),
        '-' => a.checked_sub(b),
        '*' => a.checked_mul(b),
        _ => None,
    }
}

/// The value of `A+B`, `A-B` or `A*B`.
fn compute(expression: &str) -> Option<i64> {
    let expression: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
    let at = expression.char_indices().skip(1).find(|(_, c)| "+-*".contains(*c))?;
    let (a, b) = (expression[..at.0].parse().ok()?, expression[at.0 + 1..].parse().ok()?);
    binary(a, at.1, b)
}

/// The last whole number of a text.
pub(crate) fn last_number(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    // Thousands may be set apart by commas.
    let start = bytes[..end].iter().rposition(|b| !(b.is_ascii_digit() || *b == b',')).map_or(0, |at| at + 1);
    let digits = text[start..end].replace(',', "");
    let is_negative = start > 0 && bytes[start - 1] == b'-';
    digits.parse::<i64>().ok().map(|value| if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_computed_or_refused() {
        for (expression, expected) in [
            ("12*34", Some(408)),
            (" 5 - 7", Some(-2)),
            ("-3+4", Some(1)),
            ("1/2", None),
            ("", None),
            ("9999999999999*9999999999999", None),
        ] {
            assert_eq!(compute(expression), expected, "{expression}");
        }
        for (text, expected) in
            [("it is 1,234.", Some(1234)), ("-7", Some(-7)), ("5-3 = 2", Some(2)), ("none", None)]
        {
            assert_eq!(last_number(text), expected, "{text}");
        }
    }

    #[test]
    fn the_calculator_answers_and_the_right_number_is_rewarded() {
        let mut dialogue = Calculator.begin(Side::Training, 5).unwrap();
        let question = dialogue.messages()[0].content.clone();
        let sum = question.split('?').next().unwrap().to_owned();
        let turn = dialogue.answer(&format!("calc {sum}"), true).unwrap();
        let result = turn.observation.unwrap().content;
        assert_eq!(turn.reward, 0.0);
        assert_eq!(dialogue.answer(&format!("The answer is {result}"), true).unwrap(), Turn::last(1.0));
        assert_eq!(dialogue.answer("no idea", true).unwrap(), Turn::last(0.0));
        // It cannot be asked for ever.
        let mut dialogue = Calculator.begin(Side::HeldOut, 5).unwrap();
        let n_turns =
            (0..10).take_while(|_| dialogue.answer("calc 1+1", true).unwrap().observation.is_some()).count();
        assert_eq!(n_turns, MAX_CALLS);
    }
}
