//! OpenTelemetry's own variables, as far as they concern traces by OTLP. They have no keys in `loquat.toml`: whoever runs
//! a collector sets them for all programs alike.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::ConfigError;
use crate::secret::Secret;

/// Where spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceConfig {
    /// The whole URL.
    pub endpoint: String,
    /// JSON instead of protobuf.
    pub json: bool,
    /// Headers, which may be credentials.
    pub headers: Vec<(String, Secret)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// What is known about this process.
    pub resource: Vec<(String, String)>,
    /// Most spans that wait.
    pub max_queue: usize,
    /// Most spans in a request.
    pub max_batch: usize,
    /// How long spans wait for others.
    pub schedule_delay: Duration,
    /// Whether spans may hold what users and models say.
    pub content: bool,
    /// Whether X-Ray's decision not to sample is obeyed.
    pub xray_decides: bool,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Of those that begin here, so many: 0 to 1.
    pub ratio: f64,
    /// Those that began elsewhere are recorded if they were there.
    pub follows_parent: bool,
}

/// The variables that are read, for the guide.
#[cfg(test)]
const VARIABLES: &[(&str, &str)] = &[
    ("OTEL_SDK_DISABLED", "`true` turns traces off."),
    ("OTEL_TRACES_EXPORTER", "`otlp` or `none`. Without it, spans are sent if an endpoint is set."),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "The collector, `http://localhost:4318` for one; `/v1/traces` is added."),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "The whole URL for traces."),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "`http/protobuf` (the default) or `http/json`."),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "The same for traces alone."),
    ("OTEL_EXPORTER_OTLP_HEADERS", "Headers as `name=value`, by commas, percent-encoded."),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "The same for traces alone."),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "Milliseconds that one request may take (10000)."),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "The same for traces alone."),
    (
        "OTEL_TRACES_SAMPLER",
        "`parentbased_always_on` (the default), `parentbased_always_off`, `parentbased_traceidratio`, `always_on`, `always_off`, `traceidratio`.",
    ),
    ("OTEL_TRACES_SAMPLER_ARG", "The ratio, 0 to 1."),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "Most spans that wait (2048)."),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "Most spans in a request (512)."),
    ("OTEL_BSP_SCHEDULE_DELAY", "Milliseconds that spans wait for others (5000)."),
    (
        "OTEL_PROPAGATORS",
        "With `xray` in it, X-Ray's decision not to sample is obeyed. Both headers are always read and written.",
    ),
    ("OTEL_SERVICE_NAME", "What this service is called; `LOQUAT_SERVICE_NAME` wins."),
    ("OTEL_RESOURCE_ATTRIBUTES", "More about this process as `name=value`, by commas."),
    (
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "`true` puts what users, models and tools say into spans.",
    ),
];

struct Env<'a>(&'a BTreeMap<String, String>);

impl Env<'_> {
    /// A variable that is set, by its name.
    fn get(&self, name: &'static str) -> Option<(&'static str, &str)> {
        let value = self.0.get(name)?.trim();
        (!value.is_empty()).then_some((name, value))
    }

    /// The variable for traces alone, else the one for everything.
    fn traces(&self, own: &'static str, common: &'static str) -> Option<(&'static str, &str)> {
        self.get(own).or_else(|| self.get(common))
    }

    fn number(&self, name: &'static str, default: usize) -> Result<usize, ConfigError> {
        match self.get(name) {
            None => Ok(default),
            Some((name, text)) => {
                text.parse().ok().filter(|n| *n > 0).ok_or_else(|| wrong(name, text, "a whole number from 1"))
            }
        }
    }
}

