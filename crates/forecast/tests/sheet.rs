//! Tables as people have them: delimiters, encodings, marks in numbers, bad rows, other names.

#![allow(clippy::unwrap_used, reason = "a helper of a test is part of the test")]

use forecast::{ColumnChoice, ForecastError, Point, Sheet, Table, WarningKind};

const PLAIN: &str = "run,n_params,n_tokens,flops,loss,seed\n\
    a,190354176,1908932608,3.633445588546093e18,3.74747896194458,1\n\
    b,371262464,7433000000,1.9e19,3.394,2\n\
    c,758220288,15180000000,7.4e19,3.202,\n";

fn read(text: impl AsRef<[u8]>) -> Result<Table, ForecastError> {
    Table::read(text.as_ref(), &ColumnChoice::default())
}

fn points() -> Vec<Point> {
    read(PLAIN).unwrap().points().to_vec()
}

#[track_caller]
fn same(text: impl AsRef<[u8]>) -> Table {
    let table = read(text).unwrap();
    assert_eq!(table.points(), points());
    table
}

#[test]
fn delimiters_and_line_ends() {
    assert!(same(PLAIN).warnings().is_empty());
    for (delimiter, word) in [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")] {
        let table = same(PLAIN.replace(',', delimiter));
        assert!(table.warnings()[0].text.contains(word), "{:?}", table.warnings());
    }
    for end in ["\r\n", "\r", "\n\n", "\n,,,,,\n"] {
        same(PLAIN.replace('\n', end));
    }
    same(PLAIN.replace(',', " , ").replace("run", "\"run\"").replace("a ,", "\"a\" ,"));
    same(format!("sep=;\n{}", PLAIN.replace(',', ";")));
    let aligned = "run n_params n_tokens flops loss\na 190354176 1908932608 3.633445588546093e18 3.74747896194458\n\
                   b  371262464   7433000000 1.9e19  3.394\n";
    assert_eq!(read(aligned).unwrap().points()[1].flops, 1.9e19);
    let mut lines = PLAIN.lines().map(|line| format!("| {} |\n", line.replace(',', " | ")));
    let header = lines.next().unwrap();
    same(format!("{header}|---|--:|:-:|---|---|---|\n{}", lines.collect::<String>()));
    // A table with commas inside of its names is not one with commas between its cells.
    assert_eq!(
        read("run;flops;loss\n\"a, b\";1e15;3\nc, d, e;1e16;2.5\n").unwrap().points()[1].run,
        "c, d, e"
    );
}

#[test]
fn decimal_commas_and_marks_between_thousands() {
    let german = PLAIN.replace(',', ";").replace('.', ",");
    let table = same(&german);
    assert!(table.warnings().iter().any(|w| w.kind == WarningKind::DecimalComma), "{:?}", table.warnings());
    same(german.replace("190354176", "190.354.176").replace("15180000000", "15.180.000.000"));
    same(PLAIN.replace("190354176", "\"190,354,176\"").replace("7433000000", "\"7,433,000,000\""));
    same(PLAIN.replace("190354176", "190_354_176").replace("7433000000", "7'433'000'000"));
    same(PLAIN.replace("190354176", "190\u{202f}354\u{a0}176"));
    same(
        PLAIN
            .replace("3.394", "\"3,394\"")
            .replace("3.202", "\"3,202\"")
            .replace("3.74747896194458", "\"3,74747896194458\""),
    );
    same(PLAIN.replace("1.9e19", "1.9×10^19").replace("7.4e19", "7.4*10^19"));
    same(
        PLAIN
            .replace("1.9e19", "19 EFLOPs")
            .replace("7433000000", "7.433B")
            .replace("15180000000", "15.18 billion"),
    );
    // Three digits behind a mark are thousands in a column of tokens, and decimals in one of losses.
    let text = "run;n_params;n_tokens;loss\na;1.000.000;20.000.000;3,125\nb;2.000.000;40.000.000;2,875\n";
    let table = read(text).unwrap();
    assert_eq!((table.points()[0].n_tokens, table.points()[0].loss), (Some(2e7), 3.125));
}

#[test]
fn encodings() {
    same(format!("\u{feff}{PLAIN}"));
    let utf16 = |unit: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        let text = if mark { format!("\u{feff}{PLAIN}") } else { PLAIN.to_owned() };
        text.encode_utf16().flat_map(unit).collect()
    };
    same(utf16(u16::to_le_bytes, true));
    same(utf16(u16::to_be_bytes, true));
    assert_eq!(same(utf16(u16::to_le_bytes, false)).warnings()[0].kind, WarningKind::Encoding);
    same(utf16(u16::to_be_bytes, false));
    let latin1 = read(b"run,flops,loss\nm\xfcller,1e15,3\nb,1e16,2.5\n").unwrap();
    assert_eq!(latin1.points()[0].run, "müller");
    assert_eq!(latin1.warnings()[0].kind, WarningKind::Encoding);
    for (bytes, what) in [
        (&b"PK\x03\x04rest"[..], "xlsx"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"run,flops\0loss\n", "byte 0"),
        (b"\xff\xfer\0u\0n", "ends in the middle of a character"),
        (b"<!DOCTYPE html><html>", "web page"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("hint: "), "{error}");
    }
}

