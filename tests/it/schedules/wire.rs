//! A host's connections to the platform and to Engage Digital's endpoint: real clients without a socket. Requests and
//! responses can be lost.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Response};
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::AppId;
use messenger_sim::ApiCall;

use super::ground::{Ground, PAGE, thread};
use super::host::{Host, Life};
use super::line::{busy, exchange, read};

/// The fate of a call.
enum Luck {
    Good,
    Lost,
    AnswerLost,
    Busy,
}

/// The request's way to the server. A request in transit arrives even if the process ends.
async fn there(ground: &Ground) -> Luck {
    let luck = match () {
        () if ground.is_lost() => Luck::Lost,
        () if ground.unlucky(0.5) => Luck::AnswerLost,
        () if ground.unlucky(0.5) => Luck::Busy,
        () => Luck::Good,
    };
    ground.way().await;
    luck
}

async fn back(
    ground: &Ground,
    life: &Life,
    answer: Result<Response<Bytes>, TransportError>,
) -> Result<Response<Bytes>, TransportError> {
    ground.way().await;
    life.goes_on().await;
    answer
}

#[derive(Debug)]
pub struct ToPlatform {
    pub ground: Arc<Ground>,
    pub app: AppId,
    pub life: Life,
}

#[async_trait]
impl Transport for ToPlatform {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.life.goes_on().await;
        let call = read(&request);
        let about = thread(call.user().expect("about a person").to_string().parse().unwrap());
        self.ground.called(&about);
        let luck = there(&self.ground).await;
        let what = || format!("{} {} {}", self.app, call.edge(), call.detail().unwrap_or_default());
        let answer = match luck {
            Luck::Lost => {
                self.ground.note(&about, format_args!("{} is lost", what()));
                Err(TransportError::timeout())
            }
            Luck::Busy => Ok(busy()),
            Luck::Good | Luck::AnswerLost => {
                let answer = self
                    .ground
                    .platform(|platform, now| exchange(platform, &self.app, &PAGE.into(), &call, now));
                if let ApiCall::SenderAction { action, .. } = &call
                    && answer.status() == 200
                {
                    self.ground.shown(&about, action);
                }
                let body = String::from_utf8_lossy(answer.body()).into_owned();
                self.ground.note(&about, format_args!("{}: {body}", what()));
                match luck {
                    Luck::AnswerLost => Err(TransportError::lost("on the way back")),
                    _ => Ok(answer),
                }
            }
        };
        back(&self.ground, &self.life, answer).await
    }
}

/// The transport from the bot to the desk's endpoint.
pub struct ToDesk {
    pub ground: Arc<Ground>,
    pub desk: Weak<Host>,
    pub life: Life,
}

impl std::fmt::Debug for ToDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ToDesk")
    }
}

#[async_trait]
impl Transport for ToDesk {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.life.goes_on().await;
        let luck = there(&self.ground).await;
        let Some(desk) = self.desk.upgrade() else { return Err(TransportError::not_sent("no desk")) };
        let process = desk.process();
        let (parts, _) = request.into_parts();
        let answer = match luck {
            Luck::Lost => Err(TransportError::timeout()),
            Luck::Busy => Ok(busy()),
            Luck::Good | Luck::AnswerLost => {
                let handled = process.bots_api.handle(&parts.method, parts.uri.query(), &parts.headers);
                match (process.life.during(handled).await, luck) {
                    (Some(answer), Luck::Good) => Ok(answer.map(Bytes::from)),
                    _ => Err(TransportError::lost("on the way back")),
                }
            }
        };
        back(&self.ground, &self.life, answer).await
    }
}
