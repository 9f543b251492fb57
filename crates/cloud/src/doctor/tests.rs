//! The doctor against an agent and ways to it that are broken on purpose: each yields its diagnosis, a healthy one
//! none.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use super::{Options, Severity, examine};

/// What is wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Broken {
    Nothing,
    Buffers,
    Compresses,
    SendsBlocks,
    CutsSilence,
    CutsSpeech,
    NoCors,
    NoCorsOn(u16),
    NoPreflight,
    PreflightForgetsToken,
    WrongStage,
    WrongClock,
    SlowFirstByte,
    NoHeartbeat,
    AnswersItself,
    Throttles,
    Fails,
    FailsAtOnce,
    Redirects,
    /// The stage twice: the route for everything else asks for a token.
    GuardsHealth,
    /// API Gateway's answer to a method that has no route, without the page's headers.
    NoRoute,
    ModelRefuses,
}

/// How people sign in at the agent.
const CONFIG: &str = r#"{"auth": {"type": "cognito", "api_token": "id", "authority": "https://idp.example/pool",
    "user_pool_client_id": "ours"}}"#;

const STEP: Duration = Duration::from_millis(100);

fn frames(broken: Broken) -> Vec<String> {
    let mut frames = vec!["event: metadata\ndata: {}\n\n".to_owned()];
    if broken == Broken::ModelRefuses {
        let error = "id: 2\nevent: error\ndata: {\"error\":\"no access\",\"code\":\"model_denied\"}\n\n";
        frames.push(error.to_owned());
        return frames;
    }
    let text = "data: {\"text\":\"one\"}\n\n";
    frames.extend(std::iter::repeat_n(text.to_owned(), 6));
    if broken == Broken::SendsBlocks {
        frames = vec![text.repeat(12); 4];
    }
    frames.push("event: done\ndata: {}\n\n".to_owned());
    if broken == Broken::Compresses {
        // What gzip makes of it has no line ends of its own.
        frames = frames.iter().map(|frame| frame.replace('\n', "\u{1f}")).collect();
    }
    frames
}

/// The agent's stream, with a pause in its middle that is bridged by a heartbeat.
fn answer(broken: Broken) -> Body {
    let stream = futures_util::stream::unfold(0_usize, move |step| async move {
        let frames = frames(broken);
        if step == 0 && broken == Broken::SlowFirstByte {
            tokio::time::sleep(STEP * 7).await;
        }
        tokio::time::sleep(STEP).await;
        if step == 4 && broken == Broken::NoHeartbeat {
            tokio::time::sleep(STEP * 9).await;
        }
        if broken == Broken::SendsBlocks {
            tokio::time::sleep(STEP * 4).await;
        }
        if step == 4 && matches!(broken, Broken::CutsSilence | Broken::CutsSpeech) {
            if broken == Broken::CutsSilence {
                tokio::time::sleep(STEP * 3).await;
            }
            return Some((Err(std::io::Error::other("cut")), usize::MAX - 1));
        }
        frames.get(step).map(|frame| (Ok(Bytes::from(frame.clone())), step + 1))
    });
    Body::from_stream(stream)
}

async fn agent(State(broken): State<Arc<Broken>>, request: Request) -> Response {
    let broken = *broken;
    let path = request.uri().path().to_owned();
    let signed = request.headers().contains_key(header::AUTHORIZATION);
    let method = request.method().clone();
    let long =
        axum::body::to_bytes(request.into_body(), 4_000_000).await.is_ok_and(|body| body.len() > 1_000_000);
    let mut response = match (method.as_str(), path.as_str()) {
        _ if broken == Broken::WrongStage => {
            (StatusCode::FORBIDDEN, "{\"message\":\"Missing Authentication Token\"}").into_response()
        }
        _ if broken == Broken::Redirects => {
            (StatusCode::FOUND, [(header::LOCATION, "https://elsewhere")]).into_response()
        }
        _ if broken == Broken::AnswersItself => "<html>".into_response(),
        _ if broken == Broken::FailsAtOnce => StatusCode::BAD_GATEWAY.into_response(),
        (_, "/health") if broken == Broken::GuardsHealth => StatusCode::UNAUTHORIZED.into_response(),
        ("PUT", "/health") => StatusCode::FORBIDDEN.into_response(),
        ("OPTIONS", _) if broken == Broken::NoPreflight => StatusCode::UNAUTHORIZED.into_response(),
        ("OPTIONS", _) => StatusCode::NO_CONTENT.into_response(),
        (_, "/health") => "{\"status\":\"ok\"}".into_response(),
        (_, "/config.json") => CONFIG.into_response(),
        _ if !signed => StatusCode::UNAUTHORIZED.into_response(),
        _ if long => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        _ if broken == Broken::Throttles || broken == Broken::NoCorsOn(429) => {
            StatusCode::TOO_MANY_REQUESTS.into_response()
        }
        _ if broken == Broken::Fails || broken == Broken::NoCorsOn(502) => {
            StatusCode::BAD_GATEWAY.into_response()
        }
        _ if broken == Broken::NoCorsOn(403) => StatusCode::FORBIDDEN.into_response(),
        _ => stream(broken).await,
    };
    let status = response.status().as_u16();
    let headers = response.headers_mut();
    let bare = matches!(broken, Broken::NoCors | Broken::FailsAtOnce)
        || broken == Broken::NoRoute && method == "PUT";
    if !bare && broken != Broken::NoCorsOn(status) {
        cors(headers, broken);
    }
    if broken == Broken::WrongClock {
        headers.insert(header::DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
    response
}

async fn stream(broken: Broken) -> Response {
    let kind = (header::CONTENT_TYPE, "text/event-stream");
    match broken {
        Broken::Buffers => {
            let whole = axum::body::to_bytes(answer(broken), usize::MAX).await.unwrap();
            // Sent on in pieces without a length, as proxies do that collect first.
            let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(whole)]);
            ([kind], Body::from_stream(pieces)).into_response()
        }
        Broken::Compresses => ([kind, (header::CONTENT_ENCODING, "gzip")], answer(broken)).into_response(),
        _ => ([kind], answer(broken)).into_response(),
    }
}

