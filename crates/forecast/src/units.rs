//! Whether the columns of a table stand in the units that they are taken for: compute compared with 6·N·D, and
//! sizes with what is trained at all.

use std::{fmt, ops::RangeInclusive};

use crate::stats::interval::median;

/// Compute over 6·N·D in tables whose units are right: 0.3 where characters were counted for tokens, 4 where attention
/// or a large vocabulary costs more than the weights counted, 0.03 in sparse models of which all weights were counted.
/// Any wrong unit of a thousand or more leaves this range from any place in it.
pub(crate) const PLAUSIBLE_RATIO: RangeInclusive<f64> = 0.0316..=31.6;

/// Least of N, D and C in the middle of a table: nothing smaller is trained.
const LEAST: [f64; 3] = [1e3, 1e3, 1e6];
/// D/N in the middle of a table.
const PLAUSIBLE_TOKENS_PER_PARAM: RangeInclusive<f64> = 1e-2..=1e6;
/// D/N in the middle of a table beyond which a reader is asked to look, where there is no compute to check.
const USUAL_TOKENS_PER_PARAM: RangeInclusive<f64> = 0.1..=2e4;

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// N.
    Params,
    /// D.
    Tokens,
    /// C.
    Flops,
}

const QUANTITIES: [Quantity; 3] = [Quantity::Params, Quantity::Tokens, Quantity::Flops];

impl Quantity {
    fn option(self) -> &'static str {
        match self {
            Self::Params => "--params-unit",
            Self::Tokens => "--tokens-unit",
            Self::Flops => "--flops-unit",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Params => "parameters",
            Self::Tokens => "tokens",
            Self::Flops => "FLOPs",
        }
    }

    /// What a column may be in, and ln of how much less likely that is than billions.
    fn units(self) -> &'static [(f64, &'static str, f64)] {
        match self {
            Self::Params | Self::Tokens => &[
                (1e3, "thousands", -1.0),
                (1e6, "millions", 0.0),
                (1e9, "billions", 0.0),
                (1e12, "trillions", -0.5),
            ],
            Self::Flops => &[
                (1e3, "thousands", -1.0),
                (1e6, "millions (MFLOPs)", -0.5),
                (1e9, "billions (GFLOPs)", 0.0),
                (1e12, "10^12 (TFLOPs)", 0.0),
                (1e15, "10^15 (PFLOPs)", 0.0),
                (1e18, "10^18 (EFLOPs)", 0.0),
                (3.6e18, "petaFLOP/s-hours", -2.0),
                (8.64e19, "petaFLOP/s-days", -0.5),
                (1e21, "10^21 (ZFLOPs)", 0.0),
                (1e24, "10^24", -1.0),
            ],
        }
    }
}

/// One column in another unit than it is taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct WrongUnit {
    /// Which.
    pub quantity: Quantity,
    /// What its numbers must be multiplied by.
    pub factor: f64,
}

/// Why the units of a table cannot be right, and which column is to blame.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitFault {
    /// Names of the columns with N, D and C.
    pub names: [String; 3],
    /// What 1 in each column was taken for.
    pub units: [f64; 3],
    /// Middle, least and largest of each column that is there, in single parameters, tokens and FLOPs as they were read.
    pub ranges: [Option<[f64; 3]>; 3],
    /// Compute over 6·N·D in the middle of the table, where compute was given.
    pub ratio: Option<f64>,
    /// Runs looked at.
    pub n_runs: usize,
    /// What would set it right, the most likely first: each is a set of columns to be multiplied. Empty where no unit would.
    pub causes: Vec<Vec<WrongUnit>>,
    /// Whether compute goes with N alone, as that of one token or one step does.
    pub is_per_token: bool,
}

/// The numbers of one run; `flops` where they were given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) params: Option<f64>,
    pub(crate) tokens: Option<f64>,
    pub(crate) flops: Option<f64>,
}

impl Sizes {
    /// Compute over 6·N·D, where all three were given.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.flops? / (6.0 * self.params? * self.tokens?))
    }

    fn get(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Params => self.params,
            Quantity::Tokens => self.tokens,
            Quantity::Flops => self.flops,
        }
    }
}

/// What the units of a table say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing speaks against them.
    Plausible,
    /// They can be right, and cannot be checked; a sentence on what to look at.
    Odd(String),
    Wrong(Box<UnitFault>),
}

