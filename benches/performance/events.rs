//! Verifying, parsing and stepping a delivery without HTTP and store: the crate's own share of the work.

use std::cell::RefCell;
use std::hint::black_box;

use criterion::{BatchSize, Bencher, Criterion};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::common::deliveries::{Deliveries, SECRET};
use crate::common::table::Target;
use crate::threads::{EVENTS, Threads};
use crate::{in_turn, line};

fn bench(threads: &mut Threads, bencher: &mut Bencher<'_>) {
    // One generator for both closures: the first makes the delivery that the second processes.
    let threads = RefCell::new(threads);
    bencher.iter_batched(
        || threads.borrow_mut().delivery(),
        |(header, body)| (threads.borrow_mut().take_in(&header, &body), header, body),
        BatchSize::SmallInput,
    );
}

fn hmac_alone(body: &[u8]) -> impl Sized + use<> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body);
    mac.finalize()
}

pub fn run(criterion: &mut Criterion, many: u64) {
    let (mut few, mut many) = (Threads::new(1_000), Threads::new(many));
    let mut deliveries = Deliveries::new(1_000);
    let rounds = in_turn(
        criterion,
        "events",
        &mut [
            ("hmac", &mut |bencher| {
                bencher.iter_batched(
                    || deliveries.body(EVENTS),
                    |body| (black_box(hmac_alone(&body)), body),
                    BatchSize::SmallInput,
                );
            }),
            ("a thousand threads", &mut |bencher| bench(&mut few, bencher)),
            ("a million threads", &mut |bencher| bench(&mut many, bencher)),
        ],
    );
    line("verify, parse, step: 50 events, 1,000 threads; HMAC alone", &rounds, 1, 0, Target::AtMost(6.0));
    line("the same with a million threads; HMAC alone", &rounds, 2, 0, Target::AtMost(11.0));
}
