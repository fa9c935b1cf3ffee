//! `maquette bench serve`

use std::{
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use base::Rng;
use serde::Serialize;
use serde_json::{Value, json};

use super::at_least_one;
use crate::{output, stop};

/// Measure a running server with many clients at a time
///
/// Every request continues a prompt of random tokens and is streamed. Works with any server that has OpenAI's /v1/completions and takes
/// prompts of token ids.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server listens
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Clients at a time, each with one request after another
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: usize,
    /// Requests in all
    #[arg(long, value_name = "N", default_value_t = 64)]
    requests: usize,
    /// Measure for so many seconds, however many requests they are; answers that go on then are cut
    #[arg(long, value_name = "S", conflicts_with = "requests")]
    seconds: Option<u64>,
    /// Tokens of each prompt
    #[arg(long, value_name = "N", default_value_t = 128)]
    prompt_tokens: usize,
    /// Most tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_tokens: usize,
    /// Random seed of the prompts and of the answers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Vocabulary of the prompts, for servers whose /v1/models does not say it
    #[arg(long, value_name = "N", default_value_t = 1000)]
    vocab_size: usize,
    /// File whose first line is the key to send
    #[arg(long, value_name = "FILE")]
    api_key: Option<PathBuf>,
    /// Afterwards send every request again, alone, and compare the texts
    #[arg(long)]
    verify: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What was measured; times in milliseconds.
#[derive(Debug, Serialize)]
struct Measured {
    model: String,
    clients: usize,
    requests: usize,
    failed: usize,
    /// Answers that went on when the time was over; what had come of them counts.
    cut: usize,
    prompt_tokens: u64,
    new_tokens: u64,
    seconds: f64,
    new_tokens_per_second: f64,
    first_token_ms: Percentiles,
    next_token_ms: Percentiles,
    request_ms: Percentiles,
    /// Answers that were another text alone; only where it was asked.
    different: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Percentiles {
    fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<f64> = times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        };
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

/// An answer and when its parts came.
struct Answer {
    text: String,
    /// From the request to each part with text.
    times: Vec<Duration>,
    /// Until its end; nothing where it was cut.
    whole: Option<Duration>,
    prompt_tokens: u64,
    new_tokens: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    at_least_one("--clients", args.clients)?;
    at_least_one("--requests", args.requests)?;
    at_least_one("--prompt-tokens", args.prompt_tokens)?;
    at_least_one("--max-tokens", args.max_tokens)?;
    let server = Server::of(args)?;
    let models = server.get("/v1/models")?;
    let card = &models["data"][0];
    let model = card["id"].as_str().unwrap_or_default().to_owned();
    let vocab_size = card["vocab_size"].as_u64().map_or(args.vocab_size, |n| n as usize).max(2);
    let body = |i: usize| {
        let mut rng = Rng::new(args.seed, i as u64);
        let prompt: Vec<u64> = (0..args.prompt_tokens).map(|_| rng.below(vocab_size as u64)).collect();
        json!({
            "model": model, "prompt": prompt, "max_tokens": args.max_tokens, "seed": args.seed + i as u64,
            "stream": true, "stream_options": {"include_usage": true},
        })
    };
    let most = if args.seconds.is_some() { usize::MAX } else { args.requests };
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let since = Instant::now();
    let until = args.seconds.map(|seconds| since + Duration::from_secs(seconds));
    std::thread::scope(|scope| {
        for _ in 0..args.clients.min(most) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = until.is_some_and(|until| Instant::now() >= until);
                    if i >= most || is_over || stop::check().is_break() {
                        break;
                    }
                    let answer = server.stream(&body(i), until);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((i, answer));
                }
            });
        }
    });
    let seconds = since.elapsed().as_secs_f64();
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let good: Vec<(usize, &Answer)> =
        done.iter().filter_map(|(i, answer)| Some((*i, answer.as_ref().ok()?))).collect();
    let failed = done.len() - good.len();
    if let Some(error) = done.iter().find_map(|(_, answer)| answer.as_ref().err()) {
        anyhow::ensure!(
            !good.is_empty(),
            "no request was answered: {error:#}\nhint: look at what the server says"
        );
        output::talk(format_args!("{failed} requests failed, the first one so: {error:#}"));
    }
    let mut different = args.verify.then_some(0);
    if let Some(different) = &mut different {
        for (i, answer) in &good {
            let alone = server.stream(&body(*i), None)?.text;
            *different += match answer.whole {
                Some(_) => usize::from(alone != answer.text),
                None => usize::from(!alone.starts_with(&answer.text)),
            };
        }
    }
    let answers = || good.iter().map(|(_, answer)| answer);
    let new_tokens: u64 = answers().map(|answer| answer.new_tokens).sum();
    let measured = Measured {
        model,
        clients: args.clients,
        requests: done.len(),
        failed,
        cut: answers().filter(|answer| answer.whole.is_none()).count(),
        prompt_tokens: answers().map(|answer| answer.prompt_tokens).sum(),
        new_tokens,
        seconds,
        new_tokens_per_second: new_tokens as f64 / seconds,
        first_token_ms: Percentiles::of(answers().filter_map(|answer| answer.times.first().copied())),
        next_token_ms: Percentiles::of(
            answers().flat_map(|answer| answer.times.windows(2).map(|pair| pair[1] - pair[0])),
        ),
        request_ms: Percentiles::of(answers().filter_map(|answer| answer.whole)),
        different,
    };
    if args.json {
        return output::json(&measured);
    }
    let Measured { first_token_ms, next_token_ms, request_ms, cut, .. } = &measured;
    output::words(format_args!(
        "{} requests of {} clients in {seconds:.1} s, {failed} failed, {cut} cut\n{:.1} new tokens a second",
        done.len(),
        args.clients,
        measured.new_tokens_per_second
    ))?;
    for (name, times) in
        [("first token", first_token_ms), ("next token", next_token_ms), ("request", request_ms)]
    {
        let Percentiles { p50, p90, p99, max } = times;
        output::words(format_args!(
            "{name:<12} p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, most {max:.1} ms"
        ))?;
    }
    match different {
        Some(0) => output::words("every answer was the same alone"),
        Some(n) => {
            anyhow::bail!("{n} answers were others alone\nhint: the server's answers depend on its load")
        }
        None => Ok(()),
    }
}

