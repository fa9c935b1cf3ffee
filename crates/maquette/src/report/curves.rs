//! The figures of a training run, from its metrics.

use super::axis::{Axis, Scale};
use super::number::{grouped, significant, with_margin};
use super::plot::{Mark, Plot, Point, Series};
use super::read::{Metrics, Train, Validation};

/// Points of a smooth curve that the page keeps; more cannot be told apart on a screen.
const MAX_POINTS: usize = 500;
/// Up to here a noisy curve is drawn step by step, beyond as the range of `MAX_POINTS` stretches.
const MAX_SINGLE_STEPS: usize = 1500;

/// Every figure, in the order of the page.
pub(super) fn figures(metrics: &Metrics) -> Vec<Plot> {
    vec![loss(metrics), scaling(metrics), rates(metrics), gradients(metrics), speed(metrics)]
}

fn loss(metrics: &Metrics) -> Plot {
    let train = &metrics.train;
    let points = column(train, |line| line.tokens as f64, |line| line.loss_nats);
    let validation = validation_points(metrics, |line| line.tokens as f64);
    let tokens_at = |step: u64| {
        let line = train.get(train.partition_point(|line| line.step < step))?;
        Some(line.tokens as f64)
    };
    let spikes: Vec<Point> = metrics
        .spikes
        .iter()
        .filter_map(|spike| {
            Some(Point {
                x: tokens_at(spike.step)?,
                y: spike.loss_nats,
                low: f64::NAN,
                high: f64::NAN,
                note: format!(
                    "step {}: {} nats, z = {}",
                    spike.step,
                    significant(spike.loss_nats, 4),
                    significant(spike.z, 2)
                ),
            })
        })
        .collect();
    // The steep start would take half of the height; the next figure shows it.
    let shown = validation.iter().flat_map(|p| [p.low, p.high, p.y]).chain(spikes.iter().map(|p| p.y));
    let (low, high) = shown
        .chain([quantile(&points, 0.0), quantile(&points, 0.97)])
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = (0.05 * (high - low)).max(1e-3);
    let n_above = points.iter().filter(|(_, y)| *y > high + room).count();

    let mut caption = smoothing_note(train.len());
    if n_above > 0 {
        caption += &format!(
            " {} of {} steps lie above the frame.",
            grouped(n_above as u64),
            grouped(train.len() as u64)
        );
    }
    let mut series = noisy(&points, "training", 1);
    series.push(points_series("validation, 95 % interval", 2, validation));
    if !spikes.is_empty() {
        series.push(points_series("spike", 4, spikes));
    }
    let resumed: Vec<f64> = metrics.resumed.iter().filter_map(|step| tokens_at(*step)).collect();
    if !resumed.is_empty() {
        series.push(Series { label: "resumed".to_owned(), tone: 5, mark: Mark::Rules(resumed) });
    }
    Plot {
        title: "Loss",
        caption,
        x: Axis::linear("training tokens").over(0.0, points.last().map_or(1.0, |(x, _)| *x)),
        y: Axis::linear("nats per token").over((low - room).max(0.0), high + room),
        series,
        is_wide: true,
    }
}

fn scaling(metrics: &Metrics) -> Plot {
    let points = column(&metrics.train, |line| line.flops, |line| line.loss_nats);
    let means = averaged(&log_stretches(&points, 200));
    let mut series = vec![
        behind(&points, &log_stretches(&points, MAX_POINTS), "training", 1),
        Series { label: "training, mean".to_owned(), tone: 1, mark: Mark::Line(means) },
    ];
    series.push(points_series("validation, 95 % interval", 2, validation_points(metrics, |line| line.flops)));
    Plot {
        title: "Loss against compute",
        caption: "The whole run; the strong line averages over equal lengths of the axis.".to_owned(),
        x: Axis::log("training FLOPs"),
        y: Axis::log("nats per token"),
        series,
        is_wide: false,
    }
}

