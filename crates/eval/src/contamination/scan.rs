//! Many substrings looked for in one pass over a text.

use std::collections::HashMap;

use super::{Contamination, Patterns};

/// Documents of a text, one after another, searched for all patterns at once. Memory does not grow with the text.
///
/// A rolling hash runs over the last bytes of what is kept; where it is that of the end of a pattern, the pattern is
/// compared. Paper: <https://doi.org/10.1147/rd.312.0249>.
///
/// ```
/// let question = "Which of these planets is the largest of the whole solar system, by its mass?";
/// let patterns = eval::contamination::Patterns::new([question], 0);
/// let mut scan = eval::contamination::Scan::new(&patterns);
/// scan.document("A quiz. WHICH of these? Which of these planets is the largest of the whole solar-system, by its mass? Earth?");
/// assert_eq!(scan.finish().found, [0]);
/// ```
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    patterns: &'a Patterns,
    /// Bytes that are hashed: those at the end of every pattern.
    window: usize,
    /// Patterns by the hash of their end.
    by_hash: HashMap<u64, Vec<usize>, rustc_hash::FxBuildHasher>,
    /// One bit for each value of a few bits of a hash, set where a pattern has it: the table is asked only then.
    filter: Vec<u64>,
    /// `BASE^window`, by which the byte that leaves the window is taken off.
    leaving: u64,
    is_found: Vec<bool>,
    /// Letters and digits of a document.
    kept: Vec<u8>,
    n_bytes: u64,
}

/// Odd, so that no byte's weight vanishes; its bits are those of the golden ratio.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bits of a hash that the filter knows: 32 KiB.
const FILTER_BITS: u32 = 18;

impl<'a> Scan<'a> {
    /// Nothing read yet.
    pub fn new(patterns: &'a Patterns) -> Self {
        let window = patterns.substrings.iter().map(|(_, text)| text.len()).min().unwrap_or(0);
        let leaving = (0..window).fold(1u64, |power, _| power.wrapping_mul(BASE));
        let mut by_hash: HashMap<u64, Vec<usize>, _> = HashMap::default();
        let mut filter = vec![0u64; 1 << (FILTER_BITS - 6)];
        for (i, (_, text)) in patterns.substrings.iter().enumerate() {
            let end = &text.as_bytes()[text.len() - window..];
            let hash = end.iter().fold(0, |hash, byte| entered(hash, *byte));
            by_hash.entry(hash).or_default().push(i);
            let bit = hash >> (64 - FILTER_BITS);
            filter[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        let is_found = vec![false; patterns.substrings.len()];
        Self { patterns, window, by_hash, filter, leaving, is_found, kept: Vec::new(), n_bytes: 0 }
    }

    /// Reads a document. What stands at the end of one and goes on in the next is not found.
    pub fn document(&mut self, text: &str) {
        self.n_bytes += text.len() as u64;
        let mut kept = std::mem::take(&mut self.kept);
        keep_letters(text, &mut kept);
        self.look(&kept);
        self.kept = kept;
    }

    fn look(&mut self, kept: &[u8]) {
        let window = self.window;
        if window == 0 || kept.len() < window {
            return;
        }
        let mut hash = kept[..window].iter().fold(0, |hash, byte| entered(hash, *byte));
        self.check(hash, &kept[..window]);
        for (left, end) in kept.iter().zip(window + 1..=kept.len()) {
            let new = &kept[end - 1];
            hash = entered(hash, *new).wrapping_sub(weight(*left).wrapping_mul(self.leaving));
            let bit = hash >> (64 - FILTER_BITS);
            if self.filter[(bit / 64) as usize] >> (bit % 64) & 1 == 1 {
                self.check(hash, &kept[..end]);
            }
        }
    }

    /// Compares the patterns whose end has this hash with the end of what was kept.
    #[cold]
    fn check(&mut self, hash: u64, kept: &[u8]) {
        for &i in self.by_hash.get(&hash).into_iter().flatten() {
            self.is_found[i] |= kept.ends_with(self.patterns.substrings[i].1.as_bytes());
        }
    }

    /// Bytes of the documents so far.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Takes over what a scan of other documents for the same patterns found.
    ///
    /// # Panics
    /// If the patterns are not the same.
    #[track_caller]
    pub fn merge(&mut self, other: &Scan<'_>) {
        assert!(std::ptr::eq(self.patterns, other.patterns), "scans for other patterns");
        self.n_bytes += other.n_bytes;
        for (is_found, other) in self.is_found.iter_mut().zip(&other.is_found) {
            *is_found |= other;
        }
    }

    /// Which items were found.
    pub fn finish(&self) -> Contamination {
        self.patterns.contamination(&self.is_found)
    }
}

fn entered(hash: u64, byte: u8) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(weight(byte))
}

/// Not the byte itself: a hash's high bits must depend on it at once.
fn weight(byte: u8) -> u64 {
    (u64::from(byte) + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// The letters and digits of a text, in UTF-8.
fn keep_letters(text: &str, kept: &mut Vec<u8>) {
    // Longer than anything that is kept, so that a byte can be written before it is known whether it stays.
    kept.resize(text.len(), 0);
    let bytes = text.as_bytes();
    let (mut at, mut n) = (0, 0);
    while at < bytes.len() {
        let ascii = bytes[at..].iter().position(|byte| !byte.is_ascii()).map_or(bytes.len(), |n| at + n);
        for &byte in &bytes[at..ascii] {
            kept[n] = byte;
            n += usize::from(byte.is_ascii_alphanumeric());
        }
        at = ascii;
        for c in text[at..].chars().take_while(|c| !c.is_ascii()) {
            if c.is_alphanumeric() {
                n += c.encode_utf8(&mut kept[n..]).len();
            }
            at += c.len_utf8();
        }
    }
    kept.truncate(n);
}
