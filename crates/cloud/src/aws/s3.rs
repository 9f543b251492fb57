//! S3: the deployment bucket, the page's files, emptying buckets.

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Aws, AwsError, Call, Service, encode};

const SERVICE: Service = Service { signing: "s3", host: "s3", id: "S3", global: false };

fn call<'a>(action: &'a str, method: Method, path: String) -> Call<'a> {
    Call { service: SERVICE, method, path, headers: Vec::new(), body: Bytes::new(), action }
}

fn object_path(bucket: &str, key: &str) -> String {
    let key: Vec<String> = key.split('/').map(encode).collect();
    format!("/{bucket}/{}", key.join("/"))
}

/// A version of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Version {
    key: String,
    version_id: String,
}

impl Aws {
    /// Whether this account has the bucket.
    ///
    /// # Errors
    /// When it belongs to somebody else, or AWS cannot be asked.
    pub async fn bucket_exists(&self, bucket: &str) -> Result<bool, AwsError> {
        match self.call(call("HeadBucket", Method::HEAD, format!("/{bucket}"))).await {
            Ok(_) => Ok(true),
            Err(AwsError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a private bucket in this region.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), AwsError> {
        let mut create = call("CreateBucket", Method::PUT, format!("/{bucket}"));
        if self.region() != "us-east-1" {
            create.body = format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{}\
                 </LocationConstraint></CreateBucketConfiguration>",
                self.region()
            )
            .into();
        }
        self.call(create).await?;
        let mut block = call("PutPublicAccessBlock", Method::PUT, format!("/{bucket}?publicAccessBlock="));
        block.body = Bytes::from_static(
            b"<PublicAccessBlockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
              <BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
              <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>\
              </PublicAccessBlockConfiguration>",
        );
        block.headers = checksum(&block.body);
        self.call(block).await?;
        // A template or a package nobody asked for in three months is of no use to a roll-back either.
        let mut expire =
            call("PutBucketLifecycleConfiguration", Method::PUT, format!("/{bucket}?lifecycle="));
        expire.body = Bytes::from_static(
            b"<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ID>uploads</ID>\
              <Filter><Prefix></Prefix></Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload>\
              <DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>\
              </LifecycleConfiguration>",
        );
        expire.headers = checksum(&expire.body);
        self.call(expire).await.map(drop)
    }

    /// Whether the object is there.
    ///
    /// # Errors
    /// When AWS cannot be asked.
    pub async fn object_exists(&self, bucket: &str, key: &str) -> Result<bool, AwsError> {
        match self.call(call("HeadObject", Method::HEAD, object_path(bucket, key))).await {
            Ok(_) => Ok(true),
            Err(AwsError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes an object.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn put_object(
        &self,
        bucket: &str,
        key: &str,
        body: Bytes,
        content_type: &str,
        cache_control: &str,
    ) -> Result<(), AwsError> {
        let mut put = call("PutObject", Method::PUT, object_path(bucket, key));
        put.body = body;
        put.headers = vec![("content-type", content_type.into()), ("cache-control", cache_control.into())];
        self.call(put).await.map(drop)
    }

    /// The address of an object, as other services of AWS are told it.
    pub fn object_url(&self, bucket: &str, key: &str) -> String {
        format!("{}{}", self.endpoint(SERVICE), object_path(bucket, key))
    }

    /// Reads an object; `None` where there is none.
    ///
    /// # Errors
    /// When AWS cannot be asked.
    pub async fn get_object(&self, bucket: &str, key: &str) -> Result<Option<Bytes>, AwsError> {
        match self.call(call("GetObject", Method::GET, object_path(bucket, key))).await {
            Ok((_, body)) => Ok(Some(body)),
            Err(AwsError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes everything under a prefix, all versions of it; answers how many there were.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn empty_bucket(&self, bucket: &str, prefix: &str) -> Result<usize, AwsError> {
        let mut deleted = 0;
        loop {
            let versions = self.versions(bucket, prefix).await?;
            if versions.is_empty() {
                return Ok(deleted);
            }
            deleted += versions.len();
            self.delete_versions(bucket, &versions).await?;
        }
    }

    /// Whether a bucket holds nothing at all.
    ///
    /// # Errors
    /// When AWS cannot be asked.
    pub async fn bucket_is_empty(&self, bucket: &str) -> Result<bool, AwsError> {
        Ok(self.versions(bucket, "").await?.is_empty())
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn delete_bucket(&self, bucket: &str) -> Result<(), AwsError> {
        self.call(call("DeleteBucket", Method::DELETE, format!("/{bucket}"))).await.map(drop)
    }

    /// The first thousand versions and delete markers under a prefix.
    async fn versions(&self, bucket: &str, prefix: &str) -> Result<Vec<Version>, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(default, rename = "$value")]
            entries: Vec<Entry>,
        }
        #[derive(Deserialize)]
        enum Entry {
            Version(Version),
            DeleteMarker(Version),
            #[serde(other)]
            Other,
        }
        let action = "ListObjectVersions";
        let path = format!("/{bucket}?max-keys=1000&prefix={}&versions=", encode(prefix));
        let (_, body) = self.call(call(action, Method::GET, path)).await?;
        let answer: Answer =
            quick_xml::de::from_reader(body.as_ref()).map_err(|error| AwsError::unreadable(action, error))?;
        let versions = answer.entries.into_iter().filter_map(|entry| match entry {
            Entry::Version(version) | Entry::DeleteMarker(version) => Some(version),
            Entry::Other => None,
        });
        Ok(versions.collect())
    }

    async fn delete_versions(&self, bucket: &str, versions: &[Version]) -> Result<(), AwsError> {
        let mut body =
            String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
        for version in versions {
            body.push_str(&format!("<Object><Key>{}</Key>", quick_xml::escape::escape(version.key.as_str())));
            if !version.version_id.is_empty() {
                body.push_str(&format!("<VersionId>{}</VersionId>", version.version_id));
            }
            body.push_str("</Object>");
        }
        body.push_str("</Delete>");
        let mut delete = call("DeleteObjects", Method::POST, format!("/{bucket}?delete="));
        delete.body = body.into();
        delete.headers = checksum(&delete.body);
        let (_, answer) = self.call(delete).await?;
        // A deletion that failed for one object is still a 200.
        let answer = String::from_utf8_lossy(&answer);
        match super::error::element(&answer, "Code") {
            Some(code) => Err(AwsError::unreadable("DeleteObjects", code)),
            None => Ok(()),
        }
    }
}

/// S3 wants a checksum with every configuration it is given.
fn checksum(body: &Bytes) -> Vec<(&'static str, String)> {
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(body));
    vec![("x-amz-checksum-sha256", digest)]
}
