//! A figure as an SVG file that stands alone: with its own title, legend and colours, light and dark.

use maud::{PreEscaped, html};

use super::plot::{Plot, Series};

/// The attribute by which a file of this program is known.
pub(crate) const WRITER: &str = "data-writer=\"maquette\"";

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 600.0;
/// Left, right and lower edge of the frame; tick labels and the label of `x` lie outside of it.
const FRAME: (f64, f64, f64) = (72.0, WIDTH - 28.0, HEIGHT - 62.0);
/// Width of a letter at 13 pixels, by the widest labels, which are formulas. An SVG cannot ask for it.
const LETTER: f64 = 7.5;

impl Plot {
    /// The whole file.
    pub(super) fn file(&self) -> String {
        let (left, right, bottom) = FRAME;
        let caption = lines(&self.caption, ((WIDTH - 48.0) / LETTER) as usize);
        let below_caption = 68.0 + 18.0 * caption.len() as f64;
        let (entries, below_legend) = self.legend(below_caption);
        let top = below_legend + 50.0;
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                data-writer="maquette" aria-label=(self.described()) {
                style { (PreEscaped(style())) }
                rect.paper width="100%" height="100%" {}
                text.title x="24" y="36" { (self.title) }
                @for (i, line) in caption.iter().enumerate() {
                    text.small x="24" y=(60 + 18 * i) { (line) }
                }
                @for (x, y, series) in entries {
                    svg.swatch x=(x) y=(y - 10.0) width="22" height="12" { (series.sample()) }
                    text.entry x=(x + 29.0) y=(y) { (series.label) }
                }
                text.small x="24" y=(top - 16.0) { (self.y.label) }
                svg.axes x=(left) y=(top) width=(right - left) height=(bottom - top) { (self.drawing()) }
                text.small.end x=(right) y=(bottom + 46.0) { (self.x.label) }
            }
        };
        svg.into_string() + "\n"
    }

    /// The entries with their places, in as many rows as they need from `y` on, and where the rows end.
    fn legend(&self, mut y: f64) -> (Vec<(f64, f64, &Series)>, f64) {
        let (mut entries, mut x) = (Vec::new(), 24.0);
        for series in &self.series {
            let width = 29.0 + LETTER * series.label.chars().count() as f64;
            if x + width > WIDTH - 24.0 && x > 24.0 {
                (x, y) = (24.0, y + 22.0);
            }
            entries.push((x, y, series));
            x += width + 22.0;
        }
        (entries, y)
    }
}

/// The look of the marks, which is the page's, and that of what the page sets in HTML.
fn style() -> String {
    let marks = include_str!("style.css").split("/* ---------- */").next().unwrap_or_default();
    format!(
        "{marks}.axes {{ overflow: visible; }}\n\
         .paper {{ fill: var(--panel); }}\n\
         .title {{ fill: var(--ink); font: 600 17px var(--sans); }}\n\
         .entry {{ fill: var(--ink); font: 13px var(--sans); }}\n\
         .small {{ fill: var(--muted); font: 13px var(--sans); }}\n\
         .end {{ text-anchor: end; }}\n"
    )
}

/// A text in lines of at most `n_max` letters, broken between words.
fn lines(text: &str, n_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= n_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{axis::Axis, plot::Mark};

    #[test]
    fn a_file_brings_its_own_colours_and_legend() {
        let series = |label: &str| Series {
            label: label.to_owned(),
            tone: 1,
            mark: Mark::Dotted(vec![(1.0, 2.0), (10.0, 1.0)]),
        };
        let long = "a legend that is long enough to leave no room beside it".repeat(3);
        let plot = Plot {
            title: "t".into(),
            caption: "one < two".to_owned(),
            x: Axis::log("x"),
            y: Axis::log("y"),
            series: vec![series("first"), series(&long), series("last")],
            is_wide: true,
        };
        let file = plot.file();
        assert!(file.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{file}");
        assert!(file.contains("--tone-1: #") && file.contains(".dotted {"), "the colours and the marks");
        assert!(file.contains("prefers-color-scheme: dark"), "{file}");
        assert!(!file.contains("box-sizing"), "the rest of the style sheet is the page's: {file}");
        assert!(file.contains("one &lt; two"), "{file}");
        let (entries, below) = plot.legend(80.0);
        let places: Vec<(f64, f64)> = entries.iter().map(|(x, y, _)| (*x, *y)).collect();
        assert_eq!(places[..2], [(24.0, 80.0), (24.0, 102.0)]);
        assert_eq!(below, places[2].1);
    }

    #[test]
    fn lines_break_between_words_and_lose_none() {
        let text = "the quick brown fox jumps over averyveryverylongword again";
        let broken = lines(text, 12);
        assert_eq!(broken.join(" "), text);
        assert_eq!(broken[..2], ["the quick", "brown fox"]);
        assert!(lines("", 12).is_empty());
    }
}
