//! One call of the embedded model: prompt, reading, writing.

use candle_transformers::generation::{LogitsProcessor, Sampling};
use candle_transformers::utils::apply_repeat_penalty;
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::model::{ModelError, ModelErrorKind, ModelEvent, ModelRequest, Params};

use super::contexts::{Contexts, State};
use super::net::{MAX_CONTEXT, Net};
use super::prompt::{Exchange, exchanges, first_kept};
use super::router::{CALCULATOR_TOOL, Choice, EXPRESSION, Router, TIME_TOOL};
use super::stops::Stops;
use super::template::{Template, Turn};
use super::vocabulary::Vocabulary;
use super::weights::{self, Source};
use super::worker::{Backend, Halt, Sink};

/// Most tokens of an answer where the request does not say.
const DEFAULT_OUTPUT: usize = 1024;
/// Tokens around one message, generously.
const TURN_OVERHEAD: usize = 8;
/// How many of the last tokens count as repeated when they come again, and how much they lose.
const REPEAT_WINDOW: usize = 64;
const REPEAT_PENALTY: f32 = 1.1;

/// The model, ready to answer.
pub(super) struct Engine {
    vocabulary: Vocabulary,
    template: Template,
    contexts: Contexts,
    /// Most tokens of prompt and answer together.
    limit: usize,
    /// Only for the built-in model: others would need other examples.
    router: Option<Router>,
    defaults: Defaults,
}

/// What is used where the request does not say.
struct Defaults {
    temperature: f64,
    system: Option<&'static str>,
}

/// The built-in model has a tendency to answer in the language of the country that is asked about. Of a dozen
/// prompts that were tried, this one helps most.
const DEMO_SYSTEM: &str = "You are a helpful, concise assistant. Use plain English.";

