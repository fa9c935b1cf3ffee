//! Why the server ended.

/// What keeps a server from starting or going on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The system refused a thread, a socket or the like.
    #[error("cannot {what}: {source}\nhint: {hint}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What to do.
        hint: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The thread that decodes ended before the server did.
    #[error("the engine stopped\nhint: what it said stands above; start the server again")]
    EngineStopped,
}
