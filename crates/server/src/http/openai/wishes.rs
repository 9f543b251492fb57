//! What a request wishes of the model: parameters, the form of the answer, a tool that has to be called. What the model
//! at hand cannot do is refused before anything is said, by the name of the parameter.

use loquat_agent::model::{OutputForm, OutputSchema, Params, ToolChoice};
use loquat_agent::tool::ToolSpec;
use serde_json::{Map, Value};

use super::fields::{Fields, unsupported, wrong};
use super::messages;
use crate::app::AppState;
use crate::auth::Principal;
use crate::http::problem::Problem;
use crate::ids::SessionId;
use crate::runs::engine::{Ask, StartRequest, Wants};
use crate::runs::run::Form;

/// How a route writes what both have.
pub(super) struct Names {
    /// Functions and schemas stand in an object of their own.
    pub(super) nested: bool,
    pub(super) most: &'static str,
    pub(super) output: &'static str,
    pub(super) effort: &'static str,
}

/// What a request wishes.
pub(super) struct Wishes {
    /// The client's tools.
    tools: Vec<ToolSpec>,
    no_tools: bool,
    params: Params,
}

impl Wishes {
    /// Reads the tools and which of them to call; checks them, and the parameters that were read already.
    pub(super) async fn read(
        state: &AppState,
        fields: &mut Fields,
        params: Params,
        names: &Names,
    ) -> Result<Self, Problem> {
        let choice = Choice::read(fields)?;
        let no_tools = choice == Choice::None;
        let mut tools = tools(fields, names.nested)?;
        if no_tools {
            tools.clear();
        }
        let inner = if names.nested { "function." } else { "" };
        messages::check_names(state, &tools, |n| format!("tools[{n}].{inner}name")).await?;
        choice.check(state, &tools).await?;
        let params = Params { tool_choice: choice.forced(), ..params };
        check(state, &params, names).await?;
        Ok(Self { tools, no_tools, params })
    }

    /// The request for a run.
    pub(super) fn request(
        self,
        state: &AppState,
        principal: Principal,
        session_id: Option<SessionId>,
        ask: Ask,
        form: Form,
        instructions: Option<String>,
    ) -> StartRequest {
        StartRequest {
            principal,
            session_id,
            run_id: None,
            ask,
            form,
            on_busy: state.settings.on_busy,
            client_tools: self.tools,
            params: self.params,
            wants: Wants { instructions, no_tools: self.no_tools },
        }
    }
}

fn tools(fields: &mut Fields, nested: bool) -> Result<Vec<ToolSpec>, Problem> {
    let given: Vec<Value> = fields.take("tools")?.unwrap_or_default();
    let mut tools: Vec<ToolSpec> = Vec::with_capacity(given.len());
    for (n, tool) in given.into_iter().enumerate() {
        let mut tool = Fields::within(&format!("tools[{n}]"), tool)?;
        let kind: String = tool.need("type")?;
        if kind != "function" {
            let why = "only functions can be passed; other tools are configured on the server";
            return Err(unsupported(&tool.name("type"), why));
        }
        if nested {
            let mut function = Fields::within(&tool.name("function"), tool.need("function")?)?;
            tools.push(messages::tool(&mut function, &tools)?);
            function.finish()?;
        } else {
            tools.push(messages::tool(&mut tool, &tools)?);
        }
        tool.finish()?;
    }
    Ok(tools)
}

/// Which tools the model may call.
#[derive(Clone, Debug, PartialEq)]
enum Choice {
    /// Those it wants.
    Free,
    /// None.
    None,
    /// It has to call one.
    Must(ToolChoice),
}

