//! The body of a ConverseStream, taken from the AWS SDK before it reads it, and read frame by frame.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use loquat_agent::model::{ModelError, ModelErrorKind, ModelEvent};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::decode::Decoder;
use super::frame::Frames;
use super::{PROVIDER, error};
use crate::models::config::Timeouts;
use crate::models::http;
use crate::models::silence::Silence;

/// Where the body of a good response goes instead of to the SDK's decoder.
#[derive(Clone, Debug, Default)]
pub(super) struct Body(Arc<Mutex<Option<SdkBody>>>);

impl Body {
    pub(super) fn take(&self) -> Option<SdkBody> {
        self.0.lock().take()
    }
}

impl Intercept for Body {
    fn name(&self) -> &'static str {
        "KeepBody"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        // The SDK reads errors, which are JSON.
        if response.status().is_success() {
            *self.0.lock() = Some(std::mem::replace(response.body_mut(), SdkBody::empty()));
        }
        Ok(())
    }
}

/// The events of an answer.
pub(super) fn events(
    body: SdkBody,
    timeouts: Timeouts,
) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
    let reader = Box::new(Reader {
        body: Some(body),
        frames: Frames::default(),
        decoder: Decoder::default(),
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

/// The stream of one answer.
struct Reader {
    /// `None` once the end or a failure was reached.
    body: Option<SdkBody>,
    frames: Frames,
    decoder: Decoder,
    /// Events decoded and not yet handed out.
    ready: VecDeque<ModelEvent>,
    /// The failure that follows them.
    failure: Option<ModelError>,
    silence: Silence,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failure.take() {
                return Some(Err(error));
            }
            let body = self.body.as_mut()?;
            let cause = match self.silence.bound(|cx| poll(body, cx)).await {
                Ok(Some(Ok(piece))) => {
                    // Trailers are not part of the protocol.
                    if let Ok(bytes) = piece.into_data() {
                        self.frames.feed(&bytes);
                        self.decode();
                    }
                    continue;
                }
                Ok(None) if !self.frames.is_partial() => {
                    let what = format!("{PROVIDER} ended its answer before it was complete");
                    ModelError::new(ModelErrorKind::Truncated, what)
                }
                Ok(None | Some(Err(_))) => error::cut(),
                Err(silent) => http::silent(PROVIDER, silent.limit, silent.first),
            };
            self.fail(cause);
        }
    }

    /// Decodes every frame that is whole.
    fn decode(&mut self) {
        loop {
            let taken = match self.frames.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.decoder.frame(&frame, &mut self.ready),
                Err(_) => Err(error::not_the_protocol()),
            };
            match taken {
                Ok(false) => {}
                Ok(true) => return self.body.take().map_or((), drain),
                Err(cause) => return self.fail(cause),
            }
        }
    }

    fn fail(&mut self, cause: ModelError) {
        self.body = None;
        if self.decoder.stop.is_some() {
            // After the stop only the usage is missing: the answer is whole.
            self.decoder.finish(&mut self.ready);
        } else {
            self.failure = Some(cause);
        }
    }
}

type Piece = Result<http_body::Frame<bytes::Bytes>, aws_smithy_types::body::Error>;

fn poll(body: &mut SdkBody, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
    Pin::new(body).poll_frame(cx)
}

/// Reads the end of a body whose answer is complete, so that its connection is used again.
fn drain(mut body: SdkBody) {
    if matches!(body.frame().now_or_never(), Some(None | Some(Err(_)))) {
        return;
    }
    tokio::spawn(timeout(http::DRAIN, async move { while let Some(Ok(_)) = body.frame().await {} }));
}
