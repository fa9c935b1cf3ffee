//! Parts of a loss, forecast from made-up runs.

use super::*;
use crate::{Actual, Seal, Verdict, seal::tests::example};

/// The loss of answers about charts that the made-up runs have.
fn charts(flops: f64) -> f64 {
    0.2 + 30.0 / flops.powf(0.12)
}

/// Six runs from 10^12 to 3.2·10^13 FLOPs, each twice as large as the one before, two seeds each.
fn table() -> Table {
    let point = |i: i32, seed: u64| {
        let flops = 1e12 * 2f64.powi(i);
        Point {
            run: format!("{i}-{seed}"),
            n_params: None,
            n_tokens: None,
            flops,
            loss: (1.7 + 40.0 / flops.powf(0.12)) * (1.0 + 1e-3 * seed as f64),
            seed: Some(seed),
        }
    };
    Table::new((0..6).flat_map(|i| [point(i, 0), point(i, 1)]).collect()).unwrap()
}

fn losses(table: &Table, of: impl Fn(&Point) -> f64) -> Vec<PartLoss> {
    let loss = |point: &Point| PartLoss { run: point.run.clone(), loss: of(point), stderr: 0.03 };
    table.points().iter().map(loss).collect()
}

fn fit(losses: Vec<PartLoss>) -> PartForecast {
    let (settings, target) =
        (Settings { irreducible: Some(1.7), ..Settings::default() }, Target::at_flops(3e14));
    PartForecast::fit("charts", losses, &table(), &[], &settings, &target.unwrap())
}

/// Scatter of a hundredth about the law, as of seeds.
fn scattered(point: &Point) -> f64 {
    let sign = if point.seed == Some(1) { 1.0 } else { -1.0 };
    charts(point.flops) * (1.0 + 5e-3 * sign)
}

#[test]
fn a_part_that_follows_a_power_law_lies_inside_its_interval() {
    let part = fit(losses(&table(), scattered));
    let p = part.prediction.expect("a smooth law is forecast");
    let actual = charts(3e14);
    let outcome = part.judged(actual, 0.02);
    assert!(outcome.inside.unwrap().i80, "{part} {actual}");
    assert!((outcome.error_pct.unwrap() - 100.0 * (actual / p.median - 1.0)).abs() < 1e-9);
    assert!(half_width_pct(&p) < 15.0, "{part}");
    assert!(outcome.to_string().contains("inside the 80 % interval"), "{outcome}");
    // The floor of the table's own loss lies above these losses, and binds none of them.
    assert!(p.median < 1.7, "{part}");

    let far = part.judged(3.0 * p.hi95, 0.02);
    assert_eq!(far.inside.map(|inside| [inside.i50, inside.i80, inside.i95]), Some([false; 3]));
    assert!(far.to_string().contains("OUTSIDE the 80 % interval"), "{far}");
}

#[test]
fn the_runs_of_a_part_are_found_by_name_in_any_order() {
    let mut turned = losses(&table(), scattered);
    turned.reverse();
    assert_eq!(fit(turned).prediction, fit(losses(&table(), scattered)).prediction);
}

#[test]
fn a_part_that_cannot_be_fitted_is_refused_in_words() {
    let refused = |losses: Vec<PartLoss>| {
        let part = fit(losses);
        assert_eq!((part.prediction, &part.law), (None, &None), "{part}");
        let outcome = part.judged(1.0, 0.1);
        assert_eq!((outcome.inside, outcome.error_pct), (None, None));
        assert_eq!(outcome.to_string(), "charts not forecast, actual 1.0000 ± 0.1960");
        let why = part.refused.unwrap();
        assert!(!why.contains('\n') && !why.contains("hint"), "{why}");
        why
    };
    let rising = refused(losses(&table(), |point| point.flops.powf(0.1)));
    assert!(rising.contains("rise"), "{rising}");
    let mut one_less = losses(&table(), scattered);
    one_less.remove(3);
    assert!(refused(one_less.clone()).contains("`1-1`, found none"), "{one_less:?}");
    let mut twice = losses(&table(), scattered);
    twice.push(twice[0].clone());
    assert!(refused(twice).contains("`0-0`, found several"));
    assert!(refused(Vec::new()).contains("found none"));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let why = refused(losses(&table(), |_| bad));
        assert!(why.contains("finite number above 0"), "{why}");
    }
}

