//! The page at `/`: nothing in it comes from elsewhere, and what a model writes is shown as text.

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::api_error::ApiError;

/// What the page may do: run its own script and talk to its own server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files of the page.
const FILES: [(&str, &str, &str); 12] = [
    ("style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("api.js", SCRIPT, include_str!("page/api.js")),
    ("chat.js", SCRIPT, include_str!("page/chat.js")),
    ("complete.js", SCRIPT, include_str!("page/complete.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("link.js", SCRIPT, include_str!("page/link.js")),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("markdown.js", SCRIPT, include_str!("page/markdown.js")),
    ("pictures.js", SCRIPT, include_str!("page/pictures.js")),
    ("settings.js", SCRIPT, include_str!("page/settings.js")),
    ("tokens.js", SCRIPT, include_str!("page/tokens.js")),
    ("tree.js", SCRIPT, include_str!("page/tree.js")),
];

/// The page itself.
pub(crate) async fn index() -> Response {
    file_of("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// A file of the page.
pub(crate) async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => file_of(kind, text),
        None => ApiError::new(StatusCode::NOT_FOUND, "no such file\nhint: the page is at /")
            .code("unknown_url")
            .into_response(),
    }
}

fn file_of(kind: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