fn wrong(name: &str, value: &str, expected: &str) -> ConfigError {
    ConfigError {
        place: "environment".into(),
        key: name.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}

/// Reads the variables; `None` where no spans are sent.
pub(super) fn traces(
    env: &BTreeMap<String, String>,
    service: &str,
) -> Result<Option<TraceConfig>, ConfigError> {
    let env = Env(env);
    if env.get("OTEL_SDK_DISABLED").is_some_and(|(_, text)| text.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let own = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let common = env.get("OTEL_EXPORTER_OTLP_ENDPOINT");
    match env.get("OTEL_TRACES_EXPORTER") {
        Some((_, "none")) => return Ok(None),
        Some((_, "otlp")) => {}
        Some((name, text)) => return Err(wrong(name, text, "otlp or none")),
        // A program on a laptop does not look for a collector that nobody spoke of.
        None if own.is_none() && common.is_none() => return Ok(None),
        None => {}
    }
    let endpoint = match (own, common) {
        (Some((_, url)), _) => url.to_owned(),
        (None, Some((_, url))) => format!("{}/v1/traces", url.trim_end_matches('/')),
        (None, None) => "http://localhost:4318/v1/traces".to_owned(),
    };
    let parsed = url::Url::parse(&endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if parsed.is_none_or(|url| !url.has_host()) {
        return Err(wrong("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint, "an http:// or https:// URL"));
    }
    let protocol = env.traces("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
    let json = match protocol {
        None | Some((_, "http/protobuf")) => false,
        Some((_, "http/json")) => true,
        Some((name, text)) => return Err(wrong(name, text, "http/protobuf or http/json")),
    };
    let timeout = match env.traces("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT") {
        None => 10_000,
        Some((name, text)) => text.parse().map_err(|_| wrong(name, text, "milliseconds"))?,
    };
    let headers = match env.traces("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS") {
        None => Vec::new(),
        // The value is not shown: it is a credential more often than not.
        Some((name, text)) => {
            let pairs = pairs(text).ok_or_else(|| wrong(name, "***", "name=value, by commas"))?;
            pairs.into_iter().map(|(header, value)| (header, Secret::new(value))).collect()
        }
    };
    let content = env.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT").is_some_and(|(_, text)| {
        ["true", "span_only", "span_and_event"].contains(&text.to_ascii_lowercase().as_str())
    });
    Ok(Some(TraceConfig {
        endpoint,
        json,
        headers,
        timeout: Duration::from_millis(timeout),
        sampler: sampler(&env)?,
        resource: resource(&env, service)?,
        max_queue: env.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048)?,
        max_batch: env.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)?,
        schedule_delay: Duration::from_millis(env.number("OTEL_BSP_SCHEDULE_DELAY", 5_000)? as u64),
        content,
        xray_decides: env.get("OTEL_PROPAGATORS").is_some_and(|(_, list)| list.contains("xray")),
    }))
}

fn sampler(env: &Env<'_>) -> Result<Sampler, ConfigError> {
    let ratio = match env.get("OTEL_TRACES_SAMPLER_ARG") {
        None => 1.0,
        Some((name, text)) => {
            let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            ratio.ok_or_else(|| wrong(name, text, "a number from 0 to 1"))?
        }
    };
    let (name, text) = env.get("OTEL_TRACES_SAMPLER").unwrap_or(("", "parentbased_always_on"));
    let (follows_parent, kind) = match text.strip_prefix("parentbased_") {
        Some(kind) => (true, kind),
        None => (false, text),
    };
    let ratio = match kind {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => ratio,
        _ => {
            return Err(wrong(
                name,
                text,
                "always_on, always_off or traceidratio, also with parentbased_ before it",
            ));
        }
    };
    Ok(Sampler { ratio, follows_parent })
}

/// What is known about this process, on Lambda more than elsewhere.
fn resource(env: &Env<'_>, service: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut resource = match env.get("OTEL_RESOURCE_ATTRIBUTES") {
        None => Vec::new(),
        Some((name, text)) => pairs(text).ok_or_else(|| wrong(name, text, "name=value, by commas"))?,
    };
    let mut add = |name: &str, value: Option<&str>| {
        if let (Some(value), false) = (value, resource.iter().any(|(known, _)| known == name)) {
            resource.push((name.to_owned(), value.to_owned()));
        }
    };
    let function = env.get("AWS_LAMBDA_FUNCTION_NAME").map(|(_, name)| name);
    add("service.version", Some(env!("CARGO_PKG_VERSION")));
    add("telemetry.sdk.language", Some("rust"));
    add("telemetry.sdk.name", Some("loquat"));
    add("telemetry.sdk.version", Some(env!("CARGO_PKG_VERSION")));
    add("faas.name", function);
    add("cloud.provider", function.map(|_| "aws"));
    add("cloud.region", function.and(env.get("AWS_REGION").map(|(_, region)| region)));
    // The name of the service wins over the list of attributes, as the specification says.
    resource.retain(|(name, _)| name != "service.name");
    resource.push(("service.name".to_owned(), service.to_owned()));
    Ok(resource)
}

/// `a=b,c=d`, percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decode = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(Cow::into_owned);
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((decode(name)?, decode(value)?)).filter(|(name, _)| !name.is_empty())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<Option<TraceConfig>, String> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        traces(&env, "agent").map_err(|error| error.to_string())
    }

    #[test]
    fn the_guide_lists_every_variable() {
        const BEGIN: &str = "<!-- variables: made from crates/server/src/config/otel.rs by a test -->\n";
        const END: &str = "<!-- end of variables -->\n";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let rows: String = VARIABLES.iter().map(|(name, doc)| format!("| `{name}` | {doc} |\n")).collect();
        let current = format!("{before}{BEGIN}| variable | meaning |\n|---|---|\n{rows}{END}{after}");
        if text != current {
            std::fs::write(&path, current).unwrap();
            panic!("docs/operations.md was stale and is written anew: look at it, and commit it");
        }
    }

    #[test]
    fn nothing_is_sent_unless_asked_for() {
        assert_eq!(read(&[]), Ok(None));
        let on = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
        assert_eq!(read(&[on, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(read(&[on, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
        assert_eq!(read(&[on]).unwrap().unwrap().endpoint, "http://c:4318/v1/traces");
        let config = read(&[("OTEL_TRACES_EXPORTER", "otlp")]).unwrap().unwrap();
        assert_eq!(config.endpoint, "http://localhost:4318/v1/traces");
        assert!(!config.json && !config.content);
    }

    #[test]
    fn every_variable_means_what_the_specification_says() {
        let config = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces/x"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc,x-team=a%2Cb"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=prod,service.name=no"),
            ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!((config.endpoint.as_str(), config.json, config.content), ("https://traces/x", true, true));
        assert_eq!(config.headers[0].1.expose(), "Bearer abc");
        assert_eq!(config.headers[1].1.expose(), "a,b");
        assert_eq!(config.timeout, Duration::from_millis(500));
        assert_eq!(config.sampler, Sampler { ratio: 0.5, follows_parent: false });
        assert!(config.resource.contains(&("service.name".into(), "agent".into())));
        assert!(config.resource.contains(&("deployment.environment".into(), "prod".into())));
        assert!(!format!("{config:?}").contains("abc"));
    }

    #[test]
    fn wrong_values_stop_the_start() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ] {
            let on = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1");
            let env = if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
                vec![(name, value)]
            } else {
                vec![on, (name, value)]
            };
            let error = read(&env).unwrap_err();
            assert!(error.contains(name) && !error.contains("secret"), "{error}");
        }
    }
}
