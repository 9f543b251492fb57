//! One operation of the API, as it is put together and written down.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problems::{self, ErrorForm};

/// A method on a path, with all that may be sent and answered.
pub(super) struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: Option<String>,
    signed_in: bool,
    parameters: Vec<Value>,
    body: Option<Body>,
    answers: BTreeMap<u16, Value>,
    problems: Vec<&'static str>,
    errors: Option<&'static ErrorForm>,
}

struct Body {
    schema: Box<dyn FnOnce(&mut SchemaGenerator) -> Value>,
    examples: Vec<(&'static str, Value)>,
}

impl Operation {
    /// An operation that needs a credential, where people sign in.
    pub(super) fn new(method: &'static str, path: &'static str, id: &'static str, tag: &'static str) -> Self {
        let mut operation = Self {
            method,
            path,
            id,
            tag,
            summary: "",
            description: None,
            signed_in: true,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            problems: vec!["unknown_host", "foreign_origin", "internal"],
            errors: None,
        };
        // A path that is not UTF-8 once it is decoded.
        if path.contains('{') {
            operation.problems.push("invalid_request");
        }
        operation
    }

    /// Nobody needs to sign in.
    pub(super) fn public(mut self) -> Self {
        self.signed_in = false;
        self
    }

    /// One line on what it does.
    pub(super) fn summary(mut self, text: &'static str) -> Self {
        self.summary = text;
        self
    }

    /// What one needs to know to use it (Markdown).
    pub(super) fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// A part of the path.
    pub(super) fn in_path(mut self, name: &str, schema: Value, example: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": schema, "example": example,
        }));
        self
    }

    /// A session's or a run's id in the path.
    pub(super) fn id_in_path(self, example: &str, description: &str) -> Self {
        self.in_path("id", json!({"$ref": "#/components/schemas/Id"}), example, description)
    }

    /// A part of the query; unknown ones are refused.
    pub(super) fn in_query(mut self, name: &str, schema: Value, description: &str) -> Self {
        self.parameters
            .push(json!({"name": name, "in": "query", "description": description, "schema": schema}));
        self.add(&["invalid_request"]);
        self
    }

    /// A header that changes the answer.
    pub(super) fn in_header(mut self, name: &str, schema: Value, description: &str) -> Self {
        self.parameters
            .push(json!({"name": name, "in": "header", "description": description, "schema": schema}));
        self
    }

    /// A JSON body that is read as `T`.
    pub(super) fn body<T: JsonSchema>(self, examples: Vec<(&'static str, Value)>) -> Self {
        let schema = |generator: &mut SchemaGenerator| generator.subschema_for::<T>().to_value();
        self.json_body(Box::new(schema), examples).problems(&["unknown_field"])
    }

    /// A JSON body that others describe, of which the schema says what is needed here.
    pub(super) fn foreign_body(self, schema: Value, examples: Vec<(&'static str, Value)>) -> Self {
        self.json_body(Box::new(|_: &mut SchemaGenerator| schema), examples)
    }

    fn json_body(
        mut self,
        schema: Box<dyn FnOnce(&mut SchemaGenerator) -> Value>,
        examples: Vec<(&'static str, Value)>,
    ) -> Self {
        self.body = Some(Body { schema, examples });
        self.add(&[
            "invalid_body",
            "invalid_json",
            "invalid_field",
            "unsupported_media_type",
            "body_too_large",
            "body_too_slow",
        ]);
        self
    }

    /// An answer in JSON, with an example of it.
    pub(super) fn json(self, status: u16, description: &str, schema: Value, example: Value) -> Self {
        self.typed(status, description, "application/json", schema, example)
    }

    /// An answer of a media type; several types of one status are alternatives.
    pub(super) fn typed(
        mut self,
        status: u16,
        description: &str,
        kind: &str,
        schema: Value,
        example: Value,
    ) -> Self {
        let answer = self.answers.entry(status).or_insert_with(|| json!({"description": description}));
        answer["content"][kind] = json!({"schema": schema, "example": example});
        self
    }

    /// An answer without a body.
    pub(super) fn empty(mut self, status: u16, description: &str) -> Self {
        self.answers.insert(status, json!({"description": description}));
        self
    }

    /// A header of an answer that was added before.
    pub(super) fn header(mut self, status: u16, name: &str, description: &str) -> Self {
        if let Some(answer) = self.answers.get_mut(&status) {
            answer["headers"][name] = json!({"description": description, "schema": {"type": "string"}});
        }
        self
    }

    /// Answers that are errors, by their codes.
    pub(super) fn problems(mut self, codes: &[&'static str]) -> Self {
        self.add(codes);
        self
    }

    /// Its errors are told in a dialect's own form.
    pub(super) fn errors_as(mut self, form: &'static ErrorForm) -> Self {
        self.errors = Some(form);
        self
    }

    /// It reads or writes the store.
    pub(super) fn stored(self) -> Self {
        self.problems(&["store_unavailable", "store_refused"])
    }

    fn add(&mut self, codes: &[&'static str]) {
        for code in codes {
            if !self.problems.contains(code) {
                self.problems.push(code);
            }
        }
    }

    /// Its method, in capitals.
    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    /// Its path, with the names of its parts in braces.
    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    /// Whether it needs a credential.
    #[cfg(test)]
    pub(super) fn signed_in(&self) -> bool {
        self.signed_in
    }

    /// The description of it.
    pub(super) fn describe(mut self, generator: &mut SchemaGenerator, schemes: &Value) -> Value {
        let signed_in = self.signed_in && schemes.as_object().is_some_and(|schemes| !schemes.is_empty());
        if self.signed_in {
            self.add(&["rate_limited"]);
        }
        if signed_in {
            self.add(&["unauthorized", "sign_in_unavailable"]);
        }
        let mut described = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
        });
        if let Some(description) = self.description {
            described["description"] = description.into();
        }
        if signed_in {
            let any: Vec<Value> =
                schemes.as_object().into_iter().flatten().map(|(name, _)| json!({name: []})).collect();
            described["security"] = any.into();
        }
        if !self.parameters.is_empty() {
            described["parameters"] = self.parameters.into();
        }
        if let Some(body) = self.body {
            let examples: Map<String, Value> = body
                .examples
                .into_iter()
                .map(|(name, value)| (name.to_owned(), json!({"value": value})))
                .collect();
            described["requestBody"] = json!({
                "required": true,
                "content": {"application/json": {"schema": (body.schema)(generator), "examples": examples}},
            });
        }
        let mut answers: Map<String, Value> =
            self.answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        problems::describe(&self.problems, self.errors, &mut answers);
        described["responses"] = answers.into();
        described
    }
}
