//! What every store must do, as tests that are given a way to make an empty one.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Barrier;

use super::blob::{BlobError, BlobStore, Condition, Durability, Version};
use super::index::{IndexError, Query, SessionIndex, Summary};

/// A store of keys; [`blob_store`] calls it once a case and expects an empty one.
pub(crate) async fn blob_store<F, Made>(make: &F)
where
    F: Fn() -> Made,
    Made: Future<Output = Arc<dyn BlobStore>>,
{
    reads_what_was_written(&*make().await).await;
    holds_conditions(&*make().await).await;
    never_gives_a_version_twice(&*make().await).await;
    lists_in_order(&*make().await).await;
    keeps_odd_keys_and_contents(&*make().await).await;
    one_of_many_creates(make().await).await;
    one_of_many_replaces(make().await).await;
    loses_no_increment(make().await).await;
}

async fn put(
    store: &dyn BlobStore,
    key: &str,
    text: &str,
    condition: Condition,
) -> Result<Version, BlobError> {
    store.put(key, Bytes::copy_from_slice(text.as_bytes()), condition, Durability::Full).await
}

#[track_caller]
fn conflict(result: &Result<Version, BlobError>) {
    assert!(matches!(result, Err(BlobError::Conflict)), "expected a conflict, got {result:?}");
}

async fn text(store: &dyn BlobStore, key: &str) -> Option<(String, Version)> {
    let blob = store.get(key).await.unwrap()?;
    Some((String::from_utf8(blob.bytes.to_vec()).unwrap(), blob.version))
}

async fn reads_what_was_written(store: &dyn BlobStore) {
    assert_eq!(text(store, "a/1.json").await, None);
    let first = put(store, "a/1.json", "one", Condition::Any).await.unwrap();
    assert_eq!(text(store, "a/1.json").await, Some(("one".to_owned(), first.clone())));
    let second =
        store.put("a/1.json", Bytes::from_static(b"two"), Condition::Any, Durability::Process).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(text(store, "a/1.json").await, Some(("two".to_owned(), second)));
    store.delete("a/1.json").await.unwrap();
    assert_eq!(text(store, "a/1.json").await, None);
    store.delete("a/1.json").await.unwrap();
}

async fn holds_conditions(store: &dyn BlobStore) {
    let first = put(store, "k", "one", Condition::Create).await.unwrap();
    conflict(&put(store, "k", "other", Condition::Create).await);
    let second = put(store, "k", "two", Condition::Match(first.clone())).await.unwrap();
    conflict(&put(store, "k", "other", Condition::Match(first)).await);
    assert_eq!(text(store, "k").await, Some(("two".to_owned(), second.clone())));
    store.delete("k").await.unwrap();
    conflict(&put(store, "k", "ghost", Condition::Match(second)).await);
    assert_eq!(text(store, "k").await, None);
    put(store, "k", "again", Condition::Create).await.unwrap();
}

/// Deleted and made again is changed, even if it were the first version again. (A store that names versions by content
/// may give an equal content its old version back: that is no change that anybody could lose.)
async fn never_gives_a_version_twice(store: &dyn BlobStore) {
    let mut seen = HashSet::new();
    for round in 0..4 {
        let version = put(store, "k", &format!("{round}"), Condition::Create).await.unwrap();
        assert!(seen.insert(version.0.clone()), "{version:?} came twice");
        store.delete("k").await.unwrap();
    }
}

