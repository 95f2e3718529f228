//! The bot behind hyper alone: by the types of `http` 1.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use messenger_handover::prelude::*;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{BODY_WITHIN, HEAD_WITHIN, MAX_BODY};

async fn webhook(endpoint: webhook::Endpoint, request: Request<Incoming>) -> Response<String> {
    if request.uri().path() != "/webhook" {
        return empty(StatusCode::NOT_FOUND);
    }
    let (head, body) = request.into_parts();
    // Most requests of strangers are refused before their body is read.
    if let Err(refused) = endpoint.check_head(&head.method, &head.headers) {
        return refused;
    }
    match timeout(BODY_WITHIN, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => {
            endpoint.handle(&head.method, head.uri.query(), &head.headers, &body.to_bytes()).await
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => empty(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => empty(StatusCode::BAD_REQUEST),
        Err(_) => empty(StatusCode::REQUEST_TIMEOUT),
    }
}

fn empty(status: StatusCode) -> Response<String> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

pub async fn serve(endpoint: webhook::Endpoint) -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let endpoint = endpoint.clone();
            let service = service_fn(move |request| {
                let endpoint = endpoint.clone();
                async move { Ok::<_, Infallible>(webhook(endpoint, request).await) }
            });
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}
