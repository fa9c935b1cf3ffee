use super::*;
use crate::{
    curve::tests::{final_loss, ladder, synthetic},
    stats::random::Stream,
};

const RATE: f64 = 0.05;

fn forecast() -> CurveForecast {
    let run = synthetic(1e15, 4, 8192.0);
    CurveForecast::fit(&ladder(2), &run.plan, &final_loss(&run)).unwrap()
}

/// A healthy run drawn from the forecast's own model, the unknown scale of the spread included.
fn healthy(forecast: &CurveForecast, seed: u64) -> Vec<f64> {
    healthy_and_end(forecast, seed).0
}

/// The same, and how far its end lies from the sealed forecast, in ln loss.
fn healthy_and_end(forecast: &CurveForecast, seed: u64) -> (Vec<f64>, f64) {
    let mut rng = Stream::new(seed, 1);
    let nu = forecast.degrees_of_freedom;
    let scale = (nu / rng.chi_squared(nu)).sqrt();
    let offset = scale * forecast.final_sd * rng.normal();
    let (mut wander, mut before): (f64, Option<f64>) = (rng.normal(), None);
    let mut values = Vec::new();
    for block in &forecast.blocks {
        if let Some(before) = before {
            let rho = (-(block.coordinate - before) / forecast.correlation_length).exp();
            wander = rho * wander + (1.0 - rho * rho).sqrt() * rng.normal();
        }
        before = Some(block.coordinate);
        let level = block.ln_value + block.sensitivity * offset + block.shape_sd * scale * wander;
        let level = level + block.rung_noise_sd * rng.normal();
        values.extend((0..block.n_steps).map(|_| (level + block.step_noise_sd * rng.normal()).exp()));
    }
    (values, offset)
}

/// The alarm of a run with these losses, if any; thresholds are `fresh`'s.
fn watch(fresh: &Watch, values: &[f64]) -> Option<Alarm> {
    let mut watch = fresh.clone();
    for (idx, value) in values.iter().enumerate() {
        if let Some(alarm) = watch.observe(idx as u64 + 1, *value).unwrap() {
            return Some(alarm.clone());
        }
    }
    None
}

fn fresh(rate: f64) -> Watch {
    Watch::new(forecast(), rate).unwrap()
}

/// The most alarms among `n` healthy runs that a rate of `rate` allows, three standard errors above.
fn most(rate: f64, n: f64) -> f64 {
    n * rate + 3.0 * (n * rate * (1.0 - rate)).sqrt()
}

#[test]
fn healthy_runs_of_the_model_alarm_no_more_often_than_stated() {
    for rate in [0.5, RATE, 0.01] {
        let fresh = fresh(rate);
        let alarms =
            (0..1500).filter(|seed| watch(&fresh, &healthy(fresh.forecast(), *seed)).is_some()).count();
        assert!(alarms as f64 <= most(rate, 1500.0), "{alarms} of 1500 alarmed at a rate of {rate}");
        // Not by never alarming: thresholds are no higher than the rate asks for.
        assert!(alarms as f64 >= 0.2 * rate * 1500.0, "{alarms} of 1500 alarmed at a rate of {rate}");
    }
}

#[test]
fn half_a_run_narrows_the_forecast_of_its_end() {
    let fresh = fresh(RATE);
    let before = fresh.revised(2.0);
    assert_eq!(before.0, 2.0);
    let (mut n_inside, mut width) = (0, 0.0);
    for seed in 0..300 {
        let (values, offset) = healthy_and_end(fresh.forecast(), seed);
        let mut watch = fresh.clone();
        for (idx, value) in values.iter().take(values.len() / 2).enumerate() {
            watch.observe(idx as u64 + 1, *value).unwrap();
        }
        let (_, low, high) = watch.revised(2.0);
        n_inside += usize::from((low..=high).contains(&(2.0 * offset.exp())));
        width += (high - low) / 300.0;
    }
    // The scale of the spread is drawn too, which the filter takes as known: a little below 80 %.
    assert!((195..=270).contains(&n_inside), "{n_inside} of 300 inside the 80 % interval");
    // Seen 0.78: the forecast was sharp already.
    assert!(width < 0.85 * (before.2 - before.1), "{width} and {before:?}");
}

#[test]
fn healthy_runs_of_fresh_ladders_alarm_about_as_often_as_stated() {
    // The spread is estimated again from six rungs each time, and the truth is not of the forecast's form, which no threshold
    // can make up for: 73 of 300 alarm where 60 would be the stated rate. This catches a spread that is left out.
    let (n, rate) = (300, 0.2);
    let alarms = (0..n)
        .filter(|seed| {
            let run = synthetic(1e15, 5000 + seed, 8192.0);
            let forecast = CurveForecast::fit(&ladder(100 + seed), &run.plan, &final_loss(&run)).unwrap();
            watch(&Watch::new(forecast, rate).unwrap(), &run.train_loss_nats).is_some()
        })
        .count();
    assert!(alarms as f64 <= most(rate, n as f64), "{alarms} of {n} alarmed");
}