/// Where requests go, and with which key.
struct Server {
    address: String,
    key: Option<String>,
}

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(600);

impl Server {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let address = args.url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').to_owned());
        let address = address.filter(|address| !address.is_empty() && !address.contains('/')).with_context(|| {
            format!("expected an address such as http://127.0.0.1:8080 in --url, found `{}`\nhint: `maquette serve` prints it", args.url)
        })?;
        let address = if address.contains(':') { address } else { format!("{address}:80") };
        let key = args.api_key.as_ref().map(|path| {
            let text = std::fs::read_to_string(path).with_context(|| {
                format!("cannot read `{}`\nhint: a file with a key in its first line", path.display())
            })?;
            anyhow::Ok(text.lines().next().unwrap_or_default().trim().to_owned())
        });
        Ok(Self { address, key: key.transpose()? })
    }

    /// Sends a request; its answer behind the head.
    fn send(&self, method: &str, path: &str, body: &str, until: Option<Instant>) -> anyhow::Result<Body> {
        let mut stream = TcpStream::connect(&self.address).with_context(|| {
            format!("cannot reach {}\nhint: `maquette serve` starts a server there", self.address)
        })?;
        wait_until(&stream, until)?;
        stream.set_nodelay(true)?;
        let key = self.key.as_ref().map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n{key}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut is_chunked = false;
        loop {
            line.clear();
            anyhow::ensure!(reader.read_line(&mut line)? > 0, "the answer ended in its head");
            if line.trim().is_empty() {
                break;
            }
            let field = line.to_ascii_lowercase();
            is_chunked |= field.starts_with("transfer-encoding:") && field.contains("chunked");
        }
        let mut body =
            Body { reader, left: if is_chunked { 0 } else { u64::MAX }, is_chunked, is_over: false, until };
        if status != "200" {
            let mut text = String::new();
            body.read_to_string(&mut text)?;
            let error: Option<Value> = serde_json::from_str(&text).ok();
            let message =
                error.as_ref().and_then(|error| error["error"]["message"].as_str()).unwrap_or(&text);
            anyhow::bail!("status {status}: {message}");
        }
        Ok(body)
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut text = String::new();
        self.send("GET", path, "", None)?.read_to_string(&mut text)?;
        serde_json::from_str(&text).with_context(|| format!("expected JSON at {path}"))
    }

    /// Sends a request whose answer is streamed, and notes when its parts come; those that come too late are left out.
    fn stream(&self, body: &Value, until: Option<Instant>) -> anyhow::Result<Answer> {
        let mut answer =
            Answer { text: String::new(), times: Vec::new(), whole: None, prompt_tokens: 0, new_tokens: 0 };
        match self.read(body, until, &mut answer) {
            Err(_) if until.is_some_and(|until| Instant::now() >= until) => {}
            read => read?,
        }
        // A server that does not count, or did not come to it: as many as there were parts.
        if answer.new_tokens == 0 {
            answer.new_tokens = answer.times.len() as u64;
        }
        Ok(answer)
    }

    fn read(&self, body: &Value, until: Option<Instant>, answer: &mut Answer) -> anyhow::Result<()> {
        let since = Instant::now();
        let reader = BufReader::new(self.send("POST", "/v1/completions", &body.to_string(), until)?);
        for line in reader.lines() {
            let line = line?;
            let Some(data) = line.strip_prefix("data: ") else { continue };
            if data == "[DONE]" {
                answer.whole = Some(since.elapsed());
                return Ok(());
            }
            let chunk: Value = serde_json::from_str(data)?;
            if let Some(message) = chunk["error"]["message"].as_str() {
                anyhow::bail!("{message}");
            }
            anyhow::ensure!(until.is_none_or(|until| Instant::now() < until), "the time is over");
            if let Some(part) = chunk["choices"][0]["text"].as_str().filter(|part| !part.is_empty()) {
                answer.times.push(since.elapsed());
                answer.text.push_str(part);
            }
            let count = |name: &str, known: u64| chunk["usage"][name].as_u64().unwrap_or(known);
            answer.prompt_tokens = count("prompt_tokens", answer.prompt_tokens);
            answer.new_tokens = count("completion_tokens", answer.new_tokens);
        }
        anyhow::bail!("the answer ended before `[DONE]`")
    }
}

