//! Python tools: Strands `@tool` functions, as the reference's users write them, run unchanged in one worker process.
//! The worker is an MCP server on its standard input and output, so a crash, a hang or a slow import is what it is for
//! any other server. It sees none of the server's environment except what is listed.

mod sources;
mod unpack;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::config::{McpProtocol, PythonConfig, StrandsChoice, ToolObject};
use super::mcp::{Settings, Transport, child_env};
use super::toolbox::ToolDeps;
use crate::aws::AwsLoader;
use crate::secret::Secret;
use crate::sessions::blob::BlobStore as _;
use crate::sessions::object::{ObjectBlobs, ObjectSettings};

const FILES: [(&str, &str); 3] = [
    ("worker.py", include_str!("worker/worker.py")),
    ("strands_shim.py", include_str!("worker/strands_shim.py")),
    ("strands_schema.py", include_str!("worker/strands_schema.py")),
];

/// How long a start may take: downloads, and imports that are not ours to hurry.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Reads one object: `(bucket, key)`. The error is for people.
pub type ObjectReader =
    Arc<dyn Fn(String, String) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// Reads objects from S3 with the server's own credentials.
#[must_use]
pub fn s3_reader(aws: AwsLoader) -> ObjectReader {
    Arc::new(move |bucket, key| {
        let aws = Arc::clone(&aws);
        Box::pin(async move {
            let settings =
                ObjectSettings::parse(&format!("s3://{bucket}")).map_err(|error| error.to_string())?;
            match ObjectBlobs::new(settings, aws).get(&key).await {
                Ok(Some(blob)) => Ok(blob.bytes),
                Ok(None) => Err("there is no such object".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
    })
}

/// The worker's files and how it is started.
pub(crate) struct Worker {
    command: String,
    env: BTreeMap<String, Secret>,
    config: PythonConfig,
    reader: Option<ObjectReader>,
    ready: OnceCell<Ready>,
}

/// What was downloaded and written. The folder goes with it.
struct Ready {
    folder: TempDir,
    problems: Vec<String>,
}

/// How to start the worker.
pub(crate) struct Launch {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, Secret>,
}

/// The worker as a server, if there are Python tools.
pub(crate) fn settings(config: &PythonConfig, deps: &ToolDeps) -> Option<Settings> {
    if !config.is_used() {
        return None;
    }
    let mut env = child_env(&deps.base_env, &config.env);
    env.insert("PYTHONUNBUFFERED".to_owned(), Secret::new("1"));
    // The folder of tools may be read-only, and a worker's cache is of no use to the next one.
    env.insert("PYTHONDONTWRITEBYTECODE".to_owned(), Secret::new("1"));
    let worker = Worker {
        command: config.command.clone().unwrap_or_else(|| "python3".to_owned()),
        env,
        config: config.clone(),
        reader: deps.objects.clone().or_else(|| deps.aws.clone().map(s3_reader)),
        ready: OnceCell::new(),
    };
    Some(Settings {
        name: "python".into(),
        transport: Transport::Worker(Arc::new(worker)),
        protocol: McpProtocol::V20251125,
        allow: Vec::new(),
        deny: Vec::new(),
        approval: config.needs_approval,
        resources: false,
        connect_timeout: START_TIMEOUT,
        call_timeout: Duration::from_secs(config.call_timeout_seconds.unwrap_or(60)),
    })
}

impl Worker {
    /// Makes everything ready that the worker needs: once, and again only if nothing could be had.
    ///
    /// # Errors
    /// There is nothing to load, and why.
    pub(crate) async fn launch(&self) -> Result<Launch, String> {
        let ready = self.ready.get_or_try_init(|| self.prepare()).await?;
        let path = |name: &str| ready.folder.path().join(name).to_string_lossy().into_owned();
        Ok(Launch {
            command: self.command.clone(),
            args: vec![path("worker.py"), path("plan.json")],
            env: self.env.clone(),
        })
    }

    /// What could not be downloaded or unpacked.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.ready.get().map(|ready| ready.problems.clone()).unwrap_or_default()
    }

    async fn prepare(&self) -> Result<Ready, String> {
        let failed = |error: std::io::Error| format!("the worker's files could not be written: {error}");
        let folder = tempfile::Builder::new().prefix("loquat-tools-").tempdir().map_err(failed)?;
        for (name, text) in FILES {
            std::fs::write(folder.path().join(name), text).map_err(failed)?;
        }
        let mut sources = Vec::new();
        let mut problems = Vec::new();
        if let Some(dir) = &self.config.dir {
            match dir.canonicalize() {
                Ok(path) => sources.push(json!({"path": path, "label": dir})),
                Err(error) => problems.push(format!("{}: {error}", dir.display())),
            }
        }
        let fetched = futures_util::future::join_all(
            self.config.objects.iter().enumerate().map(|(i, object)| self.fetch(folder.path(), i, object)),
        );
        for (object, fetched) in self.config.objects.iter().zip(fetched.await) {
            let label = format!("s3://{}/{}", object.bucket_name, object.key);
            match fetched {
                Ok(path) => sources.push(json!({"path": path, "label": label})),
                Err(why) => problems.push(format!("{label}: {why}")),
            }
        }
        if sources.is_empty() {
            return Err(problems.join("; "));
        }
        let strands = match self.config.strands {
            StrandsChoice::Auto => "auto",
            StrandsChoice::Shim => "shim",
        };
        let plan = json!({"sources": sources, "strands": strands});
        std::fs::write(folder.path().join("plan.json"), plan.to_string()).map_err(failed)?;
        Ok(Ready { folder, problems })
    }

    async fn fetch(&self, folder: &Path, number: usize, object: &ToolObject) -> Result<String, String> {
        let reader = self.reader.as_ref().ok_or("there is no AWS configuration to read it with")?;
        let bytes = reader(object.bucket_name.clone(), object.key.clone()).await?;
        let place = folder.join(format!("object-{number}"));
        let object = object.clone();
        tokio::task::spawn_blocking(move || sources::keep(&object, &bytes, &place))
            .await
            .map_err(|_| "it could not be unpacked".to_owned())?
    }
}
