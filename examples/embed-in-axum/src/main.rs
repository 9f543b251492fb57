//! An agent inside an axum application: the application keeps its own routes and state, the agent gets the rest.
//! `MODEL_ID=anthropic/claude-sonnet-4-5 cargo run -p loquat-example-embed-in-axum`, then http://127.0.0.1:8080.

mod shelf;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use loquat_server::embed::{Builder, EmbeddedAgent};
use serde_json::{Value, json};
use shelf::{Shelf, Stock};

/// The agent's settings and what it may use of the application.
fn agent(shelf: &Shelf) -> Builder {
    EmbeddedAgent::builder().config(include_str!("../loquat.toml")).tool(Arc::new(Stock::new(shelf.clone())))
}

/// The application: `/books/{title}` is its own, everything else (`/chat`, `/sessions`, the page) is the agent's.
fn app(shelf: Shelf, agent: &EmbeddedAgent) -> Router {
    Router::new()
        .route("/books/{title}", get(book).post(deliver))
        .with_state(shelf)
        .fallback_service(agent.router())
}

async fn book(State(shelf): State<Shelf>, Path(title): Path<String>) -> Json<Value> {
    Json(json!({"title": title, "copies": shelf.copies(&title)}))
}

async fn deliver(State(shelf): State<Shelf>, Path(title): Path<String>) -> Json<Value> {
    shelf.add(&title);
    book(State(shelf), Path(title)).await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let shelf = Shelf::default();
    shelf.add("Middlemarch");
    let agent = agent(&shelf).build()?;
    let app = app(shelf, &agent);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let stop = async move {
        // Without a way to hear Ctrl-C the program ends as any other does.
        let _ = tokio::signal::ctrl_c().await;
        // Answers that are being written hold connections open, which axum waits for: the agent lets them go.
        agent.shutdown().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use loquat_agent::scripted::{ScriptedModel, asks, says};

    use super::*;

    /// Over a real socket: the application's route changes the state, and the agent's tool sees the change.
    #[tokio::test]
    async fn the_agent_and_the_application_share_a_port_and_a_state() {
        let shelf = Shelf::default();
        let model = ScriptedModel::new([
            asks(&[("1", "stock", r#"{"title": "Emma"}"#)]),
            says(&["We have ", "one."]),
        ]);
        let home = [("HOME".to_owned(), "/nonexistent".to_owned())];
        let agent = agent(&shelf).environment(home).model(model.clone()).build().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = app(shelf, &agent);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
                agent.shutdown().await;
            };
            axum::serve(listener, app).with_graceful_shutdown(stopped).await
        });

        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let delivered = http.post(format!("{url}/books/Emma")).send().await.unwrap();
        assert_eq!(delivered.status(), 200);
        let chat = http.post(format!("{url}/chat")).header("content-type", "application/json");
        let body = r#"{"message": "Do you have Emma?", "events": "all"}"#;
        let answer = chat.body(body).send().await.unwrap().text().await.unwrap();
        assert!(answer.contains(r#""output":{"copies":1,"title":"Emma"}"#), "{answer}");
        assert!(answer.contains("event: done"), "{answer}");
        let seen = model.requests();
        assert!(seen[0].system.as_deref().unwrap().contains("bookshop"));
        let health = http.get(format!("{url}/health")).send().await.unwrap();
        assert_eq!(health.status(), 200);

        drop(http);
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }
}
