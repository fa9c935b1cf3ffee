//! What share of a drop in ln L that no run supports a law gets wrong, as far as held-out runs tell.

use crate::{candidate::FittedForm, experience::Belief, law::Features};

/// Points of the grid in each direction.
const N_PLAIN: usize = 41;
const N_PER_PACE: usize = 15;
/// The grid reaches this many standard deviations of a belief to each side.
const GRID_SDS: f64 = 3.5;

/// One held-out run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Miss {
    /// ln L observed less ln L predicted.
    pub(crate) error: f64,
    /// Its variance by the fit and the scatter alone.
    pub(crate) variance: f64,
    /// The drop in ln L between the edge of the fitted runs and this one.
    pub(crate) drop: f64,
    /// |ln κ| of a law of kin, else 0.
    pub(crate) pace_gap: f64,
}

impl Miss {
    /// What `fitted` gets wrong of a run at shifted features `x` with ln L `log_loss`.
    pub(crate) fn new(fitted: &FittedForm, x: &Features, log_loss: f64) -> Self {
        Self {
            error: log_loss - fitted.log_loss(x),
            variance: fitted.log_loss_sd(x).powi(2) + fitted.sigma.powi(2),
            drop: fitted.unsupported_drop(x),
            pace_gap: fitted.pace_gap(),
        }
    }

    /// Standard deviation of the error where `share` goes wrong.
    pub(crate) fn sd(&self, share: Share) -> f64 {
        self.variance.sqrt().hypot(share.of(self.pace_gap) * self.drop)
    }
}

/// What goes wrong of an unsupported drop: the standard deviation of the law's error over the drop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// Of any law.
    pub(crate) plain: f64,
    /// Of a law of kin for each unit of |ln κ|, in quadrature beside it: kin that fall at another pace are another kind of data.
    pub(crate) per_pace: f64,
}

impl Share {
    /// That of a law with this |ln κ|.
    pub(crate) fn of(self, pace_gap: f64) -> f64 {
        self.plain.hypot(self.per_pace * pace_gap)
    }
}

/// Shares that may be true, and how probable each is.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    /// With ln of the probabilities, which sum to 1.
    grid: Vec<(Share, f64)>,
}

impl Shares {
    /// As they are believed to be before a run is held out; `per_pace` for laws of kin.
    pub(crate) fn new(plain: Belief, per_pace: Option<Belief>) -> Self {
        let of_pace = per_pace.map_or(vec![(0.0, 0.0)], |belief| nodes(belief, N_PER_PACE));
        let with = |(plain, log_plain): (f64, f64)| {
            of_pace
                .iter()
                .map(move |(per_pace, log_pace)| (Share { plain, per_pace: *per_pace }, log_plain + log_pace))
        };
        let mut shares = Self { grid: nodes(plain, N_PLAIN).into_iter().flat_map(with).collect() };
        shares.normalise();
        shares
    }

    /// Takes in held-out runs, each cut with `weight` observations, and returns ln of how probable they were.
    pub(crate) fn learn(&mut self, cuts: &[Vec<Miss>], weight: f64) -> f64 {
        for (share, log_probability) in &mut self.grid {
            *log_probability += weight * cuts.iter().map(|cut| log_likelihood(cut, *share)).sum::<f64>();
        }
        self.normalise()
    }

    /// One share for a uniform `u`: over all of them each comes as often as it is probable.
    pub(crate) fn at(&self, u: f64) -> Share {
        let mut below = 0.0;
        let holds = |(_, log_probability): &&(Share, f64)| {
            below += log_probability.exp();
            u < below
        };
        let found = self.grid.iter().find(holds).or(self.grid.last());
        found.map_or(Share { plain: 0.0, per_pace: 0.0 }, |(share, _)| *share)
    }

    /// The median of the share of a law with this |ln κ|.
    pub(crate) fn median(&self, pace_gap: f64) -> f64 {
        let mut shares: Vec<(f64, f64)> =
            self.grid.iter().map(|(share, l)| (share.of(pace_gap), l.exp())).collect();
        shares.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut below = 0.0;
        let holds = |(_, probability): &&(f64, f64)| {
            below += probability;
            below > 0.5
        };
        shares.iter().find(holds).map_or(0.0, |(share, _)| *share)
    }

