//! Requests over HTTP, each within a time and a size.

use std::{sync::atomic::AtomicBool, thread, time::Duration};

use serde_json::{Value, json};
use ureq::{Agent, Error, http::StatusCode};

use super::Failure;
use crate::ExamError;

/// More than any answer needs: a prompt's log-probabilities take about a hundred bytes a token.
const MAX_BYTES: u64 = 1 << 26;
/// Waiting times before a request is sent again.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Longest wait that a server may ask for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Most requests that are sent to an endpoint at a time: each has a thread.
pub const MAX_PARALLEL: usize = 1024;

/// Options of the command line that say how an endpoint is reached, for hints.
#[derive(Clone, Copy, Debug)]
pub struct EndpointOptions {
    /// Of the model's name.
    pub model: &'static str,
    /// Of the environment variable with the key.
    pub key: &'static str,
    /// Of the time for an answer.
    pub timeout: &'static str,
    /// Of the number of requests at a time.
    pub parallel: &'static str,
}

impl EndpointOptions {
    /// Those of `maquette eval` for what is evaluated.
    pub const EXAMINED: Self =
        Self { model: "--endpoint-model", key: "--key-variable", timeout: "--timeout", parallel: "--batch" };
    /// And for what judges.
    pub const JUDGE: Self = Self { model: "--judge-model", key: "--judge-key-variable", ..Self::EXAMINED };

    /// `n` requests at a time.
    ///
    /// # Errors
    /// If they are none or too many.
    pub fn check_parallel(&self, n: usize) -> Result<(), ExamError> {
        match (1..=MAX_PARALLEL).contains(&n) {
            true => Ok(()),
            false => Err(ExamError::Setting {
                name: self.parallel.trim_start_matches('-'),
                expected: "from 1 to 1,024 requests at a time",
                found: n.to_string(),
                hint: "a server that is asked more at a time makes each wait",
            }),
        }
    }
}

/// How an endpoint is reached.
#[derive(Clone)]
pub struct EndpointSettings {
    /// Such as `http://127.0.0.1:8080/v1`.
    pub url: String,
    /// The model's name there; the first that is listed, if not given.
    pub model: Option<String>,
    /// Sent as a bearer token. Never written down.
    pub key: Option<String>,
    /// For one request with its answer.
    pub timeout: Duration,
    /// What hints name.
    pub options: EndpointOptions,
}

/// A server with a model.
pub struct Endpoint {
    agent: Agent,
    url: String,
    model: String,
    key: Option<String>,
    timeout: Duration,
    options: EndpointOptions,
    /// Whether the server wants at least one new token.
    pub(super) needs_token: AtomicBool,
}

/// Without the key.
impl std::fmt::Debug for EndpointSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, model, timeout, .. } = self;
        f.debug_struct("EndpointSettings")
            .field("url", url)
            .field("model", model)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

