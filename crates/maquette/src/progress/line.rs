//! Lines that fit a terminal: of a progress line the most important is kept, at the length that there is room for; of a
//! text that stays every word is.

/// Columns that titles are set in, to the right.
pub(super) const TITLE_WIDTH: usize = 12;
/// Rank of what is only shown where there is room to spare.
const EXTRA: u8 = 5;
/// Longest bar, and the shortest that shows anything.
const BAR_WIDTHS: std::ops::RangeInclusive<usize> = 10..=28;

/// One thing that a progress line says, at one or more lengths.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// The importance: 1 is kept longest, and from [`EXTRA`] on a field is shown only where all others are in full.
    rank: u8,
    /// Longest first; never empty.
    forms: Vec<String>,
}

impl Field {
    /// One form alone.
    pub(crate) fn new(rank: u8, text: impl Into<String>) -> Self {
        Self { rank, forms: vec![text.into()] }
    }

    /// A shorter form of the same.
    pub(crate) fn or(mut self, shorter: impl Into<String>) -> Self {
        self.forms.push(shorter.into());
        self
    }

    fn longest(&self) -> &str {
        &self.forms[0]
    }
}

/// The loss, with its forecast where there is one: median and the ends of the 80 % interval.
pub(crate) fn loss(loss: f64, forecast: Option<(f64, f64, f64)>) -> Field {
    match forecast {
        None => Field::new(1, format!("loss {loss:.3}")),
        Some((median, low, high)) => Field::new(
            1,
            format!("loss {loss:.3} (forecast {median:.3}, 80 % interval {low:.3} to {high:.3})"),
        )
        .or(format!("loss {loss:.3} (forecast {median:.3})"))
        .or(format!("loss {loss:.2} (forecast {median:.2})")),
    }
}

/// Tokens a second.
pub(crate) fn speed(tokens_per_second: f64) -> Field {
    let speed = super::count(tokens_per_second);
    let short = match tokens_per_second {
        n if n < 1e3 => format!("{n:.0}/s"),
        n if n < 1e6 => format!("{:.0}k/s", n / 1e3),
        n => format!("{:.0}M/s", n / 1e6),
    };
    Field::new(3, format!("{speed} tokens/s")).or(format!("{speed} tok/s")).or(short)
}

/// Time that is left.
pub(super) fn left(seconds: f64) -> Field {
    let short = match seconds.max(0.0).round() as u64 {
        s @ 0..60 => format!("{s} s left"),
        s @ 60..6000 => format!("{} min left", s.div_ceil(60)),
        s @ 6000..360_000 => format!("{} h left", s.div_ceil(3600)),
        s => format!("{} days left", s.div_ceil(86_400)),
    };
    Field::new(2, format!("{} left", super::duration(seconds))).or(short)
}

/// How much of the work is done.
pub(super) fn percent(done: u64, total: u64) -> Field {
    Field::new(4, format!("{:3.0}%", 100.0 * done as f64 / total.max(1) as f64))
}

/// The fields, each in its longest form, behind the title: for a file, where lines may be long.
pub(super) fn unlimited(title: &str, fields: &[Field]) -> String {
    let texts: Vec<&str> = fields.iter().map(Field::longest).collect();
    format!("{title:>TITLE_WIDTH$} {}", texts.join("  "))
}

/// The fields in at most `width` columns, and how many are left for a bar (0 where it would show nothing).
///
/// First come the shortest forms, by rank, as far as they fit; then the title's place among the other lines; then longer
/// forms, by rank; then extras.
pub(super) fn fitted(title: &str, fields: &[Field], width: usize) -> (String, usize) {
    let mut by_rank: Vec<usize> = (0..fields.len()).collect();
    by_rank.sort_by_key(|i| fields[*i].rank);
    let len = |i: usize, form: usize| fields[i].forms[form].chars().count();

    let mut left = width.saturating_sub(title.chars().count());
    let mut chosen: Vec<Option<usize>> = vec![None; fields.len()];
    let n_needed = by_rank.iter().filter(|i| fields[**i].rank < EXTRA).count();
    for &i in &by_rank[..n_needed] {
        let shortest = fields[i].forms.len() - 1;
        let needed = len(i, shortest) + 2;
        if needed <= left {
            left -= needed;
            chosen[i] = Some(shortest);
        }
    }
    let padding = TITLE_WIDTH.saturating_sub(title.chars().count());
    let padding = if padding <= left { padding } else { 0 };
    left -= padding;
    for &i in &by_rank[..n_needed] {
        let Some(form) = chosen[i] else { continue };
        let longer = (0..form).find(|longer| len(i, *longer) - len(i, form) <= left);
        if let Some(longer) = longer {
            left -= len(i, longer) - len(i, form);
            chosen[i] = Some(longer);
        }
    }
    for &i in &by_rank[n_needed..] {
        if let Some(form) = (0..fields[i].forms.len()).find(|form| len(i, *form) + 2 <= left) {
            left -= len(i, form) + 2;
            chosen[i] = Some(form);
        }
    }
    let mut line = format!("{}{title}", " ".repeat(padding));
    for (field, form) in fields.iter().zip(chosen) {
        if let Some(form) = form {
            line.push_str("  ");
            line.push_str(&field.forms[form]);
        }
    }
    // A title may be wider than all there is.
    let line: String = line.chars().take(width).collect();
    let bar = left.saturating_sub(2).min(*BAR_WIDTHS.end());
    (line, if BAR_WIDTHS.contains(&bar) { bar } else { 0 })
}

