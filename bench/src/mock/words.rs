//! The language in which the mock is told what to do: words in the user's message, or in a scenario file.

use std::time::Duration;

use serde_json::Value;

use super::fault::Fault;

/// What one request asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// `tokens=N`: so many pieces of text.
    pub tokens: Option<usize>,
    /// `say="…"`: this text.
    pub say: Option<String>,
    /// `reasoning=N`: so many pieces of reasoning first, with a signature.
    pub reasoning: usize,
    /// `redacted`: a block of redacted reasoning.
    pub redacted: bool,
    /// `tool=NAME {json}`: tool calls; one a model call, all at once with `parallel`.
    pub tools: Vec<(String, String)>,
    /// `parallel`: see `tools`.
    pub parallel: bool,
    /// `reason=…`: the stop reason, by Bedrock's names.
    pub reason: Option<&'static str>,
    /// `cached=N`: so many of the input tokens come from the cache.
    pub cached: u64,
    /// `delay=…`: between two pieces.
    pub delay: Duration,
    /// `first=…`: before the first piece.
    pub first: Duration,
    /// `headers_delay=…`: before the head of the response.
    pub headers_delay: Duration,
    /// `error=NAME`: fails; before the stream, or in it with `after` or `at`.
    pub error: Option<Fault>,
    /// `retry_after=SECONDS`: with an error before the stream.
    pub retry_after: Option<u64>,
    /// `after=N`: the failure comes after so many pieces.
    pub after: Option<usize>,
    /// `at=N`: the failure comes after so many frames of any kind.
    pub at: Option<usize>,
    /// `cut=BYTES`: the connection breaks after so many bytes of the body.
    pub cut: Option<usize>,
    /// `stall`: silence from the place of `after`, `at` or `cut` on, else before the last frames.
    pub stall: bool,
    /// `nostop`: the stream ends cleanly without its terminal events.
    pub nostop: bool,
    /// `chunk=BYTES`: the body is written in pieces of this size, whatever the frames are.
    pub chunk: Option<usize>,
    /// `times=N`: only the first N requests with this message fail.
    pub times: Option<u32>,
    /// `step=N`: only the N-th model call of a turn (from 0) fails.
    pub step: Option<usize>,
}

/// The stop reasons of Bedrock.
const REASONS: &[&str] = &[
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
];

impl Words {
    /// Reads the words of a text. What is not one of them is ignored; a known word with a wrong value is an error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = Self::default();
        let mut rest = text;
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return Ok(words);
            }
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            let Some((key, value)) = word.split_once('=') else {
                match word {
                    "parallel" => words.parallel = true,
                    "redacted" => words.redacted = true,
                    "stall" => words.stall = true,
                    "nostop" => words.nostop = true,
                    _ => {}
                }
                continue;
            };
            let wrong = || format!("mock: `{word}` is not understood");
            match key {
                "tokens" => words.tokens = Some(value.parse().map_err(|_| wrong())?),
                "reasoning" => words.reasoning = value.parse().map_err(|_| wrong())?,
                "cached" => words.cached = value.parse().map_err(|_| wrong())?,
                "after" => words.after = Some(value.parse().map_err(|_| wrong())?),
                "at" => words.at = Some(value.parse().map_err(|_| wrong())?),
                "cut" => words.cut = Some(value.parse().map_err(|_| wrong())?),
                "chunk" => {
                    words.chunk = Some(value.parse().ok().filter(|size| *size > 0).ok_or_else(wrong)?);
                }
                "times" => words.times = Some(value.parse().map_err(|_| wrong())?),
                "step" => words.step = Some(value.parse().map_err(|_| wrong())?),
                "retry_after" => words.retry_after = Some(value.parse().map_err(|_| wrong())?),
                "delay" => words.delay = duration(value).ok_or_else(wrong)?,
                "first" => words.first = duration(value).ok_or_else(wrong)?,
                "headers_delay" => words.headers_delay = duration(value).ok_or_else(wrong)?,
                "error" => words.error = Some(Fault::parse(value).ok_or_else(wrong)?),
                "reason" => {
                    let known = REASONS.iter().find(|reason| **reason == value);
                    words.reason = Some(known.copied().ok_or_else(wrong)?);
                }
                "say" => {
                    // The value is a JSON string and may hold blanks: read it from where it begins.
                    let from = text.len() - rest.len() - value.len();
                    let (say, read) = json(&text[from..]).ok_or_else(wrong)?;
                    words.say = Some(say.as_str().ok_or_else(wrong)?.to_owned());
                    rest = &text[from + read..];
                }
                "tool" => {
                    let mut input = "{}".to_owned();
                    if let Some(object) = Some(rest.trim_start()).filter(|rest| rest.starts_with('{')) {
                        let (_, read) = json(object).ok_or_else(wrong)?;
                        object[..read].clone_into(&mut input);
                        rest = &object[read..];
                    }
                    words.tools.push((value.to_owned(), input));
                }
                _ => {}
            }
        }
    }

    /// Whether anything is to go wrong.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.error.is_some()
            || self.cut.is_some()
            || self.stall
            || self.nostop
            || !self.headers_delay.is_zero()
    }

    /// The same without what goes wrong.
    #[must_use]
    pub fn clean(self) -> Self {
        Self {
            error: None,
            cut: None,
            stall: false,
            nostop: false,
            headers_delay: Duration::ZERO,
            after: None,
            at: None,
            ..self
        }
    }
}

/// The JSON value a text begins with, and its length.
fn json(text: &str) -> Option<(Value, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

fn duration(text: &str) -> Option<Duration> {
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse().ok().map(Duration::from_millis);
    }
    if let Some(us) = text.strip_suffix("us") {
        return us.parse().ok().map(Duration::from_micros);
    }
    text.strip_suffix('s')?.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_and_leaves_the_rest() {
        let words = Words::parse(
            "Please tokens=20 delay=1.5s tool=add {\"a\": 1, \"b\": \"}\"} tool=now say=\"two words\" parallel x=y",
        )
        .unwrap();
        let expected = Words {
            tokens: Some(20),
            delay: Duration::from_millis(1500),
            tools: vec![("add".into(), "{\"a\": 1, \"b\": \"}\"}".into()), ("now".into(), "{}".into())],
            say: Some("two words".into()),
            parallel: true,
            ..Words::default()
        };
        assert_eq!(words, expected);
        assert_eq!(Words::parse("What is the weather?").unwrap(), Words::default());
    }

    #[test]
    fn refuses_wrong_values() {
        for text in
            ["tokens=many", "delay=3", "reason=bored", "error=oops", "tool=x {bad", "chunk=0", "say=plain"]
        {
            assert!(Words::parse(text).is_err(), "{text}");
        }
    }
}
