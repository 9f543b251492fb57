//! A conversation, as Converse wants it.

use std::collections::HashSet;

use aws_sdk_bedrockruntime::operation::converse_stream::builders::ConverseStreamFluentBuilder;
use aws_sdk_bedrockruntime::types::{
    AnyToolChoice, CachePointBlock, CachePointType, ContentBlock, ConversationRole, DocumentBlock,
    DocumentFormat, DocumentSource, GuardrailStreamConfiguration, GuardrailStreamProcessingMode,
    GuardrailTrace, ImageBlock, ImageFormat, ImageSource, InferenceConfiguration, JsonSchemaDefinition,
    Message as AwsMessage, OutputConfig, OutputFormat, OutputFormatStructure, OutputFormatType,
    PerformanceConfigLatency, PerformanceConfiguration, ReasoningContentBlock, ReasoningTextBlock,
    S3Location, ServiceTier, ServiceTierType, SpecificToolChoice, SystemContentBlock, Tool,
    ToolChoice as AwsToolChoice, ToolConfiguration, ToolInputSchema, ToolResultBlock, ToolResultContentBlock,
    ToolResultStatus, ToolSpecification, ToolUseBlock,
};
use aws_smithy_types::Blob;
use aws_smithy_types::error::operation::BuildError;
use loquat_agent::message::{
    Bytes, Content, Document, Image, Message, Reasoning, Role, Source, ToolContent, ToolResult, ToolStatus,
};
use loquat_agent::model::{
    ModelError, ModelErrorKind, ModelRequest, OutputForm, OutputSchema, Params, ToolChoice,
};
use serde_json::{Map, Value};

use super::cache::{self, Places};
use super::document::document as json;
use super::reasoning;
use crate::models::config::{BedrockOptions, GuardrailMode, PromptCache};
use crate::models::{history, params};

/// What the request is made of, beside the conversation.
pub(super) struct Settings<'a> {
    /// The model's full name.
    pub(super) name: &'a str,
    /// Bedrock's name: an id, the id of an inference profile, or an ARN.
    pub(super) model: &'a str,
    pub(super) extra: &'a Map<String, Value>,
    pub(super) cache: PromptCache,
    pub(super) options: &'a BedrockOptions,
}

/// Fills a call of the SDK.
pub(super) fn fill(
    mut call: ConverseStreamFluentBuilder,
    settings: &Settings<'_>,
    request: &ModelRequest,
    params: &Params,
) -> Result<ConverseStreamFluentBuilder, ModelError> {
    let places = cache::places(settings.model, settings.cache);
    call = call
        .model_id(settings.model)
        .set_messages(Some(messages(request, settings.name, places)?))
        .set_system(system(request, places)?)
        .set_tool_config(tools(request, params.tool_choice.as_ref(), places)?);
    if let Some(OutputForm::Schema(form)) = &params.output {
        call = call.output_config(output(form)?);
    }
    if params.temperature.is_some()
        || params.top_p.is_some()
        || params.max_output_tokens.is_some()
        || !params.stop_sequences.is_empty()
    {
        let most = params.max_output_tokens.map(|most| i32::try_from(most).unwrap_or(i32::MAX));
        call = call.inference_config(
            InferenceConfiguration::builder()
                .set_max_tokens(most)
                .set_temperature(params.temperature)
                .set_top_p(params.top_p)
                .set_stop_sequences(Some(params.stop_sequences.clone()).filter(|texts| !texts.is_empty()))
                .build(),
        );
    }
    let mut fields = Map::new();
    if history::can_think(&request.messages, settings.name) {
        if let Some(budget) = params.reasoning_budget
            && let Value::Object(more) = reasoning::budget(budget)
        {
            fields.extend(more);
        }
        if let Some(effort) = &params.reasoning_effort
            && let Some(Value::Object(more)) = reasoning::effort(settings.model, effort)
        {
            fields.extend(more);
        }
    }
    params::merge(&mut fields, settings.extra);
    if !fields.is_empty() {
        call = call.additional_model_request_fields(json(&Value::Object(fields)));
    }
    if let Some(guardrail) = &settings.options.guardrail {
        let mode = match guardrail.mode {
            GuardrailMode::Sync => GuardrailStreamProcessingMode::Sync,
            GuardrailMode::Async => GuardrailStreamProcessingMode::Async,
        };
        let trace = if guardrail.trace { GuardrailTrace::Enabled } else { GuardrailTrace::Disabled };
        call = call.guardrail_config(
            GuardrailStreamConfiguration::builder()
                .guardrail_identifier(&guardrail.id)
                .guardrail_version(&guardrail.version)
                .stream_processing_mode(mode)
                .trace(trace)
                .build(),
        );
    }
    if let Some(latency) = &settings.options.latency {
        let latency = PerformanceConfigLatency::from(latency.as_str());
        call = call.performance_config(PerformanceConfiguration::builder().latency(latency).build());
    }
    if let Some(tier) = &settings.options.service_tier {
        let tier = ServiceTier::builder().r#type(ServiceTierType::from(tier.as_str())).build();
        call = call.service_tier(tier.map_err(internal)?);
    }
    Ok(call)
}

