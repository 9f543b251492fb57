//! Keeps the sums of docs/scaling.md true to the prices and inputs that stand beside them.

use std::collections::BTreeMap;

use crate::program::root;

/// The cells of a table's rows that have so many.
fn rows(text: &str, cells: usize) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
        .filter(move |row| row.len() == cells)
}

fn number(text: &str) -> Option<f64> {
    text.replace([' ', '\u{a0}'], "").parse().ok()
}

#[test]
fn a_million_chats_cost_what_the_formula_says() {
    let text = std::fs::read_to_string(root().join("docs/scaling.md")).unwrap();
    let (_, section) = text.split_once("## What a million chats cost").unwrap();
    let prices: BTreeMap<&str, f64> =
        rows(section, 2).filter_map(|row| Some((row[0], number(row[1])?))).collect();
    let price = |name: &str| {
        let found = prices.iter().find(|(cell, _)| cell.starts_with(name));
        *found.unwrap_or_else(|| panic!("there is no price {name}")).1
    };
    let inputs: BTreeMap<&str, f64> =
        rows(section, 3).filter_map(|row| Some((row[0], number(row[1])?))).collect();
    let (chats, seconds, writes) = (1e6, inputs["`seconds`"], inputs["`writes`"]);
    let mut checked = 0;
    for row in rows(section, 6) {
        let Some((size, rest)) = row[0].split_once(" MB, ") else { continue };
        let memory = number(size).unwrap() / 1_024.0;
        let kind = if rest.starts_with("arm64") { "arm64" } else { "x86_64" };
        let writes = if rest.contains("one write") { 1.0 } else { writes };
        let gb_seconds = chats * memory * seconds;
        let lambda =
            gb_seconds * price(&format!("`lambda_gb_second`, {kind}")) + chats * price("`lambda_request`");
        let api = chats * price("`api_request`");
        let s3 = chats * writes * price("`s3_put`");
        let expected = [gb_seconds, lambda, api, s3, lambda + api + s3];
        for (cell, expected) in row[1..].iter().zip(expected) {
            let written = number(cell).unwrap();
            assert!((written - expected).abs() < 0.006, "{}: {cell} is written, it is {expected:.2}", row[0]);
        }
        checked += 1;
    }
    assert_eq!(checked, 5);
}