#[test]
fn an_interval_that_says_nothing_is_refused_with_its_bounds() {
    let p = |low: f64, high: f64| Prediction {
        median: 1.0,
        lo50: 1.0,
        hi50: 1.0,
        lo80: low,
        hi80: high,
        lo95: low,
        hi95: high,
    };
    assert_eq!(too_wide(&p(0.6, 1.5)), None);
    let why = too_wide(&p(0.4, 1.8)).unwrap();
    assert!(why.starts_with("the 80 % interval, 0.4000 to 1.8000, is ±70 % wide"), "{why}");
    assert!(too_wide(&p(f64::NAN, 1.0)).is_some());
}

#[test]
fn verdicts_without_parts_are_read_and_written_as_before() {
    let actual = Actual { loss: 2.5, flops: None, first_step_at: None };
    let verdict = Verdict::new(&example(), actual).unwrap();
    let text = serde_json::to_string(&verdict).unwrap();
    assert!(!text.contains("parts"), "{text}");
    assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
    let with = verdict.with_parts(vec![fit(losses(&table(), scattered)).judged(0.7, 0.01)]);
    let text = serde_json::to_string(&with).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), with);
}

#[test]
fn a_sealed_part_comes_back_bit_by_bit_and_a_change_of_it_shows() {
    let parts = [fit(losses(&table(), scattered)), fit(losses(&table(), |point| point.flops.powf(0.1)))];
    let seal = example().with_extra("answers", serde_json::to_value(&parts).unwrap());
    let json = seal.to_json();
    let read = Seal::read(json.as_bytes()).unwrap();
    let back: [PartForecast; 2] = serde_json::from_value(read.extra["answers"].clone()).unwrap();
    assert_eq!(back, parts);
    let target = Target::at_flops(3e14).unwrap();
    assert_eq!(back[0].refitted(&table(), &Settings::default(), &target).unwrap(), parts[0]);
    let changed = json.replacen("\"stderr\": 0.03", "\"stderr\": 0.01", 1);
    assert_ne!(changed, json);
    let error = Seal::read(changed.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("changed after sealing\nhint: "), "{error}");
}

/// Answers that begin to be read late: no law of the small runs shows it. The law of finished runs of the same design, corrected by
/// what it leaves of those nearby, goes a part of the way.
#[test]
fn reference_runs_show_a_part_of_what_is_learned_suddenly() {
    let (n, tokens) = (1e6, |i: i32| 1e6 * 2f64.powi(i));
    let loss = |d: f64| 1.9 * (d / 1e6).powf(-0.03) / (1.0 + (d / 2.5e7).powi(3));
    let point = |name: &str, i: i32, factor: f64| Point {
        run: format!("{name}-{i}"),
        n_params: Some(n),
        n_tokens: Some(tokens(i)),
        flops: 6.0 * n * tokens(i),
        loss: factor * loss(tokens(i)),
        seed: Some(0),
    };
    let table = Table::new((0..4).map(|i| point("rung", i, 1.01)).collect()).unwrap();
    let reference = Table::new((0..6).map(|i| point("other", i, 1.0)).collect()).unwrap();
    let references = [ReferenceRuns::new("other", &reference).unwrap()];
    let losses: Vec<PartLoss> = losses(&table, |point| point.loss);
    let target = Target::at_shape(n, tokens(5)).unwrap();
    let actual = 1.01 * loss(tokens(5));
    let fit = |references: &[ReferenceRuns]| {
        PartForecast::fit("words", losses.clone(), &table, references, &Settings::default(), &target)
    };
    let (without, with) = (fit(&[]), fit(&references));
    let error = |part: &PartForecast| part.judged(actual, 0.01).error_pct.map(f64::abs).unwrap();
    assert!(error(&without) > 60.0 && error(&with) < 40.0, "{without}, {with}, actual {actual}");
    let text = serde_json::to_string(&with).unwrap();
    let back: PartForecast = serde_json::from_str(&text).unwrap();
    assert_eq!(back.refitted(&table, &Settings::default(), &target).unwrap(), with);
}
