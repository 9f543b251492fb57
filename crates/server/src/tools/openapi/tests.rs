//! Operations of an HTTP API as tools.

use std::net::IpAddr;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tools::guard::system_lookup;
use crate::tools::testing::{context, words};

fn petstore(server: &str) -> Value {
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Pets", "version": "1"},
        "servers": [{"url": format!("{server}/v{{major}}"), "variables": {"major": {"default": "1"}}}],
        "paths": {
            "/pets/{petId}": {
                "parameters": [{"$ref": "#/components/parameters/PetId"}],
                "get": {"operationId": "getPet", "summary": "Finds a pet.", "parameters": [
                    {"name": "fields", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "tags", "in": "query", "explode": false, "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                    {"name": "petId", "in": "query", "schema": {"type": "integer", "nullable": true, "minimum": 0, "exclusiveMinimum": true}},
                ]},
                "delete": {"operationId": "deletePet"},
            },
            "/pets": {
                "post": {"description": "Adds a pet.", "requestBody": {"required": true, "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}},
                "put": {"operationId": "upload", "requestBody": {"content": {"image/png": {}}}},
            },
            "/form": {"post": {"operationId": "form", "requestBody": {"content": {
                "application/x-www-form-urlencoded": {"schema": {"type": "object"}}}}}},
            "/away": {"get": {"operationId": "away"}},
        },
        "components": {
            "parameters": {"PetId": {"name": "petId", "in": "path", "required": true, "description": "Which pet",
                "schema": {"type": "string", "example": "x"}}},
            "schemas": {"Pet": {"type": "object", "required": ["name"], "x-internal": 1, "properties": {
                "name": {"type": "string"}, "example": {"type": "string"},
                "parent": {"$ref": "#/components/schemas/Pet"}}}},
        },
    })
}

async fn echo(request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path().ends_with("/away") {
        return axum::response::Redirect::temporary("http://169.254.169.254/latest/meta-data")
            .into_response();
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let seen = json!({
        "method": parts.method.as_str(), "uri": parts.uri.to_string(), "trace": header("x-trace"),
        "auth": header("authorization"), "key": header("x-api-key"), "type": header("content-type"),
        "body": String::from_utf8_lossy(&body),
        "w3c": header("traceparent"), "xray": header("x-amzn-trace-id"),
    });
    let status = if parts.method == "DELETE" { 404 } else { 200 };
    (http::StatusCode::from_u16(status).unwrap(), axum::Json(seen)).into_response()
}

async fn serve() -> String {
    crate::tls::install();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let document = axum::Json(petstore(&url));
    let router = Router::new()
        .route("/openapi.json", axum::routing::get(async move || document.clone()))
        .fallback(echo);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn config(url: &str, more: Value) -> OpenApiConfig {
    let mut config = json!({
        "name": "pets", "document": format!("{url}/openapi.json"), "allow_private": true,
        "bearer_token": "t0ken", "headers": {"x-api-key": "k3y"},
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

fn named(loaded: &Loaded, name: &str) -> Arc<dyn Tool> {
    let found = loaded.tools.iter().find(|tool| tool.spec().name == name);
    found.cloned().unwrap_or_else(|| panic!("no tool {name}"))
}

async fn call(loaded: &Loaded, name: &str, input: Value) -> ToolOutput {
    named(loaded, name).call(input, context("c").0).await
}

#[tokio::test]
async fn operations_are_tools_that_make_the_right_requests() {
    let url = serve().await;
    let loaded = load(&config(&url, json!({})), system_lookup()).await.unwrap();
    let mut names: Vec<_> = loaded.tools.iter().map(|tool| tool.spec().name.clone()).collect();
    names.sort();
    assert_eq!(names, ["away", "deletePet", "form", "getPet", "post_pets"]);
    assert_eq!(loaded.problems, ["put /pets: its body is of a type that cannot be written"]);

    let get = named(&loaded, "getPet");
    assert!(get.spec().read_only && !get.spec().needs_approval);
    assert!(named(&loaded, "deletePet").spec().needs_approval);
    let schema = &get.spec().input_schema;
    assert_eq!(schema["properties"]["petId"], json!({"type": "string", "description": "Which pet"}));
    assert_eq!(
        schema["properties"]["petid_in_query"],
        json!({"type": ["integer", "null"], "exclusiveMinimum": 0})
    );
    assert_eq!(schema["required"], json!(["petId"]));
    assert!(schema["properties"].get("Authorization").is_none(), "credentials are the owner's");
    let post = named(&loaded, "post_pets");
    let body = &post.spec().input_schema["properties"]["body"];
    assert!(body["properties"]["example"].is_object() && body.get("x-internal").is_none(), "{body}");

    let input = json!({"petId": "a/b ?#", "fields": ["x", "y z"], "tags": ["p", "q"], "X-Trace": "tr", "petid_in_query": 5});
    let seen: Value = serde_json::from_str(&words(&call(&loaded, "getPet", input).await)).unwrap();
    assert_eq!(seen["uri"], "/v1/pets/a%2Fb%20%3F%23?fields=x&fields=y+z&tags=p%2Cq&petId=5");
    assert_eq!(
        (&seen["trace"], &seen["auth"], &seen["key"]),
        (&json!("tr"), &json!("Bearer t0ken"), &json!("k3y"))
    );
    let seen = words(&call(&loaded, "post_pets", json!({"body": {"name": "Rex"}})).await);
    assert!(seen.contains(r#"{\"name\":\"Rex\"}"#) && seen.contains("application/json"), "{seen}");
    let seen = words(&call(&loaded, "form", json!({"body": {"a": "x y", "b": 2}})).await);
    assert!(seen.contains("a=x+y&b=2"), "{seen}");
    let missing = call(&loaded, "deletePet", json!({"petId": "1"})).await;
    assert!(missing.is_error && words(&missing).contains("404"), "{missing:?}");
    for bad in ["..", ".", ""] {
        assert!(call(&loaded, "getPet", json!({"petId": bad})).await.is_error);
    }
}

#[tokio::test]
async fn the_service_learns_the_trace() {
    use crate::telemetry::scope::{self, Scope};
    use crate::telemetry::trace::TraceContext;

    let loaded = load(&config(&serve().await, json!({})), system_lookup()).await.unwrap();
    let trace = TraceContext::child_of(None);
    let scope = Scope { trace: Some(trace.clone()), ..Scope::default() };
    let output = scope::enter(Arc::new(scope), call(&loaded, "getPet", json!({"petId": "1"}))).await;
    let seen: Value = serde_json::from_str(&words(&output)).unwrap();
    assert_eq!((&seen["w3c"], &seen["xray"]), (&json!(trace.traceparent()), &json!(trace.xray())));
}

#[tokio::test]
async fn requests_stay_where_they_are_allowed() {
    let url = serve().await;
    // A redirect to the metadata service is not followed, even though private addresses are allowed.
    let loaded = load(&config(&url, json!({})), system_lookup()).await.unwrap();
    let away = call(&loaded, "away", json!({})).await;
    assert!(away.is_error && words(&away).contains("not on the list of allowed hosts"), "{away:?}");
    let loaded = load(&config(&url, json!({"allow_private": false})), system_lookup()).await.unwrap();
    let refused = call(&loaded, "getPet", json!({"petId": "1"})).await;
    assert!(words(&refused).contains("private or special network"), "{refused:?}");
    // A public name that turns out to be private.
    let lookup: Lookup = Arc::new(|_| Box::pin(async { Ok(vec!["127.0.0.1".parse::<IpAddr>().unwrap()]) }));
    let more = json!({"allow_private": false, "base_url": "http://api.example/"});
    let loaded = load(&config(&url, more), lookup).await.unwrap();
    let refused = call(&loaded, "getPet", json!({"petId": "1"})).await;
    assert!(words(&refused).contains("resolves to 127.0.0.1"), "{refused:?}");
}

#[tokio::test]
async fn lists_choose_and_documents_that_cannot_be_read_are_named() {
    let url = serve().await;
    let more = json!({"allow": ["*Pet"], "deny": ["delete*"]});
    let loaded = load(&config(&url, more), system_lookup()).await.unwrap();
    assert_eq!(loaded.tools.len(), 1);
    for (document, expected) in [
        ("/nonexistent/openapi.json".to_owned(), "No such file"),
        (format!("{url}/other.json"), ""),
        ("http://127.0.0.1:9/x.json".to_owned(), "could not connect"),
    ] {
        let found = load(&config(&url, json!({"document": document})), system_lookup()).await;
        match found {
            Ok(loaded) => assert!(loaded.tools.is_empty()),
            Err(error) => assert!(error.contains(expected), "{error}"),
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é/.%{}?#&=]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(
                "paths|/a|/b/\\{id\\}|get|post|parameters|requestBody|content|application/json|schema|\\$ref|type|name|in|properties|allOf|items",
                inner, 0..6
            ).prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_makes_it_panic_and_every_tool_has_a_usable_schema(document in any_json()) {
        for operation in operations(&document).into_iter().flatten() {
            prop_assert!(jsonschema::validator_for(&operation.schema).is_ok());
        }
    }

    #[test]
    fn no_input_leads_a_request_elsewhere(id in any_json(), fields in any_json(), trace in any_json()) {
        let document = petstore("https://api.example/base");
        let base = Url::parse("https://api.example/base/v1").unwrap();
        for operation in operations(&document).into_iter().flatten() {
            let input = json!({"petId": id, "fields": fields, "tags": fields, "X-Trace": trace, "body": fields});
            if let Ok((url, _, _)) = request::build(&operation, &base, &input) {
                prop_assert_eq!(url.origin(), base.origin());
                let expected = operation.path.split('/').count();
                prop_assert!(url.path().starts_with("/base/v1/"), "{}", url);
                prop_assert_eq!(url.path().trim_start_matches("/base/v1").split('/').count(), expected, "{}", url);
            }
        }
    }
}

/// As people write them: numbers as keys, anchors, a merge key, block text, comments.
const YAML: &str = "# The shop
openapi: 3.0.3
info: {title: Shop, version: '1'}
servers:
  - url: https://shop.example
x-shared: &limit
  name: limit
  in: query
  schema: {type: integer}
paths:
  /orders/{id}:
    get:
      operationId: getOrder
      description: |
        One order.
        With its items.
      parameters:
        - {name: id, in: path, required: true, schema: {type: string}}
        - *limit
      responses:
        200: {description: ok}
        default: {description: wrong}
";

#[test]
fn a_document_may_be_yaml() {
    let document = parse(YAML.as_bytes()).unwrap();
    let found = operations(&document);
    let [Ok(order)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((order.name.as_str(), order.path.as_str()), ("getOrder", "/orders/{id}"));
    assert!(order.description.contains("With its items."), "{}", order.description);
    let properties = order.schema["properties"].as_object().unwrap();
    assert!(properties.contains_key("id") && properties["limit"]["type"] == "integer", "{properties:?}");
    // The same document as JSON gives the same tools.
    let json = parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(format!("{:?}", operations(&json)), format!("{found:?}"));
}

#[test]
fn a_document_that_is_neither_is_refused_in_words() {
    assert!(parse(b"{\"openapi\": ").unwrap_err().starts_with("the document is not JSON"));
    for text in ["just words", "a: [1", "- a\n- b", ""] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(error.starts_with("the document is neither JSON nor YAML"), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    // Nine names that each stand for nine of the one before: a billion values in five hundred bytes, which would end
    // neither in time nor in memory.
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let before = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb += &format!("a{n}: &a{n} [{before}]\n");
    }
    assert!(parse(bomb.as_bytes()).is_err());
    let deep = format!("a: {}1{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(parse(deep.as_bytes()).is_err());
}
