//! Run logs on a local disk: one file a run, `{folder}/{owner}/{run}.jsonl`.
//!
//! The file is locked while its writer lives, so the death of a process is seen at once; the lease lines in it tell a
//! frozen process from a live one.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use loquat_agent::event::Event;
use sha2::Digest as _;

use super::journal::{
    Ending, Journal, JournalError, Journals, Line, Liveness, Stored, encode, encode_end, encode_info,
};
use super::run::RunInfo;
use crate::auth::Owner;
use crate::ids::RunId;
use crate::sessions::document::Lease;

/// Logs as files: `{folder}/{owner}/{run}.jsonl`.
#[derive(Clone, Debug)]
pub struct FileJournals {
    folder: Arc<PathBuf>,
}

struct FileJournal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl FileJournal {
    /// Into the page cache, a few microseconds: handing it to another thread would cost more than the write.
    fn write(&mut self) -> Result<(), JournalError> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        Ok(written?)
    }
}

impl FileJournal {
    /// Whether another process gave the log its end while this one was frozen: what is written now nobody reads.
    fn is_replaced(&self) -> io::Result<bool> {
        #[cfg(unix)]
        return Ok(std::os::unix::fs::MetadataExt::nlink(&self.file.metadata()?) == 0);
        #[cfg(not(unix))]
        Ok(!self.path.exists())
    }
}

impl FileJournals {
    /// Keeps logs in a folder, which is made when the first one is written.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: Arc::new(folder.to_owned()) }
    }

    fn path(&self, owner: &Owner, run: &RunId) -> PathBuf {
        self.folder.join(owner.segment_or_anonymous()).join(file_name(run))
    }
}

/// The longest id that is a file's name as it is: file systems take 255 bytes, those of a file that is written anew included.
const LONGEST_NAME: usize = 200;

/// A longer id's name is its hash, behind a character that no id has.
fn file_name(run: &RunId) -> String {
    if run.as_str().len() <= LONGEST_NAME {
        return format!("{run}.jsonl");
    }
    let digest = sha2::Sha256::digest(run.as_str());
    let mut name = String::from("~");
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name + ".jsonl"
}

#[async_trait]
impl Journals for FileJournals {
    async fn create(&self, owner: &Owner, info: &RunInfo) -> Result<Box<dyn Journal>, JournalError> {
        let path = self.path(owner, &info.id);
        let open = || OpenOptions::new().append(true).create_new(true).open(&path);
        let opened = open().or_else(|error| match (error.kind(), path.parent()) {
            (io::ErrorKind::NotFound, Some(folder)) => {
                std::fs::create_dir_all(folder)?;
                open()
            }
            _ => Err(error),
        });
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => JournalError::Exists,
            _ => error.into(),
        })?;
        // Nobody else knows the file yet; a lock that cannot be had (a file system without locks) leaves the leases.
        let _ = file.try_lock();
        let mut buffer = Vec::with_capacity(256);
        encode_info(info, &mut buffer);
        file.write_all(&buffer)?;
        buffer.clear();
        Ok(Box::new(FileJournal { path, file, buffer }))
    }

    async fn reopen(&self, owner: &Owner, info: &RunInfo, _: u64) -> Result<Box<dyn Journal>, JournalError> {
        let path = self.path(owner, &info.id);
        let file = OpenOptions::new().append(true).open(&path)?;
        let _ = file.try_lock();
        Ok(Box::new(FileJournal { path, file, buffer: Vec::with_capacity(256) }))
    }

    async fn read(&self, owner: &Owner, run: &RunId) -> Result<Option<Stored>, JournalError> {
        match tokio::fs::read(self.path(owner, run)).await {
            Ok(bytes) => {
                let mut stored = Stored::default();
                stored.read(&bytes);
                Ok(Some(stored))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn liveness(&self, owner: &Owner, lease: &Lease, now: Timestamp) -> Result<Liveness, JournalError> {
        let Some(stored) = self.read(owner, &lease.id).await? else {
            return Ok(Liveness::Dead(Box::default()));
        };
        let until = stored.lease_until.map_or(lease.lease_until, |until| until.max(lease.lease_until));
        let held = match File::open(self.path(owner, &lease.id)).map(|file| file.try_lock_shared()) {
            Ok(Err(TryLockError::WouldBlock)) => true,
            Ok(_) | Err(_) => false,
        };
        Ok(if held && until > now { Liveness::Live } else { Liveness::Dead(Box::new(stored)) })
    }

    async fn seal(
        &self,
        owner: &Owner,
        info: &RunInfo,
        stored: &Stored,
        ending: &Ending,
    ) -> Result<(), JournalError> {
        if stored.is_whole() {
            return Ok(());
        }
        // The log is written anew: a torn last line would spoil what is appended to it.
        let mut lines = Vec::new();
        encode_info(stored.info.as_ref().unwrap_or(info), &mut lines);
        for (n, (event, t)) in (1..).zip(stored.events.iter().zip(&stored.times)) {
            encode(n, *t, std::slice::from_ref(event), &mut lines);
        }
        stored.encode_ending(ending, &mut lines);
        let path = self.path(owner, &info.id);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let fresh = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4()));
        tokio::fs::write(&fresh, lines).await?;
        tokio::fs::rename(&fresh, &path).await?;
        Ok(())
    }

    async fn delete(&self, owner: &Owner, run: &RunId) -> Result<(), JournalError> {
        match tokio::fs::remove_file(self.path(owner, run)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn discard(&mut self) -> Result<(), JournalError> {
        Ok(tokio::fs::remove_file(&self.path).await?)
    }

    async fn append(&mut self, first: u64, t: u64, events: &[Event]) -> Result<(), JournalError> {
        encode(first, t, events, &mut self.buffer);
        self.write()?;
        let is_intent = |event: &Event| matches!(event, Event::ToolCall { effects: true, .. });
        if events.iter().any(is_intent) && self.is_replaced()? {
            return Err(io::Error::other("another process has ended the run").into());
        }
        Ok(())
    }

    async fn alive(&mut self, until: Timestamp) -> Result<(), JournalError> {
        let _ = serde_json::to_writer(&mut self.buffer, &Line::Lease { lease_until: until });
        self.buffer.push(b'\n');
        self.write()
    }

    async fn finish(
        &mut self,
        n: u64,
        t: u64,
        terminal: &Event,
        message_count: Option<usize>,
    ) -> Result<(), JournalError> {
        encode_end(n, t, terminal, message_count, &mut self.buffer);
        self.write()
    }
}
