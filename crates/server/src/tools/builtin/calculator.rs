//! `calculator`: arithmetic with units, exact where it can be. The work is fend's, an arbitrary-precision calculator
//! that does no I/O; here are the limits around it.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use serde_json::{Value, json};

use super::text;

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 1000;
/// How long one expression may be worked on.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The longest answer, in characters.
const MAX_ANSWER: usize = 4000;

pub(crate) struct Calculator {
    spec: ToolSpec,
}

impl Calculator {
    pub(crate) fn new() -> Self {
        let schema = json!({
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "description": "For example: 17 * 23, (2.5e3 + 4)^2 / 7, sqrt(2), 15% of 80, 5 ft 3 in to cm.",
                }
            },
            "required": ["expression"],
            "additionalProperties": false,
        });
        let description = "Evaluates an arithmetic expression exactly: + - * / ^ mod, brackets, percent, factorials, \
            functions (sqrt, sin, cos, tan, ln, log10, exp, abs, floor, ceil, round), constants (pi, e) and unit \
            conversion with \"to\". Use it for every calculation.";
        Self { spec: ToolSpec::new("calculator", description, schema).read_only() }
    }
}

struct Deadline {
    at: Instant,
    cancel: tokio_util::sync::CancellationToken,
}

impl fend_core::Interrupt for Deadline {
    fn should_interrupt(&self) -> bool {
        self.cancel.is_cancelled() || Instant::now() >= self.at
    }
}

fn evaluate(expression: &str, limit: &Deadline) -> ToolOutput {
    let mut context = fend_core::Context::new();
    context.disable_rng();
    match fend_core::evaluate_with_interrupt(expression, &mut context, limit) {
        Ok(result) => {
            let answer = result.get_main_result();
            if answer.is_empty() {
                return ToolOutput::error("The expression has no value.");
            }
            if answer.chars().count() > MAX_ANSWER {
                return ToolOutput::error(format!(
                    "The result has more than {MAX_ANSWER} digits. Ask for an approximation, for example \"… to 10 s.f.\"."
                ));
            }
            ToolOutput::text(answer)
        }
        Err(_) if Instant::now() >= limit.at => {
            ToolOutput::error(format!("The calculation takes more than {} s.", TIME_LIMIT.as_secs()))
        }
        Err(error) => ToolOutput::error(format!("The expression cannot be evaluated: {error}")),
    }
}

#[async_trait]
impl Tool for Calculator {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput {
        let Some(expression) = text(&input, "expression").map(str::to_owned) else {
            return ToolOutput::error("expression must not be empty");
        };
        if expression.len() > MAX_LENGTH {
            return ToolOutput::error(format!("expression is longer than {MAX_LENGTH} characters"));
        }
        let limit = Deadline { at: Instant::now() + TIME_LIMIT, cancel: cx.cancel.clone() };
        // A large power keeps a thread busy for its whole time limit: not one that serves requests.
        match tokio::task::spawn_blocking(move || evaluate(&expression, &limit)).await {
            Ok(output) => output,
            Err(_) => ToolOutput::error("The expression cannot be evaluated."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loquat_agent::message::ToolContent;
    use proptest::prelude::*;

    fn run(expression: &str, time: Duration) -> ToolOutput {
        evaluate(expression, &Deadline { at: Instant::now() + time, cancel: Default::default() })
    }

    #[test]
    fn what_people_ask_is_answered() {
        for (expression, expected) in [
            ("17*23", "391"),
            ("0.1 + 0.2", "0.3"),
            ("2^100", "1267650600228229401496703205376"),
            ("15% of 80", "12"),
            ("sqrt(2)", "approx. 1.4142135624"),
            ("(3 + 4) * 12 / 7", "12"),
            ("5 km to m", "5000 m"),
            ("10 mod 3", "1"),
        ] {
            let output = run(expression, Duration::from_secs(20));
            assert_eq!(output.content, [ToolContent::Text(expected.to_owned())], "{expression}");
        }
    }

    #[test]
    fn nonsense_and_endless_work_are_errors() {
        for (expression, time) in [("1/0", 20_000), ("import os", 20_000), ("9^9^9^9", 50), ("(10^7)!", 50)] {
            let output = run(expression, Duration::from_millis(time));
            assert!(output.is_error, "{expression}: {output:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(expression in "[ -~]{0,40}") {
            run(&expression, Duration::from_millis(100));
        }
    }
}
