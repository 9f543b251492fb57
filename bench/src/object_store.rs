//! An object store in memory that speaks as much of S3 as Loquat uses: conditional writes, reads, listings. It keeps what it
//! is given for as long as it lives, and answers as late as it is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::net::TcpListener;

/// When every object was written, as far as readers are told: nobody here asks for the age of one.
const WRITTEN: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// The store.
#[derive(Debug, Default)]
pub struct ObjectStore {
    /// By key, which begins with the bucket: the number of the write, and the bytes.
    objects: Mutex<BTreeMap<String, (u64, Bytes)>>,
    writes: AtomicU64,
    delay_ms: AtomicU64,
}

impl ObjectStore {
    /// Serves on a free port of 127.0.0.1 until the runtime ends.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> Result<(Arc<Self>, SocketAddr)> {
        let store = Arc::new(Self::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let app =
            Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&store));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok((store, addr))
    }

    /// From now on every answer is so late.
    pub fn delay(&self, time: Duration) {
        self.delay_ms.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Puts an object there.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let write = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        self.objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.to_owned(), (write, bytes.into()));
    }

    /// Bytes of an object; 0 if there is none.
    #[must_use]
    pub fn size(&self, key: &str) -> usize {
        self.get(key).map_or(0, |(_, bytes)| bytes.len())
    }

    fn get(&self, key: &str) -> Option<(u64, Bytes)> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Writes if the conditions in the headers hold.
    fn put_if(&self, key: &str, bytes: Bytes, headers: &HeaderMap) -> Response {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = objects.get(key).map(|(write, _)| tag(*write));
        let wanted = headers.get("if-match").and_then(|value| value.to_str().ok());
        let is_new = headers.contains_key("if-none-match");
        let refused = match (wanted, &stored) {
            (Some(_), None) => Some((StatusCode::NOT_FOUND, "NoSuchKey")),
            (Some(wanted), Some(stored)) if wanted != stored => {
                Some((StatusCode::PRECONDITION_FAILED, "PreconditionFailed"))
            }
            (None, Some(_)) if is_new => Some((StatusCode::PRECONDITION_FAILED, "PreconditionFailed")),
            _ => None,
        };
        if let Some((status, code)) = refused {
            return error(status, code);
        }
        let write = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        objects.insert(key.to_owned(), (write, bytes));
        ([("etag", tag(write))], ()).into_response()
    }

    fn list(&self, bucket: &str, query: &List) -> Response {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>{bucket}</Name><Prefix></Prefix>\
             <MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
        );
        for (key, (write, bytes)) in objects.iter() {
            let Some(key) = key.strip_prefix(bucket).and_then(|key| key.strip_prefix('/')) else { continue };
            if !key.starts_with(&query.prefix) || key <= query.start_after.as_str() {
                continue;
            }
            // Writing to a string cannot fail; ids and our own names need no escapes.
            let _ = write!(
                body,
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag>\
                 <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                tag(*write).replace('"', "&quot;"),
                bytes.len()
            );
        }
        body.push_str("</ListBucketResult>");
        ([("content-type", "application/xml")], body).into_response()
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    prefix: String,
    #[serde(default, rename = "start-after")]
    start_after: String,
}

fn tag(write: u64) -> String {
    format!("\"{write}\"")
}

fn error(status: StatusCode, code: &str) -> Response {
    (status, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code></Error>"))
        .into_response()
}

async fn answer(
    State(store): State<Arc<ObjectStore>>,
    method: Method,
    uri: Uri,
    Query(query): Query<List>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let delay = store.delay_ms.load(Ordering::Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let key = uri.path().trim_start_matches('/').trim_end_matches('/');
    if !key.contains('/') {
        return store.list(key, &query);
    }
    if method == Method::PUT {
        return store.put_if(key, bytes, &headers);
    }
    if method == Method::DELETE {
        store.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        return StatusCode::NO_CONTENT.into_response();
    }
    match store.get(key) {
        Some((write, _))
            if headers.get("if-none-match").is_some_and(|known| known == tag(write).as_str()) =>
        {
            (StatusCode::NOT_MODIFIED, [("etag", tag(write))]).into_response()
        }
        Some((write, bytes)) => {
            ([("etag", tag(write)), ("last-modified", WRITTEN.to_owned())], bytes).into_response()
        }
        None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
    }
}
