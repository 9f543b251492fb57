//! A ConverseStream, as model events.

use std::collections::VecDeque;

use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockStart, ConverseStreamOutput, ReasoningContentBlockDelta,
    StopReason as AwsStop, TokenUsage,
};
use base64::Engine as _;
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::model::ModelEvent;

/// The state of one answer.
#[derive(Default)]
pub(super) struct Decoder {
    /// The id of the tool call in each block that is one.
    calls: Vec<(i32, String)>,
    usage: Option<Usage>,
    /// Known from `messageStop` on.
    pub(super) stop: Option<StopReason>,
}

impl Decoder {
    /// Takes one event. `true` means that the answer is whole.
    pub(super) fn event(&mut self, event: ConverseStreamOutput, out: &mut VecDeque<ModelEvent>) -> bool {
        match event {
            ConverseStreamOutput::ContentBlockStart(event) => {
                if let Some(ContentBlockStart::ToolUse(call)) = event.start {
                    self.calls.push((event.content_block_index, call.tool_use_id.clone()));
                    out.push_back(ModelEvent::ToolStart { id: call.tool_use_id, name: call.name });
                }
            }
            ConverseStreamOutput::ContentBlockDelta(event) => {
                if let Some(delta) = event.delta {
                    self.delta(event.content_block_index, delta, out);
                }
            }
            ConverseStreamOutput::MessageStop(event) => self.stop = Some(stop_reason(&event.stop_reason)),
            ConverseStreamOutput::Metadata(event) => {
                self.usage = event.usage.as_ref().map(usage);
                // It is the last event, and comes after the stop.
                if self.stop.is_some() {
                    self.finish(out);
                    return true;
                }
            }
            // `messageStart`, `contentBlockStop`, and what future versions add.
            _ => {}
        }
        false
    }

    fn delta(&self, index: i32, delta: ContentBlockDelta, out: &mut VecDeque<ModelEvent>) {
        match delta {
            ContentBlockDelta::Text(text) if !text.is_empty() => out.push_back(ModelEvent::Text(text)),
            ContentBlockDelta::ToolUse(piece) if !piece.input.is_empty() => {
                if let Some((_, id)) = self.calls.iter().rfind(|(at, _)| *at == index) {
                    out.push_back(ModelEvent::ToolInput { id: id.clone(), delta: piece.input });
                }
            }
            ContentBlockDelta::ReasoningContent(piece) => match piece {
                ReasoningContentBlockDelta::Text(text) if !text.is_empty() => {
                    out.push_back(ModelEvent::Reasoning(text));
                }
                ReasoningContentBlockDelta::Signature(signature) if !signature.is_empty() => {
                    out.push_back(ModelEvent::ReasoningSignature(signature));
                }
                ReasoningContentBlockDelta::RedactedContent(blob) => {
                    let text = base64::engine::general_purpose::STANDARD.encode(blob);
                    out.push_back(ModelEvent::RedactedReasoning(text));
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Says the end. Nothing if there was no `messageStop`.
    pub(super) fn finish(&self, out: &mut VecDeque<ModelEvent>) {
        let Some(stop) = self.stop else { return };
        if let Some(usage) = self.usage {
            out.push_back(ModelEvent::Usage { usage, model: None });
        }
        out.push_back(ModelEvent::Stop(stop));
    }
}

fn usage(usage: &TokenUsage) -> Usage {
    let count = |value: i32| u64::try_from(value).unwrap_or_default();
    Usage {
        input_tokens: count(usage.input_tokens),
        output_tokens: count(usage.output_tokens),
        cache_read_tokens: count(usage.cache_read_input_tokens.unwrap_or_default()),
        cache_write_tokens: count(usage.cache_write_input_tokens.unwrap_or_default()),
    }
}

fn stop_reason(reason: &AwsStop) -> StopReason {
    match reason {
        AwsStop::ToolUse => StopReason::ToolUse,
        AwsStop::MaxTokens => StopReason::MaxTokens,
        AwsStop::StopSequence => StopReason::StopSequence,
        AwsStop::GuardrailIntervened => StopReason::GuardrailIntervened,
        AwsStop::ContentFiltered => StopReason::ContentFiltered,
        AwsStop::MalformedModelOutput => StopReason::MalformedModelOutput,
        AwsStop::MalformedToolUse => StopReason::MalformedToolUse,
        AwsStop::ModelContextWindowExceeded => StopReason::ModelContextWindowExceeded,
        // `end_turn` and what future versions add.
        _ => StopReason::EndTurn,
    }
}
