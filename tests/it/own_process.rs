//! Tests of process-wide state, each in a child process: the default TLS provider and the trusted certificates.

use std::ffi::OsString;
use std::process::Command;

use messenger_handover::call::FailureKind;
use messenger_handover::graph::GraphClient;
use messenger_handover::http::ReqwestTransport;
use messenger_handover::id::PageId;
use messenger_sim::server::Builder;
use messenger_sim::{Config, Platform, Server};
use rustls::crypto::{CryptoProvider, ring};
use serde_json::json;

use crate::world::PAGE;

const ALONE: &str = "HANDOVER_TEST_ALONE";

/// Runs one test of this binary again in a child process with these variables; `inner` runs there.
fn alone(test: &str, variables: &[(&str, OsString)], inner: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        return runtime.unwrap().block_on(inner);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact"]).env(ALONE, "1").envs(variables.iter().cloned());
    let run = command.output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

const CERTIFICATE: &str = include_str!("../fixtures/tls/localhost.crt");
const KEY: &str = include_str!("../fixtures/tls/localhost.key");
const ANOTHER: (&str, &str) =
    (include_str!("../fixtures/tls/another.crt"), include_str!("../fixtures/tls/another.key"));

/// A simulator with a certificate for `localhost`.
async fn encrypted(certificate: &str, key: &str) -> Server {
    let config = json!({
        "apps": [{"id": "1001"}],
        "pages": [{"id": PAGE.to_string(), "tokens": {"1001": "token"}}],
        "tls": {"certificate": certificate, "key": key},
    });
    let config = Config::from_json(&config.to_string()).unwrap();
    Builder::from_config(&config).unwrap().start().await.unwrap()
}

fn page() -> PageId {
    PageId::from(PAGE)
}

fn client(server: &Server) -> GraphClient {
    let url = server.url().replace("127.0.0.1", "localhost").parse().unwrap();
    GraphClient::builder().base_url(url).page(page(), "token".into()).build().unwrap()
}

#[test]
fn tls_provider_of_the_process_is_left_to_the_host() {
    alone("own_process::tls_provider_of_the_process_is_left_to_the_host", &[], async {
        let server = encrypted(CERTIFICATE, KEY).await;
        let plain = Server::start(Platform::new()).await.unwrap();
        let graph = client(&server);
        // The TLS handshake starts and fails, because this certificate is not trusted.
        let error = graph.platform_time(&page()).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Transport);
        assert!(CryptoProvider::get_default().is_none());
        ring::default_provider().install_default().expect("the host's own is the first");
        drop((graph, plain, ReqwestTransport::new().unwrap()));
    });
}

/// `SSL_CERT_FILE` sets the trusted certificates, as it does for other programs.
#[test]
#[cfg(target_os = "linux")]
fn tls_trusts_the_certificates_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = std::env::var_os("SSL_CERT_FILE").filter(|_| std::env::var_os(ALONE).is_some());
    let trusted = trusted.unwrap_or_else(|| dir.path().join("trusted.pem").into_os_string());
    alone(
        "own_process::tls_trusts_the_certificates_of_the_machine",
        &[("SSL_CERT_FILE", trusted.clone())],
        async {
            let server = encrypted(CERTIFICATE, KEY).await;
            std::fs::write(&trusted, CERTIFICATE).unwrap();
            let other = encrypted(ANOTHER.0, ANOTHER.1).await;
            client(&server).platform_time(&page()).await.expect("it is trusted");
            let error = client(&other).platform_time(&page()).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Transport, "its certificate is another one");
            assert!(CryptoProvider::get_default().is_none());
        },
    );
}