/// A bar of `width` columns.
pub(super) fn bar(done: u64, total: u64, width: usize) -> String {
    let filled = (width as f64 * done as f64 / total.max(1) as f64) as usize;
    let filled = filled.min(width);
    format!("{}{}", "━".repeat(filled), "─".repeat(width - filled))
}

/// A text behind its title, broken between words where it would not fit into `width` columns.
pub(super) fn wrapped(title: &str, text: &str, width: Option<usize>) -> String {
    let whole = format!("{title:>TITLE_WIDTH$} {text}");
    let indent = TITLE_WIDTH + 1;
    let Some(width) = width.filter(|width| *width >= 2 * indent) else { return whole };
    let mut lines = Vec::new();
    for line in whole.split('\n') {
        // Below the first line its hanging indentation is the text's.
        let mut rest = if lines.is_empty() { line.to_owned() } else { format!("{:indent$}{line}", "") };
        while rest.chars().count() > width {
            let end = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
            // A word longer than the line stays whole: it may be a path to copy.
            let fits = rest[..=end.min(rest.len() - 1)].rfind(' ').filter(|at| *at > indent);
            let Some(at) = fits.or_else(|| rest[indent..].find(' ').map(|at| at + indent)) else { break };
            lines.push(rest[..at].trim_end().to_owned());
            rest = format!("{:indent$}{}", "", rest[at..].trim_start());
        }
        lines.push(rest);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(step: u64) -> Vec<Field> {
        vec![
            percent(step, 2000),
            loss(3.4123, Some((3.3801, 3.3102, 3.4511))),
            speed(12_345.0),
            left(65.0),
            Field::new(5, format!("step {step}/2000")),
        ]
    }

    #[test]
    fn at_80_columns_loss_forecast_speed_and_time_left_are_seen() {
        let at = |width| fitted("pretrain", &training(900), width);
        assert_eq!(at(79).0, "    pretrain   45%  loss 3.412 (forecast 3.380)  12.3k tok/s  1 min 05 s left");
        assert_eq!(at(59).0, "    pretrain  loss 3.41 (forecast 3.38)  12k/s  2 min left");
        assert_eq!(at(36).0, "pretrain  loss 3.41 (forecast 3.38)");
        assert_eq!(
            at(200),
            (
                "    pretrain   45%  loss 3.412 (forecast 3.380, 80 % interval 3.310 to 3.451)  12.3k tokens/s  \
                 1 min 05 s left  step 900/2000"
                    .into(),
                28
            )
        );
    }

    #[test]
    fn no_line_is_wider_than_its_terminal() {
        for width in 0..240 {
            for step in [0, 7, 900, 2000] {
                let (line, bar) = fitted("pretrain", &training(step), width);
                let bar = if bar > 0 { bar + 2 } else { 0 };
                assert!(line.chars().count() + bar <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn what_is_more_important_is_never_given_up_first() {
        let all = ["loss", "left", "/s", " 45%"];
        let mut seen = 0;
        for width in 8..240 {
            let (line, _) = fitted("pretrain", &training(900), width);
            let n = all.iter().take_while(|part| line.contains(*part)).count();
            assert!(n >= seen, "{width}: {line}");
            seen = n;
        }
        assert_eq!(seen, all.len());
    }

    #[test]
    fn times_are_short_where_they_have_to_be() {
        let short = |seconds| left(seconds).forms[1].clone();
        assert_eq!(
            [5.0, 65.0, 5000.0, 7200.0, 1e6].map(short),
            ["5 s left", "2 min left", "84 min left", "2 h left", "12 days left"]
        );
    }

    #[test]
    fn texts_are_broken_between_words() {
        let text = "step 8: validation loss 4.1234 ± 0.0123 nats per token, 1.2345 bits per byte";
        let lines = wrapped("", text, Some(60));
        assert!(
            lines.lines().count() == 2 && lines.lines().all(|line| line.chars().count() <= 60),
            "{lines}"
        );
        assert!(lines.lines().all(|line| line.starts_with("             ")), "{lines}");
        assert_eq!(lines.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        assert_eq!(wrapped("data", text, None), format!("        data {text}"));
        let path = "/a/very/long/path/that/is/to/be/copied/and/so/must/not/be/broken/anywhere/in/it.html";
        assert_eq!(wrapped("report", path, Some(60)), format!("      report {path}"));
        let said = wrapped("report", &format!("it is {path} now"), Some(60));
        assert!(said.lines().any(|line| line.trim() == path), "{said}");
        for width in 0..100 {
            assert_eq!(wrapped("data", "größe ± µ", Some(width)).split_whitespace().count(), 4);
        }
    }
}
