//! Tests of a restricted Page, as the caller and the log see it.

use std::io;
use std::sync::Mutex;

use tracing_subscriber::fmt::MakeWriter;
use wiremock::matchers::path;

use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

async fn restricting(retry_after: Option<&str>) -> (MockServer, GraphClient) {
    let server = MockServer::start().await;
    let body = json!({"error": {"message": "paused", "code": 10, "error_subcode": 1_893_063}});
    let mut answer = ResponseTemplate::new(400).set_body_json(body);
    if let Some(seconds) = retry_after {
        answer = answer.insert_header("retry-after", seconds);
    }
    let messages = || path("/v22.0/me/messages");
    Mock::given(messages()).respond_with(answer).up_to_n_times(1).mount(&server).await;
    let sent = ok(json!({"recipient_id": "20", "message_id": "m_1"}));
    Mock::given(messages()).respond_with(sent).mount(&server).await;
    Mock::given(any()).respond_with(ok(json!({"success": true}))).mount(&server).await;
    let client = client(&server.uri());
    (server, client)
}

#[tokio::test]
async fn restricted_page_is_not_called_and_the_caller_sees_why() {
    let (server, client) = restricting(None).await;
    let message = OutgoingMessage::text("hi").unwrap();
    let first = client.send_message(&thread(), &message, None).await.unwrap_err();
    assert_eq!((first.kind(), first.failure().retry_after), (FailureKind::Restricted, None));
    for _ in 0..3 {
        let error = client.send_message(&thread(), &message, None).await.unwrap_err();
        assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Restricted, false));
        assert_eq!((error.failure().code, error.failure().subcode), (Some(10), Some(1_893_063)));
        let wait = error.failure().retry_after.unwrap();
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_mins(1), "{wait:?}");
        assert!(error.to_string().contains("not called"), "{error}");
    }
    // Control may still be passed, and other Pages are not affected.
    client.pass_thread_control(&thread(), Some(&AppId::from(7)), None).await.unwrap();
    let elsewhere = ThreadKey::new(PageId::from(11), UserId::from(20));
    client.send_message(&elsewhere, &message, None).await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
}

#[tokio::test]
async fn restricted_page_is_logged_when_it_begins_and_when_it_is_over() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(log.clone()).finish());
    let (server, client) = restricting(Some("1")).await;
    let message = OutgoingMessage::text("hi").unwrap();
    client.send_message(&thread(), &message, None).await.unwrap_err();
    // The probe waits until the platform's time has passed; the others are refused until then.
    let at = thread();
    let send = || client.send_message(&at, &message, None);
    let (tried, other) = tokio::join!(send(), send());
    tried.unwrap();
    assert_eq!(other.unwrap_err().kind(), FailureKind::Restricted);
    client.send_message(&thread(), &message, None).await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for part in ["WARN", "restricts the Page", "page=10", "code=10", "subcode=1893063", "wait=1s"] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    assert!(lines[1].contains("INFO") && lines[1].contains("not restricted any more"), "{}", lines[1]);
}
