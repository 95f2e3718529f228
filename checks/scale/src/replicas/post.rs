//! The platform's webhooks: batches of one moment, signed, to a random replica, sometimes twice or late.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use messenger_handover::webhook::{SIGNATURE_HEADER, sign};
use messenger_sim::Delivery;
use serde_json::json;
use tokio::time::sleep;

use super::Broken;
use super::ground::Ground;
use super::hosts::Host;
use super::ledger::number_of_customer;

/// The most events in one delivery.
const BATCH: usize = 20;

#[derive(Debug, Default, Clone, Copy)]
pub struct Sums {
    pub deliveries: u64,
    pub doubled: u64,
    pub late: u64,
    pub lost: u64,
}

/// One delivery as Meta posts it.
struct Parcel {
    body: String,
    headers: HeaderMap,
    /// The numbers of the customers' messages in it.
    numbers: Vec<u32>,
}

impl Parcel {
    fn of(items: &[Delivery], secret: &str) -> Self {
        let entries: Vec<_> = items
            .iter()
            .map(|delivery| {
                json!({
                    "id": delivery.page,
                    "time": delivery.at.as_millis(),
                    (delivery.channel.name()): [&delivery.item],
                })
            })
            .collect();
        let body = json!({"object": "page", "entry": entries}).to_string();
        let signature = sign(&secret.into(), body.as_bytes());
        let signature = SIGNATURE_HEADER.parse().ok().zip(signature.parse().ok());
        let number = |delivery: &Delivery| {
            number_of_customer(
                delivery.item["message"]["text"].as_str().filter(|_| delivery.label == "message")?,
            )
        };
        let numbers = items.iter().filter_map(number).collect();
        Self { body, headers: signature.into_iter().collect(), numbers }
    }
}

/// Sends the pending webhooks on their way.
pub fn send_out(ground: &Arc<Ground>, hosts: [&Arc<Host>; 2], broken: Option<Broken>, sums: &mut Sums) {
    let outgoing = ground.platform(|platform, _| platform.take_outgoing());
    for host in hosts {
        let items: Vec<_> = outgoing.iter().filter(|delivery| delivery.app == host.app).cloned().collect();
        let mut rest = &items[..];
        while !rest.is_empty() {
            let size = ground.rng().usize(1..=BATCH).min(rest.len());
            let (items, behind) = rest.split_at(size);
            rest = behind;
            let is_of_bot = host.app == hosts[0].app;
            if broken == Some(Broken::Lose) && is_of_bot && ground.once_in(50) {
                sums.lost += 1;
                continue;
            }
            let parcel = Arc::new(Parcel::of(items, host.secret));
            let (is_doubled, is_late) = (ground.once_in(100), ground.once_in(100));
            sums.deliveries += 1;
            sums.doubled += u64::from(is_doubled);
            sums.late += u64::from(is_late);
            for _ in 0..=u8::from(is_doubled) {
                tokio::spawn(deliver(Arc::clone(host), Arc::clone(&parcel), is_late));
            }
        }
    }
}

/// Redelivers until the host accepts, as Meta does.
async fn deliver(host: Arc<Host>, parcel: Arc<Parcel>, is_late: bool) {
    let ground = &host.ground;
    let _under_way = ground.begins();
    ground.wait(if is_late { 1_000..8_000 } else { 5..50 }).await;
    loop {
        ground.ledger().begins(host.side, &parcel.numbers);
        let webhook = &host.replica().webhook;
        let handled = webhook.handle(&Method::POST, None, &parcel.headers, parcel.body.as_bytes());
        if handled.await.status() == 200 {
            ground.ledger().accepts(host.side, &parcel.numbers);
            return;
        }
        let pause = ground.rng().u64(500..10_000);
        sleep(Duration::from_millis(pause)).await;
    }
}
