//! Streamable HTTP: one message per POST to `/mcp`.
//!
//! Whoever mounts the router has already checked Origin, Host and token, and put the
//! [`Principal`] into the extensions of the request.

mod headers;
mod session;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use futures_util::future::BoxFuture;
use longshore_domain::{Conversation, Principal};
use tokio::sync::mpsc;

use super::connection::{Connection, Handshake, Origin};
use super::{Begun, Server, Sink};
use crate::wire::{ClientInfo, ErrorCode, LegacyVersion, MESSAGE_BYTES_MAX, Message, Meta, Reply, Request, RpcError};
use headers::Accepted;
use session::Session;

/// A request that wants progress is answered by a stream if it takes longer than this.
const STREAM_AFTER: Duration = Duration::from_secs(1);
/// Notifications on their way to one stream.
const NOTIFICATIONS_MAX: usize = 16;

/// The endpoint `/mcp`.
pub fn router(server: Server) -> Router {
    Router::new().route("/mcp", post(receive).fallback(not_allowed)).with_state(server)
}

async fn not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response()
}

async fn receive(
    State(server): State<Server>,
    principal: Option<Extension<Principal>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(Extension(principal)) = principal else {
        tracing::error!("the router of /mcp is mounted without authentication");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // Whoever speaks MCP is a model's client, even with a person's token.
    let principal = Principal::agent(principal.name);
    let Ok(bytes) = axum::body::to_bytes(body, MESSAGE_BYTES_MAX).await else {
        let error = format!("the message could not be read whole; at most {MESSAGE_BYTES_MAX} bytes are taken");
        return refused(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::InvalidRequest, &error);
    };
    match Message::parse(&bytes) {
        Ok(Message::Request(request)) => Exchange { server, principal, headers }.answer(&request, &bytes).await,
        Ok(Message::Notification(_)) => Exchange { server, principal, headers }.notified(&bytes),
        Ok(Message::Response) => refused(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidRequest,
            "responses are not taken: this server sends no requests",
        ),
        Err(malformed) => json(StatusCode::BAD_REQUEST, Reply::failed(malformed.id.as_ref(), malformed.error)),
    }
}

fn json(status: StatusCode, reply: Reply) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], reply.message).into_response()
}

fn refused(status: StatusCode, code: ErrorCode, message: &str) -> Response {
    json(status, Reply::failed(None, RpcError::envelope(code, message)))
}

/// One POST.
struct Exchange {
    server: Server,
    principal: Principal,
    headers: HeaderMap,
}

/// A request refused before it was begun.
type Refusal = (StatusCode, RpcError);

fn bad_request(error: RpcError) -> Refusal {
    (StatusCode::BAD_REQUEST, error)
}

impl Exchange {
    fn notified(&self, bytes: &[u8]) -> Response {
        match self.legacy_connection(false) {
            Ok(connection) => {
                self.server.begin(&connection, bytes, &Sink::none());
                StatusCode::ACCEPTED.into_response()
            }
            Err((status, error)) => json(status, Reply::failed(None, error)),
        }
    }

    async fn answer(&self, request: &Request<'_>, bytes: &[u8]) -> Response {
        let accepted = Accepted::of(&self.headers);
        if !accepted.json {
            let error = "the answer is application/json, which the Accept header does not allow";
            return refused(StatusCode::NOT_ACCEPTABLE, ErrorCode::InvalidRequest, error);
        }
        match self.checked(request) {
            Ok(checked) => self.begun(request, bytes, &checked, accepted).await,
            Err((status, error)) => json(status, Reply::failed(Some(&request.id), error)),
        }
    }

    fn checked(&self, request: &Request<'_>) -> Result<Checked, Refusal> {
        let meta = Meta::of(request.params).map_err(bad_request)?;
        let wants_progress = request.method == "tools/call" && meta.progress_token.is_some();
        if headers::is_modern(&self.headers, request, &meta) {
            headers::check_modern(&self.headers, request, &meta).map_err(bad_request)?;
            return Ok(Checked { connection: self.modern_connection(), modern: true, wants_progress });
        }
        let connection = self.legacy_connection(request.method == "initialize")?;
        Ok(Checked { connection, modern: false, wants_progress })
    }

    fn origin(&self) -> Origin {
        let key = headers::text(&self.headers, headers::IDEMPOTENCY_KEY).map(str::to_owned);
        Origin { idempotency_key: key, ..Origin::of(self.principal.clone()) }
    }

