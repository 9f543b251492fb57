//! The table in docs/aws-parity.md: all 31 resources of the reference's stack, and names that our templates have.

use std::collections::{BTreeMap, BTreeSet};

use loquat_cloud::template;

/// What the reference's construct synthesizes to, by type.
const REFERENCE: &[(&str, u32)] = &[
    ("KMS::Key", 3),
    ("IAM::Role", 4),
    ("IAM::Policy", 1),
    ("S3::Bucket", 1),
    ("S3::BucketPolicy", 1),
    ("Custom::S3AutoDeleteObjects", 1),
    ("DynamoDB::Table", 1),
    ("Cognito::UserPool", 1),
    ("Cognito::UserPoolClient", 1),
    ("Lambda::Function", 2),
    ("Lambda::Permission", 4),
    ("ApiGateway::RestApi", 1),
    ("ApiGateway::Account", 1),
    ("ApiGateway::Deployment", 1),
    ("ApiGateway::Stage", 1),
    ("ApiGateway::Method", 3),
    ("ApiGateway::Resource", 1),
    ("ApiGateway::GatewayResponse", 2),
    ("ApiGateway::Authorizer", 1),
];

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_resource_of_the_reference_has_a_row_and_ours_is_there() {
    let text = std::fs::read_to_string(crate::tools::root().join("docs/aws-parity.md")).unwrap();
    let (table, besides) = text.split_once("Ours has besides").unwrap();
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    let mut named: BTreeSet<&str> = quoted(besides).collect();
    for row in table.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let Ok(count) = cells[1].parse::<u32>() else { continue };
        let types: Vec<&str> = cells[0].split(", ").map(|kind| kind.split(' ').next().unwrap()).collect();
        let each = count / u32::try_from(types.len()).unwrap();
        for kind in types {
            *counted.entry(kind.to_owned()).or_default() += each;
        }
        assert!(cells[2] == "none" || quoted(cells[2]).count() > 0, "{row}");
        assert!(cells[2] != "none" || !cells[3].is_empty(), "why not: {row}");
        named.extend(quoted(cells[2]));
    }
    let expected: BTreeMap<String, u32> =
        REFERENCE.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
    assert_eq!(counted, expected);
    assert_eq!(counted.values().sum::<u32>(), 31);
    let ours: BTreeSet<String> = ["rest", "rest-everything"]
        .iter()
        .flat_map(|name| {
            let template = template::build(&crate::template::case(name)).to_value();
            template["Resources"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        })
        .collect();
    for name in named {
        let there = match name.strip_suffix('…') {
            Some(start) => ours.iter().any(|id| id.starts_with(start)),
            None => ours.contains(name),
        };
        assert!(there, "`{name}` is in no template of ours");
    }
}
