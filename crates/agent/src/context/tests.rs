//! Properties every strategy has, and how much of a provider's prompt cache they keep.

use std::sync::LazyLock;

use futures_util::{FutureExt as _, StreamExt as _};
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::event::StopReason;
use crate::message::{Content, Role, ToolUse};
use crate::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest};
use crate::scripted::{ScriptedModel, Step, says};
use crate::transcript::missing_result;

/// A conversation of turns with the given numbers of tool calls.
fn conversation(turns: &[usize]) -> Vec<Message> {
    let mut messages = Vec::new();
    for (turn, calls) in turns.iter().enumerate() {
        messages.push(Message::user(format!("question {turn}")));
        for call in 0..*calls {
            let id = format!("{turn}-{call}");
            let input = Value::Object(Map::new());
            messages.push(Message::new(
                Role::Assistant,
                vec![Content::ToolUse(ToolUse { tool_use_id: id.clone(), name: "t".into(), input })],
            ));
            messages.push(Message::new(Role::User, vec![Content::ToolResult(missing_result(&id, "r"))]));
        }
        messages.push(Message::assistant(format!("answer {turn}")));
    }
    messages
}

fn try_select(
    strategy: &dyn ContextStrategy,
    messages: &[Message],
    memo: &Memo,
    attempt: u32,
) -> Result<Vec<Message>, ContextError> {
    let skipped = match strategy.reach() {
        Reach::Last(n) => messages.len().saturating_sub(n),
        Reach::All => 0,
    };
    let history = History { skipped, messages: &messages[skipped..], memo };
    // Timers are made, but nothing waits for one.
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());
    let _entered = RUNTIME.enter();
    strategy.select(history, Budget { attempt }).now_or_never().expect("nothing to wait for")
}

fn select(strategy: &dyn ContextStrategy, messages: &[Message], memo: &Memo) -> Vec<Message> {
    try_select(strategy, messages, memo, 0).unwrap()
}

/// Says the same summary as often as it is asked, or fails.
struct Summarist(Result<&'static str, ModelErrorKind>);

impl Model for Summarist {
    fn name(&self) -> &'static str {
        "summarist"
    }
    fn stream(
        &self,
        _: ModelRequest,
    ) -> futures_util::stream::BoxStream<'static, Result<ModelEvent, ModelError>> {
        let said = match self.0 {
            Ok(text) => vec![Ok(ModelEvent::Text(text.into())), Ok(ModelEvent::Stop(StopReason::EndTurn))],
            Err(kind) => vec![Err(ModelError::new(kind, "no"))],
        };
        futures_util::stream::iter(said).boxed()
    }
}