    fn modern_connection(&self) -> Connection {
        Connection::new(self.origin(), None)
    }

    /// A connection as the session token and the version header describe it; `fresh` begins without either.
    fn legacy_connection(&self, fresh: bool) -> Result<Connection, Refusal> {
        if fresh {
            let conversation = format!("http:{:032x}", longshore_engine::clock::random());
            let origin = Origin { conversation: Some(Conversation::new(&conversation)), ..self.origin() };
            return Ok(Connection::new(origin, None));
        }
        let session = self.session()?;
        let named = match headers::text(&self.headers, headers::PROTOCOL_VERSION) {
            // Notifications of modern clients say their version too.
            Some(crate::wire::MODERN) => None,
            _ => headers::legacy_version(&self.headers).map_err(bad_request)?,
        };
        let token = headers::text(&self.headers, headers::SESSION).map(Arc::from).filter(|_| session.is_some());
        let settled = session.as_ref().map(|session| session.handshake.clone());
        let version = named.or(settled.as_ref().map(|handshake| handshake.version)).unwrap_or(LegacyVersion::UNNAMED);
        let client = settled.map_or_else(ClientInfo::default, |handshake| handshake.client);
        let conversation = session.map(|session| session.conversation);
        let origin = Origin { conversation, scope: token, ..self.origin() };
        Ok(Connection::new(origin, Some(Handshake { version, client })))
    }

    fn session(&self) -> Result<Option<Session>, Refusal> {
        let Some(value) = self.headers.get(headers::SESSION) else { return Ok(None) };
        let key = &self.server.settings().session_key;
        let session = value.to_str().ok().and_then(|token| Session::from_token(token, &self.principal, key));
        session.map(Some).ok_or_else(|| {
            let message = "there is no such session: send initialize to begin a new one";
            (StatusCode::NOT_FOUND, RpcError::envelope(ErrorCode::InvalidRequest, message))
        })
    }

    async fn begun(&self, request: &Request<'_>, bytes: &[u8], checked: &Checked, accepted: Accepted) -> Response {
        let (sender, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
        let streams = checked.wants_progress && accepted.events;
        let sink = if streams { Sink::new(sender) } else { Sink::none() };
        match self.server.begin(&checked.connection, bytes, &sink) {
            Begun::Nothing => StatusCode::ACCEPTED.into_response(),
            Begun::Done(reply) if request.method == "initialize" => self.with_session(&checked.connection, reply),
            Begun::Done(reply) => checked.response(reply),
            Begun::Pending(answer) if streams => streamed(checked, answer, notifications).await,
            Begun::Pending(answer) => checked.ended(answer.await),
        }
    }

    /// Hands the client its session along with the answer to `initialize`.
    fn with_session(&self, connection: &Connection, reply: Reply) -> Response {
        let conversation = connection.origin().conversation.clone();
        let session = connection.handshake().zip(conversation);
        let mut response = json(StatusCode::OK, reply);
        if let Some((handshake, conversation)) = session {
            let session = Session { handshake, conversation };
            let token = session.to_token(&self.principal, &self.server.settings().session_key);
            if let Ok(token) = HeaderValue::try_from(token) {
                response.headers_mut().insert(headers::SESSION, token);
            }
        }
        response
    }
}

/// A request whose headers are in order.
struct Checked {
    connection: Connection,
    modern: bool,
    wants_progress: bool,
}

impl Checked {
    fn ended(&self, reply: Option<Reply>) -> Response {
        // Given up by a notification: an empty stream is the answer that says nothing. Clients take a status without a
        // body for a fault of ours.
        reply
            .map_or_else(|| [(header::CONTENT_TYPE, "text/event-stream")].into_response(), |reply| self.response(reply))
    }

    fn response(&self, reply: Reply) -> Response {
        let status = match &reply.error {
            Some(error) if error.code == ErrorCode::MethodNotFound && self.modern => StatusCode::NOT_FOUND,
            Some(error) if error.of_envelope && self.modern => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        json(status, reply)
    }
}

async fn streamed(
    checked: &Checked,
    mut answer: BoxFuture<'static, Option<Reply>>,
    notifications: mpsc::Receiver<String>,
) -> Response {
    match tokio::time::timeout(STREAM_AFTER, &mut answer).await {
        Ok(reply) => checked.ended(reply),
        Err(_) => stream::response(answer, notifications),
    }
}
