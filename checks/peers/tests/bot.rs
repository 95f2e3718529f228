//! A Rust test: the bot answers a customer of the simulated platform, which runs in this process.

use axum::routing::post;
use axum::{Json, Router};
use messenger_sim::{Config, Expectation, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const PAGE: u64 = 987_654_321_098_765;
const ANA: u64 = 1_234_567_890_123_456;

#[tokio::test]
async fn the_bot_answers() {
    let sim = Server::start(Config::default().platform().unwrap()).await.unwrap();
    sim.set_callback(&999.into(), bot(sim.url()).await);
    sim.customer_writes(&PAGE.into(), &ANA.into(), "hello");
    sim.expect(Expectation::of(PAGE, ANA).read("You wrote: hello").by(999)).await.unwrap();
}

/// Serves a bot that answers what customers write, and returns its address.
async fn bot(graph: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let webhook = post(async move |Json(delivery): Json<Value>| drop(tokio::spawn(answer(graph, delivery))));
    let router = Router::new().route("/webhook", webhook);
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}/webhook")
}

async fn answer(graph: String, delivery: Value) {
    // reqwest is built without a TLS provider here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let entries = delivery["entry"].as_array().unwrap().iter();
    let events: Vec<_> = entries.filter_map(|entry| entry["messaging"].as_array()).flatten().collect();
    for event in events {
        let message = &event["message"];
        if let (Some(text), None) = (message["text"].as_str(), message.get("is_echo")) {
            let text = format!("You wrote: {text}");
            let answer = json!({"recipient": event["sender"], "message": {"text": text}}).to_string();
            let post = client.post(format!("{graph}/me/messages?access_token=PAGE_TOKEN"));
            post.header("content-type", "application/json").body(answer).send().await.unwrap();
        }
    }
}
