//! What the fits and intervals prove: published coefficients, known floors, coverage, refusals, sameness of bytes.

#![allow(clippy::unwrap_used, reason = "a helper of a test is part of the test")]

use forecast::{
    Forecast, ForecastError, Forecaster, LawChoice, Point, ReferenceRuns, Settings, Table, Target,
    WarningKind, backtest, band, isoflop_minima,
};

const CHINCHILLA: &str = include_str!("tables/chinchilla.csv");
const REDPAJAMA: &str = include_str!("tables/overtraining-redpajama.csv");

fn run(name: &str, flops: f64, loss: f64, seed: Option<u64>) -> Point {
    Point { run: name.to_owned(), n_params: None, n_tokens: None, flops, loss, seed }
}

/// Standard normals from a multiplicative congruential generator: the tests' own, so that the crate's is not judged
/// by itself.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 + 0.5) / (1u64 << 31) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// `floor + 2·(C/10^9)^−b` with log-normal noise, on `n_rungs` rungs over `decades` with two seeds each.
fn ladder(floor: f64, b: f64, noise: f64, n_rungs: usize, decades: f64, seed: u64) -> Vec<Point> {
    let mut random = Noise(seed);
    (0..2 * n_rungs)
        .map(|i| {
            let (rung, repeat) = (i / 2, i % 2);
            let flops = 1e9 * 10f64.powf(decades * rung as f64 / (n_rungs - 1) as f64);
            let loss = law(floor, b, flops) * (noise * random.normal()).exp();
            run(&format!("rung-{rung}"), flops, loss, Some(repeat as u64))
        })
        .collect()
}

fn law(floor: f64, b: f64, flops: f64) -> f64 {
    floor + 2.0 * (flops / 1e9).powf(-b)
}

fn forecast_at(points: Vec<Point>, flops: f64) -> Forecast {
    let table = Table::new(points).unwrap();
    Forecaster::fit(&table, &Settings::default(), &[])
        .unwrap()
        .forecast(&Target::at_flops(flops).unwrap())
        .unwrap()
}

fn kinds(forecast: &Forecast) -> Vec<WarningKind> {
    forecast.warnings.iter().map(|warning| warning.kind).collect()
}

/// Besiroglu et al. 2024, <https://arxiv.org/abs/2404.10102>, with their standard errors.
const PUBLISHED: [(&str, f64, f64); 5] = [
    ("E", 1.8172, 0.03),
    ("A", 482.01, 124.58),
    ("B", 2085.43, 1293.23),
    ("alpha", 0.3478, 0.02),
    ("beta", 0.3658, 0.02),
];
/// The published fit is to 240 points; the table here is another reading of the same figure that lacks some of its
/// lowest ones, so that the two need not agree to one standard error. Worst seen 1.2 (beta); a fit without the
/// floor, or with D = C/N, is off by 10 and more.
const STANDARD_ERRORS: f64 = 2.0;

fn chinchilla(points: Vec<Point>) -> Forecast {
    let settings = Settings { law: LawChoice::Chinchilla, ..Settings::default() };
    let fitted = Forecaster::fit(&Table::new(points).unwrap(), &settings, &[]).unwrap();
    fitted.forecast(&Target::at_shape(70e9, 1.4e12).unwrap()).unwrap()
}

fn chinchilla_points() -> Vec<Point> {
    Table::read_csv(CHINCHILLA.as_bytes()).unwrap().points().to_vec()
}

#[test]
fn the_chinchilla_table_gives_nearly_the_published_coefficients() {
    let forecast = chinchilla(chinchilla_points());
    assert_eq!(forecast.law, "chinchilla");
    for (name, value, error) in PUBLISHED {
        let off = (forecast.coefficients[name] - value).abs() / error;
        assert!(
            off < STANDARD_ERRORS,
            "{name}: published {value} ± {error}, found {}",
            forecast.coefficients[name]
        );
    }
}

