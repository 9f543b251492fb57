//! Addresses that must not be reached are not, however they are written.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers every connection with the same bytes; gives its port.
async fn serve(answer: impl Into<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let n = stream.read(&mut request).await.unwrap_or(0);
                let seen = String::from_utf8_lossy(&request[..n]).into_owned();
                let _ = stream.write_all(answer.replace("{REQUEST}", &seen).as_bytes()).await;
            });
        }
    });
    port
}

fn names(table: &'static [(&'static str, &'static str)]) -> Lookup {
    Arc::new(move |host| {
        Box::pin(async move {
            Ok(table.iter().filter(|(name, _)| *name == host).map(|(_, ip)| ip.parse().unwrap()).collect())
        })
    })
}

fn ask(url: &str) -> Ask {
    Ask {
        method: Method::GET,
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        credentials: HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer t".parse().unwrap())]),
        body: None,
        max_bytes: 1000,
    }
}

#[test]
fn special_networks_are_not_public() {
    for ip in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "3fff::1",
    ] {
        assert!(!is_public(ip.parse().unwrap()), "{ip}");
    }
    for ip in [
        "1.1.1.1",
        "172.32.0.1",
        "192.0.1.1",
        "100.128.0.1",
        "2606:4700::1111",
        "64:ff9b::101:101",
        "::ffff:8.8.8.8",
    ] {
        assert!(is_public(ip.parse().unwrap()), "{ip}");
    }
}

proptest! {
    #[test]
    fn an_ipv4_address_is_judged_alike_in_every_ipv6_form(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let [a, b, c, d] = v4.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        for v6 in [
            v4.to_ipv6_mapped(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        ] {
            prop_assert_eq!(is_public(v6.into()), is_public(v4.into()));
        }
        prop_assert!(!(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()) || !is_public(v4.into()));
    }
}

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_written() {
    crate::tls::install();
    let port = serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    let client = GuardedClient::new(
        Allowance::default(),
        names(&[("evil.example", "127.0.0.1"), ("mixed.example", "1.1.1.1"), ("mixed.example", "10.0.0.1")]),
    )
    .unwrap();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://evil.example:{port}/"),
        format!("http://mixed.example:{port}/"),
        "http://user:pass@1.1.1.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let error = client.send(ask(&url)).await.unwrap_err();
        assert!(matches!(error, GuardError::Refused(_)), "{url}: {error}");
    }
    let open =
        GuardedClient::new(Allowance { private: true, ..Allowance::default() }, system_lookup()).unwrap();
    let answer = open.send(ask(&format!("http://127.0.0.1:{port}/"))).await.unwrap();
    assert_eq!(&answer.body[..], b"hi");
}

#[tokio::test]
async fn redirects_are_checked_and_credentials_stay_at_home() {
    crate::tls::install();
    let last = serve("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{REQUEST}").await;
    let hop = serve(format!(
        "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: http://other.example:{last}/x\r\n\r\n"
    ))
    .await;
    let table: &[(&str, &str)] = &[("home.example", "127.0.0.1"), ("other.example", "127.0.0.1")];
    let client = |hosts: &[&str]| {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        GuardedClient::new(Allowance { private: true, hosts }, names(table)).unwrap()
    };
    let url = format!("http://home.example:{hop}/");
    let answer = client(&["*.example"]).send(ask(&url)).await.unwrap();
    let seen = String::from_utf8_lossy(&answer.body).to_lowercase();
    assert!(seen.contains("host: other.example") && !seen.contains("bearer t"), "{seen}");
    let error = client(&["home.example"]).send(ask(&url)).await.unwrap_err();
    assert!(error.to_string().contains("not on the list"), "{error}");
    let to_file =
        serve("HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: file:///etc/passwd\r\n\r\n").await;
    let error = client(&[]).send(ask(&format!("http://home.example:{to_file}/"))).await.unwrap_err();
    assert!(matches!(error, GuardError::Refused(_)));
    let turning = serve("HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: /\r\n\r\n").await;
    let error = client(&[]).send(ask(&format!("http://home.example:{turning}/"))).await.unwrap_err();
    assert!(error.to_string().contains("redirects"), "{error}");
}

#[tokio::test]
async fn bodies_are_read_up_to_the_limit() {
    crate::tls::install();
    let port = serve(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(5000))).await;
    let client =
        GuardedClient::new(Allowance { private: true, ..Allowance::default() }, system_lookup()).unwrap();
    let answer = client.send(ask(&format!("http://localhost:{port}/"))).await.unwrap();
    assert_eq!((answer.body.len(), answer.cut), (1000, true));
}
