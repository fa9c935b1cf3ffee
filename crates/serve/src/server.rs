//! The server from its start to its end.

use std::{
    net::TcpListener,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use axum::Router;
use data::{ChatTemplate, Tokenizer, image::Preprocessing};
use futures_util::FutureExt as _;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use model::{EngineSettings, Gpt};
use tensor::{Kernels, PAGE_LEN};
use tokio::{net::TcpStream, sync::Semaphore};

use crate::{
    app::{App, Model},
    ask::Eyes,
    connection::Connection,
    error::ServeError,
    grammar::Grammars,
    metrics::Metrics,
    routes::router,
    settings::Settings,
    worker::Worker,
};

/// How often it is asked whether the server is to stop.
const TICK: Duration = Duration::from_millis(50);

/// Largest head of a request.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Most large bodies that are held at a time, so that many connections together cannot fill the memory.
const MAX_LARGE_BODIES: usize = 32;

/// A model to be served.
pub struct Served<'a> {
    /// What clients call it.
    pub id: String,
    /// Other names that clients may use.
    pub aliases: Vec<String>,
    /// The model, ready to decode.
    pub gpt: &'a Gpt,
    /// What it is computed with.
    pub kernels: &'a dyn Kernels,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its chat template, if conversations can be written for it.
    pub template: Option<ChatTemplate>,
    /// Whether it was taught to chat: decides which page opens.
    pub is_chat: bool,
    /// How pictures are prepared for a model with eyes; without it none are taken.
    pub preprocessing: Option<Preprocessing>,
}

/// Answers requests that come to `listener` until `is_stopping` says so; then finishes what was accepted.
///
/// # Errors
/// If the system refuses what is needed, or the engine stops.
pub fn serve(
    listener: TcpListener,
    served: Served<'_>,
    settings: Settings,
    is_stopping: &(dyn Fn() -> bool + Sync),
) -> Result<(), ServeError> {
    let system = |what, hint| move |source| ServeError::System { what, hint, source };
    listener.set_nonblocking(true).map_err(system("use the socket", "try another address"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(system("start threads", "end other programs"))?;
    let Served { id, aliases, gpt, kernels, tokenizer, template, is_chat, preprocessing } = served;
    let config = gpt.config();
    let eyes = config.vision.clone().zip(preprocessing);
    let model = Model {
        id,
        aliases,
        created: std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs()),
        tokenizer: tokenizer.clone(),
        template,
        is_chat,
        eyes: eyes.map(|(vision, preprocessing)| Eyes { vision, preprocessing }),
        max_seq_len: config.max_seq_len,
        vocab_size: config.vocab_size,
        max_token_bytes: max_token_bytes(&tokenizer),
        stops: tokenizer.stops(),
    };
    let cache_tokens = settings.cache_tokens.max(config.max_seq_len);
    let engine = EngineSettings {
        n_pages: cache_tokens.div_ceil(PAGE_LEN) + 1,
        max_sequences: settings.max_sequences.max(1),
        chunk_tokens: settings.chunk_tokens,
    };
    let metrics = Arc::new(Metrics::default());
    let (jobs, receiver) = mpsc::channel();
    let n_places = settings.max_sequences.max(1) + settings.max_queue;
    let settings = Settings { max_sequences: settings.max_sequences.max(1), ..settings };
    let app = Arc::new(App {
        model,
        settings,
        grammars: Grammars::default(),
        metrics: metrics.clone(),
        jobs,
        places: Arc::new(Semaphore::new(n_places)),
        large_bodies: Semaphore::new(MAX_LARGE_BODIES),
    });
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("engine".into());
        let worker = worker
            .spawn_scoped(scope, || {
                Worker::new(gpt, kernels, engine, tokenizer, &metrics).run(&receiver);
                drop(receiver);
            })
            .map_err(system("start a thread", "end other programs"))?;
        let is_over = || is_stopping() || worker.is_finished();
        let served = runtime.block_on(accept(listener, app, &is_over));
        // The last handlers go with it, and the worker hears that no job can come.
        runtime.shutdown_timeout(Duration::from_secs(1));
        worker.join().map_err(|_| ServeError::EngineStopped)?;
        served.map_err(system("listen", "try another address"))
    })
}

/// Bytes of the longest token, special ones by their names.
fn max_token_bytes(tokenizer: &Tokenizer) -> usize {
    let n = |id| tokenizer.decode_bytes(&[id]).len().max(tokenizer.show(id).len());
    (0..tokenizer.vocab_size() as u32).map(n).max().unwrap_or(0).max(16)
}

/// Takes connections until it is over, then waits for the requests that have come.
async fn accept(
    listener: TcpListener,
    app: Arc<App>,
    is_over: &(dyn Fn() -> bool + Sync),
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(app.settings.max_connections.max(1)));
    let graceful = GracefulShutdown::new();
    let settings = app.settings.clone();
    let router = router(app);
    let open = |stream, permit| converse(stream, permit, &router, &settings, &graceful);
    while !is_over() {
        let Ok(Ok(permit)) = tokio::time::timeout(TICK, connections.clone().acquire_owned()).await else {
            continue;
        };
        match tokio::time::timeout(TICK, listener.accept()).await {
            Ok(Ok((stream, _))) => open(stream, Some(permit)),
            // Too many files are open, or the client has gone already.
            Ok(Err(_)) => tokio::time::sleep(TICK).await,
            Err(_) => {}
        }
    }
    // Those whose connection stands are not turned away.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        open(stream, None);
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

/// Answers what comes over a connection, in a task of its own.
fn converse(
    stream: TcpStream,
    permit: Option<tokio::sync::OwnedSemaphorePermit>,
    router: &Router,
    settings: &Settings,
    graceful: &GracefulShutdown,
) {
    // Chunks are small and should not wait for each other.
    let _ = stream.set_nodelay(true);
    let connection = Connection::new(stream, settings.write_timeout);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.read_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(router.clone()));
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // A client that breaks off has nobody to be told.
        let _ = connection.await;
        drop(permit);
    });
}
