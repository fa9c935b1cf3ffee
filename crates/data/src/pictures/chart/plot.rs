//! Drawing charts.

use base::Rng;

use super::{
    axes::Area,
    content::{Chart, Form},
};
use crate::pictures::{
    Request,
    canvas::{Canvas, Colour},
    face::Face,
    palette::Palette,
    path::{Path, Point, on_circle},
    uniform,
};

/// Sizes of letters, in 160ths of the picture.
const TITLE: f64 = 12.0;
const LABEL: f64 = 9.0;

/// A chart that is being drawn.
pub(super) struct Plot {
    pub(super) canvas: Canvas,
    pub(super) request: Request,
    pub(super) palette: &'static Palette,
    pub(super) face: &'static Face,
}

/// What of a text stands at the point it is set to.
#[derive(Clone, Copy)]
enum Anchor {
    Left,
    Middle,
    Right,
}

impl Plot {
    pub(super) fn chart(&mut self, chart: &Chart, rng: &mut Rng) {
        let side = self.request.side_pixels as f64;
        let unit = self.unit(1.0);
        self.text(
            &chart.title,
            (side / 2.0, 10.0 * unit),
            TITLE,
            Anchor::Middle,
            0.94 * side,
            self.palette.ink,
        );
        let mut area =
            Area { left: 8.0 * unit, top: 22.0 * unit, right: side - 8.0 * unit, bottom: side - 8.0 * unit };
        let has_legend = chart.form == Form::Pie || chart.series.len() > 1;
        if has_legend {
            let names: Vec<&str> = match chart.form {
                Form::Pie => chart.labels.clone(),
                _ => chart.series.iter().map(|series| series.name).collect(),
            };
            area.top += self.legend(&names, area.top, side);
        }
        if chart.form == Form::Pie {
            return self.pie(chart, area, rng);
        }
        let area = self.with_axes(chart, area, rng);
        match chart.form {
            Form::Scatter => self.points(chart, area),
            Form::Line => self.lines(chart, area),
            Form::Columns | Form::Bars | Form::Pie => self.bars(chart, area, rng),
        }
    }

    fn unit(&self, length: f64) -> f64 {
        self.request.scaled(length)
    }

    /// Sets a text with the middle of its capitals at `at`, smaller if it would be wider than `width`.
    fn text(&mut self, text: &str, at: Point, size: f64, anchor: Anchor, width: f64, ink: Colour) {
        let size = self.face.fitted_size(text, self.unit(size), width);
        let (path, set) = self.face.outline(text, size);
        let x = match anchor {
            Anchor::Left => at.0,
            Anchor::Middle => at.0 - set / 2.0,
            Anchor::Right => at.0 - set,
        };
        let y = at.1 + self.face.cap_height(size) / 2.0;
        // Baselines lie between rows of pixels, so that small letters are sharp.
        self.canvas.fill(&path.shifted(x, y.round()), ink);
    }

    fn text_width(&self, text: &str, size: f64) -> f64 {
        self.face.outline(text, self.unit(size)).1
    }

    /// A row, or two, of boxes with names; how high it is.
    fn legend(&mut self, names: &[&str], top: f64, side: f64) -> f64 {
        let (cell, height) = (self.unit(44.0), self.unit(12.0));
        let per_row = if names.len() <= 3 { names.len() } else { names.len().div_ceil(2) };
        for (i, name) in names.iter().enumerate() {
            let in_row = (names.len() - i / per_row * per_row).min(per_row);
            let x = side / 2.0 + ((i % per_row) as f64 - in_row as f64 / 2.0) * cell;
            let y = top + (i / per_row) as f64 * height + height / 2.0;
            let edge = self.unit(7.0);
            self.canvas
                .fill(&Path::rect(x.round(), (y - edge / 2.0).round(), edge, edge), self.palette.data[i]);
            let room = cell - edge - self.unit(5.0);
            self.text(name, (x + edge + self.unit(3.0), y), LABEL, Anchor::Left, room, self.palette.ink);
        }
        names.len().div_ceil(per_row) as f64 * height + self.unit(4.0)
    }

