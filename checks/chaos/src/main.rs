//! Replicas over one store, killed at any moment: checks that no message is lost or duplicated.
//!
//! ```text
//! cargo run --release -p check-chaos -- --store sqlite --replicas 3 --threads 50 --messages 500 --kills 20 --seed 7
//! cargo run --release -p check-chaos -- --store postgres://user:password@127.0.0.1/db --replicas 3
//! ```
//!
//! The parent process is the simulated platform with faults, a load balancer in front of the replicas, and the customers and
//! agents who write. Each replica is a process that is both a desk and a bot. The exit status is 1 if a message was lost,
//! duplicated, out of order or misreported, or failed because control was not granted, because all faults are transient.

mod account;
mod fleet;
#[path = "../../../tests/it/forwarding.rs"]
mod forwarding;
mod load;
mod replica;
mod storage;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::post;
use indicatif::{ProgressBar, ProgressStyle};
use messenger_handover::handover::BoxError;
use messenger_handover::id::{AppId, PageId};
use messenger_sim::{App, Page, Platform, Rules, Server, Wire};
use pico_args::Arguments;

use account::Account;
use fleet::Fleet;
use replica::{News, Orders};
use storage::Storage;

const BOT: u64 = 1001;
const DESK: u64 = 2002;
const PAGE: u64 = 10;
const SECRET: &str = "secret";
const TOKEN: &str = "token";
/// Longer than every lease, including that of a due thread (30 s), so that all remaining work has been done.
const QUIET: Duration = Duration::from_secs(35);

const HELP: &str = "\
  --store S      sqlite, postgres://…, redis://… or redis://…?cluster; with memory, each replica's own, it must go wrong
  --replicas N   processes over one store, 3 if not given
  --threads N    conversations, 50 if not given
  --messages N   agents' answers in all, 500 if not given
  --kills N      processes killed meanwhile, 10 if not given
  --patience S   seconds after which an answer without an end counts as lost, 120 if not given
  --seed N       who does what, who is killed and what goes wrong
";

struct Options {
    store: String,
    replicas: usize,
    threads: u64,
    messages: u64,
    kills: u64,
    patience: u64,
    seed: u64,
}

fn options(mut arguments: Arguments) -> Result<Options, BoxError> {
    let store = arguments.value_from_str("--store")?;
    let mut number = |name: &'static str, usual: u64| -> Result<u64, BoxError> {
        Ok(arguments.opt_value_from_str(name)?.unwrap_or(usual))
    };
    let (replicas, threads) = (number("--replicas", 3)?, number("--threads", 50)?);
    let (messages, kills, seed) = (number("--messages", 500)?, number("--kills", 10)?, number("--seed", 1)?);
    let patience = number("--patience", 120)?;
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}").into());
    }
    if replicas == 0 || threads == 0 {
        return Err("at least one replica and one conversation".into());
    }
    Ok(Options { store, replicas: usize::try_from(replicas)?, threads, messages, kills, patience, seed })
}

async fn platform(account: &Arc<Account>, seed: u64) -> Result<Server, BoxError> {
    let app = |id, name: &str| App::new(id, name, format!("{SECRET}-{name}"), TOKEN);
    let page = Page::new(PAGE, Rules::primary(BOT)).app(BOT, format!("{TOKEN}-bot"));
    let platform = Platform::new()
        .with_app(app(BOT, "bot"))
        .with_app(app(DESK, "desk"))
        .with_page(page.app(DESK, format!("{TOKEN}-desk")));
    let account = Arc::clone(account);
    let observer = Arc::new(move |wire| {
        if let Wire::Reached { user, text, app, .. } = wire {
            account.reached(&app, user, text);
        }
    });
    Ok(Server::builder(platform).observer(observer).faults(load::faults()).seed(seed).start().await?)
}

/// Serves the load balancer and the replicas' reports until the process ends.
fn serve(listener: tokio::net::TcpListener, fleet: Arc<Fleet>, account: Arc<Account>) {
    let news = async move |body: Bytes| match serde_json::from_slice::<News>(&body) {
        Ok(news) => {
            account.hears(news);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let forward = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        fleet.forward(method, &uri, headers, body).await
    };
    let router = Router::new().route("/news", post(news)).fallback(forward);
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn run(options: Options) -> Result<account::Table, BoxError> {
    let folder = tempfile::tempdir()?;
    let name = match options.store.as_str() {
        "sqlite" => folder.path().to_str().ok_or("no folder for the file")?.to_owned(),
        _ => format!("chaos_{}", std::process::id()),
    };
    let storage = Storage { place: options.store.clone(), name };
    let account = Arc::new(Account::default());
    let sim = Arc::new(platform(&account, options.seed).await?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let parent = format!("http://{}", listener.local_addr()?);
    let page = PageId::from(PAGE);
    let orders =
        Orders { page, graph: sim.url().parse()?, parent: parent.parse()?, storage: storage.clone() };
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let fleet = Arc::new(Fleet::start(options.replicas, &orders, rng.fork()).await?);
    serve(listener, Arc::clone(&fleet), Arc::clone(&account));
    for (app, name) in [(BOT, "bot"), (DESK, "desk")] {
        sim.set_callback(&AppId::from(app), format!("{parent}/hook/{name}"));
        sim.verify_webhook(&AppId::from(app)).await?;
    }

    let bar = ProgressBar::new(options.messages);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} answers, {msg}")?);
    let kills = load::run(&options, &mut rng, &sim, &fleet, &account, &bar).await?;
    sim.clear_faults();
    let settled = settle(&sim, &account, &bar, Duration::from_secs(options.patience)).await;
    bar.finish_and_clear();
    let table = account.table(settled, kills, options.kills);
    if table.is_broken() {
        account.complaints().iter().for_each(|line| eprintln!("{line}"));
    }
    fleet.end().await?;
    storage.remove(&["bot", "desk"]).await?;
    Ok(table)
}

/// Waits until every message has a final status and nothing more arrives.
async fn settle(sim: &Server, account: &Account, bar: &ProgressBar, patience: Duration) -> bool {
    let (begun, mut quiet, mut read) = (Instant::now(), Instant::now(), account.read());
    while begun.elapsed() < patience {
        bar.set_message(format!("{} without an end", account.waiting()));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let calm = sim.settled(Duration::from_millis(500)).await;
        if !calm || account.waiting() > 0 || account.read() != read {
            quiet = Instant::now();
        }
        read = account.read();
        if quiet.elapsed() > QUIET {
            return true;
        }
    }
    false
}

#[tokio::main]
async fn main() -> ExitCode {
    messenger_sim::program::log_to_stderr();
    let mut arguments = Arguments::from_env();
    if arguments.contains("--replica") {
        return match replica::run().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("replica: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("chaos: {error}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    match run(options).await {
        Ok(table) => {
            table.print();
            if table.is_broken() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}
