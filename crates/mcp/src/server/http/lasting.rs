//! What legacy sessions have beside single answers: streams that survive a lost connection, a stream of their own, an
//! end, and batches. Source: MCP 2025-03-26 and 2025-11-25, transports.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{once, unfold};
use longshore_domain::{Fault, JobId, Principal, Scope};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::headers::{self, Accepted};
use super::replay::{Called, Kind, Opening, Place, Reader, Source};
use super::{Exchange, NOTIFICATIONS_MAX, STANDING_PER_CALLER_MAX, STREAM_AFTER, json, refused, stream};
use crate::server::connection::Connection;
use crate::server::rooms::Room;
use crate::server::wishes::Wishes;
use crate::server::{Begun, Server, Sink, resources};
use crate::wire::{ErrorCode, LegacyVersion, MODERN, Message, Reply, RequestId, RpcError, batch};

/// A client that lost a stream comes back after this long.
const RETRY: Duration = Duration::from_secs(1);

/// What a request without a message needs.
struct Visit {
    exchange: Exchange,
    connection: Connection,
    scope: Arc<str>,
}

impl Visit {
    /// A visit of a session, if it is one.
    async fn new(exchange: Exchange) -> Result<Self, Box<Response>> {
        if headers::text(&exchange.headers, headers::PROTOCOL_VERSION) == Some(MODERN) {
            return Err(Box::new(super::only("POST")));
        }
        let connection =
            exchange.legacy().await.map_err(|(status, error)| Box::new(json(status, Reply::failed(None, error))))?;
        match connection.origin().scope.clone() {
            Some(scope) => Ok(Self { exchange, connection, scope }),
            // Without a session there is nothing to tell, and nothing to end.
            None => Err(Box::new(super::only("POST"))),
        }
    }

    /// Sends what the session wants to know, and may, to `sink`.
    async fn hear(&self, sink: Sink) -> Result<(), Fault> {
        let (server, caller) = (&self.exchange.server, self.connection.caller());
        server.sessions().listen(&self.scope, &caller, server.engine(), sink).await?;
        if self.connection.origin().scopes.has(Scope::JobsRead) {
            server.sessions().tell_lists(&self.scope, &caller, server.engine()).await?;
        }
        Ok(())
    }
}

