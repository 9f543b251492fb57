//! The `[limits]` table.

use serde::Deserialize;

/// The `[limits]` table. A number that is missing has a default that depends on whether people sign in: one person on
/// their own machine is not limited; 0 means no limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Requests a minute of one user. 120 where people sign in.
    pub requests_per_minute: Option<u32>,
    /// Requests a minute from one address, counted before anybody is signed in. 600 where people sign in.
    pub requests_per_minute_per_address: Option<u32>,
    /// Runs of one user at a time. 8 where people sign in.
    pub runs_per_user: Option<u32>,
    /// Runs from one address at a time. 64 where people sign in.
    pub runs_per_address: Option<u32>,
    /// Runs of everybody at a time.
    pub runs_total: u32,
    /// Tokens, read and written, of one user in one day (UTC). No limit unless it is set.
    pub tokens_per_day: u64,
    /// How many proxies in front of the server add themselves to `X-Forwarded-For`.
    pub trusted_proxies: u8,
    /// How deep JSON in a request may be nested.
    pub json_depth: u32,
    /// Seconds in which the body of a request must arrive.
    pub read_seconds: u32,
    /// Seconds that a connection may be open without the whole of a request's headers, between two requests as well.
    /// A load balancer in front must be told less.
    pub idle_seconds: u32,
    /// Seconds that a client may leave what is written to it unread.
    pub write_seconds: u32,
    /// The largest size of all headers of a request, in bytes.
    pub header_bytes: u32,
    /// How many connections are open at a time.
    pub connections: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            requests_per_minute_per_address: None,
            runs_per_user: None,
            runs_per_address: None,
            runs_total: 4_096,
            tokens_per_day: 0,
            trusted_proxies: 0,
            json_depth: 64,
            read_seconds: 30,
            idle_seconds: 75,
            write_seconds: 60,
            header_bytes: 32 * 1_024,
            connections: 20_000,
        }
    }
}

/// The limits with their defaults filled in; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerCaller {
    pub(super) requests_per_user: Option<u32>,
    pub(super) requests_per_address: Option<u32>,
    pub(super) runs_per_user: Option<u32>,
    pub(super) runs_per_address: Option<u32>,
}

impl LimitsConfig {
    pub(super) fn per_caller(&self, sign_in: bool) -> PerCaller {
        let limit = |set: Option<u32>, default: u32| {
            Some(set.unwrap_or(if sign_in { default } else { 0 })).filter(|limit| *limit > 0)
        };
        PerCaller {
            requests_per_user: limit(self.requests_per_minute, 120),
            requests_per_address: limit(self.requests_per_minute_per_address, 600),
            runs_per_user: limit(self.runs_per_user, 8),
            runs_per_address: limit(self.runs_per_address, 64),
        }
    }
}
