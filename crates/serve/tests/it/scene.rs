//! A server with a tiny random model.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use base::Rng;
use data::{ChatTemplate, Tokenizer, image::Preprocessing};
use model::{Gpt, ModelConfig};
use serde_json::{Value, json};
use serve::{Served, Settings};
use tensor::{Cpu, DType, Tensor};

use crate::client::{Client, Reply};

/// The model's context.
pub(crate) const MAX_SEQ_LEN: usize = 512;

/// A server that runs until it is dropped.
pub(crate) struct Scene {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), serve::ServeError>>>,
}

/// Of a random model that writes any byte.
pub(crate) fn config() -> ModelConfig {
    ModelConfig {
        vocab_size: Tokenizer::bytes().vocab_size(),
        max_seq_len: MAX_SEQ_LEN,
        n_layers: 2,
        d_model: 32,
        n_heads: 4,
        n_kv_heads: 2,
        d_head: 8,
        d_ff: 48,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        qk_norm: false,
        qkv_bias: false,
        rope_scaling: None,
        tie_embeddings: true,
        vision: None,
    }
}

/// Scattered weights: a fresh model writes zeros to its residual stream, so that no token depends on those before it.
fn scattered(config: ModelConfig) -> Gpt {
    let params = config.params().map(|spec| {
        let mut rng = Rng::named(11, &spec.name);
        let std = 1.5 / (spec.shape.get(1).map_or(9.0, |n| *n as f64)).sqrt();
        Tensor::normal(&spec.shape, std, DType::F32, &mut rng)
    });
    Gpt::from_params(config, params)
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::serving(settings, config(), Some(ChatTemplate::chatml()))
    }

    /// A model whose next token does not depend on those before it, with logits within a fraction of a nat.
    pub(crate) fn fresh() -> Self {
        Self::start(Settings::default(), None, || Gpt::new(config(), 7))
    }

    pub(crate) fn serving(settings: Settings, config: ModelConfig, template: Option<ChatTemplate>) -> Self {
        Self::start(settings, template, move || scattered(config))
    }

    fn start(
        settings: Settings,
        template: Option<ChatTemplate>,
        model: impl FnOnce() -> Gpt + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            let (gpt, kernels) = (model(), Cpu::new(1));
            let preprocessing =
                gpt.config().vision.as_ref().map(|vision| Preprocessing::square(vision.image_size));
            let served = Served {
                id: "tiny".into(),
                aliases: vec!["runs/tiny".into()],
                gpt: &gpt,
                kernels: &kernels,
                tokenizer: Tokenizer::bytes(),
                is_chat: template.is_some(),
                template,
                preprocessing,
            };
            serve::serve(listener, served, settings, &|| asked.load(Ordering::Relaxed))
        });
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.client().send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.client().post(path, body)
    }

    /// The answer to what must be answered.
    #[track_caller]
    pub(crate) fn ok(&self, path: &str, body: &Value) -> Value {
        let reply = self.post(path, body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    #[track_caller]
    pub(crate) fn complete(&self, body: &Value) -> Value {
        self.ok("/v1/completions", body)
    }

    /// The chunks of a streamed answer, which must end as it should.
    #[track_caller]
    pub(crate) fn stream(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let reply = self.post(path, &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let text = reply.text();
        let mut lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(lines.pop(), Some("[DONE]"));
        lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A number of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.split(' ').nth(1))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse()
            .unwrap()
    }

    /// Waits until a number of `/metrics` is what it should become; for a second at most.
    #[track_caller]
    pub(crate) fn becomes(&self, name: &str, want: f64) {
        let end = Instant::now() + Duration::from_secs(1);
        while self.metric(name) != want {
            assert!(Instant::now() < end, "{name} is {}, not {want}", self.metric(name));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops it, and waits for the end.
    pub(crate) fn stop(mut self) {
        self.ask_to_stop();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || matches!(ended, Ok(Ok(()))), "the server ended in bad order");
        }
    }
}
