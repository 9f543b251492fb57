//! What an operator sees: metrics taken from the function's own log lines, a dashboard, and alarms that reach a
//! person.

use serde_json::{Value, json};

use super::{
    Stack,
    intrinsics::{attribute, reference, sub},
};
use crate::settings::{Communication, Settings};

/// Where the metrics of this stack are.
const NAMESPACE: &str = "Loquat";

/// Figures taken from the log line that ends a run: metric, the line's field, unit.
const RUN_METRICS: &[(&str, &str, &str)] = &[
    ("FirstTokenTime", "first_token_ms", "Milliseconds"),
    ("RunTime", "total_ms", "Milliseconds"),
    ("InputTokens", "input_tokens", "Count"),
    ("OutputTokens", "output_tokens", "Count"),
    ("Cost", "cost_usd", "None"),
];

pub(super) fn add(settings: &Settings, stack: &mut Stack) {
    metrics(stack);
    if settings.observability.dashboard {
        dashboard(settings, stack);
    }
    if settings.observability.alarms {
        topic(settings, stack);
        alarms(settings, stack);
    }
}

fn metrics(stack: &mut Stack) {
    for (name, field, unit) in RUN_METRICS {
        stack.resource(
            &format!("{name}Metric"),
            "AWS::Logs::MetricFilter",
            json!({
                "LogGroupName": reference("LogGroup"),
                "FilterPattern": format!("{{ $.message = \"run ended\" && $.{field} = * }}"),
                "MetricTransformations": [{
                    "MetricName": sub(format!("${{AWS::StackName}}-{name}")),
                    "MetricNamespace": NAMESPACE,
                    "MetricValue": format!("$.{field}"),
                    "Unit": unit
                }]
            }),
        );
    }
    stack.resource(
        "FailedRunsMetric",
        "AWS::Logs::MetricFilter",
        json!({
            "LogGroupName": reference("LogGroup"),
            "FilterPattern": "{ $.message = \"run ended\" && $.outcome = \"failed\" }",
            "MetricTransformations": [{
                "MetricName": sub("${AWS::StackName}-FailedRuns"),
                "MetricNamespace": NAMESPACE,
                "MetricValue": "1",
                "Unit": "Count"
            }]
        }),
    );
}

/// A widget: title, its metrics, statistic.
type Widget = (&'static str, Vec<Vec<String>>, &'static str);

fn widgets(settings: &Settings) -> Vec<Widget> {
    let own = |name: &str| vec![NAMESPACE.to_owned(), format!("${{AWS::StackName}}-{name}")];
    let lambda = |name: &str| {
        vec!["AWS/Lambda".to_owned(), name.to_owned(), "FunctionName".to_owned(), "${Function}".to_owned()]
    };
    let api = |name: &str| {
        vec![
            "AWS/ApiGateway".to_owned(),
            name.to_owned(),
            "ApiName".to_owned(),
            "${AWS::StackName}".to_owned(),
            "Stage".to_owned(),
            settings.rest.stage.clone(),
        ]
    };
    let mut widgets = Vec::new();
    if settings.communication == Communication::Rest {
        widgets.push(("Requests", vec![api("Count")], "Sum"));
        widgets.push(("Refused and failed", vec![api("4XXError"), api("5XXError")], "Sum"));
    }
    widgets.extend([
        ("Runs", vec![lambda("Invocations"), lambda("Errors"), own("FailedRuns")], "Sum"),
        ("Throttles and instances", vec![lambda("Throttles"), lambda("ConcurrentExecutions")], "Maximum"),
        ("Time to the first token (ms)", vec![own("FirstTokenTime")], "p90"),
        ("Run time (ms)", vec![own("RunTime")], "p90"),
        ("Tokens", vec![own("InputTokens"), own("OutputTokens")], "Sum"),
        ("Model cost (USD)", vec![own("Cost")], "Sum"),
    ]);
    widgets
}

fn dashboard(settings: &Settings, stack: &mut Stack) {
    let widgets: Vec<Value> = widgets(settings)
        .into_iter()
        .enumerate()
        .map(|(index, (title, metrics, stat))| {
            json!({
                "type": "metric",
                "x": (index % 2) * 12, "y": (index / 2) * 6, "width": 12, "height": 6,
                "properties": {
                    "title": title, "metrics": metrics, "stat": stat,
                    "region": "${AWS::Region}", "period": 60, "view": "timeSeries"
                }
            })
        })
        .collect();
    let body = super::render::canonical(&json!({ "widgets": widgets }));
    stack.resource(
        "Dashboard",
        "AWS::CloudWatch::Dashboard",
        json!({ "DashboardName": sub(super::frontend::WORLDWIDE_NAME), "DashboardBody": sub(body) }),
    );
}

