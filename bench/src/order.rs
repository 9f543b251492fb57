//! `loquat-bench order`: which functions a start runs, for the linker to put side by side.
//!
//! A program of 45 MB has the few hundred functions of its start all over it. The system maps 64 KiB around each place that is
//! touched, so what is scattered costs page faults (time) and resident memory. The linker script that this writes puts
//! them into one place; `crates/cli/build.rs` hands it to the linker of an optimised build.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::process::{Running, free_port};
use crate::systems::{Places, loquat_command};

/// How much more than what is needed a name may bring along and still be given for all functions of that name.
const MOST_MORE: u64 = 256;

/// How long the program is left alone after it was ready; valgrind makes it fifty times slower.
const REST: Duration = Duration::from_secs(2);

/// Arguments of `loquat-bench order`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `loquat` binary.
    #[arg(long)]
    loquat: PathBuf,
    /// The map that LLD wrote when it linked it (`-Map`).
    #[arg(long)]
    map: PathBuf,
    /// The linker script to write.
    #[arg(long)]
    out: PathBuf,
}

/// Starts the server under valgrind until it is ready, and writes the script.
///
/// # Errors
/// Valgrind is missing, the map is not of this binary, or a file cannot be read or written.
#[allow(clippy::print_stdout)]
pub async fn run(args: Args) -> Result<()> {
    let map = std::fs::read_to_string(&args.map).with_context(|| args.map.display().to_string())?;
    let sections = sections(&map);
    let executed = executed(&args.loquat).await?;
    let used: BTreeSet<&str> =
        executed.iter().filter_map(|address| Some(section_at(&sections, *address)?.name)).collect();
    if used.len() < 100 {
        bail!("only {} functions of the map ran: is it this binary's?", used.len());
    }
    let script = script(&sections, &used);
    std::fs::write(&args.out, &script).with_context(|| args.out.display().to_string())?;
    let bytes: u64 = sections.values().filter(|section| used.contains(section.name)).map(|s| s.size).sum();
    println!("{}: {} functions, {} KiB", args.out.display(), used.len(), bytes / 1024);
    Ok(())
}

/// A piece of the program's text, as the compiler made it: mostly one function.
#[derive(Debug, PartialEq)]
struct Section<'a> {
    size: u64,
    name: &'a str,
}

/// The sections of text in LLD's map, by their address in the file.
fn sections(map: &str) -> BTreeMap<u64, Section<'_>> {
    map.lines()
        .filter_map(|line| {
            // VMA, LMA, size, alignment, and the input section in brackets behind its file.
            let (numbers, name) = line.split_once(":(")?;
            let name = name.strip_suffix(')').filter(|name| name.starts_with(".text."))?;
            let mut numbers = numbers.split_whitespace();
            let address = u64::from_str_radix(numbers.next()?, 16).ok()?;
            let size = u64::from_str_radix(numbers.nth(1)?, 16).ok()?;
            Some((address, Section { size, name }))
        })
        .collect()
}

fn section_at<'a, 'm>(sections: &'a BTreeMap<u64, Section<'m>>, address: u64) -> Option<&'a Section<'m>> {
    let (start, section) = sections.range(..=address).next_back()?;
    (address < start + section.size).then_some(section)
}

