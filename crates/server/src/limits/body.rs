//! The body of a request, read whole: not larger than it may be, and not slower.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed (413).
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The largest size in bytes.
        limit: usize,
    },
    /// It did not arrive in time (408).
    #[error("the body did not arrive in time")]
    Slow,
    /// The client went away (400, which nobody reads).
    #[error("the body was cut off")]
    Cut,
}

/// Reads a body. The time is for all of it, so that one byte now and then does not keep it open.
///
/// # Errors
/// What is wrong with it.
pub async fn read_whole(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    time: Duration,
) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    let read = async {
        // Memory follows what arrived, never what was announced.
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(BodyError::Cut) };
            let Some(data) = frame.data_ref() else { continue };
            if whole.len() + data.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            whole.extend_from_slice(data);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(time, read).await.unwrap_or(Err(BodyError::Slow))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_cut_off() {
        let trickle = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(b"x"))).then(|byte| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            byte
        });
        let read = read_whole(&HeaderMap::new(), Body::from_stream(trickle), 1_000, TIME).await;
        assert_eq!(read, Err(BodyError::Slow));
        let never = stream::pending::<Result<Bytes, Infallible>>();
        let read = read_whole(&HeaderMap::new(), Body::from_stream(never), 1_000, TIME).await;
        assert_eq!(read, Err(BodyError::Slow));
    }

    #[tokio::test]
    async fn size_counts_as_announced_and_as_it_comes() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 11.into());
        let too_large = Err(BodyError::TooLarge { limit: 10 });
        assert_eq!(read_whole(&headers, Body::from("short"), 10, TIME).await, too_large);
        let none = HeaderMap::new();
        assert_eq!(read_whole(&none, Body::from("x".repeat(11)), 10, TIME).await, too_large);
        assert_eq!(read_whole(&none, Body::from("x".repeat(10)), 10, TIME).await.unwrap().len(), 10);
        let cut = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]);
        assert_eq!(read_whole(&none, Body::from_stream(cut), 10, TIME).await, Err(BodyError::Cut));
    }
}
