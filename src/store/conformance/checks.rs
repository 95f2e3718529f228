//! The checks of loading, writing, listing and forgetting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::ground::{Found, Page, Store, Wrong, at, due, due_at, same, thread, versions, write};
use crate::id::{MAX_ID_BYTES, PageId, ThreadKey, UserId};
use crate::store::{Write, WriteOutcome};
use crate::thread::Thread;
use crate::time::Timestamp;

pub(super) async fn what_is_not_kept_is_fresh(store: Store) -> Found {
    let keys = Page::new().keys(1..4);
    let loaded = store.load(&keys).await?;
    same("threads loaded", &loaded.len(), &3)?;
    for loaded in loaded {
        same("the version", &loaded.version, &0)?;
        same("the thread", &*loaded.thread.map_err(|error| Wrong(error.to_string()))?, &Thread::new())?;
    }
    store.ping().await?;
    same("threads loaded for no key", &store.load(&[]).await?.len(), &0)?;
    same("verdicts for no write", &store.compare_and_swap(Vec::new()).await?, &Vec::new())
}

pub(super) async fn what_is_written_is_read(store: Store) -> Found {
    let keys = Page::new().keys(1..4);
    let threads = [thread(0, 0), thread(1, 5), thread(7, 300)];
    let write = |((key, thread), version): ((&ThreadKey, &Thread), u64)| {
        Write::new(key.clone(), 0, version, thread.clone(), Some(at(version)))
    };
    let given = [7, i64::MAX.unsigned_abs(), 1 << 60];
    let writes = keys.iter().zip(&threads).zip(given).map(write).collect();
    same("the verdicts", &store.compare_and_swap(writes).await?, &vec![WriteOutcome::Written; 3])?;
    let twice = [keys[0].clone(), keys[0].clone()];
    same("the versions of one that is asked for twice", &versions(&store, &twice).await?, &vec![7, 7])?;
    let backwards: Vec<_> = keys.iter().rev().cloned().collect();
    for ((loaded, thread), version) in store
        .load(&backwards)
        .await?
        .into_iter()
        .zip(threads.iter().rev())
        .zip([1 << 60, i64::MAX.unsigned_abs(), 7])
    {
        same("the version", &loaded.version, &version)?;
        same("the thread", &*loaded.thread.map_err(|error| Wrong(error.to_string()))?, thread)?;
    }
    Ok(())
}

pub(super) async fn only_the_expected_version_is_overwritten(store: Store) -> Found {
    let key = Page::new().key(1);
    for (expected, version, verdict, kept) in [
        (9, 10, WriteOutcome::Conflict, 0),
        (0, 11, WriteOutcome::Written, 11),
        (0, 12, WriteOutcome::Conflict, 11),
        (12, 13, WriteOutcome::Conflict, 11),
        (11, 14, WriteOutcome::Written, 14),
        (11, 15, WriteOutcome::Conflict, 14),
    ] {
        let what = format!("version {version} over {expected}");
        same(&what, &store.compare_and_swap(vec![write(&key, expected, version)]).await?, &vec![verdict])?;
        same(
            &format!("the version after {what}"),
            &versions(&store, std::slice::from_ref(&key)).await?,
            &vec![kept],
        )?;
    }
    Ok(())
}

pub(super) async fn each_of_a_batch_has_its_own_verdict(store: Store) -> Found {
    let keys = Page::new().keys(1..5);
    store.compare_and_swap(vec![write(&keys[1], 0, 5), write(&keys[3], 0, 5)]).await?;
    let writes =
        vec![write(&keys[3], 4, 6), write(&keys[0], 0, 6), write(&keys[1], 5, 6), write(&keys[2], 3, 6)];
    let verdicts =
        vec![WriteOutcome::Conflict, WriteOutcome::Written, WriteOutcome::Written, WriteOutcome::Conflict];
    same("the verdicts", &store.compare_and_swap(writes).await?, &verdicts)?;
    same("the versions", &versions(&store, &keys).await?, &vec![6, 6, 0, 5])
}

pub(super) async fn one_thread_twice_in_a_batch_is_written_in_order(store: Store) -> Found {
    let key = Page::new().key(1);
    let writes = vec![write(&key, 0, 1), write(&key, 1, 2), write(&key, 1, 3)];
    let verdicts = vec![WriteOutcome::Written, WriteOutcome::Written, WriteOutcome::Conflict];
    same("the verdicts", &store.compare_and_swap(writes).await?, &verdicts)?;
    same("the version", &versions(&store, std::slice::from_ref(&key)).await?, &vec![2])
}

