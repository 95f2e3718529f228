use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{Client, Cmd, ErrorKind, FromRedisValue, InfoDict, RedisError, ServerErrorKind};

use super::scripts::Script;
use crate::secret::DatabaseUrl;
use crate::store::StoreError;

/// How often it is tried to connect again before whoever asks hears of it.
const RETRIES: u32 = 2;
/// So often at most a connection is replaced that answers errors.
const REPLACED_EVERY: Duration = Duration::from_secs(1);

/// One that all share; it connects again by itself.
#[derive(Clone)]
pub(super) enum Connection {
    Alone(Arc<Alone>),
    Cluster(ClusterConnection),
}

/// A manager connects again when its connection breaks, but not when what it finds then is an error of the server's (a
/// password that was being changed, too many clients, a primary that is one no more): then it is replaced.
pub(super) struct Alone {
    client: Client,
    config: ConnectionManagerConfig,
    current: Mutex<(ConnectionManager, Instant)>,
}

impl Alone {
    fn manager(&self) -> ConnectionManager {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn replace(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() > REPLACED_EVERY
            && let Ok(fresh) =
                ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone())
        {
            *current = (fresh, Instant::now());
        }
    }
}

impl Connection {
    pub(super) async fn alone(url: &DatabaseUrl, answers_within: Duration) -> Result<Self, StoreError> {
        let client = Client::open(url.expose()).map_err(no_url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(answers_within))
            .set_response_timeout(Some(answers_within))
            .set_number_of_retries(RETRIES as usize);
        let manager = ConnectionManager::new_with_config(client.clone(), config.clone()).await;
        let current = Mutex::new((manager.map_err(failed)?, Instant::now()));
        Ok(Self::Alone(Arc::new(Alone { client, config, current })))
    }

    pub(super) async fn cluster(urls: &[DatabaseUrl], answers_within: Duration) -> Result<Self, StoreError> {
        let client = ClusterClient::builder(urls.iter().map(DatabaseUrl::expose))
            .connection_timeout(answers_within)
            .response_timeout(answers_within)
            .overall_response_timeout(Some(answers_within))
            .retries(RETRIES)
            .build()
            .map_err(no_url)?;
        Ok(Self::Cluster(client.get_async_connection().await.map_err(failed)?))
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.query(command).await.map_err(failed)
    }

    /// A section of what each server that takes writes tells about itself.
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

    /// Runs a script; sends its text where it is not known yet, so that no other node has to be asked for that.
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
            Self::Alone(alone) => {
                let ended = command.query_async(&mut alone.manager()).await;
                if let Err(error) = &ended
                    && !error.is_io_error()
                    && error.kind() != ErrorKind::Server(ServerErrorKind::NoScript)
                {
                    alone.replace();
                }
                ended
            }
            Self::Cluster(cluster) => command.query_async(&mut cluster.clone()).await,
        }
    }
}

/// Its words may repeat the password.
fn no_url(_: RedisError) -> StoreError {
    StoreError::new("no URL of a Redis")
}

fn failed(error: RedisError) -> StoreError {
    StoreError::new("Redis answers an error").with_source(error)
}
