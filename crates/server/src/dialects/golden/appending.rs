//! What a client ends up with of the dialects that only ever add to an answer, and of answers that are sent whole.

use serde_json::Value;

use super::fold::{as_text, frames, json, word};
use super::{Called, Final};

/// Arguments as JSON in a text.
fn parsed(arguments: &Value) -> Value {
    // Of a stream that is cut here, they may be a part.
    serde_json::from_str(arguments.as_str().unwrap_or_default()).unwrap_or_default()
}

/// A call as [`crate::dialects::answer::ToolReport`] and its like tell it.
fn called(report: &Value) -> Called {
    Called {
        id: word(&report["id"]),
        name: word(&report["name"]),
        input: report["input"].clone(),
        output: report.get("output").map(as_text),
        is_error: report["is_error"] == true,
    }
}

/// Takes in a report of a call's start or result.
fn report(told: &mut Final, ours: &Value) {
    if ours["tool_call"].is_object() {
        told.tools.push(called(&ours["tool_call"]));
    }
    if ours["tool_result"].is_object() {
        let result = called(&ours["tool_result"]);
        let call = told.tools.iter_mut().find(|call| call.id == result.id).expect("a call");
        (call.output, call.is_error) = (result.output, result.is_error);
    }
}

/// The lists of calls that a whole answer may have.
fn reports(told: &mut Final, ours: &Value) {
    for list in ["tools", "approvals"] {
        told.tools.extend(ours[list].as_array().into_iter().flatten().map(called));
    }
}

fn function(call: &Value) -> Called {
    let function = &call["function"];
    Called {
        id: word(&call["id"]),
        name: word(&function["name"]),
        input: parsed(&function["arguments"]),
        ..Called::default()
    }
}

/// OpenAI's chunks.
pub(super) fn openai(stream: &str) -> Final {
    let mut told = Final::default();
    let mut over = false;
    for (event, data) in frames(stream) {
        assert!(event.is_empty() && !over, "nothing follows the end: {data}");
        if data == "[DONE]" {
            assert!(!told.end.is_empty(), "a finish reason comes before the end");
            over = true;
            continue;
        }
        let data = json(&data);
        if data["error"].is_object() {
            told.end = word(&data["error"]["code"]);
            over = true;
            continue;
        }
        assert_eq!(
            (&data["id"], &data["object"]),
            (&"chatcmpl-run-1".into(), &"chat.completion.chunk".into())
        );
        let choice = &data["choices"][0];
        let delta = &choice["delta"];
        told.text += delta["content"].as_str().unwrap_or_default();
        told.reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
        told.tools.extend(delta["tool_calls"].as_array().into_iter().flatten().map(function));
        report(&mut told, &data["loquat"]);
        if choice["finish_reason"].is_string() {
            told.end = word(&data["loquat"]["outcome"]);
        }
    }
    told
}

/// OpenAI's completion.
pub(super) fn openai_whole(answer: &Value) -> Final {
    let message = &answer["choices"][0]["message"];
    let mut told = Final {
        text: message["content"].as_str().unwrap_or_default().into(),
        reasoning: message["reasoning_content"].as_str().unwrap_or_default().into(),
        end: word(&answer["loquat"]["outcome"]),
        ..Final::default()
    };
    reports(&mut told, &answer["loquat"]);
    told.tools.extend(message["tool_calls"].as_array().into_iter().flatten().map(function));
    told
}

