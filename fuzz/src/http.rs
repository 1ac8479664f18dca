//! One HTTP/1.1 request, head and body, through the router of `/mcp`.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use longshore_mcp::fuzz::{self, Parsed};
use tower::ServiceExt;

use crate::answer::{self, Answer, Said};
use crate::world::{World, world};

/// Longer than anything takes that waits for nobody.
const LIMIT: Duration = Duration::from_secs(60);
/// Silence after which a client of something that waits goes away.
const PATIENCE: Duration = Duration::from_millis(30);
/// Headers of one request.
const HEADERS_MAX: usize = 64;

/// The bytes are what a client sends over one connection.
///
/// # Panics
/// If a promise is broken.
pub fn check(data: &[u8]) {
    let input = world().told(data);
    if let Some((request, body)) = request(&input) {
        world().runtime.block_on(answered(request, body));
    }
}

/// The request in the bytes, as any HTTP server would find it.
fn request(input: &[u8]) -> Option<(Request<Body>, &[u8])> {
    let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut room);
    let httparse::Status::Complete(at) = head.parse(input).ok()? else { return None };
    let body = &input[at..];
    let mut request = Request::builder().method(Method::from_bytes(head.method?.as_bytes()).ok()?).uri(head.path?);
    for header in head.headers.iter() {
        let (name, value) = (HeaderName::from_bytes(header.name.as_bytes()), HeaderValue::from_bytes(header.value));
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    Some((request.body(Body::from(body.to_vec())).ok()?, body))
}

/// What is known of a request before it is answered.
struct Asked<'a> {
    method: Method,
    body: &'a [u8],
    parsed: Parsed,
}

impl Asked<'_> {
    /// Whether the answer may take for ever.
    fn may_wait(&self) -> bool {
        const WAITING: [&str; 5] =
            ["tools/call", "tasks/result", "subscriptions/listen", "prompts/get", "tasks/cancel"];
        match &self.parsed {
            Parsed::Request { method, .. } => WAITING.contains(&method.as_str()),
            _ => fuzz::batched(self.body).is_some(),
        }
    }

    /// Checks one answer to it.
    fn answered_by(&self, answer: &Answer, status: StatusCode) {
        let modern = answer::is_modern(self.body);
        match &self.parsed {
            Parsed::Request { id, .. } => assert_eq!(*id, answer.id),
            Parsed::Malformed { id, .. } => assert_eq!(id.as_deref().unwrap_or("null"), answer.id),
            Parsed::Notification | Parsed::Response => assert_eq!(answer.id, "null"),
        }
        match &answer.outcome {
            Ok(kind) => {
                assert!(modern.is_none_or(|modern| modern == kind.is_some()), "{answer:?}");
                assert_eq!(status, StatusCode::OK);
            }
            Err(-32020 | -32700) => assert_eq!(status, StatusCode::BAD_REQUEST),
            Err(_) => {}
        }
    }
}

async fn answered(request: Request<Body>, body: &[u8]) {
    let at_home = request.uri().path() == "/mcp";
    let method = request.method().clone();
    // Of other methods the body is nobody's matter.
    let body = if method == Method::POST { body } else { b"" };
    let asked = Asked { parsed: if body.is_empty() { Parsed::Notification } else { fuzz::parse(body) }, method, body };
    let router = longshore_mcp::http::router(world().server.clone())
        .layer(Extension(longshore_domain::Grant::whole(World::principal())));
    let patience = if asked.may_wait() { PATIENCE } else { LIMIT };
    match tokio::time::timeout(patience, router.oneshot(request)).await {
        Ok(Ok(response)) if at_home && asked.method != Method::HEAD => well_formed(&asked, response).await,
        Ok(Ok(response)) => assert!(!response.status().is_server_error()),
        Ok(Err(never)) => match never {},
        Err(_) if asked.may_wait() => {}
        Err(_) => panic!("no answer within {LIMIT:?}"),
    }
}

async fn well_formed(asked: &Asked<'_>, response: Response<Body>) {
    let (head, body) = response.into_parts();
    match (head.status.as_u16(), kind(&head.headers)) {
        (200 | 400 | 404 | 406, "application/json") => {
            let text = whole(body).await;
            match (text.starts_with('['), head.status) {
                (true, StatusCode::OK) => batch(asked, &text),
                _ => single(asked, &text, head.status),
            }
        }
        (200, "text/event-stream") => streamed(asked, body).await,
        (202 | 204, "") => assert_eq!(whole(body).await, ""),
        (405, "") => {
            assert!(head.headers.contains_key("allow"));
            assert_eq!(whole(body).await, "");
        }
        other => panic!("{other:?}"),
    }
}

fn kind(headers: &HeaderMap) -> &str {
    headers.get("content-type").map_or("", |value| value.to_str().expect("printable"))
}

async fn whole(body: Body) -> String {
    let bytes = tokio::time::timeout(LIMIT, body.collect()).await.expect("an end").expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn single(asked: &Asked<'_>, text: &str, status: StatusCode) {
    match answer::read(text) {
        Said::Answer(answer) => asked.answered_by(&answer, status),
        Said::Other => panic!("no answer: {text}"),
    }
}

/// Answers to a batch name requests of it, each once.
fn batch(asked: &Asked<'_>, text: &str) {
    let messages = fuzz::batched(asked.body).expect("a batch").expect("messages");
    let mut ids: Vec<String> = messages.iter().filter_map(|message| owed(message)).collect();
    let answers: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(text).expect("an array");
    for message in answers {
        let Said::Answer(answer) = answer::read(message.get()) else { panic!("no answer: {message}") };
        let at = ids.iter().position(|id| *id == answer.id).unwrap_or_else(|| panic!("nobody asked for {message}"));
        ids.swap_remove(at);
    }
}

fn owed(message: &str) -> Option<String> {
    match fuzz::parse(message.as_bytes()) {
        Parsed::Request { id, .. } => Some(id),
        Parsed::Malformed { id, .. } => Some(id.unwrap_or_else(|| "null".into())),
        Parsed::Notification | Parsed::Response => None,
    }
}

/// A stream of events, read until it ends or says nothing more.
async fn streamed(asked: &Asked<'_>, mut body: Body) {
    let mut text = String::new();
    while let Ok(Some(frame)) = tokio::time::timeout(PATIENCE, body.frame()).await {
        let frame = frame.expect("a frame").into_data().expect("no trailers");
        text += std::str::from_utf8(&frame).expect("text");
    }
    let mut answers = 0;
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" | "event" | "id" | "retry" => {}
            "data" if value.is_empty() => {}
            "data" if value.starts_with('[') => batch(asked, value),
            "data" => {
                if let Said::Answer(answer) = answer::read(value) {
                    asked.answered_by(&answer, StatusCode::OK);
                    answers += 1;
                }
            }
            _ => panic!("no field of an event: {line}"),
        }
    }
    // A stream that is gone on with is one of another request.
    assert!(answers <= 1 || asked.method == Method::GET, "{text}");
}
