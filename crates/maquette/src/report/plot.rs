//! Figures as inline SVG: lines, bands, points with intervals and rules over linear or logarithmic axes.
//!
//! Not `kuva` 0.6: it fixes pixel sizes, fonts and colours in the SVG, marks carry no classes, and text
//! shrinks with the figure. Here every position is a share of the frame and every look is a class of
//! `style.css`: one figure fits phone and wall, light and dark, and its text and dots keep their size.

use std::{borrow::Cow, fmt::Write as _};

use maud::{Markup, html};

use super::axis::{Axis, Span};

/// Axes and what is drawn on them; a later series lies over an earlier one.
pub(super) struct Plot {
    pub title: Cow<'static, str>,
    /// What the marks are and how they were smoothed.
    pub caption: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// Takes the whole width and more height.
    pub is_wide: bool,
}

/// One entry of the legend.
pub(super) struct Series {
    /// Empty for marks that belong to an entry before.
    pub label: String,
    /// Colour, 1 to 6: `--tone-1` .. of the style sheet. Marks that belong together share one.
    pub tone: usize,
    pub mark: Mark,
}

/// Positions are in data units. What has no place on an axis (NaN, zero on a logarithm) is left out.
pub(super) enum Mark {
    /// `(x, y)` joined in order; a gap where one has no place.
    Line(Vec<(f64, f64)>),
    /// A line that stands behind another.
    Faint(Vec<(f64, f64)>),
    /// A line of what was computed, not seen.
    Dotted(Vec<(f64, f64)>),
    /// `(x, low, high)`, filled between.
    Band(Vec<(f64, f64, f64)>),
    /// Bands of one kind, each inside of the one before.
    Bands(Vec<Vec<(f64, f64, f64)>>),
    Points(Vec<Point>),
    /// Hollow points, which a point drawn over them leaves visible.
    Rings(Vec<Point>),
    /// Vertical lines at `x` over the whole height.
    Rules(Vec<f64>),
}

/// A dot with an interval.
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
    /// The ends of the interval; NaN for none.
    pub low: f64,
    pub high: f64,
    /// Shown while the pointer rests on it.
    pub note: String,
}

impl Plot {
    /// The figure: caption, legend, drawing.
    pub(super) fn figure(&self) -> Markup {
        html! {
            figure.plot.wide[self.is_wide] {
                figcaption {
                    h3 { (self.title) }
                    p { (self.caption) }
                }
                ul.legend {
                    @for series in self.series.iter().filter(|series| !series.label.is_empty()) {
                        li { (series.swatch()) (series.label) }
                    }
                }
                p.y-label { (self.y.label) }
                svg.axes role="img" aria-label=(self.described()) { (self.drawing()) }
                p.x-label { (self.x.label) }
            }
        }
    }

    /// What the figure is, for those who do not see it.
    pub(super) fn described(&self) -> String {
        format!("{}: {} against {}", self.title, self.y.label, self.x.label)
    }

    /// What lies within the frame, and the labels of the ticks outside of it.
    pub(super) fn drawing(&self) -> Markup {
        let x = self.x.span(self.series.iter().flat_map(|series| series.mark.xs()), 0.0);
        let y = self.y.span(self.series.iter().flat_map(|series| series.mark.ys()), 0.06);
        let (nx, ny) = if self.is_wide { (10, 8) } else { (6, 6) };
        let x_ticks = x.ticks(nx);
        // Every second label gives way on a narrow screen.
        let gives_way = |i: usize| x_ticks.len() > 6 && i % 2 == 1;
        html! {
            @for (value, label) in y.ticks(ny) {
                @let at = percent(1.0 - y.position(value).unwrap_or(0.0));
                line.grid x1="0" x2="100%" y1=(at) y2=(at) {}
                text.y-tick x="0" dx="-8" y=(at) dy="0.33em" { (label) }
            }
            @for (i, (value, label)) in x_ticks.iter().enumerate() {
                @let at = percent(x.position(*value).unwrap_or(0.0));
                line.tick x1=(at) x2=(at) y1="100%" y2="100%" {}
                text.x-tick.gives-way[gives_way(i)] x=(at) y="100%" dy="1.65em" { (label) }
            }
            @for series in &self.series { (series.draw(x, y)) }
            line.base x1="0" x2="100%" y1="100%" y2="100%" {}
        }
    }
}