/// What every strategy promises over a growing conversation. Returns where the views began.
fn check_growing(
    strategy: &dyn ContextStrategy,
    turns: &[usize],
    after: impl Fn(&[Message], &Memo),
) -> Result<Vec<usize>, TestCaseError> {
    let memo = Memo::default();
    let mut starts = Vec::new();
    let mut last_view: Vec<Message> = Vec::new();
    for turn in 0..turns.len() {
        let mut messages = conversation(&turns[..turn]);
        messages.push(Message::user("new"));
        let view = select(strategy, &messages, &memo);
        prop_assert!(view[0].starts_turn());
        prop_assert_eq!(view.last().unwrap().content.last(), messages.last().unwrap().content.last());
        prop_assert_eq!(crate::invariants::check(&view), Ok(()));
        let start = messages.len() - view.len();
        // But for the message that was new, what was sent last time is sent again, unless there was a cut.
        if starts.last() == Some(&start) {
            let kept = last_view.len() - 1;
            prop_assert_eq!(&view[..kept], &last_view[..kept]);
        }
        // Asked again, the choice is the same: a run that is done over sees what it saw.
        prop_assert_eq!(&select(strategy, &messages, &memo), &view);
        after(&view, &memo);
        starts.push(start);
        last_view = view;
    }
    prop_assert!(starts.is_sorted(), "{:?}", starts);
    Ok(starts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Within the window, and a cut drops at least a quarter of it.
    #[test]
    fn the_window_is_stable(turns in prop::collection::vec(0..3usize, 1..60), size in 8..40usize) {
        let within = |view: &[Message], _: &Memo| assert!(view.len() <= size);
        let starts = check_growing(&SlidingWindow::new(size), &turns, within)?;
        for pair in starts.windows(2) {
            prop_assert!(pair[1] == pair[0] || pair[1] >= pair[0] + size.div_ceil(4));
        }
    }

    /// Within the budget as the provider counts, whatever its tokens and its system prompt are, once it has counted.
    #[test]
    fn the_budget_is_kept(
        turns in prop::collection::vec(0..3usize, 1..60),
        overhead in 0..200u64,
        percent in 50..150u64,
    ) {
        const BUDGET: u64 = 600;
        let count = |view: &[Message]| overhead + token_budget::estimate(view) * percent / 100;
        let strategy = TokenBudget::new(BUDGET);
        let starts = check_growing(&strategy, &turns, |view, memo| {
            let is_one_turn = view.iter().filter(|message| message.starts_turn()).count() == 1;
            // Only what came since the last count is estimated: one turn of at most 40 tokens.
            assert!(is_one_turn || count(view) <= BUDGET + 40 || memo.get("token_correction").is_none());
            let usage = Usage { input_tokens: count(view) / 3, cache_read_tokens: count(view) - count(view) / 3, ..Usage::default() };
            strategy.observe(view, &usage, memo);
        })?;
        let cuts = starts.windows(2).filter(|pair| pair[0] != pair[1]).count();
        // A quarter of the budget holds several turns.
        prop_assert!(cuts <= turns.len() / 3 + 1, "{} cuts in {} turns", cuts, turns.len());
    }

    #[test]
    fn the_summary_is_stable(turns in prop::collection::vec(0..3usize, 1..60), size in 8..40usize, works: bool) {
        let says = if works { Ok("They spoke of many things.") } else { Err(ModelErrorKind::Throttled) };
        let strategy = Summarizing::new(size, Arc::new(Summarist(says)));
        check_growing(&strategy, &turns, |view, memo| {
            assert!(view.len() <= size);
            let told = view[0].content[0].as_text().unwrap().contains("many things");
            let noted = memo.get("window_start").unwrap().as_u64().unwrap() > 0;
            assert_eq!(told, works && noted);
            let warned = !memo.take_warnings().is_empty();
            assert!(!(works && warned));
        })?;
    }

    /// A run that goes on after an approval: the history ends within a turn, and the turn may be longer than the window.
    #[test]
    fn a_turn_is_never_parted(turns in prop::collection::vec(0..9usize, 1..20), size in 1..20usize, tokens in 1..500u64) {
        let strategies: [&dyn ContextStrategy; 2] = [&Whole(SlidingWindow::new(size)), &TokenBudget::new(tokens)];
        for strategy in strategies {
            let mut messages = conversation(&turns);
            // The answer is not there yet.
            messages.pop();
            let view = select(strategy, &messages, &Memo::default());
            prop_assert!(view[0].starts_turn());
            prop_assert_eq!(view.last(), messages.last());
        }
    }
}

/// A strategy that is given everything.
struct Whole<S>(S);

#[async_trait]
impl<S: ContextStrategy> ContextStrategy for Whole<S> {
    fn reach(&self) -> Reach {
        Reach::All
    }
    async fn select(&self, history: History<'_>, budget: Budget) -> Result<Vec<Message>, ContextError> {
        self.0.select(history, budget).await
    }
}

#[test]
fn an_edited_history_begins_anew() {
    let summarizing = Summarizing::new(20, Arc::new(Summarist(Ok("old"))));
    let strategies: [&dyn ContextStrategy; 3] =
        [&SlidingWindow::new(20), &TokenBudget::new(100), &summarizing];
    for strategy in strategies {
        let memo = Memo::default();
        let mut long = conversation(&[0; 30]);
        long.push(Message::user("new"));
        assert!(select(strategy, &long, &memo).len() <= 20);
        let short = [Message::user("edited")];
        assert_eq!(select(strategy, &short, &memo), short);
    }
}

#[test]
fn a_shrunk_view_is_smaller_until_nothing_is_left() {
    let summarizing = Summarizing::new(20, Arc::new(Summarist(Ok("old"))));
    let strategies: [&dyn ContextStrategy; 3] =
        [&SlidingWindow::new(20), &TokenBudget::new(1000), &summarizing];
    for strategy in strategies {
        let messages = conversation(&[0; 4]);
        let memo = Memo::default();
        assert_eq!(select(strategy, &messages[..7], &memo).len(), 7);
        assert!(try_select(strategy, &messages[..7], &memo, 1).unwrap().len() < 7);
        assert!(matches!(
            try_select(strategy, &messages[..1], &Memo::default(), 1),
            Err(ContextError::TooLong)
        ));
    }
}

/// The summary is made once a cut, from the earlier summary and what was cut, and used until the next.
#[test]
fn a_summary_is_made_once_and_built_upon() {
    let model = ScriptedModel::new([
        says(&["First ", "memory."]),
        vec![Step::Fail(ModelError::new(ModelErrorKind::Throttled, "busy"))],
        says(&["Third memory."]),
    ]);
    let strategy = Summarizing::new(16, Arc::clone(&model) as Arc<dyn Model>);
    let memo = Memo::default();
    let mut seen = Vec::new();
    for turns in 0..14 {
        let mut messages = conversation(&vec![0; turns]);
        messages.push(Message::user("new"));
        // As a server does: the memo goes through the store.
        let stored = Memo::new(memo.to_map());
        let view = select(&strategy, &messages, &stored);
        for (key, value) in stored.to_map() {
            memo.set(&key, value);
        }
        let told = view[0].content[0].as_text().unwrap().contains("First memory");
        seen.push((messages.len() - view.len(), told, stored.take_warnings().len()));
    }
    let requests = model.requests();
    let cuts: Vec<_> = seen.iter().filter(|(start, ..)| *start > 0).collect();
    assert_eq!(requests.len(), 3, "{seen:?}");
    assert!(cuts.iter().take(4).all(|(_, told, _)| *told), "{seen:?}");
    assert_eq!(seen.iter().map(|(_, _, warnings)| warnings).sum::<usize>(), 1, "{seen:?}");
    let asked: Vec<String> = requests.iter().map(|request| request.messages[0].text()).collect();
    assert!(asked[0].contains("question 0") && !asked[0].contains("<memory>"));
    assert!(asked[1].contains("First memory.") && !asked[1].contains("question 0"));
    // What the failed one did not tell is told by the next.
    let missing = asked[1].lines().find(|line| line.starts_with("User: question")).unwrap();
    assert!(asked[2].contains(missing) && asked[2].contains("First memory."), "{}", asked[2]);
}

/// How many tokens of all that was sent a provider's prompt cache could have served: what a request has in common with
/// the request before it, from the first byte on.
fn served(strategy: &dyn ContextStrategy) -> (u64, u64) {
    const TURNS: usize = 200;
    let memo = Memo::default();
    let text = "Some words that a person or a model would say in a turn of a conversation. ".repeat(8);
    let mut messages: Vec<Message> = Vec::new();
    let (mut sent, mut cached) = (0, 0);
    let mut last: Vec<Message> = Vec::new();
    for turn in 0..TURNS {
        messages.push(Message::user(format!("{turn} {text}")));
        let view = select(strategy, &messages, &memo);
        let common = view.iter().zip(&last).take_while(|(new, old)| new == old).count();
        sent += token_budget::estimate(&view);
        cached += token_budget::estimate(&view[..common]);
        last = view;
        messages.push(Message::assistant(format!("{turn} {text}")));
    }
    (cached, sent)
}

/// The window as others cut it: whenever it is full, one turn.
struct OneByOne(usize);

#[async_trait]
impl ContextStrategy for OneByOne {
    fn reach(&self) -> Reach {
        Reach::All
    }
    async fn select(&self, history: History<'_>, _: Budget) -> Result<Vec<Message>, ContextError> {
        let start = history.turn_from(history.total().saturating_sub(self.0));
        Ok(history.from(start).to_vec())
    }
}

#[test]
fn prompt_caches_are_hit() {
    let percent = |strategy: &dyn ContextStrategy| {
        let (cached, sent) = served(strategy);
        cached * 100 / sent
    };
    let one_by_one = percent(&OneByOne(20));
    let window = percent(&SlidingWindow::new(20));
    let large_window = percent(&SlidingWindow::new(100));
    let tokens = percent(&TokenBudget::new(6_000));
    let summary = percent(&Summarizing::new(20, Arc::new(Summarist(Ok("What was said.")))));
    println!(
        "of the input tokens of 200 turns a prompt cache serves: one message a turn cut {one_by_one} %, \
         window 20 {window} %, window 100 {large_window} %, token budget {tokens} %, summarizing 20 {summary} %"
    );
    assert!(one_by_one < 10, "{one_by_one} %");
    assert!(window >= 50, "{window} %");
    assert!(large_window >= 80, "{large_window} %");
    assert!(tokens >= 50, "{tokens} %");
    assert!(summary >= 50, "{summary} %");
}
