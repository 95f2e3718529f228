//! The checks of wake times and leases.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::ground::{Found, Page, Store, Wrong, at, due, due_at, same, versions, write};
use crate::id::ThreadKey;
use crate::store::Write;

pub(super) async fn the_longest_overdue_comes_first(store: Store) -> Found {
    let keys = Page::new().keys(0..6);
    let wakes = [Some(30), Some(10), Some(20), Some(60), None, Some(50)];
    let write = |(key, wake): (&ThreadKey, Option<u64>)| Write { wake: wake.map(at), ..write(key, 0, 1) };
    store.compare_and_swap(keys.iter().zip(wakes).map(write).collect()).await?;
    let pick = |picked: &[usize]| picked.iter().map(|at| keys[*at].clone()).collect::<Vec<_>>();
    same("due before any is", &due(&store, 9, 1000, 9).await?, &vec![])?;
    same("the first two", &due(&store, 50, 1000, 2).await?, &pick(&[1, 2]))?;
    same("the others, one of them at this very moment", &due(&store, 50, 1000, 9).await?, &pick(&[0, 5]))?;
    same("none asked for", &due(&store, 90, 1000, 0).await?, &vec![])
}

pub(super) async fn what_is_handed_out_is_leased(store: Store) -> Found {
    let key = Page::new().key(1);
    let this = vec![key.clone()];
    store.compare_and_swap(vec![due_at(&key, 0, 1, at(10))]).await?;
    same("when it is due", &due(&store, 10, 30, 9).await?, &this)?;
    same("the version of what was handed out", &versions(&store, &this).await?, &vec![1])?;
    same("within its lease", &due(&store, 39, 30, 9).await?, &vec![])?;
    same("after its lease", &due(&store, 40, 30, 9).await?, &this)?;
    same("within the second lease", &due(&store, 69, 30, 9).await?, &vec![])
}

pub(super) async fn a_written_thread_is_due_at_its_new_time(store: Store) -> Found {
    let key = Page::new().key(1);
    let this = vec![key.clone()];
    store.compare_and_swap(vec![due_at(&key, 0, 1, at(10))]).await?;
    store.compare_and_swap(vec![due_at(&key, 0, 2, at(5))]).await?;
    same("after a write that was refused", &due(&store, 9, 1000, 9).await?, &vec![])?;
    store.compare_and_swap(vec![due_at(&key, 1, 2, at(20))]).await?;
    same("at its old time", &due(&store, 19, 1000, 9).await?, &vec![])?;
    same("at its new time", &due(&store, 20, 1000, 9).await?, &this)?;
    store.compare_and_swap(vec![due_at(&key, 2, 3, at(30))]).await?;
    same("written within its lease", &due(&store, 30, 1000, 9).await?, &this)?;
    store.compare_and_swap(vec![write(&key, 3, 4)]).await?;
    same("written without a time", &due(&store, 9_000, 1000, 9).await?, &vec![])
}

pub(super) async fn the_next_wake_time_is_not_told_too_late(store: Store) -> Found {
    let page = Page::new();
    let writes = [30, 10, 20].map(|wake| due_at(&page.key(wake), 0, 1, at(wake)));
    store.compare_and_swap(writes.to_vec()).await?;
    for (now, next) in [(5, 10), (10, 20), (25, 30)] {
        due(&store, now, 1_000_000, 9).await?;
        let told = store.next_due(at(now)).await?.unwrap_or(at(next));
        same("whether the next wake time is in time", &(at(now) < told && told <= at(next)), &true)?;
    }
    Ok(())
}

pub(super) async fn nobody_else_gets_what_is_handed_out(store: Store) -> Found {
    let keys = Page::new().keys(0..200);
    store.compare_and_swap(keys.iter().map(|key| due_at(key, 0, 1, at(1))).collect()).await?;
    let mut takers = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        takers.spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..20 {
                taken.extend(due(&store, 2, 1_000_000, 10).await?);
            }
            Ok::<_, Wrong>(taken)
        });
    }
    let mut taken = Vec::new();
    while let Some(taker) = takers.join_next().await {
        taken.extend(taker.map_err(|error| Wrong(error.to_string()))??);
    }
    let handed_out = taken.len();
    same(
        "different threads handed out",
        &taken.into_iter().collect(),
        &keys.iter().cloned().collect::<BTreeSet<_>>(),
    )?;
    same("threads handed out", &handed_out, &keys.len())
}
