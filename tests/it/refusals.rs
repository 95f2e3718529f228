//! Every known Graph error: its kind, and the desk's reaction to it (number of calls and notification to the host).

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use messenger_handover::call::FailureKind::{self, *};
use messenger_handover::call::{Call, CallId, CallOutcome, MessageKey, OutgoingMessage, ThreadOwner};
use messenger_handover::control::HandoverClient;
use messenger_handover::event::{Channel, ControlChange, Event, EventKind};
use messenger_handover::graph::GraphClient;
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::{
    Command, Config, Context, FailReason, Handled, Input, Notice, Output, Owner, PageCall, Thread,
};
use messenger_handover::time::{Span, Timestamp};
use serde_json::json;

const DESK: u64 = 1;
const BOT: u64 = 2;

/// HTTP status, code, subcode, message, and the kind that they mean.
type Row = (u16, i64, Option<i64>, &'static str, FailureKind);

/// Errors that are classified by code alone; each is also tested with messages in other languages.
#[rustfmt::skip]
const CODES: &[Row] = &[
    (400, 10, Some(2_018_300), "(#10) Message failed to send because another app is controlling this thread now.", NotThreadOwner),
    (400, 100, Some(2_534_037), "(#100) The action is invalid since it's not the thread owner.", NotThreadOwner),
    (400, 10, Some(2_018_278), "(#10) This message is sent outside of allowed window.", OutsideWindow),
    (403, 10, Some(2_534_022), "(#10) This message is sent outside of allowed window.", OutsideWindow),
    (400, 10, Some(2_018_065), "(#10) Este mensaje se ha enviado fuera del plazo permitido.", OutsideWindow),
    (400, 100, Some(2_534_001), "(#100) The thread owner has archived or deleted this conversation, or the thread does not exist.", RecipientUnavailable),
    (400, 100, Some(2_534_014), "(#100) The requested user cannot be found.", RecipientUnavailable),
    (400, 100, Some(2_018_001), "(#100) No matching user found", RecipientUnavailable),
    (400, 10, Some(2_018_108), "(#10) This person can't receive messages", RecipientUnavailable),
    (400, 551, Some(1_545_041), "(#551) This person isn't available right now.", RecipientUnavailable),
    (400, 551, None, "(#551) This person isn't available right now.", RecipientUnavailable),
    (400, 200, Some(1_545_041), "(#200) This person isn't available right now.", RecipientUnavailable),
    (400, 10, Some(1_404_170), "(#10) Missing permission", Permission),
    (400, 100, Some(33), "Unsupported post request. Object does not exist, or cannot be loaded due to missing permissions", Permission),
    (400, 100, Some(2_018_234), "(#100) A secondary receiver may not see the others", Permission),
    (400, 200, Some(2_018_028), "(#200) Cannot message users who are not admins of the app", Permission),
    (400, 200, Some(2_018_027), "(#200) Phone matching", Permission),
    (400, 200, Some(2_018_021), "(#200) Phone matching", Permission),
    (400, 3, None, "(#3) Application does not have the capability", Permission),
    (403, 210, None, "(#210) A page access token is required to request this resource", Permission),
    (403, 230, None, "(#230) Requires the user's consent", Permission),
    (400, 10, Some(1_893_063), "(#10) The Page is temporarily restricted", Restricted),
    (400, 10, Some(2_534_122), "(#10) Messaging is restricted", Restricted),
    (400, 100, Some(2_534_029), "(#100) Messaging is restricted", Restricted),
    (400, 368, None, "(#368) The action attempted has been deemed abusive", Restricted),
    (400, 10, Some(2_018_321), "(#10) Messenger's own flow has the thread", PlatformFlow),
    (400, 10, Some(2_018_171), "(#10) Only available for primary and secondary receivers", NotAvailable),
    (400, 100, Some(2_018_164), "(#100) Incorrect app id", Invalid),
    (400, 100, Some(2_018_109), "(#100) Attachment size exceeds the limit", Invalid),
    (400, 100, Some(2_018_382), "(#100) Wrong form id", Invalid),
    (400, 506, None, "(#506) Duplicate status message", Invalid),
    (400, 10_303, None, "(#10303) Invalid account linking token", Invalid),
    (400, 1_609_005, None, "Link scraping failed", Invalid),
    (400, 138_038, None, "(#138038) You are not the thread owner of this call", Invalid),
    (400, 2_494_191, None, "(#2494191) Not permitted to take control", NotAvailable),
    (400, -1, None, "(#-1) Send message failure. Internal error occurred", Transient),
    (500, 1, None, "An unknown error occurred", Transient),
    (500, 2, None, "(#2) Service temporarily unavailable", Transient),
    (400, 1200, None, "(#1200) Temporary send message failure. Please try again later", Transient),
    (400, 4, None, "(#4) Application request limit reached", RateLimited),
    (400, 17, None, "(#17) User request limit reached", RateLimited),
    (400, 32, None, "(#32) Page request limit reached", RateLimited),
    (400, 341, None, "(#341) Application limit reached", RateLimited),
    (400, 613, None, "(#613) Calls to this API have exceeded the rate limit", RateLimited),
    (400, 613, Some(1996), "(#613) Erratic volume", RateLimited),
    (400, 2022, None, "(#2022) Too many", RateLimited),
    (400, 80_001, None, "(#80001) There have been too many calls to this Page account", RateLimited),
    (400, 80_002, None, "(#80002) There have been too many calls to this Instagram account", RateLimited),
    (400, 80_006, None, "(#80006) There have been too many messenger calls", RateLimited),
    (400, 80_008, None, "(#80008) There have been too many WhatsApp calls", RateLimited),
    (400, 102, None, "Session key invalid", Token),
    (401, 190, None, "Invalid OAuth access token.", Token),
    (400, 190, Some(458), "The user has not authorized application", Token),
    (400, 190, Some(459), "You cannot access the app till you log in to www.facebook.com", Token),
    (400, 190, Some(460), "The session has been invalidated because the user changed their password", Token),
    (400, 190, Some(463), "Error validating access token: Session has expired", Token),
    (400, 190, Some(464), "Sessions for the user are not allowed because the user is not a confirmed user", Token),
    (400, 190, Some(467), "Error validating access token", Token),
    (400, 190, Some(492), "Invalid session", Token),
    (400, 27, None, "(#27) Take thread control is not supported when Conversation Routing is not enabled.", NotAvailable),
];

const OTHER_LANGUAGES: &[&str] = &[
    "(#10) A mensagem não pôde ser enviada porque outro aplicativo controla esta conversa.",
    "(#100) Die Nachricht konnte nicht gesendet werden.",
    "(#200) Người này hiện không có mặt.",
    "(#10) このメッセージは送信できません。",
    "",
];

/// Errors that are classified by their message, because they have no subcode or an ambiguous code.
#[rustfmt::skip]
const SENTENCES: &[Row] = &[
    (400, 10, None, "(#10) Message failed to send because another app is controlling this thread now.", NotThreadOwner),
    (400, 10, None, "(#10) The app is not the thread owner", NotThreadOwner),
    (400, 10, None, "(#10) this app is not the owner of the thread", NotThreadOwner),
    (400, 100, None, "(#100) Only the current thread owner can release", NotThreadOwner),
    (400, 100, None, "(#100) calling app is not the thread owner", NotThreadOwner),
    (400, 10, None, "(#10) Permission denied", Permission),
    (400, 10, None, "(#10) Application does not have permission for this action", Permission),
    (403, 200, None, "(#200) This person isn't receiving messages from you right now.", RecipientUnavailable),
    (403, 200, None, "(#200) This person isn\u{2019}t receiving messages from you right now.", RecipientUnavailable),
    (400, 10, None, "(#10) This person isn't receiving messages from you right now.", RecipientUnavailable),
    (400, 10, None, "(#10) This person isn't available right now.", RecipientUnavailable),
    (400, 100, None, "(#100) Invalid fbid.", RecipientUnavailable),
    (400, 100, None, "(#100) No matching user found", RecipientUnavailable),
    (400, 100, None, "(#100) The thread owner has archived or deleted this conversation, or the thread does not exist.", RecipientUnavailable),
    (400, 10, None, "(#10) This message is sent outside of allowed window.", OutsideWindow),
    (400, 10, None, "(#10) This message is sent outside the allowed window.", OutsideWindow),
    (400, 100, None, "(#100) Cannot tag messages with 'HUMAN_AGENT' without prior approval.", Permission),
    (400, 100, None, "(#100) Tried accessing nonexisting field (user_id) on node type (Page)", Invalid),
    (400, 2500, None, "Unknown path components: /me", NotAvailable),
    (400, 2500, None, "An active access token must be used to query information about the current user.", Token),
    // Unknown messages: classified by the status.
    (400, 100, None, "(#100) Ask the thread owner for permission to see the access token", Invalid),
    (400, 10, None, "(#10) aplicativo não controla", Invalid),
    (403, 10, None, "(#10) irgendetwas", Permission),
    (403, 200, None, "(#200) irgendetwas", Permission),
    (400, 9999, None, "?", Invalid),
    (429, 9999, None, "?", RateLimited),
    (503, 9999, None, "?", Transient),
];

/// A mock of Graph that returns one error for every call.
#[derive(Debug)]
struct Graph(u16, String);

#[async_trait]
impl Transport for Graph {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        Ok(Response::builder().status(self.0).body(Bytes::from(self.1.clone())).unwrap())
    }
}

