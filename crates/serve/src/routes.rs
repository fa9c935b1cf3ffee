//! Which path does what.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{
    SemaphorePermit,
    mpsc::{UnboundedReceiver, unbounded_channel},
};

use crate::{
    api_error::{ApiError, json_response},
    app::App,
    ask::{self, Call, Ordered, TWICE},
    choice::Event,
    guard, page,
    reply::Reply,
    worker::{Asked, Job},
};

/// How long a stream may be silent before a comment shows that it is alive.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(10);

/// Bodies up to this are held for every connection; of larger ones some at a time.
const SMALL_BODY_BYTES: u64 = 64 << 10;

/// Every path of the server, behind its guard.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/page/{file}", get(page::file))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat_completions))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), guard::check))
        .with_state(app)
}

async fn health() -> Response {
    json_response(StatusCode::OK, &json!({"status": "ok"}))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let n_free = app.places.available_permits();
    let mut response = Response::new(Body::from(app.metrics.text(app.n_places() - n_free)));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn openapi() -> Response {
    let mut response = Response::new(Body::from(include_str!("openapi.json")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn models(State(app): State<Arc<App>>) -> Response {
    json_response(StatusCode::OK, &json!({"object": "list", "data": [card(&app)]}))
}

async fn model(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    if app.model.is_called(&id) {
        return json_response(StatusCode::OK, &card(&app));
    }
    ApiError::no_such_model(&app.model.id, &id).into_response()
}

fn card(app: &App) -> Value {
    let model = &app.model;
    json!({
        "id": model.id, "object": "model", "created": model.created, "owned_by": "maquette",
        "max_model_len": model.max_seq_len, "vocab_size": model.vocab_size, "is_chat": model.is_chat, "reads_images": model.eyes.is_some(),
    })
}

async fn no_such_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no such path\nhint: /openapi.json lists what there is")
        .code("unknown_url")
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path knows another method\nhint: /openapi.json lists them",
    )
    .code("method_not_allowed")
}

async fn completions(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    answer(app, request, ask::completion).await
}

async fn chat_completions(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    answer(app, request, ask::chat).await
}

/// Reads a request, has it decoded, and answers it.
async fn answer(
    app: Arc<App>,
    request: Request,
    read: fn(&Ordered, &App) -> Result<Call, ApiError>,
) -> Result<Response, ApiError> {
    let since = Instant::now();
    let large = large_body(&app, length(&request)).await?;
    let body = body(&app, request).await?;
    // A long prompt takes a while to become tokens.
    let call = tokio::task::spawn_blocking({
        let app = app.clone();
        move || read(&parse(&body)?, &app)
    });
    let call = call.await.map_err(|_| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request could not be read\nhint: report it with the request",
        )
    })??;
    drop(large);
    let Call { requests, is_prompt_only, grammar, stop, form, stream } = call;
    let permit = app.places(requests.len())?;
    // Choices of a prompt have it in common.
    let n_prompt = requests.iter().step_by(form.n()).map(|request| request.prompt.len()).sum();
    let reply = Reply::new(form, &app.model.id, &app.model.tokenizer, stream, n_prompt);
    let (events, receiver) = unbounded_channel();
    let sequences = requests
        .into_iter()
        .map(|request| Asked { request, is_prompt_only, grammar: grammar.clone() })
        .collect();
    let job = Job { sequences, stop, events, permit, since };
    app.jobs.send(job).map_err(|_| gone())?;
    app.metrics.begun(n_prompt);
    match stream {
        Some(_) => streamed(receiver, reply).await,
        None => whole(receiver, reply).await,
    }
}

fn gone() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the engine has stopped\nhint: start the server again")
}

/// What an event says is wrong with the request.
fn error_of(event: &Event) -> Option<ApiError> {
    match event {
        Event::Refused(error) => Some(ApiError::new(StatusCode::BAD_REQUEST, error.to_string())),
        // A schema of the client's that goes beyond what a grammar may have.
        Event::Failed(message) => Some(
            ApiError::new(StatusCode::BAD_REQUEST, format!("{message}\nhint: use a simpler schema"))
                .code("unsupported_schema"),
        ),
        _ => None,
    }
}

async fn whole(mut receiver: UnboundedReceiver<Event>, mut reply: Reply) -> Result<Response, ApiError> {
    while !reply.is_done() {
        let event = receiver.recv().await.ok_or_else(gone)?;
        if let Some(error) = error_of(&event) {
            return Err(error);
        }
        reply.take(event);
    }
    Ok(json_response(StatusCode::OK, &reply.whole()))
}

