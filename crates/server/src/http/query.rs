//! Queries: unknown parameters are refused, but for those by which clients say who they are.

use axum::extract::FromRequestParts;
use axum::extract::rejection::QueryRejection;
use http::Uri;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::identity;

/// The query of a request.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = QueryRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryRejection> {
        let read = |uri: &Uri| axum::extract::Query::try_from_uri(uri).map(|query| Self(query.0));
        read(&parts.uri).or_else(|refused| match without_claims(&parts.uri) {
            Some(uri) => read(&uri),
            None => Err(refused),
        })
    }
}

/// The address without what says who somebody is; `None` where there is nothing of it.
fn without_claims(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    let is_claim = |part: &&str| identity::is_claim(part.split('=').next().unwrap_or_default());
    if !query.split('&').any(|part| is_claim(&part)) {
        return None;
    }
    let rest: Vec<&str> = query.split('&').filter(|part| !is_claim(part)).collect();
    format!("{}?{}", uri.path(), rest.join("&")).parse().ok()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        limit: Option<u32>,
        sub: Option<String>,
    }

    async fn read(query: &str) -> Result<Wanted, QueryRejection> {
        let request = http::Request::get(format!("/sessions?{query}")).body(()).unwrap();
        Query::from_request_parts(&mut request.into_parts().0, &()).await.map(|query| query.0)
    }

    #[tokio::test]
    async fn who_one_is_cannot_be_said_and_everything_else_is_read() {
        for query in ["limit=2&user_id=ann", "owner=ann&limit=2&user", "limit=2"] {
            assert_eq!(read(query).await.unwrap(), Wanted { limit: Some(2), sub: None }, "{query}");
        }
        // A name that the route knows is the route's own.
        assert_eq!(read("sub=a").await.unwrap().sub.as_deref(), Some("a"));
        for query in ["nope=1", "limit=x", "limit=x&user=ann", "user=ann&nope=1"] {
            assert!(read(query).await.is_err(), "{query}");
        }
    }
}
