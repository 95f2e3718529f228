//! Tests of the Redis store, on one server and on a cluster.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use messenger_handover::store::redis::Builder;
use messenger_handover::store::{RedisStore, ThreadStore, Write};
use messenger_handover::time::Timestamp;
use redis::{Client, Commands, Connection, RedisResult};
use tokio::sync::RwLock;

use crate::{COMMON, Connect, Ended, Server, a_name, key, listed_singly, thread};

/// Tests that change settings of the whole server hold the write lock.
static SERVER: RwLock<()> = RwLock::const_new(());

/// A prefix of its own, and direct access to it past the store.
#[derive(Clone)]
struct Prefix {
    url: String,
    cluster: bool,
    name: String,
}

impl Prefix {
    fn new(url: String, cluster: bool) -> Self {
        Self { url, cluster, name: a_name() }
    }

    fn builder(&self) -> Builder {
        let builder = RedisStore::builder(&*self.url).prefix(&self.name);
        if self.cluster { builder.cluster([self.url.clone()]) } else { builder }
    }

    fn connect(&self) -> Connect {
        let prefix = self.clone();
        Arc::new(move || {
            let builder = prefix.builder();
            Box::pin(async move { Ok(Arc::new(builder.connect().await?) as Arc<dyn ThreadStore>) })
        })
    }

    /// A direct connection to the server; the cluster has one node here.
    fn server(&self) -> RedisResult<Connection> {
        Client::open(&*self.url)?.get_connection()
    }

    fn names(&self) -> RedisResult<Vec<String>> {
        self.server()?.keys(format!("{{{}*", self.name))
    }

    fn drop(&self) -> RedisResult<()> {
        let mut server = self.server()?;
        self.names()?.into_iter().try_for_each(|name| server.del(name))
    }
}

async fn layout_of_a_newer_version_is_refused(prefix: Prefix) -> Ended {
    drop(prefix.builder().connect().await?);
    let () = prefix.server()?.set(format!("{{{}}}:layout", prefix.name), 99)?;
    let error = prefix.builder().connect().await.err().ok_or("it is opened")?.to_string();
    assert!(error.contains("layout 99") && error.contains("update it"), "{error}");
    Ok(())
}

/// All keys start with the prefix, those of a partition share a slot, and they are deleted with their threads.
async fn forget_leaves_nothing_behind(prefix: Prefix) -> Ended {
    let store = prefix.builder().connect().await?;
    let keys: Vec<_> = (0..200).map(key).collect();
    let write = |key: &_| Write::new(Clone::clone(key), 0, 1, thread("private"), None);
    store.compare_and_swap(keys.iter().map(write).collect()).await?;
    let tags: BTreeSet<_> =
        prefix.names()?.iter().filter_map(|name| Some(name.split_once('}')?.0.to_owned())).collect();
    assert_eq!(tags.len(), 17, "sixteen partitions and the layout: {tags:?}");
    store.forget(&keys).await?;
    assert_eq!(prefix.names()?, [format!("{{{}}}:layout", prefix.name)]);
    Ok(())
}

async fn prefixes_are_independent(prefix: Prefix) -> Ended {
    let other = Prefix { name: format!("{}x", prefix.name), ..prefix.clone() };
    let (one, two) = (prefix.builder().connect().await?, other.builder().connect().await?);
    one.compare_and_swap(vec![Write::new(key(1), 0, 1, thread("x"), None)]).await?;
    let found = two.load(&[key(1)]).await?.remove(0).version;
    other.drop()?;
    assert_eq!((found, one.load(&[key(1)]).await?.remove(0).version), (0, 1));
    for name in ["", "a b", "{a}", &"a".repeat(65)] {
        let error = prefix.builder().prefix(name).connect().await.err().ok_or("it connects")?;
        assert!(error.to_string().contains("is no prefix"), "{error}");
    }
    Ok(())
}

