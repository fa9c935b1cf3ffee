//! Who may use the server.
//!
//! A page of another site must not: its requests carry its `Origin`. Nor may one whose name was made to lead to this machine
//! (DNS rebinding): its requests carry that name as `Host`, where an address or `localhost` cannot be forged so.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use base::hash::sha256;

use crate::{api_error::ApiError, app::App, random};

/// Paths that need no key: they say nothing of the model or of others.
const OPEN: [&str; 2] = ["/", "/health"];

/// Lets a request through, or says why not.
pub(crate) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_foreign_allowed = origin.as_ref().is_some_and(|origin| is_listed(&app, origin));
    let preflight = request.method() == Method::OPTIONS && is_foreign_allowed;
    let mut response = match admit(&app, &request) {
        Err(error) => error.into_response(),
        Ok(()) if preflight => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            let all = HeaderValue::from_static;
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, all("GET, POST"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, all("authorization, content-type"));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, all("600"));
            response
        }
        Ok(()) => next.run(request).await,
    };
    app.metrics.answered(response.status().as_u16());
    let headers = response.headers_mut();
    if let Some(origin) = origin.filter(|_| is_foreign_allowed) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&random::name("req-")) {
        headers.insert("x-request-id", id);
    }
    response
}

fn is_listed(app: &App, origin: &HeaderValue) -> bool {
    app.settings.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
}

fn admit(app: &App, request: &Request) -> Result<(), ApiError> {
    let forbidden = |message: &str, code| Err(ApiError::new(StatusCode::FORBIDDEN, message).code(code));
    let headers = request.headers();
    let one = |name: &header::HeaderName| {
        let mut all = headers.get_all(name).iter();
        (all.next().and_then(|value| value.to_str().ok()), all.next().is_some())
    };
    let (Some(host), false) = one(&header::HOST) else {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "expected one `Host`, found none or several\nhint: send one, such as `Host: localhost`",
        )
        .code("invalid_host"));
    };
    let asked = request.uri().authority().map_or(host, |authority| authority.as_str());
    if !is_own_host(host, &app.settings.allowed_hosts) || asked != host {
        let hint = "this server does not go by the name in `Host`\nhint: call it by its address, or start it with --allow-host";
        return forbidden(hint, "foreign_host");
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = [format!("http://{host}"), format!("https://{host}")];
        let is_own = own.iter().any(|own| own.as_bytes() == origin.as_bytes());
        if !is_own && !is_listed(app, origin) {
            let hint = "pages of other sites may not use this server\nhint: start it with --allow-origin";
            return forbidden(hint, "foreign_origin");
        }
    }
    let path = request.uri().path();
    let is_open = OPEN.contains(&path) || path.starts_with("/page/") || request.method() == Method::OPTIONS;
    if !is_open && !app.settings.api_keys.is_empty() && !has_key(headers, &app.settings.api_keys) {
        let found = if headers.contains_key(header::AUTHORIZATION) { "another" } else { "none" };
        let message = format!(
            "expected `Authorization: Bearer` with a key of this server, found {found}\n\
             hint: the file that --api-keys names has them"
        );
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key"));
    }
    Ok(())
}

/// Whether a client that says this meant this server: an address, `localhost`, or a name that was allowed.
fn is_own_host(host: &str, allowed: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if is_port(port) => return address.parse::<IpAddr>().is_ok(),
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if is_port(&format!(":{port}")) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name))
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Whether one of the keys is shown. All are compared by their hashes, so that the time says nothing of them.
fn has_key(headers: &HeaderMap, keys: &[String]) -> bool {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(shown) = shown.and_then(|shown| shown.strip_prefix("Bearer ")) else { return false };
    let shown = sha256(shown.trim().as_bytes());
    keys.iter().fold(false, |found, key| found | (sha256(key.as_bytes()) == shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_here_by_a_trick_are_foreign() {
        let allowed = ["box.lan".to_owned()];
        for own in
            ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "192.168.0.7", "[::1]:9", "[::1]", "Box.lan:1"]
        {
            assert!(is_own_host(own, &allowed), "{own}");
        }
        for foreign in [
            "",
            "evil.com",
            "evil.com:8080",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "localhost:",
            "localhost:x",
            "localhost:1:2",
            "[::1",
            "[evil]:1",
            "[::1]x",
            "user@localhost",
            "::1",
            "127.1",
            "0x7f000001",
        ] {
            assert!(!is_own_host(foreign, &allowed), "{foreign}");
        }
    }
}
