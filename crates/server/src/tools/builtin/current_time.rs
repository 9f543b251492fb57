//! `current_time`: the date and time in a time zone.

use async_trait::async_trait;
use jiff::{Timestamp, tz::TimeZone};
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use serde_json::{Value, json};

use super::text;
use crate::tools::config::CurrentTimeConfig;

/// A zone by its IANA name. UTC, the default, is not looked up: the first look walks through all the zones of the system,
/// which is half the work of a start.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("UTC") {
        return Some(TimeZone::UTC);
    }
    TimeZone::get(name).ok()
}

pub(crate) struct CurrentTime {
    spec: ToolSpec,
    zone: TimeZone,
}

impl CurrentTime {
    pub(crate) fn new(config: &CurrentTimeConfig) -> Result<Self, String> {
        let zone = zone(&config.timezone).ok_or_else(|| format!("{} is not a time zone", config.timezone))?;
        let schema = json!({
            "type": "object",
            "properties": {
                "timezone": {
                    "type": "string",
                    "description": format!(
                        "IANA time zone, for example Europe/Berlin. Default: {}.", config.timezone),
                }
            },
            "additionalProperties": false,
        });
        let spec =
            ToolSpec::new("current_time", "Tells the current date, time and weekday in a time zone.", schema)
                .read_only();
        Ok(Self { spec, zone })
    }

    fn answer(&self, input: &Value, now: Timestamp) -> ToolOutput {
        let zone = match text(input, "timezone") {
            None => self.zone.clone(),
            Some(name) => match zone(name) {
                Some(zone) => zone,
                None => {
                    return ToolOutput::error(format!(
                        "\"{name}\" is not a time zone that is known here. Use an IANA name like Europe/Berlin or UTC."
                    ));
                }
            },
        };
        let local = now.to_zoned(zone);
        ToolOutput::json(json!({
            "time": local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "weekday": local.strftime("%A").to_string(),
            "timezone": local.time_zone().iana_name().unwrap_or("UTC"),
            "unix": now.as_second(),
        }))
    }
}

#[async_trait]
impl Tool for CurrentTime {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, input: Value, _cx: ToolContext) -> ToolOutput {
        self.answer(&input, Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loquat_agent::message::ToolContent;

    fn json_of(output: &ToolOutput) -> &Value {
        match output.content.as_slice() {
            [ToolContent::Json(value)] => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_time_is_told_in_the_zone_that_was_asked_for() {
        let tool = CurrentTime::new(&CurrentTimeConfig::default()).unwrap();
        let now: Timestamp = "2026-07-01T22:30:00Z".parse().unwrap();
        assert_eq!(
            json_of(&tool.answer(&json!({"timezone": "Europe/Berlin"}), now)),
            &json!({"time": "2026-07-02T00:30:00+02:00", "weekday": "Thursday", "timezone": "Europe/Berlin", "unix": 1_782_945_000})
        );
        assert_eq!(json_of(&tool.answer(&json!({}), now))["time"], "2026-07-01T22:30:00+00:00");
    }

    #[test]
    fn an_unknown_zone_is_an_error_the_model_can_mend() {
        let tool = CurrentTime::new(&CurrentTimeConfig::default()).unwrap();
        let output = tool.answer(&json!({"timezone": "Berlin"}), Timestamp::now());
        assert!(output.is_error && format!("{output:?}").contains("Europe/Berlin"));
    }
}