#[test]
fn outliers_are_named_and_hardly_move_the_fit() {
    let clean = chinchilla(chinchilla_points());
    let mut points = chinchilla_points();
    points.iter_mut().take(5).for_each(|point| point.loss *= 1.3);
    let bad = points[0].run.clone();
    let forecast = chinchilla(points);
    for (name, _, error) in PUBLISHED {
        let moved = (forecast.coefficients[name] - clean.coefficients[name]).abs() / error;
        // Worst seen is far below; without leaving them out E moves by more than one.
        assert!(
            moved < 0.5,
            "{name}: {} without outliers, {} with",
            clean.coefficients[name],
            forecast.coefficients[name]
        );
    }
    let warning = forecast.warnings.iter().find(|w| w.kind == WarningKind::Outliers).unwrap();
    assert!(warning.text.contains(&bad), "{}", warning.text);
}

#[test]
fn the_interval_of_the_floor_covers_a_known_entropy() {
    const H: f64 = 1.386;
    let mut n_covered = 0;
    for seed in 0..20 {
        let forecast = forecast_at(ladder(H, 0.3, 0.003, 12, 2.6, seed), 4e14);
        let floor = forecast.irreducible.unwrap();
        n_covered += usize::from(floor.covers(95, H));
        // An interval from nothing to everything would cover as well.
        assert!(floor.hi95 - floor.lo95 < 0.35 * H, "{floor:?}");
    }
    assert!(n_covered >= 18, "95 % interval of the floor covered {n_covered} of 20");
}

#[test]
fn a_floor_that_is_given_stays_and_bounds_the_forecast() {
    let table = Table::new(ladder(1.5, 0.25, 0.003, 10, 2.0, 3)).unwrap();
    let settings = Settings { irreducible: Some(1.5), ..Settings::default() };
    let fitted = Forecaster::fit(&table, &settings, &[]).unwrap();
    let forecast = fitted.forecast(&Target::at_flops(1e30).unwrap()).unwrap();
    assert_eq!(forecast.coefficients["c"], 1.5f64.ln().exp());
    assert!(forecast.draws.iter().all(|loss| *loss >= 1.5));
    assert!(kinds(&forecast).contains(&WarningKind::FarExtrapolation));
}

#[test]
fn intervals_cover_larger_runs_of_simulated_ladders() {
    let (mut n80, mut n95, mut n) = (0, 0, 0);
    for seed in 0..40 {
        let (floor, b) = (0.8 + 0.04 * seed as f64, 0.12 + 0.006 * seed as f64);
        let forecast = forecast_at(ladder(floor, b, 0.004, 10, 2.3, 100 + seed), 2e13);
        let actual = law(floor, b, 2e13);
        n += 1;
        n80 += usize::from(forecast.prediction.covers(80, actual));
        n95 += usize::from(forecast.prediction.covers(95, actual));
    }
    assert!(n80 >= 29 && n95 >= 36, "80 %: {n80}, 95 %: {n95} of {n}");
}

#[test]
fn more_rungs_narrow_the_interval_and_distance_widens_it() {
    let width = |n_rungs, flops| {
        let p = forecast_at(ladder(1.5, 0.25, 0.005, n_rungs, 2.6, 5), flops).prediction;
        (p.hi95 - p.lo95) / p.median
    };
    let (few, many, far) = (width(6, 4e13), width(20, 4e13), width(20, 4e15));
    assert!(many < few && many < far, "few {few}, many {many}, far {far}");
}

#[test]
fn a_clean_ladder_is_forecast_within_four_percent_at_a_thousandfold() {
    let prediction = forecast_at(ladder(2.5, 0.3, 0.002, 16, 2.6, 8), 4e14).prediction;
    assert!(
        prediction.lo95 > 0.96 * prediction.median && prediction.hi95 < 1.04 * prediction.median,
        "{prediction:?}"
    );
    assert!(prediction.covers(95, law(2.5, 0.3, 4e14)), "{prediction:?}");
}

