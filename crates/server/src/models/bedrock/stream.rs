//! The body of a ConverseStream, taken from the AWS SDK before it reads it, and read frame by frame.

use std::collections::VecDeque;
use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use futures_util::stream::BoxStream;
use http_body_util::BodyDataStream;
use loquat_agent::model::{ModelError, ModelEvent};
use parking_lot::Mutex;

use super::decode::Decoder;
use super::frame::Frames;
use super::{PROVIDER, error};
use crate::models::body::{self, Transcode};
use crate::models::config::Timeouts;

/// Where the body of a good response goes instead of to the SDK's decoder.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptBody(Arc<Mutex<Option<SdkBody>>>);

impl KeptBody {
    pub(super) fn take(&self) -> Option<SdkBody> {
        self.0.lock().take()
    }
}

impl Intercept for KeptBody {
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
    body::events(BodyDataStream::new(body), Converse::default(), timeouts)
}

#[derive(Default)]
struct Converse {
    frames: Frames,
    decoder: Decoder,
}

impl Transcode for Converse {
    fn bytes(&mut self, bytes: &[u8], out: &mut VecDeque<ModelEvent>) -> Result<bool, ModelError> {
        self.frames.feed(bytes);
        loop {
            let taken = match self.frames.next_frame() {
                Ok(None) => return Ok(false),
                Ok(Some(frame)) => self.decoder.frame(&frame, out),
                Err(_) => Err(error::not_the_protocol()),
            };
            match taken {
                Ok(false) => {}
                Ok(true) => return Ok(true),
                Err(cause) => return self.end(cause, out).map(|()| true),
            }
        }
    }

    fn end(&mut self, cause: ModelError, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        if self.decoder.stop.is_none() {
            return Err(cause);
        }
        // After the stop only the usage is missing: the answer is whole.
        self.decoder.finish(out);
        Ok(())
    }

    fn provider(&self) -> &str {
        PROVIDER
    }
}
