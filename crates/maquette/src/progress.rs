//! Progress on stderr: a line that fits the terminal, or without one a line every few seconds.

mod line;

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{output::talk, terminal::shown};

pub(crate) use line::{Field, loss, speed};

/// Pause between lines where stderr is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// One piece of work with a known end.
pub(crate) struct Progress {
    title: &'static str,
    bar: Option<ProgressBar>,
    /// Columns of the terminal, and of the bar in it: it may shrink, but does not jump about.
    widths: (usize, usize),
    start: Instant,
    done_at_start: Option<u64>,
    last_line: Instant,
}

impl Progress {
    pub(crate) fn new(title: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg}").expect("the template is valid");
            ProgressBar::new(0).with_style(style)
        });
        let now = Instant::now();
        Self { title, bar, widths: (0, usize::MAX), start: now, done_at_start: None, last_line: now }
    }

    /// `done` of `total` units are through; `fields` say what is worth knowing, in the order in which they are shown.
    /// How much is done and how long it will take come with them.
    pub(crate) fn update(&mut self, done: u64, total: u64, fields: impl IntoIterator<Item = Field>) {
        let first = *self.done_at_start.get_or_insert(done);
        let is_shown = self.bar.is_some() || self.last_line.elapsed() >= LINE_EVERY;
        if !is_shown {
            return;
        }
        // What is watched may go back: a run goes on from its last checkpoint.
        let share = done.saturating_sub(first) as f64 / total.saturating_sub(first).max(1) as f64;
        let mut parts = vec![line::percent(done, total)];
        parts.extend(fields);
        if share > 0.0 {
            parts.push(line::left(self.start.elapsed().as_secs_f64() * (1.0 / share - 1.0)));
        }
        match &self.bar {
            Some(bar) => {
                let width = terminal_width().unwrap_or(DEFAULT_WIDTH);
                // A line that fills the last column may be taken for two.
                let (text, room) = line::fitted(self.title, &parts, width.saturating_sub(1));
                let (old_width, old_room) = self.widths;
                let room = if old_width == width { room.min(old_room) } else { room };
                self.widths = (width, room);
                let text = shown(&text);
                bar.set_message(match room {
                    0 => text.into_owned(),
                    _ => format!("{text}  {}", line::bar(done, total, room)),
                });
            }
            None => {
                self.last_line = Instant::now();
                talk(line::unlimited(self.title, &parts));
            }
        }
    }

    /// Writes a line that stays, above the bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(line::wrapped("", &shown(text), terminal_width())),
            None => say("", text),
        }
    }

    /// The work is done, and there is nothing to say of it.
    pub(crate) fn clear(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The work is done; `summary` stays on the screen.
    pub(crate) fn finish(self, summary: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(self.title, summary);
    }
}

/// A line in the form of [`Progress::finish`].
pub(crate) fn say(title: &str, text: &str) {
    talk(line::wrapped(title, text, terminal_width()));
}

/// Columns of a terminal that does not say how many it has.
const DEFAULT_WIDTH: usize = 80;

/// Columns of the terminal that stderr is, if it is one and says so.
fn terminal_width() -> Option<usize> {
    let stderr = std::io::stderr();
    let (width, _) = stderr.is_terminal().then(|| terminal_size::terminal_size_of(stderr)).flatten()?;
    Some(usize::from(width.0)).filter(|width| *width > 0)
}

/// `41 s`, `3 min 05 s`, `2 h 10 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// `873`, `12.3k`, `4.56M`, `7.89e12`.
pub(crate) fn count(n: f64) -> String {
    match n {
        n if n < 1e3 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.1}k", n / 1e3),
        n if n < 1e9 => format!("{:.2}M", n / 1e6),
        n if n < 1e12 => format!("{:.2}B", n / 1e9),
        n => format!("{n:.2e}"),
    }
}

/// A probability: `0.190`, below a hundredth `1.6e-5`.
pub(crate) fn probability(p: f64) -> String {
    if p > 0.0 && p < 0.01 { format!("{p:.1e}") } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_probabilities_keep_their_digits() {
        assert_eq!([0.19, 0.0, 1.0].map(probability), ["0.190", "0.000", "1.000"]);
        assert_eq!(probability(1.62e-5), "1.6e-5");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([59.6, 185.0, 7800.0].map(duration), ["1 min 00 s", "3 min 05 s", "2 h 10 min"]);
        assert_eq!(
            [0.0, 999.0, 12_345.0, 4_560_000.0, 3.05e13].map(count),
            ["0", "999", "12.3k", "4.56M", "3.05e13"]
        );
    }
}
