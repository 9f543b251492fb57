//! Limits, each at its edge.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

async fn problem(answer: reqwest::Response) -> (u16, String, Option<String>) {
    let status = answer.status().as_u16();
    let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    // A page of another origin can read why, whatever it is.
    assert!(answer.headers().contains_key("access-control-allow-origin"), "{status}");
    let body: Value = answer.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned(), retry)
}

#[tokio::test]
async fn requests_a_minute_of_a_user() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let settings =
        [("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", entries.as_str()), ("LOQUAT_REQUESTS_PER_MINUTE", "3")];
    let served = serve(&settings, "say=\"hi\"").await;
    let list = |token: &str| served.request("GET", "/sessions").bearer_auth(token).send();
    for _ in 0..3 {
        assert_eq!(list(&ann).await.unwrap().status(), 200);
    }
    let (status, code, retry) = problem(list(&ann).await.unwrap()).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
    assert!((1..=21).contains(&retry.unwrap().parse::<u32>().unwrap()));
    assert_eq!(list(&bob).await.unwrap().status(), 200);
}

#[tokio::test]
async fn guessing_is_limited_by_address() {
    let (_, entry) = key("ann");
    let settings = [
        ("AUTH_TYPE", "ApiKey"),
        ("LOQUAT_API_KEYS", entry.as_str()),
        ("LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS", "5"),
        ("LOQUAT_TRUSTED_PROXIES", "1"),
    ];
    let served = serve(&settings, "say=\"hi\"").await;
    let guess = |forwarded: &'static str| {
        served.request("GET", "/sessions").bearer_auth("guess").header("x-forwarded-for", forwarded).send()
    };
    for _ in 0..5 {
        assert_eq!(guess("6.6.6.6, 203.0.113.1").await.unwrap().status(), 401);
    }
    // What the client itself wrote into the header changes nothing.
    let (status, code, retry) = problem(guess("7.7.7.7, 203.0.113.1").await.unwrap()).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
    assert!((1..=13).contains(&retry.unwrap().parse::<u32>().unwrap()));
    assert_eq!(guess("203.0.113.2").await.unwrap().status(), 401);
    assert_eq!(served.request("GET", "/health").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_proxies_nobody_writes_their_own_address() {
    let settings = [("AUTH_TYPE", "ApiKey"), ("LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS", "5")];
    let served = serve(&settings, "say=\"hi\"").await;
    let names =
        ["x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip", "cf-connecting-ip", "x-client-ip"];
    let mut seen = Vec::new();
    for n in 0..12 {
        let mut request = served.request("GET", "/sessions").bearer_auth("guess");
        for name in names {
            request = request.header(name, format!("203.0.113.{n}"));
        }
        seen.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(seen, [401, 401, 401, 401, 401, 429, 429, 429, 429, 429, 429, 429]);
}

#[tokio::test]
async fn answers_at_a_time_from_an_address() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let settings = [
        ("AUTH_TYPE", "ApiKey"),
        ("LOQUAT_API_KEYS", entries.as_str()),
        ("LOQUAT_RUNS_PER_ADDRESS", "1"),
        ("LOQUAT_TRUSTED_PROXIES", "1"),
    ];
    let served = serve(&settings, "say=\"hi\" first=30s").await;
    let start = |token: &str, from: &'static str| {
        let request = served.request("POST", "/chat").bearer_auth(token).header("x-forwarded-for", from);
        request.json(&json!({"message": "hello"})).send()
    };
    let first = start(&ann, "203.0.113.1").await.unwrap();
    assert_eq!(first.status(), 200);
    // Another user at the same address waits, the same user at another does not.
    let (status, code, retry) = problem(start(&bob, "203.0.113.1").await.unwrap()).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
    assert!(retry.unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(start(&ann, "203.0.113.2").await.unwrap().status(), 200);
}

#[tokio::test]
async fn answers_at_a_time_of_a_user_and_of_everybody() {
    let ((ann, ann_entry), (bob, bob_entry), (carol, carol_entry)) = (key("ann"), key("bob"), key("carol"));
    let entries = format!("{ann_entry},{bob_entry},{carol_entry}");
    let settings = [
        ("AUTH_TYPE", "ApiKey"),
        ("LOQUAT_API_KEYS", entries.as_str()),
        ("LOQUAT_RUNS_PER_USER", "1"),
        ("LOQUAT_RUNS_TOTAL", "2"),
    ];
    let served = serve(&settings, "say=\"hi\" first=30s").await;
    let start = async |token: &str| {
        let body = json!({"message": "hello", "run_id": new_id()});
        let answer = served.request("POST", "/chat").bearer_auth(token).json(&body).send().await.unwrap();
        (answer.headers().get("x-loquat-run-id").cloned(), answer)
    };
    let (run, anns) = start(&ann).await;
    assert_eq!(anns.status(), 200);
    let (_, bobs) = start(&bob).await;
    assert_eq!(bobs.status(), 200);
    let (status, code, retry) = problem(start(&ann).await.1).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
    assert!(retry.is_some());
    let (status, code, retry) = problem(start(&carol).await.1).await;
    assert_eq!((status, code.as_str()), (503, "overloaded"));
    assert!(retry.is_some());
    // A reader that leaves frees nothing: the run goes on. Stopping does.
    drop(anns);
    assert_eq!(start(&ann).await.1.status(), 429);
    let stop = format!("/runs/{}/stop", run.unwrap().to_str().unwrap());
    assert_eq!(served.request("POST", &stop).bearer_auth(&ann).send().await.unwrap().status(), 200);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while start(&carol).await.1.status() != 200 {
        assert!(std::time::Instant::now() < deadline, "the place was not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn tokens_a_day() {
    let (ann, entry) = key("ann");
    let settings =
        [("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", entry.as_str()), ("LOQUAT_TOKENS_PER_DAY", "2")];
    let served = serve(&settings, "say=\"one two three four\"").await;
    served.converse(&ann).await;
    let answer = served.request("POST", "/chat").bearer_auth(&ann).json(&json!({"message": "again"}));
    let (status, code, retry) = problem(answer.send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
    assert!(retry.unwrap().parse::<u32>().unwrap() <= 86_400);
    // Reading stays possible.
    assert_eq!(served.request("GET", "/sessions").bearer_auth(&ann).send().await.unwrap().status(), 200);
}

/// Or a limit would cost nothing to whoever stops each answer before its end.
#[tokio::test]
async fn tokens_of_a_stopped_answer_count() {
    let (ann, entry) = key("ann");
    let settings =
        [("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", entry.as_str()), ("LOQUAT_TOKENS_PER_DAY", "100")];
    let served = serve(&settings, "tokens=1000 delay=20ms").await;
    let start = |message: String| {
        let body = json!({"message": message, "run_id": new_id()});
        served.request("POST", "/chat").bearer_auth(&ann).json(&body).send()
    };
    let mut answer = start("word ".repeat(100)).await.unwrap();
    let run = answer.headers()["x-loquat-run-id"].to_str().unwrap().to_owned();
    let mut seen = String::new();
    while !seen.contains("\"text\"") {
        seen.push_str(&String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()));
    }
    let stop = format!("/runs/{run}/stop");
    let stopped = served.request("POST", &stop).bearer_auth(&ann).send().await.unwrap();
    assert_eq!(stopped.json::<Value>().await.unwrap()["outcome"], "cancelled");
    let (status, code, _) = problem(start("again".to_owned()).await.unwrap()).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
}

#[tokio::test]
async fn bodies_have_a_size_and_a_depth_and_errors_carry_cors() {
    let settings = [("LOQUAT_BODY_BYTES", "10000"), ("LOQUAT_MESSAGE_BYTES", "100")];
    let served = serve(&settings, "say=\"hi\"").await;
    let post = |body: String| {
        let request = served.request("POST", "/chat").header("content-type", "application/json");
        request.header("origin", "http://localhost:5173").body(body).send()
    };
    let deep = format!("{{\"message\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let long = json!({"message": "x".repeat(101)}).to_string();
    for (body, expected) in [
        ("x".repeat(10_001), (413, "body_too_large")),
        (deep, (400, "invalid_json")),
        (long, (413, "message_too_long")),
        ("{".into(), (400, "invalid_json")),
    ] {
        let answer = post(body).await.unwrap();
        assert_eq!(answer.headers()["access-control-allow-origin"], "http://localhost:5173");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let (status, code, _) = problem(answer).await;
        assert_eq!((status, code.as_str()), expected);
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_a_server_where_nobody_signs_in() {
    let served = serve(&[], "say=\"hi\"").await;
    let message = json!({"message": "hello"});
    let post = || served.request("POST", "/chat").json(&message);
    assert_eq!(post().header("origin", "https://evil.example").send().await.unwrap().status(), 403);
    assert_eq!(post().header("host", "evil.example").send().await.unwrap().status(), 421);
    let answer = post().send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("event: done"));
    assert_eq!(served.mock.requests().len(), 1, "the model was asked once");
}

/// A page that was pointed at this machine by its own name finds nothing there, whoever signs in.
#[tokio::test]
async fn on_this_machine_the_server_answers_to_its_names_only() {
    let (ann, entry) = key("ann");
    let known = [("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", entry.as_str())];
    let elsewhere = |more: &[(&'static str, &'static str)], host: &'static str| {
        let settings: Vec<(&str, &str)> = known.iter().copied().chain(more.iter().copied()).collect();
        let ann = ann.clone();
        async move {
            let served = serve(&settings, "say=\"hi\"").await;
            let mut seen = Vec::new();
            for path in ["/sessions", "/config.json", "/health", "/"] {
                let request = served.request("GET", path).bearer_auth(&ann).header("host", host);
                // What else a client says of the name is nobody's word.
                let request =
                    request.header("x-forwarded-host", "localhost").header("forwarded", "host=localhost");
                seen.push(request.send().await.unwrap().status().as_u16());
            }
            seen
        }
    };
    assert_eq!(elsewhere(&[], "evil.example").await, [421; 4]);
    assert_eq!(elsewhere(&[], "127.0.0.1.evil.example:8080").await, [421; 4]);
    assert_eq!(elsewhere(&[], "localhost:9").await, [200; 4]);
    assert_eq!(elsewhere(&[("LOQUAT_ALLOWED_HOSTS", "chat.example")], "chat.example").await, [200; 4]);
    // A proxy hands on its own name, a function is called by that of its gateway.
    assert_eq!(elsewhere(&[("LOQUAT_TRUSTED_PROXIES", "1")], "chat.example").await, [200; 4]);
    assert_eq!(elsewhere(&[("AWS_LAMBDA_FUNCTION_NAME", "f")], "api.example").await, [200; 4]);
    // So does a machine that others can reach.
    assert_eq!(elsewhere(&[("HOST", "0.0.0.0")], "chat.example").await, [200; 4]);
}

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let served = serve(&[], "say=\"hi\"").await;
    let address = served.url.strip_prefix("http://").unwrap();
    let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    // The request is being read by now or soon; half a minute is passed on the clock, not waited for.
    let mut answer = Vec::new();
    let mut passed = Duration::ZERO;
    while passed < Duration::from_secs(60) && !answer.starts_with(b"HTTP/1.1 408") {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::time::resume();
        passed += Duration::from_secs(5);
        let mut chunk = [0; 1_024];
        if let Ok(Ok(n)) = tokio::time::timeout(Duration::from_millis(50), slow.read(&mut chunk)).await {
            answer.extend_from_slice(&chunk[..n]);
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_too_slow"), "{answer}");
}

#[tokio::test]
async fn slow_and_broken_clients_do_not_stop_healthy_ones() {
    let served = serve(&[], "say=\"hi\"").await;
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    let median = async || {
        let mut times = Vec::new();
        for _ in 0..40 {
            let began = std::time::Instant::now();
            let (status, text) = served.chat("", &json!({"message": "hello"})).await;
            assert!(status.is_success() && text.contains("event: done"), "{text}");
            times.push(began.elapsed());
        }
        times.sort();
        times[times.len() / 2]
    };
    let before = median().await;
    let mut slow = Vec::new();
    for n in 0..400 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let part = if n % 2 == 0 {
            "GET / HTTP/1.1\r\nx-"
        } else {
            "POST /chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 90000\r\n\r\n{"
        };
        stream.write_all(part.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // A hundred uploads that end in the middle.
    slow.truncate(300);
    let during = median().await;
    assert!(
        during < before * 10 + Duration::from_millis(50),
        "{before:?} alone, {during:?} beside slow clients"
    );
}
