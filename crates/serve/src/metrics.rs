//! What the server has done, as Prometheus reads it.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use model::decode::Stats;

/// Upper ends of the classes of latencies, in seconds.
const CLASSES: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Statuses that are counted one by one.
const STATUSES: [u16; 14] = [200, 204, 400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503, 0];

/// Counts of what was done.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    by_status: [AtomicU64; STATUSES.len()],
    n_begun: AtomicU64,
    n_refused: AtomicU64,
    n_cancelled: AtomicU64,
    prompt_tokens: AtomicU64,
    new_tokens: AtomicU64,
    known: AtomicUsize,
    read: AtomicU64,
    reused: AtomicU64,
    steps: AtomicU64,
    cache_bytes: AtomicUsize,
    first: Latency,
    next: Latency,
}

/// Latencies by class.
#[derive(Debug, Default)]
struct Latency {
    classes: [AtomicU64; CLASSES.len()],
    n: AtomicU64,
    micros: AtomicU64,
}

impl Latency {
    fn add(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        for (class, end) in self.classes.iter().zip(CLASSES) {
            if seconds <= end {
                class.fetch_add(1, Relaxed);
            }
        }
        self.n.fetch_add(1, Relaxed);
        self.micros.fetch_add(time.as_micros() as u64, Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (class, end) in self.classes.iter().zip(CLASSES) {
            let _ = writeln!(text, "{name}_bucket{{le=\"{end}\"}} {}", class.load(Relaxed));
        }
        let n = self.n.load(Relaxed);
        let sum = self.micros.load(Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {n}\n{name}_sum {sum}\n{name}_count {n}");
    }
}

impl Metrics {
    pub(crate) fn answered(&self, status: u16) {
        let place = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        self.by_status[place].fetch_add(1, Relaxed);
    }

    pub(crate) fn begun(&self, n_prompt: usize) {
        self.n_begun.fetch_add(1, Relaxed);
        self.prompt_tokens.fetch_add(n_prompt as u64, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.n_refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn cancelled(&self) {
        self.n_cancelled.fetch_add(1, Relaxed);
    }

    pub(crate) fn first_token(&self, time: Duration) {
        self.new_tokens.fetch_add(1, Relaxed);
        self.first.add(time);
    }

    pub(crate) fn next_token(&self, time: Duration) {
        self.new_tokens.fetch_add(1, Relaxed);
        self.next.add(time);
    }

    pub(crate) fn engine(&self, n_known: usize, stats: Stats, n_cache_bytes: usize) {
        self.known.store(n_known, Relaxed);
        self.read.store(stats.n_read, Relaxed);
        self.reused.store(stats.n_reused, Relaxed);
        self.steps.store(stats.n_steps, Relaxed);
        self.cache_bytes.store(n_cache_bytes, Relaxed);
    }

    /// After how many seconds a place may be free: about as long as a sequence waits for its first token, within a minute.
    pub(crate) fn seconds_to_wait(&self) -> u64 {
        let n = self.first.n.load(Relaxed).max(1);
        (self.first.micros.load(Relaxed) / n / 1_000_000).clamp(1, 60)
    }

    /// All of it, in Prometheus' text format.
    pub(crate) fn text(&self, n_places: usize) -> String {
        let mut text = String::new();
        let mut write = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        write(
            "maquette_requests_begun_total",
            "counter",
            "Requests that were let in.",
            self.n_begun.load(Relaxed),
        );
        write(
            "maquette_requests_refused_total",
            "counter",
            "Requests for which the queue was full.",
            self.n_refused.load(Relaxed),
        );
        write(
            "maquette_sequences_cancelled_total",
            "counter",
            "Sequences whose client had gone.",
            self.n_cancelled.load(Relaxed),
        );
        write("maquette_sequences", "gauge", "Sequences in the engine.", self.known.load(Relaxed) as u64);
        write(
            "maquette_places_taken",
            "gauge",
            "Places of sequences that are decoded or wait.",
            n_places as u64,
        );
        write(
            "maquette_prompt_tokens_total",
            "counter",
            "Tokens of prompts.",
            self.prompt_tokens.load(Relaxed),
        );
        write(
            "maquette_new_tokens_total",
            "counter",
            "Tokens that were written.",
            self.new_tokens.load(Relaxed),
        );
        write(
            "maquette_tokens_read_total",
            "counter",
            "Tokens that went through the model.",
            self.read.load(Relaxed),
        );
        write(
            "maquette_tokens_reused_total",
            "counter",
            "Tokens found in the cache.",
            self.reused.load(Relaxed),
        );
        write("maquette_steps_total", "counter", "Steps of the engine.", self.steps.load(Relaxed));
        write(
            "maquette_cache_bytes",
            "gauge",
            "Bytes of keys and values.",
            self.cache_bytes.load(Relaxed) as u64,
        );
        let name = "maquette_responses_total";
        let _ = writeln!(text, "# HELP {name} Answers by status.\n# TYPE {name} counter");
        for (status, n) in STATUSES.iter().zip(&self.by_status) {
            let n = n.load(Relaxed);
            match status {
                _ if n == 0 => {}
                0 => drop(writeln!(text, "{name}{{status=\"other\"}} {n}")),
                status => drop(writeln!(text, "{name}{{status=\"{status}\"}} {n}")),
            }
        }
        self.first.write(&mut text, "maquette_first_token_seconds", "From a request to its first token.");
        self.next.write(
            &mut text,
            "maquette_next_token_seconds",
            "From a token to the next of its sequence.",
        );
        text
    }
}
