//! Just enough HTTP/1.1 to be a model server: the mock counts bytes and breaks connections at exact places, which a
//! server library rightly hides.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The largest request that is read, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// One request, whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the next request; `None` when the client closed the connection. `buffer` keeps what came after it.
pub(super) async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (mut request, head, length) = loop {
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut slots);
        match parsed.parse(buffer).map_err(|error| invalid(&error.to_string()))? {
            httparse::Status::Complete(head) => {
                let headers: Vec<(String, String)> = parsed
                    .headers
                    .iter()
                    .map(|header| {
                        (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
                    })
                    .collect();
                let request = Request {
                    method: parsed.method.unwrap_or_default().to_owned(),
                    path: parsed.path.unwrap_or_default().to_owned(),
                    headers,
                    body: Vec::new(),
                };
                let length = match request.header("content-length") {
                    Some(length) => length.parse().map_err(|_| invalid("content-length"))?,
                    None if request.header("transfer-encoding").is_some() => {
                        return Err(invalid("chunked requests are not read"));
                    }
                    None => 0,
                };
                break (request, head, length);
            }
            httparse::Status::Partial => {
                if socket.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
            }
        }
    };
    if length > MAX_BODY {
        return Err(invalid("the body is too large"));
    }
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    buffer.reserve((head + length).saturating_sub(buffer.len()));
    while buffer.len() < head + length {
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer[head..head + length].to_vec();
    buffer.drain(..head + length);
    // A waiting connection keeps no room for a request.
    buffer.shrink_to(0);
    Ok(Some(request))
}

/// Writes a whole response.
pub(super) async fn respond(
    socket: &mut TcpStream,
    status: u16,
    content_type: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut bytes = head(status, content_type, headers, &format!("content-length: {}", body.len()));
    bytes.extend_from_slice(body);
    socket.write_all(&bytes).await
}

/// The head of a response.
pub(super) fn head(status: u16, content_type: &str, headers: &[(&str, String)], framing: &str) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        _ => "Error",
    };
    let mut head = format!("HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{framing}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Returns when the client has closed the connection; never if it does not.
pub(super) async fn left(socket: &TcpStream) {
    let mut byte = [0];
    match socket.peek(&mut byte).await {
        Ok(0) | Err(_) => {}
        // The next request waits already: the client is there.
        Ok(_) => std::future::pending().await,
    }
}
