//! The program `messenger-sim`: a Messenger platform on this machine, with a Graph API, signed webhooks and a page in the
//! browser.
//!
//! ```text
//! messenger-sim --port 8080
//! messenger-sim --port 8080 --callback 999=http://127.0.0.1:3000/webhook
//! messenger-sim --port 8080 --config world.json --seed 7 --transcript wire.jsonl
//! ```
//!
//! A client in any language uses it by another base URL. `docs/simulator.md` describes the steering calls and which of Meta's
//! rules are simulated.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use messenger_handover::id::AppId;
use pico_args::Arguments;
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::page;
use crate::server::{AppConfig, Builder, Config, Server};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const HELP: &str = "\
A simulated Messenger platform on 127.0.0.1.

  --port N            the port, 8080 if not given; 0 takes a free one
  --ready-file FILE   written once it serves, with its url and port as JSON
  --quiet             prints nothing but errors
  --callback APP=URL  the URL for the webhooks of an app, such as 999=http://127.0.0.1:3000/webhook; may be repeated
  --config FILE       the world, as JSON or TOML (by the file's ending); one with a bot, a desk and a Page if not given
  --seed N            makes what goes wrong by chance go wrong the same way again
  --transcript FILE   writes what happens there, as JSON lines
";

struct Options {
    port: u16,
    config: Option<PathBuf>,
    seed: Option<u64>,
    transcript: Option<PathBuf>,
    ready_file: Option<PathBuf>,
    quiet: bool,
    callbacks: Vec<(AppId, String)>,
}

fn options(mut arguments: Arguments) -> Result<Options, BoxError> {
    let port: Option<u16> = arguments.opt_value_from_str("--port")?;
    let config = arguments.opt_value_from_str("--config")?;
    let seed = arguments.opt_value_from_str("--seed")?;
    let transcript = arguments.opt_value_from_str("--transcript")?;
    let ready_file = arguments.opt_value_from_str("--ready-file")?;
    let quiet = arguments.contains("--quiet");
    let callbacks = arguments.values_from_fn("--callback", callback)?;
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}").into());
    }
    Ok(Options { port: port.unwrap_or(8080), config, seed, transcript, ready_file, quiet, callbacks })
}

fn callback(text: &str) -> Result<(AppId, String), BoxError> {
    let (app, url) = text.split_once('=').ok_or("a callback is APP=URL")?;
    Ok((AppId::new(app)?, url.to_owned()))
}

fn read(path: &PathBuf) -> Result<Config, BoxError> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let toml = path.extension().is_some_and(|ending| ending == "toml");
    let config = if toml { Config::from_toml(&text) } else { Config::from_json(&text) };
    config.map_err(|error| format!("{}:\n{error}", path.display()).into())
}

async fn start(options: &Options) -> Result<(Server, Config), BoxError> {
    let mut config = options.config.as_ref().map(read).transpose()?.unwrap_or_default();
    config.seed = options.seed.unwrap_or(config.seed);
    for (id, url) in &options.callbacks {
        let app = config.apps.iter_mut().find(|app| app.id == *id);
        app.ok_or_else(|| format!("--callback: there is no app {id}"))?.callback_url = Some(url.clone());
    }
    let mut builder = Builder::from_config(&config)?.port(options.port).page(page::HTML);
    if let Some(path) = &options.transcript {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file = Mutex::new(file);
        builder = builder.transcript(Arc::new(move |line| {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = writeln!(file, "{line}") {
                tracing::error!(%error, "the transcript cannot be written");
            }
        }));
    }
    let server = builder.start().await.map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })?;
    Ok((server, config))
}

/// Prints a line; a closed output is no failure.
fn say(words: &str) {
    let _ = writeln!(std::io::stdout(), "{words}");
}

/// Writes where the server is, at once, so that a program that waits for the file never reads half of it.
fn write_ready(path: &Path, server: &Server) -> Result<(), BoxError> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let ready = json!({"url": server.url(), "port": server.port()});
    std::fs::write(&beside, format!("{ready}\n")).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
    Ok(())
}

