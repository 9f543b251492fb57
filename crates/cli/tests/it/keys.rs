//! `loquat keys`: a key is made, used, listed and taken away while the server runs, and is kept nowhere.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::{ModelServer, PATIENCE, Server, binary};

/// What a command printed; it has to succeed.
fn keys(server: &Server, arguments: &[&str]) -> String {
    let folder = server.data().to_str().unwrap().to_owned();
    let env = BTreeMap::from([
        ("HOME".to_owned(), folder.clone()),
        ("LOQUAT_DATA_DIR".to_owned(), folder),
        ("AUTH_TYPE".to_owned(), "ApiKey".to_owned()),
    ]);
    let output = binary(&env).arg("keys").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the server answers a key with this status: it looks at the file every second.
async fn until(server: &Server, path: &str, key: &str, status: u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = server.http.get(format!("{}{path}", server.url)).bearer_auth(key).send().await.unwrap();
        if answer.status() == status {
            return;
        }
        assert!(Instant::now() < deadline, "{path} is answered {} and not {status}", answer.status());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_key_lets_in_from_when_it_is_made_until_it_is_revoked() {
    let model = ModelServer::start().await;
    let server = Server::start(&model, &[("AUTH_TYPE", "ApiKey")]).await;
    assert!(server.told.iter().any(|line| line.starts_with("Sign-in") && line.contains("api_key")));
    until(&server, "/sessions", "loquat_guess", 401).await;

    let bot = keys(&server, &["add", "ci-bot"]).trim().to_owned();
    let chief = keys(&server, &["add", "support", "--user", "ann", "--admin"]).trim().to_owned();
    assert!(bot.starts_with("loquat_") && bot.len() > 40 && bot != chief, "{bot}");
    until(&server, "/sessions", &bot, 200).await;
    until(&server, "/admin/users/ann/sessions", &chief, 200).await;
    until(&server, "/admin/users/ann/sessions", &bot, 404).await;

    let listed = keys(&server, &["list"]);
    assert!(listed.contains("ci-bot") && listed.contains("support") && listed.contains("ann"), "{listed}");
    // The key itself is in none of the files.
    for entry in std::fs::read_dir(server.data()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&bot) && !text.contains(&chief), "{}", path.display());
    }
    assert!(!listed.contains(&bot));

    keys(&server, &["revoke", "ci-bot"]);
    until(&server, "/sessions", &bot, 401).await;
    until(&server, "/sessions", &chief, 200).await;
    assert!(!keys(&server, &["list"]).contains("ci-bot"));
}
