//! MiniStack: S3, Cognito, CloudFormation, KMS and more on this machine.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::support::PATIENCE;

pub(crate) const REGION: &str = "us-east-1";

/// MiniStack and whatever it starts; killed together when dropped.
pub(crate) struct MiniStack {
    child: Child,
    pub(crate) url: String,
}

impl MiniStack {
    pub(crate) async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let program = root.join(".venv/bin/ministack");
        assert!(program.exists(), "MiniStack is not installed: run the tests with `cargo xtask test`");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("LAMBDA_EXECUTOR", "local")
            .env("COGNITO_EMAIL_ENABLED", "false")
            .env("S3_PERSIST", "0")
            .env("IOT_MTLS_ENABLED", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let stack = Self { child, url: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + PATIENCE;
        while !reqwest::get(format!("{}/_ministack/health", stack.url))
            .await
            .is_ok_and(|r| r.status().is_success())
        {
            assert!(Instant::now() < deadline, "MiniStack did not start");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        stack
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        // Its own signal handling waits for children; the group does not.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}