/// Without the key.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).field("model", &self.model).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint; where no model is named, the server is asked which it has.
    ///
    /// # Errors
    /// If the address is none, holds a password, or the server names no model.
    pub fn new(settings: &EndpointSettings) -> Result<Self, ExamError> {
        let options = settings.options;
        let refuse = |expected: &'static str, found: &str, hint| ExamError::Setting {
            name: "endpoint",
            expected,
            found: format!("`{found}`"),
            hint,
        };
        let given = settings.url.trim_end_matches('/');
        let base =
            ["/chat/completions", "/completions", "/models"].iter().find_map(|end| given.strip_suffix(end));
        let base = base.unwrap_or(given);
        let rest = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
            return Err(refuse("an address", given, "such as http://127.0.0.1:8080/v1"));
        };
        if rest.split('/').next().unwrap_or_default().contains('@') {
            return Err(refuse(
                "an address without a password",
                "one with a password",
                "put a key into the environment variable that --key-variable names",
            ));
        }
        let url = if rest.contains('/') { base.to_owned() } else { format!("{base}/v1") };
        if settings.timeout.is_zero() {
            return Err(ExamError::Setting {
                name: options.timeout.trim_start_matches('-'),
                expected: "above 0",
                found: "0".to_owned(),
                hint: "give the seconds that one answer may take",
            });
        }
        let config = Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        let mut endpoint = Self {
            agent: config.into(),
            url,
            model: settings.model.clone().unwrap_or_default(),
            key: settings.key.clone(),
            timeout: settings.timeout,
            options,
            needs_token: AtomicBool::new(false),
        };
        if endpoint.model.is_empty() {
            let listed = endpoint.send("models", None).map_err(|failure| endpoint.error(&failure))?;
            let name = listed["data"][0]["id"].as_str().unwrap_or_default();
            if name.is_empty() {
                return Err(endpoint.error(&Failure::Missing { field: "data[0].id" }));
            }
            name.clone_into(&mut endpoint.model);
        }
        Ok(endpoint)
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What may be done about a failure.
    pub fn hint(&self, failure: &Failure) -> String {
        match failure {
            Failure::Status { status: 401 | 403, .. } if self.key.is_none() => {
                format!(
                    "no key was sent: put one into the environment variable that {} names",
                    self.options.key
                )
            }
            _ => failure.hint(&self.options),
        }
    }

    /// Refuses a number of requests at a time.
    pub(crate) fn check_parallel(&self, n: usize) -> Result<(), ExamError> {
        self.options.check_parallel(n)
    }

    /// The failure of a command that cannot go on.
    pub fn error(&self, failure: &Failure) -> ExamError {
        let message = match failure {
            Failure::Status { message, .. } if !message.is_empty() => format!(": {message}"),
            _ => String::new(),
        };
        ExamError::Endpoint {
            url: self.url.clone(),
            found: format!("{failure}{message}"),
            hint: self.hint(failure),
        }
    }

    /// The answer to a request; sent again where that may help.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let mut body = body.clone();
        body["model"] = json!(self.model);
        self.send(path, Some(&body.to_string()))
    }

    fn send(&self, path: &str, body: Option<&str>) -> Result<Value, Failure> {
        let mut waits = WAITS.iter();
        loop {
            let (failure, asked) = match self.once(path, body) {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            let Some(wait) = waits.next().filter(|_| failure.is_passing()) else { return Err(failure) };
            thread::sleep(asked.unwrap_or(*wait).min(MAX_WAIT));
        }
    }

    /// One request. With a failure comes the wait that the server asks for.
    fn once(&self, path: &str, body: Option<&str>) -> Result<Value, (Failure, Option<Duration>)> {
        let url = format!("{}/{path}", self.url);
        let bearer = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let sent = match body {
            Some(body) => {
                let mut request = self.agent.post(&url).header("content-type", "application/json");
                if let Some(bearer) = &bearer {
                    request = request.header("authorization", bearer);
                }
                request.send(body)
            }
            None => {
                let mut request = self.agent.get(&url);
                if let Some(bearer) = &bearer {
                    request = request.header("authorization", bearer);
                }
                request.call()
            }
        };
        let mut response = sent.map_err(|error| (self.failure(&error), None))?;
        let status = response.status();
        let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let asked = asked.map(Duration::from_secs);
        let bytes = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
        if status != StatusCode::OK {
            let message = bytes.ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let message = message.unwrap_or_default();
            let message = message["error"]["message"].as_str().or_else(|| message["error"].as_str());
            let message =
                message.unwrap_or_default().lines().next().unwrap_or_default().chars().take(200).collect();
            return Err((Failure::Status { status: status.as_u16(), message }, asked));
        }
        let bytes = bytes.map_err(|error| (self.failure(&error), None))?;
        serde_json::from_slice(&bytes).map_err(|_| (Failure::NoJson, None))
    }

    fn failure(&self, error: &Error) -> Failure {
        use std::io::ErrorKind;
        match error {
            Error::Timeout(_) => Failure::Timeout { seconds: self.timeout.as_secs().max(1) },
            Error::BodyExceedsLimit(limit) => Failure::TooLong { limit: *limit },
            Error::HostNotFound
            | Error::ConnectionFailed
            | Error::BadUri(_)
            | Error::Tls(_)
            | Error::Rustls(_) => Failure::NoConnection,
            Error::Io(error) => match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                    Failure::NoConnection
                }
                ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                    Failure::Timeout { seconds: self.timeout.as_secs().max(1) }
                }
                _ => Failure::Closed,
            },
            _ => Failure::Protocol,
        }
    }
}