#[test]
fn comments() {
    let table =
        same(format!("# from the sweep of May\n{}# end\n", PLAIN.replace("\nb,", "\n#dead,1,2,3,4,5\nb,")));
    assert!(table.warnings()[0].text.contains("3 lines that begin with `#`"), "{:?}", table.warnings());
    same(PLAIN.replacen("run,", "#run,", 1));
    same(PLAIN.replacen("run,", "# run,", 1));
}

#[test]
fn json_in_its_usual_shapes() {
    let rows = [
        r#"{"run":"a","n_params":190354176,"n_tokens":1908932608,"flops":3.633445588546093e18,"loss":3.74747896194458,"seed":1}"#,
        r#"{"run":"b","n_params":371262464,"n_tokens":7433000000,"flops":1.9e19,"loss":3.394,"seed":2,"more":[1]}"#,
        r#"{"run":"c","n_params":758220288,"n_tokens":15180000000,"flops":7.4e19,"loss":3.202,"seed":null}"#,
    ];
    same(rows.join("\n"));
    same(format!("[{}]", rows.join(",\n")));
    same(
        r#"{"run":["a","b","c"],"n_params":[190354176,371262464,758220288],"n_tokens":[1908932608,7433000000,15180000000],
        "flops":[3.633445588546093e18,1.9e19,7.4e19],"loss":[3.74747896194458,3.394,3.202],"seed":[1,2,null]}"#,
    );
    same(
        r#"{"run":{"0":"a","1":"b","2":"c"},"n_params":{"0":190354176,"1":371262464,"2":758220288},
        "n_tokens":{"0":1908932608,"1":7433000000,"2":15180000000},"flops":{"0":3.633445588546093e18,"1":1.9e19,"2":7.4e19},
        "loss":{"0":3.74747896194458,"1":3.394,"2":3.202},"seed":{"0":1,"1":2}}"#,
    );
    let nested =
        r#"{"name":"a","config":{"n_params":1e8,"total_tokens":2e9},"summary":{"eval":{"loss":3.1}}}"#;
    assert_eq!(read(nested).unwrap().points()[0].loss, 3.1);
    for bad in ["[1, 2]", "{\"run\": ", "[{\"run\": NaN}]", "{} 3"] {
        let error = read(bad).unwrap_err().to_string();
        assert!(error.contains("expected JSON") && error.contains("hint: "), "{bad}: {error}");
    }
    assert!(read("{}").unwrap_err().to_string().contains("expected a column"));
}

#[test]
fn bad_rows_are_named_counted_and_left_out() {
    let good: String = (0..10).map(|i| format!("g{i},1e{},{}\n", 12 + i, 5.0 - 0.2 * f64::from(i))).collect();
    for (row, why) in [
        ("x,1e15,high", "line 12 (`x`): `loss` is `high`, not a number"),
        ("x,1e15,NaN", "`loss` is `NaN`, not finite and above 0"),
        ("x,1e15,-1", "`loss` is `-1`, not finite and above 0"),
        ("x,1e15,inf", "`loss` is `inf`"),
        ("x,1e15,", "`loss` is empty"),
        ("x,,3", "`flops` is empty"),
        ("x,1e15", "2 cells, the header has 3"),
        ("x,1e15,3,4", "4 cells, the header has 3"),
        ("x,1e999,3", "`flops` is `1e999`"),
        ("x,0,3", "`flops` is `0`"),
    ] {
        let table = read(format!("run,flops,loss\n{good}{row}\n")).unwrap();
        assert_eq!(table.points().len(), 10, "{row}");
        let [warning] = table.warnings() else { panic!("{row}: {:?}", table.warnings()) };
        assert_eq!(warning.kind, WarningKind::BadRow);
        assert!(warning.text.starts_with("1 of 11 rows") && warning.text.contains(why), "{}", warning.text);
        assert!(!warning.text.contains("a fifth"), "{}", warning.text);
    }
    let some = "x,1e15,high\n".repeat(4);
    let table = read(format!("run,flops,loss\n{good}{some}")).unwrap();
    assert!(table.warnings()[0].text.contains("more than a fifth of the table"), "{:?}", table.warnings());
    let most = "x,1e15,high\n".repeat(11);
    let error = read(format!("run,flops,loss\n{good}{most}")).unwrap_err();
    assert!(matches!(error, ForecastError::BadRows { n_bad: 11, n_rows: 21, .. }), "{error}");
    // Any number of runs without a loss may stand beside the others, as long as one is left.
    let empty = "x,1e15,\n".repeat(30);
    assert_eq!(read(format!("run,flops,loss\n{good}{empty}")).unwrap().points().len(), 10);
    assert!(matches!(read(format!("run,flops,loss\n{empty}")), Err(ForecastError::BadRows { .. })));
    // An unquoted decimal comma makes one cell too many in every row.
    let error = read("run,flops,loss\na,1e15,3,1\nb,1e16,2,9\n").unwrap_err().to_string();
    assert!(
        error.contains("4 cells, the header has 3") && error.contains("quote numbers with commas"),
        "{error}"
    );
    let error = read("run,flops,loss,seed\na,1e15,3.1,x1\n").unwrap_err().to_string();
    assert!(error.contains("`seed` is `x1`"), "{error}");
    assert_eq!(read("run,flops,loss,seed\na,1e15,3.1,7.0\n").unwrap().points()[0].seed, Some(7));
}

