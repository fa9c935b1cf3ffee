//! Progress on stderr: a bar where it is a terminal, a line every few seconds where it is not.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{output::talk, terminal::shown};

/// Pause between lines where stderr is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// One piece of work with a known end.
pub(crate) struct Progress {
    title: &'static str,
    bar: Option<ProgressBar>,
    start: Instant,
    done_at_start: Option<u64>,
    last_line: Instant,
}

impl Progress {
    pub(crate) fn new(title: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{prefix:>12} {bar:28.cyan/dim} {percent:>3}% {wide_msg}");
            let bar = ProgressBar::new(0).with_prefix(title);
            bar.set_style(style.expect("the template is valid").progress_chars("━━─"));
            bar
        });
        let now = Instant::now();
        Self { title, bar, start: now, done_at_start: None, last_line: now }
    }

    /// `done` of `total` units are through; `message` says what is worth knowing.
    pub(crate) fn update(&mut self, done: u64, total: u64, message: &str) {
        let first = *self.done_at_start.get_or_insert(done);
        // What is watched may go back: a run goes on from its last checkpoint.
        let share = done.saturating_sub(first) as f64 / total.saturating_sub(first).max(1) as f64;
        let left = self.start.elapsed().as_secs_f64() * (1.0 / share.max(1e-9) - 1.0);
        let message = match share {
            0.0 => message.to_owned(),
            _ => format!("{message}  {} left", duration(left)),
        };
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(shown(&message).into_owned());
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let percent = 100.0 * done as f64 / total.max(1) as f64;
            talk(format_args!("{:>12} {percent:3.0}%  {message}", self.title));
        }
    }

    /// Writes a line that stays, above the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("{:>12} {}", "", shown(line))),
            None => talk(format_args!("{:>12} {line}", "")),
        }
    }

    /// The work is done; `summary` stays on the screen.
    pub(crate) fn finish(self, summary: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        talk(format_args!("{:>12} {summary}", self.title));
    }
}

/// A line in the form of [`Progress::finish`].
pub(crate) fn say(title: &str, text: &str) {
    talk(format_args!("{title:>12} {text}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([59.6, 185.0, 7800.0].map(duration), ["1 min 00 s", "3 min 05 s", "2 h 10 min"]);
        assert_eq!(
            [0.0, 999.0, 12_345.0, 4_560_000.0, 3.05e13].map(count),
            ["0", "999", "12.3k", "4.56M", "3.05e13"]
        );
    }
}
