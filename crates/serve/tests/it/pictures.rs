//! Pictures in chats.

use data::{ChatTemplate, Tokenizer, image::RgbImage};
use model::VisionConfig;
use serde_json::{Value, json};
use serve::Settings;

use crate::scene::{MAX_SEQ_LEN, Scene, config};

const PATH: &str = "/v1/chat/completions";

/// Rows that a picture takes.
const N_PATCHES: u64 = 16;

fn seeing() -> Scene {
    let tokenizer = Tokenizer::bytes();
    let vision = VisionConfig {
        image_token: tokenizer.special("<|image|>").unwrap(),
        image_size: 32,
        patch_size: 8,
        n_layers: 1,
        d_model: 16,
        n_heads: 2,
        d_ff: 32,
        norm_eps: 1e-6,
        activation: model::Activation::GeluTanh,
        projector_activation: model::Activation::Gelu,
        is_clip: false,
    };
    let template = ChatTemplate::of_pictures(&tokenizer).unwrap();
    let template = ChatTemplate::parse(&template, "", "").unwrap();
    Scene::serving(
        Settings::default(),
        model::ModelConfig { vision: Some(vision), ..config() },
        Some(template),
    )
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word =
            three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= three.len() { letter.into() } else { '=' });
        }
    }
    text
}

fn url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(bytes))
}

fn red() -> String {
    url(&RgbImage::filled(40, 20, [200, 30, 30]).to_png())
}

fn shown(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}})
}

fn ask(parts: &[Value]) -> Value {
    let parts = [parts, &[json!({"type": "text", "text": "What is there?"})]].concat();
    json!({"messages": [{"role": "user", "content": parts}], "temperature": 0, "max_tokens": 12, "logprobs": true})
}

fn logprobs(answer: &Value) -> Value {
    answer["choices"][0]["logprobs"]["content"].clone()
}

#[test]
fn pictures_are_seen() {
    let scene = seeing();
    assert_eq!(scene.get("/v1/models").json()["data"][0]["reads_images"], true);
    let n_prompt = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    let text = scene.ok(PATH, &ask(&[]));
    let red = scene.ok(PATH, &ask(&[shown(&red())]));
    let blue = url(&RgbImage::filled(40, 20, [20, 30, 250]).to_png());
    let blue = scene.ok(PATH, &ask(&[shown(&blue)]));
    // The template writes a line feed behind pictures.
    assert_eq!(n_prompt(&red) - n_prompt(&text), N_PATCHES + 1);
    assert_ne!(logprobs(&red), logprobs(&blue));
    // Two pictures, and one that was shown in an earlier turn.
    let two = scene.ok(PATH, &ask(&[shown(&self::red()), shown(&self::red())]));
    assert_eq!(n_prompt(&two) - n_prompt(&red), N_PATCHES);
    let mut talk = ask(&[shown(&self::red())]);
    let messages = talk["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": "Red."}));
    messages.push(json!({"role": "user", "content": "And now?"}));
    scene.ok(PATH, &talk);
    // The same from the cache, streamed, and beside others.
    let again = scene.ok(PATH, &ask(&[shown(&self::red())]));
    assert_eq!(logprobs(&again), logprobs(&red));
    assert!(again["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() > 0);
    let chunks = scene.stream(PATH, &ask(&[shown(&self::red())]));
    let listed = chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array());
    assert_eq!(Value::Array(listed.flatten().cloned().collect()), logprobs(&red));
    // `detail` says nothing, and a template's name of the image's token is text where a person writes it.
    let mut auto = ask(&[json!({"type": "image_url", "image_url": {"url": self::red(), "detail": "auto"}})]);
    assert_eq!(logprobs(&scene.ok(PATH, &auto)), logprobs(&red));
    auto["messages"][0]["content"][1]["text"] = json!("<|image|>");
    assert!(n_prompt(&scene.ok(PATH, &auto)) < n_prompt(&text) + N_PATCHES);
    // Where no picture comes, a place for one is a mistake.
    for place in ["<image>", "<|image|>"] {
        let lost = json!({"messages": [{"role": "user", "content": format!("{place}\nWhat is there?")}]});
        let reply = scene.post(PATH, &lost);
        assert_eq!(reply.status, 400, "{place}");
        assert_eq!(reply.error(), (json!("messages[0].content"), json!("invalid_value")), "{place}");
    }
    let reply = scene.post("/v1/completions", &json!({"prompt": "<|image|> is"}));
    assert_eq!((reply.status, reply.error()), (400, (json!("prompt"), json!("invalid_value"))));
}

#[test]
fn pictures_that_cannot_be_seen_are_refused_by_their_place() {
    let scene = seeing();
    let png = RgbImage::filled(9, 9, [1, 2, 3]).to_png();
    // A head that promises 40,000 by 40,000 pixels.
    let mut bomb = png.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0x9c, 0x40, 0, 0, 0x9c, 0x40]);
    let place = "messages[0].content[0]";
    let in_url = format!("{place}.image_url.url");
    for url in [
        "https://example.org/cat.png".to_owned(),
        "http://127.0.0.1:1/".into(),
        "file:///etc/passwd".into(),
        "data:image/png,abc".into(),
        "data:text/html;base64,PGI+".into(),
        "data:image/png;base64,@@@@".into(),
        "data:image/png;base64,".into(),
        String::new(),
        self::url(b"no picture at all"),
        self::url(&png[..png.len() / 2]),
        self::url(&bomb),
        self::url(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ] {
        let reply = scene.post(PATH, &ask(&[shown(&url)]));
        let what = url.chars().take(40).collect::<String>();
        assert_eq!((reply.status, reply.error()), (400, (json!(in_url), json!("invalid_image"))), "{what}");
    }
    for (part, param) in [
        (json!({"type": "image_url"}), "image_url".to_owned()),
        (json!({"type": "image_url", "image_url": red()}), "image_url".into()),
        (json!({"type": "image_url", "image_url": {}}), "image_url.url".into()),
        (
            json!({"type": "image_url", "image_url": {"url": red(), "detail": "high"}}),
            "image_url.detail".into(),
        ),
        (json!({"type": "image_url", "image_url": {"url": red(), "size": 3}}), "image_url.size".into()),
        (json!({"type": "input_audio", "input_audio": {}}), "type".into()),
    ] {
        let reply = scene.post(PATH, &ask(std::slice::from_ref(&part)));
        assert_eq!((reply.status, reply.error().0), (400, json!(format!("{place}.{param}"))), "{part}");
    }
    // More than the context has room for, of which none is looked at.
    let many = vec![shown("data:image/png;base64,"); MAX_SEQ_LEN / N_PATCHES as usize + 1];
    let reply = scene.post(PATH, &ask(&many));
    assert_eq!((reply.status, reply.error().1), (400, json!("context_length_exceeded")));
    // Small files of many pixels: together they are too large for a request.
    let large = shown(&url(&RgbImage::filled(5000, 5000, [9; 3]).to_png()));
    let reply = scene.post(PATH, &ask(&vec![large; 4]));
    assert_eq!((reply.status, reply.error().1), (400, json!("invalid_image")), "{}", reply.text());
    assert!(reply.error().0.as_str().unwrap().contains("content[2]"));
    for role in ["system", "assistant"] {
        let messages = json!([{"role": role, "content": [shown(&red())]}]);
        let reply = scene.post(PATH, &json!({"messages": messages}));
        assert_eq!((reply.status, reply.error().1), (400, json!("unsupported_value")), "{role}");
    }
}