fn rates(metrics: &Metrics) -> Plot {
    let train = &metrics.train;
    let mut names: Vec<&String> = train.iter().flat_map(|line| line.lr.keys()).collect();
    names.sort();
    names.dedup();
    let peak =
        |name: &String| train.iter().filter_map(|line| line.lr.get(name)).fold(0.0, |a: f64, b| a.max(*b));
    let peaks: Vec<f64> = names.iter().map(|name| peak(name)).filter(|peak| *peak > 0.0).collect();
    let (least, most) =
        peaks.iter().fold((f64::INFINITY, 0.0), |(a, b): (f64, f64), p| (a.min(*p), b.max(*p)));
    // On one linear axis a group at a twentieth of another is a flat line.
    let scale = if most > 20.0 * least { Scale::Log } else { Scale::Linear };
    let series = names.iter().zip(1..).map(|(name, tone)| {
        let rate = |line: &Train| line.lr.get(*name).copied().unwrap_or(f64::NAN);
        let points = column(train, |line| line.step as f64, rate);
        Series { label: (*name).clone(), tone: (tone - 1) % 6 + 1, mark: Mark::Line(sampled(&points)) }
    });
    Plot {
        title: "Learning rates",
        caption: "By parameter group.".to_owned(),
        x: steps(train),
        y: Axis { label: "learning rate", scale, range: None },
        series: series.collect(),
        is_wide: false,
    }
}

fn gradients(metrics: &Metrics) -> Plot {
    let points = column(&metrics.train, |line| line.step as f64, |line| line.grad_norm);
    Plot {
        title: "Gradient norm",
        caption: smoothing_note(points.len()),
        x: steps(&metrics.train),
        y: Axis::log("Euclidean norm"),
        series: noisy(&points, "gradient norm", 6),
        is_wide: false,
    }
}

fn speed(metrics: &Metrics) -> Plot {
    let points = column(&metrics.train, |line| line.step as f64, |line| line.tokens_per_second);
    Plot {
        title: "Speed",
        caption: smoothing_note(points.len()),
        x: steps(&metrics.train),
        y: Axis::linear("tokens per second"),
        series: noisy(&points, "tokens per second", 3),
        is_wide: false,
    }
}

fn validation_points(metrics: &Metrics, x: impl Fn(&Validation) -> f64) -> Vec<Point> {
    let point = |line: &Validation| {
        let (y, margin) = (line.score.loss_nats, line.score.loss_margin());
        let (value, error) = with_margin(y, margin);
        let note = format!("step {}: {value} ± {error} nats per token", line.step);
        Point { x: x(line), y, low: y - margin, high: y + margin, note }
    };
    metrics.validation.iter().map(point).collect()
}

fn steps(train: &[Train]) -> Axis {
    Axis::linear("step").over(0.0, train.last().map_or(1.0, |line| line.step as f64))
}

fn points_series(label: &str, tone: usize, points: Vec<Point>) -> Series {
    Series { label: label.to_owned(), tone, mark: Mark::Points(points) }
}

fn column(train: &[Train], x: impl Fn(&Train) -> f64, y: impl Fn(&Train) -> f64) -> Vec<(f64, f64)> {
    train.iter().map(|line| (x(line), y(line))).collect()
}

/// The values step by step or as their range, and their running mean over it.
fn noisy(points: &[(f64, f64)], label: &str, tone: usize) -> Vec<Series> {
    let stretches: Vec<_> = points.chunks(points.len().div_ceil(MAX_POINTS).max(1)).collect();
    let mean = Mark::Line(sampled(&smoothed(points, window(points.len()))));
    vec![
        behind(points, &stretches, label, tone),
        Series { label: format!("{label}, mean"), tone, mark: mean },
    ]
}

/// The values as they are, or the range of each stretch where there are too many.
fn behind(points: &[(f64, f64)], stretches: &[&[(f64, f64)]], label: &str, tone: usize) -> Series {
    if points.len() <= MAX_SINGLE_STEPS {
        Series { label: format!("{label}, each step"), tone, mark: Mark::Faint(points.to_vec()) }
    } else {
        Series { label: format!("{label}, range"), tone, mark: Mark::Band(ranges(stretches)) }
    }
}

fn smoothing_note(n: usize) -> String {
    match window(n) {
        1 => String::new(),
        window => format!("The strong line is a running mean over {} steps.", grouped(window as u64)),
    }
}

/// Odd, about a fiftieth of the run.
fn window(n: usize) -> usize {
    n / 100 * 2 + 1
}