impl Mark {
    fn xs(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Self::Line(line) | Self::Faint(line) | Self::Dotted(line) => {
                Box::new(line.iter().map(|(x, _)| *x))
            }
            Self::Band(band) => Box::new(band.iter().map(|(x, _, _)| *x)),
            Self::Bands(bands) => Box::new(bands.iter().flatten().map(|(x, _, _)| *x)),
            Self::Points(points) | Self::Rings(points) => Box::new(points.iter().map(|point| point.x)),
            Self::Rules(xs) => Box::new(xs.iter().copied()),
        }
    }

    /// What it covers upwards; NaN for an absent end.
    pub(super) fn ys(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Self::Line(line) | Self::Faint(line) | Self::Dotted(line) => {
                Box::new(line.iter().map(|(_, y)| *y))
            }
            Self::Band(band) => Box::new(band.iter().flat_map(|(_, low, high)| [*low, *high])),
            Self::Bands(bands) => Box::new(bands.iter().flatten().flat_map(|(_, low, high)| [*low, *high])),
            Self::Points(points) | Self::Rings(points) => {
                Box::new(points.iter().flat_map(|p| [p.y, p.low, p.high]))
            }
            Self::Rules(_) => Box::new(std::iter::empty()),
        }
    }

    /// Of its circles, in pixels.
    fn radius(&self) -> &'static str {
        if matches!(self, Self::Rings(_)) { "5.5" } else { "3.2" }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::Line(_) => "line",
            Self::Faint(_) => "faint",
            Self::Dotted(_) => "dotted",
            Self::Band(_) => "band",
            Self::Bands(_) => "bands",
            Self::Points(_) => "points",
            Self::Rings(_) => "rings",
            Self::Rules(_) => "rules",
        }
    }
}

impl Series {
    fn draw(&self, x: Span, y: Span) -> Markup {
        let at = |(vx, vy): (f64, f64)| Some((x.position(vx)?, 1.0 - y.position(vy)?));
        let class = format!("{} tone-{}", self.mark.class(), self.tone);
        match &self.mark {
            Mark::Line(line) | Mark::Faint(line) | Mark::Dotted(line) => {
                stretched(&class, &polyline(line.iter().map(|point| at(*point))))
            }
            Mark::Band(band) => stretched(&class, &outline(band, at)),
            Mark::Bands(bands) => html! {
                g class=(class) { @for band in bands { (stretched("", &outline(band, at))) } }
            },
            Mark::Points(points) | Mark::Rings(points) => html! {
                g class=(class) {
                    @for point in points {
                        @if let Some((px, py)) = at((point.x, point.y)).filter(|(px, py)| in_frame(*px, *py)) {
                            g {
                                title { (point.note) }
                                @if let (Some(low), Some(high)) = (y.position(point.low), y.position(point.high)) {
                                    line x1=(percent(px)) x2=(percent(px)) y1=(percent((1.0 - low).min(1.0)))
                                        y2=(percent((1.0 - high).max(0.0))) {}
                                }
                                circle cx=(percent(px)) cy=(percent(py)) r=(self.mark.radius()) {}
                            }
                        }
                    }
                }
            },
            Mark::Rules(xs) => html! {
                g class=(class) {
                    @for px in xs.iter().filter_map(|v| x.position(*v)).filter(|px| in_frame(*px, 0.0)) {
                        line x1=(percent(px)) x2=(percent(px)) y1="0" y2="100%" {}
                    }
                }
            },
        }
    }

    fn swatch(&self) -> Markup {
        html! { svg.swatch aria-hidden="true" { (self.sample()) } }
    }

    /// A mark of the series in a box of 22 by 12.
    pub(super) fn sample(&self) -> Markup {
        let class = format!("{} tone-{}", self.mark.class(), self.tone);
        let has_interval = match &self.mark {
            Mark::Points(points) | Mark::Rings(points) => points.iter().any(|point| point.low.is_finite()),
            _ => false,
        };
        html! {
            @match self.mark {
                Mark::Line(_) | Mark::Faint(_) | Mark::Dotted(_) => path class=(class) d="M1 6H21" {},
                Mark::Band(_) => path class=(class) d="M1 1H21V11H1Z" {},
                Mark::Bands(_) => g class=(class) {
                    path d="M1 0H21V12H1Z" {} path d="M1 2H21V10H1Z" {} path d="M1 4H21V8H1Z" {}
                },
                Mark::Points(_) | Mark::Rings(_) => g class=(class) {
                    @if has_interval { line x1="11" x2="11" y1="0" y2="12" {} }
                    circle cx="11" cy="6" r="3.5" {}
                },
                Mark::Rules(_) => g class=(class) { line x1="11" x2="11" y1="0" y2="12" {} },
            }
        }
    }
}

