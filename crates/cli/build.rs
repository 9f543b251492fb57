//! Puts a `hypot` of our own into the binaries for glibc, and a thread that gives freed memory back (`trim.c`); and the
//! functions of a start side by side into optimised ones (`start.ld`).
//!
//! Newer glibc's have a second version of that function, and a program that is linked there (Debian 12, Ubuntu 22.04) does not
//! start on Amazon Linux 2023, which is what Lambda has. Nothing else that we use is newer than 2.34; `loquat package` looks.

// Cargo's own variables, not settings.
#[allow(clippy::disallowed_methods)]
fn main() {
    println!("cargo::rerun-if-changed=hypot.c");
    println!("cargo::rerun-if-changed=trim.c");
    println!("cargo::rerun-if-changed=start.ld");
    println!("cargo::rerun-if-env-changed=LOQUAT_LINK_MAP");
    let is = |variable: &str, value: &str| std::env::var(variable).is_ok_and(|known| known == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        if is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("PROFILE", "release") && is_rustc_choosing_the_linker()
        {
            let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
            println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/start.ld");
        }
        // For `cargo xtask order`.
        if let Ok(map) = std::env::var("LOQUAT_LINK_MAP") {
            println!("cargo::rustc-link-arg-bin=loquat=-Wl,-Map={map}");
        }
        let mut build = cc::Build::new();
        let build = build.files(["hypot.c", "trim.c"]).opt_level(2).flag("-fno-builtin");
        for object in build.compile_intermediates() {
            println!("cargo::rustc-link-arg-bins={}", object.display());
        }
    }
}

/// Whether the linker is the one that comes with Rust, LLD. Others do not all know what the script says.
#[allow(clippy::disallowed_methods)]
fn is_rustc_choosing_the_linker() -> bool {
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    std::env::var_os("RUSTC_LINKER").is_none()
        && !["fuse-ld", "linker"].iter().any(|name| flags.contains(name))
}
