//! Streamable HTTP: one message per POST to `/mcp`.
//!
//! Whoever passes a request on has already checked Origin, Host and token. A refusal for want of a scope has the [`Scope`](longshore_domain::Scope) in the extensions of the
//! response: the challenge that goes with it is theirs to write.

#[cfg(feature = "fuzz")]
pub mod fuzz;
mod headers;
mod lapse;
mod lasting;
mod params;
pub(in crate::server) mod replay;
mod session;
mod stream;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use futures_util::future::BoxFuture;
use http_body_util::LengthLimitError;
use longshore_domain::{Conversation, Grant};
use tokio::sync::mpsc;

use super::connection::{Connection, Handshake, Origin};
use super::{Begun, Server, Sink, resources};
use crate::wire::{self, ErrorCode, MESSAGE_BYTES_MAX, Message, Meta, Notification, Reply, RequestId, RpcError};
use headers::Accepted;
pub use lapse::{Lapsing, StillHolds};
use replay::Called;
use session::Session;

/// A request is answered by a stream if it takes longer than this, or has something to say before its answer.
const STREAM_AFTER: Duration = Duration::from_secs(1);
/// Most bytes that are read of a message whose sender asks too often.
const TURNED_AWAY_BYTES_MAX: usize = 64 * 1024;
/// Notifications on their way to one stream.
const NOTIFICATIONS_MAX: usize = 16;
/// Streams that sessions of one caller are told things on beside answers.
pub(super) const STANDING_PER_CALLER_MAX: usize = 128;

/// In the extensions of a request: its caller asks too often and may ask again after this. And of the answer, so that
/// `Retry-After` can say it too.
#[derive(Clone, Copy, Debug)]
pub struct Throttled(pub Duration);

/// The endpoint `/mcp`. Whoever mounts it puts the [`Grant`], and [`Throttled`] if it holds, into the extensions of the
/// request.
pub fn router(server: Server) -> Router {
    Router::new().route("/mcp", any(mounted)).with_state(server)
}

async fn mounted(State(server): State<Server>, mut request: Request) -> Response {
    let throttled = request.extensions_mut().remove::<Throttled>();
    match request.extensions_mut().remove::<Grant>() {
        Some(grant) => answer(&server, grant, throttled, None, request).await,
        None => {
            tracing::error!("the router of /mcp is mounted without authentication");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Answers a request to `/mcp` of the holder of `grant`, who is taken for a model's client even with a person's token.
/// `still_holds` is there if the token may end before the answer does.
///
/// Cancel safe: a job that was accepted goes on.
pub async fn answer(
    server: &Server,
    grant: Grant,
    throttled: Option<Throttled>,
    still_holds: Option<StillHolds>,
    request: Request,
) -> Response {
    let lapsing = still_holds.map(Lapsing::new);
    let (Parts { method, headers, .. }, body) = request.into_parts();
    let exchange = Exchange { server: server.clone(), grant: grant.for_agent(), headers };
    // All but single messages are rare and kept apart, so that those take little memory.
    let response = match method {
        Method::POST => exchange.receive(body, throttled).await,
        _ if let Some(throttled) = throttled => too_many(None, throttled),
        Method::GET => Box::pin(lasting::listen(exchange)).await,
        Method::DELETE => Box::pin(lasting::end(exchange)).await,
        _ => only("GET, POST, DELETE"),
    };
    match lapsing {
        Some(lapsing) => Box::pin(lapsing.answer(response)).await.unwrap_or_else(|| {
            let error = "the token expired or was revoked before there was an answer; what was begun goes on";
            refused(StatusCode::UNAUTHORIZED, ErrorCode::InvalidRequest, error)
        }),
        None => response,
    }
}

fn only(methods: &'static str) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, methods)]).into_response()
}

fn json(status: StatusCode, reply: Reply) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], reply.message).into_response()
}

fn refused(status: StatusCode, code: ErrorCode, message: &str) -> Response {
    json(status, Reply::failed(None, RpcError::envelope(code, message)))
}

fn not_acceptable(request: &wire::Request<'_>, message: &str) -> Response {
    let error = RpcError::envelope(ErrorCode::InvalidRequest, message);
    json(StatusCode::NOT_ACCEPTABLE, Reply::failed(Some(&request.id), error))
}

