use super::*;
use crate::stats::random::Stream;

const FLOPS: [f64; 7] = [1e12, 3e12, 1e13, 3e13, 1e14, 3e14, 1e15];

/// Runs whose problems follow the report's law: `−ln p_i = h_i·(C/C_i)^−k`, with problems of growing difficulty.
fn planted(outcome: impl Fn(f64, &mut Stream) -> Outcome) -> Vec<PassRateRow> {
    let mut rng = Stream::new(3, 0);
    let mut rows = Vec::new();
    for (r, flops) in FLOPS.into_iter().enumerate() {
        for problem in 0..60 {
            let ln_p = ln_p(problem, flops);
            let loss_nats = 1.5 + 3.0 * (flops / 1e12).powf(-0.1);
            rows.push(PassRateRow {
                run: format!("r{r}"),
                flops,
                loss_nats,
                problem: format!("p{problem:02}"),
                outcome: outcome(ln_p, &mut rng),
            });
        }
    }
    rows
}

fn ln_p(problem: usize, flops: f64) -> f64 {
    -0.6 * (0.06 * problem as f64).exp() * (flops / 1e13).powf(-0.15)
}

fn sampled(n: u64) -> impl Fn(f64, &mut Stream) -> Outcome {
    move |ln_p, rng| Outcome::Sampled {
        n,
        passes: (0..n).filter(|_| rng.uniform() < ln_p.exp()).count() as u64,
    }
}

fn actual(forecast: &BucketForecast, flops: f64) -> f64 {
    let rates = forecast.problems.iter().map(|name| ln_p(name[1..].parse().unwrap(), flops).exp());
    rates.sum::<f64>() / forecast.problems.len() as f64
}

fn losses(flops: f64) -> Vec<f64> {
    vec![1.5 + 3.0 * (flops / 1e12).powf(-0.1)]
}

#[test]
fn the_planted_law_is_recovered_from_exact_probabilities() {
    let table = PassRateTable::new(&planted(|ln_p, _| Outcome::Exact { ln_p })).unwrap();
    let fitted = PassRateForecast::fit(&table, &PassRateSettings::default()).unwrap();
    let forecasts = fitted.at(1e17, &losses(1e17));
    assert_eq!(forecasts.len(), 6);
    assert_eq!(fitted.form(), PassRateForm::PowerLaw, "{:?}", fitted.competition());
    for forecast in &forecasts {
        let (found, wanted) = (forecast.pass_rate.unwrap(), actual(forecast, 1e17));
        assert!(
            (found.median - wanted).abs() < 0.01,
            "bucket {}: {found:?}, planted {wanted}",
            forecast.bucket
        );
        assert!(found.covers(80, wanted));
    }
    assert!(
        forecasts
            .windows(2)
            .all(|pair| pair[0].pass_rate.unwrap().median > pair[1].pass_rate.unwrap().median)
    );
}

#[test]
fn the_planted_law_is_recovered_from_samples_with_problems_never_solved() {
    let rows = planted(sampled(40));
    let n_unsolved =
        rows.iter().filter(|row| matches!(row.outcome, Outcome::Sampled { passes: 0, .. })).count();
    assert!(n_unsolved > rows.len() / 20, "{n_unsolved} of {} never solved", rows.len());
    let settings = PassRateSettings { form: Some(PassRateForm::PowerLaw), ..Default::default() };
    let forecasts = PassRateForecast::fit(&PassRateTable::new(&rows).unwrap(), &settings)
        .unwrap()
        .at(1e17, &losses(1e17));
    let mut inside = 0;
    // The hardest problems were never solved: 40 samples do not see e^−10.
    assert!(forecasts[5].refused.as_ref().is_some_and(|why| why.contains("every rung is at the floor")));
    for forecast in &forecasts[..5] {
        let (found, wanted) = (forecast.pass_rate.unwrap(), actual(forecast, 1e17));
        assert!(
            (found.median - wanted).abs() < 0.1,
            "bucket {}: {found:?}, planted {wanted}",
            forecast.bucket
        );
        inside += usize::from(found.covers(95, wanted));
    }
    assert!(inside >= 4, "{inside} of 5 inside of 95 %");
}

