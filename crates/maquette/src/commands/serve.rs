//! `maquette serve`

use std::{
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use anyhow::Context as _;
use data::ChatTemplate;
use model::{Gpt, KvCache};
use serve::{Served, Settings};
use tensor::{Cpu, PAGE_LEN};

use super::Dtype;
use crate::{
    image_files,
    open_model::{self, Opened},
    output, stop,
};

/// Serve a checkpoint over HTTP, with a chat page
///
/// Speaks the interface of OpenAI (/v1/chat/completions, /v1/completions, /v1/models); the page is at /. Ctrl-C and SIGTERM end it
/// once the requests that came are answered. Prompts and answers are never logged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a checkpoint, or of a run, whose newest checkpoint is taken
    checkpoint: PathBuf,
    /// Address to listen on; 0.0.0.0 is every address of this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// What clients call the model; the folder's name if not given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Most sequences that are decoded at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    max_sequences: usize,
    /// Most sequences that wait; more are refused with status 429
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_queue: usize,
    /// Megabytes of keys and values to keep, for sequences in progress and for beginnings that come again; always enough for one
    /// sequence of the model's full length
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    cache_mb: usize,
    /// File with keys, one on a line, one of which a client must send as `Authorization: Bearer`
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
    /// Another name by which clients may call this machine, such as box.lan; may be repeated
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Site whose pages may use the server, such as https://example.org; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Seconds after which a client that sends or reads nothing is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// Data type of activations and of the inputs of matrix products
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.max_sequences > 0,
        "--max-sequences must be at least 1, found 0\nhint: 16 is fast on most machines"
    );
    anyhow::ensure!(
        args.timeout > 0,
        "--timeout must be at least 1, found 0\nhint: 30 gives slow networks time"
    );
    if let Some(name) = &args.name {
        anyhow::ensure!(
            !name.trim().is_empty() && !name.chars().any(char::is_control),
            "--name must be a name that clients can send, found `{}`\nhint: leave it out for the folder's name",
            name.escape_debug()
        );
    }
    if let Some(origin) = args.allow_origin.iter().find(|origin| !is_origin(origin)) {
        anyhow::bail!(
            "--allow-origin must be the origin of a site, found `{origin}`\nhint: scheme and host alone, such as https://example.org or http://localhost:3000"
        );
    }
    if let Some(host) = args.allow_host.iter().find(|host| !is_host(host)) {
        anyhow::bail!(
            "--allow-host must be the name of a machine, found `{host}`\nhint: without scheme and path, such as box.lan"
        );
    }
    let api_keys = args.api_keys.as_deref().map(keys).transpose()?.unwrap_or_default();
    // Before the model is read: a port that is taken should not cost minutes.
    let listener = TcpListener::bind((args.host, args.port)).with_context(|| {
        format!(
            "cannot listen on {}:{}\nhint: the address must be one of this machine, and the port free: choose another --port",
            args.host, args.port
        )
    })?;
    let address = listener.local_addr().context("cannot listen\nhint: choose another --port")?;
    let kernels = Cpu::new(args.threads);
    let Opened { dir, gpt, tokenizer } =
        open_model::open(&args.checkpoint, &kernels, args.dtype.precision().into())?;
    // Its own template is what a model was taught to chat with; ChatML alone says nothing.
    let is_chat = dir.join(ChatTemplate::FILE).is_file();
    let template = match ChatTemplate::load(&dir, &tokenizer) {
        Ok(template) => Some(template),
        Err(error) if is_chat => return Err(error.into()),
        Err(_) => None,
    };
    let typed = args.checkpoint.to_string_lossy().into_owned();
    let id = args.name.clone().unwrap_or_else(|| name_of(&args.checkpoint));
    let settings = Settings {
        max_sequences: args.max_sequences,
        max_queue: args.max_queue,
        cache_tokens: cache_tokens(&gpt, &kernels, args.cache_mb),
        read_timeout: Duration::from_secs(args.timeout),
        write_timeout: Duration::from_secs(args.timeout),
        api_keys,
        allowed_hosts: args.allow_host.clone(),
        allowed_origins: args.allow_origin.clone(),
        ..Settings::default()
    };
    let url = format!("http://{address}");
    if address.ip().is_unspecified() || !address.ip().is_loopback() {
        let who = if settings.api_keys.is_empty() { "without a key" } else { "with a key" };
        output::talk(format_args!("whoever reaches this machine can use the model {who}"));
    }
    output::talk(format_args!("serving `{id}` at {url} (Ctrl-C ends it)"));
    let vision = gpt.config().vision.as_ref();
    let preprocessing = vision.map(|vision| image_files::preprocessing(&dir, vision)).transpose()?;
    let served = Served {
        id,
        aliases: vec![typed],
        gpt: &gpt,
        kernels: &kernels,
        tokenizer,
        template,
        is_chat,
        preprocessing,
    };
    serve::serve(listener, served, settings, &|| stop::flag().load(Ordering::Relaxed))?;
    output::talk("every request was answered");
    Ok(())
}

