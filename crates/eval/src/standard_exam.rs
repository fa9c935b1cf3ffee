//! Exams that people take: from shares of right answers to a score on the exam's scale, and to a percentile of those who
//! took it.

use serde::{Deserialize, Serialize};

use crate::{ExamError, interval};

/// Every exam's file, embedded.
const FILES: [&str; 5] = [
    include_str!("../exams/lsat.toml"),
    include_str!("../exams/gre.toml"),
    include_str!("../exams/sat.toml"),
    include_str!("../exams/bar.toml"),
    include_str!("../exams/ap.toml"),
];

/// An exam with its scale, and what percentage of whom scores lower.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandardExam {
    /// As the command line has it.
    pub name: String,
    /// Its own name.
    pub title: String,
    /// The lowest and the highest score.
    pub scale: [f64; 2],
    /// Standard error of measurement of the scaled score of a person, where it is published.
    pub measurement_error: Option<f64>,
    /// Parts with their tasks; none where no task has the exam's questions.
    #[serde(default, rename = "section")]
    pub sections: Vec<Section>,
    /// From right answers to the scale.
    pub conversion: Option<Conversion>,
    /// Tables, each for its own population.
    #[serde(default, rename = "percentile")]
    pub percentiles: Vec<Percentiles>,
}

/// A part of an exam.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Tasks whose items are its questions.
    pub tasks: Vec<String>,
    /// How many questions it has in one exam: its weight.
    pub items: usize,
}

/// From a raw score, the number of right answers, to the scale.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// What it rests on.
    pub about: String,
    /// A scaled score and the lowest raw score that gives it, in rising order.
    pub lowest: Vec<[f64; 2]>,
}

/// What percentage of a population scores lower.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    /// Who is compared with.
    pub population: String,
    /// Where the table was published.
    pub source: String,
    /// Whether a score stands for a range of percentiles, of which the table has the lower end.
    #[serde(default)]
    pub is_lower_bound: bool,
    /// Scaled score and percentile, in rising order.
    pub points: Vec<[f64; 2]>,
}

/// A percentile as far as a table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Percentile {
    /// The table has this score.
    Listed(f64),
    /// On a line between two scores of the table.
    Between(f64),
    /// The score is below the lowest of the table, which has this percentile.
    Below(f64),
    /// The score is above the highest of the table, which has this percentile.
    Above(f64),
}

impl Percentile {
    /// The number, for a figure; where the table ends, that of its end.
    pub fn value(self) -> f64 {
        match self {
            Self::Listed(p) | Self::Between(p) | Self::Below(p) | Self::Above(p) => p,
        }
    }
}

impl std::fmt::Display for Percentile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listed(p) => write!(f, "{p}"),
            Self::Between(p) => write!(f, "about {p:.0}"),
            Self::Below(p) => write!(f, "below {p}"),
            Self::Above(p) => write!(f, "above {p}"),
        }
    }
}

/// How a model did in a section.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SectionResult {
    /// Items that were answered.
    pub n: usize,
    /// Of them, right; an item with points counts by its share of them.
    pub n_right: f64,
}

/// A score on the scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExamScore {
    /// Right answers of an exam of the usual length: `Σ_s items_s · share_s`.
    pub raw: f64,
    /// The score that it gives.
    pub scaled: f64,
    /// The score at the lower end of the 95 % interval of the raw score, from the number of items answered.
    pub lo95: f64,
    /// The score at the upper end.
    pub hi95: f64,
}

impl StandardExam {
    /// All exams.
    ///
    /// # Panics
    /// If an embedded file is malformed, which a test excludes.
    pub fn all() -> Vec<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            exam: Vec<StandardExam>,
        }
        let parse = |text: &&str| toml::from_str::<File>(text).expect("exams parse").exam;
        FILES.iter().flat_map(parse).collect()
    }

    /// The exams of a user's own file, which is written as those of this program are.
    ///
    /// # Errors
    /// If the file is no such table, or a scale, a section or a table of it makes no sense.
    pub fn parse(text: &str) -> Result<Vec<Self>, ExamError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            exam: Vec<StandardExam>,
        }
        let bad = |message: String| ExamError::Definition { message };
        let File { exam: exams } = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        for exam in &exams {
            let [low, high] = exam.scale;
            let is_rising = |points: &[[f64; 2]]| {
                points.iter().all(|point| point.iter().all(|x| x.is_finite()))
                    && points.windows(2).all(|two| two[0][0] < two[1][0] && two[0][1] <= two[1][1])
            };
            let tables = exam.percentiles.iter().map(|table| &table.points);
            let tables = tables.chain(exam.conversion.iter().map(|conversion| &conversion.lowest));
            let problem = if !(low.is_finite() && high.is_finite() && low < high) {
                Some("a scale that does not rise")
            } else if exam.sections.iter().any(|section| section.items == 0 || section.tasks.is_empty()) {
                Some("a section without items or tasks")
            } else if tables.into_iter().any(|points| points.is_empty() || !is_rising(points)) {
                Some("a table whose points do not rise")
            } else {
                None
            };
            if let Some(problem) = problem {
                return Err(bad(format!("{problem} in the exam `{}`", exam.name)));
            }
        }
        Ok(exams)
    }

    /// The score from the results of every section, in their order. None without a conversion, or where a section
    /// has no result.
    pub fn score(&self, results: &[SectionResult]) -> Option<ExamScore> {
        let conversion = self.conversion.as_ref()?;
        if results.len() != self.sections.len() || results.iter().any(|result| result.n == 0) {
            return None;
        }
        let (mut raw, mut variance) = (0.0, 0.0);
        for (section, &SectionResult { n, n_right }) in self.sections.iter().zip(results) {
            let (items, share) = (section.items as f64, n_right / n as f64);
            raw += items * share;
            // Half the width of Wilson's interval: near 0 and 1 the binomial's own variance would be 0.
            let half = interval::wilson(n_right.round() as usize, n).map_or(0.5, |[lo, hi]| 0.5 * (hi - lo));
            variance += (items * half).powi(2);
        }
        let n_items: usize = self.sections.iter().map(|section| section.items).sum();
        let at = |raw: f64| conversion.scaled(raw.clamp(0.0, n_items as f64));
        let margin = variance.sqrt();
        Some(ExamScore { raw, scaled: at(raw), lo95: at(raw - margin), hi95: at(raw + margin) })
    }
}

