//! The figures of a training run, from its metrics.

use train::{Spiked, TrainStep, Validated};

use super::axis::{Axis, Scale};
use super::number::{grouped, significant, with_margin};
use super::plot::{Mark, Plot, Point, Series};
use super::read::{Metrics, loss_margin};

/// Points of a smooth curve that the page keeps; more cannot be told apart on a screen.
const MAX_POINTS: usize = 500;
/// Up to here a noisy curve is drawn step by step, beyond as the range of `MAX_POINTS` stretches.
const MAX_SINGLE_STEPS: usize = 1500;

/// Every figure, in the order of the page.
pub(super) fn figures(metrics: &Metrics) -> Vec<Plot> {
    vec![loss(metrics), scaling(metrics), rates(metrics), gradients(metrics), speed(metrics)]
}

fn loss(metrics: &Metrics) -> Plot {
    let steps = &metrics.steps;
    let points = column(steps, |line| line.tokens as f64, |line| line.loss_nats);
    let tokens_at = |step: u64| {
        let line = steps.get(steps.partition_point(|line| line.step < step))?;
        Some(line.tokens as f64)
    };
    let mut above = validations(metrics, |line| line.tokens as f64);
    above.extend(spikes(metrics, "loss_nats", tokens_at));
    let resumed: Vec<f64> = metrics.resumed.iter().filter_map(|step| tokens_at(*step)).collect();
    if !resumed.is_empty() {
        above.push(Series { label: "resumed".to_owned(), tone: 5, mark: Mark::Rules(resumed) });
    }
    // The steep start would take half of the height; the next figure shows it.
    let (low, high) = (above.iter().flat_map(|series| series.mark.ys()))
        .chain([quantile(&points, 0.0), quantile(&points, 0.97)])
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = (0.05 * (high - low)).max(1e-3);
    let n_above = points.iter().filter(|(_, y)| *y > high + room).count();

    let mut caption = smoothing_note(steps.len());
    if n_above > 0 {
        caption += &format!(
            " {} of {} steps lie above the frame.",
            grouped(n_above as u64),
            grouped(steps.len() as u64)
        );
    }
    let mut series = noisy(&points, "training", 1);
    series.extend(above);
    Plot {
        title: "Loss".into(),
        caption,
        x: Axis::linear("training tokens").over(0.0, points.last().map_or(1.0, |(x, _)| *x)),
        y: Axis::linear("nats per token").over((low - room).max(0.0), high + room),
        series,
        is_wide: true,
    }
}

fn scaling(metrics: &Metrics) -> Plot {
    let points = column(&metrics.steps, |line| line.flops, |line| line.loss_nats);
    let means = averaged(&log_stretches(&points, 200));
    let mut series = vec![
        behind(&points, &log_stretches(&points, MAX_POINTS), "training", 1),
        Series { label: "training, mean".to_owned(), tone: 1, mark: Mark::Line(means) },
    ];
    series.extend(validations(metrics, |line| line.flops));
    Plot {
        title: "Loss against compute".into(),
        caption: "The whole run; the strong line averages over equal lengths of the axis.".to_owned(),
        x: Axis::log("training FLOPs"),
        y: Axis::log("nats per token"),
        series,
        is_wide: false,
    }
}

fn rates(metrics: &Metrics) -> Plot {
    type Rate = fn(&TrainStep) -> f64;
    let roles: [(&str, Rate); 4] = [
        ("matrix", |line| line.lr_matrix),
        ("embedding", |line| line.lr_embedding),
        ("head", |line| line.lr_head),
        ("gain", |line| line.lr_gain),
    ];
    let steps = &metrics.steps;
    let peaks = roles.map(|(_, rate)| steps.iter().map(rate).fold(0.0, f64::max));
    let most = peaks.into_iter().fold(0.0, f64::max);
    let least = peaks.into_iter().filter(|peak| *peak > 0.0).fold(most, f64::min);
    // On one linear axis a group at a twentieth of another is a flat line.
    let scale = if most > 20.0 * least { Scale::Log } else { Scale::Linear };
    let series = roles.iter().zip(1..).map(|((name, rate), tone)| {
        let points = column(steps, |line| line.step as f64, rate);
        Series { label: (*name).to_owned(), tone, mark: Mark::Line(sampled(&points)) }
    });
    Plot {
        title: "Learning rates".into(),
        caption: "By the role of a parameter.".to_owned(),
        x: step_axis(steps),
        y: Axis { label: "learning rate", scale, range: None },
        series: series.collect(),
        is_wide: false,
    }
}

fn gradients(metrics: &Metrics) -> Plot {
    let points = column(&metrics.steps, |line| line.step as f64, |line| line.grad_norm);
    let mut series = noisy(&points, "gradient norm", 6);
    series.extend(spikes(metrics, "grad_norm", |step| Some(step as f64)));
    Plot {
        title: "Gradient norm".into(),
        caption: format!("Before clipping. {}", smoothing_note(points.len())),
        x: step_axis(&metrics.steps),
        y: Axis::log("Euclidean norm"),
        series,
        is_wide: false,
    }
}

fn speed(metrics: &Metrics) -> Plot {
    let points = column(&metrics.steps, |line| line.step as f64, |line| line.tokens_per_second);
    Plot {
        title: "Speed".into(),
        caption: smoothing_note(points.len()),
        x: step_axis(&metrics.steps),
        y: Axis::linear("tokens per second"),
        series: noisy(&points, "tokens per second", 3),
        is_wide: false,
    }
}

