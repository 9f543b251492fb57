//! The load generator's client: HTTP/1.1 by hand over one socket, because what it costs is taken from what is measured.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wire::{Decoder, Form, Piece};

/// Where a system listens and what it speaks.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The address.
    pub addr: SocketAddr,
    /// The form of its answers; Converse is also the form of the question.
    pub form: Form,
    /// Whether it is the model itself, which is asked in Bedrock's way.
    pub direct: bool,
}

/// One answer, read to its end.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// From the last byte of the request to the first text.
    pub first: Duration,
    /// From the last byte of the request to the proper end.
    pub whole: Duration,
    /// Times between two pieces of text.
    pub gaps: Vec<Duration>,
    /// The text.
    pub text: String,
    /// Pieces of text.
    pub pieces: usize,
}

/// One connection, used for one request after another.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    socket: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// How long a body is.
enum Body {
    Chunked { left: usize },
    Length { left: usize },
    UntilClose,
}

impl Connection {
    /// A connection that is opened with its first request.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, socket: None, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// Asks and reads the answer to its end.
    ///
    /// # Errors
    /// Anything but a whole, properly ended answer.
    pub async fn chat(&mut self, session: Option<&str>, message: &str) -> Result<Answer> {
        let request = request(&self.target, session, message);
        self.ask(&request).await
    }

    /// Sends a request whose answer is a stream, and reads that to its end.
    ///
    /// # Errors
    /// Anything but a whole, properly ended answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        // A server may close an idle connection at any time; that is not a failure of an answer.
        if self.socket.as_ref().is_some_and(is_closed) {
            self.socket = None;
        }
        let result = self.ask_once(request).await;
        if result.is_err() {
            self.socket = None;
        }
        result
    }

    async fn ask_once(&mut self, request: &[u8]) -> Result<Answer> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect(self.target.addr).await?,
        };
        socket.write_all(request).await?;
        let began = Instant::now();
        self.buffer.clear();
        let (mut body, keep) = self.head(&mut socket).await?;
        let mut answer = Answer::default();
        let mut decoder = Decoder::new(self.target.form);
        let (mut done, mut failed, mut last) = (false, None, None);
        loop {
            let now = Instant::now();
            let mut on = |piece: Piece<'_>| match piece {
                Piece::Text(text) => {
                    match last {
                        None => answer.first = now - began,
                        Some(last) => answer.gaps.push(now - last),
                    }
                    last = Some(now);
                    answer.pieces += 1;
                    answer.text.push_str(&text);
                }
                Piece::Done => {
                    done = true;
                    answer.whole = now - began;
                }
                Piece::Failed(why) => failed = Some(why),
            };
            let ended = unwrap_body(&mut self.buffer, &mut body, |bytes| {
                decoder.feed(bytes, &mut on).map_err(anyhow::Error::msg)
            })?;
            if ended {
                break;
            }
            if socket.read_buf(&mut self.buffer).await? == 0 {
                if matches!(body, Body::UntilClose) {
                    break;
                }
                bail!("the connection closed within an answer");
            }
        }
        if let Some(why) = failed {
            bail!("the stream failed: {why}");
        }
        if !done {
            bail!("the stream ended without its terminal frame");
        }
        if keep && !matches!(body, Body::UntilClose) {
            self.socket = Some(socket);
        }
        Ok(answer)
    }

    /// Reads the head of the response; what follows it stays in the buffer.
    async fn head(&mut self, socket: &mut TcpStream) -> Result<(Body, bool)> {
        loop {
            if socket.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection closed before an answer");
            }
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(length) = response.parse(&self.buffer)? else { continue };
            if response.code != Some(200) {
                let text = String::from_utf8_lossy(&self.buffer).into_owned();
                bail!("status {}: {text}", response.code.unwrap_or(0));
            }
            let mut body = Body::UntilClose;
            let mut keep = true;
            for header in response.headers.iter() {
                let value = String::from_utf8_lossy(header.value).to_ascii_lowercase();
                match header.name.to_ascii_lowercase().as_str() {
                    "transfer-encoding" if value.contains("chunked") => body = Body::Chunked { left: 0 },
                    "content-length" => body = Body::Length { left: value.trim().parse()? },
                    "connection" if value.contains("close") => keep = false,
                    _ => {}
                }
            }
            self.buffer.drain(..length);
            return Ok((body, keep));
        }
    }
}