#[test]
fn dropping_unsolved_problems_would_bias_the_law_and_censoring_does_not() {
    let settings =
        PassRateSettings { n_buckets: 1, form: Some(PassRateForm::PowerLaw), ..Default::default() };
    let hard = |rows: Vec<PassRateRow>| -> Vec<PassRateRow> {
        rows.into_iter().filter(|row| ("p20".."p45").contains(&row.problem.as_str())).collect()
    };
    let rows = hard(planted(sampled(40)));
    let at_small = |rows: &[PassRateRow]| {
        let fitted = PassRateForecast::fit(&PassRateTable::new(rows).unwrap(), &settings).unwrap();
        let forecast = fitted.at(1e12, &losses(1e12)).remove(0);
        forecast.minus_mean_ln_p.unwrap().median
    };
    let wanted: f64 = (20..45).map(|problem| -ln_p(problem, 1e12)).sum::<f64>() / 25.0;
    let censored = at_small(&rows);
    // What the report did: only problems that every model solved at least once.
    let unsolved: BTreeSet<String> = rows
        .iter()
        .filter(|row| matches!(row.outcome, Outcome::Sampled { passes: 0, .. }))
        .map(|row| row.problem.clone())
        .collect();
    let kept: Vec<PassRateRow> =
        rows.iter().filter(|row| !unsolved.contains(&row.problem)).cloned().collect();
    let dropped = if kept.is_empty() { 0.0 } else { at_small(&kept) };
    let (bias, bias_dropped) = ((censored / wanted).ln(), (dropped.max(1e-3) / wanted).ln());
    assert!(bias.abs() < 0.25, "censored {censored:.2}, planted {wanted:.2}");
    assert!(bias_dropped < -0.35, "dropped {dropped:.2}, planted {wanted:.2}: no bias to avoid");
}

#[test]
fn a_reversal_is_refused_in_words() {
    let mut rows = planted(|ln_p, _| Outcome::Exact { ln_p });
    for row in &mut rows {
        row.outcome = Outcome::Exact { ln_p: -0.5 * (row.flops / 1e12).powf(0.1) };
    }
    let error =
        PassRateForecast::fit(&PassRateTable::new(&rows).unwrap(), &PassRateSettings::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("pass rate falls as compute grows") && text.contains("Hindsight Neglect"),
        "{text}"
    );
}

#[test]
fn a_bucket_on_the_floor_is_refused_and_the_others_are_not() {
    let mut rows = planted(sampled(40));
    for row in rows.iter_mut().filter(|row| row.problem.as_str() >= "p50") {
        row.outcome = Outcome::Sampled { n: 40, passes: 0 };
    }
    let fitted =
        PassRateForecast::fit(&PassRateTable::new(&rows).unwrap(), &PassRateSettings::default()).unwrap();
    let forecasts = fitted.at(1e16, &losses(1e16));
    assert!(forecasts[5].pass_rate.is_none());
    assert!(forecasts[5].refused.as_ref().unwrap().contains("every rung is at the floor"));
    assert!(forecasts[..5].iter().all(|forecast| forecast.pass_rate.is_some()));
}

#[test]
fn the_loss_forecast_widens_the_two_step_interval() {
    let table = PassRateTable::new(&planted(|ln_p, _| Outcome::Exact { ln_p })).unwrap();
    let settings = PassRateSettings { form: Some(PassRateForm::TwoStep), ..Default::default() };
    let fitted = PassRateForecast::fit(&table, &settings).unwrap();
    let width = |draws: &[f64]| {
        let found = fitted.at(1e16, draws)[2].pass_rate.unwrap();
        found.hi80 - found.lo80
    };
    let exact = losses(1e16);
    let spread: Vec<f64> = (0..400).map(|i| exact[0] + 0.4 * (f64::from(i % 20) / 19.0 - 0.5)).collect();
    assert!(width(&spread) > 1.2 * width(&exact), "{} and {}", width(&spread), width(&exact));
}

#[test]
fn the_same_seed_gives_the_same_draws() {
    let table = PassRateTable::new(&planted(sampled(20))).unwrap();
    let settings = PassRateSettings { n_draws: 20, ..Default::default() };
    let draw = || PassRateForecast::fit(&table, &settings).unwrap().at(1e16, &losses(1e16));
    assert_eq!(draw(), draw());
}

#[test]
fn incomplete_tables_are_refused_by_name() {
    let rows = planted(|ln_p, _| Outcome::Exact { ln_p });
    let refuse = |rows: &[PassRateRow]| PassRateTable::new(rows).unwrap_err().to_string();
    assert!(refuse(&rows[1..]).contains("run `r0`, problem `p00`: expected one outcome, found 0"));
    let twice: Vec<PassRateRow> = rows.iter().chain(&rows[..1]).cloned().collect();
    assert!(refuse(&twice).contains("run `r0`, problem `p00`: expected one outcome, found 2"));
    let mut bad = rows.clone();
    bad[7].outcome = Outcome::Exact { ln_p: 0.5 };
    assert!(refuse(&bad).contains("a finite `ln_p` of at most 0, found 0.5"));
    bad[7].outcome = Outcome::Sampled { n: 3, passes: 4 };
    assert!(refuse(&bad).contains("no more passes than samples, found 4 of 3"));
}