/// The closed outline of a band whose points `at` places.
fn outline(band: &[(f64, f64, f64)], at: impl Fn((f64, f64)) -> Option<(f64, f64)>) -> String {
    let placed = |band: &(f64, f64, f64)| Some((at((band.0, band.1))?, at((band.0, band.2))?));
    let (low, mut high): (Vec<_>, Vec<_>) = band.iter().filter_map(placed).unzip();
    high.reverse();
    polyline(low.into_iter().chain(high).map(Some)) + "Z"
}

/// A path in thousandths of the frame, stretched over it and cut at its edges; strokes are not stretched.
fn stretched(class: &str, path: &str) -> Markup {
    html! {
        svg width="100%" height="100%" viewBox="0 0 1000 1000" preserveAspectRatio="none" {
            path class=(class) d=(path) {}
        }
    }
}

/// Path data through the points given as shares of the frame; `None` lifts the pen.
fn polyline(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let (mut path, mut pen) = (String::new(), 'M');
    for point in points {
        if let Some((x, y)) = point {
            // Far outside it is invisible anyway; browsers draw huge coordinates badly.
            let (x, y) = (1000.0 * x.clamp(-9.0, 9.0), 1000.0 * y.clamp(-9.0, 9.0));
            write!(path, "{pen}{x:.1} {y:.1}").expect("writing to a string cannot fail");
        }
        pen = if point.is_some() { 'L' } else { 'M' };
    }
    path
}

fn in_frame(x: f64, y: f64) -> bool {
    [x, y].iter().all(|at| (-1e-6..=1.0 + 1e-6).contains(at))
}

fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(x: Axis, y: Axis, mark: Mark) -> String {
        let series = vec![Series { label: "a < b".to_owned(), tone: 1, mark }];
        Plot { title: "t".into(), caption: String::new(), x, y, series, is_wide: false }
            .figure()
            .into_string()
    }

    #[test]
    fn a_line_is_placed_by_its_axes_and_broken_where_it_has_no_place() {
        let line = vec![(1.0, 0.1), (10.0, 1.0), (20.0, f64::NAN), (50.0, -1.0), (100.0, 10.0)];
        let page = drawn(Axis::log("x"), Axis::log("y").over(0.1, 10.0), Mark::Line(line));
        assert!(page.contains(r#"d="M0.0 1000.0L500.0 500.0M1000.0 0.0""#), "{page}");
        assert!(page.contains("a &lt; b"), "{page}");
    }

    #[test]
    fn a_band_is_closed() {
        let band = vec![(0.0, 0.0, 1.0), (1.0, 0.5, 1.0)];
        let page = drawn(Axis::linear("x"), Axis::linear("y").over(0.0, 1.0), Mark::Band(band));
        assert!(page.contains(r#"d="M0.0 1000.0L1000.0 500.0L1000.0 0.0L0.0 0.0Z""#), "{page}");
    }

    #[test]
    fn a_point_carries_its_interval_and_its_note() {
        let point = |y| Point { x: 5.0, y, low: y - 1.0, high: y + 1.0, note: format!("y is {y}") };
        let (x, y) = (Axis::linear("x").over(0.0, 10.0), Axis::linear("y").over(0.0, 4.0));
        let page = drawn(x, y, Mark::Points(vec![point(2.0), point(9.0)]));
        assert!(page.contains(r#"<line x1="50.00%" x2="50.00%" y1="75.00%" y2="25.00%">"#), "{page}");
        assert!(page.contains("<title>y is 2</title>"), "{page}");
        assert!(!page.contains("y is 9"), "outside of the frame: {page}");
    }

    #[test]
    fn an_empty_figure_is_still_a_figure() {
        let page = drawn(Axis::linear("x"), Axis::log("y"), Mark::Line(Vec::new()));
        assert!(page.contains("<figure") && !page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
