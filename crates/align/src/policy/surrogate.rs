//! The clipped losses, and their slopes.

/// `−min(ρ·A, clip(ρ, 1 − ε, 1 + ε)·A)` with `ρ = e^{ln π − ln π_old}`: its value, its slope with respect to `ln π`, and whether the
/// clipped side is the smaller one.
pub(super) fn policy(log_ratio: f64, advantage: f64, clip: f64) -> (f64, f64, bool) {
    let ratio = log_ratio.exp();
    let (free, clipped) = (ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage);
    if clipped < free { (-clipped, 0.0, true) } else { (-free, -free, false) }
}

/// `½·max((V − R)², (clip(V, V_old ± ε) − R)²)`: its value and its slope with respect to V.
pub(super) fn value(value: f64, old: f64, target: f64, clip: f64) -> (f64, f64) {
    let clipped = value.clamp(old - clip, old + clip);
    let (free, bounded) = ((value - target).powi(2), (clipped - target).powi(2));
    if bounded > free {
        // Beyond the bound the loss does not move with the value.
        let slope = if clipped == value { clipped - target } else { 0.0 };
        (0.5 * bounded, slope)
    } else {
        (0.5 * free, value - target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_losses_by_hand() {
        // ρ = 1.5, A = 2, ε = 0.2: min(3, 2.4).
        let (loss, slope, is_clipped) = policy(1.5f64.ln(), 2.0, 0.2);
        assert!((loss + 2.4).abs() < 1e-12 && slope == 0.0 && is_clipped);
        // ρ = 0.5: min(1, 1.6).
        let (loss, slope, is_clipped) = policy(0.5f64.ln(), 2.0, 0.2);
        assert!((loss + 1.0).abs() < 1e-12 && (slope + 1.0).abs() < 1e-12 && !is_clipped);
        // ρ = 1.5, A = −2: min(−3, −2.4): what gets worse is not clipped.
        let (loss, slope, is_clipped) = policy(1.5f64.ln(), -2.0, 0.2);
        assert!((loss - 3.0).abs() < 1e-12 && (slope - 3.0).abs() < 1e-12 && !is_clipped);
        assert_eq!(policy(0.0, 0.7, 0.2), (-0.7, -0.7, false));
    }

    #[test]
    fn value_losses_by_hand() {
        // V = 1.5, old 1, R = 2, ε = 0.2: ½·max(0.25, 0.64).
        assert_eq!(value(1.5, 1.0, 2.0, 0.2), (0.5 * 0.8f64.powi(2), 0.0));
        // V = 0.9: within the bound.
        let (loss, slope) = value(0.9, 1.0, 2.0, 0.2);
        assert!((loss - 0.605).abs() < 1e-12 && (slope + 1.1).abs() < 1e-12);
        // V = 3, R = 1: the free one is larger.
        assert_eq!(value(3.0, 1.0, 1.0, 0.2), (2.0, 2.0));
    }
}