/// Middles of what is known of a table.
struct Middle {
    /// log10 of N, D, C.
    logs: [Option<f64>; 3],
    /// log10 of compute over 6·N·D.
    ratio: Option<f64>,
    tokens_per_param: Option<f64>,
    /// Whether most numbers of a column are fractions, and small enough for the fraction to have been written down.
    is_fractional: [bool; 3],
    /// The largest power of 1000, up to 1e9, that divides every number of a column.
    whole: [f64; 3],
}

impl Middle {
    fn of(runs: &[Sizes]) -> Self {
        let log = |values: Vec<f64>| (!values.is_empty()).then(|| median(values).log10());
        let values = |quantity| -> Vec<f64> { runs.iter().filter_map(|run| run.get(quantity)).collect() };
        let pairs = runs.iter().filter_map(|run| Some(run.tokens? / run.params?)).collect();
        let is_fractional = |values: Vec<f64>| {
            2 * values.iter().filter(|x| x.fract() != 0.0 && **x < 1e5).count() > values.len().max(1)
        };
        let whole = |values: Vec<f64>| {
            let divides = |unit: &f64| !values.is_empty() && values.iter().all(|x| x % unit == 0.0);
            [1e9, 1e6, 1e3].into_iter().find(divides).unwrap_or(1.0)
        };
        Self {
            logs: QUANTITIES.map(|quantity| log(values(quantity))),
            ratio: log(runs.iter().filter_map(Sizes::ratio).collect()),
            tokens_per_param: log(pairs),
            is_fractional: QUANTITIES.map(|quantity| is_fractional(values(quantity))),
            whole: QUANTITIES.map(|quantity| whole(values(quantity))),
        }
    }

    /// Whether all could be right as it stands.
    fn is_plausible(&self) -> bool {
        let large = |(log, least): (&Option<f64>, f64)| log.is_none_or(|log| log >= least.log10());
        let holds = |range: &RangeInclusive<f64>, log: Option<f64>| {
            log.is_none_or(|log| (range.start().log10()..=range.end().log10()).contains(&log))
        };
        self.logs.iter().zip(LEAST).all(large)
            && holds(&PLAUSIBLE_RATIO, self.ratio)
            && holds(&PLAUSIBLE_TOKENS_PER_PARAM, self.tokens_per_param)
    }

    /// ln of how likely a table is in which the columns are multiplied by powers of ten: by how many tokens per parameter
    /// is trained on, how large models and texts are, and what 6·N·D comes to.
    fn log_likelihood(&self, powers: [f64; 3]) -> f64 {
        const NEVER: f64 = f64::NEG_INFINITY;
        let normal = |x: f64, mean: f64, sd: f64| -0.5 * ((x - mean) / sd).powi(2);
        let [n, d, c] = [0, 1, 2].map(|k| self.logs[k].map(|log| log + powers[k]));
        let mut sum = 0.0;
        if let Some(n) = n {
            sum += if (3.0..=14.0).contains(&n) { normal(n, 8.0, 3.0) } else { NEVER };
        }
        if let Some(d) = d {
            sum += if (3.0..=16.0).contains(&d) { normal(d, 9.5, 3.0) } else { NEVER };
        }
        if let Some(c) = c {
            sum += if (7.0..=28.0).contains(&c) { normal(c, 18.0, 5.0) } else { NEVER };
        }
        if let Some(log) = self.tokens_per_param {
            let log = log + powers[1] - powers[0];
            sum += if (-2.0..=6.0).contains(&log) { normal(log, 1.3, 0.9) } else { NEVER };
        }
        if let Some(log) = self.ratio {
            let log = log + powers[2] - powers[0] - powers[1];
            sum += if log.abs() <= 1.5 { normal(log, 0.08, 0.35) } else { NEVER };
        }
        for k in 0..3 {
            // A count with a fraction is in a larger unit; one of tokens may come from a division.
            if self.is_fractional[k] && powers[k] <= 0.0 {
                sum -= [8.0, 3.0, 0.0][k];
            }
            // What was multiplied without need has zeros at its end.
            if powers[k] < 0.0 && powers[k] >= -9.0 && self.whole[k].log10() < -powers[k] {
                sum -= [3.0, 2.0, 0.0][k];
            }
        }
        sum
    }
}

