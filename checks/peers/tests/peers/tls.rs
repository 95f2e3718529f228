//! Clients of other languages talk to the simulator over TLS, and trust nothing but its certificate.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;
use messenger_sim::{Config, Server};
use serde_json::json;
use tokio::runtime::Runtime;

use super::{BOT, DESK, PAGE, VERIFY_TOKEN, peer, succeeded};

const CERTIFICATE: &str = include_str!("../../../../tests/fixtures/tls/localhost.crt");
const KEY: &str = include_str!("../../../../tests/fixtures/tls/localhost.key");

/// The world of [`platform`](super::platform), with TLS.
fn start(runtime: &Runtime) -> Result<Server, Failed> {
    let app = |id: u64, name: &str, secret: &str| json!({"id": id.to_string(), "name": name, "secret": secret, "verify_token": VERIFY_TOKEN});
    let tokens = json!({BOT.to_string(): "bot-token", DESK.to_string(): "desk-token"});
    let page = json!({"id": PAGE.to_string(), "rules": "handover", "default_app": BOT.to_string(), "tokens": tokens});
    let world = json!({
        "apps": [app(BOT, "Bot", "bot-secret"), app(DESK, "Desk", "desk-secret")],
        "pages": [page],
        "tls": {"certificate": CERTIFICATE, "key": KEY},
    });
    let config: Config = serde_json::from_value(world)?;
    let builder = messenger_sim::server::Builder::from_config(&config).map_err(|error| error.to_string())?;
    let server = runtime.block_on(builder.start()).map_err(|error| error.to_string())?;
    if server.url().starts_with("https://") { Ok(server) } else { Err("it speaks plain HTTP".into()) }
}

/// Runs a client that hands over, with and without the certificate among those that it trusts. `trust` is the variables in
/// which its language names further certificates, and `refusal` is its word for a certificate that it does not trust.
pub fn client(
    runtime: &Runtime,
    program: &Path,
    script: &Path,
    trust: &[&str],
    refusal: &str,
) -> Result<(), Failed> {
    let server = start(runtime)?;
    let command = || -> Command {
        let mut command = peer(program, &server);
        command.arg(script);
        command
    };
    let distrusting = command().output()?;
    let words = String::from_utf8_lossy(&distrusting.stderr).into_owned();
    if distrusting.status.success() || !words.contains(refusal) {
        return Err(format!("it does not check the certificate: {words}").into());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tls/localhost.crt");
    succeeded(&command().envs(trust.iter().map(|name| (name, &file))).output()?, &server)
}
