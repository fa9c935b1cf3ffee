//! What each proposition counts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Classes, Gold, ResponseType};

/// Of the squares of the weights, so that propositions that always come together get a weight each.
const RIDGE: f64 = 1.0;
/// A weight below it is a 0 with the rounding of the solution, which is below 1e-12 for a thousand answers.
const ROUNDING: f64 = 1e-9;

/// A reward linear in propositions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Where nothing is true.
    pub bias: f64,
    /// Of each proposition that is true.
    pub of: BTreeMap<String, f64>,
    /// How many answers they were fitted on.
    pub n: usize,
    /// Of the spread of the classes of these, how much they explain.
    pub r2: f64,
}

impl Weights {
    /// Propositions that count.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.of.iter().filter(|(_, weight)| **weight != 0.0).map(|(name, _)| &name[..])
    }

    /// The reward of an answer of which `is_true` holds.
    pub fn reward(&self, is_true: impl Fn(&str) -> bool) -> f64 {
        self.bias + self.of.iter().filter(|(name, _)| is_true(name)).map(|(_, weight)| weight).sum::<f64>()
    }
}

/// Fits weights for each response type by ridge regression on the classes of labelled answers: the best class is 1, the worst 0,
/// those between evenly spaced. Propositions of which `is_graded` is not so get no weight; a response type of which none is graded
/// has no weights.
pub fn fit(
    classes: &Classes,
    gold: &[Gold],
    is_graded: &dyn Fn(&str) -> bool,
) -> BTreeMap<ResponseType, Weights> {
    let mut fitted = BTreeMap::new();
    for kind in ResponseType::ALL {
        let items = classed(classes, gold, kind);
        let names: BTreeSet<&String> = items.iter().flat_map(|(item, _)| item.propositions.keys()).collect();
        let names: Vec<&String> = names.into_iter().filter(|name| is_graded(name)).collect();
        if items.len() > 1 && !names.is_empty() {
            fitted.insert(kind, regress(&items, &names));
        }
    }
    fitted
}

/// The answers of a response type that fall into a class, each with what it is worth.
fn classed<'a>(classes: &Classes, gold: &'a [Gold], kind: ResponseType) -> Vec<(&'a Gold, f64)> {
    let worst = classes.order.len().saturating_sub(1).max(1) as f64;
    let of_kind = gold.iter().filter(|item| item.kind == kind);
    let worth = |item: &'a Gold| {
        let is_true = |name: &str| item.propositions.get(name).copied().unwrap_or(false);
        Some((item, 1.0 - classes.rank(kind, &is_true)? as f64 / worst))
    };
    of_kind.filter_map(worth).collect()
}

/// What is wrong with labelled answers of which no weights can be made, whatever the grader: what is expected, and what is found.
pub fn unfit(classes: &Classes, gold: &[Gold]) -> Option<(&'static str, String)> {
    let of_kinds = ResponseType::ALL.map(|kind| (kind, classed(classes, gold, kind)));
    let n = of_kinds.iter().map(|(_, items)| items.len()).max().unwrap_or(0);
    match n {
        0 => Some(("labelled answers that fall into classes", format!("none in {}", gold.len()))),
        1 => Some((
            "at least two labelled answers of a response type that fall into classes",
            format!("one of each in {}", gold.len()),
        )),
        _ if fit(classes, gold, &|_| true).values().all(|weights| weights.names().next().is_none()) => {
            let of_kinds = of_kinds.iter().filter(|(_, items)| !items.is_empty());
            let of_kinds: Vec<String> =
                of_kinds.map(|(kind, items)| format!("{} of {}", items.len(), kind.name())).collect();
            Some((
                "labelled answers of a response type in different classes, with propositions that differ",
                format!("those alike: {}", of_kinds.join(", ")),
            ))
        }
        _ => None,
    }
}

fn regress(items: &[(&Gold, f64)], names: &[&String]) -> Weights {
    let n = names.len() + 1; // the bias is last, and is not held back
    let row = |item: &Gold| -> Vec<f64> {
        let values = names
            .iter()
            .map(|name| f64::from(u8::from(item.propositions.get(*name).copied().unwrap_or(false))));
        values.chain([1.0]).collect()
    };
    let mut system = vec![vec![0.0; n + 1]; n];
    for (item, target) in items {
        let row = row(item);
        for (equation, x) in system.iter_mut().zip(&row) {
            equation.iter_mut().zip(&row).for_each(|(sum, y)| *sum += x * y);
            equation[n] += x * target;
        }
    }
    (0..n - 1).for_each(|i| system[i][i] += RIDGE);
    let solved = solve(system);
    let predicted = |item: &Gold| row(item).iter().zip(&solved).map(|(x, w)| x * w).sum::<f64>();
    let mean = items.iter().map(|(_, target)| target).sum::<f64>() / items.len() as f64;
    let spread: f64 = items.iter().map(|(_, target)| (target - mean).powi(2)).sum();
    let left: f64 = items.iter().map(|(item, target)| (target - predicted(item)).powi(2)).sum();
    Weights {
        bias: solved[n - 1],
        of: names
            .iter()
            .copied()
            .cloned()
            .zip(solved.iter().map(|weight| if weight.abs() < ROUNDING { 0.0 } else { *weight }))
            .collect(),
        n: items.len(),
        r2: if spread > 0.0 { 1.0 - left / spread } else { 0.0 },
    }
}

