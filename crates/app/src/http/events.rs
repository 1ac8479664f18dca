//! `/api/v1/events`: the history as server-sent events, from any position.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use longshore_domain::EventSeq;
use longshore_domain::fault::Fault;
use longshore_domain::job::EventRecord;
use longshore_engine::ops::Caller;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::extract::{MayRead, Params};
use super::fault::Answer;
use super::wire::{EventBody, FaultBody};

/// How long the store is left alone while nothing happens; news wake it at once.
const WAIT: Duration = Duration::from_secs(60);
/// A comment is sent after this long without an event, so that the other side sees a lost connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Router<App> {
    Router::new().route("/events", get(follow))
}

/// Which events to follow.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventParams {
    /// Events of this job only. Agents and workers must name one.
    job: Option<String>,
    /// Begin after this position. The header `Last-Event-ID` wins; without either it begins now.
    after: Option<u64>,
}

/// Follows the history. Each event's `id` is its position; its `data` is JSON.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", security(("token" = ["jobs:read"])),
    params(EventParams, ("Last-Event-ID" = Option<u64>, Header, description = "Go on after this position")),
    responses(
        (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = EventBody),
        (status = 403, description = "This caller must name a job", body = FaultBody),
        (status = 404, description = "No such job, or one of somebody else", body = FaultBody),
    )
)]
pub(super) async fn follow(
    State(app): State<App>,
    MayRead(caller): MayRead,
    headers: HeaderMap,
    Params(params): Params<EventParams>,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let after = match last_event(&headers)?.or(params.after) {
        Some(after) => EventSeq(after),
        None => app.engine.newest_event().await?,
    };
    // The first look tells the caller's mistakes as an ordinary answer.
    let (events, next) = app.engine.events(&caller, params.job.as_deref(), after, Duration::ZERO).await?;
    let follower = Follower { app, caller, job: params.job, next, ready: events.into() };
    let stream = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok(to_sse(event)), follower))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let parsed = id.to_str().ok().and_then(|id| id.parse().ok());
    parsed.map(Some).ok_or_else(|| Fault::invalid("Last-Event-ID", "must be the id of an earlier event"))
}

struct Follower {
    app: App,
    caller: Caller,
    job: Option<String>,
    next: EventSeq,
    ready: VecDeque<EventRecord>,
}

impl Follower {
    /// The next event; nothing once the daemon stops or the history cannot be read.
    async fn next(&mut self) -> Option<EventRecord> {
        while self.ready.is_empty() {
            let more = self.app.engine.events(&self.caller, self.job.as_deref(), self.next, WAIT);
            let more = tokio::select! {
                more = more => more,
                () = self.app.stopping.cancelled() => return None,
            };
            let (events, next) =
                more.inspect_err(|fault| tracing::debug!(fault.code = %fault.code, "a stream of events ended")).ok()?;
            self.next = next;
            self.ready = events.into();
        }
        self.ready.pop_front()
    }
}

fn to_sse(record: EventRecord) -> Event {
    let body = EventBody::from(record);
    let event = Event::default().id(body.seq.to_string());
    event.json_data(body).unwrap_or_default()
}
