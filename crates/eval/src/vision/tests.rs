//! Scores against those of lmms-eval.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Fixture {
    chartqa: Vec<(String, String, bool)>,
    anls: Vec<(String, Vec<String>, f64)>,
    /// Prediction, people, accuracy by lmms-eval, by VQAv2's own rules, by TextVQA's.
    vqa: Vec<(String, Vec<String>, f64, f64, f64)>,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/vision_scores.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn charts_are_scored_as_by_lmms_eval() {
    let cases = fixture().chartqa;
    assert!(cases.iter().filter(|(_, _, is_right)| *is_right).count() > 80);
    for (prediction, target, is_right) in cases {
        assert_eq!(relaxed_match(&prediction, &target), is_right, "{prediction:?} for {target:?}");
    }
}

#[test]
fn documents_are_scored_as_by_lmms_eval() {
    for (prediction, answers, score) in fixture().anls {
        assert_eq!(anls(&prediction, &refs(&answers)), score, "{prediction:?} for {answers:?}");
    }
}

#[test]
fn questions_are_scored_as_by_lmms_eval_and_by_the_benchmark() {
    let cases = fixture().vqa;
    assert!(cases.iter().any(|(_, _, lmms, official, _)| lmms != official));
    for (prediction, people, lmms, official, text) in cases {
        let scores = [(VqaRules::LmmsEval, lmms), (VqaRules::Official, official), (VqaRules::TextVqa, text)];
        for (rules, score) in scores {
            let ours = vqa_accuracy(&prediction, &refs(&people), rules);
            // Python adds exact fractions, which differs in the last bit.
            assert!(
                (ours - score).abs() < 1e-12,
                "{rules:?}: {prediction:?} for {people:?}: {ours}, not {score}"
            );
        }
    }
}

#[test]
fn distances_are_those_of_a_full_table() {
    let mut rng = base::Rng::named(1, "edit distance");
    for _ in 0..200 {
        let mut draw = || -> Vec<char> {
            let len = rng.below(9);
            (0..len).map(|_| ['a', 'b', 'я'][rng.below(3) as usize]).collect()
        };
        let (a, b) = (draw(), draw());
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = match (i, j) {
                    (0, n) | (n, 0) => n,
                    _ => (table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]))
                        .min(table[i - 1][j] + 1)
                        .min(table[i][j - 1] + 1),
                };
            }
        }
        let [a, b] = [a, b].map(|text| text.into_iter().collect::<String>());
        assert_eq!(edit_distance(&a, &b), table[a.chars().count()][b.chars().count()], "{a} {b}");
    }
}

#[test]
fn reading_is_exact_but_for_white_space() {
    assert!(exact_match(" Улица  7\n", "Улица 7"));
    assert!(!exact_match("улица 7", "Улица 7") && !exact_match("Улица7", "Улица 7"));
    let mut errors = CharacterErrors::default();
    assert_eq!(errors.rate(), None);
    errors.add("Улыцо", "Улица");
    assert_eq!(errors.rate(), Some(0.4));
}
