//! The stack as plain CloudFormation, built from strategies: each is one file that adds its own resources,
//! environment variables and permissions to the `Stack`.

#![expect(clippy::needless_pass_by_value, reason = "`json!` borrows, but callers build the values in place")]

mod agentcore;
mod assets;
mod authenticator;
mod edge;
mod encryption;
mod exceptions;
mod frontend;
mod function_url;
mod graph;
mod hosting;
mod intrinsics;
mod models;
mod observability;
mod render;
mod rest;
pub mod rules;
mod sessions;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    agent::Agent,
    settings::{Communication, Hosting, Removal, Settings},
};
pub use authenticator::{BRANDING, PAGE_ADDRESS, SIGN_IN_PAGES};
pub use render::{to_compact_json, to_json, to_yaml};

/// A finished template; `Resources` and the other sections keep the order they were added in.
#[derive(Clone, Debug)]
pub struct Template {
    /// The sections in CloudFormation's usual order, entries in the order of the strategies.
    pub sections: Vec<(&'static str, Section)>,
}

/// One section of a template.
#[derive(Clone, Debug)]
pub enum Section {
    /// A plain text.
    Text(String),
    /// Named entries.
    Entries(Vec<(String, Value)>),
}

impl Template {
    /// The template as one JSON value, for rules and tests.
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        for (name, section) in &self.sections {
            let value = match section {
                Section::Text(text) => json!(text),
                Section::Entries(entries) => Value::Object(entries.iter().cloned().collect()),
            };
            out.insert((*name).into(), value);
        }
        Value::Object(out)
    }
}

/// Builds the stack of an agent.
pub fn build(agent: &Agent) -> Template {
    let settings = &agent.deploy;
    let mut stack = Stack::new(settings);
    if settings.hosting == Hosting::Agentcore {
        encryption::add(settings, &mut stack);
        sessions::add(settings, &mut stack);
        authenticator::add(settings, &mut stack);
        assets::add(agent, &mut stack);
        models::add(agent, &mut stack);
        agentcore::add(agent, &mut stack);
        return stack.finish(agent);
    }
    encryption::add(settings, &mut stack);
    sessions::add(settings, &mut stack);
    authenticator::add(settings, &mut stack);
    assets::add(agent, &mut stack);
    models::add(agent, &mut stack);
    frontend::add(settings, &mut stack);
    match settings.communication {
        Communication::Rest => {
            rest::add(settings, &mut stack);
            edge::add(settings, &mut stack);
        }
        Communication::FunctionUrl => function_url::add(settings, &mut stack),
        Communication::None => {}
    }
    observability::add(settings, &mut stack);
    // Last: the function takes the environment and the permissions that the others asked for.
    hosting::add(settings, &mut stack);
    stack.finish(agent)
}

/// What strategies write into.
struct Stack {
    parameters: Vec<(String, Value)>,
    conditions: Vec<(String, Value)>,
    resources: Vec<(String, Value)>,
    outputs: Vec<(String, Value)>,
    /// The function's environment.
    environment: BTreeMap<String, Value>,
    /// The statements of the function's role.
    statements: Vec<Value>,
    retain: bool,
    tags: BTreeMap<String, String>,
}

impl Stack {
    fn new(settings: &Settings) -> Self {
        let mut tags = settings.tags.clone();
        tags.entry("loquat:agent".into()).or_insert_with(|| settings.name.clone());
        Self {
            parameters: Vec::new(),
            conditions: Vec::new(),
            resources: Vec::new(),
            outputs: Vec::new(),
            environment: BTreeMap::new(),
            statements: Vec::new(),
            retain: settings.removal == Removal::Retain,
            tags,
        }
    }

