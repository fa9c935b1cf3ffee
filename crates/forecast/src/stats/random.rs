//! Random numbers by index: draw `i` is the same whichever thread asks for it.

use base::mix;

/// A stream of numbers that is a pure function of its key and a counter (SplitMix64 finaliser over both).
///
/// Mixing constants: <https://doi.org/10.1145/2714064.2660195>.
pub(crate) struct Stream {
    key: u64,
    counter: u64,
}

impl Stream {
    /// The stream of draw `index` under `seed`.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        Self { key: mix(mix(seed ^ 0x6d61_7175_6574_7465).wrapping_add(index)), counter: 0 }
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key.wrapping_add(self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Uniform strictly between 0 and 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller; the second value is thrown away to keep one draw one pair of counters).
    pub(crate) fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Exponential with mean 1: the weight of one cluster in the Bayesian bootstrap.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Chi-squared with `degrees` degrees of freedom, by Marsaglia and Tsang, <https://doi.org/10.1145/358407.358414>.
    pub(crate) fn chi_squared(&mut self, degrees: f64) -> f64 {
        // Shapes below 1 are raised by 1 and scaled back, as in section 6 of the paper.
        let shape = 0.5 * degrees;
        let (shape, scale) =
            if shape < 1.0 { (shape + 1.0, self.uniform().powf(1.0 / shape)) } else { (shape, 1.0) };
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return 2.0 * d * v * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stream;

    const N: usize = 200_000;

    fn moments(mut draw: impl FnMut(&mut Stream) -> f64) -> (f64, f64) {
        let mut stream = Stream::new(7, 0);
        let xs: Vec<f64> = (0..N).map(|_| draw(&mut stream)).collect();
        let mean = xs.iter().sum::<f64>() / N as f64;
        (mean, xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / N as f64)
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        // Six standard errors of the variance of the widest of them.
        let is_near = |(mean, var): (f64, f64), m: f64, v: f64| {
            (mean - m).abs() < 0.03 * v.sqrt() && (var / v - 1.0).abs() < 0.05
        };
        assert!(is_near(moments(Stream::uniform), 0.5, 1.0 / 12.0));
        assert!(is_near(moments(Stream::normal), 0.0, 1.0));
        assert!(is_near(moments(Stream::exponential), 1.0, 1.0));
        assert!(is_near(moments(|s| s.chi_squared(5.0)), 5.0, 10.0));
        assert!(is_near(moments(|s| s.chi_squared(1.2)), 1.2, 2.4));
    }

    #[test]
    fn neighbouring_streams_are_unrelated() {
        let first: Vec<f64> = (0..N as u64).map(|i| Stream::new(1, i).normal()).collect();
        let product: f64 = first.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / N as f64;
        assert!(product.abs() < 6.0 / (N as f64).sqrt(), "correlation {product}");
    }
}