    /// Draws axes, grid and labels around what is left for the data.
    fn with_axes(&mut self, chart: &Chart, outer: Area, rng: &mut Rng) -> Area {
        let is_lying = chart.form == Form::Bars;
        let is_scatter = chart.form == Form::Scatter;
        let ticks: Vec<(f64, String)> = match is_scatter {
            true => (0..=4).map(|i| (f64::from(i) / 4.0, (25 * i).to_string())).collect(),
            false => (0..=chart.n_steps)
                .map(|i| (i as f64 / chart.n_steps as f64, (i * chart.step).to_string()))
                .collect(),
        };
        let names: Vec<&str> = match is_lying {
            true => chart.labels.clone(),
            false => ticks.iter().map(|(_, text)| text.as_str()).collect(),
        };
        let widest = names.iter().map(|text| self.text_width(text, LABEL)).fold(0.0, f64::max);
        let area = Area {
            left: (outer.left + widest.min(self.unit(40.0)) + self.unit(3.0)).round(),
            top: (outer.top + self.unit(4.0)).round(),
            right: outer.right - self.unit(4.0),
            bottom: (outer.bottom - self.unit(9.0)).round(),
        };
        let thin = self.unit(0.8).max(1.0);
        let has_grid = rng.below(4) > 0;
        let ink = self.palette.ink;
        for (share, text) in &ticks {
            let (x, y) = area.at(*share, *share);
            let (x, y) = (x.round(), y.round());
            if is_lying {
                if has_grid {
                    self.canvas.fill(&Path::rect(x, area.top, thin, area.height()), self.palette.grid);
                }
                self.text(
                    text,
                    (x, area.bottom + self.unit(8.0)),
                    LABEL,
                    Anchor::Middle,
                    self.unit(26.0),
                    ink,
                );
            } else {
                if has_grid {
                    self.canvas.fill(&Path::rect(area.left, y, area.width(), thin), self.palette.grid);
                } else {
                    self.canvas.fill(&Path::rect(area.left - self.unit(2.0), y, self.unit(2.0), thin), ink);
                }
                self.text(text, (area.left - self.unit(3.0), y), LABEL, Anchor::Right, self.unit(40.0), ink);
                if is_scatter {
                    self.text(
                        text,
                        (x, area.bottom + self.unit(8.0)),
                        LABEL,
                        Anchor::Middle,
                        self.unit(26.0),
                        ink,
                    );
                }
            }
        }
        for (i, label) in chart.labels.iter().enumerate().filter(|_| !is_scatter) {
            if is_lying {
                let (middle, _) = Area::slot(area.height(), chart.labels.len(), i);
                let at = (area.left - self.unit(3.0), area.top + middle);
                self.text(label, at, LABEL, Anchor::Right, self.unit(40.0), ink);
            } else {
                let (middle, room) = Area::slot(area.width(), chart.labels.len(), i);
                let at = (area.left + middle, area.bottom + self.unit(8.0));
                self.text(label, at, LABEL, Anchor::Middle, room - self.unit(2.0), ink);
            }
        }
        self.canvas.fill(&Path::rect(area.left, area.bottom, area.width(), thin), ink);
        self.canvas.fill(&Path::rect(area.left, area.top, thin, area.height()), ink);
        area
    }

    fn bars(&mut self, chart: &Chart, area: Area, rng: &mut Rng) {
        let is_lying = chart.form == Form::Bars;
        let share = uniform(rng, 0.55, 0.85);
        // With one series each bar may have its own colour.
        let is_mixed = chart.series.len() == 1 && rng.below(3) == 0;
        let length = if is_lying { area.height() } else { area.width() };
        for (s, series) in chart.series.iter().enumerate() {
            for (i, &value) in series.values.iter().enumerate() {
                let (middle, slot) = Area::slot(length, chart.labels.len(), i);
                let width = share * slot / chart.series.len() as f64;
                let begin = middle - share * slot / 2.0 + s as f64 * width;
                let high = value as f64 / chart.max() as f64;
                let colour = self.palette.data[if is_mixed { i % 5 } else { s }];
                let text = value.to_string();
                if is_lying {
                    let bar = Path::rect(area.left, area.top + begin, high * area.width(), width);
                    self.canvas.fill(&bar, colour);
                    if chart.has_values {
                        let end = area.left + high * area.width();
                        let fits = end + self.text_width(&text, LABEL) < area.right + self.unit(4.0);
                        let (x, anchor, ink) = match fits {
                            true => (end + self.unit(2.0), Anchor::Left, self.palette.ink),
                            false => (end - self.unit(2.0), Anchor::Right, contrast(colour)),
                        };
                        self.text(&text, (x, area.top + middle), LABEL, anchor, self.unit(40.0), ink);
                    }
                } else {
                    let top = area.bottom - high * area.height();
                    self.canvas.fill(&Path::rect(area.left + begin, top, width, area.bottom - top), colour);
                    if chart.has_values {
                        let at = (area.left + middle, top - self.unit(5.0));
                        self.text(&text, at, LABEL, Anchor::Middle, slot, self.palette.ink);
                    }
                }
            }
        }
    }

