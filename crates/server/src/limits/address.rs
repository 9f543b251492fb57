//! Whom an address stands for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;
use lambda_http::request::RequestContext;

/// The address of a client, as limits count it: an IPv6 network of 64 bits is one client, since its owner has all of
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        })
    }
}

/// Who sent a request: API Gateway's word on Lambda, else the connection, or what the nearest `trusted_proxies` said of
/// it. Anything a client can write itself is never taken. `None` where it cannot be known.
#[must_use]
pub fn client_address(parts: &Parts, trusted_proxies: u8) -> Option<ClientAddress> {
    let invoked = match parts.extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.clone(),
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
        _ => None,
    };
    if let Some(address) = invoked.and_then(|address| address.parse::<IpAddr>().ok()) {
        return Some(address.into());
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    if trusted_proxies == 0 {
        return peer.map(Into::into);
    }
    // Every proxy appends whom it heard from; the last entries are ours, what is before them is the client's tale.
    let entries: Vec<&str> = parts
        .headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let place = entries.len().checked_sub(usize::from(trusted_proxies));
    match place.map(|place| entries[place]) {
        Some(entry) => parse(entry).or(peer).map(Into::into),
        None => peer.map(Into::into),
    }
}

fn parse(entry: &str) -> Option<IpAddr> {
    entry
        .trim_matches(['[', ']'])
        .parse()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: &[&str], proxies: u8) -> Option<ClientAddress> {
        let mut request = http::Request::get("/");
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        client_address(&parts, proxies)
    }

    fn is(address: &str) -> Option<ClientAddress> {
        Some(address.parse::<IpAddr>().unwrap().into())
    }

    #[test]
    fn nobody_chooses_their_own_address() {
        assert_eq!(from("192.0.2.1:9", &["203.0.113.7"], 0), is("192.0.2.1"));
        assert_eq!(from("10.0.0.1:9", &["203.0.113.7"], 1), is("203.0.113.7"));
        assert_eq!(from("10.0.0.1:9", &["6.6.6.6, 203.0.113.7"], 1), is("203.0.113.7"));
        assert_eq!(from("10.0.0.1:9", &["6.6.6.6", "203.0.113.7, 10.0.0.2"], 2), is("203.0.113.7"));
        assert_eq!(from("10.0.0.1:9", &[], 1), is("10.0.0.1"));
        assert_eq!(from("10.0.0.1:9", &["nonsense"], 1), is("10.0.0.1"));
        assert_eq!(from("10.0.0.1:9", &["203.0.113.7:4711"], 1), is("203.0.113.7"));
    }

    #[test]
    fn a_network_is_one_client() {
        assert_eq!(is("2001:db8:1:2::1"), is("2001:db8:1:2:ffff::9"));
        assert_ne!(is("2001:db8:1:2::1"), is("2001:db8:1:3::1"));
        assert_eq!(is("::ffff:192.0.2.1"), is("192.0.2.1"));
    }
}
