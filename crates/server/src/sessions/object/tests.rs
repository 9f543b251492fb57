//! The conformance suites against an S3 emulator, and against one that fails. One test: an emulator takes seconds to
//! start.

mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures_util::FutureExt as _;

use super::emulator::{Emulator, Fault, FaultyProxy};
use super::*;
use crate::sessions::blob_index::BlobIndex;
use crate::sessions::conformance::{self, Searches};

fn credentials() -> AwsLoader {
    Arc::new(|| {
        let keys = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .build();
        async move { config }.boxed()
    })
}

fn store(endpoint: String, url: &str) -> ObjectBlobs {
    let mut settings = ObjectSettings::parse(url).unwrap();
    settings.endpoint = Some(endpoint);
    ObjectBlobs::new(settings, credentials())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_on_an_emulator() {
    crate::tls::install();
    let emulator = Emulator::start("sessions").await;
    let made = AtomicU32::new(0);
    conformance::blob_store(&|| async {
        let n = made.fetch_add(1, Ordering::Relaxed);
        Arc::new(store(emulator.endpoint(), &format!("s3://sessions/space/{n}"))) as Arc<dyn BlobStore>
    })
    .await;
    let blobs = Arc::new(store(emulator.endpoint(), "s3://sessions"));
    conformance::session_index(&BlobIndex::new(blobs, None), Searches::Titles).await;
    let proxy = FaultyProxy::start(emulator.address).await;
    encrypts(&proxy).await;
    carries_a_long_object_once(&proxy).await;
    reads_in_spite_of_faults(&proxy).await;
    never_repeats_a_conditional_write(&proxy).await;
    says_what_is_wrong(&emulator).await;
    turns::survive_every_fault(&emulator, &proxy).await;
    turns::keep_one_log(&emulator).await;
}

/// The key and the bucket key are asked for with every write.
async fn encrypts(proxy: &FaultyProxy) {
    let mut settings = ObjectSettings::parse("s3://sessions/kms").unwrap();
    settings.endpoint = Some(proxy.endpoint());
    settings.kms_key_id = Some("alias/loquat".to_owned());
    let blobs = ObjectBlobs::new(settings, credentials());
    assert!(proxy.take_heads().is_empty(), "nothing is sent before the first use");
    for condition in [Condition::Create, Condition::Any] {
        blobs.put("k", Bytes::from_static(b"v"), condition, Durability::Full).await.unwrap();
    }
    let heads = proxy.take_heads();
    assert_eq!(heads.len(), 2);
    for head in heads {
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("put /sessions/kms/k "), "{head}");
        for line in [
            "x-amz-server-side-encryption: aws:kms\r",
            "x-amz-server-side-encryption-aws-kms-key-id: alias/loquat\r",
            "x-amz-server-side-encryption-bucket-key-enabled: true\r",
        ] {
            assert!(head.contains(line), "{line} is missing in {head}");
        }
    }
}

/// What was written or read here is not read again, until somebody else changed it.
async fn carries_a_long_object_once(proxy: &FaultyProxy) {
    let url = "s3://sessions/kept";
    let (ours, theirs) = (store(proxy.endpoint(), url), store(proxy.endpoint(), url));
    let long = |byte: u8| Bytes::from(vec![byte; 100_000]);
    let first = ours.put("k", long(b'a'), Condition::Create, Durability::Full).await.unwrap();
    let asks = |proxy: &FaultyProxy| {
        let heads = proxy.take_heads();
        heads.iter().filter(|head| head.to_ascii_lowercase().contains("\r\nif-none-match: ")).count()
    };
    asks(proxy);
    let same = ours.get("k").await.unwrap().unwrap();
    assert_eq!((same.bytes, &same.version), (long(b'a'), &first));
    assert_eq!(asks(proxy), 1, "it asked whether that is still how it is");
    let before = theirs.get("k").await.unwrap().unwrap().version;
    let second = theirs.put("k", long(b'b'), Condition::Match(before), Durability::Full).await.unwrap();
    let changed = ours.get("k").await.unwrap().unwrap();
    assert_eq!((changed.bytes, &changed.version), (long(b'b'), &second));
    let lost = ours.put("k", long(b'c'), Condition::Match(first), Durability::Full).await;
    assert!(matches!(lost, Err(BlobError::Conflict)), "{lost:?}");
    assert_eq!(ours.get("k").await.unwrap().unwrap().bytes, long(b'b'));
    theirs.delete("k").await.unwrap();
    assert!(ours.get("k").await.unwrap().is_none());
    assert!(ours.kept.get("k").is_none(), "what is deleted does not stay in memory");
}

const SLOW_DOWN: Fault = Fault::Answer(503, "SlowDown");
const INTERNAL: Fault = Fault::Answer(500, "InternalError");

