//! The one reader of `metrics.jsonl`.

use std::io::{self, BufRead};

use crate::Metric;

/// Lines of `metrics.jsonl`, whole or not, while it may still be written: what a line that cannot be read means, its reader
/// decides.
///
/// ```
/// use train::MetricsReader;
///
/// let file = "{\"kind\":\"resumed\",\"step\":7}\n{\"kind\":\"tra";
/// let lines = MetricsReader::new(file.as_bytes()).collect::<Result<Vec<_>, _>>()?;
/// assert!(lines[0].metric.as_ref().is_ok_and(|metric| metric.kind == "resumed" && metric.step == 7));
/// assert!(lines[1].is_cut);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct MetricsReader<R> {
    input: R,
    end: u64,
    number: usize,
    line: Vec<u8>,
}

/// A line, and where it stands.
#[derive(Debug)]
pub struct MetricsLine {
    /// From 1.
    pub number: usize,
    /// Bytes of the file up to its end.
    pub end: u64,
    /// Whether its line end is there.
    pub is_ended: bool,
    /// Whether it is empty.
    pub is_blank: bool,
    /// Whether it stops before its object does: a crash cut it, or it is being written.
    pub is_cut: bool,
    /// What it says; of a kind that a training records, with all fields of it. Other kinds are for their readers to check.
    pub metric: Result<Metric, serde_json::Error>,
}

impl<R: BufRead> MetricsReader<R> {
    /// Reads from the first line on.
    pub fn new(input: R) -> Self {
        Self::after(0, 0, input)
    }

    /// Goes on after `n_lines` lines of `n_bytes` bytes in all, at which `input` stands.
    pub fn after(n_lines: usize, n_bytes: u64, input: R) -> Self {
        Self { input, end: n_bytes, number: n_lines, line: Vec::new() }
    }
}

impl<R: BufRead> Iterator for MetricsReader<R> {
    type Item = io::Result<MetricsLine>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line.clear();
        match self.input.read_until(b'\n', &mut self.line) {
            Ok(0) => return None,
            Ok(n_bytes) => self.end += n_bytes as u64,
            Err(error) => return Some(Err(error)),
        }
        self.number += 1;
        let text = self.line.strip_suffix(b"\n");
        let is_ended = text.is_some();
        let text = text.unwrap_or(&self.line);
        let is_blank = text.trim_ascii().is_empty();
        let metric =
            serde_json::from_slice::<Metric>(text).and_then(|metric| metric.check().map(|()| metric));
        let is_object = || metric.is_ok() || serde_json::from_slice::<serde_json::Value>(text).is_ok();
        let is_cut = !is_ended && !is_blank && !is_object();
        Some(Ok(MetricsLine { number: self.number, end: self.end, is_ended, is_blank, is_cut, metric }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESUMED: &str = "{\"kind\":\"resumed\",\"step\":7}";

    fn lines(text: &[u8]) -> Vec<MetricsLine> {
        MetricsReader::new(text).map(Result::unwrap).collect()
    }

    #[test]
    fn lines_know_where_they_end_and_whether_they_were_cut() {
        let text = format!("{RESUMED}\n\n{{\"kind\":\"none\"}}\n{RESUMED}");
        let all = lines(text.as_bytes());
        let places: Vec<_> = all.iter().map(|line| (line.number, line.end, line.is_ended)).collect();
        assert_eq!(places, [(1, 28, true), (2, 29, true), (3, 45, true), (4, 72, false)]);
        let states: Vec<_> = all.iter().map(|line| (line.is_blank, line.metric.is_ok())).collect();
        assert_eq!(states, [(false, true), (true, false), (false, false), (false, true)]);
        assert!(all.iter().all(|line| !line.is_cut), "a whole object is not cut, also without its line end");

        for cut in 1..RESUMED.len() {
            assert!(lines(&RESUMED.as_bytes()[..cut])[0].is_cut, "after {cut} bytes");
        }
        assert!(lines(b"{\"kind\":\"none\",\"note\":\"\xc3")[0].is_cut, "inside a letter");
        assert!(!lines(b"{\"kind\":\"none\"}")[0].is_cut, "whole, but no metric");
    }

    #[test]
    fn other_kinds_are_read_and_known_ones_are_checked() {
        let line = &lines(br#"{"kind":"reward","step":7,"mean":0.5}"#)[0];
        assert!(
            line.metric.as_ref().is_ok_and(|metric| metric.kind == "reward" && metric.scalars["mean"] == 0.5)
        );
        let line = &lines(br#"{"kind":"train","step":7,"loss_nats":0.5}"#)[0];
        assert!(line.metric.as_ref().is_err_and(|error| error.to_string().contains("missing field")));
    }

    #[test]
    fn reading_goes_on_where_it_ended() {
        let text = format!("{RESUMED}\n{RESUMED}\n");
        let first = lines(text.as_bytes()).remove(0);
        let rest = &text.as_bytes()[first.end as usize..];
        let line = MetricsReader::after(first.number, first.end, rest).next().unwrap().unwrap();
        assert_eq!((line.number, line.end), (2, text.len() as u64));
    }
}