/// How much less likely, as ln, it is that one more column is off.
const EACH_COLUMN: f64 = 3.0;
/// And that a column is too large: a unit was multiplied in twice.
const TOO_LARGE: f64 = 1.0;
/// Causes within this ln of the most likely are named beside it.
const NAMED: f64 = 3.0;

/// Looks at the runs of a table whose columns with N, D and C have these names and were read in these units.
pub(crate) fn check(runs: &[Sizes], names: &[String; 3], units: [f64; 3]) -> Verdict {
    let middle = Middle::of(runs);
    if middle.is_plausible() {
        let odd = middle
            .tokens_per_param
            .map(|log| 10f64.powf(log))
            .filter(|ratio| middle.ratio.is_none() && !USUAL_TOKENS_PER_PARAM.contains(ratio));
        return odd.map_or(Verdict::Plausible, |ratio| {
            Verdict::Odd(format!(
                "The runs have {} tokens per parameter (median), and no column with the compute to check the units \
                 of `{}` and `{}`: check that they hold single parameters and tokens (--params-unit, --tokens-unit).",
                number(ratio),
                names[0],
                names[1]
            ))
        });
    }
    let range = |quantity| {
        let values: Vec<f64> = runs.iter().filter_map(|run| run.get(quantity)).collect();
        let fold = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick);
        Some([median(values.iter().copied()), fold(f64::min)?, fold(f64::max)?])
    };
    Verdict::Wrong(Box::new(UnitFault {
        names: names.clone(),
        units,
        ranges: QUANTITIES.map(range),
        ratio: middle.ratio.map(|log| 10f64.powf(log)),
        n_runs: runs.iter().filter(|run| run.ratio().is_some() || middle.ratio.is_none()).count(),
        causes: causes(&middle),
        is_per_token: is_per_token(runs),
    }))
}

/// Sets of wrong units that would make the table plausible, the most likely first, as far as they are about as likely.
fn causes(middle: &Middle) -> Vec<Vec<WrongUnit>> {
    let options = |k: usize| -> Vec<(f64, f64)> {
        let units = QUANTITIES[k].units();
        let mut options = vec![(1.0, 0.0)];
        if middle.logs[k].is_some() {
            options.extend(units.iter().map(|(unit, _, log)| (*unit, log - EACH_COLUMN)));
            let round = units.iter().filter(|(unit, ..)| unit.log10().fract() == 0.0);
            options.extend(round.map(|(unit, _, log)| (1.0 / unit, log - EACH_COLUMN - TOO_LARGE)));
        }
        options
    };
    let mut found: Vec<(f64, [f64; 3])> = Vec::new();
    for (n, log_n) in options(0) {
        for (d, log_d) in options(1) {
            for (c, log_c) in options(2) {
                let factors = [n, d, c];
                // Two columns that were both multiplied without need are one mistake too many.
                let n_too_large = factors.iter().filter(|factor| **factor < 1.0).count();
                let n_changed = factors.iter().filter(|factor| **factor != 1.0).count();
                if n_changed == 0 || (n_too_large > 0 && n_changed > 1) {
                    continue;
                }
                let log = middle.log_likelihood(factors.map(f64::log10)) + log_n + log_d + log_c;
                if log.is_finite() {
                    found.push((log, factors));
                }
            }
        }
    }
    // Two mistakes are no explanation beside one.
    let n_changed = |factors: &[f64; 3]| factors.iter().filter(|factor| **factor != 1.0).count();
    let fewest = found.iter().map(|(_, factors)| n_changed(factors)).min().unwrap_or(0);
    found.retain(|(_, factors)| n_changed(factors) == fewest);
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = found.first().map_or(0.0, |(log, _)| *log);
    let wrong = |factors: &[f64; 3]| {
        let columns = QUANTITIES.iter().zip(factors).filter(|(_, factor)| **factor != 1.0);
        columns.map(|(quantity, factor)| WrongUnit { quantity: *quantity, factor: *factor }).collect()
    };
    found
        .iter()
        .take_while(|(log, _)| best - log <= NAMED)
        .take(4)
        .map(|(_, factors)| wrong(factors))
        .collect()
}

