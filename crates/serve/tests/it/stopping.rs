//! The end of the server.

use serde_json::json;
use serve::Settings;

use crate::scene::Scene;

#[test]
fn what_was_accepted_is_answered_before_the_end() {
    let scene = Scene::with(Settings { max_sequences: 2, ..Settings::default() });
    let body = |seed: u64, stream: bool| json!({"prompt": "Once", "seed": seed, "max_tokens": 200, "stream": stream});
    let alone: Vec<_> =
        (0..6).map(|seed| scene.complete(&body(seed, false))["choices"][0]["text"].clone()).collect();
    let mut clients: Vec<_> = (0..6).map(|_| scene.client()).collect();
    for (seed, client) in clients.iter_mut().enumerate() {
        client.begin_post("/v1/completions", &body(seed as u64, seed % 2 == 1));
    }
    // Some have begun, others wait; one has connected and not been read.
    std::thread::sleep(std::time::Duration::from_millis(5));
    scene.ask_to_stop();
    for ((seed, client), alone) in clients.into_iter().enumerate().zip(&alone) {
        let reply = client.reply();
        assert_eq!(reply.status, 200);
        if seed % 2 == 1 {
            assert!(reply.text().ends_with("data: [DONE]\n\n"));
        } else {
            assert_eq!(reply.json()["choices"][0]["text"], *alone);
        }
    }
    let address = scene.address;
    scene.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
}
