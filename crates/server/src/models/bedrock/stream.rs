//! The body of a ConverseStream, which the AWS SDK does not see, read frame by frame.

use std::collections::VecDeque;

use futures_util::stream::BoxStream;
use http_body_util::BodyDataStream;
use loquat_agent::model::{ModelError, ModelEvent};

use super::decode::Decoder;
use super::frame::Frames;
use super::{PROVIDER, error};
use crate::aws::connection::Driven;
use crate::models::body::{self, Transcode};
use crate::models::config::Timeouts;

/// The events of an answer.
pub(super) fn events(body: Driven, timeouts: Timeouts) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
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
