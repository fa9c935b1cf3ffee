//! Why an endpoint gave nothing that can be scored.

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

    /// What may be done.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "give a longer --timeout, or look at the server",
            Self::NoConnection => "start the server, or correct the address: it ends with /v1",
            Self::Status { status: 401 | 403, .. } => {
                "put the key into the environment variable that --key-variable names"
            }
            Self::Status { status: 404 | 405, .. } => {
                "correct the address, which ends with /v1, or the model's name"
            }
            Self::NoLogprobs | Self::BadLogprobs | Self::OtherTokens | Self::NoContext => {
                "choices can be scored by servers that echo a prompt with its log-probabilities, such as `maquette serve` and vLLM; \
                 others can be asked for written answers"
            }
            _ => "look at the server's messages; the same command asks again for what is missing",
        }
    }
}