/// The outcome of a call with this error.
async fn result(row: Row) -> CallOutcome {
    let (status, code, subcode, message, _) = row;
    let mut error = json!({"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A"});
    if let Some(subcode) = subcode {
        error["error_subcode"] = subcode.into();
    }
    let thread = ThreadKey::new("10".parse().unwrap(), "77".parse().unwrap());
    let graph = Graph(status, json!({ "error": error }).to_string());
    let graph = GraphClient::builder()
        .page(thread.page.clone(), "token".into())
        .transport(std::sync::Arc::new(graph));
    let error = graph.build().unwrap().request_thread_control(&thread, None).await.unwrap_err();
    error.into_outcome()
}

/// A desk for which every call of one kind has this outcome, simulated for one minute.
struct Minute {
    config: Config,
    thread: Thread,
    now: Timestamp,
    waiting: Option<(CallId, Call)>,
    calls: Vec<Call>,
    notices: Vec<Notice>,
    refused: Vec<(PageCall, bool)>,
}

impl Minute {
    fn new(policy: ThreadControlPolicy, owner: u64) -> Self {
        let config = Config::new(AppId::from(DESK), Role::Desk, policy);
        let (thread, now) = (Thread::new(), Timestamp::from_millis(1_790_000_000_000));
        let (calls, notices, refused) = (vec![], vec![], vec![]);
        let mut minute = Self { config, thread, now, waiting: None, calls, notices, refused };
        minute.passed_to(owner);
        minute.notices.clear();
        minute
    }

