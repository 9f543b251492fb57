//! Connections between two requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::driven::Link;

/// How long a connection may rest. Services close theirs after a minute or more.
const REST: Duration = Duration::from_secs(60);

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
}

impl Origin {
    pub(super) fn uri(&self) -> Result<Uri, http::Error> {
        let builder = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        builder.path_and_query(PathAndQuery::from_static("/")).build()
    }
}

#[derive(Default)]
pub(super) struct Pool {
    resting: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    links: HashMap<Origin, Vec<(Instant, Box<Link>)>>,
    /// Somebody looks after those that rest too long.
    tended: bool,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// The connection that was used last, if one is still open.
    pub(super) fn take(&self, origin: &Origin) -> Option<Box<Link>> {
        loop {
            let (_, mut link) = self.resting.lock().links.get_mut(origin)?.pop()?;
            if link.is_ready() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next request, if it can carry one.
    pub(super) fn put(self: &Arc<Self>, origin: Origin, mut link: Box<Link>) {
        // Outside a runtime nobody can tend it; the process ends.
        let (true, Ok(runtime)) = (link.is_ready(), tokio::runtime::Handle::try_current()) else { return };
        let mut resting = self.resting.lock();
        resting.links.entry(origin).or_default().push((Instant::now(), link));
        if !resting.tended {
            resting.tended = true;
            runtime.spawn(tend(Arc::downgrade(self)));
        }
    }

    /// Closes what has rested too long; whether nothing rests any more.
    fn tidy(&self) -> bool {
        let mut closed = Vec::new();
        let mut resting = self.resting.lock();
        resting.links.retain(|_, links| {
            let old = links.partition_point(|(since, _)| since.elapsed() >= REST);
            closed.extend(links.drain(..old));
            !links.is_empty()
        });
        resting.tended = !resting.links.is_empty();
        !resting.tended
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.resting.lock().links.values().map(Vec::len).sum()
    }
}

async fn tend(pool: Weak<Pool>) {
    loop {
        sleep(REST).await;
        if pool.upgrade().is_none_or(|pool| pool.tidy()) {
            return;
        }
    }
}
