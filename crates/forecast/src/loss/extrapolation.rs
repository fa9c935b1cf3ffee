//! How much of a forecast lies beyond the runs: the decrease of ln L that no run supports.

use super::{fitted_law::FittedLaw, law::Features};

/// Least span of compute, as a logarithm, that distances are measured in.
const LEAST_LOG_SPAN: f64 = 0.7;

impl FittedLaw {
    /// How much ln L falls, by the law, between the edge of the runs and `x`: the part of a forecast that no run
    /// supports. The edge is reached by going back along N and D in equal shares to the largest compute fitted, or to
    /// the largest N and D fitted, whichever is further. Beyond one span of the runs it counts times the distance in
    /// spans, unless reference runs show the bend; and at least what losses fall over that distance in other tables.
    pub(crate) fn extrapolated_decrease(&self, x: &Features) -> f64 {
        let at = self.log_loss(x);
        let back = (x[0] - self.largest[0]).max(0.0);
        let raw = self.frame.raw(x);
        let edge = self.frame.raw(&self.largest);
        let rise = |raw: [f64; 3]| self.log_loss(&self.frame.shifted(&raw)) - at;
        let by_compute = rise([raw[0] - back, raw[1] - 0.5 * back, raw[2] - 0.5 * back]);
        let by_shape = rise([0, 1, 2].map(|k| raw[k].min(edge[k])));
        // A bend that runs over a short range cannot show grows with the distance in units of that range.
        let beyond_shown = self.shown_to.map(|edge| (raw[0] - edge).max(0.0));
        let unseen = self.frame.beyond_reference(x).or(beyond_shown).unwrap_or(back);
        let reach = (unseen / self.span.max(LEAST_LOG_SPAN)).max(1.0);
        let by_law = reach * by_compute.max(by_shape).max(0.0);
        // A floor that is fitted too high makes the law flat beyond the runs, and hides what it may get wrong there.
        let is_floor_known = self.form.floor().is_some_and(|floor| self.prior.is_known()[floor]);
        let is_own_law = self.frame.reference.is_none() && self.shown_to.is_none() && !is_floor_known;
        if is_own_law { by_law.max(self.typical_decrease.over(back)) } else { by_law }
    }

    /// How much ln L differs, by the law, between `x` and the run of its compute with as many tokens per parameter as the runs
    /// fitted had at most or at least; 0 between these, and for laws that read compute alone or are transferred.
    pub(crate) fn beyond_shapes(&self, x: &Features) -> f64 {
        if !self.form.needs_shape() || self.frame.reference.is_some() {
            return 0.0;
        }
        let raw = self.frame.raw(x);
        let ratio = raw[2] - raw[1];
        let half = 0.5 * (ratio - ratio.clamp(self.ratios[0], self.ratios[1]));
        let edge = self.frame.shifted(&[raw[0], raw[1] + half, raw[2] - half]);
        (self.log_loss(x) - self.log_loss(&edge)).abs()
    }
}
