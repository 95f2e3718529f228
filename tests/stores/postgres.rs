use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use messenger_handover::store::{PostgresStore, Swap, ThreadStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

use crate::{COMMON, Connect, Ended, Server, a_name, key, thread};

/// A schema of its own, and what is done to it beside the store.
struct Schema {
    url: String,
    name: String,
}

impl Schema {
    fn new(url: String) -> Self {
        Self { url, name: a_name() }
    }

    async fn open(&self) -> Result<PostgresStore, messenger_handover::store::StoreError> {
        PostgresStore::builder(&*self.url).schema(&self.name).connections(4).connect().await
    }

    fn connect(&self) -> Connect {
        let (url, name) = (self.url.clone(), self.name.clone());
        Arc::new(move || {
            let store = PostgresStore::builder(&*url).schema(&name).connections(4);
            Box::pin(async move { Ok(Arc::new(store.connect().await?) as Arc<dyn ThreadStore>) })
        })
    }

    async fn run(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut db = PgConnection::connect(&self.url).await?;
        raw_sql(AssertSqlSafe(sql.replace("{schema}", &self.name))).execute(&mut db).await?;
        db.close().await
    }

    async fn drop(&self) -> Result<(), sqlx::Error> {
        self.run("DROP SCHEMA IF EXISTS {schema} CASCADE").await
    }
}

async fn tables_of_a_newer_version_are_left_alone(url: String) -> Ended {
    let schema = Schema::new(url);
    drop(schema.open().await?);
    schema.run("UPDATE {schema}.handover_tables SET version = 99").await?;
    let error = schema.open().await.err().ok_or("it is opened")?.to_string();
    schema.drop().await?;
    assert!(error.contains("version 99") && error.contains("update it"), "{error}");
    Ok(())
}

/// As when all replicas are started for the first time.
async fn several_may_open_a_new_schema_at_once(url: String) -> Ended {
    let schema = Schema::new(url);
    let opened = tokio::join!(schema.open(), schema.open(), schema.open(), schema.open());
    schema.drop().await?;
    for store in [opened.0, opened.1, opened.2, opened.3] {
        store?;
    }
    Ok(())
}

/// The role of a host need not be allowed to create anything.
async fn a_role_that_only_reads_and_writes_is_enough(url: String) -> Ended {
    let schema = Schema::new(url);
    drop(schema.open().await?);
    let role = format!("{}_role", schema.name);
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA {{schema}} TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{schema}} TO {role}"
    );
    schema.run(&grants).await?;
    let mut limited: url::Url = schema.url.parse()?;
    let named = limited.set_username(&role).is_ok() && limited.set_password(Some("pw")).is_ok();
    assert!(named, "a URL without a host");
    let limited = Schema { url: limited.to_string(), name: schema.name.clone() };
    let worked = async {
        let store = limited.open().await?;
        store.swap(vec![Swap::write(key(1), 0, 1, thread("x"), None)]).await?;
        store.forget(&[key(1)]).await
    }
    .await;
    schema.drop().await?;
    schema.run(&format!("DROP ROLE {role}")).await?;
    Ok(worked?)
}

async fn a_broken_connection_is_replaced(url: String) -> Ended {
    let schema = Schema::new(url);
    let store = schema.open().await?;
    let write = |version| vec![Swap::write(key(1), version - 1, version, thread("x"), None)];
    store.swap(write(1)).await?;
    let mut other = PgConnection::connect(&schema.url).await?;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'messenger-handover' AND position($1 IN query) > 0";
    let killed: i64 = sqlx::query_scalar(kill).bind(&schema.name).fetch_one(&mut other).await?;
    assert!(killed > 0, "no connection of the store's is found");
    let mut ended = store.swap(write(2)).await;
    for _ in 0..10 {
        if ended.is_ok() {
            break;
        }
        ended = store.swap(write(2)).await;
    }
    let found = store.load(&[key(1)]).await?.remove(0).version;
    schema.drop().await?;
    assert_eq!(found, 2);
    ended?;
    Ok(())
}

/// Somebody locks the table, as a careless migration does: it is told, and in time.
async fn a_database_that_does_not_answer_is_told(url: String) -> Ended {
    let schema = Schema::new(url);
    let store = PostgresStore::builder(&*schema.url).schema(&schema.name);
    let store = store.answers_within(Duration::from_millis(300)).connect().await?;
    let mut other = PgConnection::connect(&schema.url).await?;
    let lock = "BEGIN; LOCK TABLE {schema}.handover_threads".replace("{schema}", &schema.name);
    raw_sql(AssertSqlSafe(lock)).execute(&mut other).await?;
    let begun = Instant::now();
    let answer = store.load(&[key(1)]).await;
    let waited = begun.elapsed();
    // The server does not go on with what nobody waits for.
    let mut watcher = PgConnection::connect(&schema.url).await?;
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND position($1 IN query) > 0";
    let mut left = 1_i64;
    for _ in 0..50 {
        left = sqlx::query_scalar(waiting).bind(&schema.name).fetch_one(&mut watcher).await?;
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    other.close().await?;
    let later = store.load(&[key(1)]).await;
    schema.drop().await?;
    assert!(answer.is_err() && waited < Duration::from_secs(3), "{waited:?}");
    assert_eq!(left, 0, "statements are left that wait for the lock");
    later?;
    Ok(())
}

async fn what_is_wrong_with_an_address_is_told_without_the_password(url: String) -> Ended {
    for address in ["postgres://me:geheim@127.0.0.1:1/db", "postgres://me:geheim@[/db", "geheim"] {
        let builder = PostgresStore::builder(address).answers_within(Duration::from_secs(1));
        assert!(!format!("{builder:?}").contains("geheim"));
        let error = builder.connect().await.err().ok_or("it connects")?;
        let words = format!("{error} {error:?}");
        assert!(!words.contains("geheim"), "{words}");
    }
    for name in ["", "a b", "a\"; DROP TABLE x; --", &"a".repeat(64)] {
        let error = PostgresStore::builder(&*url).schema(name).connect().await.err().ok_or("it connects")?;
        assert!(error.to_string().contains("is no name of a schema"), "{error}");
    }
    Ok(())
}

pub fn trials(server: &Server) -> Vec<Trial> {
    let common = COMMON.into_iter().map(|(name, run)| {
        server.trial(name, move |url| async move {
            let schema = Schema::new(url);
            let ended = run(schema.connect()).await;
            schema.drop().await?;
            ended
        })
    });
    common
        .chain([
            server
                .trial("tables_of_a_newer_version_are_left_alone", tables_of_a_newer_version_are_left_alone),
            server.trial("several_may_open_a_new_schema_at_once", several_may_open_a_new_schema_at_once),
            server.trial(
                "a_role_that_only_reads_and_writes_is_enough",
                a_role_that_only_reads_and_writes_is_enough,
            ),
            server.trial("a_broken_connection_is_replaced", a_broken_connection_is_replaced),
            server.trial("a_database_that_does_not_answer_is_told", a_database_that_does_not_answer_is_told),
            server.trial(
                "what_is_wrong_with_an_address_is_told_without_the_password",
                what_is_wrong_with_an_address_is_told_without_the_password,
            ),
        ])
        .collect()
}