/// The validations on as much text as the last one, and apart from them those on another amount: the noise of
/// the two is not the same.
fn validations(metrics: &Metrics, x: impl Fn(&Validated) -> f64) -> Vec<Series> {
    let Some(last) = metrics.validations.last() else { return Vec::new() };
    let n_tokens = |line: &&Validated| line.validation.n_tokens;
    let (alike, others): (Vec<_>, Vec<_>) =
        metrics.validations.iter().partition(|line| n_tokens(line) == n_tokens(&last));
    let point = |line: &&Validated| {
        let (y, margin) = (line.validation.loss_nats, loss_margin(&line.validation));
        let (value, error) = with_margin(y, margin);
        let n = grouped(n_tokens(line));
        let note = format!("step {}: {value} ± {error} nats per token, n = {n} tokens", line.step);
        Point { x: x(line), y, low: y - margin, high: y + margin, note }
    };
    let series = |lines: &[&Validated], tone: usize| {
        let (least, most) = (lines.iter().map(n_tokens).min()?, lines.iter().map(n_tokens).max()?);
        let n =
            if least == most { grouped(least) } else { format!("{} to {}", grouped(least), grouped(most)) };
        let label = format!("validation, 95 % interval, n = {n} tokens");
        Some(Series { label, tone, mark: Mark::Points(lines.iter().map(point).collect()) })
    };
    [series(&others, 2), series(&alike, if others.is_empty() { 2 } else { 3 })]
        .into_iter()
        .flatten()
        .collect()
}

/// The spikes `of` one quantity, if there are such.
fn spikes(metrics: &Metrics, of: &str, x: impl Fn(u64) -> Option<f64>) -> Option<Series> {
    let point = |Spiked { step, spike, .. }: &Spiked| {
        let note = format!("step {step}: {}, z = {}", significant(spike.value, 4), significant(spike.z, 3));
        Some(Point { x: x(*step)?, y: spike.value, low: f64::NAN, high: f64::NAN, note })
    };
    let points: Vec<Point> = metrics.spikes.iter().filter(|spike| spike.of == of).filter_map(point).collect();
    (!points.is_empty()).then(|| Series { label: "spike".to_owned(), tone: 4, mark: Mark::Points(points) })
}

fn step_axis(steps: &[TrainStep]) -> Axis {
    Axis::linear("step").over(0.0, steps.last().map_or(1.0, |line| line.step as f64))
}

fn column(
    steps: &[TrainStep],
    x: impl Fn(&TrainStep) -> f64,
    y: impl Fn(&TrainStep) -> f64,
) -> Vec<(f64, f64)> {
    steps.iter().map(|line| (x(line), y(line))).collect()
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

/// Centred running mean. Where the window does not fit it shrinks on both sides at the start, since a one-sided
/// mean is off where the curve is steep; at the end the line stops, since a mean over few values is noise.
fn smoothed(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let half = window / 2;
    // Sums from the start, so that the cost does not grow with the window.
    let sums: Vec<f64> = std::iter::once(0.0)
        .chain(points.iter().scan(0.0, |sum, (_, y)| {
            *sum += y;
            Some(*sum)
        }))
        .collect();
    let mean = |(i, (x, _)): (usize, &(f64, f64))| {
        let reach = half.min(i);
        let sum = sums.get(i + reach + 1)? - sums[i - reach];
        Some((*x, sum / (2 * reach + 1) as f64))
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

/// `(x, least, most)` of each stretch.
fn ranges(stretches: &[&[(f64, f64)]]) -> Vec<(f64, f64, f64)> {
    let range = |stretch: &&[(f64, f64)]| {
        let ys = || stretch.iter().map(|(_, y)| *y);
        Some((stretch[stretch.len() / 2].0, ys().reduce(f64::min)?, ys().reduce(f64::max)?))
    };
    stretches.iter().filter_map(range).collect()
}

/// The middle and the mean of each stretch.
fn averaged(stretches: &[&[(f64, f64)]]) -> Vec<(f64, f64)> {
    let mean = |stretch: &&[(f64, f64)]| {
        let sum: f64 = stretch.iter().map(|(_, y)| y).sum();
        (stretch[stretch.len() / 2].0, sum / stretch.len() as f64)
    };
    stretches.iter().map(mean).collect()
}

fn quantile(points: &[(f64, f64)], q: f64) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((q * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_mean_leaves_a_straight_line_alone() {
        let line: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), 3.0 - 0.5 * f64::from(i))).collect();
        let means = smoothed(&line, 9);
        assert_eq!(means.len(), 46, "from the first step to the last whose window fits");
        for ((_, want), (_, got)) in line.iter().zip(means) {
            assert!((want - got).abs() < 1e-12, "{want} {got}");
        }
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
    fn a_mean_stands_in_the_middle_of_its_stretch() {
        let points = [(1.0, 4.0), (1.1, 5.0), (1.2, 6.0), (100.0, 2.0)];
        assert_eq!(averaged(&log_stretches(&points, 4)), [(1.1, 5.0), (100.0, 2.0)]);
        assert_eq!(averaged(&log_stretches(&points[..1], 4)), [(1.0, 4.0)]);
        assert!(log_stretches(&[], 4).is_empty());
    }
}
