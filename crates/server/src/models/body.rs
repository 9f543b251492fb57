//! The body of a provider's answer, read as it arrives and turned into model events.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _};
use loquat_agent::model::{ModelError, ModelErrorKind, ModelEvent};
use tokio::time::timeout;

use super::config::Timeouts;
use super::silence::Silence;

/// How long the rest of a finished body may take, for the sake of using the connection again.
const DRAIN: Duration = Duration::from_secs(2);

/// What makes the bytes of one answer into model events.
pub(crate) trait Transcode: Send + 'static {
    /// Takes bytes as they arrived. `Ok(true)` means that the answer is at its end.
    fn bytes(&mut self, bytes: &[u8], out: &mut VecDeque<ModelEvent>) -> Result<bool, ModelError>;

    /// The bytes are over without a proper end (`cause` says how). What came may still be a whole answer; otherwise this
    /// returns the cause.
    fn end(&mut self, cause: ModelError, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError>;

    /// Who is talking, for messages.
    fn provider(&self) -> &str;
}

type Failure = Box<dyn Error + Send + Sync>;
type Body = BoxStream<'static, Result<Bytes, Failure>>;

/// The events of an answer.
pub(crate) fn events<E: Into<Failure> + 'static>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    transcoder: impl Transcode,
    timeouts: Timeouts,
) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
    let reader = Box::new(Reader {
        body: Some(body.map_err(Into::into).boxed()),
        transcoder,
        ready: VecDeque::new(),
        failure: None,
        silence: Silence::new(timeouts),
    });
    futures_util::stream::unfold(reader, |mut reader| async move {
        let item = reader.next().await?;
        Some((item, reader))
    })
    .boxed()
}

struct Reader<T> {
    /// `None` once the end or a failure was reached.
    body: Option<Body>,
    transcoder: T,
    /// Events that were read and not yet handed out.
    ready: VecDeque<ModelEvent>,
    /// The failure that follows them.
    failure: Option<ModelError>,
    silence: Silence,
}

impl<T: Transcode> Reader<T> {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failure.take() {
                return Some(Err(error));
            }
            let body = self.body.as_mut()?;
            let provider = self.transcoder.provider();
            let cause = match self.silence.bound(|cx| body.poll_next_unpin(cx)).await {
                Ok(Some(Ok(bytes))) => {
                    match self.transcoder.bytes(&bytes, &mut self.ready) {
                        Ok(false) => {}
                        Ok(true) => self.body.take().map_or((), drain),
                        Err(error) => {
                            self.body = None;
                            self.failure = Some(error);
                        }
                    }
                    continue;
                }
                Ok(None) => {
                    let what = format!("{provider} ended its answer before it was complete");
                    ModelError::new(ModelErrorKind::Truncated, what)
                }
                Ok(Some(Err(error))) => {
                    let what = format!("the answer of {provider} was cut ({})", root(&*error));
                    ModelError::new(ModelErrorKind::Truncated, what)
                }
                Err(over) => silent(provider, over.limit, over.first),
            };
            self.body = None;
            self.failure = self.transcoder.end(cause, &mut self.ready).err();
        }
    }
}

/// The innermost cause: the one that says something ("Connection refused").
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

pub(crate) fn silent(provider: &str, limit: Duration, first: bool) -> ModelError {
    let what = if first {
        format!("{provider} did not begin to answer within {limit:?}")
    } else {
        format!("{provider} fell silent for {limit:?} in the middle of its answer")
    };
    ModelError::new(ModelErrorKind::Timeout, what)
}

/// Reads the end of a body whose answer is complete: a connection is used again only if its last body was read to the
/// end, and what is missing is usually the five bytes that end a chunked body.
fn drain(mut body: Body) {
    if matches!(body.next().now_or_never(), Some(None | Some(Err(_)))) {
        return;
    }
    tokio::spawn(timeout(DRAIN, async move { while let Some(Ok(_)) = body.next().await {} }));
}
