//! Opening a weights file: checksum, architecture, and the rewriting of formats that are slow here.
//!
//! Three of the quantised formats (Q4_1, Q5_0, Q5_1) have no fast code in candle: a file that has them is rewritten to
//! Q8_0 once, six times as fast at reading and three times at writing, and the rewritten file is kept in the cache
//! folder for the next start.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use candle_core::Device;
use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use loquat_agent::model::{ModelError, ModelErrorKind};
use sha2::{Digest as _, Sha256};

use super::fetch;
use super::net::ARCHITECTURES;

/// The key under which a rewritten file names the file it was made from.
const SOURCE_KEY: &str = "loquat.source";
/// Changes when the way of rewriting does.
const REWRITE_VERSION: u32 = 1;

/// Where the weights are, and what is known about them.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The full name of the model (`local/…`).
    pub(super) name: String,
    /// The file.
    pub(super) path: PathBuf,
    /// Where a rewritten file may be kept.
    pub(super) cache: PathBuf,
    /// It is the model that `loquat model fetch` brings.
    pub(super) known: bool,
}

/// A readable weights file.
pub(super) struct Opened {
    pub(super) architecture: String,
    pub(super) content: Content,
    pub(super) reader: Box<dyn ReadSeek>,
}

/// What candle reads weights from.
pub(super) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// Opens the weights, in a form that is fast here. `report` is told about steps that take long.
pub(super) fn open(source: &Source, report: &dyn Fn(&'static str)) -> Result<Opened, ModelError> {
    let data = match fs::metadata(&source.path) {
        Ok(data) if data.is_file() => data,
        Ok(_) => return Err(unusable(source, "it is not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_installed(source)),
        Err(error) => return Err(unusable(source, &error.to_string())),
    };
    let fingerprint = fingerprint(&data);
    let rewritten = source.rewritten_path();
    if let Some(opened) = open_rewritten(&rewritten, &fingerprint) {
        return Ok(opened);
    }
    if source.known {
        report("checking the file");
        check(source)?;
    }
    let (content, mut reader) =
        read_header(&source.path).map_err(|error| unusable(source, &error.to_string()))?;
    let architecture = architecture(&content);
    if !ARCHITECTURES.contains(&architecture.as_str()) {
        let known = ARCHITECTURES.join(", ");
        return Err(unusable(
            source,
            &format!("its architecture is \"{architecture}\", and the supported ones are {known}"),
        ));
    }
    if !content.tensor_infos.values().any(|info| is_slow(info.ggml_dtype)) {
        return Ok(Opened { architecture, content, reader: Box::new(reader) });
    }
    report("rewriting the weights for speed (once)");
    let broken = |error: candle_core::Error| unusable(source, &error.to_string());
    let tensors = requantise(&content, &mut reader).map_err(broken)?;
    drop(reader);
    match keep(&rewritten, &fingerprint, &content, &tensors) {
        Ok(()) => {
            if let Some(opened) = open_rewritten(&rewritten, &fingerprint) {
                return Ok(opened);
            }
        }
        // A read-only or full disk costs a second at the next start, not the model.
        Err(error) => {
            tracing::warn!(path = %rewritten.display(), %error, "cannot keep the rewritten weights");
        }
    }
    let mut memory = Cursor::new(Vec::new());
    write(&mut memory, &fingerprint, &content, &tensors).map_err(broken)?;
    memory.set_position(0);
    let content = Content::read(&mut memory).map_err(broken)?;
    Ok(Opened { architecture, content, reader: Box::new(memory) })
}

impl Source {
    /// Where the rewritten form of the weights is kept. The path is part of the name: other folders may have files of
    /// the same name.
    fn rewritten_path(&self) -> PathBuf {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let hash = Sha256::digest(self.path.as_os_str().as_encoded_bytes());
        self.cache
            .join(format!("{stem}.{:02x}{:02x}{:02x}{:02x}.q8_0.gguf", hash[0], hash[1], hash[2], hash[3]))
    }
}

/// The error for weights that are not there.
fn not_installed(source: &Source) -> ModelError {
    let text = if source.known {
        "The built-in model is not installed. Install it with `loquat model fetch` (in a clone: `cargo xtask \
         model`), or choose another model with MODEL_ID, for example MODEL_ID=anthropic/claude-sonnet-4-5."
            .to_owned()
    } else {
        format!("There is no file {} (MODEL_ID={}).", source.path.display(), source.name)
    };
    ModelError::new(ModelErrorKind::NotInstalled, text)
}

/// The error for weights that cannot be used.
pub(super) fn unusable(source: &Source, why: &str) -> ModelError {
    let text = format!("The model file {} cannot be used: {why}.", source.path.display());
    ModelError::new(ModelErrorKind::NotFound, text)
}

/// Makes sure that the known file is the known file; deletes it if not.
fn check(source: &Source) -> Result<(), ModelError> {
    match fetch::is_intact(&source.path) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let deleted = match fs::remove_file(&source.path) {
                Ok(()) => "it was deleted".to_owned(),
                Err(error) => format!("delete it, which was not possible here ({error})"),
            };
            let text = format!(
                "The built-in model's file was damaged (wrong checksum); {deleted}. Fetch it again with `loquat \
                 model fetch` (in a clone: `cargo xtask model`)."
            );
            Err(ModelError::new(ModelErrorKind::NotInstalled, text))
        }
        Err(error) => Err(unusable(source, &error.to_string())),
    }
}

fn architecture(content: &Content) -> String {
    let value = content.metadata.get("general.architecture");
    value.and_then(|value| value.to_string().ok()).cloned().unwrap_or_default()
}

/// What tells two states of a file apart without reading it.
fn fingerprint(data: &fs::Metadata) -> String {
    let changed =
        data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("v{REWRITE_VERSION}:{}:{}", data.len(), changed.as_nanos())
}

fn read_header(path: &Path) -> candle_core::Result<(Content, Tracked)> {
    let mut reader = Tracked::new(File::open(path)?);
    let content = Content::read(&mut reader)?;
    Ok((content, reader))
}

/// A rewritten file, if it is there, whole, and made from this state of the source.
fn open_rewritten(path: &Path, fingerprint: &str) -> Option<Opened> {
    if !path.exists() {
        return None;
    }
    match read_header(path) {
        Ok((content, reader)) if made_from(&content) == Some(fingerprint) => {
            let architecture = architecture(&content);
            return Some(Opened { architecture, content, reader: Box::new(reader) });
        }
        Ok(_) => tracing::info!("the model file has changed: rewriting it again"),
        Err(error) => tracing::warn!(path = %path.display(), %error, "the rewritten weights are damaged"),
    }
    // It would be replaced anyway; a file that cannot be deleted cannot be replaced either, which is reported there.
    let _ = fs::remove_file(path);
    None
}

fn made_from(content: &Content) -> Option<&str> {
    content.metadata.get(SOURCE_KEY)?.to_string().ok().map(String::as_str)
}

fn is_slow(format: GgmlDType) -> bool {
    matches!(format, GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1)
}

/// All tensors, the slow ones as Q8_0. In the order of their names, so that the file is the same each time.
fn requantise(content: &Content, reader: &mut Tracked) -> candle_core::Result<Vec<(String, QTensor)>> {
    let cpu = &Device::Cpu;
    let mut names: Vec<&String> = content.tensor_infos.keys().collect();
    names.sort();
    let mut tensors = Vec::with_capacity(names.len());
    for name in names {
        let tensor = content.tensor(reader, name, cpu)?;
        let tensor = if is_slow(tensor.dtype()) {
            QTensor::quantize(&tensor.dequantize(cpu)?, GgmlDType::Q8_0)?
        } else {
            tensor
        };
        tensors.push((name.clone(), tensor));
    }
    Ok(tensors)
}

fn write<W: io::Write + Seek>(
    out: &mut W,
    fingerprint: &str,
    content: &Content,
    tensors: &[(String, QTensor)],
) -> candle_core::Result<()> {
    let source = Value::String(fingerprint.to_owned());
    let mut metadata: Vec<(&str, &Value)> = content
        .metadata
        .iter()
        // The writer pads to the standard alignment whatever the source had.
        .filter(|(key, _)| key.as_str() != "general.alignment" && key.as_str() != SOURCE_KEY)
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    metadata.sort_by_key(|(key, _)| *key);
    metadata.push((SOURCE_KEY, &source));
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(out, &metadata, &tensors)
}

/// Writes the rewritten weights so that they are there whole or not at all.
fn keep(
    path: &Path,
    fingerprint: &str,
    content: &Content,
    tensors: &[(String, QTensor)],
) -> candle_core::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        let mut out = io::BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        write(&mut out, fingerprint, content, tensors)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(fs::rename(&temporary, path)?)
    })();
    if written.is_err() {
        // The first error says what is wrong.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A buffered file that knows where it is: the header's reader asks before each of its hundred thousand strings, and
/// the plain one would ask the kernel each time.
struct Tracked {
    inner: BufReader<File>,
    position: u64,
}

impl Tracked {
    fn new(file: File) -> Self {
        Self { inner: BufReader::with_capacity(1 << 16, file), position: 0 }
    }
}

impl Read for Tracked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Tracked {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if to != SeekFrom::Current(0) {
            self.position = self.inner.seek(to)?;
        }
        Ok(self.position)
    }
}