async fn connection_that_breaks_is_replaced(prefix: Prefix) -> Ended {
    let store = prefix.builder().connect().await?;
    let write = |version| vec![Write::new(key(1), version - 1, version, thread("x"), None)];
    store.compare_and_swap(write(1)).await?;
    let () = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query(&mut prefix.server()?)?;
    // A restart also loses the scripts.
    let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut prefix.server()?)?;
    let mut ended = store.compare_and_swap(write(2)).await;
    for _ in 0..20 {
        if ended.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        ended = store.compare_and_swap(write(2)).await;
    }
    ended?;
    assert_eq!(store.load(&[key(1)]).await?.remove(0).version, 2);
    Ok(())
}

async fn eviction_by_the_server_is_refused(prefix: Prefix) -> Ended {
    let policy = |policy: &str| -> RedisResult<()> {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg(policy).query(&mut prefix.server()?)
    };
    policy("allkeys-lru")?;
    let refused = prefix.builder().connect().await;
    policy("noeviction")?;
    let error = refused.err().ok_or("it connects")?.to_string();
    assert!(error.contains("allkeys-lru") && error.contains("noeviction"), "{error}");
    Ok(())
}

/// As when a password is changed or the connection limit is reached for a while: while the server refuses new connections,
/// calls fail, and they succeed again afterwards.
async fn connection_refused_by_the_server_is_retried(prefix: Prefix) -> Ended {
    let mut admin = prefix.server()?;
    let mut require = move |password: &str| -> RedisResult<()> {
        let () = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg(password).query(&mut admin)?;
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query(&mut admin)
    };
    require("old")?;
    let url = prefix.url.replace("://", "://:old@");
    let store =
        Prefix { url, ..prefix.clone() }.builder().answers_within(Duration::from_secs(2)).connect().await;
    require("new")?;
    let mut refused = true;
    if let Ok(store) = &store {
        for _ in 0..10 {
            refused &= store.load(&[key(1)]).await.is_err();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    require("old")?;
    let mut ended = None;
    if let Ok(store) = &store {
        for _ in 0..50 {
            ended = Some(store.load(&[key(1)]).await);
            if ended.as_ref().is_some_and(Result::is_ok) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    require("")?;
    store?;
    ended.ok_or("it was not asked")??;
    assert!(refused, "it was let in with the old password");
    Ok(())
}

async fn errors_about_an_address_hide_the_password(prefix: Prefix) -> Ended {
    for address in ["redis://me:geheim@127.0.0.1:1/", "redis://me:geheim@[/", "geheim"] {
        let builder = Prefix { url: address.to_owned(), ..prefix.clone() }.builder();
        let builder = builder.answers_within(Duration::from_secs(1));
        assert!(!format!("{builder:?}").contains("geheim"));
        let error = builder.connect().await.err().ok_or("it connects")?;
        let words = format!("{error} {error:?}");
        assert!(!words.contains("geheim"), "{words}");
    }
    Ok(())
}

async fn errors_name_their_cause(prefix: Prefix) -> Ended {
    let at = |address: &str| Prefix { url: address.to_owned(), ..prefix.clone() }.builder();
    let refused = at("redis://127.0.0.1:1/").answers_within(Duration::from_secs(2)).connect().await;
    let error = refused.err().ok_or("it connects")?.to_string();
    assert!(error.contains("refused"), "{error}");
    let wrong = at(&prefix.url.replace("://", "://nobody:geheim@")).connect().await;
    let error = wrong.err().ok_or("it connects")?.to_string();
    assert!(error.contains("authentication failed") && !error.contains("geheim"), "{error}");
    let store = prefix.builder().connect().await?;
    for partition in 0..16 {
        let () = prefix.server()?.set(format!("{{{}:{partition}}}:wake", prefix.name), "no sorted set")?;
    }
    let error = store.due(Timestamp::from_millis(9), Duration::from_secs(1), 9).await;
    let error = error.err().ok_or("it answers")?.to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
    Ok(())
}

async fn records_with_unreadable_ids_are_skipped(prefix: Prefix) -> Ended {
    let store = prefix.builder().connect().await?;
    let writes =
        (1..4).map(|user| Write::new(key(user), 0, 1, thread("x"), Some(Timestamp::from_millis(user))));
    store.compare_and_swap(writes.collect()).await?;
    for partition in 0..16 {
        for bad in [&b"no conversation"[..], b"\xff\x1f1", b"\x1f"] {
            let name = |what| format!("{{{}:{partition}}}:{what}", prefix.name);
            let () = prefix.server()?.zadd(name("wake"), bad, 0)?;
            let () = prefix.server()?.zadd(name("open"), bad, 0)?;
        }
    }
    // These records fill the first poll of each partition only.
    let due = |now| store.due(Timestamp::from_millis(now), Duration::from_millis(100), 3);
    assert_eq!(due(10).await?, []);
    assert_eq!(due(20).await?, [key(1), key(2), key(3)]);
    let mut listed = listed_singly(&store).await?;
    listed.sort();
    assert_eq!(listed, [key(1), key(2), key(3)]);
    assert_eq!(store.needing_attention(None, 9).await?.len(), 3);
    Ok(())
}

/// Each damaged conversation has its own error.
async fn records_that_are_damaged_do_not_hide_others(prefix: Prefix) -> Ended {
    let store = prefix.builder().connect().await?;
    let keys: Vec<_> = (1..5).map(key).collect();
    let write = |key: &_| Write::new(Clone::clone(key), 0, 1, thread("x"), None);
    store.compare_and_swap(keys.iter().map(write).collect()).await?;
    for name in prefix.names()? {
        let Some((_, member)) = name.split_once("thread:") else { continue };
        let mut server = prefix.server()?;
        match member {
            "10\u{1f}1" => server.hset::<_, _, _, ()>(&name, "version", "not a number")?,
            "10\u{1f}2" => server.hdel::<_, _, ()>(&name, "record")?,
            "10\u{1f}3" => server.hset::<_, _, _, ()>(&name, "record", "1 plain\n[")?,
            _ => {}
        }
    }
    let damaged: Vec<_> = store.load(&keys).await?.iter().map(|loaded| loaded.thread.is_err()).collect();
    assert_eq!(damaged, [true, true, true, false]);
    store.forget(&keys).await?;
    assert!(store.load(&keys).await?.iter().all(|loaded| loaded.thread.is_ok()));
    Ok(())
}

pub fn trials(server: &Server, cluster: bool) -> Vec<Trial> {
    macro_rules! trials {
        ($($name:ident)*) => {
            [$(server.trial(stringify!($name), move |url| async move {
                let prefix = Prefix::new(url, cluster);
                let _quiet = SERVER.read().await;
                let ended: Result<(), Failed> = $name(prefix.clone()).await;
                prefix.drop()?;
                ended
            })),*]
        };
    }
    let common = COMMON.into_iter().map(|(name, run)| {
        server.trial(name, move |url| async move {
            let prefix = Prefix::new(url, cluster);
            let _quiet = SERVER.read().await;
            let ended = run(prefix.connect()).await;
            prefix.drop()?;
            ended
        })
    });
    // These tests affect all users of the server.
    let refuses = server.trial("eviction_by_the_server_is_refused", move |url| async move {
        let _alone = SERVER.write().await;
        eviction_by_the_server_is_refused(Prefix::new(url, cluster)).await
    });
    let refuses_connections =
        server.trial("connection_refused_by_the_server_is_retried", move |url| async move {
            let _alone = SERVER.write().await;
            let prefix = Prefix::new(url, cluster);
            let ended = connection_refused_by_the_server_is_retried(prefix.clone()).await;
            prefix.drop()?;
            ended
        });
    let breaks = server.trial("connection_that_breaks_is_replaced", move |url| async move {
        let _alone = SERVER.write().await;
        let prefix = Prefix::new(url, cluster);
        let ended = connection_that_breaks_is_replaced(prefix.clone()).await;
        prefix.drop()?;
        ended
    });
    common
        .chain(trials![
            layout_of_a_newer_version_is_refused
            forget_leaves_nothing_behind
            prefixes_are_independent
            errors_about_an_address_hide_the_password
            errors_name_their_cause
            records_with_unreadable_ids_are_skipped
            records_that_are_damaged_do_not_hide_others
        ])
        .chain([refuses, refuses_connections, breaks])
        .collect()
}
