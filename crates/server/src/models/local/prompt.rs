//! From a request to the turns a chat template knows, and which turns fit.

use loquat_agent::message::{
    Content, Document, Message, Role, Source, ToolContent, ToolResult, ToolStatus, ToolUse,
};
use loquat_agent::model::ModelRequest;
use serde_json::Value;

use super::router::{CALCULATOR_TOOL, EXPRESSION, TIME_TOOL};
use super::template::Turn;

/// What a person said, what the tools found for it, and what the assistant answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exchange {
    /// What the person said.
    pub(super) question: String,
    /// What the tools found.
    pub(super) facts: Vec<String>,
    /// What the assistant answered; `None` where the answer is wanted now.
    pub(super) answer: Option<String>,
}

impl Exchange {
    /// As chat turns.
    pub(super) fn turns(&self) -> impl Iterator<Item = Turn> {
        let question = if self.facts.is_empty() {
            self.question.clone()
        } else {
            let facts = self.facts.join(" ");
            format!("Answer the question with this fact.\nFact: {facts}\nQuestion: {}", self.question)
        };
        let answer = self.answer.as_ref().map(|answer| Turn::new("assistant", answer.clone()));
        std::iter::once(Turn::new("user", question)).chain(answer)
    }

    /// Whether nothing but the question is there yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.facts.is_empty() && self.answer.is_none()
    }
}

/// The conversation of a request as exchanges, oldest first.
pub(super) fn exchanges(request: &ModelRequest) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    // A result has only the id of its call.
    let mut calls: Vec<&ToolUse> = Vec::new();
    for message in &request.messages {
        if message.role == Role::Assistant {
            calls.extend(message.tool_uses());
            let text = message.text();
            if !text.trim().is_empty() {
                let exchange = current(&mut exchanges);
                let answer = exchange.answer.get_or_insert_default();
                if !answer.is_empty() {
                    answer.push_str("\n\n");
                }
                answer.push_str(text.trim());
            }
            continue;
        }
        if message.starts_turn() {
            exchanges.push(Exchange { question: words(message), ..Exchange::default() });
            continue;
        }
        let exchange = current(&mut exchanges);
        for result in message.tool_results() {
            let call = calls.iter().find(|call| call.tool_use_id == result.tool_use_id);
            exchange.facts.push(fact(call.copied(), result));
        }
        // What was said between two calls is part of the answer to come, not an answer.
        exchange.answer = None;
    }
    exchanges
}

fn current(exchanges: &mut Vec<Exchange>) -> &mut Exchange {
    if exchanges.is_empty() {
        exchanges.push(Exchange::default());
    }
    let last = exchanges.len() - 1;
    &mut exchanges[last]
}

/// A tool's answer as a sentence.
fn fact(call: Option<&ToolUse>, result: &ToolResult) -> String {
    let found = result.content.iter().map(tool_text).collect::<Vec<_>>().join(" ");
    let name = call.map_or("", |call| call.name.as_str());
    let input = call.and_then(|call| call.input.get(EXPRESSION)).and_then(Value::as_str);
    match (result.status, name, input) {
        (ToolStatus::Error, ..) => format!("It could not be found out ({found})."),
        (ToolStatus::Success, CALCULATOR_TOOL, Some(expression)) => format!("{expression} = {found}."),
        (ToolStatus::Success, TIME_TOOL, _) => {
            result.content.iter().find_map(date_and_time).unwrap_or_else(|| format!("It is {found} now."))
        }
        (ToolStatus::Success, "", _) => format!("{found}."),
        (ToolStatus::Success, ..) => format!("{name} says: {found}."),
    }
}

/// The time tool's answer as people say it; the model does not read ISO dates.
fn date_and_time(content: &ToolContent) -> Option<String> {
    let ToolContent::Json(value) = content else { return None };
    let text = value.get("time")?.as_str()?;
    let time: jiff::civil::DateTime = text.get(..19)?.parse().ok()?;
    let zone = value.get("timezone").and_then(Value::as_str).unwrap_or("UTC");
    Some(format!("It is {} ({zone}) on {}.", time.strftime("%H:%M"), time.strftime("%A, %-d %B %Y")))
}

