//! Connections to one Redis server or to a cluster, which reconnect by themselves.
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::cluster::ClusterClient;
use redis::cluster_async::{ClusterConnection, Connect};
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, InfoDict, IntoConnectionInfo,
    RedisError, ServerErrorKind,
};

use super::node::Node;
use super::scripts::Script;
use crate::secret::DatabaseUrl;
use crate::store::StoreError;

/// The number of retries to connect before a request fails.
const RETRIES: u32 = 2;
/// The pause before the first retry; doubled after each.
const PAUSE: Duration = Duration::from_millis(100);
/// The age from which a connection that works but returns errors is replaced.
const REPLACED_EVERY: Duration = Duration::from_secs(1);

/// A shared connection that reconnects by itself.
#[derive(Clone)]
pub(super) enum Connection {
    Alone(Arc<Alone>),
    Cluster(ClusterConnection<Node>),
}

/// A connection to one server. It is replaced when it breaks, and at most once a second while the server returns errors (a
/// changed password, too many clients, a demoted primary), because a new connection may reach another server.
pub(super) struct Alone {
    info: ConnectionInfo,
    answers_within: Duration,
    current: Mutex<(Connecting, Instant)>,
}

/// A connection attempt that all requests share.
type Connecting = Shared<BoxFuture<'static, Result<Node, RedisError>>>;

impl Alone {
    fn new(info: ConnectionInfo, answers_within: Duration) -> Self {
        let current = Mutex::new((connecting(&info, answers_within), Instant::now()));
        Self { info, answers_within, current }
    }

    fn current(&self) -> MutexGuard<'_, (Connecting, Instant)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let connecting = self.current().0.clone();
        let mut node = match connecting.clone().await {
            Ok(node) => node,
            Err(error) => {
                self.replace(&connecting, PAUSE);
                return Err(error);
            }
        };
        let ended = command.query_async(&mut node).await;
        match &ended {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {}
            Err(error) if error.is_unrecoverable_error() => self.replace(&connecting, Duration::ZERO),
            Err(_) => self.replace(&connecting, REPLACED_EVERY),
            Ok(_) => {}
        }
        ended
    }

    /// Replaces a failed connection, unless another request already did or it is younger than `age`.
    fn replace(&self, failed: &Connecting, age: Duration) {
        let mut current = self.current();
        if current.0.ptr_eq(failed) && current.1.elapsed() >= age {
            *current = (connecting(&self.info, self.answers_within), Instant::now());
        }
    }
}

fn connecting(info: &ConnectionInfo, answers_within: Duration) -> Connecting {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(answers_within))
        .set_response_timeout(Some(answers_within));
    let tries = connect(info.clone(), config);
    let connecting = async move {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        tokio::time::timeout(answers_within, tries).await.map_err(late)?
    };
    connecting.boxed().shared()
}

async fn connect(info: ConnectionInfo, config: AsyncConnectionConfig) -> Result<Node, RedisError> {
    let mut pause = PAUSE;
    for _ in 0..RETRIES {
        match Node::connect_with_config(info.clone(), config.clone()).await {
            Err(error) if error.is_io_error() => tokio::time::sleep(pause).await,
            ended => return ended,
        }
        pause *= 2;
    }
    Node::connect_with_config(info, config).await
}

impl Connection {
    pub(super) async fn alone(url: &DatabaseUrl, answers_within: Duration) -> Result<Self, StoreError> {
        let alone = Alone::new(url.expose_secret().into_connection_info().map_err(no_url)?, answers_within);
        let connecting = alone.current().0.clone();
        connecting.await.map_err(failed)?;
        Ok(Self::Alone(Arc::new(alone)))
    }

    pub(super) async fn cluster(urls: &[DatabaseUrl], answers_within: Duration) -> Result<Self, StoreError> {
        let client = ClusterClient::builder(urls.iter().map(DatabaseUrl::expose_secret))
            .connection_timeout(answers_within)
            .response_timeout(answers_within)
            .overall_response_timeout(Some(answers_within))
            .retries(RETRIES)
            .build()
            .map_err(no_url)?;
        Ok(Self::Cluster(client.get_async_generic_connection().await.map_err(failed)?))
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.query(command).await.map_err(failed)
    }

    /// A section of `INFO` from each primary.
    pub(super) async fn info(&self, section: &str) -> Result<Vec<InfoDict>, StoreError> {
        let mut ask = redis::cmd("INFO");
        ask.arg(section);
        let Self::Cluster(cluster) = self else { return Ok(vec![self.ask(&ask).await?]) };
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let told = cluster.clone().route_command(ask, all).await.map_err(failed)?;
        let told: HashMap<String, InfoDict> =
            redis::from_redis_value(told).map_err(|error| failed(RedisError::from(error)))?;
        Ok(told.into_values().collect())
    }

    /// Runs a script by its hash, or by its text where the server does not have it: `SCRIPT LOAD` might reach another node.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        names: &[String],
        words: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        let call = |how: &str, script: &str| {
            let mut call = redis::cmd(how);
            call.arg(script).arg(names.len()).arg(names).arg(words);
            call
        };
        let ended = match self.query(&call("EVALSHA", script.hash())).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&call("EVAL", script.text())).await
            }
            ended => ended,
        };
        ended.map_err(failed)
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::Alone(alone) => alone.query(command).await,
            Self::Cluster(cluster) => command.query_async(&mut cluster.clone()).await,
        }
    }
}

/// The cause is left out because it may repeat the password.
fn no_url(_: RedisError) -> StoreError {
    StoreError::new("no URL of a Redis")
}

/// The server's message is kept whole: it names commands and keys, never a record.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: RedisError) -> StoreError {
    StoreError::new(format!("Redis: {error}"))
}
