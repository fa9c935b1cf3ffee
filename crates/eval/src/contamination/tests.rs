use base::Rng;

use super::*;

const WORDS: [&str; 24] = [
    "the",
    "river",
    "of",
    "stone",
    "and",
    "seven",
    "green",
    "7",
    "Bäume",
    "stehen",
    "am",
    "Ufer",
    "река",
    "течёт",
    "медленно",
    "水",
    "流れる",
    "under",
    "a",
    "bridge",
    "that",
    "nobody",
    "built",
    "1984",
];

fn text(rng: &mut Rng, n_words: usize) -> String {
    let word =
        |rng: &mut Rng| WORDS[rng.below(WORDS.len() as u64) as usize].to_owned() + &rng.below(50).to_string();
    (0..n_words).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

fn found(questions: &[String], documents: &[String]) -> Contamination {
    let patterns = [Patterns::new(questions.iter().map(String::as_str), 7)];
    let index = Index::new(&patterns);
    let mut scan = Scan::new(&index);
    documents.iter().for_each(|document| scan.document(document));
    scan.finish().remove(0)
}

/// As slow as can be: every pattern in every document.
fn searched(questions: &[String], documents: &[String]) -> Vec<usize> {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let documents: Vec<String> = documents.iter().map(|text| letters(text)).collect();
    let patterns = Patterns::new(questions.iter().map(String::as_str), 7);
    let mut found: Vec<usize> = patterns
        .substrings
        .iter()
        .filter(|(_, pattern)| documents.iter().any(|text| text.contains(pattern)))
        .map(|(item, _)| *item)
        .collect();
    found.dedup();
    found
}

/// Every planted item is found, with other spaces and signs than its own, and no other; in any order of documents, and by
/// several scans that are merged.
#[test]
fn planted_items_are_found_and_no_others() {
    let mut rng = Rng::named(1, "contamination test");
    let questions: Vec<String> = (0..2000).map(|i| text(&mut rng, 5 + i % 40)).collect();
    let mut documents: Vec<String> = (0..500).map(|_| text(&mut rng, 200)).collect();
    let planted: Vec<usize> = (0..2000).filter(|_| rng.uniform() < 0.3).collect();
    for (i, item) in planted.iter().enumerate() {
        let document = &mut documents[i % 500];
        let mut at = rng.below(document.len() as u64) as usize;
        while !document.is_char_boundary(at) {
            at -= 1;
        }
        document.insert_str(at, &format!("\n–{}?!", questions[*item].replace(' ', ",\u{a0} ")));
    }
    let got = found(&questions, &documents);
    assert_eq!((got.n_items, &got.found), (2000, &searched(&questions, &documents)));
    // Where a later plant cut an earlier one in two, the earlier may be lost.
    let missed = planted.iter().filter(|item| got.found.binary_search(item).is_err()).count();
    assert!(missed <= planted.len() / 500, "{missed} of {} planted items were missed", planted.len());
    let foreign = got.found.iter().filter(|item| planted.binary_search(item).is_err()).count();
    assert_eq!(foreign, 0);
    documents.reverse();
    assert_eq!(found(&questions, &documents), got);
    // The same items as those of two tasks.
    let parts = questions.split_at(700);
    let patterns = [parts.0, parts.1, &questions[..]]
        .map(|questions| Patterns::new(questions.iter().map(String::as_str), 7));
    let index = Index::new(&patterns);
    let [mut first, mut second] = [(); 2].map(|()| Scan::new(&index));
    for (i, document) in documents.iter().enumerate() {
        if i % 3 == 0 { &mut first } else { &mut second }.document(document);
    }
    first.merge(&second);
    let of_tasks = first.finish();
    assert_eq!(of_tasks[2], got);
    assert_eq!(of_tasks[0].found, searched(parts.0, &documents));
    assert_eq!(of_tasks[1].found, searched(parts.1, &documents));
    assert_eq!(first.n_bytes(), documents.iter().map(|text| text.len() as u64).sum::<u64>());
}

#[test]
fn what_is_short_is_looked_for_whole_or_not_at_all() {
    let questions = ["What is 2 + 2?", "Who wrote the book of the sea?", "  ?! "].map(str::to_owned);
    let text = ["What is 2 + 2? Who wrote the book: of the sea".to_owned()];
    let got = found(&questions, &text);
    assert_eq!((got.found, got.not_checked), (vec![1], vec![0, 2]));
    let apart = ["Who wrote the book".to_owned(), "of the sea?".to_owned()];
    assert!(found(&questions, &apart).found.is_empty(), "it begins in one document and ends in another");
    assert!(found(&[], &text).found.is_empty() && found(&questions, &[]).found.is_empty());
}

#[test]
fn case_counts_and_marks_do_not() {
    let question =
        ["Die Größe des Weltalls, in Lichtjahren: wie viele, und seit wann weiß man es?".to_owned()];
    let other = ["die größe des weltalls in lichtjahren wie viele und seit wann weiss man es".to_owned()];
    assert!(found(&question, &other).found.is_empty());
    assert_eq!(found(&question, &[question[0].replace([',', ':', ' '], "-")]).found, [0]);
}

/// Text without any planted item: by chance alone none is found, and planted ones are all found. Questions in the kinds
/// of lengths that benchmarks have, 14,000 at once.
#[test]
fn recall_and_false_positives_over_many_questions() {
    let mut rng = Rng::named(3, "contamination rates");
    let questions: Vec<String> = (0..14_000).map(|i| text(&mut rng, 6 + i % 60)).collect();
    let planted: Vec<usize> = (0..questions.len()).step_by(7).collect();
    let mut documents: Vec<String> = (0..4000).map(|_| text(&mut rng, 100)).collect();
    for (i, item) in planted.iter().enumerate() {
        // Whole items, one to a document and more, between other text.
        documents[i % 4000] += &format!(" {}. ", questions[*item]);
    }
    let got = found(&questions, &documents);
    let is_checked = |item: &usize| got.not_checked.binary_search(item).is_err();
    let n_planted = planted.iter().filter(|item| is_checked(item)).count();
    let n_recalled = planted.iter().filter(|item| got.found.binary_search(item).is_ok()).count();
    assert!(n_recalled as f64 >= 0.999 * n_planted as f64, "{n_recalled} of {n_planted}");
    let n_foreign = got.found.len() - n_recalled;
    let n_clean = questions.len() - planted.len();
    assert!(n_foreign as f64 <= 0.001 * n_clean as f64, "{n_foreign} of {n_clean}");
    assert!(got.not_checked.len() < 100, "{} are too short", got.not_checked.len());
}