fn cors(headers: &mut HeaderMap, broken: Broken) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let allowed =
        if broken == Broken::PreflightForgetsToken { "Content-Type" } else { "Authorization,Content-Type" };
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
}

async fn serve(broken: Broken) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(agent).with_state(Arc::new(broken));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn token(claims: &serde_json::Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn options(claims: &serde_json::Value) -> Options {
    Options {
        token: Some(token(claims)),
        origin: Some("https://page.example".into()),
        // A cut for silence is one after a quarter of it.
        silence: STEP * 8,
        slow: STEP * 5,
        wait: Duration::from_secs(20),
        ..Options::default()
    }
}

fn good() -> serde_json::Value {
    serde_json::json!({ "token_use": "id", "exp": 4_000_000_000_u64, "iat": 1_700_000_000 })
}

async fn faults(broken: Broken, claims: &serde_json::Value) -> Vec<&'static str> {
    let report = examine(&serve(broken).await, &options(claims)).await;
    report.findings.iter().filter(|one| one.severity == Severity::Fault).map(|one| one.code).collect()
}

#[tokio::test]
async fn each_broken_way_has_its_diagnosis_and_a_healthy_one_none() {
    let cases: &[(Broken, &[&str])] = &[
        (Broken::Nothing, &[]),
        (Broken::Buffers, &["buffered"]),
        (Broken::Compresses, &["compressed"]),
        (Broken::SendsBlocks, &["buffered"]),
        (Broken::CutsSilence, &["idle_cut"]),
        (Broken::CutsSpeech, &["cut"]),
        (
            Broken::NoCors,
            &["cors_missing", "preflight", "cors_missing_403", "cors_missing_401", "cors_missing_413"],
        ),
        (Broken::NoCorsOn(401), &["cors_missing_401"]),
        (Broken::NoCorsOn(403), &["cors_missing_403", "token_refused"]),
        (Broken::NoCorsOn(413), &["cors_missing_413"]),
        (Broken::NoCorsOn(429), &["cors_missing_429", "throttled"]),
        (Broken::NoCorsOn(502), &["cors_missing_5xx", "chat_failed"]),
        (Broken::NoPreflight, &["preflight"]),
        (Broken::PreflightForgetsToken, &["preflight"]),
        (Broken::WrongStage, &["wrong_path"]),
        (Broken::WrongClock, &["clock_skew"]),
        (Broken::SlowFirstByte, &["slow_first_byte"]),
        (Broken::NoHeartbeat, &["no_heartbeat"]),
        (Broken::AnswersItself, &["not_the_agent"]),
        (Broken::Throttles, &["throttled"]),
        (Broken::Fails, &["chat_failed"]),
        (Broken::FailsAtOnce, &["cors_missing_5xx", "unhealthy"]),
        (Broken::GuardsHealth, &["wrong_path"]),
        (Broken::NoRoute, &["cors_missing_403"]),
        (Broken::ModelRefuses, &["run_failed"]),
        (Broken::Redirects, &["redirect"]),
    ];
    let examined = cases.iter().map(|(broken, _)| async { faults(*broken, &good()).await });
    for ((broken, expected), found) in cases.iter().zip(futures_util::future::join_all(examined).await) {
        assert_eq!(&found, expected, "{broken:?}");
    }
}

#[tokio::test]
async fn tokens_of_the_wrong_kind_time_or_maker_are_named() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (claims, expected) in [
        (serde_json::json!({ "token_use": "access", "exp": now + 600 }), "wrong_token"),
        (serde_json::json!({ "token_use": "id", "exp": now - 600 }), "expired_token"),
        (serde_json::json!({ "token_use": "id", "exp": now + 9_000, "iat": now + 600 }), "clock_skew"),
        (serde_json::json!({ "exp": now + 600, "iss": "https://idp.example/other" }), "other_issuer"),
        (serde_json::json!({ "exp": now + 600, "aud": "theirs" }), "other_client"),
        (
            serde_json::json!({ "exp": now + 600, "token_use": "id", "aud": "ours", "client_id": "x", "iss": "y" }),
            "other_issuer",
        ),
    ] {
        assert_eq!(faults(Broken::Nothing, &claims).await, [expected]);
    }
    let own = serde_json::json!({ "exp": now + 600, "iss": "https://idp.example/pool/", "aud": "ours" });
    assert!(faults(Broken::Nothing, &own).await.is_empty());
}

#[tokio::test]
async fn without_an_origin_what_other_answers_carry_must_be_on_all() {
    let seen = async |broken| {
        let alone = Options { origin: None, ..options(&good()) };
        let report = examine(&serve(broken).await, &alone).await;
        report.findings.iter().map(|one| (one.code, one.severity == Severity::Fault)).collect::<Vec<_>>()
    };
    assert_eq!(seen(Broken::Nothing).await, []);
    assert_eq!(seen(Broken::NoCorsOn(401)).await, [("cors_missing_401", true)]);
    // Nothing names the doctor's page: it may be none of the agent's.
    assert_eq!(seen(Broken::NoCors).await, [("cors_unknown", false)]);
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let report = examine("http://127.0.0.1:9", &Options::default()).await;
    assert_eq!(report.findings[0].code, "unreachable");
}
