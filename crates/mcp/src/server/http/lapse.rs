//! Answers that go on while their caller's token may end: whatever comes after its end is not told.
//!
//! The token is looked at before each event of a stream, and before a single answer that took long. The comments that
//! keep a silent stream alive are such occasions too, so nothing has to watch tokens.

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::header;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use tokio::time::Instant;

use super::STREAM_AFTER;

/// Finds out whether the token of a request still holds; nothing if that cannot be found out.
pub type StillHolds = Box<dyn Fn() -> BoxFuture<'static, Option<bool>> + Send + Sync>;

/// The answer to a request whose token may end before it.
pub struct Lapsing {
    still_holds: StillHolds,
    since: Instant,
}

impl Lapsing {
    /// Begins with the request, whose token was just looked at.
    #[must_use]
    pub fn new(still_holds: StillHolds) -> Self {
        Self { still_holds, since: Instant::now() }
    }

    /// The answer as far as the token holds; nothing if it took long and the token has ended.
    pub async fn answer(self, response: Response) -> Option<Response> {
        if is_stream(&response) {
            return Some(response.map(|body| self.stream(body.into_data_stream())));
        }
        let is_late = self.since.elapsed() >= STREAM_AFTER;
        (!is_late || (self.still_holds)().await == Some(true)).then_some(response)
    }

    /// The events until the token ends. With the stream the work on its answer ends, as when the client leaves.
    fn stream(self, events: BodyDataStream) -> Body {
        Body::from_stream(unfold((events, self.still_holds), |(mut events, still_holds)| async {
            let event = events.next().await?;
            let holds = still_holds().await;
            // A comment tells nothing, and a token that cannot be looked up for a moment may well hold.
            let is_told = holds.unwrap_or(event.as_ref().is_ok_and(is_comment));
            is_told.then_some((event, (events, still_holds)))
        }))
    }
}

fn is_stream(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream")
}

fn is_comment(event: &Bytes) -> bool {
    event.starts_with(b":")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use axum::response::IntoResponse;
    use axum::response::sse::{Event, Sse};
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    use super::super::stream;
    use super::*;

    /// A request whose token is found to be as these say, one after the other.
    fn lapsing(mut found: Vec<Option<bool>>) -> Lapsing {
        found.reverse();
        let found = Arc::new(Mutex::new(found));
        Lapsing::new(Box::new(move || {
            let next = found.lock().unwrap().pop();
            async move { next.expect("it was not to be asked") }.boxed()
        }))
    }

    async fn told(found: Vec<Option<bool>>, events: &'static [&str]) -> String {
        let events = futures_util::stream::iter(events.iter().map(|event| Ok::<_, Infallible>(*event)));
        let response = ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response();
        let body = lapsing(found).answer(response).await.unwrap().into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_stream_tells_nothing_after_its_token() {
        let events = &["data: 1\n\n", ":\n\n", "data: 2\n\n"];
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(told(vec![yes, yes, yes], events).await, events.concat());
        assert_eq!(told(vec![no], events).await, "");
        assert_eq!(told(vec![yes, no], events).await, events[0]);
        // What cannot be found out ends the stream only where something would be told.
        assert_eq!(told(vec![yes, None, yes], events).await, events.concat());
        assert_eq!(told(vec![yes, None, None], events).await, events[..2].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_ends_too() {
        let silence = stream::unbuffered(Sse::new(futures_util::stream::pending::<Result<Event, Infallible>>()));
        let answer = lapsing(vec![Some(true), None, Some(false)]).answer(silence).await;
        assert_eq!(answer.unwrap().into_body().collect().await.unwrap().to_bytes(), ":\n\n:\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_took_long_needs_the_token_still() {
        assert!(lapsing(vec![]).answer("soon".into_response()).await.is_some());
        for (found, is_told) in [(Some(true), true), (Some(false), false), (None, false)] {
            let lapsing = lapsing(vec![found]);
            tokio::time::advance(STREAM_AFTER).await;
            assert_eq!(lapsing.answer("late".into_response()).await.is_some(), is_told, "{found:?}");
        }
    }
}