/// Prints the addresses and tokens for a client, and for the default world the settings of its apps. Secrets that come from a file
/// are not printed.
fn introduce(server: &Server, config: &Config, own: bool) {
    let url = server.url();
    say(&format!("Graph API    {url}   (any version before the path, or none)"));
    say(&format!("In a browser {url}/"));
    say(&format!("Steering     {url}/_sim/   (see docs/simulator.md)\n"));
    for page in &config.pages {
        say(&format!(
            "Page {}{}",
            page.id,
            page.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default()
        ));
        for (app, token) in &page.tokens {
            let token = if own { format!(", token {token}") } else { String::new() };
            say(&format!("  app {app}{token}"));
        }
        for person in &page.people {
            say(&format!("  person {}", person.id));
        }
    }
    for app in config.apps.iter().filter(|_| own) {
        say(&exports(&url, config, app));
    }
}

/// The settings of a host that runs as an app of the default world, as lines for a shell. The examples `bot` and `agent_desk` read
/// them.
fn exports(url: &str, config: &Config, app: &AppConfig) -> String {
    let page = config.pages.iter().find(|page| page.tokens.contains_key(&app.id));
    let is_bot = page.is_some_and(|page| page.default_app.as_ref() == Some(&app.id));
    let mut settings = vec![
        ("GRAPH_URL", url.to_owned()),
        ("APP_ID", app.id.to_string()),
        ("APP_SECRET", app.secret.clone()),
        ("VERIFY_TOKEN", app.verify_token.clone()),
    ];
    if let Some(page) = page {
        settings.push(("PAGE_ID", page.id.to_string()));
        settings.extend(page.tokens.get(&app.id).map(|token| ("PAGE_TOKEN", token.clone())));
    }
    settings.push(("POLICY", "bot_primary".to_owned()));
    if is_bot {
        let desk = config.apps.iter().find(|other| other.id != app.id);
        settings.extend(desk.map(|desk| ("DESK_APP_ID", desk.id.to_string())));
    }
    if !is_bot {
        // The token that its bots have to send, not the platform's.
        settings.push(("ED_TOKEN", "ED_TOKEN".to_owned()));
    }
    let (example, listen) = if is_bot { ("bot", "127.0.0.1:3000") } else { ("agent_desk", "127.0.0.1:3001") };
    settings.push(("LISTEN", listen.to_owned()));
    let name = app.name.as_deref().unwrap_or_default();
    let mut text = format!("\n# {name}, for cargo run --example {example}");
    if app.callback_url.is_none() {
        let _ = write!(text, "\n# (no webhooks without --callback {}=http://{listen}/webhook)", app.id);
    }
    for (name, value) in settings {
        let _ = write!(text, "\nexport {name}={value}");
    }
    text
}

/// Verifies the callbacks as Meta does when a webhook is registered. Retries for 10 s, because the host may start later.
async fn shake_hands(server: &Server, apps: Vec<AppId>, quiet: bool) {
    for app in apps {
        let mut last = Ok(());
        for _ in 0..20 {
            last = server.verify_webhook(&app).await;
            if last.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        match last {
            Ok(()) if quiet => {}
            Ok(()) => say(&format!("The webhook of app {app} is verified.")),
            Err(error) => {
                eprintln!("The webhook of app {app} is not verified: {error}. It is used all the same.");
            }
        }
    }
}

/// Logs to stderr by the filter in `RUST_LOG`, or errors only if that is not set.
pub fn log_to_stderr() {
    let filter = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::ERROR));
    tracing_subscriber::registry().with(fmt::layer().with_writer(std::io::stderr)).with(filter).init();
}

/// Runs the program with the arguments of this process, until Ctrl-C.
#[must_use = "it is the exit status"]
pub fn run() -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(serve()),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> ExitCode {
    log_to_stderr();
    let mut arguments = Arguments::from_env();
    if arguments.contains(["-h", "--help"]) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    let (server, config) = match start(&options).await {
        Ok(started) => started,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if !options.quiet {
        introduce(&server, &config, options.config.is_none());
    }
    if let Some(Err(error)) = options.ready_file.as_deref().map(|path| write_ready(path, &server)) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let called = config.apps.iter().filter(|app| app.callback_url.is_some()).map(|app| app.id.clone());
    let called = called.collect();
    tokio::select! {
        () = async { shake_hands(&server, called, options.quiet).await; std::future::pending().await } => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    ExitCode::SUCCESS
}