/// Runs of 3 shapes at each of `n_budgets` budgets, each twice the one before, whose curve bends from flat to steep and
/// back as no law here does; `carried` makes a loss of it.
fn bent(n_budgets: u32, noise: f64, seed: u64, carried: impl Fn(f64) -> f64) -> Vec<Point> {
    let mut random = Noise(seed);
    let mut points = Vec::new();
    for (budget, shape) in (0..n_budgets).flat_map(|budget| (0..3).map(move |shape| (budget, shape))) {
        let flops = 1e10 * 2f64.powi(budget as i32);
        let n_params = (flops / 120.0).sqrt() * 2f64.powi(shape - 1);
        let loss = carried(bent_loss(flops, shape)) * (noise * random.normal()).exp();
        points.push(Point {
            n_params: Some(n_params),
            n_tokens: Some(flops / 6.0 / n_params),
            ..run(&format!("{budget}-{shape}"), flops, loss, None)
        });
    }
    points
}

fn bent_loss(flops: f64, shape: i32) -> f64 {
    let fall = 1.6 / (1.0 + (-0.6 * ((flops / 1e12).ln() - 0.5)).exp().powf(0.5));
    (3.0 - fall) * (1.0 + 0.01 * f64::from((shape - 1).pow(2)))
}

#[test]
fn reference_runs_carry_a_bend_that_no_short_ladder_shows() {
    let carried = |loss: f64| 1.1 * loss.powf(1.2);
    let reference =
        ReferenceRuns::new("other", &Table::new(bent(17, 0.002, 1, |loss| loss)).unwrap()).unwrap();
    let table = Table::new(bent(6, 0.002, 2, carried)).unwrap();
    let flops = 1e10 * 2f64.powi(16);
    let n_params = (flops / 120.0).sqrt();
    let target = Target::at_shape(n_params, flops / 6.0 / n_params).unwrap();
    let actual = carried(bent_loss(flops, 1));
    let forecast = |references: &[ReferenceRuns]| {
        Forecaster::fit(&table, &Settings::default(), references).unwrap().forecast(&target).unwrap()
    };
    let error = |forecast: &Forecast| (forecast.prediction.median / actual - 1.0).abs();
    let (alone, with_references) = (forecast(&[]), forecast(&[reference]));
    // Seen: 29 % alone, 3 % with reference runs, of which the noise of a slope taken over a sixth of the distance is the most.
    assert!(error(&alone) > 0.1, "{:?}", alone.prediction);
    assert!(
        error(&with_references) < 0.05 && with_references.prediction.covers(80, actual),
        "{:?}",
        with_references.prediction
    );
    assert!(with_references.law.starts_with("transferred"), "{}", with_references.law);
    assert_eq!(with_references.laws[0].reference_runs.as_deref(), Some("other"));
    assert!(alone.laws.iter().all(|law| law.reference_runs.is_none()));
}

/// `E + ((A/N^α)^(1/γ) + (B/D^β)^(1/γ))^γ` with γ = ½, near what ladders of models of some ten thousand parameters show.
fn coupled_loss(floor: f64, n_params: f64, n_tokens: f64) -> f64 {
    let (n, d) = (8.0 * n_params.powf(-0.24), 11.0 * n_tokens.powf(-0.2));
    floor + n.hypot(d)
}

/// Five budgets, each half the one before, seven shapes at each, two seeds.
fn grid(floor: f64, noise: f64, seed: u64) -> Vec<Point> {
    let mut random = Noise(seed);
    let mut points = Vec::new();
    for budget in 0..5 {
        let flops = 5e11 / f64::from(1 << budget);
        for shape in 0..7 {
            let n_params = 1.8e4 * 1.8f64.powi(shape);
            let n_tokens = flops / 6.0 / n_params;
            for seed in 0..2 {
                points.push(Point {
                    n_params: Some(n_params),
                    n_tokens: Some(n_tokens),
                    ..run(
                        &format!("{budget}-{shape}"),
                        flops,
                        coupled_loss(floor, n_params, n_tokens) * (noise * random.normal()).exp(),
                        Some(seed),
                    )
                });
            }
        }
    }
    points
}

