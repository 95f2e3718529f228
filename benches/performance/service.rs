//! A delivery through the service with the in-memory store, until the host has handled all notifications.

use criterion::{BatchSize, Bencher, Criterion};
use messenger_handover::handover::BoxError;
use tokio::runtime::Builder;

use crate::common::table::Target;
use crate::host::Service;
use crate::{in_turn, line};

fn bench(service: &Service, bencher: &mut Bencher<'_>) {
    bencher.iter_batched(
        || service.delivery(),
        |(signature, body)| {
            service.take_in(&signature, &body);
            body
        },
        BatchSize::SmallInput,
    );
}

pub fn run(criterion: &mut Criterion, many: u64) -> Result<(), BoxError> {
    let service = |users| Service::new(Builder::new_current_thread().enable_all().build()?, users, true);
    let (few, many) = (service(1_000)?, service(many)?);
    let rounds = in_turn(
        criterion,
        "service",
        &mut [
            ("a thousand threads", &mut |bencher| bench(&few, bencher)),
            ("a million threads", &mut |bencher| bench(&many, bencher)),
        ],
    );
    line(
        "service and store in memory, 50 events, a million threads; a thousand",
        &rounds,
        1,
        0,
        Target::AtMost(2.0),
    );
    Ok(())
}