async fn lists_in_order(store: &dyn BlobStore) {
    for key in ["s/b/2", "s/a/10", "s/a/9", "s/ab/1", "s/a/1", "t/1", "r"] {
        put(store, key, key, Condition::Any).await.unwrap();
    }
    let keys = async |prefix: &str, after: Option<&str>, limit: usize| {
        let listed = store.list(prefix, after, limit).await.unwrap();
        for entry in &listed {
            assert_eq!(entry.size, entry.key.len() as u64, "{}", entry.key);
        }
        listed.into_iter().map(|entry| entry.key).collect::<Vec<_>>()
    };
    assert_eq!(keys("s/", None, 10).await, ["s/a/1", "s/a/10", "s/a/9", "s/ab/1", "s/b/2"]);
    assert_eq!(keys("s/a/", None, 10).await, ["s/a/1", "s/a/10", "s/a/9"]);
    assert_eq!(keys("s/a/", None, 2).await, ["s/a/1", "s/a/10"]);
    assert_eq!(keys("s/a/", Some("s/a/10"), 2).await, ["s/a/9"]);
    assert_eq!(keys("s/", Some("s/a/9"), 1).await, ["s/ab/1"]);
    assert_eq!(keys("", None, 100).await.len(), 7);
    assert!(keys("nothing/", None, 10).await.is_empty());
}

async fn keeps_odd_keys_and_contents(store: &dyn BlobStore) {
    let everything: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    // What session and owner names may hold.
    let keys = ["sessions/own_er-1/AbC-_0.json", "sessions/own_er-1/abc-_0.json", "index/x.json"];
    for key in keys {
        store.put(key, everything.clone().into(), Condition::Create, Durability::Full).await.unwrap();
        assert_eq!(store.get(key).await.unwrap().unwrap().bytes, everything);
    }
    put(store, "empty", "", Condition::Create).await.unwrap();
    assert!(store.get("empty").await.unwrap().unwrap().bytes.is_empty());
}

const WRITERS: usize = 16;

/// Lets all writers go at the same moment and returns who won.
async fn race(
    store: &Arc<dyn BlobStore>,
    key: &'static str,
    condition: &Condition,
    round: usize,
) -> Vec<usize> {
    let start = Arc::new(Barrier::new(WRITERS));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, start, condition) = (Arc::clone(store), Arc::clone(&start), condition.clone());
            tokio::spawn(async move {
                start.wait().await;
                put(&*store, key, &format!("{round}:{writer}"), condition).await
            })
        })
        .collect();
    let mut winners = Vec::new();
    for (writer, task) in writers.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(_) => winners.push(writer),
            Err(BlobError::Conflict) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    winners
}

async fn one_of_many_creates(store: Arc<dyn BlobStore>) {
    for (round, key) in ["r/0", "r/1", "r/2"].into_iter().enumerate() {
        let winners = race(&store, key, &Condition::Create, round).await;
        assert_eq!(winners.len(), 1, "{winners:?} all believe that they made {key}");
        assert_eq!(text(&*store, key).await.unwrap().0, format!("{round}:{}", winners[0]));
    }
}

async fn one_of_many_replaces(store: Arc<dyn BlobStore>) {
    let mut version = put(&*store, "head", "start", Condition::Create).await.unwrap();
    for round in 0..3 {
        let winners = race(&store, "head", &Condition::Match(version), round).await;
        assert_eq!(winners.len(), 1, "{winners:?} all believe that they replaced the head");
        let (content, current) = text(&*store, "head").await.unwrap();
        assert_eq!(content, format!("{round}:{}", winners[0]));
        version = current;
    }
}

