//! Embeds the built page (`web/dist`), if there is one. A file `x.br` or `x.gz` is the compressed form of `x`.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

// Cargo's own variables, not settings.
#[allow(clippy::disallowed_methods)]
fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let web = here.join("../../web");
    let dist = web.join("dist");
    // A folder that is missing would make every build start anew; its parent tells when it appears.
    println!("cargo:rerun-if-changed={}", if dist.exists() { &dist } else { &web }.display());
    let mut files = Vec::new();
    collect(&dist, &mut files)?;
    files.sort();
    let mut code = String::from("static FILES: &[File] = &[\n");
    for path in files.iter().filter(|path| !has_ending(path, "br") && !has_ending(path, "gz")) {
        let name = path.strip_prefix(&dist).unwrap_or(path).to_string_lossy().replace('\\', "/");
        let mut hasher = DefaultHasher::new();
        fs::read(path)?.hash(&mut hasher);
        let form = |ending: &str| {
            let packed = PathBuf::from(format!("{}.{ending}", path.display()));
            if files.contains(&packed) {
                format!("Some(include_bytes!({packed:?}))")
            } else {
                "None".to_owned()
            }
        };
        let _ = writeln!(
            code,
            "File {{ path: {name:?}, kind: {:?}, etag: \"\\\"{:016x}\\\"\", plain: include_bytes!({path:?}), gzip: {}, brotli: {} }},",
            kind(&name),
            hasher.finish(),
            form("gz"),
            form("br"),
        );
    }
    code.push_str("];\n");
    fs::write(out.join("page_files.rs"), code)
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|own| own == ending)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" | "webmanifest" | "map" => "application/json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
