//! AG-UI 1.0: what a client sends, and what of it is new.
//!
//! What is stored is the truth. Of the client's messages only those count that stand after all that is known; its answers
//! to open calls count where such a call is open.

use loquat_agent::message::{Message, ToolContent, ToolUse};
use loquat_agent::tool::ToolOutput;
use loquat_agent::{Decision, Verdict};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::messages::{MESSAGE_ID, result_id, texts};

/// Where the ids of messages are noted that were stored as one.
pub(crate) const MORE_IDS: &str = "message_ids";

/// The body of `POST /ag-ui`. What is not known is passed over, as the protocol asks.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunAgentInput {
    pub(crate) thread_id: String,
    pub(crate) run_id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) messages: Vec<Said>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) tools: Vec<Tool>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) context: Vec<Context>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) resume: Vec<Resume>,
}

/// A message of the client.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Said {
    pub(crate) id: String,
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) content: Value,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tool_calls: Vec<Value>,
    #[serde(default)]
    pub(super) tool_call_id: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

impl Said {
    /// The answer to a call that it is.
    pub(super) fn output(&self) -> ToolOutput {
        let content = vec![ToolContent::Text(text_of(&self.content))];
        match &self.error {
            Some(error) if content == [ToolContent::Text(String::new())] => ToolOutput::error(error),
            error => ToolOutput { content, is_error: error.is_some() },
        }
    }
}

/// A tool that runs in the client.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Tool {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) parameters: Option<Value>,
}

/// Something the application tells the agent.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Context {
    pub(crate) description: String,
    pub(crate) value: String,
}

/// An answer to an interrupt.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resume {
    interrupt_id: String,
    status: Status,
    #[serde(default)]
    payload: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Resolved,
    Cancelled,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Why a client's input cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has rewritten what was said.
    Rewritten(String),
    /// An answer is not one.
    Wrong(String),
}

/// What of the client's messages is new.
#[derive(Debug, Default)]
pub(crate) struct News<'a> {
    /// Messages of the user.
    pub(crate) messages: Vec<&'a Said>,
    /// Answers to open calls.
    pub(crate) decisions: Vec<Decision>,
    /// The calls that the client answered itself.
    pub(crate) answered: Vec<String>,
}

/// The ids that a client gave to its own answers to calls, by call.
fn named_results(messages: &[Said]) -> serde_json::Map<String, Value> {
    let answers = messages.iter().filter(|said| said.role == "tool");
    let named = answers.filter_map(|said| Some((said.tool_call_id.clone()?, said)));
    named
        .filter(|(call, said)| said.id != result_id(call))
        .map(|(call, said)| (call, said.id.as_str().into()))
        .collect()
}

impl RunAgentInput {
    /// What the application tells the agent: its system's messages and its context.
    pub(crate) fn instructions(&self) -> Option<String> {
        let system = self.messages.iter().filter(|said| matches!(said.role.as_str(), "system" | "developer"));
        let mut parts: Vec<String> = system.map(|said| text_of(&said.content)).collect();
        parts.extend(
            self.context.iter().map(|context| format!("{}:\n{}", context.description, context.value)),
        );
        parts.retain(|part| !part.trim().is_empty());
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }

    /// What the encoder of the run has to know: which answers the client has, and what it calls its own.
    pub(crate) fn options(&self, answered: &[String]) -> Value {
        let results = named_results(&self.messages);
        if answered.is_empty() && results.is_empty() {
            return Value::Null;
        }
        json!({"answered": answered, "results": results})
    }

