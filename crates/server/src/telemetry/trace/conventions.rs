//! The names of spans and attributes: OpenTelemetry's semantic conventions for generative AI (1.41), and our own under
//! `loquat.`. The one place where they are written; they are still called experimental, and change.

/// What a span is about.
pub const OPERATION: &str = "gen_ai.operation.name";
/// Who answers.
pub const PROVIDER: &str = "gen_ai.provider.name";
/// The model that was asked.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The session.
pub const CONVERSATION: &str = "gen_ai.conversation.id";
/// The agent.
pub const AGENT_NAME: &str = "gen_ai.agent.name";
/// Whether the answer is streamed.
pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
/// Sampling.
pub const TEMPERATURE: &str = "gen_ai.request.temperature";
/// Sampling.
pub const TOP_P: &str = "gen_ai.request.top_p";
/// The most tokens to write.
pub const MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// Texts at which the model stops.
pub const STOP_SEQUENCES: &str = "gen_ai.request.stop_sequences";
/// Why it stopped.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Seconds to the first piece.
pub const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// Tokens read, cached ones included.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens written.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Tokens read from the provider's cache.
pub const CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
/// Tokens written to the provider's cache.
pub const CACHE_CREATION: &str = "gen_ai.usage.cache_creation.input_tokens";
/// The tool.
pub const TOOL_NAME: &str = "gen_ai.tool.name";
/// The call's id.
pub const TOOL_CALL: &str = "gen_ai.tool.call.id";
/// Where the tool runs.
pub const TOOL_TYPE: &str = "gen_ai.tool.type";
/// What it does.
pub const TOOL_DESCRIPTION: &str = "gen_ai.tool.description";
/// Why it failed: a stable word.
pub const ERROR_TYPE: &str = "error.type";
/// The provider's host.
pub const SERVER_ADDRESS: &str = "server.address";
/// The provider's port.
pub const SERVER_PORT: &str = "server.port";
/// A hash of the user's id.
pub const USER_HASH: &str = "user.hash";

/// Content, opt-in: the instructions.
pub const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
/// Content, opt-in: what the model was given.
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
/// Content, opt-in: what it said.
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// Content, opt-in: a tool's input.
pub const TOOL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
/// Content, opt-in: a tool's answer.
pub const TOOL_RESULT: &str = "gen_ai.tool.call.result";

/// Our own: the run.
pub const RUN_ID: &str = "loquat.run.id";
/// Our own: how it ended.
pub const OUTCOME: &str = "loquat.run.outcome";
/// Our own: what it cost, in US dollars.
pub const COST: &str = "loquat.cost_usd";
/// Our own: the number of the attempt of a model call, from 1.
pub const ATTEMPT: &str = "loquat.attempt";

/// The provider by the conventions' word, and the model's name without its prefix.
#[must_use]
pub fn provider_and_model(id: &str) -> (&'static str, &str) {
    use crate::models::Provider;

    let (provider, model) = Provider::of(id);
    let word = match provider {
        Provider::Bedrock => "aws.bedrock",
        Provider::Anthropic => "anthropic",
        Provider::OpenAi => "openai",
        Provider::Ollama => "ollama",
        Provider::Local => "loquat",
    };
    (word, model)
}