/// What may be done twice survives a bad minute of the store.
async fn reads_in_spite_of_faults(proxy: &FaultyProxy) {
    let blobs = store(proxy.endpoint(), "s3://sessions/faults");
    blobs.put("k", Bytes::from_static(b"v"), Condition::Create, Durability::Full).await.unwrap();
    for faults in [vec![SLOW_DOWN, INTERNAL], vec![Fault::Refuse, Fault::LoseAnswer], vec![SLOW_DOWN; 3]] {
        let count = faults.len();
        proxy.take_heads();
        proxy.next(faults.clone());
        assert_eq!(blobs.get("k").await.unwrap().unwrap().bytes, "v", "{faults:?}");
        assert_eq!(proxy.take_heads().len(), count + 1);
        proxy.next(faults.clone());
        blobs.put("any", Bytes::from_static(b"v"), Condition::Any, Durability::Full).await.unwrap();
        proxy.next(faults.clone());
        assert_eq!(blobs.list("an", None, 9).await.unwrap().len(), 1, "{faults:?}");
        proxy.next(faults);
        blobs.delete("any").await.unwrap();
    }
    let begin = Instant::now();
    proxy.next([Fault::Delay(Duration::from_secs(2))]);
    assert!(blobs.get("k").await.unwrap().is_some());
    assert!(begin.elapsed() >= Duration::from_secs(2));
    // A store that stays away is an error, not a hang and not a missing object.
    proxy.next(vec![SLOW_DOWN; 40]);
    let begin = Instant::now();
    let error = blobs.get("k").await.unwrap_err();
    assert!(
        matches!(&error, BlobError::Unavailable(text) if text == "it answered 503 (SlowDown)"),
        "{error:?}"
    );
    assert!(begin.elapsed() < Duration::from_secs(20));
    proxy.next([]);
}

/// Whatever happens to a conditional write: it was sent once, and the answer is true.
async fn never_repeats_a_conditional_write(proxy: &FaultyProxy) {
    let blobs = store(proxy.endpoint(), "s3://sessions/once");
    let put = async |key: &str, text: &'static str, condition| {
        proxy.take_heads();
        let result = blobs.put(key, Bytes::from_static(text.as_bytes()), condition, Durability::Full).await;
        (result, proxy.take_heads().len())
    };
    let mut version = put("head", "start", Condition::Create).await.0.unwrap();
    for (n, fault) in [SLOW_DOWN, INTERNAL, Fault::Refuse, Fault::LoseAnswer].into_iter().enumerate() {
        let was_written = matches!(fault, Fault::LoseAnswer);
        let key = format!("new{n}");
        proxy.next([fault.clone()]);
        let (result, sent) = put(&key, "new", Condition::Create).await;
        assert!(matches!(result, Err(BlobError::Unavailable(_))), "{fault:?}: {result:?}");
        assert_eq!(sent, 1, "{fault:?}");
        assert_eq!(blobs.get(&key).await.unwrap().is_some(), was_written, "{fault:?}");
        proxy.next([fault.clone()]);
        let (result, sent) = put("head", "next", Condition::Match(version.clone())).await;
        assert!(matches!(result, Err(BlobError::Unavailable(_))), "{fault:?}: {result:?}");
        assert_eq!(sent, 1, "{fault:?}");
        let now = blobs.get("head").await.unwrap().unwrap();
        assert_eq!(now.version != version, was_written, "{fault:?}");
        version = now.version;
    }
    // S3's "another conditional request is under way" wrote nothing: it is tried again.
    proxy.next([
        Fault::Answer(409, "ConditionalRequestConflict"),
        Fault::Answer(409, "ConditionalRequestConflict"),
    ]);
    let (result, sent) = put("head", "last", Condition::Match(version.clone())).await;
    assert_eq!((result.is_ok(), sent), (true, 3));
    // And a 412 is final.
    let (result, sent) = put("head", "late", Condition::Match(version)).await;
    assert!(matches!(result, Err(BlobError::Conflict)), "{result:?}");
    assert_eq!(sent, 1);
    proxy.next([Fault::Delay(Duration::from_secs(2))]);
    assert!(put("slow", "v", Condition::Create).await.0.is_ok());
}

async fn says_what_is_wrong(emulator: &Emulator) {
    let blobs = store(emulator.endpoint(), "s3://no-such-bucket");
    let is_refused = |error: &BlobError| matches!(error, BlobError::Refused(text) if text == "it answered 404 (NoSuchBucket)");
    let error = blobs.get("k").await.unwrap_err();
    assert!(is_refused(&error), "{error:?}");
    for condition in [Condition::Create, Condition::Match(Version("\"x\"".to_owned())), Condition::Any] {
        let error = blobs.put("k", Bytes::new(), condition, Durability::Full).await.unwrap_err();
        assert!(is_refused(&error), "{error:?}");
    }
    let nobody = store("http://127.0.0.1:1".to_owned(), "s3://sessions");
    let error = nobody.put("k", Bytes::new(), Condition::Create, Durability::Full).await.unwrap_err();
    assert!(matches!(&error, BlobError::Unavailable(text) if text == "no answer"), "{error:?}");
}