/// Answers whoever asks too often under the id of the message, unless it would take long to read.
async fn turned_away(body: Body, throttled: Throttled) -> Response {
    let bytes = match body.size_hint().lower() > TURNED_AWAY_BYTES_MAX as u64 {
        true => Bytes::new(),
        false => axum::body::to_bytes(body, TURNED_AWAY_BYTES_MAX).await.unwrap_or_default(),
    };
    let message = Message::parse(&bytes);
    too_many(message.as_ref().ok().and_then(Message::id), throttled)
}

fn too_many(id: Option<&RequestId>, throttled: Throttled) -> Response {
    let reply = Reply::failed(id, RpcError::rate_limited(throttled.0));
    (Extension(throttled), json(StatusCode::TOO_MANY_REQUESTS, reply)).into_response()
}

fn unread(error: axum::Error) -> Response {
    let error = error.into_inner();
    let (status, why) = match error.is::<LengthLimitError>() {
        true => (StatusCode::PAYLOAD_TOO_LARGE, format!("at most {MESSAGE_BYTES_MAX} bytes are taken")),
        false => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    refused(status, ErrorCode::InvalidRequest, &format!("the message could not be read whole: {why}"))
}

fn no_session() -> Refusal {
    let message = "there is no such session, or it has ended: send initialize to begin a new one";
    (StatusCode::NOT_FOUND, RpcError::envelope(ErrorCode::InvalidRequest, message))
}

/// One POST.
struct Exchange {
    server: Server,
    grant: Grant,
    headers: HeaderMap,
}

/// A request refused before it was begun.
type Refusal = (StatusCode, RpcError);

fn bad_request(error: RpcError) -> Refusal {
    (StatusCode::BAD_REQUEST, error)
}

impl Exchange {
    async fn receive(&self, body: Body, throttled: Option<Throttled>) -> Response {
        if !headers::announces_json(&self.headers) {
            let error = "the message must be application/json, and the Content-Type header says otherwise";
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::InvalidRequest, error);
        }
        if let Some(throttled) = throttled {
            return Box::pin(turned_away(body, throttled)).await;
        }
        let bytes = match axum::body::to_bytes(body, MESSAGE_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(error) => return unread(error),
        };
        match Message::parse(&bytes) {
            Ok(Message::Request(request)) => self.answer(&request).await,
            Ok(Message::Notification(notification)) => Box::pin(self.notified(&notification, &bytes)).await,
            Ok(Message::Response(_)) => Box::pin(self.responded(&bytes)).await,
            Err(malformed) => {
                let refusal = || json(StatusCode::BAD_REQUEST, Reply::failed(malformed.id.as_ref(), malformed.error));
                Box::pin(self.batch(&bytes)).await.unwrap_or_else(refusal)
            }
        }
    }

    async fn notified(&self, notification: &Notification<'_>, bytes: &[u8]) -> Response {
        match self.notifier(notification).await {
            Ok(connection) => {
                self.server.hear(connection.origin().scope.as_ref(), bytes).await;
                StatusCode::ACCEPTED.into_response()
            }
            Err((status, error)) => json(status, Reply::failed(None, error)),
        }
    }

    /// Where a notification comes from. A modern one belongs to no session, whatever its headers name.
    async fn notifier(&self, notification: &Notification<'_>) -> Result<Connection, Refusal> {
        let meta = Meta::of(notification.params).unwrap_or_default();
        if !headers::is_modern_notification(&self.headers, &meta) {
            return self.legacy().await;
        }
        headers::check_modern_notification(&self.headers, notification, &meta).map_err(bad_request)?;
        Ok(Connection::new(self.origin()?, None))
    }

    /// An answer to a request of ours; only a session has any.
    async fn responded(&self, bytes: &[u8]) -> Response {
        match self.legacy().await {
            Ok(connection) if connection.origin().scope.is_some() => {
                self.server.hear(connection.origin().scope.as_ref(), bytes).await;
                StatusCode::ACCEPTED.into_response()
            }
            Ok(_) => refused(
                StatusCode::BAD_REQUEST,
                ErrorCode::InvalidRequest,
                "a response is taken within a session only, and names it in Mcp-Session-Id",
            ),
            Err((status, error)) => json(status, Reply::failed(None, error)),
        }
    }

    async fn answer(&self, request: &wire::Request<'_>) -> Response {
        let accepted = Accepted::of(&self.headers);
        if !accepted.json {
            return not_acceptable(request, "the answer is application/json, which the Accept header does not allow");
        }
        match self.checked(request).await {
            Ok(checked) => self.begun(request, &checked, accepted).await,
            Err((status, error)) => json(status, Reply::failed(Some(&request.id), error)),
        }
    }

    async fn checked<'a>(&self, request: &wire::Request<'a>) -> Result<Checked<'a>, Refusal> {
        let meta = Meta::of(request.params).map_err(bad_request)?;
        if headers::is_modern(&self.headers, request, &meta) {
            headers::check_modern(&self.headers, request, &meta).map_err(bad_request)?;
            let listens = request.method == "subscriptions/listen";
            return Ok(Checked { connection: Connection::new(self.origin()?, None), meta, modern: true, listens });
        }
        let connection = match &*request.method {
            "initialize" => self.legacy_connection(true)?,
            _ => self.legacy().await?,
        };
        Ok(Checked { connection, meta, modern: false, listens: false })
    }

    /// Who calls, with the key that came beside the message: one that cannot be read must not be taken for none.
    fn origin(&self) -> Result<Origin, Refusal> {
        let key = headers::text(&self.headers, headers::IDEMPOTENCY_KEY).map(str::to_owned);
        if key.is_none() && self.headers.contains_key(headers::IDEMPOTENCY_KEY) {
            let message = "the header Idempotency-Key is not readable, or there twice; nothing was done";
            return Err(bad_request(RpcError::envelope(ErrorCode::InvalidRequest, message)));
        }
        let origin = Origin::of(self.grant.principal.clone());
        Ok(Origin { idempotency_key: key, scopes: self.grant.scopes(), ..origin })
    }

    /// A legacy connection that may go on.
    async fn legacy(&self) -> Result<Connection, Refusal> {
        self.recalled(self.legacy_connection(false)?).await
    }

    /// A connection as the session token and the version header describe it; `fresh` begins without either.
    fn legacy_connection(&self, fresh: bool) -> Result<Connection, Refusal> {
        if fresh {
            let conversation = format!("http:{:032x}", longshore_engine::clock::random());
            let conversation = Some(Conversation::new(&conversation));
            let origin = Origin { conversation, stands_in: true, ..self.origin()? };
            return Ok(Connection::new(origin, None));
        }
        let session = self.session()?;
        let token = headers::text(&self.headers, headers::SESSION).map(Arc::from).filter(|_| session.is_some());
        let settled = session.as_ref().map(|session| session.handshake.clone());
        let version = headers::version_in(&self.headers, settled.as_ref().map(|handshake| handshake.version));
        let version = version.map_err(bad_request)?;
        let (client, capabilities) =
            settled.map(|handshake| (handshake.client, handshake.capabilities)).unwrap_or_default();
        let conversation = session.map(|session| session.conversation);
        let origin = Origin { stands_in: conversation.is_some(), conversation, scope: token, ..self.origin()? };
        Ok(Connection::new(origin, Some(Handshake { version, client, capabilities })))
    }

    fn session(&self) -> Result<Option<Session>, Refusal> {
        if !self.headers.contains_key(headers::SESSION) {
            return Ok(None);
        }
        let key = &self.server.settings().session_key;
        let token = headers::text(&self.headers, headers::SESSION);
        let session = token.and_then(|token| Session::from_token(token, &self.grant.principal, key));
        session.map(Some).ok_or_else(no_session)
    }

    /// Looks up what the session of a legacy request wants, if this node does not know.
    async fn recalled(&self, connection: Connection) -> Result<Connection, Refusal> {
        let Some(scope) = connection.origin().scope.clone() else { return Ok(connection) };
        let server = &self.server;
        match server.sessions().recall(&scope, &connection.caller(), server.engine()).await {
            Ok(true) => Ok(connection),
            Ok(false) => {
                server.streams().end(&scope);
                Err(no_session())
            }
            Err(fault) => Err((StatusCode::SERVICE_UNAVAILABLE, resources::failed(&fault))),
        }
    }

    async fn begun(&self, request: &wire::Request<'_>, checked: &Checked<'_>, accepted: Accepted) -> Response {
        let (sender, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
        if checked.listens && !accepted.events {
            let error = "what is listened to comes as text/event-stream, which the Accept header does not allow";
            return not_acceptable(request, error);
        }
        let streams = accepted.events;
        let sink = if streams { Sink::new(sender) } else { Sink::none() };
        match self.server.requested(&checked.connection, request, &checked.meta, &sink) {
            Begun::Nothing => StatusCode::ACCEPTED.into_response(),
            Begun::Done(reply) if request.method == "initialize" && !checked.modern => {
                self.with_session(&checked.connection, reply)
            }
            Begun::Done(reply) => checked.response(reply),
            Begun::Open(answer) if checked.listens => stream::response(answer, notifications, None),
            Begun::Pending(answer) | Begun::Open(answer) if !streams => checked.ended(answer.await),
            Begun::Pending(answer) | Begun::Open(answer) => match &checked.connection.origin().scope {
                Some(scope) => {
                    let called = Called { id: Some(request.id.clone()), job: sink.job() };
                    let (server, connection) = (&self.server, &checked.connection);
                    Box::pin(lasting::answered(server, connection, scope, answer, called, notifications)).await
                }
                None => streamed(checked, answer, notifications).await,
            },
        }
    }

    /// Hands the client its session along with the answer to `initialize`.
    fn with_session(&self, connection: &Connection, reply: Reply) -> Response {
        let conversation = connection.origin().conversation.clone();
        let session = connection.handshake().zip(conversation);
        let mut response = json(StatusCode::OK, reply);
        if let Some((handshake, conversation)) = session {
            let session = Session { handshake, conversation };
            let token = session.to_token(&self.grant.principal, &self.server.settings().session_key);
            if let Ok(token) = HeaderValue::try_from(token) {
                response.headers_mut().insert(headers::SESSION, token);
            }
        }
        response
    }
}

