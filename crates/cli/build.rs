//! Puts a `hypot` of our own into the binaries for glibc, and a thread that gives freed memory back (`trim.c`).
//!
//! Newer glibc's have a second version of that function, and a program that is linked there (Debian 12, Ubuntu 22.04) does not
//! start on Amazon Linux 2023, which is what Lambda has. Nothing else that we use is newer than 2.34; `loquat package` looks.

// Cargo's own variables, not settings.
#[allow(clippy::disallowed_methods)]
fn main() {
    println!("cargo::rerun-if-changed=hypot.c");
    println!("cargo::rerun-if-changed=trim.c");
    let is = |variable: &str, value: &str| std::env::var(variable).is_ok_and(|known| known == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        let mut build = cc::Build::new();
        let build = build.files(["hypot.c", "trim.c"]).opt_level(2).flag("-fno-builtin");
        for object in build.compile_intermediates() {
            println!("cargo::rustc-link-arg-bins={}", object.display());
        }
    }
}
