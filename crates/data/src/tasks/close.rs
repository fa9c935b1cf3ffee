//! `close: ([]{ => })`

use base::Rng;

const KINDS: [[char; 2]; 4] = [['(', ')'], ['[', ']'], ['{', '}'], ['<', '>']];

/// `depth` brackets that stay open, around and between which closed pairs may stand, and what closes them.
///
/// Each of the `depth + 1` gaps is empty or holds a pair of one of the four kinds, all five with the same chance:
/// `4^depth·5^(depth+1)` questions.
pub(super) fn draw(depth: usize, rng: &mut Rng) -> (String, String) {
    let mut question = String::new();
    let mut open = Vec::new();
    loop {
        if let Some(pair) = KINDS.get(rng.below(KINDS.len() as u64 + 1) as usize) {
            question.extend(pair);
        }
        if open.len() == depth {
            return (question, open.into_iter().rev().collect());
        }
        let [left, right] = KINDS[rng.below(KINDS.len() as u64) as usize];
        question.push(left);
        open.push(right);
    }
}
