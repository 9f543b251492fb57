//! Rules about the files themselves.

use std::path::Path;

use anyhow::{Context, Result};

use crate::program::root;

/// The most lines of a source file, its tests not counted.
const MOST_LINES: usize = 500;
/// The most lines of ARCHITECTURE.md: it is read whole, by everybody.
const MOST_ARCHITECTURE: usize = 150;
/// The largest file, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Longer files that are allowed, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// Marks of unfinished work and of checks that do not check. In two halves, so that this file does not name them.
const MARKS: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("#[ign", "ore"),
    ("test.sk", "ip("),
    ("it.sk", "ip("),
    ("describe.sk", "ip("),
    ("test.fix", "me("),
];

/// Hosts of package registries: what a checkout needs is named by its lock files only.
const REGISTRIES: &[(&str, &str)] = &[
    ("static.crates", ".io"),
    ("index.crates", ".io"),
    ("registry.npmjs", ".org"),
    ("files.pythonhosted", ".org"),
    ("pypi", ".org/simple"),
    ("deb.debian", ".org"),
    ("proxy.golang", ".org"),
];

/// What a build script would need for the network: a build brings what the lock files name and nothing else.
const NETWORK: &[&str] = &[
    "std::net",
    "TcpStream",
    "UdpSocket",
    "reqwest",
    "ureq",
    "hyper::",
    "http://",
    "https://",
    "\"curl\"",
    "\"wget\"",
    "\"git\"",
    "\"npm\"",
    "Command::new",
];

/// Scripts that npm runs by itself when it installs a package.
const NPM_HOOKS: &[&str] = &["\"preinstall\"", "\"install\"", "\"postinstall\"", "\"prepare\""];

/// Adds a line for each rule that a file breaks.
pub(super) fn check(path: &Path, breaches: &mut Vec<String>) -> Result<()> {
    let name = path.to_string_lossy().into_owned();
    let whole = root().join(path);
    let size = whole.metadata().with_context(|| format!("cannot read {name}"))?.len();
    if size > MOST_BYTES {
        breaches.push(format!("{name}: {} KiB; the most is {} KiB", size / 1024, MOST_BYTES / 1024));
        return Ok(());
    }
    let bytes = std::fs::read(&whole).with_context(|| format!("cannot read {name}"))?;
    // Images and the like have no lines.
    if let Ok(text) = String::from_utf8(bytes) {
        breaches.extend(check_text(&name, &text).into_iter().map(|breach| format!("{name}: {breach}")));
    }
    Ok(())
}

/// Adds a line for each allowance that nothing needs any more.
pub(super) fn check_allowances(breaches: &mut Vec<String>) {
    for (name, _) in LONG {
        let lines = std::fs::read_to_string(root().join(name)).map_or(0, |text| counted_lines(&text));
        if lines <= MOST_LINES {
            breaches
                .push(format!("{name}: is allowed to be long but has {lines} lines; remove the allowance"));
        }
    }
}

