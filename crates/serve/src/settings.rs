//! How much a server takes on, and from whom.

use std::time::Duration;

/// How much a server takes on, and from whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most sequences that are decoded at a time.
    pub max_sequences: usize,
    /// Most sequences that wait for their turn; what comes beyond is refused with 429.
    pub max_queue: usize,
    /// Most tokens of keys and values that are held; at least one sequence of the model's full length.
    pub cache_tokens: usize,
    /// Most tokens of prompts that the engine reads in a step: what another sequence waits for at most.
    pub chunk_tokens: usize,
    /// Largest body of a request in bytes.
    pub max_body_bytes: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// How long a client may take to send a request's head, or its body, and how long an idle connection is kept.
    pub read_timeout: Duration,
    /// How long a client may leave what it was sent unread.
    pub write_timeout: Duration,
    /// Keys of which a client must show one; without any, none is asked for.
    pub api_keys: Vec<String>,
    /// Names by which clients may call the server, besides `localhost` and addresses.
    pub allowed_hosts: Vec<String>,
    /// Origins of other sites whose pages may use the server, such as `https://example.org`.
    pub allowed_origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_sequences: 16,
            max_queue: 128,
            cache_tokens: 16 * 2048,
            chunk_tokens: 256,
            max_body_bytes: 8 << 20,
            max_connections: 1024,
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            api_keys: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }
}
