//! How much better an action was than expected.

/// Generalised advantage estimation (Schulman et al. 2015, <https://arxiv.org/abs/1506.02438>) over the actions of one trajectory:
/// `δ_t = r_t + γ·V_{t+1} − V_t`, `A_t = δ_t + γλ·A_{t+1}`, with V 0 behind the last.
///
/// # Panics
/// If there are not as many values as rewards.
#[track_caller]
pub fn gae(rewards: &[f64], values: &[f64], gamma: f64, lambda: f64) -> Vec<f64> {
    assert!(rewards.len() == values.len(), "{} rewards, {} values", rewards.len(), values.len());
    let mut advantages = vec![0.0; rewards.len()];
    let (mut next_value, mut next) = (0.0, 0.0);
    for t in (0..rewards.len()).rev() {
        let delta = rewards[t] + gamma * next_value - values[t];
        next = delta + gamma * lambda * next;
        next_value = values[t];
        advantages[t] = next;
    }
    advantages
}

/// Shifts and scales values to mean 0 and standard deviation 1 (of the sample, `n − 1`); those that do not differ become 0.
pub fn whiten(values: &mut [f64]) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let scale = 1.0 / (variance.sqrt() + 1e-8);
    values.iter_mut().for_each(|value| *value = (*value - mean) * scale);
}

/// How much better each of a group of answers to one prompt is than their mean; in standard deviations of the group where
/// `is_normalised` (Shao et al. 2024, <https://arxiv.org/abs/2402.03300>), which moves the optimum.
pub fn group_advantages(returns: &[f64], is_normalised: bool) -> Vec<f64> {
    let n = returns.len() as f64;
    let mean = returns.iter().sum::<f64>() / n.max(1.0);
    let variance = returns.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let scale = if is_normalised { 1.0 / (variance.sqrt() + 1e-4) } else { 1.0 };
    returns.iter().map(|value| (value - mean) * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: &[f64], expected: &[f64]) {
        let is_near =
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7);
        assert!(is_near, "{found:?}, want {expected:?}");
    }

    /// By hand, γ = 0.9, λ = 0.5: δ = (0 + 0.9·1 − 0.5, 1 + 0.9·2 − 1, 3 − 2) = (0.4, 1.8, 1),
    /// A = (0.4 + 0.45·2.25, 1.8 + 0.45·1, 1).
    #[test]
    fn advantages_by_hand() {
        near(&gae(&[0.0, 1.0, 3.0], &[0.5, 1.0, 2.0], 0.9, 0.5), &[1.4125, 2.25, 1.0]);
        // λ = 1: what came after, less what was expected.
        near(&gae(&[1.0, 2.0, 3.0], &[0.5, 1.0, 2.0], 1.0, 1.0), &[5.5, 4.0, 1.0]);
        // λ = 0: one step ahead.
        near(&gae(&[1.0, 2.0], &[0.5, 1.0], 1.0, 0.0), &[1.5, 1.0]);
        near(&gae(&[], &[], 1.0, 1.0), &[]);
    }

    /// Mean 2.5, variance 5/3.
    #[test]
    fn whitening_by_hand() {
        let mut values = [1.0, 2.0, 3.0, 4.0];
        whiten(&mut values);
        let std = (5.0f64 / 3.0).sqrt();
        near(&values, &[-1.5 / std, -0.5 / std, 0.5 / std, 1.5 / std]);
        let mut equal = [3.0; 5];
        whiten(&mut equal);
        near(&equal, &[0.0; 5]);
        whiten(&mut []);
    }

    #[test]
    fn group_advantages_by_hand() {
        near(&group_advantages(&[1.0, 0.0, 0.0, 1.0], false), &[0.5, -0.5, -0.5, 0.5]);
        let std = (1.0f64 / 3.0).sqrt() + 1e-4;
        near(&group_advantages(&[1.0, 0.0, 0.0, 1.0], true), &[0.5 / std, -0.5 / std, -0.5 / std, 0.5 / std]);
        near(&group_advantages(&[1.0, 1.0], true), &[0.0, 0.0]);
    }

    /// A constant added to all rewards of the last actions changes no whitened advantage where values follow it.
    #[test]
    fn whitened_advantages_do_not_see_a_shift() {
        let advantages = |shift: f64| {
            let mut all: Vec<f64> = [[1.0 + shift, 0.2 + shift], [0.0 + shift, 0.1 + shift]]
                .iter()
                .flat_map(|[reward, value]| gae(&[*reward], &[*value], 1.0, 0.95))
                .collect();
            whiten(&mut all);
            all
        };
        near(&advantages(0.0), &advantages(100.0));
    }
}
