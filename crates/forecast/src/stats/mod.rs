//! Quantiles, intervals and random numbers.

pub(crate) mod interval;
pub(crate) mod quantile;
pub(crate) mod random;
