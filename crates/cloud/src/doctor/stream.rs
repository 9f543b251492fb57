//! The streamed answer: does it come as it is made, whole, and with signs of life?

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Method, Response, header};
use serde_json::json;
use tokio::time::Instant;

use super::{Examination, cause};

/// Frames below which an answer tells nothing about buffering.
const ENOUGH_FRAMES: usize = 4;

/// Frames that come together are a block, if they are so many, and if such a silence was before them; one or two blocks
/// may be the model's own.
const TOGETHER: Duration = Duration::from_millis(20);
const BLOCK_FRAMES: usize = 10;
const HELD: Duration = Duration::from_millis(400);
const ENOUGH_BLOCKS: usize = 3;

/// Where cuts come from: seconds, and whose limit that is.
const LIMITS: &[(u64, &str)] = &[
    (29, "API Gateway in BUFFERED mode: set ResponseTransferMode to STREAM and the timeout to 900 000 ms"),
    (
        30,
        "an edge-optimised API or CloudFront's default: use a regional endpoint, raise the origin response timeout",
    ),
    (60, "a load balancer's or nginx's default: raise its idle or read timeout above the heartbeat"),
    (100, "Cloudflare's limit: heartbeats must pass it"),
    (300, "API Gateway's idle limit: heartbeats must pass it"),
    (900, "Lambda's own limit: the page resumes there by itself"),
];

/// What came over the wire, with times since the request.
#[derive(Default)]
struct Observed {
    headers: Duration,
    chunks: Vec<(Duration, usize)>,
    text: Vec<u8>,
    /// How the stream broke, if it did.
    cut: Option<String>,
    /// When it was over.
    end: Duration,
    timed_out: bool,
}

impl Observed {
    fn frames(&self) -> usize {
        frames(&self.text)
    }

    fn first(&self) -> Duration {
        self.chunks.first().map_or(self.end, |(at, _)| *at)
    }

    fn last(&self) -> Duration {
        self.chunks.last().map_or(self.end, |(at, _)| *at)
    }

    /// Many frames that all come in the last tenth of the time: held back until the answer was whole, or made by a model
    /// that says everything at once.
    fn at_once(&self) -> bool {
        let (first, last) = (self.first(), self.last());
        self.whole()
            && self.frames() >= ENOUGH_FRAMES
            && first > Duration::from_millis(300)
            && last.saturating_sub(first) < first / 10
    }

    /// How many times a block of frames came at once after a silence, if most frames came so: models speak more evenly.
    fn blocks(&self) -> Option<usize> {
        let (mut blocks, mut in_blocks, mut offset) = (0, 0, 0);
        let mut previous = Duration::ZERO;
        let mut rest = self.chunks.as_slice();
        while let Some((start, _)) = rest.first() {
            let near =
                rest.windows(2).take_while(|pair| pair[1].0.saturating_sub(pair[0].0) < TOGETHER).count() + 1;
            let (block, later) = rest.split_at(near);
            let bytes: usize = block.iter().map(|(_, bytes)| bytes).sum();
            let frames = frames(&self.text[offset..offset + bytes]);
            if start.saturating_sub(previous) >= HELD && frames >= BLOCK_FRAMES {
                blocks += 1;
                in_blocks += frames;
            }
            offset += bytes;
            previous = block.last().map_or(*start, |(at, _)| *at);
            rest = later;
        }
        (blocks >= ENOUGH_BLOCKS && in_blocks * 10 >= self.frames() * 6).then_some(blocks)
    }