    /// The user's messages that stand after everything that is known, and the answers to open calls. A past that the
    /// client has rewritten is refused if `strict`.
    pub(crate) fn news(
        &self,
        stored: &[Message],
        open: &[ToolUse],
        strict: bool,
    ) -> Result<News<'_>, Refusal> {
        let turns: Vec<Turn<'_>> = stored.iter().filter(|m| m.starts_turn()).map(Turn::of).collect();
        let (mut first_known, mut last_known, mut tail) = (None, None, 0);
        for (at, said) in self.messages.iter().enumerate() {
            match said.role.as_str() {
                "assistant" | "tool" => tail = at + 1,
                "user" => {
                    let Some(turn) = turns.iter().position(|turn| turn.ids.contains(&said.id.as_str()))
                    else {
                        continue;
                    };
                    if strict && turns[turn].ids.len() == 1 && turns[turn].text != text_of(&said.content) {
                        return Err(other_text(&said.id));
                    }
                    first_known.get_or_insert(at);
                    last_known = last_known.max(Some(turn));
                    tail = at + 1;
                }
                _ => {}
            }
        }
        let unknown = |at: &usize| {
            let said = &self.messages[*at];
            said.role == "user" && !turns.iter().any(|turn| turn.ids.contains(&said.id.as_str()))
        };
        let new: Vec<usize> = (tail..self.messages.len()).filter(unknown).collect();
        if strict {
            self.check_answers(stored)?;
            // What stands before all that is known may be older than what is kept here.
            if let Some(at) = first_known.and_then(|first| (first..tail).find(unknown)) {
                let id = &self.messages[at].id;
                return Err(Refusal::Rewritten(format!("the message {id} stands among older ones")));
            }
            let cut = last_known.is_some_and(|last| last + 1 < turns.len());
            if cut && !new.is_empty() {
                return Err(Refusal::Rewritten("later messages of this thread are missing".to_owned()));
            }
        }
        let mut news =
            News { messages: new.iter().map(|at| &self.messages[*at]).collect(), ..News::default() };
        self.answers(open, &mut news)?;
        Ok(news)
    }

    /// What the assistant said has to be what it said, or its beginning: a client that left early has no more. Messages
    /// that the assistant never wrote, as a page's greeting, are not read at all.
    fn check_answers(&self, stored: &[Message]) -> Result<(), Refusal> {
        let known = texts(stored);
        for said in self.messages.iter().filter(|said| said.role == "assistant") {
            let text = known.get(&said.id);
            if text.is_some_and(|text| !text.starts_with(&text_of(&said.content))) {
                return Err(other_text(&said.id));
            }
        }
        Ok(())
    }

    fn answers(&self, open: &[ToolUse], news: &mut News<'_>) -> Result<(), Refusal> {
        let is_open = |id: &str| open.iter().any(|call| call.tool_use_id == id);
        for answer in &self.resume {
            let Resume { interrupt_id: id, status, payload } = answer;
            if !is_open(id) {
                return Err(Refusal::Wrong(format!("resume: no interrupt {id} is open")));
            }
            let verdict = match (status, payload, payload.get("approved")) {
                (Status::Cancelled, ..) => Verdict::Refuse(None),
                (_, Value::Bool(true), _) | (_, _, Some(Value::Bool(true))) => Verdict::Approve,
                (_, Value::Bool(false), _) | (_, _, Some(Value::Bool(false))) => {
                    Verdict::Refuse(payload.get("reason").and_then(Value::as_str).map(str::to_owned))
                }
                _ => {
                    let what =
                        format!("resume: the payload of {id} has to be {{\"approved\": true or false}}");
                    return Err(Refusal::Wrong(what));
                }
            };
            news.decisions.push(Decision { id: id.clone(), verdict });
        }
        for said in self.messages.iter().filter(|said| said.role == "tool") {
            let Some(id) = said.tool_call_id.as_deref().filter(|id| is_open(id)) else { continue };
            if news.decisions.iter().any(|known| known.id == id) {
                continue;
            }
            news.decisions.push(Decision { id: id.to_owned(), verdict: Verdict::Answer(said.output()) });
            news.answered.push(id.to_owned());
        }
        Ok(())
    }
}

fn other_text(id: &str) -> Refusal {
    Refusal::Rewritten(format!("the message {id} has another text than it had"))
}

/// What is known of a user's message.
struct Turn<'a> {
    ids: Vec<&'a str>,
    text: String,
}

impl<'a> Turn<'a> {
    fn of(message: &'a Message) -> Self {
        let more = message.metadata.get(MORE_IDS).and_then(Value::as_array).into_iter().flatten();
        let one = message.metadata.get(MESSAGE_ID);
        let mut ids: Vec<&str> = more.filter_map(Value::as_str).collect();
        if ids.is_empty() {
            ids.extend(one.and_then(Value::as_str));
        }
        Self { ids, text: message.text() }
    }
}

