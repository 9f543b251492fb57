//! Programs under measurement: started, waited for, weighed by /proc, and ended with all their children.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::client;

/// A running program and everything it started. Ended when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where it listens.
    pub addr: SocketAddr,
    /// From the spawn to the first 200 of its health route.
    pub ready_after: Duration,
    /// When it was spawned.
    pub spawned: Instant,
}

/// A port that was free a moment ago.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

impl Running {
    /// Starts a program that will listen on a port, and waits until its health route answers 200.
    ///
    /// # Errors
    /// It cannot be started, ends, or is not ready after 60 s.
    pub async fn start(mut command: Command, port: u16, health: &str) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        // A group of its own, so that its children can be ended with it.
        command.process_group(0).stdin(Stdio::null());
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let spawned = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let mut running = Self { child, addr, ready_after: Duration::ZERO, spawned };
        while !client::is_ready(addr, health).await {
            if let Some(status) = running.child.try_wait()? {
                bail!("{:?} ended before it was ready: {status}", command.get_program());
            }
            if spawned.elapsed() > Duration::from_secs(60) {
                bail!("{:?} was not ready within a minute", command.get_program());
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        running.ready_after = spawned.elapsed();
        Ok(running)
    }

    /// CPU time so far of the program and its children, in seconds.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.tree().into_iter().map(cpu_of).sum()
    }

    /// Resident memory of the program and its children, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> f64 {
        self.tree().into_iter().map(resident_of).sum()
    }

    /// What its memory is mapped to, as in `/proc/PID/maps`.
    ///
    /// # Errors
    /// It has ended.
    pub fn maps(&self) -> Result<String> {
        let path = format!("/proc/{}/maps", self.child.id());
        std::fs::read_to_string(&path).with_context(|| path)
    }

    /// Open file descriptors of the program and its children.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let count = |pid| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.tree().into_iter().map(count).sum()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn interrupt(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status()?;
        self.child.wait()?;
        Ok(())
    }

    fn tree(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([self.child.id()]);
        let mut open = vec![self.child.id()];
        while let Some(pid) = open.pop() {
            for child in children(pid) {
                if found.insert(child) {
                    open.push(child);
                }
            }
        }
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The group holds the children as well; std can signal a single process only.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn tasks(pid: u32) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).ok();
    entries.into_iter().flatten().flatten().map(|entry| entry.path().to_string_lossy().into_owned())
}

fn children(pid: u32) -> Vec<u32> {
    let lists = tasks(pid).filter_map(|task| std::fs::read_to_string(format!("{task}/children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Nanoseconds on a CPU of all threads, in seconds; the scheduler's own count, because that of the process has a step of
/// 10 ms.
pub(crate) fn cpu_of(pid: u32) -> f64 {
    let nanoseconds = tasks(pid).filter_map(|task| {
        let text = std::fs::read_to_string(format!("{task}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident_of(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0.0)
}

/// The machine's load in the last minute.
#[must_use]
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_ends_is_an_error_and_one_that_runs_is_weighed() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        let port = free_port().unwrap();
        let error = Running::start(command, port, "/").await.unwrap_err().to_string();
        assert!(error.contains("ended before it was ready"), "{error}");
        assert!(resident_of(std::process::id()) > 1000.0);
        assert!(cpu_of(std::process::id()) > 0.0);
    }
}
