//! The program whose instructions `.ci/instructions` counts with callgrind: deterministic work, the same in every run.
//! Each measured piece is a function `counted_…`; its preparation happens outside of it.

#[path = "../../common/mod.rs"]
mod common;
#[path = "../../performance/host.rs"]
mod host;
#[path = "../../performance/threads.rs"]
mod threads;

use std::hint::black_box;

use messenger_handover::handover::BoxError;
use messenger_handover::store::Records;
use messenger_handover::thread::Thread;
use messenger_handover::webhook::{Delivery, ParseError, dangerous_parse_unverified};
use tokio::runtime::Builder;

use host::Service;
use threads::{EVENTS, Threads};

const TIMES: usize = 20;
const CUSTOMERS: u64 = 100;

#[inline(never)]
fn counted_parse(bodies: &[Vec<u8>]) -> Vec<Delivery> {
    bodies.iter().map(|body| dangerous_parse_unverified(body).expect("it is a delivery")).collect()
}

#[inline(never)]
fn counted_step(threads: &mut Threads, deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        threads.step(delivery);
    }
}

#[inline(never)]
fn counted_service(service: &Service, deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        service.receive(delivery);
    }
}

#[inline(never)]
fn counted_single(service: &Service, bodies: &[Vec<u8>]) -> Result<(), ParseError> {
    for body in bodies {
        service.receive(dangerous_parse_unverified(body)?);
    }
    Ok(())
}

#[inline(never)]
fn counted_notified(service: &Service, deliveries: &[(String, Vec<u8>)]) {
    for (signature, body) in deliveries {
        service.take_in(signature, body);
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

/// A service whose conversations have seen more messages than their deduplication memory holds. Its handler decides about
/// messages before they are saved, or is notified of them afterwards.
fn busy(decides: bool) -> Result<Service, BoxError> {
    // Virtual time, so that nothing depends on the speed of this machine.
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let service = Service::new(runtime, CUSTOMERS, decides)?;
    for _ in 0..200 {
        let (header, body) = service.delivery();
        service.take_in(&header, &body);
    }
    Ok(service)
}

fn main() -> Result<(), BoxError> {
    // Each conversation has seen more messages than its deduplication memory holds.
    let mut threads = Threads::new(CUSTOMERS);
    for _ in 0..200 {
        let (header, body) = threads.delivery();
        threads.take_in(&header, &body);
    }
    let bodies: Vec<_> = (0..TIMES).map(|_| threads.delivery().1).collect();
    let deliveries = counted_parse(&bodies);
    counted_step(&mut threads, deliveries);
    counted_record(threads.thread(7));

    let service = busy(true)?;
    let deliveries = (0..TIMES).map(|_| service.delivery().1).collect::<Vec<_>>();
    let deliveries = deliveries.iter().map(|body| dangerous_parse_unverified(body));
    let deliveries = deliveries.collect::<Result<Vec<_>, _>>()?;
    counted_service(&service, deliveries);
    let deliveries = (0..EVENTS * TIMES).map(|_| service.delivery_of(1).1).collect::<Vec<_>>();
    counted_single(&service, &deliveries)?;
    let service = busy(false)?;
    let deliveries = (0..EVENTS * TIMES).map(|_| service.delivery_of(1)).collect::<Vec<_>>();
    counted_notified(&service, &deliveries);
    Ok(())
}