impl Conversion {
    /// The scaled score of a raw one, rounded to whole answers.
    fn scaled(&self, raw: f64) -> f64 {
        let reached = self.lowest.iter().rev().find(|[_, lowest]| *lowest <= raw.round());
        reached.or(self.lowest.first()).map_or(f64::NAN, |[scaled, _]| *scaled)
    }
}

impl Percentiles {
    /// The percentile of a scaled score. None of an empty table.
    pub fn of(&self, scaled: f64) -> Option<Percentile> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        if let Some([_, p]) = self.points.iter().find(|[score, _]| *score == scaled) {
            return Some(Percentile::Listed(*p));
        }
        if scaled < first[0] {
            return Some(Percentile::Below(first[1]));
        }
        if scaled > last[0] {
            return Some(Percentile::Above(last[1]));
        }
        let two = self.points.windows(2).find(|two| two[0][0] < scaled && scaled < two[1][0])?;
        let ([x0, y0], [x1, y1]) = (two[0], two[1]);
        // A score that is a step has the percentile of the step below.
        let p = if self.is_lower_bound { y0 } else { y0 + (y1 - y0) * (scaled - x0) / (x1 - x0) };
        Some(Percentile::Between(p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_sound() {
        let exams = StandardExam::all();
        let mut names: Vec<&str> = exams.iter().map(|exam| exam.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() == exams.len() && exams.len() >= 20);
        for exam in &exams {
            let rises = |points: &[[f64; 2]]| {
                points.windows(2).all(|two| two[0][0] < two[1][0] && two[0][1] <= two[1][1])
            };
            assert!(!exam.percentiles.is_empty() && exam.scale[0] < exam.scale[1], "{}", exam.name);
            for table in &exam.percentiles {
                assert!(rises(&table.points) && !table.points.is_empty(), "{}", exam.name);
                let is_inside = |[score, p]: &[f64; 2]| {
                    (exam.scale[0]..=exam.scale[1]).contains(score) && (0.0..=100.0).contains(p)
                };
                assert!(table.points.iter().all(is_inside) && !table.source.is_empty(), "{}", exam.name);
            }
            if let Some(conversion) = &exam.conversion {
                let n_items: usize = exam.sections.iter().map(|section| section.items).sum();
                assert!(rises(&conversion.lowest) && conversion.lowest[0] == [exam.scale[0], 0.0]);
                let highest = conversion.lowest[conversion.lowest.len() - 1];
                assert!(highest[0] == exam.scale[1] && highest[1] <= n_items as f64);
            }
        }
    }

    fn exam(name: &str) -> StandardExam {
        StandardExam::all().into_iter().find(|exam| exam.name == name).unwrap()
    }

    #[test]
    fn sections_count_by_their_questions() {
        let lsat = exam("lsat");
        let of = |n_right: [usize; 3]| {
            let results: Vec<_> =
                n_right.iter().map(|&n_right| SectionResult { n: 200, n_right: n_right as f64 }).collect();
            lsat.score(&results).unwrap()
        };
        // Everything right: 99 answers.
        assert_eq!(of([200, 200, 200]).scaled, 180.0);
        // By chance, a fifth: 19.8 answers, of which 20 give 125.
        let chance = of([40, 40, 40]);
        assert!((chance.raw - 19.8).abs() < 1e-9 && chance.scaled == 125.0);
        assert!(chance.lo95 < 125.0 && chance.hi95 > 125.0 && chance.hi95 < 132.0);
        // 23 and 26 of 99, and half of 50: 74 answers.
        assert_eq!(of([200, 100, 200]).scaled, 158.0);
        assert_eq!(lsat.score(&[SectionResult { n: 5, n_right: 5.0 }]), None);
        assert_eq!(lsat.percentiles[0].of(163.0), Some(Percentile::Listed(87.1)));
    }

    #[test]
    fn the_population_decides_the_percentile() {
        let bar = exam("ube");
        let at = |scaled| -> Vec<String> {
            bar.percentiles.iter().map(|table| table.of(scaled).unwrap().to_string()).collect()
        };
        assert_eq!(at(298.0), ["about 88", "68", "62", "48"]);
        assert_eq!(at(240.0), ["below 26", "below 68", "below 62", "below 48"]);
        assert_eq!(at(340.0)[0], "above 99");
        let chemistry = exam("ap_chemistry");
        assert_eq!(chemistry.percentiles[0].of(4.0), Some(Percentile::Listed(71.0)));
        assert_eq!(chemistry.percentiles[0].of(1.0), Some(Percentile::Below(22.0)));
    }
}