    /// What the agent itself says went wrong.
    fn failure(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.text);
        let data =
            text.split("event: error\n").nth(1)?.lines().find_map(|line| line.strip_prefix("data: "))?;
        let error: serde_json::Value = serde_json::from_str(data).ok()?;
        let word =
            |name: &str| error[name].as_str().unwrap_or_default().chars().take(300).collect::<String>();
        Some(format!("{} ({})", word("error"), word("code")))
    }

    /// The protocol's own ends.
    fn whole(&self) -> bool {
        let text = String::from_utf8_lossy(&self.text);
        ["event: done", "event: error", "event: continue"].iter().any(|end| text.contains(end))
    }

    /// The longest time without a byte once the first had come, the time to the end included.
    fn silence(&self) -> Duration {
        let times = self.chunks.iter().map(|(at, _)| *at);
        let nexts = times.clone().skip(1).chain(std::iter::once(self.end));
        times.zip(nexts).map(|(at, next)| next.saturating_sub(at)).max().unwrap_or_default()
    }
}

impl Examination<'_> {
    pub(super) async fn chat(&mut self) {
        let Some((mut observed, mut compressed)) = self.ask().await else { return };
        // A start may be slow and a model quick: what was held back on the way is held back the second time, too.
        if !compressed && observed.at_once() {
            let Some(again) = self.ask().await else { return };
            (observed, compressed) = again;
        }
        self.measure(&observed);
        self.judge(&observed, compressed);
    }

    /// One answer, and whether it was compressed; nothing where there is no stream.
    async fn ask(&mut self) -> Option<(Observed, bool)> {
        let body = json!({ "message": self.options.message, "events": "all" });
        let request = self
            .signed(Method::POST, "/chat")
            .header(header::ACCEPT, "text/event-stream")
            // As browsers send it: whoever compresses on the way shows here.
            .header(header::ACCEPT_ENCODING, "gzip, deflate, br, zstd")
            .json(&body);
        let begin = Instant::now();
        let response = match tokio::time::timeout(self.options.wait, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                self.fault("unreachable", format!("POST /chat: {}", cause(&error)), "see `loquat logs`");
                return None;
            }
            Err(_) => {
                self.fault(
                    "slow_first_byte",
                    format!("no answer to POST /chat in {} s", self.options.wait.as_secs()),
                    "see `loquat logs`",
                );
                return None;
            }
        };
        let headers = begin.elapsed();
        self.readable(&response, "/chat");
        if !response.status().is_success() {
            self.refused(response).await;
            return None;
        }
        let compressed = self.form(&response);
        Some((observe(response, begin, headers, self.options.wait).await, compressed))
    }

    async fn refused(&mut self, response: Response) {
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        let body: String = body.chars().take(200).collect();
        match status.as_u16() {
            401 | 403 => self.fault(
                "token_refused",
                format!("POST /chat answers {status} to the token"),
                "send the id token of this agent's own user pool, not expired",
            ),
            404 => self.fault(
                "wrong_path",
                "POST /chat answers 404",
                "with API Gateway the address ends in the stage (…/prod)",
            ),
            429 => self.fault("throttled", "POST /chat answers 429", "wait, or raise the limits"),
            504 => self.fault("gateway_timeout", "POST /chat answers 504", LIMITS[0].1),
            _ => {
                self.fault(
                    "chat_failed",
                    format!("POST /chat answers {status}: {body}"),
                    "see `loquat logs`",
                );
            }
        }
    }

    /// The headers of a stream that nobody on the way may touch; whether it is compressed.
    fn form(&mut self, response: &Response) -> bool {
        let header = |name: header::HeaderName| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let encoding = header(header::CONTENT_ENCODING);
        let compressed = !encoding.is_empty() && encoding != "identity";
        if compressed {
            self.fault(
                "compressed",
                format!("the stream is compressed ({encoding})"),
                "switch compression off for text/event-stream: it holds frames back until a block is full",
            );
        }
        let kind = header(header::CONTENT_TYPE);
        if !kind.starts_with("text/event-stream") {
            self.fault(
                "not_a_stream",
                format!("POST /chat answers {kind:?}, not an event stream"),
                "something on the way answers instead of the agent",
            );
        }
        if response.headers().contains_key(header::CONTENT_LENGTH) {
            self.fault(
                "buffered",
                "the stream comes with its length: it was collected on the way",
                BUFFERING,
            );
        }
        compressed
    }

    fn measure(&mut self, observed: &Observed) {
        let first = observed.first();
        for (name, value) in [
            ("headers after", millis(observed.headers)),
            ("first byte after", millis(first)),
            ("last byte after", millis(observed.end)),
            ("longest silence", millis(observed.silence())),
            ("frames", observed.frames().to_string()),
        ] {
            self.report.measured.push((name, value));
        }
    }

    fn judge(&mut self, observed: &Observed, compressed: bool) {
        let first = observed.first();
        if let Some(failure) = observed.failure() {
            self.fault(
                "run_failed",
                format!("the agent answers, but with an error: {failure}"),
                "see `loquat logs`; often the model: its name, access to it in this region, its key, its quota",
            );
        } else if !compressed && observed.at_once() {
            self.fault(
                "buffered",
                format!("{} frames came at once after {}", observed.frames(), millis(first)),
                BUFFERING,
            );
        } else if let (false, Some(blocks)) = (compressed, observed.blocks()) {
            self.fault(
                "buffered",
                format!("{} frames came in {blocks} blocks", observed.frames()),
                BUFFERING,
            );
        }
        if first > self.options.slow && !self.found("buffered") {
            self.fault(
                "slow_first_byte",
                format!("the first byte came after {}", millis(first)),
                "a cold start, a far region, or something on the way that waits: see the first-token time on the dashboard",
            );
        }
        if observed.silence() > self.options.silence {
            self.fault(
                "no_heartbeat",
                format!("{} of silence without a heartbeat", millis(observed.silence())),
                "the agent sends a comment every 10 s; something on the way holds small writes back or takes comments out",
            );
        }
        if observed.timed_out {
            self.note(
                "long_answer",
                "the answer went on beyond the time of this test",
                "nothing, or a longer --wait",
            );
        } else if observed.cut.is_some() || !(compressed || observed.whole()) {
            // What was compressed cannot be read to its end, only to where it broke.
            self.cut(observed);
        }
    }

    /// A stream without its end: cut for its silence, or for its length.
    fn cut(&mut self, observed: &Observed) {
        let how = observed.cut.as_deref().unwrap_or("closed");
        let spoke = observed.chunks.last().map_or(observed.headers, |(at, _)| *at);
        let silence = observed.end.saturating_sub(spoke);
        let seconds = observed.end.as_secs();
        let limit = LIMITS.iter().find(|(limit, _)| seconds.abs_diff(*limit) <= 1).map(|(_, whose)| *whose);
        if silence >= self.options.silence / 4 {
            self.fault(
                "idle_cut",
                format!("the stream was cut after {} of silence, without its end ({how})", millis(silence)),
                limit.unwrap_or(
                    "an idle timeout on the way is shorter than the agent's heartbeat, which comes every 10 s: raise it above that",
                ),
            );
        } else {
            self.fault(
                "cut",
                format!("the stream ended after {} without its end ({how})", millis(observed.end)),
                limit.unwrap_or(
                    "a proxy's time limit or a crash: compare the time with the limits on the way, see `loquat logs`",
                ),
            );
        }
    }
}

const BUFFERING: &str = "switch response buffering off on the way: API Gateway ResponseTransferMode STREAM with the \
                         response-streaming URI, nginx `proxy_buffering off`, CloudFront without compression";

async fn observe(response: Response, begin: Instant, headers: Duration, wait: Duration) -> Observed {
    let mut observed = Observed { headers, ..Observed::default() };
    let mut body = response.bytes_stream();
    let limit = begin + wait;
    loop {
        match tokio::time::timeout_at(limit, body.next()).await {
            Ok(Some(Ok(chunk))) => {
                observed.chunks.push((begin.elapsed(), chunk.len()));
                observed.text.extend_from_slice(&chunk);
            }
            Ok(Some(Err(error))) => {
                observed.cut = Some(cause(&error));
                break;
            }
            Ok(None) => break,
            Err(_) => {
                observed.timed_out = true;
                break;
            }
        }
    }
    observed.end = begin.elapsed();
    observed
}

fn frames(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).matches("\n\n").count()
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
