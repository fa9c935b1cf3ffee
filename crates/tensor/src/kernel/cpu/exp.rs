//! The exponential that kernels use: the same bits on every machine, and plain enough to be vectorised.

/// `eˣ`, within 8e-8 relative of the true value for |x| ≤ 87; 0 below −87.3, infinite from about 89 on, NaN of NaN.
///
/// `x = n·ln 2 + r` with |r| ≤ ln 2 / 2, then a polynomial of degree 6 in r, times 2ⁿ by its bits. The polynomial is
/// `1 + r + …` with the other coefficients from Remez' algorithm: its relative error is at most 3.1e-9.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    /// Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.clamp(-87.3, 88.0).mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // From the unclamped x, so that NaN and infinity pass through.
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut y = 1.381_454e-3f32;
    y = y.mul_add(r, 8.368_745e-3);
    y = y.mul_add(r, 4.166_839e-2);
    y = y.mul_add(r, 1.666_652_1e-1);
    y = y.mul_add(r, 4.999_999_4e-1);
    y = y.mul_add(r, 1.0);
    y = y.mul_add(r, 1.0);
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x < -87.3 { 0.0 } else { y * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_true_value() {
        let mut worst = 0.0f64;
        for i in -87_000..=87_000 {
            let x = i as f32 * 1e-3;
            let want = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / want - 1.0).abs());
        }
        assert!(worst < 8e-8, "worst {worst:e}"); // seen: 7.3e-8; a wrong digit of a coefficient errs by 1e-6
    }

    #[test]
    fn exp_keeps_what_is_not_finite() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }
}
