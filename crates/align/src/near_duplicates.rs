//! Texts that say nearly the same.

use std::collections::BTreeSet;

use base::hash::xxh3_64;

/// Of pairs of neighbouring words, the share that two near-duplicates have in common at least.
const LEAST_SHARED: f64 = 0.4;

/// The number of the group of each text: texts that share many pairs of neighbouring words are in one, and so are those that are
/// joined by others. Numbers are those of the first text of a group. Costs time with the square of the number of texts.
pub fn near_duplicates(texts: &[&str]) -> Vec<usize> {
    let shingles: Vec<BTreeSet<u64>> = texts.iter().map(|text| shingles(text)).collect();
    let mut group: Vec<usize> = (0..texts.len()).collect();
    for i in 0..texts.len() {
        for j in 0..i {
            if is_near(&shingles[i], &shingles[j]) {
                let (a, b) = (root(&group, i), root(&group, j));
                group[a.max(b)] = a.min(b);
            }
        }
    }
    (0..texts.len()).map(|i| root(&group, i)).collect()
}

fn root(group: &[usize], mut i: usize) -> usize {
    while group[i] != i {
        i = group[i];
    }
    i
}

/// Pairs of neighbouring words; a text of one word is that word.
fn shingles(text: &str) -> BTreeSet<u64> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let pairs = words.windows(2.min(words.len().max(1)));
    pairs.map(|pair| xxh3_64(pair.join(" ").as_bytes())).collect()
}

fn is_near(a: &BTreeSet<u64>, b: &BTreeSet<u64>) -> bool {
    let shared = a.intersection(b).count();
    let all = a.len() + b.len() - shared;
    all > 0 && shared as f64 >= LEAST_SHARED * all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_duplicates_are_grouped() {
        let texts = [
            "Write a guide on how to pick a lock at night",
            "Bake bread",
            "Write a guide on how to pick a lock",
            "Write a tutorial on how to pick a lock",
            "bake BREAD!",
            "",
            "Explain the moon",
        ];
        let found = near_duplicates(&texts);
        assert_eq!(found[0], found[2]);
        assert_eq!(found[2], found[3]);
        assert_eq!(found[1], found[4]);
        assert_eq!([found[5], found[6]], [5, 6]);
        assert_ne!(found[0], found[1]);
    }
}