impl Engine {
    /// Reads the weights. Takes a second or so for the built-in model, more at its first start.
    pub(super) fn load(source: &Source, report: &dyn Fn(&'static str)) -> Result<Self, ModelError> {
        let opened = weights::open(source, report)?;
        let unusable = |why: String| weights::unusable(source, &why);
        let metadata = &opened.content.metadata;
        let vocabulary = Vocabulary::from_gguf(&opened.content).map_err(unusable)?;
        let text = metadata.get("tokenizer.chat_template").and_then(|value| value.to_string().ok());
        let text =
            text.ok_or_else(|| unusable("it carries no chat template (is it a chat model?)".to_owned()))?;
        let template = Template::new(text.clone(), vocabulary.bos_text.clone(), vocabulary.eos_text.clone())
            .map_err(|error| unusable(format!("its chat template has an error: {error}")))?;
        let length = metadata.get(&format!("{}.context_length", opened.architecture));
        let length =
            length.and_then(|value| value.to_u64().ok()).and_then(|value| usize::try_from(value).ok());
        let limit = length.map_or(MAX_CONTEXT, |length| length.min(MAX_CONTEXT));
        report("reading the weights");
        let mut reader = opened.reader;
        let net = Net::from_gguf(&opened.architecture, opened.content, &mut reader)
            .map_err(|error| unusable(error.to_string()))?;
        // A small model loses the thread sooner.
        let defaults = if source.known {
            Defaults { temperature: 0.1, system: Some(DEMO_SYSTEM) }
        } else {
            Defaults { temperature: 0.6, system: None }
        };
        let router = source.known.then(|| Router::new(&vocabulary)).transpose().map_err(unusable)?;
        Ok(Self { vocabulary, template, contexts: Contexts::new(net), limit, router, defaults })
    }

    /// The tokens of the prompt, without the oldest exchanges where they do not all fit.
    fn prompt(
        &self,
        request: &ModelRequest,
        exchanges: &[Exchange],
        output: usize,
    ) -> Result<Vec<u32>, Halt> {
        let room = self.limit.saturating_sub(output.min(self.limit / 2));
        let system = request.system.as_deref().or(self.defaults.system).map(|text| Turn::new("system", text));
        let mut sizes = Vec::with_capacity(exchanges.len());
        for exchange in exchanges {
            let mut size = 0;
            for turn in exchange.turns() {
                size += self.vocabulary.encode(&turn.content).map_err(internal)?.len() + TURN_OVERHEAD;
            }
            sizes.push(size);
        }
        let fixed = self.encode(&system.clone().into_iter().collect::<Vec<_>>())?.len();
        for first in first_kept(&sizes, room.saturating_sub(fixed))..exchanges.len().max(1) {
            let kept = exchanges.iter().skip(first).flat_map(Exchange::turns);
            let turns: Vec<Turn> = system.iter().cloned().chain(kept).collect();
            let ids = self.encode(&turns)?;
            if ids.len() <= room {
                return Ok(ids);
            }
        }
        let text =
            format!("The message is too long for this model, which reads at most {room} tokens at once.");
        Err(Halt::Failed(ModelError::new(ModelErrorKind::ContextTooLong, text)))
    }

    fn encode(&self, turns: &[Turn]) -> Result<Vec<u32>, Halt> {
        if turns.is_empty() {
            return Ok(Vec::new());
        }
        let text = self.template.render(turns, &self.vocabulary.controls).map_err(|error| {
            let text = format!("The model's chat template cannot write this conversation: {error}");
            Halt::Failed(ModelError::new(ModelErrorKind::BadRequest, text))
        })?;
        self.vocabulary.encode(&text).map_err(internal)
    }

    /// Asks for a tool, if the last question needs one that is offered. Says whether it did.
    fn use_tool(&mut self, request: &ModelRequest, last: &Exchange, sink: &Sink) -> Result<bool, Halt> {
        let Some(router) = self.router.as_mut().filter(|_| last.is_fresh()) else { return Ok(false) };
        let (vocabulary, contexts) = (&self.vocabulary, &mut self.contexts);
        let choice = router.choose(&last.question, &request.tools, vocabulary, contexts, &|| sink.check())?;
        let (name, input) = match choice {
            Choice::Talk => return Ok(false),
            Choice::Time => (TIME_TOOL, serde_json::json!({})),
            Choice::Calculate(expression) => (CALCULATOR_TOOL, serde_json::json!({ EXPRESSION: expression })),
        };
        let id = format!("call_{}", uuid::Uuid::new_v4().simple());
        sink.send(ModelEvent::ToolStart { id: id.clone(), name: name.to_owned() })?;
        sink.send(ModelEvent::ToolInput { id, delta: input.to_string() })?;
        let read = self.vocabulary.encode_plain(&last.question).map_err(internal)?.len();
        let usage = Usage { input_tokens: read as u64, output_tokens: 1, ..Usage::default() };
        sink.send(ModelEvent::Usage { usage, model: None })?;
        sink.send(ModelEvent::Stop(StopReason::ToolUse))?;
        Ok(true)
    }

    /// Reads the prompt, then writes until the end of the turn.
    fn write(
        &self,
        state: &mut State,
        params: &Params,
        output: usize,
        usage: &mut Usage,
        sink: &Sink,
    ) -> Result<StopReason, Halt> {
        let mut sampler = sampler(params, self.defaults.temperature);
        let mut decoder = self.vocabulary.decoder();
        let mut stops = Stops::new(&params.stop_sequences);
        let mut written: Vec<u32> = Vec::new();
        let mut thinking = false;
        loop {
            // Numbers and marks come again for good reasons.
            let recent = written.iter().rev().take(REPEAT_WINDOW).copied();
            let words: Vec<u32> = recent.filter(|id| self.vocabulary.has_letters(*id)).collect();
            let scores = apply_repeat_penalty(state.scores().map_err(broken)?, REPEAT_PENALTY, &words);
            let id = sampler.sample(&scores.map_err(broken)?).map_err(broken)?;
            if self.vocabulary.is_end(id) {
                send_text(sink, stops.rest())?;
                return Ok(StopReason::EndTurn);
            }
            written.push(id);
            usage.output_tokens += 1;
            if let Some(now) = self.vocabulary.thinking(id) {
                thinking = now;
            } else if let Some(piece) = decoder.step(id).map_err(internal)? {
                if thinking {
                    sink.send(ModelEvent::Reasoning(piece))?;
                } else {
                    let (text, found) = stops.push(&piece);
                    send_text(sink, text)?;
                    if found {
                        return Ok(StopReason::StopSequence);
                    }
                }
            }
            if written.len() >= output || state.len() + 1 >= self.limit {
                send_text(sink, stops.rest())?;
                return Ok(StopReason::MaxTokens);
            }
            sink.check()?;
            state.read(&[id]).map_err(broken)?;
        }
    }

    /// Reads what is new in the prompt, in pieces between which the call can be cancelled.
    fn read(&mut self, state: &mut State, prompt: &[u32], sink: &Sink) -> Result<(), Halt> {
        loop {
            sink.check()?;
            if !state.read_on(prompt).map_err(broken)? {
                break;
            }
        }
        self.contexts.checkpoint(state);
        Ok(())
    }
}

impl Backend for Engine {
    fn answer(&mut self, request: &ModelRequest, sink: &Sink) -> Result<(), Halt> {
        let params = &request.params;
        let output = params.max_output_tokens.map_or(DEFAULT_OUTPUT, |most| most as usize).max(1);
        let exchanges = exchanges(request);
        if let Some(last) = exchanges.last()
            && self.use_tool(request, last, sink)?
        {
            return Ok(());
        }
        let prompt = self.prompt(request, &exchanges, output)?;
        let mut state = self.contexts.begin(&prompt).map_err(broken)?;
        let cached = state.len();
        let mut usage = Usage {
            input_tokens: (prompt.len() - cached) as u64,
            cache_read_tokens: cached as u64,
            ..Usage::default()
        };
        let result = self
            .read(&mut state, &prompt, sink)
            .and_then(|()| self.write(&mut state, params, output, &mut usage, sink));
        // Also after a cancellation: the next prompt probably begins with what was read and written.
        self.contexts.save(state);
        let reason = result?;
        sink.send(ModelEvent::Usage { usage, model: None })?;
        sink.send(ModelEvent::Stop(reason))
    }
}

fn send_text(sink: &Sink, text: String) -> Result<(), Halt> {
    if text.is_empty() { Ok(()) } else { sink.send(ModelEvent::Text(text)) }
}

fn sampler(params: &Params, temperature: f64) -> LogitsProcessor {
    let temperature = params.temperature.map_or(temperature, f64::from);
    let sampling = if temperature < 1e-4 {
        Sampling::ArgMax
    } else {
        Sampling::TopKThenTopP { k: 40, p: params.top_p.map_or(0.9, f64::from), temperature }
    };
    // Another seed for each call, unless one is wished: asking again may give another answer.
    let seed = params.seed.map_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0, i64::cast_unsigned);
    LogitsProcessor::from_sampling(seed, sampling)
}

// Taken by value to fit `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn broken(error: candle_core::Error) -> Halt {
    internal(error.to_string())
}

#[allow(clippy::needless_pass_by_value)]
fn internal(error: String) -> Halt {
    Halt::Failed(ModelError::new(ModelErrorKind::Internal, format!("The local model failed: {error}")))
}