impl Choice {
    /// Reads `tool_choice`. Chat completions put a tool's name into an object of its own.
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let mut choice = match fields.value("tool_choice") {
            None => return Ok(Self::Free),
            Some(Value::String(word)) => {
                return match word.as_str() {
                    "auto" => Ok(Self::Free),
                    "none" => Ok(Self::None),
                    "required" => Ok(Self::Must(ToolChoice::Required)),
                    _ => Err(wrong("tool_choice", "has to be auto, none, required or a function")),
                };
            }
            Some(choice) => Fields::within("tool_choice", choice)?,
        };
        let kind: String = choice.need("type")?;
        if kind != "function" {
            return Err(unsupported("tool_choice", "only functions can be named"));
        }
        let name = match choice.value("function") {
            Some(function) => {
                let mut function = Fields::within("tool_choice.function", function)?;
                let name = function.need("name")?;
                function.finish()?;
                name
            }
            None => choice.need("name")?,
        };
        choice.finish()?;
        Ok(Self::Must(ToolChoice::Tool(name)))
    }

    /// Whether there is what has to be called: a tool of the client's or of the agent's own.
    async fn check(&self, state: &AppState, tools: &[ToolSpec]) -> Result<(), Problem> {
        let Self::Must(choice) = self else { return Ok(()) };
        let own = state.engine.tools().await;
        match choice {
            ToolChoice::Required if tools.is_empty() && own.specs().is_empty() => {
                Err(wrong("tool_choice", "there is no tool to call"))
            }
            ToolChoice::Tool(name)
                if !tools.iter().any(|tool| tool.name == *name) && own.spec(name).is_none() =>
            {
                Err(wrong("tool_choice", &format!("there is no tool named {name:?}")))
            }
            _ => Ok(()),
        }
    }

    /// The tool that has to be called.
    fn forced(self) -> Option<ToolChoice> {
        match self {
            Self::Must(choice) => Some(choice),
            Self::Free | Self::None => None,
        }
    }
}

/// Reads the form of the answer.
pub(super) fn output(names: &Names, form: Option<Value>) -> Result<Option<OutputForm>, Problem> {
    let Some(form) = form else { return Ok(None) };
    let nested = names.nested;
    let mut form = Fields::within(names.output, form)?;
    let kind: String = form.need("type")?;
    let told = match kind.as_str() {
        "text" => None,
        "json_object" => Some(OutputForm::Json),
        "json_schema" => {
            let mut inner;
            let schema = if nested {
                inner = Fields::within(&form.name("json_schema"), form.need("json_schema")?)?;
                &mut inner
            } else {
                &mut form
            };
            let told = OutputSchema {
                name: schema.need("name")?,
                description: schema.take("description")?,
                schema: Value::Object(schema.need::<Map<String, Value>>("schema")?),
                strict: schema.take("strict")?,
            };
            if nested {
                std::mem::replace(schema, Fields::new(Map::new())).finish()?;
            }
            Some(OutputForm::Schema(Box::new(told)))
        }
        _ => return Err(wrong(&form.name("type"), "has to be text, json_object or json_schema")),
    };
    form.finish()?;
    Ok(told)
}

/// Refuses what no model takes, and what the model at hand does not take.
async fn check(state: &AppState, params: &Params, names: &Names) -> Result<(), Problem> {
    if params.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        return Err(wrong("temperature", "has to be from 0 to 2"));
    }
    if params.top_p.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        return Err(wrong("top_p", "has to be from 0 to 1"));
    }
    if params.max_output_tokens == Some(0) {
        return Err(wrong(names.most, "has to be at least 1"));
    }
    let Err(all) = state.engine.accepts(params).await else { return Ok(()) };
    let all = Problem::bad("unsupported_parameter", all.message);
    let alone = [
        ("temperature", Params { temperature: params.temperature, ..Params::default() }),
        ("seed", Params { seed: params.seed, ..Params::default() }),
        (names.output, Params { output: params.output.clone(), ..Params::default() }),
        ("tool_choice", Params { tool_choice: params.tool_choice.clone(), ..Params::default() }),
        (names.effort, Params { reasoning_effort: params.reasoning_effort.clone(), ..Params::default() }),
    ];
    for (name, params) in alone {
        if let Err(why) = state.engine.accepts(&params).await {
            return Err(unsupported(name, &why.message));
        }
    }
    // Only together they are wrong.
    Err(all)
}
