//! What a chart shows.

use base::Rng;

use crate::pictures::{between, pick, some};

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Columns,
    Bars,
    Line,
    Pie,
    Scatter,
}

impl Form {
    /// As one would call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Columns | Self::Bars => "bar chart",
            Self::Line => "line chart",
            Self::Pie => "pie chart",
            Self::Scatter => "scatter plot",
        }
    }
}

/// Values of one name, one for each category; of a scatter plot points.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) values: Vec<i64>,
    /// Of a scatter plot: x and y, 0 to 100.
    pub(super) points: Vec<(i64, i64)>,
}

/// Everything that a question can be about.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) form: Form,
    pub(super) title: String,
    /// What a category is: `month`, `city` …
    pub(super) category: &'static str,
    pub(super) labels: Vec<&'static str>,
    pub(super) series: Vec<Series>,
    /// Difference between two lines of the grid; values are multiples of its half.
    pub(super) step: i64,
    pub(super) n_steps: i64,
    /// Whether values stand beside what shows them.
    pub(super) has_values: bool,
}

const CATEGORIES: [(&str, &[&str]); 6] = [
    ("month", &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]),
    ("day", &["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]),
    ("year", &["2016", "2017", "2018", "2019", "2020", "2021", "2022", "2023"]),
    ("city", &["Oslo", "Rome", "Lima", "Bern", "Kyiv", "Riga", "Cairo", "Delhi", "Paris", "Tokyo"]),
    ("fruit", &["apple", "pear", "plum", "fig", "lemon", "peach", "melon", "kiwi"]),
    ("team", &["Red", "Blue", "Lions", "Bears", "Owls", "Hawks", "Foxes"]),
];
/// Those whose order means something.
const N_ORDERED: usize = 3;
const SUBJECTS: [&str; 12] = [
    "Sales", "Visitors", "Orders", "Rainfall", "Output", "Exports", "Students", "Tickets", "Goals",
    "Repairs", "Calls", "Letters",
];
const SERIES: [&str; 10] =
    ["North", "South", "East", "West", "Plan", "Actual", "Shop A", "Shop B", "Girls", "Boys"];
/// Points of a scatter plot are at least this far apart, so that they can be counted.
const APART: i64 = 11;

impl Chart {
    pub(super) fn draw(rng: &mut Rng, level: u32) -> Self {
        let form = *pick(rng, &[Form::Columns, Form::Bars, Form::Line, Form::Pie, Form::Scatter]);
        let kinds = if form == Form::Line { &CATEGORIES[..N_ORDERED] } else { &CATEGORIES[..] };
        let kind = rng.below(kinds.len() as u64) as usize;
        let (category, names) = kinds[kind];
        let n_labels = (between(rng, 2, 3) + i64::from(level > 1) + i64::from(level > 2)) as usize;
        let labels = match kind < N_ORDERED {
            true => {
                let first = rng.below((names.len() - n_labels + 1) as u64) as usize;
                names[first..first + n_labels].to_vec()
            }
            false => some(rng, names, n_labels).into_iter().copied().collect(),
        };
        let subject = pick(rng, &SUBJECTS);
        let title = match form {
            Form::Scatter => format!("{subject} and price"),
            _ => format!("{subject} by {category}"),
        };
        let step = *pick(rng, &[2, 4, 10, 20, 50, 100, 200]);
        let n_steps = between(rng, 4, 5);
        let mut chart = Self {
            form,
            title,
            category,
            labels,
            series: Vec::new(),
            step,
            n_steps,
            has_values: rng.below(2) == 0,
        };
        let n_series = match form {
            Form::Scatter => 1 + rng.below(u64::from(level.min(3))),
            Form::Pie => 1,
            _ if level >= 3 => 1 + rng.below(2),
            _ => 1,
        };
        for name in some(rng, &SERIES, n_series as usize) {
            let (values, points) = match form {
                Form::Pie => (chart.shares(rng), Vec::new()),
                Form::Scatter => (Vec::new(), chart.points(rng, level)),
                _ => {
                    let value = |_: &&str| between(rng, 1, 2 * n_steps) * step / 2;
                    (chart.labels.iter().map(value).collect(), Vec::new())
                }
            };
            chart.series.push(Series { name, values, points });
        }
        // Two groups of columns leave no room for numbers.
        chart.has_values &= chart.series.len() == 1;
        chart
    }

    /// Multiples of five that make 100.
    fn shares(&self, rng: &mut Rng) -> Vec<i64> {
        let n = self.labels.len() as i64;
        let mut left = 20;
        let mut shares = Vec::new();
        for i in 0..n {
            let rest = n - i - 1;
            // Slices of 10 % and more can hold a number.
            let share = if rest == 0 { left } else { between(rng, 2, (left - 2 * rest).min(12)) };
            shares.push(5 * share);
            left -= share;
        }
        shares
    }

    /// Points that rise or fall clearly, none near another of any group.
    fn points(&self, rng: &mut Rng, level: u32) -> Vec<(i64, i64)> {
        let n = between(rng, 3, 3 + 2 * i64::from(level));
        let does_rise = rng.below(2) == 0;
        let mut points: Vec<(i64, i64)> = Vec::new();
        // A place may be full; then there are fewer.
        for _ in 0..400 {
            if points.len() as i64 == n {
                break;
            }
            let x = between(rng, 4, 96);
            let along = if does_rise { x } else { 100 - x };
            let y = along + between(rng, -18, 18);
            let others = self.series.iter().flat_map(|series| &series.points).chain(&points);
            let is_apart = |other: &(i64, i64)| (x - other.0).pow(2) + (y - other.1).pow(2) >= APART * APART;
            if (4..=96).contains(&y) && others.into_iter().all(is_apart) {
                points.push((x, y));
            }
        }
        points
    }

    pub(super) fn max(&self) -> i64 {
        self.step * self.n_steps
    }

    /// All that the picture says, so that the same data are on one side only.
    pub(super) fn content(&self) -> String {
        let series: Vec<String> = self
            .series
            .iter()
            .map(|series| match self.form {
                Form::Scatter => format!("{}: {:?}", series.name, series.points),
                _ => {
                    let values: Vec<String> =
                        self.labels.iter().zip(&series.values).map(|(l, v)| format!("{l} {v}")).collect();
                    format!("{}: {}", series.name, values.join(", "))
                }
            })
            .collect();
        format!("{} \"{}\"; {}", self.form.name(), self.title, series.join("; "))
    }
}
