//! Whether the patches that a map puts first matter more to the model than others.

use base::Rng;
use serde::{Deserialize, Serialize};

use super::AttributionSettings;
use crate::{EvalError, interval};

/// By how much an answer's log-probability falls where each of several sets of patches is hidden.
type Drops<'a> = dyn Fn(&[Vec<usize>]) -> Result<Vec<f64>, EvalError> + 'a;

/// What the log-probability of an answer loses when patches are hidden together: those that a map ranks first, and as many that
/// are drawn at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// How many patches are hidden at a time.
    pub n_hidden: usize,
    /// How many random sets there are.
    pub n_draws: usize,
    /// Mean loss of the random sets, in nats.
    pub random_nats: f64,
    /// Lower end of the 95 % interval of that mean.
    pub random_lo95: f64,
    /// Upper end.
    pub random_hi95: f64,
    /// The first patches by gradient × input.
    pub by_gradient_input: DeletionDrop,
    /// The first patches by occlusion.
    pub by_occlusion: DeletionDrop,
}

/// What hiding the first patches of a map does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletionDrop {
    /// What `ln p` loses, in nats.
    pub nats: f64,
    /// How much more that is than what random patches cost in the mean.
    pub above_random_nats: f64,
    /// Lower end of the 95 % interval of that difference.
    pub lo95: f64,
    /// Upper end.
    pub hi95: f64,
    /// Share of the random sets that cost less.
    pub above_share: f64,
}

impl Deletion {
    /// Of two maps; `drops` says what hiding sets of patches costs.
    pub(super) fn of(
        gradient_input: &[f64],
        occlusion: &[f64],
        n_hidden: usize,
        settings: &AttributionSettings,
        drops: &Drops,
    ) -> Result<Self, EvalError> {
        let n_patches = gradient_input.len();
        let draw = |i: usize| {
            random(&mut Rng::named(settings.seed, &format!("hidden patches {i}")), n_patches, n_hidden)
        };
        let sets: Vec<Vec<usize>> = [first(gradient_input, n_hidden), first(occlusion, n_hidden)]
            .into_iter()
            .chain((0..settings.n_draws).map(draw))
            .collect();
        let drops = drops(&sets)?;
        let (maps, random) = drops.split_at(2);
        let mean = interval::mean(random);
        let (lo95, hi95) = (mean.lo95.unwrap_or(mean.value), mean.hi95.unwrap_or(mean.value));
        let of = |nats: f64| DeletionDrop {
            nats,
            above_random_nats: nats - mean.value,
            lo95: nats - hi95,
            hi95: nats - lo95,
            above_share: random.iter().filter(|drop| **drop < nats).count() as f64 / random.len() as f64,
        };
        Ok(Self {
            n_hidden,
            n_draws: random.len(),
            random_nats: mean.value,
            random_lo95: lo95,
            random_hi95: hi95,
            by_gradient_input: of(maps[0]),
            by_occlusion: of(maps[1]),
        })
    }
}

/// The `n` patches of the largest values, ties by number.
fn first(map: &[f64], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_by(|i, j| map[*j].total_cmp(&map[*i]).then(i.cmp(j)));
    order.truncate(n);
    order
}

/// `n` different patches, each set as likely as any other.
fn random(rng: &mut Rng, n_patches: usize, n: usize) -> Vec<usize> {
    let mut patches: Vec<usize> = (0..n_patches).collect();
    for i in 0..n {
        let other = i + rng.below((n_patches - i) as u64) as usize;
        patches.swap(i, other);
    }
    patches.truncate(n);
    patches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each patch costs what the map says: the first ones cost most.
    #[test]
    fn the_first_patches_of_a_true_map_cost_more_than_random_ones() {
        let cost: Vec<f64> = (0..40).map(|i| f64::from(i % 10)).collect();
        let wrong: Vec<f64> = cost.iter().map(|x| -x).collect();
        let sum =
            |sets: &[Vec<usize>]| Ok(sets.iter().map(|set| set.iter().map(|i| cost[*i]).sum()).collect());
        let settings = AttributionSettings::default();
        let deletion = Deletion::of(&wrong, &cost, 4, &settings, &sum).unwrap();
        assert_eq!((deletion.by_occlusion.nats, deletion.by_gradient_input.nats), (36.0, 0.0));
        assert!(deletion.by_occlusion.lo95 > 10.0 && deletion.by_gradient_input.hi95 < -10.0, "{deletion:?}");
        assert_eq!((deletion.by_occlusion.above_share, deletion.by_gradient_input.above_share), (1.0, 0.0));
        // The mean of a random set is four times 4.5.
        assert!(deletion.random_lo95 < 18.0 && 18.0 < deletion.random_hi95, "{deletion:?}");
        let other = AttributionSettings { seed: 1, ..settings };
        assert_ne!(Deletion::of(&wrong, &cost, 4, &other, &sum).unwrap(), deletion);
    }

    #[test]
    fn random_sets_are_sets_and_reach_every_patch() {
        let mut seen = [0; 6];
        for i in 0..600 {
            let mut set = random(&mut Rng::new(i, 0), 6, 3);
            set.iter().for_each(|patch| seen[*patch] += 1);
            set.sort_unstable();
            set.dedup();
            assert_eq!(set.len(), 3);
        }
        assert!(seen.iter().all(|n| (240..360).contains(n)), "{seen:?}");
        assert_eq!(first(&[1.0, 7.0, 7.0, 2.0], 3), [1, 2, 3]);
    }
}
