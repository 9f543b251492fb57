//! From words and a conversation to the steps of one answer, the same for every provider.

use std::time::Duration;

use super::words::Words;

/// One thing the model says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Reasoning(String),
    /// Ends the reasoning block.
    Signature(String),
    Redacted,
    Text(String),
    ToolStart {
        id: String,
        name: String,
    },
    ToolInput(String),
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// By Bedrock's names.
    pub(super) reason: &'static str,
    pub(super) input_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) output_tokens: u64,
}

/// What the frames of a stream are, for pacing and for choosing where things go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something the model says.
    Piece,
    /// A beginning or an end of a block.
    Mark,
    /// What `nostop` leaves out.
    Terminal,
}

/// One frame of a stream, encoded.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

const LOREM: &[&str] = &[
    "a",
    "loquat",
    "is",
    "an",
    "evergreen",
    "tree",
    "with",
    "small",
    "orange",
    "fruit",
    "that",
    "ripens",
    "early",
    "in",
    "spring",
    "and",
];

/// The signature the mock gives reasoning, and wants back with it.
pub(super) fn signature(reasoning: &str) -> String {
    let hash = reasoning.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("mock-{hash:016x}")
}

/// Plans the answer to the `step`-th model call of a turn (from 0). `serial` makes ids of tool calls unique.
pub(super) fn plan(words: &Words, step: usize, serial: u64, input_tokens: u64) -> Plan {
    let mut steps = Vec::new();
    if words.redacted {
        steps.push(Step::Redacted);
    }
    if words.reasoning > 0 {
        let pieces = lorem(words.reasoning);
        let whole = pieces.concat();
        steps.extend(pieces.into_iter().map(Step::Reasoning));
        steps.push(Step::Signature(signature(&whole)));
    }
    let calls = if words.parallel {
        if step == 0 { words.tools.as_slice() } else { &[] }
    } else {
        words.tools.get(step..=step).unwrap_or_default()
    };
    match (&words.say, words.tokens) {
        (Some(say), _) => steps.extend(say.split_inclusive(' ').map(|piece| Step::Text(piece.to_owned()))),
        (None, Some(tokens)) => steps.extend(lorem(tokens).into_iter().map(Step::Text)),
        (None, None) if calls.is_empty() => {
            steps.extend(
                "Hello from the mock model.".split_inclusive(' ').map(|piece| Step::Text(piece.to_owned())),
            );
        }
        (None, None) => {}
    }
    for (at, (name, input)) in calls.iter().enumerate() {
        steps.push(Step::ToolStart { id: format!("call_{serial}_{at}"), name: name.clone() });
        let pieces: Vec<char> = input.chars().collect();
        // An empty object is sent as no piece at all, as the providers do.
        if input != "{}" {
            steps.extend(pieces.chunks(8).map(|piece| Step::ToolInput(piece.iter().collect())));
        }
    }
    let output_tokens = steps.iter().filter(|step| !matches!(step, Step::ToolStart { .. })).count();
    let cached_tokens = words.cached.min(input_tokens);
    Plan {
        steps,
        reason: words.reason.unwrap_or(if calls.is_empty() { "end_turn" } else { "tool_use" }),
        input_tokens: input_tokens - cached_tokens,
        cached_tokens,
        output_tokens: output_tokens as u64,
    }
}

fn lorem(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| {
            let word = LOREM[at % LOREM.len()];
            if at == 0 { word.to_owned() } else { format!(" {word}") }
        })
        .collect()
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As HTTP wants it.
    Clean,
    /// The connection breaks.
    Cut,
    /// Silence until the client leaves.
    Stall,
}

/// A stream, ready to be written: HTTP chunks in one buffer, and where each write ends.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) bytes: Vec<u8>,
    /// The end of each write, and whether the delay comes before it.
    pub(super) writes: Vec<(usize, bool)>,
    pub(super) delay: Duration,
    pub(super) first: Duration,
    /// Each piece is a write of its own even without a pause.
    pub(super) split: bool,
    pub(super) ending: Ending,
}