#[test]
fn other_names_are_recognised_and_told() {
    let table = read("C,N,D,loss\n1.4e18,73824672,3154403320,3.4\n1.8e18,89818214,3276303602,3.3\n").unwrap();
    assert_eq!((table.points()[0].run.as_str(), table.points()[0].flops), ("line-2", 1.4e18));
    assert_eq!(table.warnings()[0].kind, WarningKind::Columns);
    assert!(table.warnings()[0].text.contains("`C` as flops"), "{:?}", table.warnings());
    same(PLAIN.replacen(
        "run,n_params,n_tokens,flops,loss,seed",
        " Run , N_Params,N Tokens,FLOPs,Loss,SEED",
        1,
    ));
    let choice = ColumnChoice { loss: Some("C4 nll".into()), ..ColumnChoice::default() };
    let text = "run,flops,loss,C4 nll\na,1e15,3,4\nb,1e16,2.5,3.5\n";
    assert_eq!(Table::read(text.as_bytes(), &choice).unwrap().points()[0].loss, 4.0);
    let wrong = ColumnChoice { loss: Some("nll".into()), ..ColumnChoice::default() };
    let error = Table::read(text.as_bytes(), &wrong).unwrap_err().to_string();
    assert!(
        error.starts_with("expected a column `nll`, found `run`, `flops`, `loss`, `C4 nll`\nhint: "),
        "{error}"
    );
    assert_eq!(Sheet::read(text.as_bytes()).unwrap().header().len(), 4);
}

#[test]
fn losses_are_chosen_loudly() {
    let head = "Name,parameter_count,total_tokens";
    let of = |losses: &str| {
        let n = losses.split(',').count();
        let row = |name: &str, base: f64| {
            let values: Vec<String> = (0..n).map(|i| (base + i as f64 / 8.0).to_string()).collect();
            format!("{name},1e8,2e9,{}\n", values.join(","))
        };
        read(format!("{head},{losses}\n{}{}", row("a", 3.0), row("b", 2.0)))
    };
    let table = of("train/loss,eval/c4/loss").unwrap();
    assert_eq!(table.points()[0].loss, 3.125);
    assert!(
        table
            .warnings()
            .iter()
            .any(|w| w.kind == WarningKind::LossColumn && w.text.contains("before `train/loss`"))
    );
    let table = of("eval/c4/loss").unwrap();
    assert!(table.warnings().iter().all(|w| w.kind != WarningKind::LossColumn), "{:?}", table.warnings());
    let table = of("train/loss").unwrap();
    assert!(table.warnings().iter().any(|w| w.text.contains("The only loss is that of the training")));
    let error = of("train/loss,eval/c4/loss,eval/pile/loss").unwrap_err();
    assert!(
        error.to_string().contains("`eval/c4/loss`, `eval/pile/loss`\nhint: choose one with --loss-column"),
        "{error}"
    );
    assert_eq!(of("eval/c4/loss,eval/loss,train/loss").unwrap().points()[0].loss, 3.125);
    let high = read("run,flops,loss\na,1e15,90\nb,1e16,40\n").unwrap();
    assert_eq!(high.warnings()[0].kind, WarningKind::OddLoss);
}

#[test]
fn a_chart_is_no_table_of_runs() {
    for text in [
        "\"Step\",\"m-190M - eval/loss\",\"m-370M - eval/loss\"\n\"100\",\"5.1\",\"\"\n",
        "Step,a - val/loss,a - val/loss__MIN,a - val/loss__MAX\n1,2,2,2\n",
        "trainer/global_step,a - loss\n1,2\n",
        "Relative Time (Wall),a - eval/loss\n1,2\n",
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(
            error.contains("export of a chart") && error.contains("hint: export the table of runs"),
            "{error}"
        );
    }
}