/// Gaussian elimination with the largest pivot; the last column is the right side.
fn solve(mut system: Vec<Vec<f64>>) -> Vec<f64> {
    let n = system.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|a, b| system[*a][i].abs().total_cmp(&system[*b][i].abs())).unwrap_or(i);
        system.swap(i, pivot);
        let head = system[i].clone();
        for row in system.iter_mut().skip(i + 1) {
            let factor = row[i] / head[i];
            row.iter_mut().zip(&head).for_each(|(x, y)| *x -= factor * y);
        }
    }
    let mut solved = vec![0.0; n];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| system[i][j] * solved[j]).sum();
        solved[i] = (system[i][n] - known) / system[i][i];
    }
    solved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbrm::{classes::SMALL, yaml};

    #[test]
    fn a_system_is_solved() {
        let solved = solve(vec![vec![0.0, 2.0, 4.0], vec![3.0, 1.0, 5.0]]);
        assert!((solved[0] - 1.0).abs() < 1e-12 && (solved[1] - 2.0).abs() < 1e-12, "{solved:?}");
    }

    #[test]
    fn better_classes_are_rewarded_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("classes.yaml");
        std::fs::write(&path, SMALL).unwrap();
        assert!(yaml::parse(SMALL).is_ok());
        let classes = Classes::read(&path).unwrap();
        let item = |kind, true_ones: &[&str]| Gold {
            messages: Vec::new(),
            answer: String::new(),
            kind,
            propositions: ["apology", "inability_to_comply", "fully_complies"]
                .map(|name| (name.to_owned(), true_ones.contains(&name)))
                .into(),
        };
        let mut gold = Vec::new();
        for _ in 0..20 {
            for kind in [ResponseType::Comply, ResponseType::HardRefuse] {
                for ones in [
                    &["apology", "inability_to_comply"][..],
                    &["inability_to_comply"],
                    &["fully_complies"],
                    &[],
                ] {
                    gold.push(item(kind, ones));
                }
            }
        }
        let fitted = fit(&classes, &gold, &|_| true);
        let reward = |kind, ones: &[&str]| fitted[&kind].reward(|name| ones.contains(&name));
        let refusal = ["apology", "inability_to_comply"];
        assert!(
            reward(ResponseType::HardRefuse, &refusal)
                > reward(ResponseType::HardRefuse, &["fully_complies"]) + 0.3
        );
        assert!(
            reward(ResponseType::Comply, &["fully_complies"]) > reward(ResponseType::Comply, &refusal) + 0.3
        );
        assert!(!fitted.contains_key(&ResponseType::SafeRefuse1));
        let graded = fit(&classes, &gold, &|name| name == "apology");
        assert_eq!(graded[&ResponseType::HardRefuse].of.keys().collect::<Vec<_>>(), ["apology"]);
        assert!(
            fit(&classes, &gold, &|_| false).is_empty(),
            "without propositions there is nothing to reward"
        );
        assert_eq!(unfit(&classes, &gold), None);
    }

    /// What can have no weights is known before anything is graded.
    #[test]
    fn answers_without_weights_are_named() {
        let classes = crate::rbrm::classes::small();
        let item = |kind, is_true: bool| Gold {
            messages: Vec::new(),
            answer: String::new(),
            kind,
            propositions: [("fully_complies".to_owned(), is_true)].into(),
        };
        let found = |gold: &[Gold]| unfit(&classes, gold).unwrap_or_default().1;
        assert_eq!(found(&[]), "none in 0");
        assert_eq!(found(&[item(ResponseType::SafeRefuse1, true)]), "none in 1");
        let one_each = [item(ResponseType::Comply, true), item(ResponseType::HardRefuse, true)];
        assert_eq!(found(&one_each), "one of each in 2");
        let alike: Vec<Gold> = (0..7).map(|_| item(ResponseType::Comply, true)).collect();
        assert_eq!(found(&alike), "those alike: 7 of comply");
        let fitted = fit(&classes, &alike, &|_| true);
        assert_eq!(fitted[&ResponseType::Comply].of["fully_complies"], 0.0, "no weight out of rounding");
        assert_eq!(unfit(&classes, &[alike, vec![item(ResponseType::Comply, false)]].concat()), None);
    }
}