/// Puts frames on the wire, with what the words want to go wrong. `fault` is the provider's frame for the error.
pub(super) fn wire(mut frames: Vec<Frame>, fault: Option<Vec<u8>>, words: &Words) -> Wire {
    let mut ending = Ending::Clean;
    if words.nostop {
        frames.retain(|frame| frame.kind != Kind::Terminal);
    }
    let place = match (words.at, words.after) {
        (Some(at), _) => Some(at.min(frames.len())),
        (None, Some(after)) => {
            let pieces = frames.iter().enumerate().filter(|(_, frame)| frame.kind == Kind::Piece);
            Some(match after.checked_sub(1) {
                Some(last) => pieces.map(|(at, _)| at + 1).nth(last).unwrap_or(frames.len()),
                None => pieces.map(|(at, _)| at).next().unwrap_or(frames.len()),
            })
        }
        (None, None) if words.stall && words.cut.is_none() => {
            Some(frames.iter().position(|frame| frame.kind == Kind::Terminal).unwrap_or(frames.len()))
        }
        (None, None) => None,
    };
    if let Some(place) = place.filter(|_| words.stall || fault.is_some()) {
        frames.truncate(place);
        frames.extend(fault.map(|bytes| Frame { kind: Kind::Mark, bytes }));
    }
    if words.stall {
        ending = Ending::Stall;
    }
    if let Some(cut) = words.cut {
        let mut left = cut;
        for frame in &mut frames {
            frame.bytes.truncate(left);
            left -= frame.bytes.len();
        }
        if ending == Ending::Clean {
            ending = Ending::Cut;
        }
    }
    if let Some(size) = words.chunk {
        let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| frame.bytes).collect();
        frames = bytes.chunks(size).map(|bytes| Frame { kind: Kind::Piece, bytes: bytes.to_vec() }).collect();
    }
    let mut wire = Wire {
        bytes: Vec::new(),
        writes: Vec::with_capacity(frames.len()),
        delay: words.delay,
        first: words.first,
        split: words.chunk.is_some(),
        ending,
    };
    for frame in frames.iter().filter(|frame| !frame.bytes.is_empty()) {
        wire.bytes.extend_from_slice(format!("{:x}\r\n", frame.bytes.len()).as_bytes());
        wire.bytes.extend_from_slice(&frame.bytes);
        wire.bytes.extend_from_slice(b"\r\n");
        wire.writes.push((wire.bytes.len(), frame.kind == Kind::Piece));
    }
    if ending == Ending::Clean {
        wire.bytes.extend_from_slice(b"0\r\n\r\n");
        wire.writes.push((wire.bytes.len(), false));
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_one_tool_a_call_and_then_text() {
        let words = Words::parse("tool=a {\"x\":1} tool=b tokens=2").unwrap();
        let first = plan(&words, 0, 7, 10);
        assert_eq!(first.reason, "tool_use");
        assert!(first.steps.contains(&Step::ToolStart { id: "call_7_0".into(), name: "a".into() }));
        assert!(
            plan(&words, 1, 8, 10)
                .steps
                .contains(&Step::ToolStart { id: "call_8_0".into(), name: "b".into() })
        );
        let last = plan(&words, 2, 9, 10);
        assert_eq!((last.reason, last.steps.len()), ("end_turn", 2));
    }

    #[test]
    fn cuts_count_bytes_of_the_body() {
        let frame = |kind, text: &str| Frame { kind, bytes: text.into() };
        let frames = || vec![frame(Kind::Mark, "ab"), frame(Kind::Piece, "cde"), frame(Kind::Terminal, "f")];
        let check = |text: &str, fault: Option<&str>, expected: &str, ending: Ending| {
            let wire = wire(frames(), fault.map(Into::into), &Words::parse(text).unwrap());
            assert_eq!(
                (String::from_utf8(wire.bytes).unwrap().as_str(), wire.ending),
                (expected, ending),
                "{text}"
            );
        };
        check("", None, "2\r\nab\r\n3\r\ncde\r\n1\r\nf\r\n0\r\n\r\n", Ending::Clean);
        check("cut=3", None, "2\r\nab\r\n1\r\nc\r\n", Ending::Cut);
        check("cut=0", None, "", Ending::Cut);
        check("nostop", None, "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", Ending::Clean);
        check("stall", None, "2\r\nab\r\n3\r\ncde\r\n", Ending::Stall);
        check("stall after=0", None, "2\r\nab\r\n", Ending::Stall);
        check("after=1", Some("E"), "2\r\nab\r\n3\r\ncde\r\n1\r\nE\r\n0\r\n\r\n", Ending::Clean);
        check("at=0", Some("E"), "1\r\nE\r\n0\r\n\r\n", Ending::Clean);
        check("chunk=4", None, "4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n", Ending::Clean);
    }
}