    /// Makes the probabilities sum to 1, and returns ln of what they summed to.
    fn normalise(&mut self) -> f64 {
        let largest = self.grid.iter().map(|(_, l)| *l).fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest + self.grid.iter().map(|(_, l)| (l - largest).exp()).sum::<f64>().ln();
        self.grid.iter_mut().for_each(|(_, l)| *l -= log_sum);
        log_sum
    }
}

/// Points under a belief and ln of their density, up to a constant.
fn nodes(belief: Belief, n: usize) -> Vec<(f64, f64)> {
    let node = |k: usize| {
        let z = GRID_SDS * (2.0 * k as f64 / (n - 1) as f64 - 1.0);
        ((belief.mean + belief.sd * z).exp(), -0.5 * z * z)
    };
    (0..n).map(node).collect()
}

/// Mean log density of a cut's runs: runs of one cut share one fit, so that together they count as one observation.
fn log_likelihood(cut: &[Miss], share: Share) -> f64 {
    let density = |miss: &Miss| {
        let sd = miss.sd(share);
        -0.5 * (miss.error / sd).powi(2) - sd.ln()
    };
    cut.iter().map(density).sum::<f64>() / cut.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Experience;

    const OF_LADDER: f64 = 1e-3;

    fn shares() -> Shares {
        let experience = Experience::default();
        Shares::new(experience.kin_share, Some(experience.kin_pace_share))
    }

    /// A cut of one run, `error` off after a drop of 0.3.
    fn cut(error: f64, pace_gap: f64) -> Vec<Miss> {
        vec![Miss { error, variance: OF_LADDER * OF_LADDER, drop: 0.3, pace_gap }]
    }

    fn mean(shares: &Shares, pace_gap: f64) -> f64 {
        shares.grid.iter().map(|(share, l)| share.of(pace_gap) * l.exp()).sum()
    }

    #[test]
    fn what_is_learned_in_turn_is_what_is_learned_at_once() {
        let cuts = [cut(0.01, 0.0), cut(0.02, 0.1), cut(-0.005, 0.2)];
        let (mut at_once, mut in_turn) = (shares(), shares());
        let evidence = at_once.learn(&cuts, 0.6);
        let of_each: f64 = cuts.iter().map(|cut| in_turn.learn(std::slice::from_ref(cut), 0.6)).sum();
        assert!((evidence - of_each).abs() < 1e-9);
        assert!((mean(&at_once, 0.1) - mean(&in_turn, 0.1)).abs() < 1e-12);
        assert!(shares().learn(&[], 0.6).abs() < 1e-12);
    }

    #[test]
    fn kin_of_one_pace_say_little_of_a_table_of_another() {
        let mut alike = shares();
        alike.learn(&vec![cut(0.0, 0.0); 6], 0.5);
        assert!(mean(&alike, 0.0) < 0.6 * mean(&shares(), 0.0));
        assert!(mean(&alike, 0.2) > 0.85 * mean(&shares(), 0.2));
        let mut apart = shares();
        apart.learn(&vec![cut(0.0, 0.2); 6], 0.5);
        assert!(mean(&apart, 0.2) < 0.7 * mean(&shares(), 0.2));
    }

    #[test]
    fn each_share_is_drawn_as_often_as_it_is_probable() {
        let mut shares = shares();
        shares.learn(&[cut(0.02, 0.15), cut(0.001, 0.0)], 0.6);
        const N: usize = 20_000;
        let drawn = |pace_gap| {
            let of = |k| shares.at((k as f64 + 0.5) / N as f64).of(pace_gap);
            (0..N).map(of).sum::<f64>() / N as f64
        };
        for pace_gap in [0.0, 0.2] {
            assert!((drawn(pace_gap) / mean(&shares, pace_gap) - 1.0).abs() < 1e-3, "{pace_gap}");
        }
        let plain = Shares::new(Belief { mean: -2.0, sd: 0.5 }, None);
        assert_eq!(plain.at(0.5), Share { plain: plain.median(0.3), per_pace: 0.0 });
        assert!((plain.median(0.0) - (-2f64).exp()).abs() < 1e-12);
        assert!(shares.median(0.2) > shares.median(0.0) && plain.at(1.0).plain > plain.at(0.99).plain);
    }
}
