//! Many substrings looked for in one pass over a text.

use std::collections::HashMap;

use base::Rng;

use super::{Contamination, Patterns};

/// Patterns of any number of tasks, ready to be looked for at once.
///
/// A rolling hash runs over the last bytes of what is kept; where it is that of the end of a pattern, the pattern is
/// compared. Paper: <https://doi.org/10.1145/256168.256172> (cyclic polynomials).
#[derive(Clone, Debug)]
pub struct Index<'a> {
    patterns: &'a [Patterns],
    /// Bytes that are hashed: those at the end of every pattern.
    window: usize,
    /// Patterns by the hash of their end: number of the task, and in the task.
    by_hash: HashMap<u64, Vec<(usize, usize)>, rustc_hash::FxBuildHasher>,
    /// One bit for each value of the first bits of a hash, set where a pattern has it: the table is asked only then.
    filter: Vec<u64>,
    /// By how much a hash is moved to leave those bits.
    shift: u32,
    /// What a byte brings into a hash.
    entering: [u64; 256],
    /// What it takes with it when it leaves the window.
    leaving: [u64; 256],
}

/// Fewest bits of a hash that the filter knows: 32 KiB.
const FILTER_BITS: u32 = 18;
/// Bits of the filter for each pattern, so that few texts are compared in vain.
const BITS_PER_PATTERN: usize = 16;

impl<'a> Index<'a> {
    /// An index of the patterns of some tasks.
    pub fn new(patterns: &'a [Patterns]) -> Self {
        let texts = || patterns.iter().flat_map(|task| &task.substrings);
        let window = texts().map(|(_, text)| text.len()).min().unwrap_or(0);
        let mut rng = Rng::named(0, "contamination hash");
        let entering: [u64; 256] = std::array::from_fn(|_| rng.next_u64());
        let n_bits = (texts().count() * BITS_PER_PATTERN).next_power_of_two().ilog2().max(FILTER_BITS);
        let mut index = Self {
            patterns,
            window,
            by_hash: HashMap::default(),
            filter: vec![0; 1 << (n_bits - 6)],
            shift: u64::BITS - n_bits,
            entering,
            leaving: entering.map(|bits| bits.rotate_left((window % 64) as u32)),
        };
        for (task, of_task) in patterns.iter().enumerate() {
            for (i, (_, text)) in of_task.substrings.iter().enumerate() {
                let hash = index.hash(&text.as_bytes()[text.len() - window..]);
                index.by_hash.entry(hash).or_default().push((task, i));
                let bit = hash >> index.shift;
                index.filter[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
        index
    }

    /// The hash of a whole window.
    fn hash(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0u64, |hash, byte| hash.rotate_left(1) ^ self.entering[usize::from(*byte)])
    }
}

/// Documents of a text, one after another, searched for all patterns at once. Memory does not grow with the text.
///
/// ```
/// use eval::contamination::{Index, Patterns, Scan};
/// let question = "Which of these planets is the largest of the whole solar system, by its mass?";
/// let patterns = [Patterns::new([question], 0)];
/// let index = Index::new(&patterns);
/// let mut scan = Scan::new(&index);
/// scan.document("A quiz. WHICH of these? Which of these planets is the largest of the whole solar-system, by its mass? Earth?");
/// assert_eq!(scan.finish()[0].found, [0]);
/// ```
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    index: &'a Index<'a>,
    is_found: Vec<Vec<bool>>,
    /// Letters and digits of a document.
    kept: Vec<u8>,
    n_bytes: u64,
}

impl<'a> Scan<'a> {
    /// Nothing read yet.
    pub fn new(index: &'a Index<'a>) -> Self {
        let is_found = index.patterns.iter().map(|task| vec![false; task.substrings.len()]).collect();
        Self { index, is_found, kept: Vec::new(), n_bytes: 0 }
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
        let index = self.index;
        let Index { window, shift, entering, leaving, filter, .. } = index;
        if *window == 0 || kept.len() < *window {
            return;
        }
        let mut hash = index.hash(&kept[..*window]);
        self.check(hash, &kept[..*window]);
        for (i, (left, new)) in kept.iter().zip(&kept[*window..]).enumerate() {
            hash = hash.rotate_left(1) ^ entering[usize::from(*new)] ^ leaving[usize::from(*left)];
            let bit = hash >> shift;
            if filter[(bit / 64) as usize] >> (bit % 64) & 1 == 1 {
                self.check(hash, &kept[..=i + window]);
            }
        }
    }

    /// Compares the patterns whose end has this hash with the end of what was kept.
    #[cold]
    fn check(&mut self, hash: u64, kept: &[u8]) {
        let index = self.index;
        for &(task, i) in index.by_hash.get(&hash).into_iter().flatten() {
            self.is_found[task][i] |= kept.ends_with(index.patterns[task].substrings[i].1.as_bytes());
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
        assert!(std::ptr::eq(self.index, other.index), "scans for other patterns");
        self.n_bytes += other.n_bytes;
        let others = other.is_found.iter().flatten();
        for (is_found, other) in self.is_found.iter_mut().flatten().zip(others) {
            *is_found |= other;
        }
    }

    /// Which items of each task were found.
    pub fn finish(&self) -> Vec<Contamination> {
        let tasks = self.index.patterns.iter().zip(&self.is_found);
        tasks.map(|(patterns, is_found)| patterns.contamination(is_found)).collect()
    }
}

/// The letters and digits of a text, in UTF-8.
fn keep_letters(text: &str, kept: &mut Vec<u8>) {
    // Longer than anything that is kept, so that a byte can be written before it is known whether it stays.
    kept.resize(text.len(), 0);
    let bytes = text.as_bytes();
    let (mut at, mut n) = (0, 0);
    while at < bytes.len() {
        let end = at + n_ascii(&bytes[at..]);
        for &byte in &bytes[at..end] {
            kept[n] = byte;
            n += usize::from(byte.is_ascii_alphanumeric());
        }
        at = end;
        for c in text[at..].chars().take_while(|c| !c.is_ascii()) {
            if c.is_alphanumeric() {
                n += c.encode_utf8(&mut kept[n..]).len();
            }
            at += c.len_utf8();
        }
    }
    kept.truncate(n);
}

/// How many ASCII bytes stand in front.
fn n_ascii(bytes: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let n_blocks = bytes.chunks_exact(BLOCK).take_while(|block| block.is_ascii()).count();
    let rest = &bytes[n_blocks * BLOCK..];
    n_blocks * BLOCK + rest.iter().take_while(|byte| byte.is_ascii()).count()
}