// The callers hand it to `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn internal(error: BuildError) -> ModelError {
    ModelError::new(
        ModelErrorKind::Internal,
        format!("the request to Amazon Bedrock cannot be built: {error}"),
    )
}

fn point() -> Result<CachePointBlock, ModelError> {
    CachePointBlock::builder().r#type(CachePointType::Default).build().map_err(internal)
}

fn system(request: &ModelRequest, places: Places) -> Result<Option<Vec<SystemContentBlock>>, ModelError> {
    let Some(system) = request.system.as_deref().filter(|system| !system.trim().is_empty()) else {
        return Ok(None);
    };
    let mut blocks = vec![SystemContentBlock::Text(system.to_owned())];
    if places.prompt {
        blocks.push(SystemContentBlock::CachePoint(point()?));
    }
    Ok(Some(blocks))
}

/// The form that the answer has to have.
fn output(form: &OutputSchema) -> Result<OutputConfig, ModelError> {
    let schema = JsonSchemaDefinition::builder()
        .name(&form.name)
        .set_description(form.description.clone())
        .schema(form.schema.to_string())
        .build()
        .map_err(internal)?;
    let format = OutputFormat::builder()
        .r#type(OutputFormatType::JsonSchema)
        .structure(OutputFormatStructure::JsonSchema(schema))
        .build()
        .map_err(internal)?;
    Ok(OutputConfig::builder().text_format(format).build())
}

fn tools(
    request: &ModelRequest,
    choice: Option<&ToolChoice>,
    places: Places,
) -> Result<Option<ToolConfiguration>, ModelError> {
    let specs = history::tools(request);
    if specs.is_empty() {
        return Ok(None);
    }
    let mut tools = Vec::with_capacity(specs.len() + 1);
    for (name, description, schema) in specs {
        let spec = ToolSpecification::builder()
            .name(name)
            // An empty description is refused.
            .set_description(Some(description.to_owned()).filter(|text| !text.is_empty()))
            .input_schema(ToolInputSchema::Json(json(&schema)))
            .build()
            .map_err(internal)?;
        tools.push(Tool::ToolSpec(spec));
    }
    if places.tools {
        tools.push(Tool::CachePoint(point()?));
    }
    let choice = match choice {
        None => None,
        Some(ToolChoice::Required) => Some(AwsToolChoice::Any(AnyToolChoice::builder().build())),
        Some(ToolChoice::Tool(name)) => {
            Some(AwsToolChoice::Tool(SpecificToolChoice::builder().name(name).build().map_err(internal)?))
        }
    };
    let tools = ToolConfiguration::builder().set_tools(Some(tools)).set_tool_choice(choice);
    tools.build().map(Some).map_err(internal)
}

