//! What `.ci/instructions` lets callgrind count: the same work in every run, with nothing of it left to chance. Each
//! piece is named by its function, `counted_…`; what it needs is prepared outside of it.

#[path = "common/mod.rs"]
mod common;
#[path = "performance/host.rs"]
mod host;
#[path = "performance/threads.rs"]
mod threads;

use std::hint::black_box;

use messenger_handover::handover::BoxError;
use messenger_handover::secret::AppSecret;
use messenger_handover::store::Records;
use messenger_handover::thread::Thread;
use messenger_handover::webhook::{VerifiedBody, Verifier, parse};

use tokio::runtime::Builder;

use common::deliveries::{Deliveries, SECRET};
use host::Service;
use threads::Threads;

const TIMES: usize = 20;

#[inline(never)]
fn counted_parse(body: &VerifiedBody<'_>) {
    for _ in 0..TIMES {
        let _ = black_box(parse(black_box(body)));
    }
}

#[inline(never)]
fn counted_take_in(threads: &mut Threads, deliveries: &[(String, Vec<u8>)]) {
    for (header, body) in deliveries {
        black_box(threads.take_in(header, body));
    }
}

#[inline(never)]
fn counted_service(service: &Service, deliveries: &[(String, Vec<u8>)]) {
    for (header, body) in deliveries {
        service.take_in(header, body);
    }
}

#[inline(never)]
fn counted_record(thread: &Thread) {
    let key = threads::key(7);
    for _ in 0..TIMES {
        let record = Records::new().encode(&key, black_box(thread)).expect("it is serialisable");
        let _ = black_box(Records::new().decode(&key, &record));
    }
}

fn main() -> Result<(), BoxError> {
    let (header, body) = Deliveries::new(100).signed(50);
    let verifier = Verifier::new(AppSecret::new(SECRET));
    counted_parse(&verifier.verify(Some(&header), &body).expect("it is signed"));

    // Each has seen more messages than it remembers.
    let mut threads = Threads::new(100);
    for _ in 0..200 {
        let (header, body) = threads.delivery();
        threads.take_in(&header, &body);
    }
    let deliveries: Vec<_> = (0..TIMES).map(|_| threads.delivery()).collect();
    counted_take_in(&mut threads, &deliveries);
    counted_record(threads.thread(7));

    // Time stands still, so that nothing depends on how fast this machine is.
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let service = Service::new(runtime, 100)?;
    for _ in 0..200 {
        let (header, body) = service.delivery();
        service.take_in(&header, &body);
    }
    let deliveries: Vec<_> = (0..TIMES).map(|_| service.delivery()).collect();
    counted_service(&service, &deliveries);
    Ok(())
}
