//! `cargo xtask tidy`: the rules of this repository, as a test.

mod dependencies;
mod supply;
mod text;

use anyhow::{Result, bail};

use crate::files;
use crate::program::step;

/// Checks every rule and prints every breach before it fails.
pub(crate) fn run() -> Result<()> {
    step("tidy");
    let mut breaches = Vec::new();
    for path in files::under(".")? {
        text::check(&path, &mut breaches)?;
    }
    text::check_allowances(&mut breaches);
    dependencies::check(&mut breaches)?;
    supply::check(&mut breaches)?;
    if breaches.is_empty() {
        println!("The rules hold.");
        return Ok(());
    }
    for breach in &breaches {
        println!("{breach}");
    }
    bail!("{} breaches of the repository's rules", breaches.len())
}
