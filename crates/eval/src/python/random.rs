//! Python's `random.Random`: MT19937, seeded by an integer, and what `sample` draws with it.

const N: usize = 624;
const M: usize = 397;

/// `random.Random(seed)` of CPython: the same seed draws the same.
///
/// ```
/// // random.Random(1234).sample(range(100), 5)
/// assert_eq!(eval::python::Random::new(1234).sample(100, 5), Some(vec![99, 56, 14, 0, 11]));
/// ```
#[derive(Clone, Debug)]
pub struct Random {
    state: [u32; N],
    at: usize,
}

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        // `init_by_array` over the seed's 32-bit digits, of which there is at least one.
        let digits = [seed as u32, (seed >> 32) as u32];
        let key = if digits[1] == 0 { &digits[..1] } else { &digits[..] };
        let mut state = Self::seeded(19_650_218);
        let mix = |x: u32| x ^ (x >> 30);
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            let mixed = mix(state[i - 1]).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mixed).wrapping_add(key[j]).wrapping_add(j as u32);
            (i, j) = (i + 1, (j + 1) % key.len());
            if i == N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        for _ in 0..N - 1 {
            let mixed = mix(state[i - 1]).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            i += 1;
            if i == N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self { state, at: N }
    }

    fn seeded(seed: u32) -> [u32; N] {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        state
    }

    fn next_u32(&mut self) -> u32 {
        if self.at == N {
            for i in 0..N {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// `_randbelow`: a number below `n`, by rejection of `getrandbits(n.bit_length())`.
    fn below(&mut self, n: u32) -> u32 {
        let n_bits = u32::BITS - n.leading_zeros();
        loop {
            let drawn = self.next_u32() >> (32 - n_bits);
            if drawn < n {
                return drawn;
            }
        }
    }

    /// `shuffle`.
    ///
    /// ```
    /// // x = list(range(8)); random.Random(1337).shuffle(x)
    /// let mut x: Vec<u32> = (0..8).collect();
    /// eval::python::Random::new(1337).shuffle(&mut x);
    /// assert_eq!(x, [0, 3, 7, 2, 1, 6, 4, 5]);
    /// ```
    ///
    /// # Panics
    /// If there are 2³² elements or more.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            let n = u32::try_from(i + 1).expect("fewer elements than that");
            list.swap(i, self.below(n) as usize);
        }
    }

    /// `sample(range(n), k)`; none where there are fewer than `k`.
    pub fn sample(&mut self, n: usize, k: usize) -> Option<Vec<usize>> {
        let len = u32::try_from(n).ok().filter(|_| k <= n)?;
        // Above this size a set of what was drawn is smaller than a list of everything.
        let mut set_size = 21;
        if k > 5 {
            let mut table = 1;
            while table < 3 * k {
                table *= 4;
            }
            set_size += table;
        }
        let mut drawn = Vec::with_capacity(k);
        if n <= set_size {
            let mut pool: Vec<usize> = (0..n).collect();
            for i in 0..k {
                let last = n - i - 1;
                let j = self.below(len - i as u32) as usize;
                drawn.push(pool[j]);
                pool[j] = pool[last];
            }
        } else {
            let mut seen = std::collections::HashSet::with_capacity(k);
            while drawn.len() < k {
                let j = self.below(len) as usize;
                if seen.insert(j) {
                    drawn.push(j);
                }
            }
        }
        Some(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 pairs of seed and size: several draws from one generator each, hashed, as CPython 3.11 made them.
    #[test]
    fn draws_are_those_of_python() {
        let fixture = include_str!("../../../../fixtures/python_samples.jsonl");
        let mut n_cases = 0;
        for line in fixture.lines().skip(1) {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let number = |name: &str| case[name].as_u64().unwrap();
            let (n, k) = (number("n") as usize, number("k") as usize);
            let mut random = Random::new(number("seed"));
            let mut text = String::new();
            for _ in 0..number("draws") {
                let drawn = random.sample(n, k).unwrap();
                let drawn: Vec<String> = drawn.iter().map(usize::to_string).collect();
                text.push_str(&drawn.join(" "));
                text.push('\n');
            }
            let hash = base::hash::sha256(text.as_bytes());
            assert!(hash.starts_with(case["sha256"].as_str().unwrap()), "{line}: {text}");
            n_cases += 1;
        }
        assert_eq!(n_cases, 1000);
        assert_eq!(Random::new(1).sample(3, 4), None);
    }
}