#[test]
fn wants_that_are_coupled_are_told_from_wants_that_add_up() {
    let table = Table::new(grid(0.7, 0.003, 11)).unwrap();
    let forecast = Forecaster::fit(&table, &Settings::default(), &[])
        .unwrap()
        .forecast(&Target::at_shape(2.5e6, 3.3e7).unwrap());
    let forecast = forecast.unwrap();
    assert_eq!(forecast.law, "coupled");
    let gamma = forecast.coefficients["gamma"];
    // Seen 0.55; where the terms add up γ is 1.
    assert!((0.4..0.65).contains(&gamma), "{gamma}");
    let alone = |law: &str| forecast.laws.iter().find(|fitted| fitted.law == law).unwrap().median;
    let off = |law: &str| (alone(law) / coupled_loss(0.7, 2.5e6, 3.3e7) - 1.0).abs();
    // A thousand times beyond: seen 1.3 and 13 %.
    assert!(off("coupled") < 0.06 && off("chinchilla") > 0.08, "{} {}", off("coupled"), off("chinchilla"));
}

/// Under normal scatter of a hundredth the median of residuals is a poor judge: repeated runs show that there is such scatter.
#[test]
fn scatter_between_seeds_is_averaged_where_repeated_runs_show_it() {
    let spread = |has_seeds: bool| {
        let errors = (0..12).map(|trial| {
            let mut points = ladder(1.2, 0.2, 0.01, 8, 2.5, 500 + trial);
            if !has_seeds {
                // The same losses as runs of their own, none a repetition.
                points.iter_mut().for_each(|p| p.flops *= 1.0 + 1e-9 * p.seed.unwrap() as f64);
            }
            (forecast_at(points, 3e12).prediction.median / law(1.2, 0.2, 3e12)).ln().powi(2)
        });
        errors.sum::<f64>().sqrt()
    };
    let (with_seeds, without) = (spread(true), spread(false));
    // Seen: 0.045 and 0.050.
    assert!(with_seeds < without, "{with_seeds} and {without}");
}

/// One run that diverged is no scatter.
#[test]
fn one_bad_seed_does_not_pass_for_scatter() {
    let forecast = |factor: f64| {
        let mut points = ladder(1.2, 0.2, 0.003, 9, 2.5, 77);
        points[6].loss *= factor;
        forecast_at(points, 3e12).prediction.median
    };
    let moved = (forecast(1.3) / forecast(1.0) - 1.0).abs();
    // Seen: 0.15 %.
    assert!(moved < 0.01, "{moved}");
}

/// A large run that lies off what the ladder says shows the bend: among many small ones it is not thrown out.
#[test]
fn the_largest_run_is_no_outlier() {
    let mut points = ladder(1.2, 0.2, 0.001, 12, 2.5, 5);
    points.push(run("large", 1e13, 0.93 * law(1.2, 0.2, 1e13), Some(0)));
    let forecast = forecast_at(points, 2e13);
    let named = forecast.warnings.iter().any(|w| w.kind == WarningKind::Outliers && w.text.contains("large"));
    assert!(!named, "{:?}", forecast.warnings);
}

