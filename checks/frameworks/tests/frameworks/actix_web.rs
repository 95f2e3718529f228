//! The bot behind actix-web, whose types are those of `http` 0.2: by plain types.

use std::net::SocketAddr;

use actix_web::http::StatusCode;
use actix_web::rt::time::timeout;
use actix_web::web::{self, Data, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use messenger_handover::prelude::*;

use super::{BODY_WITHIN, HEAD_WITHIN, MAX_BODY};

async fn webhook(endpoint: Data<webhook::Endpoint>, request: HttpRequest, body: Payload) -> HttpResponse {
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Vec<_> = headers.collect();
    let (method, query) = (request.method().as_str(), Some(request.query_string()));
    // Most requests of strangers are refused before their body is read.
    if let Err(refused) = endpoint.check_head_plain(method, &headers) {
        return to_response(refused);
    }
    match timeout(BODY_WITHIN, body.to_bytes_limited(MAX_BODY)).await {
        Ok(Ok(Ok(body))) => to_response(endpoint.handle_plain(method, query, &headers, &body).await),
        Ok(Ok(Err(_))) => HttpResponse::BadRequest().finish(),
        Ok(Err(_)) => HttpResponse::PayloadTooLarge().finish(),
        Err(_) => HttpResponse::RequestTimeout().finish(),
    }
}

fn to_response(plain: PlainResponse) -> HttpResponse {
    let status = StatusCode::from_u16(plain.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type(plain.content_type);
    for header in plain.headers {
        response.insert_header(header);
    }
    response.body(plain.body)
}

pub fn serve(endpoint: webhook::Endpoint) -> Result<SocketAddr, BoxError> {
    let endpoint = Data::new(endpoint);
    let app = move || App::new().app_data(endpoint.clone()).route("/webhook", web::to(webhook));
    let server = HttpServer::new(app).workers(1).disable_signals().client_request_timeout(HEAD_WITHIN);
    let server = server.bind(("127.0.0.1", 0))?;
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    Ok(address)
}