/// The text of a person's message; what this kind of model cannot read is named instead.
fn words(message: &Message) -> String {
    let blocks = message.content.iter().filter_map(|block| match block {
        Content::Text(text) => Some(text.clone()),
        Content::Document(document) => Some(document_text(document)),
        Content::Image(_) => Some("[a picture, which this model cannot see]".to_owned()),
        _ => None,
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

fn document_text(document: &Document) -> String {
    if let Source::Bytes(bytes) = &document.source
        && matches!(document.format.as_str(), "txt" | "md" | "csv" | "html")
        && let Ok(text) = std::str::from_utf8(&bytes.0)
    {
        return format!("{}:\n{text}", document.name);
    }
    format!("[the file {}, which this model cannot read]", document.name)
}

fn tool_text(content: &ToolContent) -> String {
    match content {
        ToolContent::Text(text) => text.trim().trim_end_matches('.').to_owned(),
        ToolContent::Json(value) => match value.as_object() {
            // {"result": 4} reads better as 4.
            Some(map) if map.len() == 1 => map.values().map(plain).collect(),
            _ => plain(value),
        },
        _ => "[something this model cannot read]".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The index of the first exchange that goes into the prompt, given their sizes in tokens and the room there is.
///
/// When the room is full, the oldest go until half of it is free: cuts are few, so that between two of them each
/// prompt begins with the one before, whose tokens need not be read again. The result only moves forward as a
/// conversation grows.
pub(super) fn first_kept(sizes: &[usize], room: usize) -> usize {
    let mut first = 0;
    let mut sum = 0;
    for (index, size) in sizes.iter().enumerate() {
        sum += size;
        if sum > room {
            while first < index && sum > room / 2 {
                sum -= sizes[first];
                first += 1;
            }
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(messages: Vec<Message>) -> ModelRequest {
        ModelRequest { messages, ..ModelRequest::default() }
    }

    fn call(id: &str, name: &str, input: serde_json::Value) -> Message {
        let call = ToolUse { tool_use_id: id.to_owned(), name: name.to_owned(), input };
        Message::new(Role::Assistant, vec![Content::ToolUse(call)])
    }

    fn result(id: &str, content: ToolContent, status: ToolStatus) -> Message {
        let result = ToolResult { tool_use_id: id.to_owned(), content: vec![content], status };
        Message::new(Role::User, vec![Content::ToolResult(result)])
    }

    #[test]
    fn tools_become_facts_of_the_question() {
        let exchanges = exchanges(&request(vec![
            Message::user("Hi"),
            Message::assistant("Hello"),
            Message::user("17*23?"),
            call("a", "calculator", json!({"expression": "17*23"})),
            result("a", ToolContent::Json(json!({"result": 391})), ToolStatus::Success),
        ]));
        assert_eq!(exchanges.len(), 2);
        let turns: Vec<Turn> = exchanges.iter().flat_map(Exchange::turns).collect();
        assert_eq!(
            turns,
            [
                Turn::new("user", "Hi"),
                Turn::new("assistant", "Hello"),
                Turn::new(
                    "user",
                    "Answer the question with this fact.\nFact: 17*23 = 391.\nQuestion: 17*23?"
                ),
            ]
        );
    }

    #[test]
    fn a_failed_tool_is_a_fact_too() {
        let exchanges = exchanges(&request(vec![
            Message::user("weather?"),
            call("a", "weather", json!({})),
            result("a", ToolContent::Text("no network".into()), ToolStatus::Error),
            Message::assistant("Sorry."),
        ]));
        assert_eq!(exchanges[0].facts, ["It could not be found out (no network)."]);
        assert_eq!(exchanges[0].answer.as_deref(), Some("Sorry."));
    }

    #[test]
    fn the_time_is_said_as_people_say_it() {
        let time =
            json!({"time": "2026-07-02T00:30:00+02:00", "weekday": "Thursday", "timezone": "Europe/Berlin"});
        let exchanges = exchanges(&request(vec![
            Message::user("What day is it?"),
            call("a", "current_time", json!({})),
            result("a", ToolContent::Json(time), ToolStatus::Success),
        ]));
        assert_eq!(exchanges[0].facts, ["It is 00:30 (Europe/Berlin) on Thursday, 2 July 2026."]);
    }

    #[test]
    fn files_are_read_where_they_are_text() {
        let document = |format: &str| {
            let source = Source::Bytes(loquat_agent::message::Bytes(b"a,b".to_vec()));
            Content::Document(Document { format: format.to_owned(), name: "list".to_owned(), source })
        };
        let message =
            Message::new(Role::User, vec![Content::Text("See".into()), document("csv"), document("pdf")]);
        let exchanges = exchanges(&request(vec![message]));
        assert_eq!(
            exchanges[0].question,
            "See\n\nlist:\na,b\n\n[the file list, which this model cannot read]"
        );
    }

    #[test]
    fn cuts_are_few_and_only_move_forward() {
        let sizes = [10; 40];
        let mut cuts = 0;
        let mut before = 0;
        for count in 1..=sizes.len() {
            let first = first_kept(&sizes[..count], 100);
            assert!(first >= before);
            assert!((count - first) * 10 <= 100);
            cuts += usize::from(first != before);
            before = first;
        }
        assert_eq!(cuts, 5);
    }

    #[test]
    fn the_last_exchange_is_kept_whatever_its_size() {
        assert_eq!(first_kept(&[10, 10, 500], 100), 2);
        assert_eq!(first_kept(&[500], 100), 0);
        assert_eq!(first_kept(&[], 100), 0);
    }
}
