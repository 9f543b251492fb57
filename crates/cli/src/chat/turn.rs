//! One turn in the terminal: a message, the answer as it comes, Ctrl-C, questions.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use futures_util::StreamExt as _;
use loquat_server::models::sse::SseParser;
use reqwest::Response;
use serde_json::Value;

use super::client::{Client, new_id};

/// How a turn ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an answer.
    Well,
    /// By Ctrl-C.
    Stopped,
}

/// What is shown.
pub(super) struct Screen {
    /// Whether tools and questions are shown beside the text.
    everything: bool,
    colour: bool,
    /// Whether the last thing written ended a line.
    at_line_start: bool,
}

impl Screen {
    /// For a person.
    pub(super) fn terminal() -> Self {
        Self { everything: true, colour: std::io::stdout().is_terminal(), at_line_start: true }
    }

    /// The answer's text and nothing else.
    pub(super) fn plain() -> Self {
        Self { everything: false, colour: false, at_line_start: true }
    }

    #[allow(clippy::print_stdout)]
    fn text(&mut self, text: &str) {
        print!("{text}");
        // Word by word: a terminal would wait for the end of the line.
        let _ = std::io::stdout().flush();
        self.at_line_start = text.ends_with('\n');
    }

    #[allow(clippy::print_stdout)]
    fn note(&mut self, note: &str) {
        if !self.everything {
            return;
        }
        if !self.at_line_start {
            println!();
        }
        // Control characters of a tool's answer must not reach the terminal.
        let note: String = note.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        let (dim, plain) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        println!("{dim}{note}{plain}");
        self.at_line_start = true;
    }

    fn end(&mut self) {
        if !self.at_line_start {
            self.text("\n");
        }
    }
}

/// Who decides on tool calls that need consent.
pub(super) struct Decider<'a>(Option<&'a mut rustyline::DefaultEditor>);

impl<'a> Decider<'a> {
    /// The person at the terminal.
    pub(super) fn ask(editor: &'a mut rustyline::DefaultEditor) -> Self {
        Self(Some(editor))
    }

    /// Nobody is there: no.
    pub(super) fn refuse() -> Self {
        Self(None)
    }

    fn decide(&mut self, name: &str, input: &Value) -> bool {
        let Some(editor) = self.0.as_mut() else { return false };
        let answer = editor.readline(&format!("Run {name} with {input}? [y/N] "));
        answer.is_ok_and(|answer| matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

/// How often a broken connection is taken up again.
const RECONNECTS: u32 = 5;

/// Sends a message and shows the answer.
pub(super) async fn take(
    client: &Client,
    session: &str,
    message: &str,
    screen: &mut Screen,
    decider: &mut Decider<'_>,
) -> anyhow::Result<Ended> {
    let mut run = new_id();
    let mut response = client.chat(session, &run, message).await?;
    loop {
        let mut turn = Turn { client, run: &run, stopped: false, questions: Vec::new() };
        turn.follow(response, screen).await?;
        screen.end();
        let Turn { stopped, questions, .. } = turn;
        if stopped {
            return Ok(Ended::Stopped);
        }
        if questions.is_empty() {
            return Ok(Ended::Well);
        }
        let decisions: Vec<(String, bool)> =
            questions.into_iter().map(|(id, name, input)| (id, decider.decide(&name, &input))).collect();
        let next = new_id();
        response = client.decide(&run, &next, &decisions).await?;
        run = next;
    }
}

struct Turn<'a> {
    client: &'a Client,
    run: &'a str,
    stopped: bool,
    questions: Vec<(String, String, Value)>,
}

impl Turn<'_> {
    /// Shows a run to its end, over broken connections.
    async fn follow(&mut self, mut response: Response, screen: &mut Screen) -> anyhow::Result<()> {
        let mut cursor = String::new();
        let mut tries = 0;
        loop {
            if self.read(response, &mut cursor, screen).await? {
                return Ok(());
            }
            // The stream ended without its end: the run goes on without us, and we take it up again.
            response = loop {
                tries += 1;
                if tries > RECONNECTS {
                    bail!("The connection to the agent broke. The answer goes on there: /open {}", self.run);
                }
                tokio::time::sleep(Duration::from_millis(200 << tries)).await;
                if let Ok(response) = self.client.events(self.run, &cursor).await {
                    break response;
                }
            };
        }
    }

    /// Shows what comes; says whether it was the end.
    async fn read(
        &mut self,
        response: Response,
        cursor: &mut String,
        screen: &mut Screen,
    ) -> anyhow::Result<bool> {
        let mut parser = SseParser::default();
        let mut bytes = response.bytes_stream();
        loop {
            let chunk = tokio::select! {
                chunk = bytes.next() => chunk,
                _ = tokio::signal::ctrl_c(), if !self.stopped => {
                    self.stopped = true;
                    self.client.stop(self.run).await?;
                    continue;
                }
            };
            let Some(Ok(chunk)) = chunk else { return Ok(false) };
            parser.feed(&chunk);
            loop {
                let (name, data) = match parser.next_event() {
                    Ok(Some(event)) => (event.name.into_owned(), event.data.into_owned()),
                    Ok(None) => break,
                    Err(_) => bail!("The agent sent something that is no event stream."),
                };
                *cursor = parser.last_id().into_owned();
                let data: Value = serde_json::from_str(&data).unwrap_or_default();
                if self.show(&name, &data, screen)? {
                    return Ok(true);
                }
            }
        }
    }

    fn show(&mut self, name: &str, data: &Value, screen: &mut Screen) -> anyhow::Result<bool> {
        let text = |key: &str| data[key].as_str().unwrap_or_default();
        match name {
            "" => screen.text(text("text")),
            "tool_call" => screen.note(&format!("[{} {}]", text("name"), data["input"])),
            "tool_progress" => screen.note(&format!("[… {}]", text("message"))),
            "tool_result" => {
                let output = match &data["output"] {
                    Value::String(output) => output.clone(),
                    other => other.to_string(),
                };
                let sign = if data["is_error"] == true { "failed: " } else { "" };
                screen.note(&format!("[→ {sign}{output}]"));
            }
            "approval" => {
                self.questions.push((text("id").to_owned(), text("name").to_owned(), data["input"].clone()));
            }
            "reset" => screen.note("[the answer broke off and is written again]"),
            "error" => bail!("{}", text("error")),
            "done" => {
                match text("outcome") {
                    "complete" | "cancelled" | "interrupted" => {}
                    outcome => screen.note(&format!("[ended: {outcome}]")),
                }
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }
}
