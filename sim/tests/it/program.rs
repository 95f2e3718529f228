//! Tests of the program: what it prints for a newcomer, and the callbacks that it is given.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::steering::accepts_handshakes;
use super::{Http, WORLD, http, receiver};

/// The running program, which ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_messenger-sim"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the program, and waits until it serves; returns it with its URL.
fn start(folder: &Path, arguments: &[&str]) -> (Program, String) {
    let ready = folder.join("ready.json");
    let mut program = command(arguments);
    program.args(["--port", "0", "--ready-file"]).arg(&ready);
    let program = Program(program.spawn().unwrap());
    let begun = Instant::now();
    let text = loop {
        if let Ok(text) = std::fs::read_to_string(&ready) {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never gets ready");
        std::thread::sleep(Duration::from_millis(10));
    };
    let text: Value = serde_json::from_str(&text).unwrap();
    (program, text["url"].as_str().unwrap().to_owned())
}

/// Ends the program, and returns what it printed.
fn printed(mut program: Program) -> String {
    program.0.kill().unwrap();
    let lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    lines.map(|line| line.unwrap() + "\n").collect()
}

#[test]
fn program_prints_the_settings_of_its_own_world() {
    let folder = tempfile::tempdir().unwrap();
    let (program, url) = start(folder.path(), &[]);
    let printed = printed(program);
    // These lines are read by programs.
    let first = format!(
        "Graph API    {url}   (any version before the path, or none)\nIn a browser {url}/\nSteering     {url}/_sim/   (see \
         docs/simulator.md)\n\nPage 987654321098765 (Shop)\n  app 888, token DESK_TOKEN\n  app 999, token PAGE_TOKEN\n  person \
         1234567890123456\n"
    );
    let rest = printed.strip_prefix(&first).unwrap_or_else(|| panic!("{printed}"));
    let of_both = |app: &str, token: &str| {
        format!(
            "export GRAPH_URL={url}\nexport APP_ID={app}\nexport APP_SECRET=APP_SECRET\nexport VERIFY_TOKEN=V\n\
             export PAGE_ID=987654321098765\nexport PAGE_TOKEN={token}\nexport POLICY=bot_primary\n"
        )
    };
    let expected = format!(
        "\n# Bot, for cargo run --example bot\n# (no webhooks without --callback 999=http://127.0.0.1:3000/webhook)\n{}\
         export DESK_APP_ID=888\nexport LISTEN=127.0.0.1:3000\n\n# Desk, for cargo run --example agent_desk\n\
         # (no webhooks without --callback 888=http://127.0.0.1:3001/webhook)\n{}export ED_TOKEN=ED_TOKEN\n\
         export LISTEN=127.0.0.1:3001\n",
        of_both("999", "PAGE_TOKEN"),
        of_both("888", "DESK_TOKEN"),
    );
    assert_eq!(rest, expected);
}

#[test]
fn program_prints_no_secrets_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world.json");
    std::fs::write(&world, WORLD).unwrap();
    let (program, _) = start(folder.path(), &["--config", world.to_str().unwrap()]);
    let printed = printed(program);
    assert!(printed.contains("Page 10") && printed.contains("  app 999\n"), "{printed}");
    for secret in ["bot secret", "BOT", "export"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}

/// Callbacks that are given at the start are verified and used, and a reset keeps them.
#[tokio::test]
async fn program_takes_callbacks() {
    let apps = [receiver().await, receiver().await];
    for app in &apps {
        accepts_handshakes(app).await;
    }
    let [bot, desk] =
        [("999", &apps[0]), ("888", &apps[1])].map(|(id, app)| format!("{id}={}/webhook", app.uri()));
    let folder = tempfile::tempdir().unwrap();
    let (program, url) = start(folder.path(), &["--callback", &bot, "--callback", &desk]);
    let http = Http { url, client: http().build().unwrap() };
    http.steer("POST", "reset", json!({"callbacks": true})).await;
    http.steer("POST", "pages/987654321098765/people/1/messages", json!({"text": "hello"})).await;
    assert_eq!(http.ask("GET", "_sim/settled", None).await.1["settled"], true);
    for (app, channel) in apps.iter().zip(["messaging", "standby"]) {
        let requests = async || app.received_requests().await.unwrap();
        let begun = Instant::now();
        while !requests().await.iter().any(|request| request.method == "GET") {
            assert!(begun.elapsed() < Duration::from_secs(20), "no handshake");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let hooks = requests().await;
        let hooks: Vec<Value> = hooks
            .iter()
            .filter(|request| request.method == "POST")
            .map(|request| serde_json::from_slice(&request.body).unwrap())
            .collect();
        assert_eq!(hooks.len(), 1);
        assert_eq!(hooks[0]["entry"][0][channel][0]["message"]["text"], "hello");
    }
    let printed = printed(program);
    assert!(!printed.contains("no webhooks"), "{printed}");
}

#[test]
fn program_refuses_callbacks_of_nobody() {
    for (callback, status, why) in [
        ("999", 64, "APP=URL"),
        ("=http://127.0.0.1:3000", 64, "id"),
        ("1=http://127.0.0.1:3000", 1, "there is no app 1"),
        ("999=127.0.0.1:3000", 1, "apps[0].callback_url: must be an http(s) URL"),
    ] {
        let Output { status: told, stderr, .. } =
            command(&["--port", "0", "--callback", callback]).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(told.code() == Some(status) && stderr.contains(why), "{callback}: {told} {stderr}");
    }
}
