//! Which tool a question needs: the built-in model cannot ask for one by itself.
//!
//! It is shown a dozen questions with the right choice, then the question at hand, and may only answer with one of
//! three words. For a calculation that is not written out in the question it then writes the expression, from the
//! question's numbers and operators and nothing else. `bench/tool_choice` measures how often it is right.

use loquat_agent::tool::ToolSpec;

use super::arithmetic::{self, Grammar};
use super::contexts::Contexts;
use super::vocabulary::Vocabulary;

/// The built-in tool that tells the time.
pub(super) const TIME_TOOL: &str = "current_time";
/// The built-in tool that computes, and the name of its input.
pub(super) const CALCULATOR_TOOL: &str = "calculator";
pub(super) const EXPRESSION: &str = "expression";

/// The questions it is shown. Different from those it is measured with.
const EXAMPLES: [(&str, &str); 12] = [
    ("What's the time?", "clock"),
    ("What is 12 times 7?", "math 12*7"),
    ("Who wrote Romeo and Juliet?", "talk"),
    ("What day is today?", "clock"),
    ("Tell me a story about a dragon.", "talk"),
    ("Take 7 away from 30.", "math 30-7"),
    ("Good evening, how are you?", "talk"),
    ("What's the date today?", "clock"),
    ("How much is 20% of 150?", "math 20%*150"),
    ("How do I bake bread?", "talk"),
    ("A book costs 9 dollars. What do 4 books cost?", "math 4*9"),
    ("I have 3 cats and a dog.", "talk"),
];

/// A question about nothing: what is chosen for it is the model's habit, which is taken off.
const NOTHING: &str = "N/A";
/// Longer messages are not questions for these tools, and would be read twice.
const LONGEST: usize = 300;
/// Most tokens of an expression.
const LONGEST_EXPRESSION: usize = 40;

/// The three words, in the order of [`Router::habit`].
const WORDS: [&str; 3] = [" talk", " clock", " math"];

/// What to do about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Answer it.
    Talk,
    /// Look at the clock.
    Time,
    /// Compute.
    Calculate(String),
}

/// Decides about tools.
pub(super) struct Router {
    /// The examples.
    shown: Vec<u32>,
    /// The first token of each of [`WORDS`].
    words: [u32; 3],
    /// What stands before an expression.
    compute: Vec<u32>,
    /// The scores of the words for [`NOTHING`], once known.
    habit: Option<[f32; 3]>,
    grammar: Grammar,
}

impl Router {
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self, String> {
        let mut text = "Choose talk, clock or math.\n".to_owned();
        for (question, choice) in EXAMPLES {
            text.push_str(&format!("\nQ: {question}\nA: {choice}\n"));
        }
        let mut words = [0; 3];
        for (word, id) in WORDS.iter().zip(&mut words) {
            *id = vocabulary.encode(word)?.first().copied().unwrap_or_default();
        }
        let mut compute = vocabulary.encode_plain(" math 1")?;
        compute.pop();
        Ok(Self {
            compute,
            shown: vocabulary.encode(&text)?,
            words,
            habit: None,
            grammar: Grammar::new(vocabulary),
        })
    }

    /// What to do about a question with the tools there are. `check` is asked between two steps whether to go on.
    pub(super) fn choose<E: From<candle_core::Error>>(
        &mut self,
        question: &str,
        tools: &[ToolSpec],
        vocabulary: &Vocabulary,
        contexts: &mut Contexts,
        check: &dyn Fn() -> Result<(), E>,
    ) -> Result<Choice, E> {
        let offered = |name: &str| tools.iter().any(|tool| tool.name == name);
        let numbers = arithmetic::numbers(question);
        // Without a number there is nothing to compute.
        let possible = [true, offered(TIME_TOOL), offered(CALCULATOR_TOOL) && !numbers.is_empty()];
        let question = question.trim();
        if possible == [true, false, false] || question.is_empty() || question.len() > LONGEST {
            return Ok(Choice::Talk);
        }
        if self.habit.is_none() {
            let ids = self.ask(NOTHING, vocabulary);
            let state = contexts.read_after(&self.shown, &ids, check)?;
            self.habit = Some(self.scores(&state.all_scores()?));
        }
        let ids = self.ask(question, vocabulary);
        let mut state = contexts.read_after(&self.shown, &ids, check)?;
        let scores = self.scores(&state.all_scores()?);
        let habit = self.habit.unwrap_or_default();
        let best = (0..WORDS.len())
            .filter(|index| possible[*index])
            .max_by(|a, b| (scores[*a] - habit[*a]).total_cmp(&(scores[*b] - habit[*b])));
        match best {
            Some(1) => Ok(Choice::Time),
            Some(2) => {
                if let Some(expression) = arithmetic::literal(question) {
                    return Ok(Choice::Calculate(expression));
                }
                state.read(&self.compute)?;
                let mut expression = String::new();
                for _ in 0..LONGEST_EXPRESSION {
                    check()?;
                    match self.grammar.next(&expression, &numbers, &state.all_scores()?) {
                        Some((id, piece)) => {
                            expression.push_str(piece);
                            state.read(&[id])?;
                        }
                        None => break,
                    }
                }
                let done = arithmetic::is_whole(&expression, &numbers);
                Ok(if done { Choice::Calculate(expression) } else { Choice::Talk })
            }
            _ => Ok(Choice::Talk),
        }
    }

    fn ask(&self, question: &str, vocabulary: &Vocabulary) -> Vec<u32> {
        // One line: the examples are, too.
        let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
        vocabulary.encode_plain(&format!("\nQ: {line}\nA:")).unwrap_or_default()
    }

    fn scores(&self, all: &[f32]) -> [f32; 3] {
        self.words.map(|id| all.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY))
    }
}
