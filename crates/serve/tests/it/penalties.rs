//! `frequency_penalty` and `presence_penalty`.

use serde_json::{Value, json};

use crate::scene::Scene;

/// The ids of 30 tokens that the model finds most likely.
fn greedy(scene: &Scene, more: &Value) -> Vec<String> {
    let bias: serde_json::Map<String, Value> =
        data::Tokenizer::bytes().stops().iter().map(|id| (id.to_string(), json!(-100))).collect();
    let mut body =
        json!({"prompt": "aaaa", "temperature": 0, "max_tokens": 30, "logprobs": 0, "logit_bias": bias});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = scene.complete(&body);
    let tokens = answer["choices"][0]["logprobs"]["tokens"].as_array().unwrap().clone();
    tokens.iter().map(|token| token.as_str().unwrap().to_owned()).collect()
}

fn n_different(tokens: &[String]) -> usize {
    tokens.iter().collect::<std::collections::HashSet<_>>().len()
}

#[test]
fn what_an_answer_has_already_becomes_less_likely_or_more() {
    let scene = Scene::fresh();
    let plain = greedy(&scene, &json!({}));
    assert_eq!(greedy(&scene, &json!({"frequency_penalty": 0, "presence_penalty": null})), plain);
    // Logits of a random model lie within a fraction of a nat.
    assert_eq!(n_different(&greedy(&scene, &json!({"presence_penalty": 2}))), 30);
    assert_eq!(n_different(&greedy(&scene, &json!({"frequency_penalty": 2}))), 30);
    // Tokens of the prompt do not count, so that the first is the same; with a reward it comes again and again.
    let rewarded = greedy(&scene, &json!({"presence_penalty": -2}));
    assert_eq!(rewarded, vec![plain[0].clone(); 30]);
    // Alone or beside others, whole or streamed.
    let scene = Scene::new();
    let body = json!({"prompt": "ab", "frequency_penalty": 1.3, "presence_penalty": -0.5, "seed": 3, "n": 3, "max_tokens": 40});
    let whole = scene.complete(&body);
    let chunks = scene.stream("/v1/completions", &body);
    for (i, choice) in whole["choices"].as_array().unwrap().iter().enumerate() {
        let own = chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == i);
        let text: String = own.filter_map(|choice| choice["text"].as_str()).collect();
        assert_eq!(choice["text"], text);
    }
}
