//! What a table of runs accepts, and how it says no.

#![allow(clippy::unwrap_used, reason = "a helper of a test is part of the test")]

use forecast::{ForecastError, Point, Table, WarningKind};

fn read(text: &str) -> Result<Table, ForecastError> {
    Table::read_csv(text.as_bytes())
}

#[test]
fn columns_come_in_any_order_and_compute_is_derived() {
    let table = read("seed,loss,extra,n_tokens,run,n_params\n1,3.5,x,2e9,b,1e8\n,3.9,,1e9,a,1e7\n").unwrap();
    let [a, b] = table.points() else { panic!("{:?}", table.points()) };
    assert_eq!((a.run.as_str(), a.flops, a.seed), ("a", 6e16, None));
    assert_eq!((b.run.as_str(), b.flops, b.seed), ("b", 1.2e18, Some(1)));
    assert_eq!(table.warnings()[0].kind, WarningKind::DerivedFlops);
}

#[test]
fn a_missing_column_names_those_that_are_there() {
    let error = read("run,flips,loss\na,1e15,3\n").unwrap_err().to_string();
    assert!(error.contains("`flops`") && error.contains("`flips`") && error.contains("hint:"), "{error}");
}

#[test]
fn points_that_no_run_can_have_are_refused_by_name() {
    for (flops, loss) in [(f64::NAN, 3.0), (1e15, f64::INFINITY), (0.0, 3.0), (1e15, -2.0)] {
        let point = Point { run: "odd".into(), n_params: None, n_tokens: None, flops, loss, seed: None };
        let error = Table::new(vec![point]).unwrap_err().to_string();
        assert!(
            error.contains("`odd`") && error.contains(if loss == 3.0 { "flops" } else { "loss" }),
            "{error}"
        );
    }
}

#[test]
fn a_repeated_line_is_dropped_and_a_contradiction_refused() {
    let table = read("run,flops,loss,seed\na,1e15,3,0\na,1e15,3,0\na,1e15,3.1,1\n").unwrap();
    assert_eq!(table.points().len(), 2);
    assert_eq!(table.warnings()[0].kind, WarningKind::DuplicateRun);
    let error = read("run,flops,loss,seed\na,1e15,3,0\na,1e15,3.2,0\n").unwrap_err();
    assert!(matches!(error, ForecastError::ContradictoryRun { .. }), "{error}");
}

#[test]
fn runs_that_did_not_decay_are_left_out_and_named() {
    let table = read("run,flops,loss,decayed\na,1e15,3,true\nb,1e16,2.9,false\n").unwrap();
    assert_eq!(table.points().len(), 1);
    assert_eq!(table.warnings()[0].kind, WarningKind::UndecayedRun);
    assert!(table.warnings()[0].text.contains("`b`"));
}

#[test]
fn the_fingerprint_sees_every_number_and_no_order() {
    let of = |text: &str| read(text).unwrap().fingerprint();
    let first = of("run,flops,loss\na,1e15,3\nb,1e16,2.5\n");
    assert_eq!(first, of("run,flops,loss\nb,1e16,2.5\na,1e15,3\n"));
    assert_ne!(first, of("run,flops,loss\na,1e15,3\nb,1e16,2.5000000001\n"));
    assert_eq!(first.len(), 64);
}
