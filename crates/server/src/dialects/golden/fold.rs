//! What a client of each dialect ends up with, by the rules of its protocol. A frame that breaks them fails the test.

use std::collections::HashSet;

use loquat_agent::message::{Content, ToolStatus};
use serde_json::Value;

use super::{Called, Final};
use crate::dialects::chat::output;

/// What stands between two texts, and whether it is due.
pub(super) type Seam<'a> = (&'a str, bool);

/// The frames of a stream: event name and data.
pub(super) fn frames(stream: &str) -> Vec<(String, String)> {
    assert!(stream.is_empty() || stream.ends_with("\n\n"), "whole frames only");
    assert!(!stream.contains('\r'), "LF only");
    let field = |frame: &str, name: &str| {
        let line = frame.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.strip_prefix(": ").unwrap_or(value).to_owned())
    };
    let frames = stream.split("\n\n").filter(|frame| !frame.is_empty() && !frame.starts_with(':'));
    frames
        .map(|frame| (field(frame, "event").unwrap_or_default(), field(frame, "data").expect("data")))
        .collect()
}

pub(super) fn json(data: &str) -> Value {
    serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
}
pub(super) fn word(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
pub(super) fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The answer's text of a stream of any dialect, from any place on, as its pieces say it.
pub(super) fn pieces(stream: &str) -> String {
    let piece = |(event, data): (String, String)| {
        let data = if data == "[DONE]" { Value::Null } else { json(&data) };
        let named = data["type"] == "text-delta" || event == "response.output_text.delta";
        let chat = Some(&data["text"]).filter(|_| event.is_empty());
        let places = [
            chat,
            Some(&data["delta"]).filter(|_| named),
            data.pointer("/choices/0/delta/content"),
            data.pointer("/event/contentBlockDelta/delta/text"),
            data.pointer("/artifactUpdate/artifact/parts/0/text"),
        ];
        places.into_iter().flatten().find_map(|place| place.as_str().map(str::to_owned))
    };
    frames(stream).into_iter().filter_map(piece).collect()
}

/// A stored block; `seam` stands where text that was said before a tool ran meets text that was said after it.
pub(super) fn block(block: &Content, seam: &mut Seam<'_>, told: &mut Final) {
    match block {
        Content::Text(text) => {
            if std::mem::take(&mut seam.1) && !told.text.is_empty() {
                told.text.push_str(seam.0);
            }
            told.text.push_str(text);
        }
        Content::Reasoning(reasoning) => {
            told.reasoning.push_str(reasoning.reasoning_text.as_ref().map_or("", |block| &block.text));
        }
        Content::ToolUse(call) => told.tools.push(Called {
            id: call.tool_use_id.clone(),
            name: call.name.clone(),
            input: call.input.clone(),
            ..Called::default()
        }),
        Content::ToolResult(result) => {
            let call = told.tools.iter_mut().find(|call| call.id == result.tool_use_id).unwrap();
            call.output = Some(as_text(&output(&result.content)));
            call.is_error = result.status == ToolStatus::Error;
            seam.1 = true;
        }
        _ => {}
    }
}

/// `chat` with every event.
pub(super) fn chat(stream: &str) -> Final {
    let mut told = Final::default();
    let mut kept = (0, 0);
    for (event, data) in frames(stream) {
        let data = json(&data);
        assert!(told.end.is_empty(), "nothing follows the end");
        match event.as_str() {
            "" => told.text += &word(&data["text"]),
            "reasoning" => told.reasoning += &word(&data["reasoning"]),
            "tool_call" => told.tools.push(Called {
                id: word(&data["id"]),
                name: word(&data["name"]),
                input: data["input"].clone(),
                ..Called::default()
            }),
            "tool_result" => {
                let call = told.tools.iter_mut().find(|call| data["id"] == *call.id).unwrap();
                call.output = Some(as_text(&data["output"]));
                call.is_error = data["is_error"] == true;
                kept = (told.text.len(), told.reasoning.len());
            }
            "usage" => kept = (told.text.len(), told.reasoning.len()),
            "reset" => {
                told.text.truncate(kept.0);
                told.reasoning.truncate(kept.1);
            }
            "done" => told.end = word(&data["outcome"]),
            "error" => told.end = word(&data["code"]),
            "metadata" | "tool_start" | "tool_input" | "tool_progress" | "approval" | "client_tool"
            | "custom" => {}
            other => panic!("unknown event {other}"),
        }
    }
    told
}

/// `chat` as the reference's clients read it: the text of all that is neither the beginning nor the end.
pub(super) fn chat_text(stream: &str) -> Final {
    let mut told = Final::default();
    for (event, data) in frames(stream) {
        let data = json(&data);
        assert!(told.end.is_empty(), "nothing follows the end");
        match event.as_str() {
            "" => told.text += &word(&data["text"]),
            "metadata" => assert_eq!(data, serde_json::json!({"session_id": "session-1"})),
            "done" => {
                assert_eq!(data, serde_json::json!({}));
                told.end = event;
            }
            "error" => told.end = word(&data["code"]),
            other => panic!("unknown event {other}"),
        }
    }
    told
}

/// AG-UI: the agent's state, as its last snapshot and the changes since.
pub(super) fn states(stream: &str) -> Vec<Value> {
    let mut told = Vec::new();
    for (_, data) in frames(stream) {
        let data = json(&data);
        match data["type"].as_str() {
            Some("STATE_SNAPSHOT") => told = vec![data],
            Some("STATE_DELTA") => told.push(data),
            _ => {}
        }
    }
    told
}

/// AG-UI: a list of messages. Every stream begins with `RUN_STARTED`; a second one goes on with the messages of the first.
pub(super) fn ag_ui(stream: &str) -> Final {
    let mut messages: Vec<Value> = Vec::new();
    let mut open: HashSet<String> = HashSet::new();
    let mut end = String::new();
    let mut begun = false;
    let find =
        |messages: &mut Vec<Value>, id: &Value| messages.iter().position(|message| message["id"] == *id);
    for (event, data) in frames(stream) {
        let data = json(&data);
        let kind = word(&data["type"]);
        // Who has the end and asks for more is told it once more, in a stream of its own.
        assert!(event.is_empty() && (end.is_empty() || kind == "RUN_STARTED"), "{data}");
        let id = &data["messageId"];
        assert!(begun || kind == "RUN_STARTED", "the first event is {kind}");
        let (family, what) = kind.rsplit_once('_').unwrap_or((&kind, ""));
        let key = match family {
            "TOOL_CALL" => format!("call {}", data["toolCallId"]),
            "STEP" => format!("step {}", data["stepName"]),
            family => format!("{family} {id}"),
        };
        match (family, what) {
            ("RUN", _) | (_, "RESULT" | "SNAPSHOT" | "DELTA") => {}
            (_, "START" | "STARTED") => assert!(open.insert(key), "opened twice: {data}"),
            (_, "END" | "FINISHED") => assert!(open.remove(&key), "not open: {data}"),
            (_, "CONTENT" | "ARGS") => assert!(open.contains(&key), "not open: {data}"),
            _ => {}
        }
        match kind.as_str() {
            "RUN_STARTED" => {
                begun = true;
                open.clear();
                end.clear();
                assert_eq!((&data["threadId"], &data["runId"]), (&"session-1".into(), &"run-1".into()));
            }
            "TEXT_MESSAGE_START" | "REASONING_MESSAGE_START" => {
                if find(&mut messages, id).is_none() {
                    messages.push(serde_json::json!({"id": id, "role": data["role"]}));
                }
            }
            "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT" => {
                let at = find(&mut messages, id).expect("a message");
                let text = messages[at]["content"].as_str().unwrap_or_default().to_owned();
                messages[at]["content"] = (text + &word(&data["delta"])).into();
            }
            "TOOL_CALL_START" => {
                let parent = &data["parentMessageId"];
                let at = find(&mut messages, parent).unwrap_or_else(|| {
                    messages.push(serde_json::json!({"id": parent, "role": "assistant"}));
                    messages.len() - 1
                });
                if messages[at]["toolCalls"].is_null() {
                    messages[at]["toolCalls"] = serde_json::json!([]);
                }
                let calls = messages[at]["toolCalls"].as_array_mut().unwrap();
                if !calls.iter().any(|call| call["id"] == data["toolCallId"]) {
                    calls.push(serde_json::json!({
                        "id": data["toolCallId"],
                        "function": {"name": data["toolCallName"], "arguments": ""}
                    }));
                }
            }
            "TOOL_CALL_ARGS" => {
                let calls =
                    messages.iter_mut().filter_map(|message| message["toolCalls"].as_array_mut()).flatten();
                let call = calls.into_iter().find(|call| call["id"] == data["toolCallId"]).expect("a call");
                let arguments = &mut call["function"]["arguments"];
                *arguments = (word(arguments) + &word(&data["delta"])).into();
            }
            "TOOL_CALL_RESULT" => {
                let mut message = serde_json::json!({"id": id, "role": "tool"});
                message["toolCallId"] = data["toolCallId"].clone();
                message["content"] = data["content"].clone();
                if data["metadata"]["is_error"] == true {
                    message["error"] = "yes".into();
                }
                messages.push(message);
            }
            "MESSAGES_SNAPSHOT" => {
                // As the official client does it: what is known keeps its place, and its reasoning if there is none here.
                let told = data["messages"].as_array().unwrap();
                let reasoned = told.iter().any(|message| message["role"] == "reasoning");
                let known = |message: &Value| told.iter().any(|new| new["id"] == message["id"]);
                messages.retain(|old| known(old) || (old["role"] == "reasoning" && !reasoned));
                for new in told {
                    match find(&mut messages, &new["id"]) {
                        Some(at) => messages[at] = new.clone(),
                        None => messages.push(new.clone()),
                    }
                }
            }
            "RUN_FINISHED" => {
                assert!(open.is_empty(), "still open: {open:?}");
                end = word(&data["metadata"]["outcome"]);
                let kind = &data["outcome"]["type"];
                let expected = match end.as_str() {
                    "cancelled" => "cancelled",
                    "interrupted" if data["outcome"]["pendingToolCallIds"].is_null() => "interrupt",
                    _ => "success",
                };
                assert_eq!(kind, expected);
            }
            "RUN_ERROR" => end = word(&data["code"]),
            "TEXT_MESSAGE_END"
            | "REASONING_MESSAGE_END"
            | "REASONING_START"
            | "REASONING_END"
            | "TOOL_CALL_END"
            | "STEP_STARTED"
            | "STEP_FINISHED"
            | "STATE_SNAPSHOT"
            | "STATE_DELTA"
            | "CUSTOM" => {}
            other => panic!("unknown event {other}"),
        }
    }
    let mut told = Final { end, ..Final::default() };
    for message in messages {
        match message["role"].as_str().unwrap() {
            "assistant" => {
                told.text += message["content"].as_str().unwrap_or_default();
                for call in message["toolCalls"].as_array().into_iter().flatten() {
                    let function = &call["function"];
                    let arguments = function["arguments"].as_str().unwrap();
                    told.tools.push(Called {
                        id: word(&call["id"]),
                        name: word(&function["name"]),
                        // Of a stream that is cut here.
                        input: serde_json::from_str(arguments).unwrap_or_default(),
                        ..Called::default()
                    });
                }
            }
            "reasoning" => told.reasoning += &word(&message["content"]),
            "tool" => {
                let call = told.tools.iter_mut().find(|call| message["toolCallId"] == *call.id).unwrap();
                call.output = Some(word(&message["content"]));
                call.is_error = !message["error"].is_null() || message["metadata"]["is_error"] == true;
            }
            _ => {}
        }
    }
    told
}

/// The AI SDK: the parts of one message.
pub(super) fn ai_sdk(stream: &str) -> Final {
    let mut parts: Vec<Value> = Vec::new();
    let mut open: HashSet<String> = HashSet::new();
    let mut told = Final::default();
    let mut over = false;
    for (event, data) in frames(stream) {
        assert!(event.is_empty() && !over, "{data}");
        if data == "[DONE]" {
            over = true;
            continue;
        }
        let data = json(&data);
        let kind = word(&data["type"]);
        let id = format!("{kind} {}", data["id"]);
        let call = parts
            .iter()
            .position(|part| part["toolCallId"].is_string() && part["toolCallId"] == data["toolCallId"]);
        match kind.as_str() {
            "text-start" | "reasoning-start" => {
                assert!(open.insert(word(&data["id"])), "{id}");
                parts.push(serde_json::json!({"type": kind.trim_end_matches("-start"), "id": data["id"], "text": ""}));
            }
            "text-delta" | "reasoning-delta" => {
                assert!(open.contains(data["id"].as_str().unwrap()), "{id}");
                let part = parts.iter_mut().rfind(|part| part["id"] == data["id"]).unwrap();
                part["text"] = (word(&part["text"]) + &word(&data["delta"])).into();
            }
            "text-end" | "reasoning-end" => assert!(open.remove(data["id"].as_str().unwrap()), "{id}"),
            "tool-input-start" => parts.push(data),
            "tool-input-available" => {
                let at = call.expect("a call that was begun");
                parts[at]["input"] = data["input"].clone();
                parts[at]["whole"] = true.into();
            }
            "tool-input-error" => {
                parts.remove(call.expect("a call that was begun"));
            }
            "tool-output-available" => parts[call.expect("a call")]["output"] = data["output"].clone(),
            "tool-output-error" => parts[call.expect("a call")]["error"] = data["errorText"].clone(),
            "start-step" => parts.push(data),
            "reset-step" => {
                let at = parts.iter().rposition(|part| part["type"] == "start-step").unwrap();
                parts.truncate(at + 1);
                open.clear();
            }
            "finish" => {
                assert!(open.is_empty(), "still open: {open:?}");
                let metadata = &data["messageMetadata"];
                let failed = metadata["error"]["code"].as_str().map(str::to_owned);
                told.end = failed.unwrap_or_else(|| word(&metadata["outcome"]));
            }
            "tool-input-delta" | "tool-approval-request" => assert!(call.is_some(), "{data}"),
            "start" | "finish-step" | "message-metadata" | "abort" | "error" | "file" => {}
            data if data.starts_with("data-") => {}
            other => panic!("unknown chunk {other}"),
        }
    }
    for part in parts {
        match part["type"].as_str().unwrap() {
            "text" => told.text += &word(&part["text"]),
            "reasoning" => told.reasoning += &word(&part["text"]),
            "tool-input-start" if part["whole"] == true => told.tools.push(Called {
                id: word(&part["toolCallId"]),
                name: word(&part["toolName"]),
                input: part["input"].clone(),
                output: part.get("error").or(part.get("output")).map(as_text),
                is_error: part.get("error").is_some(),
            }),
            _ => {}
        }
    }
    told
}
