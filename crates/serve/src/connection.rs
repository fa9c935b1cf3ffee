//! A connection whose other end must read, and on which nothing is refused without a word.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use crate::api_error::ApiError;

/// A connection that fails once nothing could be written for a while.
pub(crate) struct Connection {
    stream: TcpStream,
    write_timeout: Duration,
    /// Ends the wait that is going on.
    deadline: Option<Pin<Box<Sleep>>>,
    /// What is written in place of what hyper said, and how much of it was.
    instead: Option<(Vec<u8>, usize)>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        Self { stream, write_timeout, deadline: None, instead: None }
    }

    /// Writes what stands in place of `n` bytes of hyper's.
    fn write_instead(&mut self, cx: &mut Context<'_>, n: usize) -> Poll<io::Result<usize>> {
        while let Some((text, n_written)) = &mut self.instead {
            let written = Pin::new(&mut self.stream).poll_write(cx, &text[*n_written..]);
            *n_written += ready!(written)?;
            if *n_written == text.len() {
                self.instead = None;
            }
        }
        Poll::Ready(Ok(n))
    }

    /// Passes on what a write came to, unless it has waited too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let end = Instant::now() + self.write_timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(end)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            self.instead = explained(buf).map(|text| (text, 0));
        }
        let written = match self.instead {
            Some(_) => self.write_instead(cx, buf.len()),
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        };
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A head that hyper wrote by itself comes alone.
        if let [buf] = bufs {
            return self.poll_write(cx, buf);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What is said in place of an answer that hyper gives by itself, which has no body: what was wrong with the head. Answers of
/// ours have one.
fn explained(answer: &[u8]) -> Option<Vec<u8>> {
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let (status, expected, found, hint, code) = match status {
        b"400" => (
            StatusCode::BAD_REQUEST,
            "a request of HTTP/1.1",
            "a head that is none",
            "check its first line, its headers and `Content-Length`",
            "invalid_http",
        ),
        b"414" => (
            StatusCode::URI_TOO_LONG,
            "a short address",
            "a longer one",
            "send it in the body",
            "uri_too_long",
        ),
        b"431" => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "at most 100 headers of 64 KiB in all",
            "more",
            "send fewer",
            "head_too_large",
        ),
        _ => return None,
    };
    let head = std::str::from_utf8(answer).ok()?.strip_suffix("\r\n\r\n")?;
    if !head.lines().any(|line| line == "content-length: 0") {
        return None;
    }
    let error = ApiError::new(status, format!("expected {expected}, found {found}\nhint: {hint}")).code(code);
    let body = error.json().to_string();
    let head = head.replace("content-length: 0", &format!("content-length: {}", body.len()));
    Some(format!("{head}\r\ncontent-type: application/json\r\n\r\n{body}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_without_a_word_is_explained() {
        let said = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let text = String::from_utf8(explained(said).unwrap()).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 2"),
            "{text}"
        );
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(body.contains("hint: ") && body.contains("invalid_http"));
        let own = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(explained(own), None);
        assert_eq!(explained(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
    }
}
