//! Graph calls in a separate process, so that their cost is not mixed with the server's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use messenger_handover::call::OutgoingMessage;
use messenger_handover::control::HandoverClient;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::BoxError;
use messenger_handover::id::{PageId, ThreadKey, UserId};
use messenger_handover::secret::PageToken;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use tokio::task::JoinSet;

use crate::common::deliveries::PAGE;
use crate::common::os;
use crate::common::table::median;

const TOKEN: &str = "EAAGm0PX4ZCpsBAKZCZBz8yZAQb0ZC0ZD";
const TEXT: &str = "Thank you for waiting. Your parcel left our warehouse this morning.";
const METADATA: &str = "mho:1001:ticket-4711";
const USER: u64 = 7_000_000_000_000_077;

enum Caller {
    Typed { client: GraphClient, thread: ThreadKey, message: OutgoingMessage },
    Raw { client: reqwest::Client, url: String, body: String },
}

impl Caller {
    fn new(which: &str, port: u16) -> Result<Self, BoxError> {
        let base = format!("http://127.0.0.1:{port}");
        if which == "typed" {
            let builder = GraphClient::builder().base_url(base.parse()?);
            let client = builder.page(PageId::from(PAGE), PageToken::new(TOKEN)).build()?;
            let thread = ThreadKey::new(PageId::from(PAGE), UserId::from(USER));
            Ok(Self::Typed { client, thread, message: OutgoingMessage::text(TEXT)? })
        } else {
            // An error means that a provider is installed already.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
            let body = format!(
                r#"{{"message":{{"metadata":"{METADATA}","text":"{TEXT}"}},"messaging_type":"RESPONSE","recipient":{{"id":"{USER}"}}}}"#
            );
            Ok(Self::Raw { client, url: format!("{base}/v25.0/me/messages"), body })
        }
    }

    async fn call(&self) -> Result<(), BoxError> {
        match self {
            Self::Typed { client, thread, message } => {
                client.send_message(thread, message, Some(METADATA)).await?;
            }
            Self::Raw { client, url, body } => {
                let request = client.post(url).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
                let request =
                    request.header(ACCEPT, "application/json").header(CONTENT_TYPE, "application/json");
                request.body(body.clone()).send().await?.error_for_status()?.bytes().await?;
            }
        }
        Ok(())
    }
}

/// Makes `calls` calls, and prints the median of their durations and the CPU time per call, in nanoseconds.
pub async fn run(which: &str, port: u16, in_flight: usize, calls: usize) -> Result<(), BoxError> {
    let caller = Arc::new(Caller::new(which, port)?);
    for _ in 0..200 {
        caller.call().await?;
    }
    let before = os::cpu_nanos(std::process::id())?;
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let caller = Arc::clone(&caller);
        callers.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..calls / in_flight {
                let begun = Instant::now();
                caller.call().await?;
                times.push(begun.elapsed().as_secs_f64() * 1e9);
            }
            Ok::<_, BoxError>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = callers.join_next().await {
        times.extend(done??);
    }
    let cpu = os::cpu_nanos(std::process::id())? - before;
    #[expect(clippy::cast_precision_loss, reason = "some seconds, and some thousand calls")]
    let cpu = cpu as f64 / times.len() as f64;
    println!("{} {cpu}", median(times));
    Ok(())
}
