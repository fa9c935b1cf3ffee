//! `python: len("abc")+2 => 5`

use base::Rng;

use super::LETTERS;

/// A larger result, of either sign, is drawn again: long multiplication is not what is asked for.
const MAX_VALUE: i64 = 99;

/// An expression of `n_operations` operations on digits, and its value, as Python prints it.
///
/// Operations are `+`, `-`, `*`, `max`, `min` and `len` of a string of one to four letters; parentheses stand where
/// Python needs them, and around a right operand of the same rank.
pub(super) fn draw(n_operations: usize, rng: &mut Rng) -> (String, String) {
    loop {
        let expression = Expression::draw(n_operations, rng);
        if expression.value.abs() <= MAX_VALUE {
            return (expression.text, expression.value.to_string());
        }
    }
}

struct Expression {
    text: String,
    value: i64,
    rank: Rank,
}

/// How tightly an expression holds together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Sum,
    Product,
    Atom,
}

impl Expression {
    fn draw(n_operations: usize, rng: &mut Rng) -> Self {
        if n_operations == 0 {
            let value = rng.below(10) as i64;
            return Self { text: value.to_string(), value, rank: Rank::Atom };
        }
        // `len` takes no expression, so it may only be the last operation of its branch.
        let n_kinds = if n_operations == 1 { 6 } else { 5 };
        let kind = rng.below(n_kinds);
        if kind == 5 {
            let n = 1 + rng.below(4) as usize;
            let text = format!("len(\"{}\")", super::characters(n, LETTERS, rng));
            return Self { text, value: n as i64, rank: Rank::Atom };
        }
        let n_left = rng.below(n_operations as u64) as usize;
        let left = Self::draw(n_left, rng);
        let right = Self::draw(n_operations - 1 - n_left, rng);
        match kind {
            0 => Self::joined(left, '+', right, Rank::Sum, |a, b| a + b),
            1 => Self::joined(left, '-', right, Rank::Sum, |a, b| a - b),
            2 => Self::joined(left, '*', right, Rank::Product, |a, b| a * b),
            3 => Self::called("max", left, right, Ord::max),
            _ => Self::called("min", left, right, Ord::min),
        }
    }

    fn joined(left: Self, sign: char, right: Self, rank: Rank, apply: fn(i64, i64) -> i64) -> Self {
        let value = apply(left.value, right.value);
        let (left, right) = (left.parenthesised(|own| own < rank), right.parenthesised(|own| own <= rank));
        Self { text: format!("{left}{sign}{right}"), value, rank }
    }

    fn called(name: &str, left: Self, right: Self, apply: fn(i64, i64) -> i64) -> Self {
        let text = format!("{name}({},{})", left.text, right.text);
        Self { text, value: apply(left.value, right.value), rank: Rank::Atom }
    }

    fn parenthesised(self, is_needed: impl Fn(Rank) -> bool) -> String {
        if is_needed(self.rank) { format!("({})", self.text) } else { self.text }
    }
}
