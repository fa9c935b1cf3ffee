//! Where on a chart a value lies.

/// The rectangle that data are drawn in, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// The x of a share of the width, the y of a share of the height from the bottom.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.left + x * self.width(), self.bottom - y * self.height())
    }

    /// Middle and width of place `i` of `n` along a side.
    pub(super) fn slot(length: f64, n: usize, i: usize) -> (f64, f64) {
        let width = length / n as f64;
        ((i as f64 + 0.5) * width, width)
    }
}