#[test]
fn reference_runs_give_a_coupled_law_its_floor_beyond_their_own_reach() {
    let reference = |name: &str, floor: f64, seed: u64| {
        let mut points = grid(floor, 0.003, seed);
        let shape = (6.4e5, 7e6);
        points.push(Point {
            n_params: Some(shape.0),
            n_tokens: Some(shape.1),
            ..run("large", 6.0 * shape.0 * shape.1, coupled_loss(floor, shape.0, shape.1), Some(0))
        });
        ReferenceRuns::new(name, &Table::new(points).unwrap()).unwrap()
    };
    let table = Table::new(grid(0.7, 0.003, 21)).unwrap();
    let target = Target::at_shape(2.5e6, 3.3e7).unwrap();
    let fit =
        |references: &[ReferenceRuns]| Forecaster::fit(&table, &Settings::default(), references).unwrap();
    let alone = fit(&[]).forecast(&target).unwrap();
    let fitted = fit(&[reference("a", 0.66, 31), reference("b", 0.74, 41)]);
    let with_references = fitted.forecast(&target).unwrap();
    let actual = coupled_loss(0.7, 2.5e6, 3.3e7);
    let width = |forecast: &Forecast| (forecast.prediction.hi95 - forecast.prediction.lo95) / actual;
    // Seen: 0.37 alone, 0.07 with reference runs.
    assert!(
        width(&with_references) < 0.6 * width(&alone),
        "{} and {}",
        width(&alone),
        width(&with_references)
    );
    let error = (with_references.prediction.median / actual - 1.0).abs();
    assert!(
        error < 0.02 && with_references.prediction.covers(80, actual),
        "{:?}",
        with_references.prediction
    );
    assert_eq!(
        (with_references.law.as_str(), with_references.laws[0].reference_runs.as_deref()),
        ("coupled", Some("a, b"))
    );
    assert!(
        with_references.laws.iter().all(|law| law.law != "transferred"),
        "no reference run reaches the target"
    );
    // One figure, one set of forms: where reference runs end, the band has no step. With two sets it falls to 0.80 there.
    let widths: Vec<f64> = band(&fitted, &table, &target)
        .unwrap()
        .iter()
        .filter(|place| place.flops > 1e12)
        .map(|place| (place.prediction.hi95 / place.prediction.lo95).ln())
        .collect();
    let steps = widths.windows(2).map(|pair| pair[1] / pair[0]);
    assert!(steps.fold(f64::INFINITY, f64::min) > 0.9, "{widths:?}");
}

#[test]
fn reference_runs_that_reach_no_further_than_the_table_are_left_out_and_named() {
    let reference =
        ReferenceRuns::new("short", &Table::new(bent(7, 0.002, 1, |loss| loss)).unwrap()).unwrap();
    let table = Table::new(bent(6, 0.002, 2, |loss| loss)).unwrap();
    let target = Target::at_flops(1e14).unwrap();
    let forecast = |references: &[ReferenceRuns]| {
        Forecaster::fit(&table, &Settings::default(), references).unwrap().forecast(&target).unwrap()
    };
    let with_references = forecast(&[reference]);
    assert_eq!(with_references.prediction, forecast(&[]).prediction);
    let warning =
        with_references.warnings.iter().find(|warning| warning.kind == WarningKind::ShortReference).unwrap();
    assert!(warning.text.contains("reference runs `short`"), "{}", warning.text);
}

#[test]
fn the_same_table_in_any_order_gives_the_same_bytes() {
    let points = ladder(1.7, 0.2, 0.01, 8, 2.0, 11);
    let mut reversed = points.clone();
    reversed.reverse();
    let text = |points| serde_json::to_string(&forecast_at(points, 1e13)).unwrap();
    let first = text(points.clone());
    assert_eq!(first, text(points));
    assert_eq!(first, text(reversed));
}

#[test]
fn isoflop_minima_and_the_law_agree_on_the_best_shape() {
    let loss = |n: f64, d: f64| 1.8 + 480.0 * n.powf(-0.35) + 2100.0 * d.powf(-0.37);
    let mut points = Vec::new();
    for flops in [1e18, 1e19, 1e20, 1e21] {
        for k in 0..9 {
            // Around the optimum of these coefficients, which is near N = 0.14·C^0.51.
            let n = 0.14 * f64::powf(flops, 0.51) * 2f64.powf(0.5 * f64::from(k) - 2.0);
            let d = flops / 6.0 / n;
            points.push(Point {
                run: format!("{flops:e}-{k}"),
                n_params: Some(n),
                n_tokens: Some(d),
                flops,
                loss: loss(n, d),
                seed: None,
            });
        }
    }
    let table = Table::new(points).unwrap();
    let settings = Settings { law: LawChoice::Chinchilla, ..Settings::default() };
    let fitted = Forecaster::fit(&table, &settings, &[]).unwrap();
    let minima = isoflop_minima(&table);
    assert_eq!(minima.len(), 4);
    for minimum in minima {
        let (n, d) = fitted.compute_optimal(minimum.flops).unwrap();
        assert!((6.0 * n * d / minimum.flops - 1.0).abs() < 1e-9);
        // The valley is flat and not quite a parabola: 10 % in N is 0.01 % in loss.
        assert!((n / minimum.n_params).ln().abs() < 0.1, "law {n:e}, parabola {:e}", minimum.n_params);
        let grid = (-200..=200).map(|k| n * (0.01 * f64::from(k)).exp());
        let best = grid
            .min_by(|a, b| loss(*a, minimum.flops / 6.0 / a).total_cmp(&loss(*b, minimum.flops / 6.0 / b)));
        assert!((n / best.unwrap()).ln().abs() < 0.05, "law {n:e}, grid {:e}", best.unwrap());
    }
}