#[test]
fn planted_faults_alarm_early() {
    let (fresh, forecast) = (fresh(0.01), forecast());
    let steps = forecast.steps as f64;
    // The spread between runs is as estimated. A run that alarms without a fault says nothing of the fault; at the stated
    // rate of one in a hundred, two of twenty are already many.
    let scale_known = CurveForecast { degrees_of_freedom: 1e9, ..forecast };
    let runs: Vec<Vec<f64>> = (0..20)
        .map(|seed| healthy(&scale_known, seed))
        .filter(|values| watch(&fresh, values).is_none())
        .collect();
    assert!(runs.len() >= 18, "{} of 20 healthy runs stayed quiet", runs.len());
    let fault = |name: &str, change: &dyn Fn(f64) -> f64, before: f64, is_above: bool| {
        for (seed, values) in runs.iter().enumerate() {
            let mut values = values.clone();
            for (idx, value) in values.iter_mut().enumerate() {
                *value *= change(idx as f64 / steps).exp();
            }
            let alarm = watch(&fresh, &values);
            let alarm = alarm.unwrap_or_else(|| panic!("{name}, seed {seed}: no alarm"));
            assert!(alarm.fraction < before, "{name}, seed {seed}: at {:.3}", alarm.fraction);
            assert_eq!(alarm.statistic.unwrap() > 0.0, is_above, "{name}, seed {seed}: {alarm:?}");
        }
    };
    fault("a level 5 % higher from a tenth on", &|x| if x > 0.1 { 0.05 } else { 0.0 }, 0.3, true);
    // Below all that was predicted for four times as many steps, at the latest where the decay begins.
    fault("a loss that falls away", &|x| -0.5 * (x - 0.1).max(0.0), 0.6, false);
    fault("a loss that climbs", &|x| 0.5 * (x - 0.1).max(0.0), 0.3, true);
    fault("a slow start", &|x| 0.1 * (-x / 0.02).exp() * (x / 0.005).min(1.0), 0.05, true);
}

#[test]
fn a_run_ahead_of_its_forecast_in_the_first_quarter_is_not_said_to_lie_below_its_band() {
    let fresh = fresh(0.01);
    let mut n_healthy = 0;
    for seed in 0..20 {
        let values = healthy(fresh.forecast(), seed);
        if watch(&fresh, &values).is_some() {
            continue;
        }
        n_healthy += 1;
        // Three times as fast at first, and less and less so.
        let quarter = 0.25 * values.len() as f64;
        let place = |idx: usize| idx as f64 * 3f64.powf((1.0 - idx as f64 / quarter).max(0.0));
        let ahead: Vec<f64> = (0..values.len()).map(|idx| values[place(idx) as usize]).collect();
        let largest = ahead.iter().zip(&values).map(|(a, b)| (b / a).ln()).fold(0.0, f64::max);
        assert!(largest > 0.1, "{largest}: no head start");
        // Once it is caught up with, it drifts upwards, which no healthy run does so soon.
        let alarm = watch(&fresh, &ahead);
        assert!(alarm.as_ref().is_none_or(|alarm| alarm.statistic > Some(0.0)), "seed {seed}: {alarm:?}");
    }
    assert!(n_healthy >= 18, "{n_healthy} of 20 healthy runs stayed quiet");
}

#[test]
fn one_wild_batch_does_not_alarm_a_late_block() {
    let forecast = forecast();
    let mut values = healthy(&forecast, 3);
    let idx = values.len() / 2;
    values[idx] *= 3.0;
    assert_eq!(watch(&fresh(RATE), &values), None);
}

#[test]
fn a_watch_saved_and_restored_at_any_step_decides_the_same() {
    let forecast = forecast();
    let mut values = healthy(&forecast, 8);
    let from = values.len() / 4;
    values.iter_mut().skip(from).for_each(|value| *value *= 1.06);
    let mut whole = Watch::new(forecast.clone(), RATE).unwrap();
    let mut resumed = Watch::new(forecast, RATE).unwrap();
    for (idx, value) in values.iter().enumerate() {
        if idx % 97 == 0 || idx < 5 {
            resumed = serde_json::from_str(&serde_json::to_string(&resumed).unwrap()).unwrap();
        }
        let step = idx as u64 + 1;
        assert_eq!(
            whole.observe(step, *value).unwrap(),
            resumed.observe(step, *value).unwrap(),
            "step {step}"
        );
    }
    assert_eq!(whole, resumed);
    assert!(whole.alarm().is_some());
}

#[test]
fn a_loss_that_is_no_number_alarms_at_once() {
    let alarm = watch(&fresh(RATE), &[f64::NAN]).unwrap();
    assert_eq!((alarm.kind, alarm.step), (AlarmKind::NotANumber, 1));
}

#[test]
fn steps_out_of_order_and_impossible_rates_are_refused() {
    let mut watch = Watch::new(forecast(), RATE).unwrap();
    assert_eq!(watch.observe(2, 8.0), Err(AlarmError::OutOfOrder { expected: 1, found: 2 }));
    for rate in [0.0, -1.0, 0.6, f64::NAN] {
        assert!(Watch::new(forecast(), rate).unwrap_err().to_string().contains("above 0 and at most 0.5"));
    }
}