fn messages(request: &ModelRequest, name: &str, places: Places) -> Result<Vec<AwsMessage>, ModelError> {
    let mut out = Vec::with_capacity(request.messages.len());
    let last = request.messages.len().saturating_sub(1);
    let mut names = Names::default();
    for (at, message) in request.messages.iter().enumerate() {
        let (role, mut content) = match message.role {
            Role::User => (ConversationRole::User, user(message, &mut names)?),
            Role::Assistant => {
                (ConversationRole::Assistant, assistant(message, history::own_reasoning(message, name))?)
            }
        };
        if content.is_empty() {
            continue;
        }
        if at == last && places.prompt {
            content.push(ContentBlock::CachePoint(point()?));
        }
        out.push(AwsMessage::builder().role(role).set_content(Some(content)).build().map_err(internal)?);
    }
    Ok(out)
}

fn user(message: &Message, names: &mut Names) -> Result<Vec<ContentBlock>, ModelError> {
    let mut out = Vec::with_capacity(message.content.len() + 1);
    let (mut has_document, mut has_text) = (false, false);
    for block in &message.content {
        match block {
            // Blank text is refused.
            Content::Text(text) if !text.trim().is_empty() => {
                has_text = true;
                out.push(ContentBlock::Text(text.clone()));
            }
            Content::Image(value) => out.push(ContentBlock::Image(image(value)?)),
            Content::Document(value) => {
                has_document = true;
                out.push(ContentBlock::Document(document(value, names)?));
            }
            Content::ToolResult(result) => out.push(ContentBlock::ToolResult(tool_result(result, names)?)),
            _ => {}
        }
    }
    if has_document && !has_text {
        // A document without text beside it is refused.
        out.push(ContentBlock::Text("(See the document.)".to_owned()));
    }
    Ok(out)
}

fn assistant(message: &Message, own_reasoning: bool) -> Result<Vec<ContentBlock>, ModelError> {
    let mut out = Vec::with_capacity(message.content.len());
    for block in &message.content {
        match block {
            Content::Text(text) if !text.trim().is_empty() => out.push(ContentBlock::Text(text.clone())),
            Content::Reasoning(value) if own_reasoning && history::is_signed(value) => {
                if let Some(block) = reasoning_block(value)? {
                    out.push(ContentBlock::ReasoningContent(block));
                }
            }
            Content::ToolUse(call) => {
                let block = ToolUseBlock::builder()
                    .tool_use_id(&call.tool_use_id)
                    .name(&call.name)
                    // The service wants an object even where the model wrote something else.
                    .input(if call.input.is_object() {
                        json(&call.input)
                    } else {
                        json(&Value::Object(Map::new()))
                    })
                    .build()
                    .map_err(internal)?;
                out.push(ContentBlock::ToolUse(block));
            }
            _ => {}
        }
    }
    Ok(out)
}

fn reasoning_block(reasoning: &Reasoning) -> Result<Option<ReasoningContentBlock>, ModelError> {
    if let Some(Bytes(bytes)) = &reasoning.redacted_content {
        return Ok(Some(ReasoningContentBlock::RedactedContent(Blob::new(bytes.clone()))));
    }
    let Some(text) = &reasoning.reasoning_text else { return Ok(None) };
    let block = ReasoningTextBlock::builder().text(&text.text).set_signature(text.signature.clone()).build();
    Ok(Some(ReasoningContentBlock::ReasoningText(block.map_err(internal)?)))
}

fn tool_result(result: &ToolResult, names: &mut Names) -> Result<ToolResultBlock, ModelError> {
    let mut content = Vec::with_capacity(result.content.len().max(1));
    for block in &result.content {
        content.push(match block {
            ToolContent::Text(text) if text.trim().is_empty() => continue,
            ToolContent::Text(text) => ToolResultContentBlock::Text(text.clone()),
            // The service takes objects only.
            ToolContent::Json(value) if value.is_object() => ToolResultContentBlock::Json(json(value)),
            ToolContent::Json(value) => ToolResultContentBlock::Text(value.to_string()),
            ToolContent::Image(value) => ToolResultContentBlock::Image(image(value)?),
            ToolContent::Document(value) => ToolResultContentBlock::Document(document(value, names)?),
            ToolContent::Other(_) => continue,
        });
    }
    if content.is_empty() {
        content.push(ToolResultContentBlock::Text("(no output)".to_owned()));
    }
    let status = match result.status {
        ToolStatus::Success => ToolResultStatus::Success,
        ToolStatus::Error => ToolResultStatus::Error,
    };
    ToolResultBlock::builder()
        .tool_use_id(&result.tool_use_id)
        .set_content(Some(content))
        .status(status)
        .build()
        .map_err(internal)
}