fn topic(settings: &Settings, stack: &mut Stack) {
    stack.resource("AlarmTopic", "AWS::SNS::Topic", json!({ "KmsMasterKeyId": attribute("Key", "Arn") }));
    stack.resource(
        "AlarmTopicPolicy",
        "AWS::SNS::TopicPolicy",
        json!({
            "Topics": [reference("AlarmTopic")],
            "PolicyDocument": { "Version": "2012-10-17", "Statement": [{
                "Sid": "AlarmsOfThisAccount",
                "Effect": "Allow",
                "Principal": { "Service": "cloudwatch.amazonaws.com" },
                "Action": "sns:Publish",
                "Resource": reference("AlarmTopic"),
                "Condition": { "StringEquals": { "aws:SourceAccount": reference("AWS::AccountId") } }
            }] }
        }),
    );
    if let Some(email) = &settings.observability.alarm_email {
        stack.resource(
            "AlarmMail",
            "AWS::SNS::Subscription",
            json!({ "TopicArn": reference("AlarmTopic"), "Protocol": "email", "Endpoint": email }),
        );
    }
    stack.output("AlarmTopicArn", "Alarms go here", reference("AlarmTopic"));
}

struct Alarm {
    id: &'static str,
    text: &'static str,
    namespace: &'static str,
    metric: Value,
    dimensions: Value,
    statistic: (&'static str, &'static str),
    threshold: u32,
    periods: u32,
}

fn alarms(settings: &Settings, stack: &mut Stack) {
    let function = json!([{ "Name": "FunctionName", "Value": reference("Function") }]);
    let sum = ("Statistic", "Sum");
    let mut alarms = vec![
        Alarm {
            id: "ErrorAlarm",
            text: "The function fails: see its log group",
            namespace: "AWS/Lambda",
            metric: json!("Errors"),
            dimensions: function.clone(),
            statistic: sum,
            threshold: 1,
            periods: 1,
        },
        Alarm {
            id: "ThrottleAlarm",
            text: "Lambda turns requests away: raise the concurrency limit",
            namespace: "AWS/Lambda",
            metric: json!("Throttles"),
            dimensions: function,
            statistic: sum,
            threshold: 1,
            periods: 1,
        },
        Alarm {
            id: "FailedRunAlarm",
            text: "Runs end in an error: the model or a tool is failing",
            namespace: NAMESPACE,
            metric: sub("${AWS::StackName}-FailedRuns"),
            dimensions: json!([]),
            statistic: sum,
            threshold: 5,
            periods: 1,
        },
        Alarm {
            id: "FirstTokenAlarm",
            text: "Nine of ten users wait more than ten seconds for the first word",
            namespace: NAMESPACE,
            metric: sub("${AWS::StackName}-FirstTokenTime"),
            dimensions: json!([]),
            statistic: ("ExtendedStatistic", "p90"),
            threshold: 10_000,
            periods: 3,
        },
    ];
    if settings.communication == Communication::Rest {
        alarms.push(Alarm {
            id: "ApiErrorAlarm",
            text: "The API answers 5xx: see its access log",
            namespace: "AWS/ApiGateway",
            metric: json!("5XXError"),
            dimensions: json!([
                { "Name": "ApiName", "Value": sub("${AWS::StackName}") },
                { "Name": "Stage", "Value": settings.rest.stage }
            ]),
            statistic: sum,
            threshold: 5,
            periods: 1,
        });
    }
    for alarm in alarms {
        let mut properties = json!({
            "AlarmDescription": alarm.text,
            "Namespace": alarm.namespace,
            "MetricName": alarm.metric,
            "Dimensions": alarm.dimensions,
            "Period": 300,
            "EvaluationPeriods": alarm.periods,
            "Threshold": alarm.threshold,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": [reference("AlarmTopic")],
            "OKActions": [reference("AlarmTopic")]
        });
        properties[alarm.statistic.0] = json!(alarm.statistic.1);
        stack.resource(alarm.id, "AWS::CloudWatch::Alarm", properties);
    }
}
