//! Tests of the Postgres store, directly and through `PgBouncer`.
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use messenger_handover::store::postgres::Builder;
use messenger_handover::store::{PostgresStore, StoreError, ThreadStore, Write, WriteOutcome, conformance};
use messenger_handover::time::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, raw_sql};

use crate::{COMMON, Connect, Ended, Server, a_name, key, listed_singly, thread};

/// A schema of its own, and direct access to it past the store.
#[derive(Clone)]
struct Schema {
    url: String,
    name: String,
    pooled: bool,
}

impl Schema {
    fn new(url: String, pooled: bool) -> Self {
        Self { url, name: a_name(), pooled }
    }

    fn builder(&self) -> Builder {
        let builder = PostgresStore::builder(&*self.url).schema(&self.name).connections(4);
        if self.pooled { builder.behind_transaction_pooler() } else { builder }
    }

    async fn open(&self) -> Result<PostgresStore, StoreError> {
        self.builder().connect().await
    }

    fn connect(&self) -> Connect {
        let schema = self.clone();
        Arc::new(move || {
            let store = schema.builder();
            Box::pin(async move { Ok(Arc::new(store.connect().await?) as Arc<dyn ThreadStore>) })
        })
    }

    /// A direct connection to the database, past any pooler.
    async fn beside(&self) -> Result<PgConnection, sqlx::Error> {
        let behind = std::env::var("TEST_POSTGRES_URL").ok().filter(|_| self.pooled);
        PgConnection::connect(behind.as_deref().unwrap_or(&self.url)).await
    }

    async fn run(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut db = self.beside().await?;
        raw_sql(AssertSqlSafe(sql.replace("{schema}", &self.name))).execute(&mut db).await?;
        db.close().await
    }

    async fn drop(&self) -> Result<(), sqlx::Error> {
        self.run("DROP SCHEMA IF EXISTS {schema} CASCADE").await
    }
}

async fn schema_of_a_newer_version_is_refused(schema: Schema) -> Ended {
    drop(schema.open().await?);
    schema.run("UPDATE {schema}.handover_tables SET version = 99").await?;
    let error = schema.open().await.err().ok_or("it is opened")?.to_string();
    schema.drop().await?;
    assert!(error.contains("version 99") && error.contains("update it"), "{error}");
    Ok(())
}

/// Beside the host's own statements, which may take as long as the host wants.
async fn host_pool_conforms_and_keeps_its_settings(schema: Schema) -> Ended {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(&schema.url).await?;
    let store = PostgresStore::with_pool(pool.clone()).schema(&schema.name).connections(4).connect().await?;
    let report = conformance::check(Arc::new(store)).await;
    for _ in 0..8 {
        let timeout: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&pool).await?;
        assert_eq!(timeout, "0");
    }
    pool.close().await;
    if report.is_ok() { Ok(()) } else { Err(report.to_string().into()) }
}

/// As when all replicas start for the first time.
async fn schema_can_be_created_concurrently(schema: Schema) -> Ended {
    let opened = tokio::join!(schema.open(), schema.open(), schema.open(), schema.open());
    schema.drop().await?;
    for store in [opened.0, opened.1, opened.2, opened.3] {
        store?;
    }
    Ok(())
}

/// The host's role needs no right to create anything.
async fn schema_needs_only_read_and_write_rights(schema: Schema) -> Ended {
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
    let limited = Schema { url: limited.to_string(), ..schema.clone() };
    let worked = async {
        let store = limited.open().await?;
        store.compare_and_swap(vec![Write::new(key(1), 0, 1, thread("x"), None)]).await?;
        store.forget(&[key(1)]).await
    }
    .await;
    schema.drop().await?;
    schema.run(&format!("DROP ROLE {role}")).await?;
    Ok(worked?)
}

async fn connection_that_breaks_is_replaced(schema: Schema) -> Ended {
    let store = schema.open().await?;
    let write = |version| vec![Write::new(key(1), version - 1, version, thread("x"), None)];
    store.compare_and_swap(write(1)).await?;
    let mut other = schema.beside().await?;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'messenger-handover' AND position($1 IN query) > 0";
    let killed: i64 = sqlx::query_scalar(kill).bind(&schema.name).fetch_one(&mut other).await?;
    assert!(killed > 0, "no connection of the store's is found");
    let mut ended = store.compare_and_swap(write(2)).await;
    for _ in 0..10 {
        if ended.is_ok() {
            break;
        }
        ended = store.compare_and_swap(write(2)).await;
    }
    let found = store.load(&[key(1)]).await?.remove(0).version;
    schema.drop().await?;
    assert_eq!(found, 2);
    ended?;
    Ok(())
}

