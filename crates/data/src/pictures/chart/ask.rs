//! Questions about charts, and their answers.

use base::Rng;

use super::content::{Chart, Form};
use crate::pictures::pick;

/// A question of the level with one right answer; none if the chart has none for what was drawn.
pub(super) fn ask(rng: &mut Rng, level: u32, chart: &Chart) -> Option<(String, String)> {
    if level == 1 {
        return Some(match rng.below(3) {
            0 => ("What is the title of the chart?".to_owned(), chart.title.clone()),
            1 => ("What kind of chart is this?".to_owned(), chart.form.name().to_owned()),
            _ => counted(chart),
        });
    }
    match chart.form {
        Form::Scatter => ask_points(rng, level, chart),
        _ => ask_values(rng, level, chart),
    }
}

fn counted(chart: &Chart) -> (String, String) {
    match chart.form {
        Form::Columns | Form::Bars => {
            ("How many bars are there?".to_owned(), (chart.labels.len() * chart.series.len()).to_string())
        }
        Form::Pie => ("How many slices does the pie have?".to_owned(), chart.labels.len().to_string()),
        Form::Line => ("How many points does the line have?".to_owned(), chart.labels.len().to_string()),
        Form::Scatter => {
            let n: usize = chart.series.iter().map(|series| series.points.len()).sum();
            ("How many points are there?".to_owned(), n.to_string())
        }
    }
}

fn ask_points(rng: &mut Rng, level: u32, chart: &Chart) -> Option<(String, String)> {
    let series = pick(rng, &chart.series);
    let name = series.name;
    let of = if chart.series.len() > 1 { format!(" of {name}") } else { String::new() };
    Some(match level {
        2 => (format!("How many points{of} are there?"), series.points.len().to_string()),
        3 => match chart.series.len() {
            1 => counted(chart),
            _ => {
                let most = only_extreme(&chart.series, |series| series.points.len() as i64, true)?;
                ("Which group has the most points?".to_owned(), most.name.to_owned())
            }
        },
        _ => {
            if series.points.len() < 4 {
                return None;
            }
            let n = series.points.len() as i64;
            let mean = |of: fn(&(i64, i64)) -> i64| series.points.iter().map(of).sum::<i64>();
            let (x, y) = (mean(|p| p.0), mean(|p| p.1));
            // n² times the covariance; clear where it is above half of what a straight line would have.
            let product = |a: fn(&(i64, i64)) -> i64, b: fn(&(i64, i64)) -> i64| {
                series.points.iter().map(|p| a(p) * b(p)).sum::<i64>()
            };
            let covariance = n * product(|p| p.0, |p| p.1) - x * y;
            let variance = n * product(|p| p.0, |p| p.0) - x * x;
            if 2 * covariance.abs() < variance {
                return None;
            }
            let whose = if of.is_empty() { String::new() } else { format!("{of},") };
            let question = format!("From left to right, do the points{whose} rise or fall?");
            (question, if covariance > 0 { "rise" } else { "fall" }.to_owned())
        }
    })
}