pub(super) async fn writers_at_the_same_time_lose_nothing(store: Store) -> Found {
    let key = Page::new().key(1);
    let mut writers = JoinSet::new();
    for writer in 1..=8_u64 {
        let (store, key) = (Arc::clone(&store), key.clone());
        writers.spawn(async move {
            let mut written = Vec::new();
            for turn in 1..=10_u64 {
                let version = writer * 1_000 + turn;
                let [expected] = versions(&store, std::slice::from_ref(&key)).await?[..] else {
                    return Err(Wrong("one key, and not one thread".into()));
                };
                // Long enough for all writers to have read the same version.
                tokio::time::sleep(Duration::from_millis(1)).await;
                if store.compare_and_swap(vec![write(&key, expected, version)]).await?[..]
                    == [WriteOutcome::Written]
                {
                    written.push((expected, version));
                }
            }
            Ok(written)
        });
    }
    let mut after = BTreeMap::new();
    while let Some(writer) = writers.join_next().await {
        for (expected, version) in writer.map_err(|error| Wrong(error.to_string()))?? {
            if let Some(other) = after.insert(expected, version) {
                return Err(Wrong(format!("{other} and {version} were both written over {expected}")));
            }
        }
    }
    let mut last = 0;
    while let Some(next) = after.remove(&last) {
        last = next;
    }
    same("the last version", &versions(&store, std::slice::from_ref(&key)).await?, &vec![last])?;
    same("writes that nothing led to", &after, &BTreeMap::new())
}

/// Holds however many readers there are.
pub(super) async fn what_was_written_is_read_at_once(store: Store) -> Found {
    let keys = Page::new().keys(0..20);
    let mut readers = JoinSet::new();
    for _ in 0..6 {
        let (store, keys) = (Arc::clone(&store), keys.clone());
        readers.spawn(async move {
            loop {
                let _ = store.load(&keys).await;
                tokio::task::yield_now().await;
            }
        });
    }
    let mut expected = 0;
    for version in 1..=100 {
        let key = &keys[..1];
        same(
            "a write",
            &store.compare_and_swap(vec![write(&key[0], expected, version)]).await?,
            &vec![WriteOutcome::Written],
        )?;
        same("the version read after a write", &versions(&store, key).await?, &vec![version])?;
        expected = version;
    }
    Ok(())
}

pub(super) async fn removed_is_gone_and_its_version_too(store: Store) -> Found {
    let page = Page::new();
    let (key, keys) = (page.key(1), [page.key(1)]);
    store.compare_and_swap(vec![due_at(&key, 0, 1, at(1))]).await?;
    let remove = |expected| vec![Write::delete(key.clone(), expected, 9)];
    same(
        "a removal of another version",
        &store.compare_and_swap(remove(2)).await?,
        &vec![WriteOutcome::Conflict],
    )?;
    same("the version after that", &versions(&store, &keys).await?, &vec![1])?;
    same("a removal", &store.compare_and_swap(remove(1)).await?, &vec![WriteOutcome::Written])?;
    same("the version after a removal", &versions(&store, &keys).await?, &vec![0])?;
    same("a second removal", &store.compare_and_swap(remove(1)).await?, &vec![WriteOutcome::Conflict])?;
    same("what is due after a removal", &due(&store, 5, 1, 9).await?, &vec![])?;
    same("what is open after a removal", &listed(&store, &page).await?, &BTreeSet::new())?;
    same("a new one", &store.compare_and_swap(vec![write(&key, 0, 3)]).await?, &vec![WriteOutcome::Written])?;
    same(
        "a write over the old one",
        &store.compare_and_swap(vec![write(&key, 1, 4)]).await?,
        &vec![WriteOutcome::Conflict],
    )
}

/// The open threads of a Page, listed in portions of 7.
async fn listed(store: &Store, page: &Page) -> Result<BTreeSet<ThreadKey>, Wrong> {
    let (mut listed, mut after) = (BTreeSet::new(), None);
    for _ in 0..1_000_000 {
        let portion = store.needing_attention(after.as_ref(), 7).await?;
        if portion.len() > 7 {
            return Err(Wrong(format!("{} open threads where 7 were asked for", portion.len())));
        }
        let Some(last) = portion.last() else { break };
        after = Some(last.clone());
        for key in portion.into_iter().filter(|key| key.page == page.0) {
            if !listed.insert(key.clone()) {
                return Err(Wrong(format!("{key} is listed twice")));
            }
        }
    }
    Ok(listed)
}