/// Whether a browser would send this as the origin of a page: a scheme, a host, and perhaps a port.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    is_scheme && is_host(host)
}

/// A name or an address, and perhaps a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
            ("ipv6", rest.strip_prefix(':').or((!rest.is_empty()).then_some("x")))
        }
        Some(_) => return false,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    is_name && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// The last part of a path that says something: of `runs/books/pretrain/checkpoints/step-9` it is `books`.
fn name_of(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut parts = path.components().filter_map(|part| match part {
        std::path::Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
        _ => None,
    });
    let is_inner = |part: &String| {
        ["pretrain", "checkpoints", "sft", "dpo"].contains(&part.as_str()) || part.starts_with("step-")
    };
    parts.rfind(|part| !is_inner(part)).unwrap_or_else(|| "model".into())
}

/// How many tokens' keys and values so many megabytes hold.
fn cache_tokens(gpt: &Gpt, kernels: &Cpu, megabytes: usize) -> usize {
    let mut page = KvCache::new(gpt.config(), gpt.dtype(), kernels);
    page.grow_to(1);
    let n_pages = megabytes.saturating_mul(1 << 20) / page.n_bytes().max(1);
    n_pages.saturating_mul(PAGE_LEN)
}

/// The keys in a file.
fn keys(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read `{}`\nhint: a file with a key on each line", path.display()))?;
    let keys: Vec<String> =
        text.lines().map(|line| line.trim().to_owned()).filter(|key| !key.is_empty()).collect();
    anyhow::ensure!(
        !keys.is_empty(),
        "expected a key or more in `{}`, found none\nhint: one key on each line",
        path.display()
    );
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_hosts_are_what_browsers_send() {
        for origin in
            ["https://example.org", "http://localhost:3000", "http://[::1]:80", "chrome-extension://abcdef"]
        {
            assert!(is_origin(origin), "{origin}");
        }
        for origin in [
            "",
            "foo",
            "*",
            "null",
            "https://",
            "example.org",
            "https://a/b",
            "https://a/",
            "https://a b",
            "https://a:x",
            "https://a:99999",
            "://a",
            "http://[::1",
            "http://[x]",
            "http://[::1]x",
        ] {
            assert!(!is_origin(origin), "{origin}");
        }
        assert!(
            is_host("box.lan") && is_host("box.lan:8080") && !is_host("http://box.lan") && !is_host("a/b")
        );
    }

    #[test]
    fn a_model_is_called_after_its_run() {
        for (path, name) in [
            ("/a/runs/books", "books"),
            ("/a/runs/books/", "books"),
            ("/runs/books/pretrain/checkpoints/step-9", "books"),
            ("/m/SmolLM2-135M", "SmolLM2-135M"),
            ("/", "model"),
        ] {
            assert_eq!(name_of(Path::new(path)), name);
        }
    }
}