/// The text of a message, whole or in parts.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use loquat_agent::message::Role;

    use super::*;

    fn stored() -> Vec<Message> {
        let noted = |text: &str, id: &str| {
            let mut message = Message::user(text);
            message.metadata.insert(MESSAGE_ID.into(), id.into());
            message
        };
        let call = ToolUse { tool_use_id: "c1".into(), name: "locate".into(), input: json!({}) };
        vec![
            noted("one", "u1"),
            Message::assistant("1"),
            noted("two", "u2"),
            Message::new(Role::Assistant, vec![loquat_agent::message::Content::ToolUse(call)]),
        ]
    }

    #[track_caller]
    fn check(messages: Value, expected: Result<&[&str], &str>) {
        let input: RunAgentInput = serde_json::from_value(
            json!({"threadId": "t", "runId": "r", "messages": messages, "resume": null}),
        )
        .unwrap();
        let stored = stored();
        let open = loquat_agent::open_calls(&stored);
        let news = input.news(&stored, &open, true);
        match (news, expected) {
            (Ok(news), Ok(expected)) => {
                let mut ids: Vec<&str> = news.messages.iter().map(|said| said.id.as_str()).collect();
                ids.extend(news.answered.iter().map(String::as_str));
                assert_eq!(ids, expected);
            }
            (Err(Refusal::Rewritten(what)), Err(expected)) => assert_eq!(what, expected),
            other => panic!("{other:?}"),
        }
        assert!(input.news(&stored, &open, false).is_ok());
    }

    #[test]
    fn only_what_is_new_is_taken() {
        let user = |id: &str, text: &str| json!({"id": id, "role": "user", "content": text});
        let said = |id: &str| json!({"id": id, "role": "assistant", "content": "1"});
        check(
            json!([user("u1", "one"), said("a"), user("u2", "two"), said("b"), user("u3", "three")]),
            Ok(&["u3"]),
        );
        // Alone, behind what the client never saw, and behind what is no longer kept here.
        check(json!([user("u3", "three")]), Ok(&["u3"]));
        check(json!([user("u1", "one"), user("u2", "two"), user("u3", "three")]), Ok(&["u3"]));
        check(
            json!([user("u0", "zero"), said("z"), user("u1", "one"), user("u2", "two"), user("u3", "3")]),
            Ok(&["u3"]),
        );
        // A greeting of the page is no message of the agent's.
        check(json!([said("hello"), user("u3", "three"), user("u4", "four")]), Ok(&["u3", "u4"]));
        let answer = json!({"id": "t", "role": "tool", "toolCallId": "c1", "content": "Rome"});
        check(json!([user("u1", "one"), user("u2", "two"), answer]), Ok(&["c1"]));
        // Answers to calls that are not open are none.
        let other = json!({"id": "t", "role": "tool", "toolCallId": "c9", "content": "Rome"});
        check(json!([user("u2", "two"), other]), Ok(&[]));
    }

    #[test]
    fn a_rewritten_past_is_noticed() {
        let user = |id: &str, text: &str| json!({"id": id, "role": "user", "content": text});
        check(
            json!([user("u1", "uno"), user("u3", "three")]),
            Err("the message u1 has another text than it had"),
        );
        let answer = |text: &str| json!([user("u1", "one"), {"id": "m1-1", "role": "assistant", "content": text}, user("u2", "two"), user("u3", "three")]);
        check(answer("2"), Err("the message m1-1 has another text than it had"));
        check(answer("1"), Ok(&["u3"]));
        check(answer(""), Ok(&["u3"]));
        let among = json!([user("u1", "one"), user("x", "x"), user("u2", "two"), user("u3", "three")]);
        check(among, Err("the message x stands among older ones"));
        check(
            json!([user("u1", "one"), user("u3", "three")]),
            Err("later messages of this thread are missing"),
        );
    }

    #[test]
    fn an_answer_to_an_interrupt_says_yes_or_no() {
        let stored = stored();
        let open = loquat_agent::open_calls(&stored);
        let verdict = |id: &str, status: &str, payload: Value| {
            let resume = json!([{"interruptId": id, "status": status, "payload": payload}]);
            let input: RunAgentInput =
                serde_json::from_value(json!({"threadId": "t", "runId": "r", "resume": resume})).unwrap();
            input.news(&stored, &open, true).map(|news| format!("{:?}", news.decisions[0].verdict))
        };
        assert_eq!(verdict("c1", "resolved", json!({"approved": true})).unwrap(), "Approve");
        let refused = verdict("c1", "resolved", json!({"approved": false, "reason": "no"})).unwrap();
        assert_eq!(refused, "Refuse(Some(\"no\"))");
        assert_eq!(verdict("c1", "cancelled", Value::Null).unwrap(), "Refuse(None)");
        assert!(verdict("c1", "resolved", json!({})).is_err());
        assert!(verdict("c9", "cancelled", Value::Null).is_err());
    }
}
