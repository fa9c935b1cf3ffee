//! Which examples are held out.

use base::hash::xxh3_64;

/// Splits examples into those that are trained on and those that are held out, by the hash of `key`: equal examples are on the
/// same side, and more data moves none from one side to the other. At least one is on each side where there are two that
/// differ.
pub(crate) fn split<T>(examples: Vec<T>, fraction: f64, key: impl Fn(&T) -> Vec<u32>) -> (Vec<T>, Vec<T>) {
    let hash =
        |example: &T| xxh3_64(&key(example).iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>());
    let hashes: Vec<u64> = examples.iter().map(hash).collect();
    let (least, most) = (hashes.iter().min().copied(), hashes.iter().max().copied());
    let limit = (fraction * u64::MAX as f64) as u64;
    let is_held_out = |hash: u64| Some(hash) == least || (hash <= limit && Some(hash) != most);
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for (example, hash) in examples.into_iter().zip(hashes) {
        if is_held_out(hash) { held_out.push(example) } else { train.push(example) }
    }
    (train, held_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_examples_are_on_one_side() {
        let examples: Vec<u32> = (0..1000).chain(0..1000).collect();
        let (train, held_out) = split(examples, 0.1, |id| vec![*id]);
        assert_eq!(train.len() + held_out.len(), 2000);
        assert!((120..280).contains(&held_out.len()), "{}", held_out.len());
        assert!(held_out.iter().all(|id| !train.contains(id)));
        let (train, held_out) = split(vec![1, 2], 0.0, |id| vec![*id]);
        assert_eq!((train.len(), held_out.len()), (1, 1));
    }
}
