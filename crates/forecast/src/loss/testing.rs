//! Runs whose law is known.

use crate::{Point, Table, stats::random::Stream};

/// The floor of [`law`].
pub(crate) const FLOOR: f64 = 0.7;

/// A coupled law with this floor.
pub(crate) fn law(n: f64, d: f64) -> f64 {
    let within = (20.0 / n.powf(0.25)).powf(1.0 / 0.6) + (25.0 / d.powf(0.24)).powf(1.0 / 0.6);
    FLOOR + within.powf(0.6)
}

/// Runs of a coupled law with the floor [`FLOOR`] in two dimensions, two seeds each, and one 100 times as large with `excess` in
/// ln L.
pub(crate) fn sweep(noise: f64, excess: f64) -> Table {
    let mut stream = Stream::new(7, 0);
    let mut points = Vec::new();
    let mut push = |n: f64, d: f64, seed: u64, error: f64| {
        points.push(Point {
            run: format!("{n}-{d}-{seed}"),
            n_params: Some(n),
            n_tokens: Some(d),
            flops: 6.0 * n * d,
            loss: law(n, d) * error.exp(),
            seed: Some(seed),
        });
    };
    for step in 0..5 {
        let flops = 3e10 * 2f64.powi(step);
        for n in [1.5e4, 6e4, 1.2e5, 2.4e5] {
            for seed in 0..2 {
                push(n, flops / (6.0 * n), seed, noise * stream.normal());
            }
        }
    }
    push(6e5, 1.4e7, 0, excess);
    Table::new(points).unwrap()
}
