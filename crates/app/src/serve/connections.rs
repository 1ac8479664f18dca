//! HTTP over TCP: one task for each connection.
//!
//! In place of `axum::serve`, which leaves no room to say how the task of a connection is polled.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::at_once::AtOnce;
use super::crowd::{Crowd, Place};

/// Lets callers in until `stopped`, then waits for the requests under way. Connections without one end at once, and before
/// that where there are too many.
///
/// `answer` is given each request with the address that it comes from.
pub(super) async fn serve<A, F>(mut listener: TcpListener, answer: A, crowd: Crowd, stopped: CancellationToken)
where
    A: Fn(IpAddr, Request) -> F + Clone + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let connections = TaskTracker::new();
    while let Some((stream, address)) = stopped.run_until_cancelled(accept(&mut listener)).await {
        let Some(place) = crowd.enter() else {
            tracing::warn!(from = %address, "a caller was turned away: all connections have requests under way");
            continue;
        };
        let connection = serve_one(stream, address.ip(), answer.clone(), place, stopped.clone());
        connections.spawn(AtOnce::new(connection));
    }
    // Whoever comes now finds no door, and waits for the next daemon.
    drop(listener);
    crowd.disperse();
    connections.close();
    connections.wait().await;
}

/// Lets the next caller in; small answers to it are sent at once.
async fn accept(listener: &mut TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, address) = Listener::accept(listener).await;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small answers may be delayed");
    }
    (stream, address)
}

async fn serve_one<A, F>(stream: TcpStream, from: IpAddr, answer: A, place: Arc<Place>, stopped: CancellationToken)
where
    A: Fn(IpAddr, Request) -> F + Send,
    F: Future<Output = Response> + Send,
{
    let own_place = Arc::clone(&place);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let busy = own_place.busy();
        let answer = answer(from, request.map(Body::new));
        async move { Ok::<_, Infallible>(busy.until_sent(answer.await)) }
    });
    let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = place.gives_way() => Ok(()),
        () = stopped.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                served = connection.as_mut() => served,
                () = place.gives_way() => Ok(()),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn ask(address: SocketAddr) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        stream
    }

    /// Everything until the other side closes.
    async fn read_all(mut stream: std::net::TcpStream) -> String {
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text).unwrap()
        });
        reading.await.unwrap()
    }

    #[tokio::test]
    async fn what_is_under_way_is_answered_when_the_door_closes() {
        let stopped = CancellationToken::new();
        let (asked, answer) = (CancellationToken::new(), CancellationToken::new());
        let (has_asked, may_answer) = (asked.clone(), answer.clone());
        let waiting = move |_, _| {
            let (has_asked, may_answer) = (has_asked.clone(), may_answer.clone());
            async move {
                has_asked.cancel();
                may_answer.cancelled().await;
                Response::new("late".into())
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, waiting, Crowd::of_at_most(8), stopped.clone()));
        let idle = std::net::TcpStream::connect(address).unwrap();
        let caller = ask(address);
        asked.cancelled().await;
        stopped.cancel();
        assert_eq!(read_all(idle).await, "", "a connection without a request ends");
        answer.cancel();
        let told = read_all(caller).await;
        assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("late"), "{told}");
        serving.await.unwrap();
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody is let in any more");
    }

    #[tokio::test]
    async fn callers_are_answered_without_delay() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let caller = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, from) = accept(&mut listener).await;
        assert_eq!(from, caller.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn those_who_say_nothing_keep_nobody_out() {
        let stopped = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = |_, _| async { Response::new("here".into()) };
        let serving = tokio::spawn(serve(listener, answer, Crowd::of_at_most(3), stopped.clone()));
        let mut silent: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        silent.iter_mut().for_each(|stream| stream.write_all(b"GET / HTTP/1.1\r\nho").unwrap());
        let mut caller = ask(address);
        let mut told = [0; 12];
        let told = tokio::task::spawn_blocking(move || caller.read_exact(&mut told).map(|()| told));
        assert_eq!(&told.await.unwrap().unwrap(), b"HTTP/1.1 200");
        let mut first = silent.remove(0);
        let heard = tokio::task::spawn_blocking(move || first.read(&mut [0; 1]));
        assert!(matches!(heard.await.unwrap(), Ok(0) | Err(_)), "it has given way");
        stopped.cancel();
        serving.await.unwrap();
    }
}