/// Lets reads of a connection end with the time.
fn wait_until(stream: &TcpStream, until: Option<Instant>) -> io::Result<()> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    stream.set_read_timeout(Some(left.unwrap_or(PATIENCE).clamp(Duration::from_millis(1), PATIENCE)))
}

/// A body, perhaps in chunks.
struct Body {
    reader: BufReader<TcpStream>,
    /// Bytes of this chunk that were not read yet.
    left: u64,
    is_chunked: bool,
    is_over: bool,
    until: Option<Instant>,
}

impl io::Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        if self.until.is_some() {
            wait_until(self.reader.get_ref(), self.until)?;
        }
        if self.left == 0 {
            let mut line = String::new();
            // The end of the chunk before leaves an empty line.
            while line.trim().is_empty() {
                line.clear();
                if self.reader.read_line(&mut line)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let size = line.trim().split(';').next().unwrap_or_default();
            self.left = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if self.left == 0 {
                self.is_over = true;
                return Ok(0);
            }
        }
        let n = self.reader.by_ref().take(self.left).read(buffer)?;
        if self.is_chunked {
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.left -= n as u64;
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let of = |n: u64| Percentiles::of((1..=n).map(Duration::from_millis));
        let all = of(100);
        assert_eq!((all.p50, all.p90, all.p99, all.max), (50.0, 90.0, 99.0, 100.0));
        let few = of(3);
        assert_eq!((few.p50, few.p90, few.p99, few.max), (2.0, 3.0, 3.0, 3.0));
        assert!(of(0).p50.is_nan());
    }
}