    /// Adds a resource of `kind`; the stack's tags go on it where the type takes them.
    fn resource(&mut self, id: &str, kind: &str, properties: Value) -> &mut Value {
        let mut properties = properties;
        match tag_style(kind) {
            TagStyle::List => {
                let list: Vec<Value> =
                    self.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
                properties["Tags"] = Value::Array(list);
            }
            TagStyle::Map(key) => properties[key] = json!(self.tags),
            TagStyle::None => {}
        }
        self.resources.push((id.into(), json!({ "Type": kind, "Properties": properties })));
        let last = self.resources.len() - 1;
        &mut self.resources[last].1
    }

    /// Adds a resource that holds data: `removal` decides whether it outlives the stack.
    fn data_resource(&mut self, id: &str, kind: &str, properties: Value) -> &mut Value {
        let policy = if self.retain { "Retain" } else { "Delete" };
        let resource = self.resource(id, kind, properties);
        resource["DeletionPolicy"] = json!(policy);
        resource["UpdateReplacePolicy"] = json!(policy);
        resource
    }

    fn parameter(&mut self, name: &str, description: &str, default: Option<&str>) {
        let mut value = json!({ "Type": "String", "Description": description });
        if let Some(default) = default {
            value["Default"] = json!(default);
        }
        self.parameters.push((name.into(), value));
    }

    fn output(&mut self, name: &str, description: &str, value: Value) {
        self.outputs.push((name.into(), json!({ "Description": description, "Value": value })));
    }

    fn env(&mut self, name: &str, value: impl Into<Value>) {
        self.environment.insert(name.into(), value.into());
    }

    /// Allows the function exactly these actions on exactly these resources.
    fn allow(&mut self, actions: &[&str], resources: Value) {
        self.statements.push(json!({ "Effect": "Allow", "Action": actions, "Resource": resources }));
    }

    /// Takes the last statement, to add a condition to it.
    fn last_statement(&mut self) -> Option<&mut Value> {
        self.statements.last_mut()
    }

    fn finish(mut self, agent: &Agent) -> Template {
        for (id, table) in &agent.deploy.overrides {
            if let Some((_, resource)) = self.resources.iter_mut().find(|(known, _)| known == id) {
                let patch = serde_json::to_value(table).unwrap_or_default();
                merge(&mut resource["Properties"], &patch);
            }
        }
        for (id, resource) in &mut self.resources {
            exceptions::annotate(id, resource);
        }
        let mut sections = vec![
            ("AWSTemplateFormatVersion", Section::Text("2010-09-09".into())),
            ("Description", Section::Text(format!("{}: a Loquat agent", agent.name))),
        ];
        for (name, entries) in [
            ("Parameters", self.parameters),
            ("Conditions", self.conditions),
            ("Resources", self.resources),
            ("Outputs", self.outputs),
        ] {
            if !entries.is_empty() {
                sections.push((name, Section::Entries(entries)));
            }
        }
        Template { sections }
    }
}

/// The logical ids in `[deploy.overrides]` that the stack does not have.
pub fn unknown_overrides(agent: &Agent, template: &Template) -> Vec<String> {
    let value = template.to_value();
    agent
        .deploy
        .overrides
        .keys()
        .filter(|id| value["Resources"].get(id.as_str()).is_none())
        .cloned()
        .collect()
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

enum TagStyle {
    List,
    Map(&'static str),
    None,
}

/// How a resource type spells its tags; types that take none are left alone.
fn tag_style(kind: &str) -> TagStyle {
    match kind {
        "AWS::KMS::Key"
        | "AWS::S3::Bucket"
        | "AWS::IAM::Role"
        | "AWS::Lambda::Function"
        | "AWS::Logs::LogGroup"
        | "AWS::ApiGateway::RestApi"
        | "AWS::ApiGateway::Stage"
        | "AWS::CloudFront::Distribution"
        | "AWS::SNS::Topic"
        | "AWS::CloudWatch::Alarm"
        | "AWS::WAFv2::WebACL" => TagStyle::List,
        "AWS::Cognito::UserPool" => TagStyle::Map("UserPoolTags"),
        "AWS::BedrockAgentCore::Runtime" => TagStyle::Map("Tags"),
        _ => TagStyle::None,
    }
}
