//! The table of all steering calls, from which the router is built. `openapi.json` describes each of them.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::header;
use axum::middleware::{from_fn, map_response};
use axum::response::IntoResponse;
use axum::routing::{self, MethodRouter, any};

use super::{access, acts, as_json, expect, foreign, people, settings, unknown};
use crate::server::state::Shared;

const OPENAPI: &str = include_str!("openapi.json");

/// A call: its method, its path and its handler.
struct Call {
    /// Compared with the description.
    #[cfg_attr(not(test), expect(dead_code, reason = "the handler knows its method"))]
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<Arc<Shared>>,
}

fn get<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Call {
    Call { method: "get", path, handler: routing::get(handler) }
}

fn post<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Call {
    Call { method: "post", path, handler: routing::post(handler) }
}

fn patch<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Call {
    Call { method: "patch", path, handler: routing::patch(handler) }
}

fn delete<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Call {
    Call { method: "delete", path, handler: routing::delete(handler) }
}

fn calls() -> Vec<Call> {
    vec![
        post("/_sim/pages/{page}/people/{psid}/messages", acts::customer_writes),
        post("/_sim/pages/{page}/people/{psid}/postbacks", acts::customer_presses),
        post("/_sim/pages/{page}/people/{psid}/reads", acts::customer_reads),
        post("/_sim/pages/{page}/people/{psid}/attachments", acts::customer_attaches),
        post("/_sim/pages/{page}/people/{psid}/reactions", people::customer_reacts),
        post("/_sim/pages/{page}/people/{psid}/unsends", people::customer_unsends),
        post("/_sim/pages/{page}/people/{psid}/messages_as_edits", acts::customer_writes_as_edit),
        post("/_sim/pages/{page}/people/{psid}/edits", acts::customer_edits),
        post("/_sim/pages/{page}/people/{psid}/referrals", acts::customer_follows),
        post("/_sim/pages/{page}/people/{psid}/optins", acts::customer_opts_in),
        patch("/_sim/pages/{page}/people/{psid}", settings::change_person),
        post("/_sim/pages/{page}/policy", acts::policy_is_enforced),
        post("/_sim/pages/{page}/inbox/{psid}/messages", people::inbox_replies),
        post("/_sim/pages/{page}/inbox/{psid}/move", people::inbox_moves),
        post("/_sim/pages/{page}/lead/{psid}/begin", people::lead_begins),
        post("/_sim/pages/{page}/lead/{psid}/end", people::lead_ends),
        post("/_sim/pages/{page}/ai/{psid}/take", people::ai_takes),
        post("/_sim/pages/{page}/ai/{psid}/messages", people::ai_answers),
        post("/_sim/pages/{page}/ai/{psid}/leave", people::ai_leaves),
        patch("/_sim/pages/{page}", settings::change_page),
        patch("/_sim/pages/{page}/tokens/{app}", access::change_token),
        patch("/_sim/pages/{page}/apps/{app}", access::change_subscription),
        patch("/_sim/apps/{id}", settings::change_app),
        post("/_sim/apps/{id}/handshake", access::verify),
        post("/_sim/expect", expect::expect),
        patch("/_sim/switches", settings::change_switches),
        get("/_sim/threads", super::threads),
        get("/_sim/threads/{page}/{psid}", super::thread),
        get("/_sim/world", super::world),
        get("/_sim/clock", super::clock),
        post("/_sim/clock", super::change_clock),
        get("/_sim/faults", super::faults),
        post("/_sim/faults", super::add_faults),
        delete("/_sim/faults", super::clear_faults),
        get("/_sim/transcript", super::transcript),
        get("/_sim/settled", super::settled),
        post("/_sim/reset", super::reset),
        get("/_sim/openapi.json", openapi),
    ]
}

pub(in crate::server) fn router(shared: Arc<Shared>) -> Router {
    let with = |router: Router<_>, call: Call| router.route(call.path, call.handler);
    calls()
        .into_iter()
        .fold(Router::new(), with)
        .route("/_sim/{*rest}", any(unknown))
        .method_not_allowed_fallback(unknown)
        .layer(map_response(as_json))
        .layer(from_fn(foreign::refuse))
        .with_state(shared)
}

/// The description of all calls, for clients that are generated from it.
async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_description_lists_the_calls_of_the_table() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                described.insert(format!("{method} {path}"));
            }
        }
        let made: BTreeSet<_> = calls().iter().map(|call| format!("{} {}", call.method, call.path)).collect();
        assert_eq!(described, made);
    }
}