#[test]
fn tables_that_carry_no_law_are_refused_in_words() {
    let refused = |points: Vec<Point>| {
        let error = Forecaster::fit(&Table::new(points).unwrap(), &Settings::default(), &[]).unwrap_err();
        assert!(error.to_string().contains("hint:"), "{error}");
        error
    };
    let two = [(1e15, 3.0), (1e16, 2.8)].map(|(flops, loss)| run("r", flops, loss, None)).to_vec();
    assert!(matches!(refused(two), ForecastError::TooFewRuns { found: 2, .. }));
    let narrow = (0..5)
        .map(|i| run(&i.to_string(), 1e15 * (1.0 + 0.1 * f64::from(i)), 3.0 - 0.01 * f64::from(i), None));
    assert!(matches!(refused(narrow.collect()), ForecastError::NarrowRange { .. }));
    let rising = (0..6).map(|i| run(&i.to_string(), 10f64.powi(12 + i), 2.0 + 0.1 * f64::from(i), None));
    assert!(matches!(refused(rising.collect()), ForecastError::Rising { .. }));
    let table = Table::new(ladder(1.5, 0.2, 0.0, 6, 2.0, 1)).unwrap();
    let settings = Settings { law: LawChoice::Chinchilla, ..Settings::default() };
    assert!(matches!(Forecaster::fit(&table, &settings, &[]), Err(ForecastError::NoShapes { .. })));
}

#[test]
fn a_curve_that_turns_is_reported() {
    let mut points = ladder(1.5, 0.3, 0.003, 8, 2.6, 2);
    assert!(!kinds(&forecast_at(points.clone(), 1e13)).contains(&WarningKind::Reversal));
    points.push(run("turned", 1e12, 2.0, None));
    assert!(kinds(&forecast_at(points, 1e13)).contains(&WarningKind::Reversal));
}

#[test]
fn what_the_runs_do_not_determine_is_named() {
    let names_floor = |points| {
        let forecast = forecast_at(points, 1e13);
        forecast.warnings.iter().any(|w| w.kind == WarningKind::Undetermined && w.text.contains("`c`"))
    };
    assert!(names_floor(ladder(1.5, 0.1, 0.02, 5, 1.2, 4)));
    assert!(!names_floor(ladder(1.5, 0.4, 0.002, 14, 3.0, 4)));
}

#[test]
fn a_public_table_is_forecast_from_its_small_runs() {
    let table = Table::read_csv(REDPAJAMA.as_bytes()).unwrap();
    let result = backtest(&table, None, &Settings::default(), &[]).unwrap();
    assert!(result.median_abs_error_pct < 3.0, "{}", result.median_abs_error_pct);
    assert!(result.coverage.c80 >= 0.72 && result.coverage.c95 >= 0.9, "{:?}", result.coverage);
    let single = backtest(&table, Some(1e20), &Settings::default(), &[]).unwrap();
    assert!(single.points.iter().all(|point| point.flops > 1e20 && point.extrapolation > 1.0));
    assert!(matches!(
        backtest(&table, Some(1e30), &Settings::default(), &[]),
        Err(ForecastError::EmptySplit { .. })
    ));
}
