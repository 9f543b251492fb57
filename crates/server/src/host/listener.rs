//! A listener: laptop, container, Lambda Web Adapter.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

use super::connections::{self, ConnectionLimits};
use crate::runs::engine::Engine;

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Nobody signs in, and the address can be reached from other machines.
    #[error(
        "refusing to listen on {0}: nobody signs in, so everybody who reaches it could use it. Set AUTH_TYPE, listen on \
         127.0.0.1, or say --insecure if something in front of it signs people in"
    )]
    Open(IpAddr),
    /// The address is taken or not ours.
    #[error("cannot listen on {0}: {1}. Choose another port with --port")]
    Taken(SocketAddr, std::io::Error),
}

/// Opens a listener; beyond loopback only if somebody signs in or it is said to be wanted.
///
/// # Errors
/// [`ListenError`].
pub async fn listen(address: SocketAddr, signs_in: bool, insecure: bool) -> Result<TcpListener, ListenError> {
    if !address.ip().is_loopback() && !signs_in && !insecure {
        return Err(ListenError::Open(address.ip()));
    }
    TcpListener::bind(address).await.map_err(|error| ListenError::Taken(address, error))
}

/// Serves until asked to stop: then runs may go on for `drain`, those still live are paused, and it returns. Asked
/// a second time, it returns at once.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    engine: Arc<Engine>,
    limits: ConnectionLimits,
    drain: Duration,
    stop: impl Future<Output = ()> + Send + 'static,
    stop_now: impl Future<Output = ()> + Send + 'static,
) {
    let drained = {
        let engine = Arc::clone(&engine);
        async move {
            stop.await;
            // While runs drain the port stays open, so that /health can say 503 and readers can reconnect.
            engine.wind_down(drain).await;
        }
    };
    tokio::select! {
        () = connections::serve(listener, router, limits, drained) => {}
        () = stop_now => {}
        () = pulse() => {}
    }
}

/// Wakes up once a second and does nothing.
///
/// A timer that ends before all others makes tokio wake the thread that waits for the network, which then knows of it. Each
/// request has several that are seconds long; beside one that always ends sooner they cost no system call and no
/// change of threads.
async fn pulse() {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
    }
}
