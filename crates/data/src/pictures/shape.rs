//! Shapes that nobody takes for one another.

use super::path::{Path, Point};

/// Their names.
pub(super) const SHAPES: [&str; 5] = ["circle", "square", "triangle", "star", "hexagon"];

/// The outline of a shape by its number; all look about as large.
pub(super) fn outline(shape: usize, center: Point, radius: f64) -> Path {
    match shape {
        0 => Path::circle(center, radius),
        1 => Path::regular(center, 1.1 * radius, 4, 0.125),
        2 => Path::regular(center, 1.1 * radius, 3, 0.0),
        3 => Path::star(center, 1.15 * radius),
        _ => Path::regular(center, 1.05 * radius, 6, 0.0),
    }
}
