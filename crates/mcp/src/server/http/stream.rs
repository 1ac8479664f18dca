//! An answer that takes a while, as a stream of events: progress first, the answer last.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, unfold};
use tokio::sync::mpsc;

use crate::wire::Reply;

/// A comment is sent after this much silence, so that nothing between us and the client ends the stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A request whose answer is being worked on.
struct Waiting {
    answer: Option<BoxFuture<'static, Option<Reply>>>,
    notifications: mpsc::Receiver<String>,
    ready: VecDeque<String>,
}

/// The stream, which begins with `first`. When the client leaves, the work on the answer ends with it.
pub(super) fn response(
    answer: BoxFuture<'static, Option<Reply>>,
    notifications: mpsc::Receiver<String>,
    first: Option<String>,
) -> Response {
    let waiting = Waiting { answer: Some(answer), notifications, ready: first.into_iter().collect() };
    let events = unfold(waiting, |mut waiting| async {
        let message = waiting.next().await?;
        Some((Ok::<_, Infallible>(Event::default().event("message").data(message)), waiting))
    });
    unbuffered(Sse::new(events))
}

/// A stream that nothing on the way holds back, or ends for its silence.
pub(super) fn unbuffered<S>(events: Sse<S>) -> Response
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    let mut response = events.keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl Waiting {
    /// The next message: notifications in order, then the answer, then nothing.
    async fn next(&mut self) -> Option<String> {
        if let Some(message) = self.ready.pop_front() {
            return Some(message);
        }
        let answer = self.answer.as_mut()?;
        tokio::select! {
            Some(notification) = self.notifications.recv() => Some(notification),
            reply = answer => {
                self.answer = None;
                while let Ok(notification) = self.notifications.try_recv() {
                    self.ready.push_back(notification);
                }
                self.ready.extend(reply.map(|reply| reply.message));
                self.ready.pop_front()
            }
        }
    }
}
