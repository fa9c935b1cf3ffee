//! `copy: k7qd => k7qd`

use base::Rng;

/// `n` letters and digits, and the same again.
pub(super) fn draw(n: usize, rng: &mut Rng) -> (String, String) {
    let text = super::characters(n, b"abcdefghijklmnopqrstuvwxyz0123456789", rng);
    (text.clone(), text)
}