/// Read, add one, write if unchanged: the sum shows every lost update.
async fn loses_no_increment(store: Arc<dyn BlobStore>) {
    const EACH: u64 = 4;
    put(&*store, "sum", "0", Condition::Create).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut done = 0;
                while done < EACH {
                    let (content, version) = text(&*store, "sum").await.unwrap();
                    let next = content.parse::<u64>().unwrap() + 1;
                    match put(&*store, "sum", &next.to_string(), Condition::Match(version)).await {
                        Ok(_) => done += 1,
                        Err(BlobError::Conflict) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(text(&*store, "sum").await.unwrap().0, (8 * EACH).to_string());
}

/// What an index can look for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Searches {
    /// Titles and the text of messages.
    Text,
    /// Titles only.
    Titles,
}

/// Runs every case on one index; each uses owners of its own.
pub(crate) async fn session_index(index: &dyn SessionIndex, searches: Searches) {
    pages_newest_first(index).await;
    keeps_the_newest_summary(index).await;
    finds_by_words(index, searches).await;
    keeps_owners_apart(index).await;
    names_the_stale(index).await;
    survives_a_crowd(index).await;
}

fn summary(id: &str, title: &str, second: i64) -> Summary {
    let at = Timestamp::new(1_800_000_000 + second, 0).unwrap();
    Summary {
        session_id: id.to_owned(),
        title: title.to_owned(),
        created_at: at,
        updated_at: at,
        message_count: 2,
        run_id: None,
    }
}

async fn ids(index: &dyn SessionIndex, owner: &str, search: Option<&str>) -> Vec<String> {
    let page = index.list(owner, &Query { search, ..Query::default() }).await.unwrap();
    page.sessions.into_iter().map(|session| session.session_id).collect()
}

async fn pages_newest_first(index: &dyn SessionIndex) {
    for n in 0..7 {
        // Three share a moment: the id decides.
        let second = if (2..5).contains(&n) { 2 } else { n };
        index.upsert("pages", &summary(&format!("s{n}"), &format!("Title {n}"), second), None).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let query = Query { cursor: cursor.as_deref(), limit: 2, search: None };
        let page = index.list("pages", &query).await.unwrap();
        assert!(page.sessions.len() <= 2);
        seen.extend(page.sessions.into_iter().map(|session| session.session_id));
        // What changes meanwhile moves to the front and neither doubles nor hides anything that is still to come.
        if seen.len() == 2 {
            index.upsert("pages", &summary("s6", "Title 6", 60), None).await.unwrap();
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]);
    let bad = index.list("pages", &Query { cursor: Some("nonsense!"), ..Query::default() }).await;
    assert!(matches!(bad, Err(IndexError::Cursor)), "{bad:?}");
    // The default page.
    for n in 0..53 {
        index.upsert("many", &summary(&format!("s{n:02}"), "x", n), None).await.unwrap();
    }
    let page = index.list("many", &Query::default()).await.unwrap();
    assert_eq!((page.sessions.len(), page.sessions[0].session_id.as_str()), (50, "s52"));
    let cursor = page.next_cursor;
    let page = index.list("many", &Query { cursor: cursor.as_deref(), ..Query::default() }).await.unwrap();
    assert_eq!((page.sessions.len(), page.next_cursor), (3, None));
    assert_eq!(index.list("nobody", &Query::default()).await.unwrap().sessions, []);
}

async fn keeps_the_newest_summary(index: &dyn SessionIndex) {
    let first = Summary { run_id: Some("run-1".to_owned()), ..summary("s", "First", 10) };
    index.upsert("newest", &first, None).await.unwrap();
    let second = Summary { created_at: first.created_at, message_count: 4, ..summary("s", "Renamed", 20) };
    index.upsert("newest", &second, None).await.unwrap();
    // A writer that comes late.
    index.upsert("newest", &first, None).await.unwrap();
    let page = index.list("newest", &Query::default()).await.unwrap();
    assert_eq!(page.sessions, std::slice::from_ref(&second));
    // The same moment is no reason to be refused: the end of a run in the microsecond of its start.
    let third = Summary { message_count: 5, ..second };
    index.upsert("newest", &third, None).await.unwrap();
    assert_eq!(index.list("newest", &Query::default()).await.unwrap().sessions, [third]);
    index.remove("newest", "s").await.unwrap();
    index.remove("newest", "s").await.unwrap();
    assert!(ids(index, "newest", None).await.is_empty());
}

async fn finds_by_words(index: &dyn SessionIndex, searches: Searches) {
    let owner = "words";
    index.upsert(owner, &summary("rust", "Borrowing in Rust", 1), Some("What is a lifetime?")).await.unwrap();
    index
        .upsert(owner, &summary("rust", "Borrowing in Rust", 2), Some("It names a region: 'a."))
        .await
        .unwrap();
    index
        .upsert(owner, &summary("cafe", "Das Caf\u{e9} um die Ecke", 3), Some("Ge\u{f6}ffnet"))
        .await
        .unwrap();
    index.upsert(owner, &summary("plus", "C++ \u{2192} C", 4), None).await.unwrap();
    assert_eq!(ids(index, owner, Some("borrow")).await, ["rust"]);
    assert_eq!(ids(index, owner, Some("RUST in")).await, ["rust"]);
    assert_eq!(ids(index, owner, Some("ecke DAS")).await, ["cafe"]);
    assert_eq!(ids(index, owner, Some("\u{2192}")).await, ["plus"]);
    assert_eq!(ids(index, owner, Some("  ")).await, ["plus", "cafe", "rust"]);
    assert!(ids(index, owner, Some("rust ecke")).await.is_empty());
    for hostile in ["\" OR text:*", "NEAR(a b)", "%", "' --", "a\" AND"] {
        assert!(ids(index, owner, Some(hostile)).await.is_empty(), "{hostile}");
    }
    let in_text = ids(index, owner, Some("lifetime region")).await;
    if searches == Searches::Text {
        // The two words stand in different messages.
        assert_eq!(in_text, ["rust"]);
        assert_eq!(ids(index, owner, Some("geoff")).await, ["cafe"]);
    } else {
        assert!(in_text.is_empty());
    }
    // A new title is found, the old one no longer.
    index.upsert(owner, &summary("rust", "Ownership", 9), None).await.unwrap();
    assert!(ids(index, owner, Some("borrowing")).await.is_empty());
    assert_eq!(ids(index, owner, Some("owner")).await, ["rust"]);
    // Nothing is left of what was removed.
    index.remove(owner, "rust").await.unwrap();
    assert!(ids(index, owner, Some("ownership")).await.is_empty());
    assert!(ids(index, owner, Some("lifetime")).await.is_empty());
}

async fn keeps_owners_apart(index: &dyn SessionIndex) {
    index.upsert("ann", &summary("same", "Ann's secret", 1), Some("alpha")).await.unwrap();
    index.upsert("bob", &summary("same", "Bob's secret", 2), Some("beta")).await.unwrap();
    index.upsert("", &summary("same", "Nobody's secret", 3), None).await.unwrap();
    for (owner, title) in [("ann", "Ann's secret"), ("bob", "Bob's secret"), ("", "Nobody's secret")] {
        let page = index.list(owner, &Query { search: Some("secret"), ..Query::default() }).await.unwrap();
        assert_eq!(page.sessions.iter().map(|s| s.title.as_str()).collect::<Vec<_>>(), [title]);
    }
    assert!(ids(index, "ann", Some("beta")).await.is_empty());
    index.remove("ann", "same").await.unwrap();
    assert_eq!(ids(index, "bob", None).await, ["same"]);
    assert!(ids(index, "ann", None).await.is_empty());
}

async fn names_the_stale(index: &dyn SessionIndex) {
    let long_ago = Timestamp::new(1_000_000_000, 0).unwrap();
    for n in 0..3 {
        let at = long_ago + SignedDuration::from_secs(n);
        let old = Summary { updated_at: at, ..summary(&format!("old{n}"), "Old", 0) };
        index.upsert(if n == 1 { "" } else { "stale" }, &old, None).await.unwrap();
    }
    let mut stale = index.stale(long_ago + SignedDuration::from_secs(2), 10).await.unwrap();
    stale.sort();
    let named = |owner: &str, id: &str| (owner.to_owned(), id.to_owned());
    assert_eq!(stale, [named("", "old1"), named("stale", "old0")]);
    assert_eq!(index.stale(Timestamp::now(), 1).await.unwrap().len(), 1);
}

async fn survives_a_crowd(index: &dyn SessionIndex) {
    let crowd = (0..24).map(|n| async move {
        index.upsert("crowd", &summary(&format!("s{n:02}"), "Together", n), None).await.unwrap();
    });
    futures_util::future::join_all(crowd).await;
    assert_eq!(ids(index, "crowd", None).await.len(), 24);
}