pub(super) async fn open_threads_are_listed_page_by_page(store: Store) -> Found {
    let page = Page::new();
    let keys = page.keys(0..40);
    let first =
        |(index, key): (usize, &ThreadKey)| Write::new(key.clone(), 0, 1, thread(index % 2, 1), Some(at(1)));
    store.compare_and_swap(keys.iter().enumerate().map(first).collect()).await?;
    let mut open: BTreeSet<_> = keys.iter().skip(1).step_by(2).cloned().collect();
    same("the open ones", &listed(&store, &page).await?, &open)?;
    store
        .compare_and_swap(vec![Write::new(keys[1].clone(), 1, 2, thread(0, 0), None), write(&keys[2], 1, 2)])
        .await?;
    store.compare_and_swap(vec![write(&keys[0], 7, 8)]).await?;
    open.remove(&keys[1]);
    open.insert(keys[2].clone());
    same("after one closed and one opened", &listed(&store, &page).await?, &open)?;
    let whole = store.needing_attention(None, 1_000_000).await?;
    if let Some(place) = whole.iter().position(|key| key.page == page.0) {
        store.forget(&whole[place..=place]).await?;
        let rest = store.needing_attention(Some(&whole[place]), 1_000_000).await?;
        same("behind one that is gone", &rest, &whole[place + 1..].to_vec())?;
    }
    Ok(())
}

pub(super) async fn forgotten_is_gone(store: Store) -> Found {
    let page = Page::new();
    let keys = page.keys(0..3);
    store.compare_and_swap(keys[..2].iter().map(|key| due_at(key, 0, 5, at(1))).collect()).await?;
    store.forget(&keys[1..]).await?;
    same("the versions", &versions(&store, &keys).await?, &vec![5, 0, 0])?;
    same("what is due", &due(&store, 2, 1000, 9).await?, &keys[..1].to_vec())?;
    same("what is open", &listed(&store, &page).await?, &keys[..1].iter().cloned().collect())?;
    same(
        "a write over it",
        &store.compare_and_swap(vec![write(&keys[1], 5, 6)]).await?,
        &vec![WriteOutcome::Conflict],
    )?;
    store.forget(&[]).await?;
    Ok(())
}

pub(super) async fn large_batches_and_records_are_kept_whole(store: Store) -> Found {
    let keys = Page::new().keys(0..700);
    let large = thread(100, 1000);
    let write = |(index, key): (usize, &ThreadKey)| {
        let thread = if index == 350 { large.clone() } else { thread(1, index) };
        Write::new(key.clone(), 0, 1, thread, None)
    };
    let verdicts = store.compare_and_swap(keys.iter().enumerate().map(write).collect()).await?;
    same("the verdicts", &verdicts, &vec![WriteOutcome::Written; 700])?;
    for (index, loaded) in store.load(&keys).await?.into_iter().enumerate() {
        let expected = if index == 350 { large.clone() } else { thread(1, index) };
        if !loaded.thread.is_ok_and(|thread| *thread == expected) {
            return Err(Wrong(format!("thread {index} of 700 is not what was written")));
        }
    }
    Ok(())
}

pub(super) async fn ids_are_kept_as_they_are(store: Store) -> Found {
    let long = "x".repeat(MAX_ID_BYTES);
    let texts = ["1", "01", "12", "123", "23", "3", "ö'\"\\%_?*{}:/ ", "A", "a", " a", "a ", "null", &long];
    let mut keys = Vec::new();
    for page in texts {
        for user in texts {
            if let (Ok(page), Ok(user)) = (PageId::new(page), UserId::new(user)) {
                keys.push(ThreadKey::new(page, user));
            }
        }
    }
    store.forget(&keys).await?;
    let writes = keys.iter().zip(1..).map(|(key, version)| due_at(key, 0, version, at(version))).collect();
    same("the verdicts", &store.compare_and_swap(writes).await?, &vec![WriteOutcome::Written; keys.len()])?;
    let kept = versions(&store, &keys).await?;
    if let Some(wrong) = kept.iter().zip(1_u64..).position(|(version, expected)| *version != expected) {
        return Err(Wrong(format!("{:?} is taken for another", keys[wrong])));
    }
    same("what is due", &due(&store, 100_000, 1_000_000, 1000).await?, &keys)
}

pub(super) async fn times_at_the_ends_are_kept(store: Store) -> Found {
    let keys = Page::new().keys(0..2);
    store
        .compare_and_swap(vec![due_at(&keys[0], 0, 1, at(0)), due_at(&keys[1], 0, 1, Timestamp::MAX)])
        .await?;
    let long = Duration::MAX;
    same("due at the beginning of time", &store.due(at(0), long, 9).await?, &keys[..1].to_vec())?;
    same("leased for ever", &store.due(at(4_000_000_000_000), long, 9).await?, &vec![])
}