/// Sends chunks as they come. What is refused at once is refused with a status.
async fn streamed(mut receiver: UnboundedReceiver<Event>, reply: Reply) -> Result<Response, ApiError> {
    enum State {
        First(Event),
        Next,
        Done,
    }
    // A client that waits in the queue hears so by comments; only an early refusal is worth a status.
    let first = match tokio::time::timeout(std::time::Duration::from_millis(50), receiver.recv()).await {
        Ok(Some(event)) => match error_of(&event) {
            Some(error) => return Err(error),
            None => State::First(event),
        },
        Ok(None) => return Err(gone()),
        Err(_) => State::Next,
    };
    let chunks = stream::unfold((first, receiver, reply), |(state, mut receiver, mut reply)| async move {
        let event = match state {
            State::Done => return None,
            State::First(event) => Some(event),
            State::Next => match tokio::time::timeout(KEEP_ALIVE, receiver.recv()).await {
                Ok(event) => event,
                Err(_) => return Some((Bytes::from_static(b": alive\n\n"), (State::Next, receiver, reply))),
            },
        };
        let error = event.as_ref().map_or_else(|| Some(gone()), error_of);
        let mut text = String::new();
        if let Some(error) = error {
            push(&mut text, &error.json());
            return Some((text.into(), (State::Done, receiver, reply)));
        }
        for chunk in event.map(|event| reply.take(event)).unwrap_or_default() {
            push(&mut text, &chunk);
        }
        let next = match reply.is_done() {
            false => State::Next,
            true => {
                reply.last_chunk().iter().for_each(|chunk| push(&mut text, chunk));
                text.push_str("data: [DONE]\n\n");
                State::Done
            }
        };
        Some((text.into(), (next, receiver, reply)))
    });
    let chunks = futures_util::StreamExt::map(chunks, Ok::<Bytes, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn push(text: &mut String, chunk: &Value) {
    text.push_str("data: ");
    text.push_str(&chunk.to_string());
    text.push_str("\n\n");
}

/// A place for a body that is large, or of which nobody knows; small ones need none.
async fn large_body(app: &App, length: Option<u64>) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
    if length.is_some_and(|length| length <= SMALL_BODY_BYTES) {
        return Ok(None);
    }
    match tokio::time::timeout(app.settings.read_timeout, app.large_bodies.acquire()).await {
        Ok(Ok(permit)) => Ok(Some(permit)),
        _ => Err(ApiError::busy(1)),
    }
}

/// The length of a body as it was announced.
fn length(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}

/// The body, of a size and in a time that are limited.
async fn body(app: &App, request: Request) -> Result<Bytes, ApiError> {
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = "expected `Content-Type: application/json`, found another\nhint: send JSON, and say so";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).code("unsupported_media_type"));
    }
    let coding = request.headers().get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| coding != "identity") {
        let message = "expected a body without `Content-Encoding`, found one\nhint: send it as it is";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).code("unsupported_encoding"));
    }
    let most = app.settings.max_body_bytes;
    let too_large = || {
        let message =
            format!("expected a body of at most {most} bytes, found more\nhint: send less in a request");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("body_too_large")
    };
    if length(&request).is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let reading = axum::body::to_bytes(request.into_body(), most);
    match tokio::time::timeout(app.settings.read_timeout, reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            let is_limit = std::error::Error::source(&error)
                .is_some_and(|source| source.to_string().contains("length limit"));
            Err(if is_limit {
                too_large()
            } else {
                let message = "expected a whole body, found its end too early\nhint: check `Content-Length` or the chunks";
                ApiError::new(StatusCode::BAD_REQUEST, message).code("incomplete_body")
            })
        }
        Err(_) => {
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body took too long\nhint: send it at once")
                .code("timeout"))
        }
    }
}

fn parse(body: &[u8]) -> Result<Ordered, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        // Where, not what: the body may be private.
        let message = match error.is_eof() {
            true => "expected JSON, found its end too early\nhint: send all of it".to_owned(),
            false if error.to_string().starts_with(TWICE) => format!(
                "expected each field once, found one twice before line {}, column {}\nhint: leave one out",
                error.line(),
                error.column()
            ),
            false if error.to_string().contains("recursion limit") => {
                "expected JSON of at most 128 levels, found more\nhint: nest less".into()
            }
            false => format!(
                "expected JSON, found something else in line {}, column {}\nhint: check commas, quotes and that it is UTF-8",
                error.line(),
                error.column()
            ),
        };
        ApiError::bad("body", message).code("invalid_json")
    })
}
