//! `/v1/completions`

use serde_json::{Value, json};

use crate::scene::Scene;

fn ask(prompt: &str, seed: u64) -> Value {
    json!({"prompt": prompt, "seed": seed, "max_tokens": 40, "logprobs": 2})
}

/// The choice without the names of the answer.
fn choice(answer: &Value) -> Value {
    answer["choices"][0].clone()
}

/// A streamed choice as one.
fn joined(chunks: &[Value]) -> Value {
    let mut whole = json!({"index": 0, "text": "", "logprobs": {}, "finish_reason": null});
    let mut text = String::new();
    for chunk in chunks {
        let choice = &chunk["choices"][0];
        text.push_str(choice["text"].as_str().unwrap());
        for (name, list) in choice["logprobs"].as_object().unwrap() {
            let all = &mut whole["logprobs"][name];
            let mut joined = all.as_array().cloned().unwrap_or_default();
            joined.extend(list.as_array().unwrap().iter().cloned());
            *all = json!(joined);
        }
        assert!(whole["finish_reason"].is_null(), "a chunk after the last");
        whole["finish_reason"] = choice["finish_reason"].clone();
    }
    whole["text"] = json!(text);
    whole
}

#[test]
fn an_answer_is_the_same_alone_in_a_batch_and_streamed() {
    let scene = Scene::new();
    let asks: Vec<Value> = (0..12).map(|i| ask(&"Once upon a time ".repeat(i % 3 + 1), i as u64)).collect();
    let alone: Vec<Value> = asks.iter().map(|ask| choice(&scene.complete(ask))).collect();
    assert_ne!(alone[0]["text"], alone[3]["text"], "seeds make a difference");
    let together: Vec<(Value, Value)> = std::thread::scope(|scope| {
        let threads: Vec<_> = asks
            .iter()
            .map(|ask| {
                let scene = &scene;
                let whole = scope.spawn(move || choice(&scene.complete(ask)));
                (whole, scope.spawn(move || joined(&scene.stream("/v1/completions", ask))))
            })
            .collect();
        threads.into_iter().map(|(a, b)| (a.join().unwrap(), b.join().unwrap())).collect()
    });
    for (alone, (whole, streamed)) in alone.iter().zip(&together) {
        assert_eq!(alone, whole);
        assert_eq!(alone, streamed);
    }
    assert!(scene.metric("maquette_tokens_reused_total") > 0.0, "beginnings were read again");
}

#[test]
fn choices_and_prompts_come_in_their_order() {
    let scene = Scene::new();
    let answer = scene.complete(&json!({"prompt": ["ab", "cd"], "n": 2, "seed": 5, "max_tokens": 6}));
    let choices = answer["choices"].as_array().unwrap();
    let indices: Vec<u64> = choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3]);
    for (i, (prompt, seed)) in [("ab", 5), ("ab", 6), ("cd", 5), ("cd", 6)].into_iter().enumerate() {
        let alone = scene.complete(&json!({"prompt": prompt, "seed": seed, "max_tokens": 6}));
        assert_eq!(alone["choices"][0]["text"], choices[i]["text"], "{prompt} {seed}");
    }
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(4), &json!(24)));
    assert_eq!(usage["total_tokens"], 28);
    // What choices have in common counts once, and was found at most once.
    let body = json!({"prompt": "Once upon a time ".repeat(8), "n": 3, "max_tokens": 2});
    for _ in 0..2 {
        let usage = scene.complete(&body)["usage"].clone();
        let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        assert!(cached < usage["prompt_tokens"].as_u64().unwrap(), "{usage}");
    }
    let usage = scene.complete(&body)["usage"].clone();
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 8 * 17 - 1);
}

#[test]
fn a_prompt_may_be_ids() {
    let scene = Scene::new();
    let ids = data::Tokenizer::bytes().encode("Once");
    let answer = |prompt: Value| choice(&scene.complete(&json!({"prompt": prompt, "seed": 1})));
    assert_eq!(answer(json!(ids)), answer(json!("Once")));
    assert_eq!(answer(json!([ids])), answer(json!(["Once"])));
    // The default number of tokens is OpenAI's; none of them ends the answer.
    let stops = data::Tokenizer::bytes().stops();
    let bias: serde_json::Map<String, Value> = stops.iter().map(|id| (id.to_string(), json!(-100))).collect();
    let body = json!({"prompt": "x", "logit_bias": bias});
    assert_eq!(scene.complete(&body)["usage"]["completion_tokens"], 16);
}

