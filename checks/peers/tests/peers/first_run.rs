//! A newcomer's first run: the lines that the simulator prints for its bot are all the settings that a bot needs.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Failed;
use messenger_handover::prelude::*;
use messenger_handover::settings::Settings;
use messenger_handover::store::MemoryStore;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Running;

struct Bot;

#[async_trait]
impl Handler for Bot {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        let mut actions = Actions::none();
        for message in notification.to_answer() {
            let reply = format!("You wrote: {}", message.text.as_deref().unwrap_or_default());
            actions = actions.and_reply_to(message, OutgoingMessage::text(reply)?);
        }
        Ok(actions)
    }
}

/// The settings in the next block of `export NAME=value`.
fn pasted(lines: &mut impl Iterator<Item = String>) -> Result<Settings, Failed> {
    let exports = lines.skip_while(|line| !line.starts_with("export "));
    let mut variables = HashMap::new();
    for line in exports {
        let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) else {
            break;
        };
        variables.insert(name.to_owned(), value.to_owned());
        // The last of a block.
        if name == "LISTEN" {
            break;
        }
    }
    Ok(Settings::from_variables(|name| variables.get(name).cloned())?)
}

async fn post(client: &reqwest::Client, url: String, body: Value) -> Result<(), Failed> {
    let answer = client.post(url).body(body.to_string()).send().await?;
    if answer.status().as_u16() == 200 { Ok(()) } else { Err(answer.text().await?.into()) }
}

/// Runs a bot with the printed settings.
pub async fn run(folder: &Path) -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let callback = format!("999=http://{}/webhook", listener.local_addr()?);
    let mut program = Command::new(folder.join("messenger-sim"));
    program.args(["--port", "0", "--callback", &callback]).stdout(Stdio::piped());
    let mut program = Running(program.spawn()?);
    let mut lines = BufReader::new(program.0.stdout.take().ok_or("no output")?).lines().map_while(Result::ok);
    let settings = pasted(&mut lines)?;
    let desk = pasted(&mut lines)?;
    if settings.desk_app_id.as_ref() != Some(&desk.app_id) || desk.ed_token.is_none() {
        return Err("the bot does not know the desk, or the desk has no token for bots".into());
    }

    let handover = settings.bot(Bot)?.store(Arc::new(MemoryStore::default())).start()?;
    let routes = Routes::new().webhook(settings.webhook(handover.clone()));
    let serving = tokio::spawn(async move { axum::serve(listener, routes.into_router()).await });
    let graph = settings.graph_url.as_ref().ok_or("no GRAPH_URL")?.to_string();
    let sim = format!("{}/_sim", graph.trim_end_matches('/'));
    // reqwest needs a process-wide TLS provider, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build()?;
    let (page, user) = (settings.page_id.to_string(), "1234567890123456");
    post(&client, format!("{sim}/pages/{page}/people/{user}/messages"), json!({"text": "hello"})).await?;
    let expected =
        json!({"page": page, "user": user, "read": "You wrote: hello", "by": "999", "within_ms": 20_000});
    let outcome = post(&client, format!("{sim}/expect"), expected).await;
    serving.abort();
    let _ = handover.stop(Duration::from_secs(5)).await;
    outcome
}