fn check_text(name: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_lock = name.ends_with(".lock") || name.ends_with("package-lock.json");
    let is_code =
        matches!(extension, "rs" | "ts" | "tsx" | "js" | "mjs" | "py" | "sh" | "css") || name == ".ci/run";
    let is_test = name.split('/').any(|part| {
        matches!(part, "tests" | "test" | "e2e" | "fixtures" | "tests.rs")
            || part.contains(".test.")
            || part.starts_with("test_")
    });
    if extension == "rs" && !text.starts_with("//!") {
        breaches.push("the first line of a module says what it is (`//! …`)".to_owned());
    }
    let lines = counted_lines(text);
    if is_code && !is_test && lines > MOST_LINES && !LONG.iter().any(|(long, _)| *long == name) {
        breaches.push(format!("{lines} lines; the most is {MOST_LINES} without tests"));
    }
    if name == "ARCHITECTURE.md" && text.lines().count() > MOST_ARCHITECTURE {
        breaches.push(format!("more than {MOST_ARCHITECTURE} lines"));
    }
    // A module may have the name, too.
    let is_build_script = name.ends_with("build.rs") && !name.contains("/src/");
    let is_package = name == "package.json" || name.ends_with("/package.json");
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
        if is_build_script && let Some(word) = NETWORK.iter().find(|word| line.contains(**word)) {
            breaches.push(format!("line {at}: a build script with `{word}`: none may reach for the network"));
        }
        if is_package {
            if let Some(hook) = NPM_HOOKS.iter().find(|hook| line.trim_start().starts_with(**hook)) {
                breaches.push(format!("line {at}: {hook} runs while packages are installed"));
            }
            if let Some((_, version)) = line.split_once("\": \"")
                && version.starts_with(['^', '~', '>', '*'])
                && !["\"node\"", "peerDependencies"].iter().any(|known| line.contains(known))
            {
                breaches.push(format!("line {at}: a dependency has one version, not a range"));
            }
        }
        if is_code && let Some(mark) = first_in(MARKS, line) {
            breaches.push(format!("line {at}: `{mark}`"));
        }
        if line.starts_with(&"<".repeat(7)) || line.starts_with(&">".repeat(7)) {
            breaches.push(format!("line {at}: a conflict of a merge"));
        }
        if !is_lock && let Some(host) = first_in(REGISTRIES, line) {
            breaches.push(format!("line {at}: names the package registry {host}"));
        }
        if name.ends_with("package-lock.json") && line.contains("\"resolved\": \"http") {
            breaches.push(format!(
                "line {at}: names a registry; use `npm install --omit-lockfile-registry-resolved`"
            ));
        }
    }
    breaches
}

/// Lines up to the tests that stand in the same file.
fn counted_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "mod tests {").count()
}

fn first_in(words: &[(&str, &str)], line: &str) -> Option<String> {
    words.iter().map(|(first, second)| format!("{first}{second}")).find(|word| line.contains(word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, text: &str, expected: &[&str]) {
        assert_eq!(check_text(name, text), expected);
    }

    #[test]
    fn each_rule_is_seen() {
        check_one("a/b.rs", "//! Fine.\n", &[]);
        check_one("a/b.rs", "use x;\n", &["the first line of a module says what it is (`//! …`)"]);
        let mark = format!("//! Fine.\n// {}{}: later\n", "TO", "DO");
        check_one("a/b.rs", &mark, &[&format!("line 2: `{}{}`", "TO", "DO")]);
        let host = format!("see https://{}{}/x\n", "registry.npmjs", ".org");
        check_one(
            "README.md",
            &host,
            &[&format!("line 1: names the package registry {}{}", "registry.npmjs", ".org")],
        );
        check_one("Cargo.lock", &host, &[]);
        check_one("a/build.rs", "//! Fine.\nfn main() { println!(\"cargo::rerun-if-changed=x\"); }\n", &[]);
        check_one(
            "a/build.rs",
            "//! Not.\nuse std::net::TcpStream;\n",
            &["line 2: a build script with `std::net`: none may reach for the network"],
        );
        check_one("a/package.json", "{\n  \"react\": \"19.3.1\",\n  \"node\": \">=20\"\n}\n", &[]);
        check_one(
            "a/package.json",
            "{\n  \"react\": \"^19.3.1\",\n  \"postinstall\": \"node x\"\n}\n",
            &[
                "line 2: a dependency has one version, not a range",
                "line 3: \"postinstall\" runs while packages are installed",
            ],
        );
        let conflict = format!("{} HEAD\n", "<".repeat(7));
        check_one("requirements.txt", &conflict, &["line 1: a conflict of a merge"]);
        let long = format!("//! Long.\n{}", "\n".repeat(500));
        check_one("a/b.rs", &long, &["501 lines; the most is 500 without tests"]);
        check_one("a/tests.rs", &long, &[]);
        let tests = format!("//! Short.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(600));
        check_one("a/b.rs", &tests, &[]);
        check_one("ARCHITECTURE.md", &"\n".repeat(151), &["more than 150 lines"]);
    }
}