#[test]
fn echo_lists_the_prompt_with_what_it_was_worth() {
    let scene = Scene::new();
    let prompt = "A stitch in time ".repeat(20);
    let ask = |more: Value| {
        let mut body = json!({"prompt": prompt, "echo": true, "logprobs": 3, "temperature": 0});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.complete(&body)
    };
    let scores = ask(json!({"max_tokens": 0}));
    let (choice, n) = (&scores["choices"][0], prompt.len());
    assert_eq!(choice["text"], prompt.as_str());
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(scores["usage"]["completion_tokens"], 0);
    let lists = &choice["logprobs"];
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(lists[name].as_array().unwrap().len(), n, "{name}");
    }
    assert!(lists["token_logprobs"][0].is_null() && lists["top_logprobs"][0].is_null());
    assert_eq!(lists["text_offset"][n - 1], n - 1);
    // Each score is what drawing the token would have said.
    for at in [1, 100, n - 1] {
        let id = data::Tokenizer::bytes().encode(&prompt)[at];
        let forced = json!({"prompt": &prompt[..at], "max_tokens": 1, "logprobs": 1, "logit_bias": {id.to_string(): 100}});
        let drawn = scene.complete(&forced);
        assert_eq!(drawn["choices"][0]["logprobs"]["token_logprobs"][0], lists["token_logprobs"][at]);
        let top = lists["top_logprobs"][at].as_object().unwrap();
        let token = lists["tokens"][at].as_str().unwrap();
        assert_eq!(top[token], lists["token_logprobs"][at]);
        assert!((3..=4).contains(&top.len()));
    }
    // What lm-evaluation-harness asks for: the same scores, and one token more.
    let one = ask(json!({"max_tokens": 1}));
    let more = &one["choices"][0]["logprobs"];
    assert_eq!(more["token_logprobs"].as_array().unwrap().len(), n + 1);
    assert_eq!(
        more["token_logprobs"].as_array().unwrap()[..n],
        lists["token_logprobs"].as_array().unwrap()[..]
    );
    // Two choices of a prompt have its scores in common; so has a stream.
    let two = ask(json!({"max_tokens": 2, "n": 2}));
    for i in 0..2 {
        let listed = two["choices"][i]["logprobs"]["token_logprobs"].as_array().unwrap();
        assert_eq!(listed[..n], lists["token_logprobs"].as_array().unwrap()[..]);
    }
    let body = json!({"prompt": prompt, "echo": true, "logprobs": 3, "temperature": 0, "max_tokens": 1});
    assert_eq!(joined(&scene.stream("/v1/completions", &body)), one["choices"][0]);
}

#[test]
fn a_stop_text_ends_an_answer_and_is_no_part_of_it() {
    let scene = Scene::new();
    let body = json!({"prompt": "Once", "seed": 3, "max_tokens": 60, "logprobs": 0});
    let whole = choice(&scene.complete(&body));
    let text = whole["text"].as_str().unwrap();
    let letters: Vec<char> = text.chars().collect();
    let stop: String = letters[10..12].iter().collect();
    let mut body = body;
    body["stop"] = json!(["not there", stop]);
    let cut = choice(&scene.complete(&body));
    let want = &text[..text.find(&stop).unwrap()];
    assert_eq!((cut["text"].as_str().unwrap(), cut["finish_reason"].as_str().unwrap()), (want, "stop"));
    let n = cut["logprobs"]["tokens"].as_array().unwrap().len();
    assert_eq!(
        cut["logprobs"]["token_logprobs"].as_array().unwrap()[..],
        whole["logprobs"]["token_logprobs"].as_array().unwrap()[..n]
    );
    let streamed = joined(&scene.stream("/v1/completions", &body));
    assert_eq!(streamed["text"], cut["text"]);
    assert_eq!(streamed["logprobs"], cut["logprobs"]);
}

#[test]
fn a_stream_counts_tokens_where_it_is_asked_to() {
    let scene = Scene::new();
    let body = json!({"prompt": "Once", "max_tokens": 3, "stream_options": {"include_usage": true}});
    let chunks = scene.stream("/v1/completions", &body);
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 3);
    assert!(others.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    let ids: Vec<&Value> = chunks.iter().map(|chunk| &chunk["id"]).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let body = json!({"prompt": "Once", "max_tokens": 3});
    assert!(scene.stream("/v1/completions", &body).iter().all(|chunk| chunk.get("usage").is_none()));
}