/// `GET`: the session's own stream, or one that was lost.
pub(super) async fn listen(exchange: Exchange) -> Response {
    let visit = match Visit::new(exchange).await {
        Ok(visit) => visit,
        Err(refusal) => return *refusal,
    };
    let Exchange { server, headers, .. } = &visit.exchange;
    if !Accepted::of(headers).events {
        let error = "the stream is text/event-stream, which the Accept header does not allow";
        return refused(StatusCode::NOT_ACCEPTABLE, ErrorCode::InvalidRequest, error);
    }
    let place = headers::text(headers, headers::LAST_EVENT_ID).map(Place::parse);
    let resumed = match &place {
        Some(Some(place)) => server.streams().resume(&visit.scope, place),
        _ => None,
    };
    let call = place.iter().flatten().find_map(|place| place.call_of(&visit.scope));
    match (resumed, place) {
        (Some(reader), _) => streamed(reader, primes(&visit.connection)),
        (None, _) if let Some((id, job)) = call => taken_up(&visit, id, job),
        (None, Some(Some(Place { kind: Kind::Answer, .. }) | None)) => {
            let error = "that stream is not kept any more: send the request again; its job, if any, goes on";
            refused(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, error)
        }
        (None, _) => {
            let Some(room) = room_for(server, &visit.connection.origin().principal) else { return too_many() };
            let (sender, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
            if let Err(fault) = visit.hear(Sink::new(sender)).await {
                return unavailable(&fault);
            }
            let engine = server.engine().clone();
            let until = Box::pin(async move { engine.draining().await });
            let reader = server.streams().begin(&visit.scope, notifications, Source::Standing(until, room));
            streamed(reader, primes(&visit.connection))
        }
    }
}

/// Answers a call anew whose stream is not kept here, by its job.
fn taken_up(visit: &Visit, id: RequestId, job: JobId) -> Response {
    let server = &visit.exchange.server;
    let (sender, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
    let sink = Sink::new(sender);
    let called = Called { id: Some(id.clone()), job: sink.job() };
    let answer: BoxFuture<'static, _> = match server.take_up(&visit.connection, id, job, &sink) {
        Begun::Nothing => Box::pin(async { None }),
        Begun::Done(reply) => Box::pin(async { Some(reply) }),
        Begun::Pending(answer) | Begun::Open(answer) => answer,
    };
    let reader = server.streams().begin(&visit.scope, notifications, Source::Answer(answer, called));
    streamed(reader, primes(&visit.connection))
}

/// A place for one more stream of that caller: one that nobody reads gives way.
fn room_for(server: &Server, caller: &Principal) -> Option<Room> {
    server.standing().enter(caller).or_else(|| {
        server.streams().give_way(caller);
        server.standing().enter(caller)
    })
}

fn too_many() -> Response {
    let message = format!(
        "too many streams of this caller's sessions are open (at most {STANDING_PER_CALLER_MAX}): end one, or the \
         session that it belongs to"
    );
    json(StatusCode::TOO_MANY_REQUESTS, Reply::failed(None, RpcError::too_many(message)))
}

/// `DELETE`: the end of a session. The store remembers it; the token itself cannot be taken back.
pub(super) async fn end(exchange: Exchange) -> Response {
    match Visit::new(exchange).await {
        Ok(visit) => {
            let (server, caller) = (&visit.exchange.server, visit.connection.caller());
            let end = |wishes: &mut Wishes| *wishes = Wishes { ended: true, ..Wishes::default() };
            if let Err(fault) = server.sessions().wish(&visit.scope, &caller, server.engine(), end).await {
                return unavailable(&fault);
            }
            server.streams().end(&visit.scope);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refusal) => *refusal,
    }
}

fn unavailable(fault: &Fault) -> Response {
    json(StatusCode::SERVICE_UNAVAILABLE, Reply::failed(None, resources::failed(fault)))
}

/// Whether a client of that version understands an event without data.
fn primes(connection: &Connection) -> bool {
    connection.handshake().is_some_and(|handshake| handshake.version >= LegacyVersion::V2025_11_25)
}

fn streamed(reader: Reader, primes: bool) -> Response {
    let first = primes.then(|| priming(&reader.place()));
    let events = unfold(reader, |mut reader| async move {
        let message = reader.next().await?;
        let event = Event::default().event("message").id(reader.place()).data(&*message);
        Some((Ok::<_, Infallible>(event), reader))
    });
    stream::unbuffered(Sse::new(events)).map(|body| match first {
        Some(first) => Body::from_stream(once(async { Ok(first) }).chain(body.into_data_stream())),
        None => body,
    })
}

/// Names the place, so that even a stream that is lost at once can be gone on with. Clients drop an event whose data field
/// is absent, and its id with it; axum's events cannot have an empty one.
fn priming(place: &str) -> Bytes {
    format!("id: {place}\nretry: {}\ndata: \n\n", RETRY.as_millis()).into()
}

/// Answers a request of a session: by JSON if it has no more to say than its answer, and soon.
pub(super) async fn answered(
    server: &Server,
    connection: &Connection,
    scope: &Arc<str>,
    answer: BoxFuture<'static, Option<Reply>>,
    called: Called,
    notifications: mpsc::Receiver<String>,
) -> Response {
    let reader = server.streams().begin(scope, notifications, Source::Answer(answer, called));
    match tokio::time::timeout(STREAM_AFTER, reader.opening()).await {
        Ok(Opening::Answer(message)) => {
            server.streams().forget(&reader);
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], message.to_string()).into_response()
        }
        Ok(Opening::Nothing) => {
            server.streams().forget(&reader);
            super::nothing()
        }
        Ok(Opening::Stream) | Err(_) => streamed(reader, primes(connection)),
    }
}

impl Exchange {
    /// Answers a body that is no single message, if it is a batch and the session is of the version that has batches.
    pub(super) async fn batch(&self, bytes: &[u8]) -> Option<Response> {
        let messages = batch(bytes)?;
        let connection = match self.legacy().await {
            Ok(connection) => connection,
            Err((status, error)) => return Some(json(status, Reply::failed(None, error))),
        };
        let scope = connection.origin().scope.clone()?;
        connection.handshake().filter(|handshake| handshake.version == LegacyVersion::V2025_03_26)?;
        Some(match messages {
            Ok(messages) => self.batched(&connection, &scope, &messages).await,
            Err(error) => json(StatusCode::BAD_REQUEST, Reply::failed(None, error)),
        })
    }

    async fn batched(&self, connection: &Connection, scope: &Arc<str>, messages: &[&RawValue]) -> Response {
        let (sender, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
        let sink = if Accepted::of(&self.headers).events { Sink::new(sender) } else { Sink::none() };
        let mut answers: Vec<BoxFuture<'static, Option<Reply>>> = vec![];
        for message in messages {
            let bytes = message.get().as_bytes();
            if matches!(Message::parse(bytes), Ok(Message::Response(_) | Message::Notification(_))) {
                self.server.hear(Some(scope), bytes).await;
                continue;
            }
            match self.server.begin_in_batch(connection, bytes, &sink) {
                Begun::Nothing => {}
                Begun::Done(reply) => answers.push(Box::pin(async { Some(reply) })),
                Begun::Pending(answer) | Begun::Open(answer) => answers.push(answer),
            }
        }
        drop(sink);
        if answers.is_empty() {
            return StatusCode::ACCEPTED.into_response();
        }
        let all = Box::pin(async {
            let replies = join_all(answers).await.into_iter().flatten().map(|reply| reply.message);
            Some(Reply::of_batch(&replies.collect::<Vec<_>>()))
        });
        answered(&self.server, connection, scope, all, Called::default(), notifications).await
    }
}
