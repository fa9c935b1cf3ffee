//! Texts that end a continuation.

use crate::scene::{CHECKPOINT, Scene};

#[test]
fn a_stop_text_ends_a_continuation_and_is_no_part_of_it() {
    let scene = Scene::trained();
    let generate = |more: &[&str]| {
        let all = ["generate", CHECKPOINT, "--max-tokens", "20", "--seed", "7", "--json"];
        scene.ok(&[&all, more].concat()).json()
    };
    let whole = generate(&["--prompt", "Once"]);
    let text = whole["text"].as_str().unwrap();
    let letters: Vec<char> = text.chars().collect();
    assert!(letters.len() > 6, "{text:?}");
    let stop: String = letters[3..5].iter().collect();
    let want = &text[..text.find(&stop).unwrap()];

    let cut = generate(&["--prompt", "Once", "--stop", "not there", "--stop", &stop]);
    assert_eq!((cut["text"].as_str().unwrap(), &cut["finish"]), (want, &"stop".into()));
    let n_ids = cut["ids"].as_array().unwrap().len();
    assert!(n_ids < whole["ids"].as_array().unwrap().len());
    assert_eq!(cut["ids"].as_array().unwrap()[..], whole["ids"].as_array().unwrap()[..n_ids]);
    let all = ["generate", CHECKPOINT, "--max-tokens", "20", "--seed", "7", "--prompt", "Once", "--stop"];
    assert_eq!(scene.ok(&[&all[..], &[&stop]].concat()).stdout, format!("{want}\n"));

    // The first line of a file draws with the seed itself.
    scene.write("prompts.jsonl", b"{\"prompt\": \"Once\"}\n{\"prompt\": \"A\"}\n{\"prompt\": \"B\"}\n");
    for batch in ["1", "2", "16"] {
        let all = ["generate", CHECKPOINT, "--prompts", "prompts.jsonl", "--batch", batch];
        let more = ["--max-tokens", "20", "--seed", "7", "--stop", &stop];
        let out = scene.ok(&[&all[..], &more].concat()).stdout;
        let lines: Vec<serde_json::Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], cut);
        assert_eq!(lines[1]["prompt"], "A");
    }
}