/// Centred running mean. NaN counts as absent. Where the window does not fit it shrinks on both sides at the
/// start, since a one-sided mean is off where the curve is steep; at the end the line stops, since a mean over
/// few values is noise.
fn smoothed(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let half = window / 2;
    // Sums from the start, so that the cost does not grow with the window.
    let sums: Vec<(f64, f64)> = std::iter::once((0.0, 0.0))
        .chain(points.iter().scan((0.0, 0.0), |(sum, n), (_, y)| {
            if y.is_finite() {
                (*sum, *n) = (*sum + y, *n + 1.0);
            }
            Some((*sum, *n))
        }))
        .collect();
    let mean = |(i, (x, _)): (usize, &(f64, f64))| {
        let reach = half.min(i);
        let (from, to) = (sums[i - reach], sums.get(i + reach + 1)?);
        Some((*x, (to.0 - from.0) / (to.1 - from.1)))
    };
    points.iter().enumerate().map_while(mean).collect()
}

/// At most `MAX_POINTS` points, evenly chosen, first and last among them.
fn sampled(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    (0..MAX_POINTS).map(|i| points[i * (points.len() - 1) / (MAX_POINTS - 1)]).collect()
}

/// Cuts a curve whose `x` rises into at most `n_max + 1` stretches of equal length on a logarithmic axis.
fn log_stretches(points: &[(f64, f64)], n_max: usize) -> Vec<&[(f64, f64)]> {
    let (Some(first), Some(last)) = (points.iter().find(|(x, _)| *x > 0.0), points.last()) else {
        return Vec::new();
    };
    let length = ((last.0 / first.0).ln() / n_max as f64).max(f64::MIN_POSITIVE);
    let place = |x: f64| ((x / first.0).ln() / length).floor();
    points.chunk_by(|a, b| place(a.0) == place(b.0)).collect()
}

/// `(x, least, most)` of each stretch; one without a number is left out.
fn ranges(stretches: &[&[(f64, f64)]]) -> Vec<(f64, f64, f64)> {
    let range = |stretch: &&[(f64, f64)]| {
        let finite = || stretch.iter().map(|(_, y)| *y).filter(|y| y.is_finite());
        let (low, high) = (finite().reduce(f64::min)?, finite().reduce(f64::max)?);
        Some((stretch[stretch.len() / 2].0, low, high))
    };
    stretches.iter().filter_map(range).collect()
}

/// The middle and the mean of each stretch; one without a number is left out.
fn averaged(stretches: &[&[(f64, f64)]]) -> Vec<(f64, f64)> {
    let mean = |stretch: &&[(f64, f64)]| {
        let (sum, n) = stretch
            .iter()
            .filter(|(_, y)| y.is_finite())
            .fold((0.0, 0.0), |(sum, n): (f64, f64), (_, y)| (sum + y, n + 1.0));
        (n > 0.0).then(|| (stretch[stretch.len() / 2].0, sum / n))
    };
    stretches.iter().filter_map(mean).collect()
}

fn quantile(points: &[(f64, f64)], q: f64) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|(_, y)| *y).filter(|y| y.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((q * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_mean_leaves_a_straight_line_alone_and_skips_nan() {
        let line: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), 3.0 - 0.5 * f64::from(i))).collect();
        let means = smoothed(&line, 9);
        assert_eq!(means.len(), 46, "from the first step to the last whose window fits");
        for ((_, want), (_, got)) in line.iter().zip(means) {
            assert!((want - got).abs() < 1e-12, "{want} {got}");
        }
        let with_gap = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        assert_eq!(smoothed(&with_gap, 3)[1], (1.0, 2.0));
    }

    #[test]
    fn a_long_curve_keeps_its_ends_and_its_extremes() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        points[77_777].1 = 9.0;
        let kept = sampled(&points);
        assert_eq!((kept.len(), kept[0].0, kept[MAX_POINTS - 1].0), (MAX_POINTS, 0.0, 99_999.0));
        let stretches = log_stretches(&points, MAX_POINTS);
        assert!(stretches.len() <= MAX_POINTS + 1 && stretches[1].len() == 1, "{}", stretches.len());
        assert_eq!(stretches.concat().len(), points.len(), "no step is lost");
        assert!(ranges(&stretches).iter().any(|(_, _, high)| *high == 9.0));
    }

    #[test]
    fn averages_skip_what_is_not_a_number() {
        let points = [(1.0, 4.0), (1.1, f64::NAN), (1.2, 6.0), (100.0, 2.0), (10_000.0, f64::NAN)];
        assert_eq!(averaged(&log_stretches(&points, 4)), [(1.1, 5.0), (100.0, 2.0)]);
        assert_eq!(averaged(&log_stretches(&points[..1], 4)), [(1.0, 4.0)]);
        assert!(log_stretches(&[], 4).is_empty());
    }
}