/// Connects without delay of small writes.
pub(crate) async fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect(addr).await.with_context(|| format!("cannot connect to {addr}"))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// The bytes of a question.
pub(crate) fn request(target: &Target, session: Option<&str>, message: &str) -> Vec<u8> {
    let (path, body) = if target.direct {
        (
            "/model/mock/converse-stream",
            json!({"messages": [{"role": "user", "content": [{"text": message}]}]}),
        )
    } else if let Some(session) = session {
        ("/chat", json!({"message": message, "session_id": session}))
    } else {
        ("/chat", json!({"message": message}))
    };
    post(target.addr, path, &body)
}

/// The bytes of a `POST` of JSON.
pub(crate) fn post(addr: SocketAddr, path: &str, body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\nauthorization: Bearer any\r\n\
         accept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Whether the other side has closed an idle connection (or said something unasked).
fn is_closed(socket: &TcpStream) -> bool {
    !matches!(socket.try_read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Takes what is there of the body out of the buffer. `true`: the body has ended.
fn unwrap_body(
    buffer: &mut Vec<u8>,
    body: &mut Body,
    mut on: impl FnMut(&[u8]) -> Result<()>,
) -> Result<bool> {
    let mut used = 0;
    let ended = loop {
        let rest = &buffer[used..];
        match body {
            Body::UntilClose => {
                on(rest)?;
                used = buffer.len();
                break false;
            }
            Body::Length { left } => {
                let take = rest.len().min(*left);
                on(&rest[..take])?;
                used += take;
                *left -= take;
                break *left == 0;
            }
            Body::Chunked { left: 0 } => match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete((start, 0))) => {
                    // The end is the empty line after the last chunk; there are no trailers.
                    if rest.len() < start + 2 {
                        break false;
                    }
                    used += start + 2;
                    break true;
                }
                Ok(httparse::Status::Complete((start, size))) => {
                    used += start;
                    // The line end after the data is counted to the chunk.
                    *body = Body::Chunked { left: usize::try_from(size)? + 2 };
                }
                Ok(httparse::Status::Partial) => break false,
                Err(_) => bail!("a chunk has no size"),
            },
            Body::Chunked { left } => {
                if rest.is_empty() {
                    break false;
                }
                let data = left.saturating_sub(2).min(rest.len());
                on(&rest[..data])?;
                let end = rest.len().min(*left) - data;
                used += data + end;
                *left -= data + end;
            }
        }
    };
    buffer.drain(..used);
    Ok(ended)
}

/// Whether `GET path` answers 200 now.
pub async fn is_ready(addr: SocketAddr, path: &str) -> bool {
    let Ok(mut socket) = connect(addr).await else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    let mut head = [0; 12];
    socket.write_all(request.as_bytes()).await.is_ok()
        && socket.read_exact(&mut head).await.is_ok()
        && head.ends_with(b"200")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{MockServer, Scenario};

    fn direct(mock: &MockServer) -> Target {
        let addr = mock.url().trim_start_matches("http://").parse().unwrap();
        Target { addr, form: Form::Converse, direct: true }
    }

    #[tokio::test]
    async fn an_answer_is_read_whole_and_the_connection_kept() {
        let mock = MockServer::start(Scenario::default()).await.unwrap();
        let mut connection = Connection::new(direct(&mock));
        for chunk in [1, 3, 1000] {
            let answer = connection.chat(None, &format!("tokens=3 chunk={chunk}")).await.unwrap();
            assert_eq!((answer.text.as_str(), answer.pieces, answer.gaps.len()), ("a loquat is", 3, 2));
            assert!(answer.first <= answer.whole);
        }
        assert_eq!(mock.stats().connections, 1);
    }

    #[tokio::test]
    async fn what_is_not_whole_is_an_error() {
        let mock = MockServer::start(Scenario::default()).await.unwrap();
        let mut connection = Connection::new(direct(&mock));
        for words in
            ["tokens=9 nostop", "tokens=9 cut=300", "tokens=9 error=throttlingException after=3", "error=503"]
        {
            assert!(connection.chat(None, words).await.is_err(), "{words}");
        }
    }

    #[test]
    fn chunks_are_unwrapped_at_any_cut() {
        let stream = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        for cut in 0..stream.len() {
            let (mut buffer, mut body, mut text) = (Vec::new(), Body::Chunked { left: 0 }, Vec::new());
            let mut ended = false;
            for part in [&stream[..cut], &stream[cut..]] {
                buffer.extend_from_slice(part);
                ended = unwrap_body(&mut buffer, &mut body, |bytes| {
                    text.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
            }
            assert!(ended && text == b"hello!" && buffer.is_empty(), "{cut}");
        }
    }
}