/// Whether compute follows N and not D: runs differ in D, and C/N varies much less than C/(N·D).
fn is_per_token(runs: &[Sizes]) -> bool {
    let spread = |of: &dyn Fn(&Sizes) -> Option<f64>| {
        let logs: Vec<f64> = runs.iter().filter_map(of).map(f64::ln).collect();
        let middle = median(logs.iter().copied());
        median(logs.iter().map(|log| (log - middle).abs()))
    };
    let by_params = spread(&|run| Some(run.flops? / run.params?));
    let by_both = spread(&Sizes::ratio);
    runs.iter().filter(|run| run.ratio().is_some()).count() > 2 && by_both > 0.2 && by_params < 0.5 * by_both
}

impl fmt::Display for UnitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [params, tokens, flops] = &self.names;
        let is_off = self.ratio.filter(|ratio| !PLAUSIBLE_RATIO.contains(ratio));
        match is_off {
            Some(ratio) => write!(
                f,
                "expected `{flops}` near 6·`{params}`·`{tokens}`, found {} times that (median of {} runs)",
                number(ratio),
                self.n_runs
            )?,
            None => {
                let range = |(name, range): (&String, &Option<[f64; 3]>)| {
                    let [_, least, largest] = (*range)?;
                    Some(format!("`{name}` from {} to {}", number(least), number(largest)))
                };
                let ranges: Vec<String> = self.names.iter().zip(&self.ranges).filter_map(range).collect();
                write!(
                    f,
                    "expected runs with sizes that models are trained at, found {}",
                    ranges.join(", ")
                )?;
            }
        }
        match self.causes.as_slice() {
            _ if self.is_per_token => write!(
                f,
                "; no unit explains it: `{flops}` goes with `{params}` alone, as the FLOPs of one token or one step do\n\
                 hint: choose the column with the compute of the whole training by --flops-column, or take `{flops}` out of \
                 the table to have 6·N·D taken for it"
            ),
            [] => write!(
                f,
                "; no unit explains it\nhint: check the three columns; without `{flops}` 6·N·D is taken for it, and \
                 --keep-units fits the numbers as given"
            ),
            [cause] => write!(
                f,
                ": {}\nhint: give {}, or correct the table; --keep-units fits the numbers as given",
                self.described(cause),
                self.options(cause)
            ),
            several => {
                let all: Vec<String> = several
                    .iter()
                    .map(|cause| format!("{} ({})", self.described(cause), self.options(cause)))
                    .collect();
                write!(
                    f,
                    ": either {}\nhint: give the option that is right, or correct the table; --keep-units fits it as it \
                     stands",
                    all.join(", or ")
                )
            }
        }
    }
}

impl UnitFault {
    fn described(&self, cause: &[WrongUnit]) -> String {
        let one = |wrong: &WrongUnit| {
            let idx = QUANTITIES.iter().position(|quantity| *quantity == wrong.quantity).unwrap_or(0);
            let range = self.ranges[idx].map_or(String::new(), |[_, least, largest]| {
                format!(", {} to {}", number(least), number(largest))
            });
            let name = &self.names[idx];
            let unit = wrong.quantity.units().iter().find(|(unit, ..)| *unit == wrong.factor);
            match unit {
                Some((factor, word, _)) => {
                    let of = wrong.quantity.plural();
                    format!("`{name}` is {factor:e} times too small{range}: {of} in {word}?")
                }
                None => {
                    let factor = 10f64.powi((-wrong.factor.log10()).round() as i32);
                    format!("`{name}` is {factor:e} times too large{range}")
                }
            }
        };
        cause.iter().map(one).collect::<Vec<_>>().join(" and ")
    }

    /// The options that set it right: they take the place of a unit that the header names.
    fn options(&self, cause: &[WrongUnit]) -> String {
        let option = |wrong: &WrongUnit| {
            let idx = QUANTITIES.iter().position(|quantity| *quantity == wrong.quantity).unwrap_or(0);
            let unit = self.units[idx] * wrong.factor;
            let power = unit.log10().round();
            // 1e21 times 1e-12 is not 1e9 to the last digit.
            let unit = if (unit.log10() - power).abs() < 1e-9 { 10f64.powi(power as i32) } else { unit };
            format!("{} {unit:e}", wrong.quantity.option())
        };
        cause.iter().map(option).collect::<Vec<_>>().join(" ")
    }
}

/// A number to three digits.
fn number(x: f64) -> String {
    match x {
        0.01..1e4 => {
            let text = format!("{x:.*}", (2 - x.log10().floor() as i32).max(0) as usize);
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        x => format!("{x:.2e}"),
    }
}
