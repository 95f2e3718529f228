//! Dropped incoming requests: the sender sees a broken connection and repeats the request.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, Method};
use messenger_handover::call::HandoverRequest;
use messenger_handover::control::DeskEndpoint;
use messenger_handover::engage::{
    Endpoint, Event, Intervention, InterventionHandler, SECRET_HEADER, Verifier,
};
use messenger_handover::handover::BoxError;
use messenger_handover::id::ThreadKey;
use messenger_handover::thread::ClaimOrigin;
use serde_json::json;

use super::{Case, Contract, customer, rest};
use crate::schedules::ground::{BOT, Ground};
use crate::schedules::host::Life;
use crate::schedules::world::{TOKEN, World};

/// The desk's knowledge of interventions, available after a delay.
struct Knows(Arc<Ground>);

#[async_trait]
impl InterventionHandler for Knows {
    async fn conversation(&self, _: &Intervention) -> Result<Option<ThreadKey>, BoxError> {
        self.0.way().await;
        Ok(Some(customer()))
    }

    async fn still_engaged(&self, _: &Intervention) -> Result<bool, BoxError> {
        Ok(false)
    }

    async fn notify(&self, _: Option<&ThreadKey>, _: &Event) -> Result<(), BoxError> {
        self.0.way().await;
        Ok(())
    }
}

fn case(source: &'static str, name: &'static str) -> Case {
    let (before, call) = (|_| Box::pin(async {}) as _, |_| Box::pin(async {}) as _);
    Case { source, name, contract: Contract::DoneOrNot, trusts: true, before, call }
}

async fn the_desk_has_control(world: &World) {
    let desk = world.desk.process().handover.clone();
    desk.claim(&customer(), ClaimOrigin::Host, std::time::Duration::ZERO).await.unwrap();
    rest(world).await;
    assert_eq!(world.owner(&customer()), Some(world.desk.app.clone()));
}

fn engage(world: &World) -> Endpoint {
    let host = Knows(Arc::clone(&world.ground));
    Endpoint::new(Verifier::new("s".into()), "v".into(), world.desk.process().handover.clone(), host)
}

fn intervention_opened() -> String {
    let resource = json!({"type": "intervention", "id": "i1", "metadata": {"identity_id": "77"}});
    let event = json!({"type": "intervention.opened", "id": "e1", "resource": resource});
    json!({"id": "n", "domain_id": 1, "events": [event]}).to_string()
}

fn bot_to_agent() -> String {
    let user = customer().user;
    format!("identity_foreign_id={user}&from=bot&to=agent&type=messenger&access_token={TOKEN}")
}

pub fn cases() -> Vec<Case> {
    let client = "src/bots_api/client.rs";
    vec![
        Case {
            call: |w| {
                Box::pin(async move {
                    let body = intervention_opened();
                    let headers =
                        HeaderMap::from_iter([(SECRET_HEADER.parse().unwrap(), "s".parse().unwrap())]);
                    let answer = engage(&w).handle(&Method::POST, None, &headers, body.as_bytes()).await;
                    assert_eq!(answer.status(), 200);
                })
            },
            ..case("src/engage/endpoint.rs", "handle")
        },
        Case {
            call: |w| {
                Box::pin(async move {
                    let (body, secret) = (intervention_opened(), b"s".as_slice());
                    let headers = [(SECRET_HEADER, secret)];
                    let answer = engage(&w).handle_plain("POST", None, &headers, body.as_bytes()).await;
                    assert_eq!(answer.status, 200);
                })
            },
            ..case("src/engage/endpoint.rs", "handle_plain")
        },
        Case {
            call: |w| {
                Box::pin(async move {
                    let process = w.desk.process();
                    let (query, headers) = (bot_to_agent(), HeaderMap::new());
                    let answer = process.bots_api.handle(&Method::POST, Some(&query), &headers).await;
                    assert_eq!(answer.status(), 200, "{}", answer.body());
                })
            },
            ..case("src/bots_api/endpoint.rs", "handle")
        },
        Case {
            call: |w| {
                Box::pin(async move {
                    let process = w.desk.process();
                    let answer = process.bots_api.handle_plain("POST", Some(&bot_to_agent()), &[]).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                })
            },
            ..case("src/bots_api/endpoint.rs", "handle_plain")
        },
        Case {
            call: |w| {
                Box::pin(
                    async move { w.bots_api(Life::default()).bot_to_agent(&customer().user).await.unwrap() },
                )
            },
            ..case(client, "bot_to_agent")
        },
        Case {
            before: |w| Box::pin(async move { the_desk_has_control(&w).await }),
            call: |w| {
                Box::pin(async move {
                    w.bots_api(Life::default()).agent_to_bot(&customer().user, &BOT.into()).await.unwrap();
                })
            },
            ..case(client, "agent_to_bot")
        },
        Case {
            call: |w| {
                Box::pin(async move {
                    let request = HandoverRequest::bot_to_agent(customer().user);
                    w.bots_api(Life::default()).handover(&request).await.unwrap();
                })
            },
            ..case("src/control.rs", "handover")
        },
    ]
}