fn ask_values(rng: &mut Rng, level: u32, chart: &Chart) -> Option<(String, String)> {
    let series = pick(rng, &chart.series);
    let unit = if chart.form == Form::Pie { "%" } else { "" };
    let of = if chart.series.len() > 1 { format!(" of {}", series.name) } else { String::new() };
    let i = rng.below(chart.labels.len() as u64) as usize;
    let j = (i + 1 + rng.below(chart.labels.len() as u64 - 1) as usize) % chart.labels.len();
    let (a, b) = (chart.labels[i], chart.labels[j]);
    let (x, y) = (series.values[i], series.values[j]);
    let pairs: Vec<(&str, i64)> = chart.labels.iter().copied().zip(series.values.iter().copied()).collect();
    let category = chart.category;
    let is_readable = chart.form != Form::Pie || chart.has_values;
    Some(match level {
        2 => match rng.below(2) {
            0 if is_readable => (format!("What is the value{of} for {a}?"), format!("{x}{unit}")),
            _ => {
                let is_most = rng.below(2) == 0;
                let (label, _) = only_extreme(&pairs, |pair| pair.1, is_most)?;
                let which = if is_most { "highest" } else { "lowest" };
                (format!("Which {category} has the {which} value{of}?"), (*label).to_owned())
            }
        },
        _ if !is_readable => return None,
        3 => match rng.below(3) {
            0 => (
                format!("What is the difference{of} between {a} and {b}?"),
                format!("{}{unit}", (x - y).abs()),
            ),
            1 => (format!("What do {a} and {b}{of} make together?"), format!("{}{unit}", x + y)),
            _ => {
                // A value of its own, halfway between two that occur.
                let limit = chart.max() / 2 + i64::from(chart.form == Form::Pie) * (30 - chart.max() / 2);
                if series.values.contains(&limit) {
                    return None;
                }
                let n = series.values.iter().filter(|value| **value > limit).count();
                let plural = plural(category);
                (format!("How many {plural} are above {limit}{unit}{of}?"), n.to_string())
            }
        },
        _ => match rng.below(3) {
            0 if chart.form != Form::Pie => (
                format!("What is the total{of} of all {}?", plural(category)),
                series.values.iter().sum::<i64>().to_string(),
            ),
            1 if chart.series.len() == 2 => {
                let [one, two] = &chart.series[..] else { return None };
                let gaps: Vec<(&str, i64)> = chart
                    .labels
                    .iter()
                    .zip(one.values.iter().zip(&two.values))
                    .map(|(label, (p, q))| (*label, (p - q).abs()))
                    .collect();
                let (label, _) = only_extreme(&gaps, |gap| gap.1, true)?;
                let question = format!("For which {category} do {} and {} differ most?", one.name, two.name);
                (question, (*label).to_owned())
            }
            _ => {
                let (top, most) = only_extreme(&pairs, |pair| pair.1, true)?;
                let (low, least) = only_extreme(&pairs, |pair| pair.1, false)?;
                if top == low {
                    return None;
                }
                let question =
                    format!("What is the difference between the highest and the lowest value{of}?");
                (question, format!("{}{unit}", most - least))
            }
        },
    })
}

fn plural(category: &str) -> String {
    match category.strip_suffix("ty") {
        Some(stem) => format!("{stem}ties"),
        None => format!("{category}s"),
    }
}

/// The one with the highest or lowest value, if there is one alone.
fn only_extreme<T>(items: &[T], value: impl Fn(&T) -> i64, is_most: bool) -> Option<&T> {
    let signed = |item: &T| if is_most { value(item) } else { -value(item) };
    let best = items.iter().map(signed).max()?;
    let mut found = items.iter().filter(|item| signed(item) == best);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::{super::content::Series, *};

    /// Answers by hand, for one chart.
    #[test]
    fn answers_are_right() {
        let series = Series { name: "North", values: vec![10, 30, 20], points: Vec::new() };
        let chart = Chart {
            form: Form::Columns,
            title: "Sales by city".to_owned(),
            category: "city",
            labels: vec!["Oslo", "Rome", "Lima"],
            series: vec![series],
            step: 10,
            n_steps: 5,
            has_values: true,
        };
        let right = [
            ("What is the title of the chart?", "Sales by city"),
            ("What kind of chart is this?", "bar chart"),
            ("How many bars are there?", "3"),
            ("What is the value for Rome?", "30"),
            ("Which city has the highest value?", "Rome"),
            ("Which city has the lowest value?", "Oslo"),
            ("What is the difference between Lima and Oslo?", "10"),
            ("What do Rome and Lima make together?", "50"),
            ("How many cities are above 25?", "1"),
            ("What is the total of all cities?", "60"),
            ("What is the difference between the highest and the lowest value?", "20"),
        ];
        let mut rng = Rng::new(1, 0);
        let asked: Vec<(String, String)> =
            (0..400).filter_map(|i| ask(&mut rng, 1 + i % 4, &chart)).collect();
        for (question, answer) in right {
            let found: Vec<&String> =
                asked.iter().filter(|(asked, _)| asked == question).map(|(_, answer)| answer).collect();
            assert!(!found.is_empty(), "{question} was never asked");
            assert!(found.iter().all(|found| *found == answer), "{question}: {found:?}");
        }
    }
}
