//! Connections over real sockets: used again, replaced when the service closed them, and driven by their readers alone.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::{ArcWake, waker};
use http_body_util::{BodyDataStream, BodyExt as _};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const END: &str = "0\r\n\r\n";

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Reads a request without a body.
async fn asked(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

impl Connections {
    async fn ask(&self, url: &str) -> Result<SdkBody, ConnectorError> {
        let request = Request::get(url).body(SdkBody::empty()).unwrap();
        self.send(request.try_into().unwrap(), Some(Duration::from_secs(5)), Some(Duration::from_millis(500)))
            .await
            .map(HttpResponse::into_body)
    }
}

async fn text(body: SdkBody) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    let (listener, addr) = listener().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut requests = Vec::new();
        for answer in
            [format!("{HEAD}{}{END}", chunk("one")), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo".into()]
        {
            requests.push(asked(&mut socket).await);
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        (requests, socket)
    });
    let connections = Connections::default();
    for expected in ["one", "two"] {
        let body = connections.ask(&format!("http://{addr}/path?a=1")).await.unwrap();
        assert_eq!(connections.pool.len(), 0);
        assert_eq!(text(body).await, expected);
        assert_eq!(connections.pool.len(), 1);
    }
    for request in server.await.unwrap().0 {
        assert!(request.starts_with("GET /path?a=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {addr}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_service_closed_is_replaced() {
    let (listener, addr) = listener().await;
    let server = tokio::spawn(async move {
        for answer in ["first", "second"] {
            let (mut socket, _) = listener.accept().await.unwrap();
            asked(&mut socket).await;
            socket.write_all(format!("{HEAD}{}{END}", chunk(answer)).as_bytes()).await.unwrap();
        }
    });
    let connections = Connections::default();
    let url = format!("http://{addr}/");
    assert_eq!(text(connections.ask(&url).await.unwrap()).await, "first");
    // The task gets to close its side.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(text(connections.ask(&url).await.unwrap()).await, "second");
    server.await.unwrap();
}

#[tokio::test]
async fn a_new_connection_that_is_closed_is_an_error() {
    let (listener, addr) = listener().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        asked(&mut socket).await;
    });
    let error = Connections::default().ask(&format!("http://{addr}/")).await.unwrap_err();
    assert!(error.is_io(), "{error:?}");
    server.await.unwrap();
    let error = Connections::default().ask(&format!("http://{addr}/")).await.unwrap_err();
    assert!(error.is_io() && format!("{error:?}").contains("refused"), "{error:?}");
}

#[tokio::test]
async fn a_service_that_says_nothing_is_not_waited_for() {
    let (listener, addr) = listener().await;
    let url = format!("http://{addr}/");
    let connections = Connections::default();
    let (error, socket) = tokio::join!(connections.ask(&url), listener.accept());
    let error = error.unwrap_err();
    assert!(error.is_timeout() && format!("{error:?}").contains("no answer within"), "{error:?}");
    // The connection is not used for anything else.
    let (mut socket, _) = socket.unwrap();
    asked(&mut socket).await;
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_body_that_is_dropped_closes_its_connection() {
    let (listener, addr) = listener().await;
    let connections = Connections::default();
    let url = format!("http://{addr}/");
    let asking = connections.ask(&url);
    let serving = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        asked(&mut socket).await;
        socket.write_all(format!("{HEAD}{}", chunk("piece")).as_bytes()).await.unwrap();
        socket
    };
    let (body, mut socket) = tokio::join!(asking, serving);
    let mut pieces = BodyDataStream::new(body.unwrap());
    use futures_util::StreamExt as _;
    assert_eq!(pieces.next().await.unwrap().unwrap(), "piece");
    drop(pieces);
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(connections.pool.len(), 0);
}

#[tokio::test]
async fn what_rests_too_long_is_closed() {
    let (listener, addr) = listener().await;
    let connections = Connections::default();
    let serving = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        asked(&mut socket).await;
        socket.write_all(format!("{HEAD}{END}").as_bytes()).await.unwrap();
        socket
    };
    let url = format!("http://{addr}/");
    let (body, mut socket) = tokio::join!(connections.ask(&url), serving);
    assert_eq!(text(body.unwrap()).await, "");
    assert_eq!(connections.pool.len(), 1);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(connections.pool.len(), 0);
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_service_proves_who_it_is() {
    let (listener, addr) = listener().await;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    crate::tls::install();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = acceptor.accept(socket).await.unwrap();
        for _ in 0..2 {
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                read.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(format!("{HEAD}{}{END}", chunk("secret")).as_bytes()).await.unwrap();
        }
        // Who does not trust it says so and leaves.
        let (socket, _) = listener.accept().await.unwrap();
        acceptor.accept(socket).await.map(drop).unwrap_err()
    });
    let trusting = Connections::default();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut tcp = TcpConnector::new();
    tcp.enforce_http(false);
    assert!(trusting.tls.set(Tls(encrypted(tcp, roots))).is_ok());
    let url = format!("https://localhost:{}/", addr.port());
    for _ in 0..2 {
        assert_eq!(text(trusting.ask(&url).await.unwrap()).await, "secret");
        assert_eq!(trusting.pool.len(), 1);
    }
    let error = Connections::default().ask(&url).await.unwrap_err();
    assert!(error.is_io() && format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    server.await.unwrap();
}

