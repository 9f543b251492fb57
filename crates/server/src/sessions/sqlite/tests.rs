//! The conformance suites on SQLite, and what only a file can do wrong.

use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::sessions::conformance;
use crate::sessions::watched::{Watched, Watcher};

/// A folder lives as long as the store in it.
impl Watcher for TempDir {}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    conformance::blob_store(&|| async {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteBlobs::open(&folder.path().join("loquat.db")).unwrap();
        Arc::new(Watched { store, watcher: folder }) as Arc<dyn BlobStore>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lists_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteBlobs::open(&folder.path().join("loquat.db")).unwrap();
    conformance::session_index(&store, conformance::Searches::Text).await;
}

/// Every other write goes through a second process's eyes: the same file, opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shares_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loquat.db");
    let stores: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || SqliteBlobs::open(&path).unwrap())
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|thread| Arc::new(thread.join().unwrap()))
        .collect();
    let writers: Vec<_> = stores
        .iter()
        .cloned()
        .map(|store| {
            tokio::spawn(
                async move { store.put("k", Bytes::new(), Condition::Create, Durability::Full).await },
            )
        })
        .collect();
    let mut winners = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(_) => winners += 1,
            Err(error) => assert!(matches!(error, BlobError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(winners, 1);
    stores[0].put("x", Bytes::from_static(b"seen"), Condition::Any, Durability::Process).await.unwrap();
    assert_eq!(stores[3].get("x").await.unwrap().unwrap().bytes, "seen");
}

#[tokio::test]
async fn keeps_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/loquat.db");
    let store = SqliteBlobs::open(&path).unwrap();
    let version =
        store.put("k", Bytes::from_static(b"v"), Condition::Create, Durability::Full).await.unwrap();
    drop(store);
    let store = SqliteBlobs::open(&path).unwrap();
    let blob = store.get("k").await.unwrap().unwrap();
    assert_eq!((blob.bytes, blob.version), (Bytes::from_static(b"v"), version));
}

#[cfg(unix)]
#[test]
fn is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loquat.db");
    let _store = SqliteBlobs::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[track_caller]
fn refuses(path: &Path, expected: &str) {
    let error = SqliteBlobs::open(path).err().map(|error| error.to_string());
    assert_eq!(error, Some(expected.replace("{}", &path.display().to_string())));
}

#[test]
fn says_what_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "This is not a database, however long one looks at it. ".repeat(40)).unwrap();
    refuses(&text, "{} is not a SQLite database");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("This is not"), "it must stay as it is");

    let foreign = folder.path().join("foreign");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    refuses(&foreign, "{} is a database of another program");

    let newer = folder.path().join("newer");
    drop(SqliteBlobs::open(&newer).unwrap());
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    refuses(
        &newer,
        "{} was written by a newer version of Loquat (schema 99, this one knows 2): update Loquat",
    );

    let folder_itself = folder.path().to_owned();
    assert!(matches!(SqliteBlobs::open(&folder_itself), Err(SqliteError::Open { .. })));
}

/// A job that fails in the middle of a batch undoes itself only.
#[tokio::test]
async fn fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteBlobs::open(&folder.path().join("loquat.db")).unwrap());
    let jobs = (0..20).map(|n| {
        let store = Arc::clone(&store);
        async move {
            store
                .writer
                .write(Durability::Full, move |connection| {
                    blocks::put(connection, &format!("k{n}"), b"v", &Condition::Create, None)?;
                    if n % 2 == 1 {
                        connection.execute_batch("INSERT INTO nowhere VALUES (1)")
                    } else {
                        Ok(())
                    }
                })
                .await
        }
    });
    let results = futures_util::future::join_all(jobs).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), n % 2 == 1, "{n}: {result:?}");
        assert_eq!(store.get(&format!("k{n}")).await.unwrap().is_some(), n % 2 == 0, "{n}");
    }
}

/// One change of a long value: where it begins, what is put there, and how much of the rest stays.
fn changes() -> impl proptest::strategy::Strategy<Value = Vec<(bool, usize, usize, usize, u8)>> {
    use proptest::prelude::*;
    let place = 0..4 * blocks::BLOCK;
    prop::collection::vec((any::<bool>(), place.clone(), place.clone(), place, any::<u8>()), 1..12)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    /// However a value grows, shrinks and changes, and whichever of two processes writes it, both read it whole.
    #[test]
    fn long_values_are_read_as_they_were_written(changes in changes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("loquat.db");
            let stores = [SqliteBlobs::open(&path).unwrap(), SqliteBlobs::open(&path).unwrap()];
            let mut value = Vec::new();
            let mut condition = Condition::Create;
            for (second, at, length, kept, byte) in changes {
                let at = at.min(value.len());
                let rest = value.split_off(at);
                value.resize(at + length, byte);
                value.extend_from_slice(&rest[rest.len().min(kept)..]);
                let store = &stores[usize::from(second)];
                let put = store.put("k", value.clone().into(), condition, Durability::Process);
                condition = Condition::Match(put.await.unwrap());
                for store in &stores {
                    let blob = store.get("k").await.unwrap().unwrap();
                    assert!(blob.bytes == value, "{} bytes read, {} written", blob.bytes.len(), value.len());
                    let listed = store.list("", None, 9).await.unwrap();
                    assert_eq!(listed[0].size, value.len() as u64);
                }
            }
            stores[0].delete("k").await.unwrap();
            assert!(stores[1].get("k").await.unwrap().is_none());
            let left: i64 = stores[0]
                .read(|connection| connection.query_row("SELECT count(*) FROM blocks", [], |row| row.get(0)))
                .await
                .unwrap();
            assert_eq!(left, 0);
        });
    }
}

/// A message more in a long conversation writes the blocks it changes, not the conversation.
#[tokio::test]
async fn a_change_at_the_end_writes_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteBlobs::open(&folder.path().join("loquat.db")).unwrap();
    let mut value = vec![b'x'; 100 * blocks::BLOCK];
    let version = store.put("k", value.clone().into(), Condition::Create, Durability::Process).await.unwrap();
    store
        .writer
        .write(Durability::Process, |connection| {
            connection.execute_batch(
                "CREATE TABLE written (n INTEGER);
                 CREATE TRIGGER noted AFTER UPDATE ON blocks BEGIN INSERT INTO written VALUES (new.n); END;
                 CREATE TRIGGER noted_new AFTER INSERT ON blocks BEGIN INSERT INTO written VALUES (new.n); END;",
            )
        })
        .await
        .unwrap();
    value[0] = b'h';
    value.extend_from_slice(b"a message more");
    store.put("k", value.into(), Condition::Match(version), Durability::Process).await.unwrap();
    let written: Vec<i64> = store
        .read(|connection| {
            connection.prepare("SELECT n FROM written")?.query_map([], |row| row.get(0))?.collect()
        })
        .await
        .unwrap();
    assert_eq!(written, [99]);
}