/// A request whose headers are in order.
struct Checked<'a> {
    connection: Connection,
    meta: Meta<'a>,
    modern: bool,
    /// The answer is a stream.
    listens: bool,
}

impl Checked<'_> {
    fn ended(&self, reply: Option<Reply>) -> Response {
        reply.map_or_else(nothing, |reply| self.response(reply))
    }

    fn response(&self, reply: Reply) -> Response {
        if let Some(ErrorCode::InsufficientScope(scope)) = reply.error.as_ref().map(|error| error.code) {
            return (Extension(scope), json(StatusCode::FORBIDDEN, reply)).into_response();
        }
        let status = match &reply.error {
            Some(error) if error.code == ErrorCode::MethodNotFound && self.modern => StatusCode::NOT_FOUND,
            Some(error) if error.code == ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Some(error) if error.of_envelope && self.modern => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        json(status, reply)
    }
}

/// The answer to a request that was given up by a notification: an empty stream says nothing. Clients take a status
/// without a body for a fault of ours.
fn nothing() -> Response {
    [(header::CONTENT_TYPE, "text/event-stream")].into_response()
}

async fn streamed(
    checked: &Checked<'_>,
    mut answer: BoxFuture<'static, Option<Reply>>,
    mut notifications: mpsc::Receiver<String>,
) -> Response {
    let first = tokio::select! {
        biased;
        Some(first) = notifications.recv() => Some(first),
        reply = &mut answer => return match notifications.try_recv() {
            // What was said on the way to an answer that came at once.
            Ok(first) => stream::response(Box::pin(ready(reply)), notifications, Some(first)),
            Err(_) => checked.ended(reply),
        },
        () = tokio::time::sleep(STREAM_AFTER) => None,
    };
    stream::response(answer, notifications, first)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use longshore_domain::Principal;

    use super::*;

    #[tokio::test]
    async fn what_is_said_before_an_answer_that_comes_at_once_is_not_lost() {
        let connection = Connection::new(Origin::of(Principal::owner()), None);
        let checked = Checked { connection, meta: Meta::default(), modern: true, listens: false };
        for said in [vec![], vec!["one"], vec!["one", "two"]] {
            let (sender, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
            let sink = Sink::new(sender);
            let messages = said.clone();
            let answer = Box::pin(async move {
                messages.iter().for_each(|message| sink.offer((*message).to_owned()));
                Some(Reply { message: "answer".to_owned(), error: None })
            });
            let response = streamed(&checked, answer, notifications).await;
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let events = [&said[..], &["answer"]].concat().iter().map(|text| event(text)).collect::<String>();
            let expected = if said.is_empty() { "answer".to_owned() } else { events };
            assert_eq!(body, expected, "{said:?}");
        }
    }

    fn event(text: &str) -> String {
        format!("event: message\ndata: {text}\n\n")
    }
}
