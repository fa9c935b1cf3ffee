//! Numbers as Python's `float()` reads them, because scorers in Python decide by it what a number is.

/// The number, or none where `float(text)` raises an error: white space around it and single underscores between digits
/// are allowed, thousands separators are not.
pub(super) fn python_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let mut bare = String::with_capacity(text.len());
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        let is_between =
            || before.is_ascii_digit() && text[i + 1..].starts_with(|c: char| c.is_ascii_digit());
        if c != '_' {
            bare.push(c);
        } else if !is_between() {
            return None;
        }
        before = c;
    }
    bare.parse().ok()
}