/// The events of OpenAI's responses: every item is told piece by piece, then whole, and the last event repeats them.
pub(super) fn responses(stream: &str) -> Final {
    let mut items: Vec<Value> = Vec::new();
    let mut pieces: Vec<String> = Vec::new();
    let mut last = None;
    let mut number = 0;
    for (event, data) in frames(stream) {
        let data = json(&data);
        assert!(last.is_none() && data["type"] == *event, "{data}");
        let next = data["sequence_number"].as_u64().unwrap();
        assert!(next > number, "{data}");
        number = next;
        let at = usize::try_from(data["output_index"].as_u64().unwrap_or_default()).unwrap();
        match event.as_str() {
            "response.output_item.added" => {
                assert_eq!(at, items.len());
                items.push(data["item"].clone());
                pieces.push(String::new());
            }
            "response.output_item.done" => {
                let text = &data["item"]["content"][0]["text"];
                assert!(text.is_null() || *text == *pieces[at], "{data}");
                items[at] = data["item"].clone();
            }
            "response.output_text.delta" | "response.reasoning_text.delta" => {
                pieces[at] += &word(&data["delta"]);
                items[at]["content"] = serde_json::json!([{"text": pieces[at]}]);
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                assert_eq!(data["response"]["output"].as_array(), Some(&items));
                last = Some(data["response"].clone());
            }
            "response.created" | "response.in_progress" => assert!(items.is_empty()),
            "response.content_part.added"
            | "response.content_part.done"
            | "response.output_text.done"
            | "response.reasoning_text.done"
            | "response.mcp_call.in_progress"
            | "response.mcp_call_arguments.delta"
            | "response.mcp_call_arguments.done"
            | "response.mcp_call.completed"
            | "response.mcp_call.failed"
            | "response.function_call_arguments.delta"
            | "response.function_call_arguments.done" => assert!(at < items.len()),
            other => panic!("unknown event {other}"),
        }
    }
    let mut response = last.unwrap_or_default();
    response["output"] = items.into();
    responses_whole(&response)
}

/// OpenAI's response.
pub(super) fn responses_whole(response: &Value) -> Final {
    let failed = response["error"]["type"].as_str();
    let end = failed.or(response["loquat"]["outcome"].as_str()).unwrap_or_default();
    let mut told = Final { end: end.into(), ..Final::default() };
    for item in response["output"].as_array().unwrap() {
        let text = item["content"][0]["text"].as_str().unwrap_or_default();
        match item["type"].as_str().unwrap() {
            "message" => told.text += text,
            "reasoning" => told.reasoning += text,
            "mcp_call" => {
                let error = item["error"]["content"][0].get("text");
                let output = error.or(Some(&item["output"]).filter(|output| !output.is_null()));
                told.tools.push(Called {
                    id: word(&item["id"]).replacen("mcp_", "", 1),
                    name: word(&item["name"]),
                    input: parsed(&item["arguments"]),
                    output: output.map(as_text),
                    is_error: error.is_some(),
                });
            }
            "function_call" => told.tools.push(Called {
                id: word(&item["call_id"]),
                name: word(&item["name"]),
                input: parsed(&item["arguments"]),
                ..Called::default()
            }),
            "mcp_approval_request" => {}
            other => panic!("unknown item {other}"),
        }
    }
    told
}

/// Converse's events, as AgentCore passes them on.
pub(super) fn agentcore(stream: &str) -> Final {
    let mut told = Final::default();
    // The index of the open block, and the call that it is, with the text of its input so far.
    let mut open: Option<(u64, Option<Called>)> = None;
    let mut speaking = false;
    let mut step: Vec<Called> = Vec::new();
    for (event, data) in frames(stream) {
        let data = json(&data);
        assert!(event.is_empty() && told.end.is_empty(), "nothing follows the end: {data}");
        let converse = &data["event"];
        if converse["messageStart"].is_object() {
            assert!(!std::mem::replace(&mut speaking, true));
        } else if let Some(start) = converse.get("contentBlockStart") {
            let call = &start["start"]["toolUse"];
            let (id, name) = (word(&call["toolUseId"]), word(&call["name"]));
            let call = Called { id, name, input: "".into(), ..Called::default() };
            assert!(open.replace((start["contentBlockIndex"].as_u64().unwrap(), Some(call))).is_none());
        } else if let Some(piece) = converse.get("contentBlockDelta") {
            let index = piece["contentBlockIndex"].as_u64().unwrap();
            // Blocks of text begin with their first piece.
            let (at, call) = open.get_or_insert((index, None));
            assert!(speaking && *at == index, "{piece}");
            let delta = &piece["delta"];
            told.text += delta["text"].as_str().unwrap_or_default();
            told.reasoning += delta["reasoningContent"]["text"].as_str().unwrap_or_default();
            if let Some(input) = delta["toolUse"]["input"].as_str() {
                let call = call.as_mut().expect("a call that was begun");
                call.input = (word(&call.input) + input).into();
            }
        } else if let Some(stop) = converse.get("contentBlockStop") {
            let (at, call) = open.take().expect("an open block");
            assert_eq!(stop["contentBlockIndex"], at);
            step.extend(call.map(|call| Called { input: parsed(&call.input), ..call }));
        } else if converse["messageStop"].is_object() {
            assert!(open.is_none() && std::mem::take(&mut speaking) || told.text.is_empty());
            // What was begun and never ended is no call.
            told.tools.append(&mut step);
        } else if let Some(result) = data["message"]["content"][0].get("toolResult") {
            let call = told.tools.iter_mut().find(|call| result["toolUseId"] == *call.id).unwrap();
            let content = &result["content"][0];
            call.output =
                Some(content["text"].as_str().map_or_else(|| content["json"].to_string(), str::to_owned));
            call.is_error = result["status"] == "error";
        } else if data["result"].is_object() {
            assert!(open.is_none());
            told.end = word(&data["result"]["stop_reason"]);
        } else if data["error_type"].is_string() {
            told.end = word(&data["error_type"]);
        } else {
            let known = ["run", "tool_stream_event", "approval", "custom"];
            let known = known.iter().any(|kind| data[*kind].is_object());
            assert!(known || converse["metadata"].is_object(), "unknown: {data}");
        }
    }
    told
}