/// Another session locks the table, as a careless migration would: calls fail within the timeout.
async fn timeout_of_a_stuck_database_is_an_error(schema: Schema) -> Ended {
    let store = schema.builder().answers_within(Duration::from_millis(300)).connect().await?;
    let mut other = schema.beside().await?;
    let lock = "BEGIN; LOCK TABLE {schema}.handover_threads".replace("{schema}", &schema.name);
    raw_sql(AssertSqlSafe(lock)).execute(&mut other).await?;
    let begun = Instant::now();
    let answer = store.load(&[key(1)]).await;
    let waited = begun.elapsed();
    // The server cancels statements whose caller has given up.
    let mut watcher = schema.beside().await?;
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

async fn errors_about_an_address_hide_the_password(schema: Schema) -> Ended {
    for address in ["postgres://me:geheim@127.0.0.1:1/db", "postgres://me:geheim@[/db", "geheim"] {
        let builder = PostgresStore::builder(address).answers_within(Duration::from_secs(1));
        assert!(!format!("{builder:?}").contains("geheim"));
        let error = builder.connect().await.err().ok_or("it connects")?;
        let words = format!("{error} {error:?}");
        assert!(!words.contains("geheim"), "{words}");
    }
    for name in ["", "a b", "a\"; DROP TABLE x; --", &"a".repeat(64)] {
        let error = schema.builder().schema(name).connect().await.err().ok_or("it connects")?;
        assert!(error.to_string().contains("is no name of a schema"), "{error}");
    }
    Ok(())
}

/// The error's text names the cause, without any data of a row.
async fn errors_name_their_cause(schema: Schema) -> Ended {
    let store = schema.open().await?;
    schema.run("ALTER TABLE {schema}.handover_threads ADD CONSTRAINT unlucky CHECK (version <> 13)").await?;
    let error =
        store.compare_and_swap(vec![Write::new(key(1), 0, 13, thread("private"), None)]).await.unwrap_err();
    assert!(error.to_string().ends_with("violates check constraint \"unlucky\" (SQLSTATE 23514)"), "{error}");
    assert!(!format!("{error} {error:?}").contains("7072697661"), "it repeats the row: {error:?}");
    schema.run("DROP TABLE {schema}.handover_threads").await?;
    let error = store.load(&[key(1)]).await.unwrap_err().to_string();
    assert!(error.contains("handover_threads\" does not exist (SQLSTATE 42P01)"), "{error}");
    let mut wrong: url::Url = schema.url.parse()?;
    assert!(wrong.set_password(Some("wrong")).is_ok());
    let at = |url: &url::Url| Schema { url: url.to_string(), ..schema.clone() }.builder();
    let error = at(&wrong).connect().await.unwrap_err().to_string();
    let codes = if schema.pooled { ["SQLSTATE 08P01", "auth"] } else { ["SQLSTATE 28P01", "password"] };
    assert!(codes.iter().all(|words| error.contains(words)), "{error}");
    assert!(wrong.set_port(Some(1)).is_ok());
    let error =
        at(&wrong).answers_within(Duration::from_millis(200)).connect().await.unwrap_err().to_string();
    assert!(error.contains("Connection refused"), "{error}");
    Ok(())
}

/// Batches that wait for a connection share a statement afterwards.
async fn batch_that_fails_does_not_fail_its_group(schema: Schema) -> Ended {
    let store = Arc::new(schema.builder().connections(2).connect().await?);
    store.compare_and_swap(vec![Write::new(key(7), 0, 1, thread("x"), None)]).await?;
    schema.run("ALTER TABLE {schema}.handover_threads ADD CONSTRAINT unlucky CHECK (version <> 13)").await?;
    let mut other = schema.beside().await?;
    let lock = "BEGIN; SELECT FROM {schema}.handover_threads FOR UPDATE".replace("{schema}", &schema.name);
    raw_sql(AssertSqlSafe(lock)).execute(&mut other).await?;
    let write = |write| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.compare_and_swap(vec![write]).await })
    };
    let first = write(Write::new(key(7), 1, 2, thread("x"), None));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let writers: Vec<_> =
        (10..30).map(|version| write(Write::new(key(version), 0, version, thread("x"), None))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    raw_sql("COMMIT").execute(&mut other).await?;
    other.close().await?;
    assert_eq!(first.await??, [WriteOutcome::Written]);
    for (version, writer) in (10..).zip(writers) {
        let ended = writer.await?;
        assert_eq!(ended.is_err(), version == 13, "{ended:?}");
    }
    Ok(())
}

