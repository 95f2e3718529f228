//! A connection to one Redis server, with its own TLS.
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::Connect;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline,
    RedisFuture, RedisResult, Value,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::crypto;

/// The timeout of a TLS connection attempt. A cluster's client does not pass its own on.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);

/// A connection to one server. It sets up TLS itself, because redis-rs uses the process's default crypto provider and panics
/// where there is none, or more than one to choose from.
#[derive(Clone)]
pub(super) struct Node(MultiplexedConnection);

impl Connect for Node {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        Box::pin(async move { connect(info.into_connection_info()?, config).await.map(Self) })
    }
}

async fn connect(info: ConnectionInfo, config: AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
    let ConnectionAddr::TcpTls { host, port, insecure, .. } = info.addr() else {
        return Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await;
    };
    if *insecure {
        return Err(io::Error::other("a server without a valid certificate is not connected to").into());
    }
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS connection in time");
    let stream = tokio::time::timeout(CONNECTS_WITHIN, secured(host, *port)).await.map_err(late)??;
    let (connection, driver) =
        MultiplexedConnection::new_with_config(info.redis_settings(), stream, config).await?;
    // The task ends when the last clone of the connection is dropped.
    tokio::spawn(driver);
    Ok(connection)
}

async fn secured(host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(client_config()?);
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    connector.connect(name, stream).await
}

/// Trusts the machine's root certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
fn client_config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(io::Error::other(format!("no root certificates{why}")));
    }
    let provider = crypto::provider().map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

impl ConnectionLike for Node {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