/// The addresses of the instructions of a start, as they are in the file, each start of a cache line once.
async fn executed(loquat: &Path) -> Result<BTreeSet<u64>> {
    let scratch = std::env::temp_dir().join(format!("loquat-order-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let places = Places { loquat: loquat.to_owned(), python: None, bench: PathBuf::new(), scratch };
    let trace = places.scratch.join("trace");
    let port = free_port()?;
    let plain = loquat_command(&places, port, ([127, 0, 0, 1], 9).into(), "none");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=lackey", "--trace-mem=yes"])
        .arg(format!("--log-file={}", trace.display()))
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(&places.scratch)
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let running = Running::start(command, port, "/health").await.context("valgrind")?;
    let maps = running.maps()?;
    // The connection that asked is closed, and the program comes to rest.
    tokio::time::sleep(REST).await;
    // Ended at once: what runs at the end of the program is not part of its start.
    drop(running);
    let name = loquat.canonicalize()?.display().to_string();
    let base = maps
        .lines()
        .find(|line| line.ends_with(&name))
        .and_then(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
        .context("the program is not in its own memory map")?;
    let text = std::fs::read_to_string(&trace)?;
    std::fs::remove_dir_all(&places.scratch)?;
    Ok(text.lines().filter_map(instruction).filter_map(|address| address.checked_sub(base)).collect())
}

/// `I  04025310,3`
fn instruction(line: &str) -> Option<u64> {
    let (address, _) = line.strip_prefix('I')?.trim_start().split_once(',')?;
    u64::from_str_radix(address, 16).ok()
}

/// The script: first what only a start uses, by names that outlive a change of compiler or dependency; then the few used ones
/// among many functions of one name, by their whole names; at last all of that name, for when those no longer fit.
fn script(sections: &BTreeMap<u64, Section<'_>>, used: &BTreeSet<&str>) -> String {
    let (mut all, mut needed) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    for section in sections.values() {
        let pattern = pattern(section.name);
        if used.contains(section.name) {
            *needed.entry(pattern.clone()).or_default() += section.size;
        }
        *all.entry(pattern).or_default() += section.size;
    }
    let is_own = |pattern: &str| all[pattern] <= needed[pattern] + needed[pattern] / 2 + MOST_MORE;
    let (own, shared): (Vec<_>, Vec<_>) = needed.keys().map(String::as_str).partition(|name| is_own(name));
    let whole = used.iter().copied().filter(|name| !is_own(&pattern(name)));
    let mut out = String::from(
        "/* The functions of a start, side by side. Written by `cargo xtask order`; what it is for stands in bench/src/order.rs. */\nSECTIONS {\n  .text.start : {\n",
    );
    for group in [own, whole.collect(), shared] {
        out.push_str("    *(\n");
        for name in group {
            // Writing to a string does not fail.
            let _ = writeln!(out, "      {name}");
        }
        out.push_str("    )\n");
    }
    out.push_str("  }\n} INSERT BEFORE .text;\n");
    out
}

/// A section's name without what changes with versions: the hash at the end of the older mangling (`17h…E`), those of crates
/// in the newer one (`Cs…_`).
fn pattern(name: &str) -> String {
    if let Some(at) = name.rfind("17h") {
        let hash = name[at + 3..].split(['E', '.']).next().unwrap_or_default();
        if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return format!("{}17h*E*", &name[..at]);
        }
    }
    if !name.contains("._R") {
        return name.to_owned();
    }
    let mut out = String::new();
    let mut rest = name;
    while let Some(at) = rest.find("Cs") {
        let hash = &rest[at + 2..];
        let end = hash.find('_').unwrap_or(hash.len());
        out.push_str(&rest[..at]);
        if end > 8 && end < 14 && hash[..end].bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            out.push_str("Cs*_");
            rest = &hash[(end + 1).min(hash.len())..];
        } else {
            out.push_str("Cs");
            rest = hash;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
             VMA              LMA     Size Align Out     In      Symbol
             2e0              2e0       1c     1 .interp
            1000             1000       80    16 .text
            1000             1000       20    16         /t/a.o:(.text._ZN1a5start17h0123456789abcdefE)
            1000             1000       20     1                 _ZN1a5start17h0123456789abcdefE
            1020             1020       10    16         /t/a.o:(.text._ZN1b3new17h0123456789abcdefE)
            1030             1030      900    16         /t/a.o:(.text._ZN1b3new17hfedcba9876543210E)
            1930             1930       10    16         /t/a.o:(.text.unlikely._ZN1c4cold17h0123456789abcdefE.llvm.12)
            2000             2000       10     1         /t/a.o:(.rodata.x)
";

    #[test]
    fn reads_the_map() {
        let sections = sections(MAP);
        assert_eq!(sections.keys().copied().collect::<Vec<_>>(), [0x1000, 0x1020, 0x1030, 0x1930]);
        assert_eq!(section_at(&sections, 0x101f).unwrap().name, ".text._ZN1a5start17h0123456789abcdefE");
        assert_eq!(section_at(&sections, 0x1030).unwrap().size, 0x900);
        assert_eq!((section_at(&sections, 0xfff), section_at(&sections, 0x1940)), (None, None));
        assert_eq!(instruction("I  04025310,3"), Some(0x402_5310));
        assert_eq!((instruction(" L 1ffe,8"), instruction("==12== lackey")), (None, None));
    }

    #[test]
    fn names_what_ran() {
        let sections = sections(MAP);
        let used = [0x1000, 0x1020, 0x1930].map(|at| section_at(&sections, at).unwrap().name).into();
        let script = script(&sections, &used);
        let lines: Vec<&str> = script.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "SECTIONS {",
                ".text.start : {",
                "*(",
                ".text._ZN1a5start17h*E*",
                ".text.unlikely._ZN1c4cold17h*E*",
                ")",
                "*(",
                ".text._ZN1b3new17h0123456789abcdefE",
                ")",
                "*(",
                ".text._ZN1b3new17h*E*",
                ")",
                "}",
                "} INSERT BEFORE .text;",
            ]
        );
    }

    #[test]
    fn a_pattern_outlives_versions() {
        for (name, expected) in [
            (".text._ZN3std2rt10lang_start17h00ff00ff00ff00ffE", ".text._ZN3std2rt10lang_start17h*E*"),
            (".text._ZN3a17hello17hnothexE", ".text._ZN3a17hello17hnothexE"),
            (".text._RNvNtCsjrHSEGnQ3l9_3std2rt7cleanup", ".text._RNvNtCs*_3std2rt7cleanup"),
            (".text._RNvMCsgEmfK2I1SDS_4coreCsjrHSEGnQ3l9_3std", ".text._RNvMCs*_4coreCs*_3std"),
            (".text.sqlite3_initialize", ".text.sqlite3_initialize"),
        ] {
            assert_eq!(pattern(name), expected);
        }
    }
}
