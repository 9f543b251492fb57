//! `POST /chat`: a message in, the answer's stream out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, header};
use loquat_agent::message::{Bytes as Blob, Content, Document, Image, Message, Role, Source};
use loquat_agent::model::Params;
use schemars::JsonSchema;
use serde::Deserialize;

use super::json::Json;
use super::problem::Problem;
use crate::app::AppState;
use crate::auth::Principal;
use crate::dialects::{Encoder, encoder};
use crate::ids::{self, Id};
use crate::limits::{content_type, essence};
use crate::runs::engine::{Ask, OnBusy, StartRequest, Wants};
use crate::runs::reader::{HEARTBEAT, Reader};
use crate::runs::run::{DialectName, Form, Run};

/// The body of `POST /chat`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with a message")]
pub struct ChatRequest {
    /// What the user says. Blank only beside attachments.
    message: String,
    /// The conversation; a new one begins without it.
    #[serde(default)]
    #[schemars(extend("pattern" = crate::ids::PATTERN))]
    session_id: Option<String>,
    /// Made by the client: the same id again attaches to the same run.
    #[serde(default)]
    #[schemars(extend("pattern" = crate::ids::PATTERN))]
    run_id: Option<String>,
    /// Which events the stream has; `text` if missing.
    #[serde(default)]
    events: Option<Events>,
    /// Go on from the first so many stored messages.
    #[serde(default)]
    history_length: Option<usize>,
    /// What to do while an answer is being written in this conversation.
    #[serde(default)]
    on_busy: Option<OnBusy>,
    /// Files sent along.
    #[serde(default)]
    attachments: Vec<Attachment>,
}

impl ChatRequest {
    /// Reads the ids and the attachments, without a model to read them for; for fuzzers.
    pub(crate) fn look_at(&self) {
        for text in [&self.session_id, &self.run_id] {
            if let Ok(Some(id)) = id(text.as_deref(), "id", "invalid_field") {
                assert!((1..=256).contains(&id.as_str().len()), "an id has a length");
            }
        }
        self.attachments.iter().for_each(Attachment::look_at);
    }
}

/// Which events a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Events {
    /// The answer's text.
    #[default]
    Text,
    /// Everything.
    All,
}

impl Events {
    /// The `chat` dialect in this form.
    #[must_use]
    pub fn form(self) -> Form {
        Form { all: self == Self::All, ..Form::of(DialectName::Chat) }
    }
}

/// A file sent along with a message.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Attachment {
    /// Its name, which the model is told.
    pub(super) name: String,
    /// PNG, JPEG, GIF, WebP, PDF, plain text, Markdown, CSV or HTML. The content has to be of this type.
    pub(super) media_type: String,
    /// Its content in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub(super) data: String,
}

impl Attachment {
    /// Looks at its content; for fuzzers.
    pub(super) fn look_at(&self) {
        if let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(&self.data) {
            let _ = (content_type(&bytes, &self.media_type), essence(&self.media_type));
        }
    }
}

/// Answers a message.
///
/// # Errors
/// A [`Problem`] if the run could not be started.
pub async fn post(
    State(state): State<AppState>,
    principal: Principal,
    Json(body): Json<ChatRequest>,
) -> Result<Response, Problem> {
    let form = body.events.unwrap_or_default().form();
    let request = StartRequest {
        session_id: id(body.session_id.as_deref(), "session_id", "invalid_session_id")?,
        run_id: id(body.run_id.as_deref(), "run_id", "invalid_run_id")?,
        ask: Ask::Message {
            message: message(&state, &body.message, &body.attachments)?,
            history_length: body.history_length,
        },
        form,
        on_busy: body.on_busy.unwrap_or(state.settings.on_busy),
        client_tools: Vec::new(),
        params: Params::default(),
        wants: Wants::default(),
        principal,
    };
    start(&state, request).await
}

/// An id from a body or a path.
///
/// # Errors
/// A [`Problem`] if it does not have the form of an id.
pub fn id(text: Option<&str>, field: &str, code: &'static str) -> Result<Option<Id>, Problem> {
    text.map(|text| {
        Id::parse(text).map_err(|_| Problem::bad(code, format!("{field}: has to be {}", ids::FORM)))
    })
    .transpose()
}

/// Starts a run and answers with its stream. A request that waits for its turn is answered at once, with heartbeats.
///
/// # Errors
/// A [`Problem`] if the run could not be started.
pub async fn start(state: &AppState, request: StartRequest) -> Result<Response, Problem> {
    let on_disconnect = state.engine.on_disconnect();
    let form = request.form.clone();
    if request.on_busy == OnBusy::Queue {
        let engine = Arc::clone(&state.engine);
        let starting = async move { engine.start(request).await.map_err(Problem::from) };
        return Ok(sse(waiting(starting, encoder(&form), on_disconnect), encoder(&form).headers(), None));
    }
    let run = state.engine.start(request).await?;
    Ok(events(run, &form, 0, on_disconnect))
}

