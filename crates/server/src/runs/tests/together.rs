//! What the model says together is shown together.

use futures_util::stream::{self, BoxStream};
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::model::{ModelError, ModelRequest};
use tokio::sync::mpsc;

use super::*;
use crate::sessions::memory::MemoryBlobs;

/// How many pieces of text the model says.
const PIECES: usize = 100;

/// A model whose connection is a task of its own that hands over one piece at a time, as hyper's is.
struct HandsOver;

impl Model for HandsOver {
    fn name(&self) -> &'static str {
        "hands-over"
    }

    fn stream(&self, _: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let (give, take) = mpsc::channel(1);
        tokio::spawn(async move {
            for n in 0..PIECES {
                give.send(Ok(ModelEvent::Text(format!("{n} ")))).await.unwrap();
            }
            give.send(Ok(ModelEvent::Usage { usage: Usage::default(), model: None })).await.unwrap();
            give.send(Ok(ModelEvent::Stop(StopReason::EndTurn))).await.unwrap();
        });
        stream::unfold(take, |mut take| async { Some((take.recv().await?, take)) }).boxed()
    }
}

#[tokio::test]
async fn pieces_that_are_there_leave_in_one_write() {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryBlobs::default());
    let process = Process::on_objects(&store, Clock::tokio(), Arc::new(HandsOver));
    let run = process.engine.start(request("s", "r", "hi")).await.unwrap();
    let reader = Reader::new(run, encoder(&Form::default()), 0, OnDisconnect::Finish);
    let chunks: Vec<_> = reader.into_stream().map(Result::unwrap).collect().await;
    let whole = String::from_utf8(chunks.concat()).unwrap();
    let expected: Vec<String> = (0..PIECES).map(|n| format!("{{\"text\":\"{n} \"}}")).collect();
    let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
    let told: Vec<&str> = data.filter(|data| data.starts_with("{\"text\"")).collect();
    assert_eq!(told, expected, "each piece is a frame of its own");
    let with_text = chunks.iter().filter(|chunk| String::from_utf8_lossy(chunk).contains("\"text\"")).count();
    assert!(with_text <= 3, "{with_text} writes for {PIECES} pieces");
}
