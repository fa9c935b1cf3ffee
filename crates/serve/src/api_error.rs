//! Errors in the shape that OpenAI's clients read.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// What a client is told instead of an answer.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    message: String,
    kind: &'static str,
    /// The field that is at fault, as a path such as `messages[0].content`.
    param: Option<String>,
    code: Option<&'static str>,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let code = match status {
            status if status.is_server_error() => "server_error",
            _ => "invalid_request",
        };
        Self {
            status,
            message: message.into(),
            kind,
            param: None,
            code: Some(code),
            retry_after_seconds: None,
        }
    }

    /// A field that cannot be honoured. A message without a hint gets that of every field.
    pub(crate) fn bad(param: impl Into<String>, message: impl Into<String>) -> Self {
        let (param, mut message) = (param.into(), message.into());
        if !message.contains("\nhint: ") {
            message.push_str(&format!(
                "\nhint: change `{param}` or leave it out; /openapi.json says what it may be"
            ));
        }
        Self { param: Some(param), ..Self::new(StatusCode::BAD_REQUEST, message) }.code("invalid_value")
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Another request may be made after so many seconds.
    pub(crate) fn busy(seconds: u64) -> Self {
        let message = format!(
            "expected a request that there is room for, found a full queue\nhint: try again in {seconds} s"
        );
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, message).code("queue_full");
        Self { retry_after_seconds: Some(seconds), ..error }
    }

    /// A model that is not served here.
    pub(crate) fn no_such_model(served: &str, found: &str) -> Self {
        let found: String = found.chars().take(100).collect();
        let message =
            format!("expected the model `{served}`, found `{found}`\nhint: /v1/models lists what is served");
        Self { param: Some("model".into()), ..Self::new(StatusCode::NOT_FOUND, message) }
            .code("model_not_found")
    }

    pub(crate) fn json(&self) -> Value {
        let Self { message, kind, param, code, .. } = self;
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &self.json());
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A body of JSON.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