    fn passed_to(&mut self, owner: u64) {
        let change = ControlChange::new(None, Some(AppId::from(owner)));
        let kind = EventKind::PassThreadControl(change);
        self.step(Input::Event(Event::new(Channel::Messaging, Span::at(self.now), kind)));
    }

    fn step(&mut self, input: Input) {
        self.now = self.now.plus(Duration::from_millis(1));
        let mut out = Vec::new();
        let _ = self.thread.step(&Context::new(&self.config), input, self.now, &mut out);
        for output in out {
            match output {
                Output::Call { id, call, .. } => {
                    self.calls.push(call.clone());
                    self.waiting = Some((id, call));
                }
                Output::Notice { id, notice, .. } => {
                    self.notices.push(notice);
                    self.step(Input::NoticeHandled { notice: id, handled: Handled::done() });
                }
                Output::PageRefuses { call, certain, .. } => self.refused.push((call, certain)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends a message. Calls that `refused` matches have the outcome `result`; all others succeed.
    fn send(mut self, refused: fn(&Call) -> bool, result: &CallOutcome) -> Self {
        let (key, message) = (MessageKey::new("a").unwrap(), OutgoingMessage::text("a").unwrap());
        self.step(Input::Command(Command::Send { key, message }));
        let end = self.now.plus(Duration::from_mins(1));
        for _ in 0..1000 {
            if let Some((call, made)) = self.waiting.take() {
                let result = match &made {
                    made if refused(made) => result.clone(),
                    Call::ThreadOwner => {
                        let app = AppId::from(if *self.thread.owner() == Owner::Us { DESK } else { BOT });
                        CallOutcome::Owner(ThreadOwner::App { app, expires: None })
                    }
                    Call::SendMessage { .. } => CallOutcome::Sent(None),
                    Call::RequestThreadControl => CallOutcome::Forwarded,
                    _ => CallOutcome::Done,
                };
                self.step(Input::CallEnded { call, outcome: result });
                continue;
            }
            let wake = self.thread.next_wake(&Context::new(&self.config));
            let Some(wake) = wake.filter(|wake| *wake < end) else { return self };
            self.now = self.now.max(wake);
            self.step(Input::Wake);
        }
        panic!("a storm of calls: {:?}", &self.calls[..20]);
    }

    fn failed(&self) -> Option<&FailReason> {
        self.notices.iter().find_map(|notice| match notice {
            Notice::MessageFailed { reason, .. } => Some(reason),
            _ => None,
        })
    }

    fn lost(&self) -> usize {
        self.notices.iter().filter(|notice| matches!(notice, Notice::ControlLost { .. })).count()
    }
}

fn all() -> Vec<Row> {
    let translated = |row: &Row| {
        let row = *row;
        // Code 27 is classified by its message, so translations do not apply.
        let languages = OTHER_LANGUAGES.iter().filter(move |_| row.1 != 27);
        languages.map(move |words| (row.0, row.1, row.2, *words, row.4)).chain([row])
    };
    CODES.iter().flat_map(translated).chain(SENTENCES.iter().copied()).collect()
}

#[tokio::test]
async fn refusals_of_a_message_have_their_effect() {
    for row in all() {
        let result = result(row).await;
        let kind = match &result {
            CallOutcome::Refused(failure) | CallOutcome::Unknown(failure) => failure.kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind, row.4, "{row:?}");
        let desk = Minute::new(ThreadControlPolicy::EdPrimary, DESK);
        let desk = desk.send(|call| matches!(call, Call::SendMessage { .. }), &result);
        let calls = desk.calls.len();
        match kind {
            NotThreadOwner => {
                // The desk takes control back, a limited number of times.
                assert!(
                    matches!(desk.failed(), Some(FailReason::Rejected(_))),
                    "{row:?}: {:?}",
                    desk.notices
                );
                assert!((2..=8).contains(&calls), "{row:?}: {:?}", desk.calls);
            }
            RateLimited | Restricted | PlatformFlow => {
                assert!(desk.notices.is_empty(), "{row:?}: {:?}", desk.notices);
                assert!((4..=7).contains(&calls), "{row:?}: {calls}");
            }
            Transient => {
                // The message may have been sent, so it is not sent again.
                assert!(matches!(desk.notices[..], [Notice::MessageUnknown { .. }]), "{row:?}");
                assert_eq!(calls, 1, "{row:?}");
            }
            _ => {
                assert_eq!((calls, desk.notices.len()), (1, 1), "{row:?}: {:?}", desk.notices);
                let reason = desk.failed().unwrap();
                let fits = match kind {
                    OutsideWindow => matches!(reason, FailReason::OutsideWindow(_)),
                    RecipientUnavailable => matches!(reason, FailReason::RecipientUnavailable(_)),
                    _ => matches!(reason, FailReason::Rejected(_)),
                };
                assert!(fits, "{row:?}: {reason:?}");
            }
        }
        if kind != NotThreadOwner {
            assert_eq!((desk.lost(), desk.thread.owner()), (0, &Owner::Us), "{row:?}");
            assert!(desk.refused.is_empty(), "{row:?}: {:?}", desk.refused);
        }
    }
}

#[tokio::test]
async fn refusals_of_a_request_have_their_effect() {
    let is_request = |call: &Call| *call == Call::RequestThreadControl;
    for row in all() {
        let result = result(row).await;
        let desk = Minute::new(ThreadControlPolicy::BotPrimary, BOT).send(is_request, &result);
        let takes = desk.calls.iter().filter(|call| **call == Call::TakeThreadControl).count();
        let requests = desk.calls.iter().filter(|call| is_request(call)).count();
        match row.4 {
            // The error concerns this person only: the claim ends, and other conversations are not affected.
            RecipientUnavailable => {
                assert!(matches!(desk.failed(), Some(FailReason::RecipientUnavailable(_))), "{row:?}");
                assert_eq!((desk.calls.len(), desk.refused.len()), (1, 0), "{row:?}");
            }
            Token => {
                assert!(matches!(desk.failed(), Some(FailReason::NotGranted(_))), "{row:?}");
                assert_eq!((desk.calls.len(), desk.refused.len()), (1, 0), "{row:?}");
            }
            // Request is unavailable, so the desk takes control. Only refusals by configuration are cached for the Page.
            NotAvailable => {
                assert_eq!((takes, &desk.refused[..]), (1, &[(PageCall::Request, true)][..]), "{row:?}");
            }
            Permission | Invalid => {
                assert_eq!((takes, &desk.refused[..]), (1, &[(PageCall::Request, false)][..]), "{row:?}");
            }
            NotThreadOwner | OutsideWindow => {
                assert!(matches!(desk.failed(), Some(FailReason::NotGranted(_))), "{row:?}");
                assert_eq!((takes, desk.refused.len()), (0, 0), "{row:?}");
            }
            _ => {
                assert!(desk.failed().is_none() && desk.refused.is_empty(), "{row:?}: {:?}", desk.notices);
                assert!(takes == 0 && (4..=7).contains(&requests), "{row:?}: {:?}", desk.calls);
            }
        }
    }
}