#[derive(Default)]
struct Rings(AtomicUsize);

impl ArcWake for Rings {
    fn wake_by_ref(rings: &Arc<Self>) {
        rings.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The point of it all: a piece that arrives alone wakes its reader once.
#[tokio::test]
async fn a_piece_wakes_its_reader_once() {
    let (listener, addr) = listener().await;
    let connections = Connections::default();
    let serving = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        asked(&mut socket).await;
        socket.set_nodelay(true).unwrap();
        socket.write_all(HEAD.as_bytes()).await.unwrap();
        socket
    };
    let url = format!("http://{addr}/");
    let (body, mut socket) = tokio::join!(connections.ask(&url), serving);
    let mut body = pin!(body.unwrap());
    let rings = Arc::new(Rings::default());
    let waker = waker(Arc::clone(&rings));
    let mut cx = Context::from_waker(&waker);
    let mut poll = || match http_body::Body::poll_frame(body.as_mut(), &mut cx) {
        Poll::Ready(frame) => frame.map(|frame| frame.unwrap().into_data().unwrap()),
        Poll::Pending => None,
    };
    assert_eq!(poll(), None);
    let before = rings.0.load(Ordering::Relaxed);
    for n in 1..=50 {
        socket.write_all(chunk("piece").as_bytes()).await.unwrap();
        while rings.0.load(Ordering::Relaxed) < before + n {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(poll().unwrap(), "piece");
        assert_eq!(poll(), None);
        assert_eq!(rings.0.load(Ordering::Relaxed), before + n);
    }
    // Those that arrive together are there together.
    socket.write_all(chunk("piece").repeat(9).as_bytes()).await.unwrap();
    while rings.0.load(Ordering::Relaxed) < before + 51 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..9 {
        assert_eq!(poll().unwrap(), "piece");
    }
    assert_eq!(poll(), None);
    assert_eq!(rings.0.load(Ordering::Relaxed), before + 51);
}

#[test]
fn an_address_is_split_as_a_signature_expects() {
    for (url, host, target) in [
        (
            "https://bedrock.eu-west-1.amazonaws.com/model/a%3A0/converse",
            "bedrock.eu-west-1.amazonaws.com",
            "/model/a%3A0/converse",
        ),
        ("https://example.com:443/", "example.com", "/"),
        ("http://example.com:80", "example.com", "/"),
        ("http://example.com:443/?a=b", "example.com:443", "/?a=b"),
        ("http://[::1]:8099/x", "[::1]:8099", "/x"),
    ] {
        let (origin, sent) = addressed(Request::get(url).body(SdkBody::empty()).unwrap()).unwrap();
        assert_eq!((sent.headers()[HOST].to_str().unwrap(), sent.uri().to_string().as_str()), (host, target));
        assert!(url.starts_with(&format!("{}://{}", origin.scheme, origin.authority)), "{url}");
    }
    let signed = Request::get("http://a:1/").header(HOST, "b").body(SdkBody::empty()).unwrap();
    assert_eq!(addressed(signed).unwrap().1.headers()[HOST], "b");
    assert!(addressed(Request::get("/nowhere").body(SdkBody::empty()).unwrap()).is_err());
}
