//! Bot frameworks of other languages for the same webhook: each verifies it, loads the customer's state, runs a bot that does
//! nothing, and saves the state (Botkit only if it has changed, which it has not). Needs node and npm, which install the frameworks once; a server of Redis is named by
//! `TEST_REDIS_URL`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use messenger_handover::handover::BoxError;
use serde_json::Value;
use tokio::process;

use crate::child::Server;
use crate::common::deliveries::SECRET;
use crate::common::table::Target;
use crate::{Effort, column, line, webhook};

/// The programs of the frameworks.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// Each store, the framework, its program, and the folder that the program runs in.
const PEERS: [(&str, &str, &str, &str); 5] = [
    ("memory", "bottender", "serve.js", "bottender"),
    ("file", "bottender", "serve.js", "bottender"),
    ("redis", "bottender", "serve.js", "bottender"),
    ("memory", "botkit", "botkit.js", ""),
    ("redis", "botkit", "botkit.js", ""),
];

/// A program that prints nothing and must end well.
fn run(command: &mut Command) -> Result<(), BoxError> {
    let ended = command.stdin(Stdio::null()).output()?;
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    if ended.status.success() { Ok(()) } else { Err(format!("{command:?}: {words}").into()) }
}

/// The folder of the programs beside their installed packages.
fn installed() -> Result<PathBuf, BoxError> {
    let there = std::env::current_exe()?.parent().ok_or("no folder")?.join("peers");
    for folder in ["", "bottender"] {
        fs::create_dir_all(there.join(folder))?;
        for file in fs::read_dir(Path::new(SOURCES).join(folder))? {
            let file = file?;
            if file.file_type()?.is_file() {
                fs::copy(file.path(), there.join(folder).join(file.file_name()))?;
            }
        }
    }
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&there))?;
    Ok(there)
}

/// Measures the frameworks, and this crate with the same stores, in turns.
///
/// # Errors
/// npm cannot install them, or a server fails. Without node it says so and is done.
pub async fn measure(effort: &Effort) -> Result<(), BoxError> {
    if run(Command::new("node").arg("--version")).is_err() {
        eprintln!("edge: without bottender and Botkit: there is no node");
        return Ok(());
    }
    let there = installed()?;
    let graph = Server::own("graph").await?;
    let packages: Value = serde_json::from_slice(&fs::read(there.join("package.json"))?)?;
    let redis = std::env::var("TEST_REDIS_URL").ok();
    if redis.is_none() {
        eprintln!("edge: without Redis, since TEST_REDIS_URL names none");
    }
    for store in ["memory", "file", "redis"] {
        if store == "redis" && redis.is_none() {
            continue;
        }
        let ours = match store {
            "memory" => "ours",
            "file" => "sqlite",
            _ => "redis",
        };
        let (mut servers, mut names) = (vec![Server::own(ours).await?], Vec::new());
        let sessions = tempfile::tempdir()?;
        for (_, framework, program, folder) in PEERS.into_iter().filter(|peer| peer.0 == store) {
            let mut node = process::Command::new("node");
            node.arg(program).current_dir(there.join(folder)).envs([
                ("STORE", store),
                ("REDIS_URL", redis.as_deref().unwrap_or_default()),
                ("SECRET", SECRET),
                ("GRAPH", &format!("http://127.0.0.1:{}", graph.port)),
            ]);
            servers.push(Server::start(node.env("FOLDER", sessions.path())).await?);
            let version = packages["dependencies"][framework].as_str().unwrap_or_default();
            names.push(format!("{framework} {version}"));
        }
        let figures = webhook(&servers.iter().collect::<Vec<_>>(), effort, 1).await?;
        let with = if store == "file" { "SQLite, or files".to_owned() } else { store.to_owned() };
        for (place, name) in names.iter().enumerate() {
            let what = format!("one signed event over HTTP, CPU, state in {with}; {name}");
            line(&what, &column(&figures, 0, place + 1), Target::None);
        }
    }
    Ok(())
}
