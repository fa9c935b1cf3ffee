//! What other tables taught: beliefs that a small table cannot replace and a large one overrules.

use crate::Kin;

/// A normal belief about a logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Mean of the logarithm.
    pub mean: f64,
    /// Standard deviation of the logarithm.
    pub sd: f64,
}

/// Beliefs held before a table is seen.
///
/// The defaults are rounded from the public tables of `docs/forecast.md`, which also shows what becomes of the
/// coverage of each table when they are learned from the others alone.
#[derive(Clone, Debug)]
pub struct Experience {
    /// ln of an exponent of N or D.
    pub shape_exponent: Belief,
    /// ln of an exponent of N or D in a coupled law.
    pub coupled_exponent: Belief,
    /// ln of the γ that couples N and D.
    pub coupling: Belief,
    /// ln of the exponent of C in a law with a floor; along the optimal shapes it is αβ/(α+β), half of the former.
    pub compute_exponent: Belief,
    /// ln of the exponent of C in a law without a floor.
    pub no_floor_exponent: Belief,
    /// ln of the exponent κ with which the losses of kin carry over.
    pub kin_exponent: Belief,
    /// ln of the share of an unsupported drop that goes wrong for each unit of |ln κ|: kin whose losses fall at another pace are of
    /// another kind of data, and the pace need not stay.
    pub kin_pace_share: Belief,
    /// Standard deviation, over texts of one kind, of ln of the floor's share of the least loss that runs of given compute reach:
    /// with what spread a coupled law takes its floor from kin.
    pub kin_floor_spread: f64,
    /// How many kin that is worth beside what the kin themselves show.
    pub kin_spread_degrees: f64,
    /// Weight of a law without a floor beside one with a floor before the rehearsal: text has entropy.
    pub no_floor_weight: f64,
    /// Weight of a coupled law that has no floor from kin beside an additive one before the rehearsal: it has one coefficient
    /// more.
    pub coupled_weight: f64,
    /// Weight of a law that takes nothing from kin beside kin that reach beyond the table, before the rehearsal and the trial on kin.
    pub lone_weight: f64,
    /// ln of the floor's share of the least loss seen.
    pub floor: Belief,
    /// ln of the law's error as a share of the drop in ln L that no run supports.
    pub share: Belief,
    /// The same for a law of kin.
    pub kin_share: Belief,
    /// The same for a coupled law whose floor comes from kin: what it gets wrong above all is the floor, which has its own spread.
    pub coupled_share: Belief,
    /// Degrees of freedom of Student's t for that error: a large run may break with its ladder altogether.
    pub share_tail: f64,
    /// How many observations one cut of the rehearsal counts for; its cuts share runs.
    pub cut_weight: f64,
    /// γ of the weights `(C/C_max)^γ` with which runs count in the scatter: what happens near the target matters most.
    pub nearness: f64,
    /// Scatter of ln L of one run about the law.
    pub noise: f64,
    /// Degrees of freedom that `noise` is worth.
    pub noise_degrees: f64,
    /// Tables of the same design on other data.
    pub kin: Vec<Kin>,
}

impl Default for Experience {
    fn default() -> Self {
        Self {
            shape_exponent: Belief { mean: -1.0, sd: 0.5 },
            coupled_exponent: Belief { mean: -1.35, sd: 0.25 },
            coupling: Belief { mean: -0.4, sd: 0.5 },
            compute_exponent: Belief { mean: -1.8, sd: 0.4 },
            no_floor_exponent: Belief { mean: -2.8, sd: 0.8 },
            kin_exponent: Belief { mean: 0.0, sd: 0.15 },
            kin_pace_share: Belief { mean: -1.0, sd: 0.6 },
            kin_floor_spread: 0.1,
            kin_spread_degrees: 2.0,
            no_floor_weight: 0.05,
            coupled_weight: 0.3,
            lone_weight: 0.05,
            floor: Belief { mean: -0.6, sd: 0.5 },
            share: Belief { mean: -2.6, sd: 0.9 },
            kin_share: Belief { mean: -3.8, sd: 0.9 },
            coupled_share: Belief { mean: -4.6, sd: 0.7 },
            share_tail: 5.0,
            cut_weight: 0.6,
            nearness: 0.3,
            noise: 0.003,
            noise_degrees: 2.0,
            kin: Vec::new(),
        }
    }
}