    fn lines(&mut self, chart: &Chart, area: Area) {
        for (s, series) in chart.series.iter().enumerate() {
            let colour = self.palette.data[s];
            let at = |i: usize| {
                let (middle, _) = Area::slot(area.width(), chart.labels.len(), i);
                (area.left + middle, area.at(0.0, series.values[i] as f64 / chart.max() as f64).1)
            };
            let points: Vec<Point> = (0..series.values.len()).map(at).collect();
            self.canvas.fill(&Path::stroke(&points, self.unit(2.0)), colour);
            for (i, &(x, y)) in points.iter().enumerate() {
                self.mark(s, (x, y), 3.2);
                if chart.has_values {
                    // Below a valley and above everything else, out of the way of the line.
                    let is_valley = [i.checked_sub(1), Some(i + 1)]
                        .into_iter()
                        .flatten()
                        .all(|j| series.values.get(j).is_none_or(|other| *other >= series.values[i]));
                    let is_low = y > area.bottom - self.unit(14.0);
                    let shift = if is_valley && !is_low { 9.0 } else { -9.0 };
                    let text = series.values[i].to_string();
                    let at = (x, y + self.unit(shift));
                    self.text(&text, at, LABEL, Anchor::Middle, self.unit(40.0), self.palette.ink);
                }
            }
        }
    }

    /// Groups differ in shape too.
    fn mark(&mut self, group: usize, at: Point, radius: f64) {
        let radius = self.unit(radius);
        let path = match group % 3 {
            0 => Path::circle(at, radius),
            1 => Path::regular(at, 1.2 * radius, 4, 0.125),
            _ => Path::regular(at, 1.3 * radius, 3, 0.0),
        };
        self.canvas.fill(&path, self.palette.data[group]);
    }

    fn points(&mut self, chart: &Chart, area: Area) {
        for (s, series) in chart.series.iter().enumerate() {
            for &(x, y) in &series.points {
                self.mark(s, area.at(x as f64 / 100.0, y as f64 / 100.0), 3.4);
            }
        }
    }

    fn pie(&mut self, chart: &Chart, area: Area, rng: &mut Rng) {
        let center = ((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
        let radius = area.width().min(area.height()) / 2.0;
        let mut from = uniform(rng, 0.0, 1.0);
        let gap = self.unit(1.0);
        for (i, &share) in chart.series[0].values.iter().enumerate() {
            let to = from + share as f64 / 100.0;
            let colour = self.palette.data[i];
            self.canvas.fill(&Path::sector(center, radius, from, to), colour);
            let edge = Path::stroke(&[center, on_circle(center, radius + gap, from)], gap);
            self.canvas.fill(&edge, self.palette.paper);
            if chart.has_values {
                let at = on_circle(center, 0.68 * radius, (from + to) / 2.0);
                self.text(&format!("{share}%"), at, LABEL, Anchor::Middle, self.unit(30.0), contrast(colour));
            }
            from = to;
        }
    }
}

/// Black or white, whichever is read better on `colour`.
fn contrast(colour: Colour) -> Colour {
    let light = 3 * u32::from(colour[0]) + 6 * u32::from(colour[1]) + u32::from(colour[2]);
    if light > 1400 { [0; 3] } else { [255; 3] }
}
