use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Client, Cmd, FromRedisValue, InfoDict, RedisError, Script};

use crate::secret::DatabaseUrl;
use crate::store::StoreError;

/// How often it is tried to connect again before whoever asks hears of it.
const RETRIES: u32 = 2;

/// One that all share; it connects again by itself.
#[derive(Clone)]
pub(super) enum Connection {
    Alone(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn alone(url: &DatabaseUrl, answers_within: Duration) -> Result<Self, StoreError> {
        let client = Client::open(url.expose()).map_err(no_url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(answers_within))
            .set_response_timeout(Some(answers_within))
            .set_number_of_retries(RETRIES as usize);
        let manager = ConnectionManager::new_with_config(client, config).await;
        Ok(Self::Alone(manager.map_err(failed)?))
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
        match self.clone() {
            Self::Alone(mut connection) => command.query_async(&mut connection).await,
            Self::Cluster(mut connection) => command.query_async(&mut connection).await,
        }
        .map_err(failed)
    }

    /// A section of what a server tells about itself; any of a cluster's.
    pub(super) async fn info(&self, section: &str) -> Result<InfoDict, StoreError> {
        let mut ask = redis::cmd("INFO");
        ask.arg(section);
        match self.clone() {
            Self::Alone(mut connection) => ask.query_async(&mut connection).await,
            Self::Cluster(mut connection) => {
                let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                let told = connection.route_command(ask, any).await.map_err(failed)?;
                redis::from_redis_value(told).map_err(RedisError::from)
            }
        }
        .map_err(failed)
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        names: &[String],
        words: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        let mut call = script.prepare_invoke();
        for name in names {
            call.key(name);
        }
        for word in words {
            call.arg(word);
        }
        match self.clone() {
            Self::Alone(mut connection) => call.invoke_async(&mut connection).await,
            Self::Cluster(mut connection) => call.invoke_async(&mut connection).await,
        }
        .map_err(failed)
    }
}

/// Its words may repeat the password.
fn no_url(_: RedisError) -> StoreError {
    StoreError::new("no URL of a Redis")
}

fn failed(error: RedisError) -> StoreError {
    StoreError::new("Redis answers an error").with_source(error)
}
