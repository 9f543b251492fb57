//! The one thread that writes: whatever waits goes into one transaction.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::schema::failed;
use super::{SqliteError, blob_error, gone};
use crate::sessions::blob::{BlobError, Durability};

/// How many writes share a transaction at most, so that the first never waits long for the last.
const BATCH: usize = 256;

/// A handle to the thread. The thread ends when the handle is dropped and what was sent before is written.
#[derive(Debug)]
pub(super) struct Writer {
    sender: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

struct Write {
    durability: Durability,
    job: Job,
}

/// Does its work inside the transaction, or takes note that there is none, and returns what is to be done with the
/// transaction's outcome.
type Job = Box<dyn FnOnce(Result<&Connection, BlobError>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), BlobError>)>;

impl Writer {
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self, SqliteError> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(connection, &receiver))
            .map_err(|error| failed(path, &error.to_string()))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Runs a job in a transaction; it is committed, as durably as asked, when this returns. A job that fails is
    /// undone alone. If the caller goes away the job is done all the same.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection
                .and_then(|connection| in_savepoint(connection, job).map_err(|error| blob_error(&error)));
            Box::new(move |committed| {
                // Nobody waits any more if the caller went away: the write is done anyway.
                let _ = answer.send(committed.and(result));
            })
        });
        let sender = self.sender.as_ref().ok_or_else(gone)?;
        sender.send(Write { durability, job }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It only fails if the thread panicked, which it has said already.
            let _ = thread.join();
        }
    }
}

fn run(mut connection: Connection, receiver: &mpsc::Receiver<Write>) {
    let mut flushing = None;
    while let Ok(first) = receiver.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = receiver.try_recv()
        {
            batch.push(next);
        }
        // NORMAL in WAL mode does not flush at a commit; a later FULL commit flushes what came before as well.
        let full = batch.iter().any(|write| write.durability == Durability::Full);
        if flushing != Some(full) {
            let mode = if full { "FULL" } else { "NORMAL" };
            flushing = connection.pragma_update(None, "synchronous", mode).ok().map(|()| full);
        }
        if flushing == Some(full) {
            commit(&mut connection, batch);
        } else {
            refuse(batch, &BlobError::Unavailable("the database cannot be flushed".to_owned()));
        }
    }
}

fn commit(connection: &mut Connection, batch: Vec<Write>) {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => return refuse(batch, &blob_error(&error)),
    };
    let replies: Vec<Reply> = batch.into_iter().map(|write| (write.job)(Ok(&transaction))).collect();
    let committed = transaction.commit().map_err(|error| blob_error(&error));
    for reply in replies {
        reply(committed.clone());
    }
}

/// Tells a batch that there is no transaction for it.
fn refuse(batch: Vec<Write>, error: &BlobError) {
    for write in batch {
        (write.job)(Err(error.clone()))(Ok(()));
    }
}

/// Runs a job so that its failure undoes its own changes and no other's.
fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    let result = job(connection);
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    connection.prepare_cached("RELEASE job")?.execute([])?;
    result
}
