//! Outlines: closed contours of straight pieces.
//!
//! Coordinates are f64 and only added, multiplied, divided and rounded, which every machine does alike; sines come from
//! `libm` for the same reason.

/// A point; x to the right, y downwards.
pub(super) type Point = (f64, f64);

/// Pieces that a quarter of a circle, or one curve of a glyph, is made of.
const N_PIECES: usize = 8;

/// Closed contours; what lies within is filled (non-zero winding).
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub(super) contours: Vec<Vec<Point>>,
}

/// The smallest rectangle around something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Bounds {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

impl Path {
    pub(super) fn polygon(points: Vec<Point>) -> Self {
        Self { contours: vec![points] }
    }

    pub(super) fn rect(x: f64, y: f64, width: f64, height: f64) -> Self {
        Self::polygon(vec![(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    }

    pub(super) fn circle(center: Point, radius: f64) -> Self {
        Self::regular(center, radius, 8 * N_PIECES, 0.0)
    }

    /// A regular polygon; at turn 0 a corner points upwards.
    pub(super) fn regular(center: Point, radius: f64, n_corners: usize, turn: f64) -> Self {
        let corner = |i: usize| on_circle(center, radius, turn + i as f64 / n_corners as f64);
        Self::polygon((0..n_corners).map(corner).collect())
    }

    pub(super) fn star(center: Point, radius: f64) -> Self {
        let corner = |i: usize| {
            let radius = if i.is_multiple_of(2) { radius } else { 0.45 * radius };
            on_circle(center, radius, i as f64 / 10.0)
        };
        Self::polygon((0..10).map(corner).collect())
    }

    /// A part of a disc, in turns clockwise from the top.
    pub(super) fn sector(center: Point, radius: f64, from: f64, to: f64) -> Self {
        let n_pieces = (((to - from) * (8 * N_PIECES) as f64) as usize).max(2);
        let edge = (0..=n_pieces)
            .map(|i| on_circle(center, radius, from + (to - from) * i as f64 / n_pieces as f64));
        Self::polygon(std::iter::once(center).chain(edge).collect())
    }

    /// A line of a width, with round joints.
    pub(super) fn stroke(points: &[Point], width: f64) -> Self {
        let half = width / 2.0;
        let mut contours = Vec::new();
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let (dx, dy) = (x1 - x0, y1 - y0);
            let len = (dx * dx + dy * dy).sqrt();
            if len > 0.0 {
                let (nx, ny) = (-dy / len * half, dx / len * half);
                contours.push(vec![
                    (x0 - nx, y0 - ny),
                    (x1 - nx, y1 - ny),
                    (x1 + nx, y1 + ny),
                    (x0 + nx, y0 + ny),
                ]);
            }
        }
        if points.len() > 2 && width > 1.0 {
            let joints = points[1..points.len() - 1].iter();
            contours.extend(joints.flat_map(|joint| Self::circle(*joint, half).contours));
        }
        Self { contours }
    }

    pub(super) fn move_to(&mut self, point: Point) {
        self.contours.push(vec![point]);
    }

    pub(super) fn line_to(&mut self, point: Point) {
        if let Some(contour) = self.contours.last_mut() {
            contour.push(point);
        }
    }

    /// A curve over `controls`, the last of which is its end (Bézier).
    pub(super) fn curve_to(&mut self, controls: &[Point]) {
        let Some(&start) = self.contours.last().and_then(|contour| contour.last()) else { return };
        for i in 1..=N_PIECES {
            let t = i as f64 / N_PIECES as f64;
            let mut points = vec![start];
            points.extend_from_slice(controls);
            while points.len() > 1 {
                points = points
                    .windows(2)
                    .map(|p| (p[0].0 + t * (p[1].0 - p[0].0), p[0].1 + t * (p[1].1 - p[0].1)))
                    .collect();
            }
            self.line_to(points[0]);
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.contours.extend(other.contours);
    }

    pub(super) fn shifted(mut self, dx: f64, dy: f64) -> Self {
        self.each(|(x, y)| (x + dx, y + dy));
        self
    }

    /// Turned clockwise around `center`, in turns.
    pub(super) fn turned(mut self, center: Point, turns: f64) -> Self {
        let angle = turns * std::f64::consts::TAU;
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        self.each(|(x, y)| {
            let (dx, dy) = (x - center.0, y - center.1);
            (center.0 + dx * cos - dy * sin, center.1 + dx * sin + dy * cos)
        });
        self
    }

    fn each(&mut self, change: impl Fn(Point) -> Point) {
        self.contours.iter_mut().flatten().for_each(|point| *point = change(*point));
    }

    /// None of a path without points.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        let mut points = self.contours.iter().flatten();
        let &(x, y) = points.next()?;
        let first = Bounds { left: x, top: y, right: x, bottom: y };
        Some(points.fold(first, |b, &(x, y)| Bounds {
            left: b.left.min(x),
            top: b.top.min(y),
            right: b.right.max(x),
            bottom: b.bottom.max(y),
        }))
    }
}

/// A point of a circle, in turns clockwise from the top.
pub(super) fn on_circle(center: Point, radius: f64, turn: f64) -> Point {
    let angle = turn * std::f64::consts::TAU;
    (center.0 + radius * libm::sin(angle), center.1 - radius * libm::cos(angle))
}
