//! Why an endpoint gave nothing that can be scored.

use super::EndpointOptions;

/// What went wrong. Its text names no part of a prompt or of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The answer did not end in time.
    #[error("no answer within {seconds} s")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// Nobody listens there.
    #[error("no connection")]
    NoConnection,
    /// The connection ended before the answer did.
    #[error("the connection was closed before the answer ended")]
    Closed,
    /// The request was refused, or the server failed.
    #[error("HTTP {status}")]
    Status {
        /// The code.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// The protocol was not followed.
    #[error("an answer that is no HTTP")]
    Protocol,
    /// The answer was too long to be one.
    #[error("an answer of more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: u64,
    },
    /// The answer was something else than JSON.
    #[error("an answer that is no JSON")]
    NoJson,
    /// The JSON lacks what was asked for.
    #[error("an answer without `{field}`")]
    Missing {
        /// What it lacks.
        field: &'static str,
    },
    /// The endpoint does not say how likely a prompt is.
    #[error("no log-probabilities of the prompt")]
    NoLogprobs,
    /// Values that no model can have given.
    #[error("log-probabilities that are no numbers below 0")]
    BadLogprobs,
    /// What is scored has nothing before it.
    #[error("no log-probability of the first token")]
    NoContext,
    /// The tokens of the prompt do not begin with those of its context.
    #[error("tokens that do not fit the prompt")]
    OtherTokens,
    /// A judge declined to judge.
    #[error("the judge refused")]
    JudgeRefused,
    /// A judge's answer holds no verdict, or several.
    #[error("no verdict in the judge's answer")]
    NoVerdict,
}

impl Failure {
    /// Whether the same request may succeed later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether every other request fails in the same way.
    pub fn is_general(&self) -> bool {
        match self {
            Self::NoConnection | Self::NoLogprobs => true,
            Self::Status { status, .. } => matches!(status, 401 | 403 | 404 | 405),
            _ => false,
        }
    }

    /// What may be done, with the options that the endpoint has on the command line.
    pub fn hint(&self, options: &EndpointOptions) -> String {
        let EndpointOptions { model, key, timeout, parallel } = options;
        match self {
            Self::Timeout { .. } => format!(
                "give it more time with {timeout}, ask less at a time with {parallel}, or look whether the server is stuck"
            ),
            Self::NoConnection => "start the server, or correct host and port of the address".into(),
            Self::Status { status: 401 | 403, .. } => {
                format!("put a key that the server takes into the environment variable that {key} names")
            }
            Self::Status { status: 404 | 405, .. } => format!(
                "correct the path of the address, which ends with /v1 at most servers, or the model's name with {model}"
            ),
            Self::Status { status: 300..=399, .. } => "give the address to which the server redirects".into(),
            Self::Status { status: 408 | 429 | 500..=599, .. } => format!(
                "wait until the server is well, or ask less at a time with {parallel}; the same command asks again for what is missing"
            ),
            Self::Status { .. } => format!(
                "look at what the server says of the request: is {model} a model that it has, and are its texts long enough?"
            ),
            Self::NoJson | Self::Protocol | Self::TooLong { .. } | Self::Missing { .. } => {
                "correct the address: what answers there has no interface like OpenAI's, whose address ends with /v1 at most servers"
                    .into()
            }
            Self::NoLogprobs | Self::BadLogprobs | Self::OtherTokens | Self::NoContext => {
                "choices can be scored by servers that echo a prompt with its log-probabilities, such as `maquette serve` and vLLM; \
                 others can be asked for written answers"
                    .into()
            }
            Self::JudgeRefused | Self::NoVerdict => {
                format!("look at what the model answers, or choose another with {model}")
            }
            Self::Closed => {
                "look at the server's messages; the same command asks again for what is missing".into()
            }
        }
    }
}