/// A stream that beats until the run has started, then reads it.
fn waiting(
    starting: impl Future<Output = Result<Arc<Run>, Problem>> + Send + 'static,
    mut words: Box<dyn Encoder>,
    on_disconnect: crate::runs::engine::OnDisconnect,
) -> impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    // A task of its own: a client that leaves while it waits has been heard all the same.
    let task = tokio::spawn(crate::telemetry::carry(starting));
    let beats = stream::unfold((task, false), |(mut task, over)| async move {
        if over {
            return None;
        }
        tokio::select! {
            started = &mut task => Some((Some(started), (task, true))),
            () = tokio::time::sleep(HEARTBEAT) => Some((None, (task, false))),
        }
    });
    beats.flat_map(move |item| match item {
        None => {
            let mut out = Vec::new();
            words.heartbeat(&mut out);
            stream::iter([Ok(Bytes::from(out))]).boxed()
        }
        Some(Ok(Ok(run))) => {
            let encoder = encoder(&run.info.form);
            Reader::new(run, encoder, 0, on_disconnect).into_stream().boxed()
        }
        Some(failed) => {
            let problem = match failed {
                Ok(Err(problem)) => problem,
                _ => Problem::new(
                    http::StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "Something went wrong on the server. It was logged.",
                ),
            };
            let mut out = Vec::new();
            words.failure(problem.detail(), problem.code(), problem.retryable(), &mut out);
            stream::iter([Ok(Bytes::from(out))]).boxed()
        }
    })
}

/// The stream of a run after an event.
pub fn events(
    run: Arc<Run>,
    form: &Form,
    after: u64,
    on_disconnect: crate::runs::engine::OnDisconnect,
) -> Response {
    let encoder = encoder(form);
    let headers = encoder.headers();
    let id = HeaderValue::from_str(run.info.id.as_str()).ok();
    sse(Reader::new(run, encoder, after, on_disconnect).into_stream(), headers, id)
}

pub(super) fn sse(
    body: impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static,
    headers: &'static [(&'static str, &'static str)],
    run_id: Option<HeaderValue>,
) -> Response {
    let mut response = Body::from_stream(body).into_response();
    let map = response.headers_mut();
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    map.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies of the nginx family hold answers back without it.
    map.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    if let Some(id) = run_id {
        map.insert(HeaderName::from_static("x-loquat-run-id"), id);
    }
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// The user's message, checked.
fn message(state: &AppState, text: &str, attachments: &[Attachment]) -> Result<Message, Problem> {
    let limit = state.settings.message_bytes;
    if text.len() > limit {
        let detail = format!("message: {} bytes, the limit is {limit}", text.len());
        return Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, "message_too_long", detail));
    }
    let mut content = Vec::with_capacity(attachments.len() + 1);
    for (n, attachment) in attachments.iter().enumerate() {
        content.push(attached(state, &format!("attachments[{n}]"), n, attachment)?);
    }
    if !text.trim().is_empty() {
        content.push(Content::Text(text.to_owned()));
    }
    if content.is_empty() {
        return Err(Problem::bad("empty_message", "message: is empty"));
    }
    Ok(Message::new(Role::User, content))
}

/// A user's message of blocks that other protocols brought.
pub(super) fn checked(state: &AppState, mut content: Vec<Content>) -> Result<Message, Problem> {
    let limit = state.settings.message_bytes;
    let bytes: usize = content.iter().filter_map(Content::as_text).map(str::len).sum();
    if bytes > limit {
        let detail = format!("message: {bytes} bytes, the limit is {limit}");
        return Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, "message_too_long", detail));
    }
    content.retain(|block| block.as_text().is_none_or(|text| !text.trim().is_empty()));
    if content.is_empty() {
        return Err(Problem::bad("empty_message", "messages: there is no new message of the user"));
    }
    Ok(Message::new(Role::User, content))
}

/// A file as a content block. Its kind is taken from its bytes; what the client says must agree. Problems name its
/// `place` in the request.
pub(super) fn attached(
    state: &AppState,
    place: &str,
    n: usize,
    attachment: &Attachment,
) -> Result<Content, Problem> {
    let wrong = |what: &str| Problem::bad("invalid_attachment", format!("{place}: {what}")).at(place);
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(&attachment.data)
        .map_err(|_| wrong("data is not base64"))?;
    if bytes.len() > state.settings.attachment_bytes {
        let detail = format!("{place}: over the limit of {} bytes", state.settings.attachment_bytes);
        return Err(
            Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, "attachment_too_large", detail).at(place)
        );
    }
    let kinds = "media_type: png, jpeg, gif, webp, pdf, plain text, Markdown, CSV or HTML";
    let kind = content_type(&bytes, &attachment.media_type).ok_or_else(|| wrong(kinds))?;
    if kind != essence(&attachment.media_type) {
        return Err(wrong(&format!("is {kind} by its content; {kinds}, as the content is")));
    }
    let source = Source::Bytes(Blob(bytes));
    if let Some(format) = kind.strip_prefix("image/") {
        if !state.settings.attach_images {
            return Err(wrong("this model takes no images"));
        }
        return Ok(Content::Image(Image { format: format.into(), source }));
    }
    let format = match kind {
        "application/pdf" if !state.settings.attach_documents => {
            return Err(wrong("this model takes no documents"));
        }
        "application/pdf" => "pdf",
        "text/markdown" => "md",
        "text/csv" => "csv",
        "text/html" => "html",
        _ => "txt",
    };
    // Providers allow letters, digits, spaces, hyphens and brackets in a document's name, and no two spaces in a row.
    let name: String = attachment
        .name
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']') { c } else { ' ' })
        .collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = if name.is_empty() { format!("document {}", n + 1) } else { name.chars().take(100).collect() };
    Ok(Content::Document(Document { format: format.into(), name, source }))
}
