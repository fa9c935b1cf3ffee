//! Clients that go away.

use serde_json::json;
use serve::Settings;

use crate::scene::{MAX_SEQ_LEN, Scene, config};

/// A model that takes a while for a long text.
fn slow() -> model::ModelConfig {
    model::ModelConfig {
        max_seq_len: 8 * MAX_SEQ_LEN,
        d_model: 256,
        n_heads: 8,
        d_head: 32,
        d_ff: 1024,
        ..config()
    }
}

#[test]
fn whoever_goes_frees_his_place_while_he_is_answered() {
    let scene = Scene::serving(Settings::default(), slow(), None);
    for is_streaming in [true, false] {
        let mut client = scene.client();
        let bias: serde_json::Map<String, serde_json::Value> =
            data::Tokenizer::bytes().stops().iter().map(|id| (id.to_string(), json!(-100))).collect();
        let body = json!({"prompt": "x", "max_tokens": 4000, "stream": is_streaming, "logit_bias": bias});
        client.begin_post("/v1/completions", &body);
        if is_streaming {
            client.read_until("data: ");
        }
        scene.becomes("maquette_sequences", 1.0);
        drop(client);
        scene.becomes("maquette_sequences", 0.0);
        scene.becomes("maquette_places_taken", 0.0);
    }
    assert_eq!(scene.metric("maquette_sequences_cancelled_total"), 2.0);
}

#[test]
fn whoever_goes_frees_his_place_while_his_prompt_is_read_or_waits() {
    let settings = Settings { max_sequences: 1, ..Settings::default() };
    let scene = Scene::serving(settings, slow(), None);
    let ids: Vec<u32> = (0..4000).map(|i| 16 + i * 7 % 256).collect();
    let mut clients: Vec<_> = (0..3)
        .map(|i| {
            let mut client = scene.client();
            let prompt = [&[20 + i], &ids[..]].concat();
            client.begin_post("/v1/completions", &json!({"prompt": prompt, "max_tokens": 50}));
            client
        })
        .collect();
    scene.becomes("maquette_places_taken", 3.0);
    // One who waits, then the one whose prompt is read.
    drop(clients.remove(1));
    scene.becomes("maquette_places_taken", 2.0);
    drop(clients);
    scene.becomes("maquette_places_taken", 0.0);
    assert!(scene.metric("maquette_tokens_read_total") < 3.0 * 4000.0);
    // It goes on with others.
    assert_eq!(scene.complete(&json!({"prompt": "x", "max_tokens": 1}))["usage"]["prompt_tokens"], 1);
}