async fn records_with_unreadable_ids_are_skipped(schema: Schema) -> Ended {
    let store = schema.open().await?;
    let writes =
        (1..4).map(|user| Write::new(key(user), 0, 1, thread("x"), Some(Timestamp::from_millis(user))));
    store.compare_and_swap(writes.collect()).await?;
    let rows = "INSERT INTO {schema}.handover_threads
        VALUES ('', 'x', 1, 0, true, ''), ('1', E'\\n', 1, 0, true, ''), ('', 'y', 1, 0, true, '')";
    schema.run(rows).await?;
    let due = |now, limit| store.due(Timestamp::from_millis(now), Duration::from_millis(100), limit);
    assert_eq!(due(10, 4).await?, [key(1)]);
    assert_eq!(due(20, 4).await?, [key(2), key(3)]);
    assert_eq!(due(200, 3).await?, [key(1), key(2), key(3)], "what is unreadable is due again");
    assert_eq!(listed_singly(&store).await?, [key(1), key(2), key(3)]);
    Ok(())
}

async fn pooler_works_with_a_url_without_statement_cache(schema: Schema) -> Ended {
    let url = format!("{}?statement-cache-capacity=0", schema.url);
    let store = PostgresStore::builder(url).schema(&schema.name).connect().await?;
    for user in 0..50 {
        store.compare_and_swap(vec![Write::new(key(user), 0, 1, thread("x"), None)]).await?;
    }
    Ok(())
}

/// A pooler would pass a client's session settings on to the next client.
async fn pooler_clients_share_no_settings(schema: Schema) -> Ended {
    let store = schema.builder().answers_within(Duration::from_millis(4321)).connect().await?;
    let store = Arc::new(store);
    let mut loads = tokio::task::JoinSet::new();
    for user in 0..20 {
        let store = Arc::clone(&store);
        loads.spawn(async move { store.load(&[key(user)]).await.map(drop) });
    }
    for ended in loads.join_all().await {
        ended?;
    }
    for _ in 0..20 {
        let options: PgConnectOptions = schema.url.parse()?;
        let mut other = options.extra_float_digits(None).connect().await?;
        let shown = raw_sql("SHOW statement_timeout").fetch_one(&mut other).await?;
        assert_eq!(shown.try_get::<String, _>(0)?, "0");
        other.close().await?;
    }
    Ok(())
}

pub fn trials(server: &Server, pooled: bool) -> Vec<Trial> {
    macro_rules! trials {
        ($($name:ident)*) => {
            [$(server.trial(stringify!($name), move |url| async move {
                let schema = Schema::new(url, pooled);
                let ended: Ended = $name(schema.clone()).await;
                schema.drop().await?;
                ended
            })),*]
        };
    }
    let common = COMMON.into_iter().map(|(name, run)| {
        server.trial(name, move |url| async move {
            let schema = Schema::new(url, pooled);
            let ended = run(schema.connect()).await;
            schema.drop().await?;
            ended
        })
    });
    let both = trials![
        schema_of_a_newer_version_is_refused
        schema_can_be_created_concurrently
        timeout_of_a_stuck_database_is_an_error
        errors_name_their_cause
        batch_that_fails_does_not_fail_its_group
        records_with_unreadable_ids_are_skipped
    ];
    let trials = common.chain(both);
    if pooled {
        trials
            .chain(trials![
                pooler_clients_share_no_settings
                pooler_works_with_a_url_without_statement_cache
            ])
            .collect()
    } else {
        trials
            .chain(trials![
                host_pool_conforms_and_keeps_its_settings
                schema_needs_only_read_and_write_rights
                connection_that_breaks_is_replaced
                errors_about_an_address_hide_the_password
            ])
            .collect()
    }
}
