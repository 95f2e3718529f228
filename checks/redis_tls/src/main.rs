//! Checks a store in a Redis server with TLS: `redis_tls URL`, `redis_tls URL cluster`, or `redis_tls URL untrusted` if
//! the server's certificate must be refused. See `.ci/redis_tls`.

use std::process::ExitCode;
use std::sync::Arc;

use messenger_handover::store::{RedisStore, conformance};
use rustls::crypto::{CryptoProvider, ring};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_default();
    let how = arguments.next().unwrap_or_default();
    let builder = RedisStore::builder(&*url).prefix("redis_tls");
    let builder = if how == "cluster" { builder.cluster([url]) } else { builder };
    match builder.connect().await {
        Err(error) if how == "untrusted" && error.to_string().contains("UnknownIssuer") => {
            println!("redis_tls: {error}");
            return ExitCode::SUCCESS;
        }
        Ok(store) if how != "untrusted" => {
            let report = conformance::check(Arc::new(store)).await;
            if !report.is_ok() {
                eprintln!("redis_tls: {report}");
                return ExitCode::FAILURE;
            }
        }
        ended => {
            eprintln!("redis_tls: {ended:?}");
            return ExitCode::FAILURE;
        }
    }
    // A host may install its own provider, so the store must not have installed one.
    if CryptoProvider::get_default().is_some() || ring::default_provider().install_default().is_err() {
        eprintln!("redis_tls: the store has installed a provider for the whole process");
        return ExitCode::FAILURE;
    }
    println!("redis_tls: {} checks over TLS", if how.is_empty() { "all" } else { &how });
    ExitCode::SUCCESS
}
