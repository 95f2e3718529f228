//! One run: warm up, measure, optionally overload the host, and wait until every message has a final status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use messenger_handover::handover::BoxError;
use messenger_handover::webhook::SIGNATURE_HEADER;
use tokio::net::TcpListener;
use tokio::time::sleep_until;

use crate::Options;
use crate::account::Account;
use crate::child::{Host, Memory};
use crate::host::{GO_ON, HOLD, Orders};
use crate::platform::Platform;
use crate::report::{Figures, Overload};
use crate::senders::{Counters, Senders, Times};
use crate::traffic::{Phase, Traffic};

const WARM_UP: Duration = Duration::from_secs(5);
/// Duration for which the handler blocks in an overload.
const HELD: Duration = Duration::from_secs(10);
/// The last part of a run, in which an overloaded host has processed its backlog and must refuse nothing.
const LATELY: Duration = Duration::from_secs(5);
const EVENTS_AT_ONCE: usize = 1_000;
/// A message without a final status after this time counts as lost.
const PATIENCE: Duration = Duration::from_mins(1);
/// The run has settled if nothing arrives for this time.
const QUIET: Duration = Duration::from_secs(3);

/// Receives the platform's own webhooks; the senders deliver them with everything else.
fn serve(listener: TcpListener, traffic: Arc<Traffic>) {
    let hook = async move |headers: HeaderMap, body: Bytes| {
        let signature = headers.get(SIGNATURE_HEADER).and_then(|header| header.to_str().ok());
        traffic.put(signature.unwrap_or_default().to_owned(), body);
        StatusCode::OK
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(hook))).await });
}

pub async fn run(options: &Options) -> Result<Figures, BoxError> {
    let folder = tempfile::tempdir()?;
    let account = Arc::new(Account::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let callback = format!("http://{}/", listener.local_addr()?);
    let platform = Platform::start(options.threads, options.seed, &account, callback).await?;
    let traffic = Traffic::new(Arc::clone(&platform), Arc::clone(&account), options.threads, options.seed);
    let traffic = Arc::new(traffic);
    serve(listener, Arc::clone(&traffic));
    let file = folder.path().join("host.db");
    let orders = Orders {
        graph: platform.sim.url().parse()?,
        store: if options.store == "sqlite" {
            format!("sqlite:{}", file.display())
        } else {
            options.store.clone()
        },
        events_at_once: options.overload.then_some(EVENTS_AT_ONCE),
    };
    let mut host = Host::start(&orders, Arc::clone(&account)).await?;

    traffic.open();
    let begun = Instant::now();
    let (warm, end) = (begun + WARM_UP, begun + options.lasts);
    let counters = Arc::new(Counters::default());
    let senders = Senders::start(host.port, options.in_flight, &traffic, &counters, warm);
    let memory = Memory::watch(host.pid, end);
    sleep_until(warm.into()).await;
    let before = (counters.deliveries(), counters.events(), host.cpu()?);
    let lately = begun + options.lasts.saturating_sub(LATELY);
    let overload =
        if options.overload { Some(overload(&mut host, &traffic, &counters, lately).await?) } else { None };
    sleep_until(end.into()).await;
    let took = warm.elapsed();
    let (deliveries, events) = (counters.deliveries() - before.0, counters.events() - before.1);
    let cpu = host.cpu()?.saturating_sub(before.2);
    let overload = overload.map(|(overload, then)| {
        let refused_at_the_end = counters.refused() - then;
        Overload { refused_at_the_end, ..overload }
    });

    traffic.enter(Phase::Settling);
    platform.sim.clear_faults();
    let settled = settle(&platform, &traffic, &account).await;
    traffic.enter(Phase::Over);
    let mut times = Times::default();
    for each in senders.join_all().await {
        times.add(each?);
    }
    let sizes = memory.sizes().await?;
    let middle = begun + options.lasts / 2;
    Ok(Figures {
        took,
        deliveries,
        events,
        cpu,
        memory: [warm, middle, end].map(|moment| sizes.at(moment)),
        times,
        sums: account.sums(),
        settled,
        overload: overload.map(|overload| Overload {
            before: sizes.at(warm),
            peak: sizes.peak(warm, warm + HELD),
            ..overload
        }),
    })
}

/// Blocks the handler for a while. Returns the measurements, and the number of refusals until shortly before the end.
async fn overload(
    host: &mut Host,
    traffic: &Traffic,
    counters: &Counters,
    lately: Instant,
) -> Result<(Overload, u64), BoxError> {
    let (events, refused) = (counters.events(), counters.refused());
    host.say(HOLD).await?;
    tokio::time::sleep(HELD).await;
    let mut overload = Overload {
        events_taken_in: counters.events() - events,
        refused: counters.refused() - refused,
        ..Overload::default()
    };
    let accepted = counters.deliveries();
    host.say(GO_ON).await?;
    let goes_on = Instant::now();
    while overload.caught_up.is_none() && Instant::now() < lately {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if counters.deliveries() > accepted {
            overload.recovered.get_or_insert(goes_on.elapsed());
        }
        overload.caught_up = (traffic.refused() == 0).then(|| goes_on.elapsed());
    }
    sleep_until(lately.into()).await;
    Ok((overload, counters.refused()))
}

/// Waits until every message was notified, every reply has a final status, and nothing more arrives.
async fn settle(platform: &Platform, traffic: &Traffic, account: &Account) -> bool {
    let (begun, mut quiet) = (Instant::now(), Instant::now());
    while begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let calm = platform.sim.settled(Duration::from_millis(100)).await;
        if !calm || account.waiting() > 0 || traffic.waiting() > 0 {
            quiet = Instant::now();
        }
        if quiet.elapsed() > QUIET {
            return true;
        }
    }
    false
}