/// AgentCore's answer. Reasoning, and tools of the client, are not in it.
pub(super) fn agentcore_whole(answer: &Value) -> Final {
    let mut told = Final {
        text: word(&answer["result"]["content"][0]["text"]),
        end: word(&answer["stop_reason"]),
        ..Final::default()
    };
    reports(&mut told, answer);
    told
}

/// A2A's updates of a task.
pub(super) fn a2a(stream: &str) -> Final {
    let mut told = Final::default();
    let mut begun = false;
    for (event, data) in frames(stream) {
        let data = json(&data);
        assert!(event.is_empty() && told.end.is_empty(), "nothing follows the end: {data}");
        if let Some(update) = data.get("artifactUpdate") {
            assert_eq!(update["append"], std::mem::replace(&mut begun, true));
            told.text += &word(&update["artifact"]["parts"][0]["text"]);
        } else if let Some(update) = data.get("statusUpdate") {
            let ours = &update["metadata"]["loquat"];
            report(&mut told, ours);
            told.end = a2a_end(&update["status"], ours);
        } else {
            assert_eq!(data["task"]["status"]["state"], "TASK_STATE_WORKING");
        }
    }
    told
}

fn a2a_end(status: &Value, ours: &Value) -> String {
    let end = ours["error"]["code"].as_str().or(ours["outcome"].as_str()).unwrap_or_default();
    let state = match end {
        "" => "WORKING",
        "cancelled" => "CANCELED",
        "refusal" | "guardrail" => "REJECTED",
        "interrupted" => "INPUT_REQUIRED",
        _ if ours["error"].is_object() => "FAILED",
        _ => "COMPLETED",
    };
    assert_eq!(status["state"], format!("TASK_STATE_{state}"), "{ours}");
    end.into()
}

/// A2A's task.
pub(super) fn a2a_whole(task: &Value) -> Final {
    let ours = &task["metadata"]["loquat"];
    let mut told = Final {
        text: task["artifacts"][0]["parts"][0]["text"].as_str().unwrap_or_default().into(),
        end: a2a_end(&task["status"], ours),
        ..Final::default()
    };
    reports(&mut told, ours);
    told
}

/// MCP: the answer to the call, after notes of progress.
pub(super) fn mcp(stream: &str) -> Final {
    let mut told = Final::default();
    let mut progress = 0;
    for (event, data) in frames(stream) {
        let data = json(&data);
        assert!(event == "message" && data["jsonrpc"] == "2.0" && told.end.is_empty(), "{data}");
        if data["method"] == "notifications/progress" {
            let next = data["params"]["progress"].as_u64().unwrap();
            assert!(next > progress && data["params"]["progressToken"] == "t", "{data}");
            progress = next;
        } else {
            assert_eq!(data["id"], 1);
            told = mcp_whole(&data["result"]);
        }
    }
    told
}

/// MCP's result.
pub(super) fn mcp_whole(result: &Value) -> Final {
    let ours = &result["structuredContent"];
    let failed = ours["error"]["code"].as_str();
    assert_eq!(result["isError"], failed.is_some());
    let words = result["content"].as_array().unwrap().iter().map(|part| word(&part["text"]));
    assert!(ours["answer"] == "" || words.clone().any(|part| ours["answer"] == *part), "{result}");
    Final {
        text: word(&ours["answer"]),
        end: failed.map_or_else(|| word(&ours["outcome"]), str::to_owned),
        ..Final::default()
    }
}