fn image(image: &Image) -> Result<ImageBlock, ModelError> {
    let source = match &image.source {
        Source::Bytes(Bytes(bytes)) => ImageSource::Bytes(Blob::new(bytes.clone())),
        Source::Other(map) => ImageSource::S3Location(s3(map)?),
    };
    ImageBlock::builder()
        .format(ImageFormat::from(image.format.as_str()))
        .source(source)
        .build()
        .map_err(internal)
}

fn document(document: &Document, names: &mut Names) -> Result<DocumentBlock, ModelError> {
    let source = match &document.source {
        Source::Bytes(Bytes(bytes)) => DocumentSource::Bytes(Blob::new(bytes.clone())),
        Source::Other(map) => DocumentSource::S3Location(s3(map)?),
    };
    DocumentBlock::builder()
        .format(DocumentFormat::from(document.format.as_str()))
        .name(names.unique(&document.name))
        .source(source)
        .build()
        .map_err(internal)
}

/// The names of a request's documents. The service refuses a request in which two have the same, and a conversation is
/// sent whole with every turn: the second `report.pdf` of a conversation would end it for good.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    /// A name that no earlier document has. What stands before it decides alone, so it stays the same in later turns.
    fn unique(&mut self, name: &str) -> String {
        let first = neutral(name);
        let numbered = |n| match n {
            1 => first.clone(),
            n => format!("{} ({n})", first.chars().take(NAME - 8).collect::<String>()),
        };
        let free = (1u32..).map(numbered).find(|name| self.0.insert(name.to_lowercase()));
        free.unwrap_or(first)
    }
}

/// The longest name of a document, in characters.
const NAME: usize = 200;

/// A name as the service allows it: letters, digits, single blanks, hyphens, parentheses and brackets.
fn neutral(name: &str) -> String {
    let allowed = |char: char| char.is_ascii_alphanumeric() || "-()[]".contains(char);
    let clean: String = name.chars().map(|char| if allowed(char) { char } else { ' ' }).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if clean.is_empty() { "document".to_owned() } else { clean.chars().take(NAME).collect() }
}

fn s3(map: &Map<String, Value>) -> Result<S3Location, ModelError> {
    let place = &map.get("s3Location").cloned().unwrap_or_default();
    let Some(uri) = place["uri"].as_str() else {
        let what = "a picture or document is stored in a way that Amazon Bedrock cannot read";
        return Err(ModelError::new(ModelErrorKind::BadRequest, what));
    };
    S3Location::builder()
        .uri(uri)
        .set_bucket_owner(place["bucketOwner"].as_str().map(str::to_owned))
        .build()
        .map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_neutral() {
        for (name, expected) in [
            ("report.final  v2.pdf", "report final v2 pdf"),
            ("…", "document"),
            ("a (1) [b]-c", "a (1) [b]-c"),
        ] {
            assert_eq!(neutral(name), expected);
        }
    }

    #[test]
    fn no_two_documents_have_one_name() {
        let mut names = Names::default();
        let given =
            ["report.pdf", "Report pdf", "report pdf (2)", "…", "…", &"x".repeat(300), &"x".repeat(201)];
        let got = given.map(|name| names.unique(name));
        let numbered = format!("{} (2)", "x".repeat(192));
        let expected = [
            "report pdf",
            "Report pdf (2)",
            "report pdf (2) (2)",
            "document",
            "document (2)",
            &"x".repeat(200),
            &numbered,
        ];
        assert_eq!(got, expected);
    }
}
