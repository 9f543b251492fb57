//! The web page's files, embedded when the page was built before the server.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use crate::http::problem::Problem;

/// A file of the page.
struct File {
    /// Its path below the page's root, without a leading slash.
    path: &'static str,
    /// Its content type.
    kind: &'static str,
    /// A strong validator: a hash of its content.
    etag: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// The page's files, uncompressed: path, content type, bytes. Empty where the page is not part of the build.
pub fn files() -> impl Iterator<Item = (&'static str, &'static str, &'static [u8])> {
    FILES.iter().map(|file| (file.path, file.kind, file.plain))
}

/// What a build without the page says.
const NOT_BUILT: &str = "<!doctype html><title>Loquat</title><h1>Loquat is running</h1>\
<p>The web page is not part of this build. Build it with <code>cargo xtask web</code> and build the server again, or \
start everything with <code>cargo xtask run</code>.</p><p>The API answers: <code>POST /chat</code>.</p>";

/// Answers whatever is no route of the API: a file of the page, the page itself, or 404.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Problem::not_found().into_response();
    }
    let path = uri.path().trim_start_matches('/');
    // `/c/{session}` is a place inside the page.
    let is_page = path.is_empty() || path.starts_with("c/");
    let wanted = if is_page { "index.html" } else { path };
    match FILES.iter().find(|file| file.path == wanted) {
        Some(file) => answer(file, &headers),
        None if is_page => {
            let mut response = NOT_BUILT.into_response();
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            response
        }
        None => Problem::not_found().into_response(),
    }
}

fn answer(file: &File, request: &HeaderMap) -> Response {
    let says = |name, what: &str| {
        request.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).is_some_and(|value| {
            value.split(',').any(|part| part.split(';').next().unwrap_or_default().trim() == what)
        })
    };
    let (encoding, body) = match (file.brotli, file.gzip) {
        (Some(body), _) if says(header::ACCEPT_ENCODING, "br") => (Some("br"), body),
        (_, Some(body)) if says(header::ACCEPT_ENCODING, "gzip") => (Some("gzip"), body),
        _ => (None, file.plain),
    };
    let unchanged = says(header::IF_NONE_MATCH, file.etag);
    let mut response =
        if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { body.into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    headers.insert(header::ETAG, HeaderValue::from_static(file.etag));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // Names of built assets contain a hash of their content.
    let cache =
        if file.path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let (Some(encoding), false) = (encoding, unchanged) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}
