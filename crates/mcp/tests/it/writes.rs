//! How answers leave over HTTP: a small one whole, by a single write.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use axum::serve::Listener;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::kit::{Kit, modern_meta};
use crate::peer::{router, run};

/// Bytes of each write of the server, oldest first.
type Writes = Arc<Mutex<Vec<usize>>>;

/// A door whose connections count what is written to them.
struct Counting(TcpListener, Writes);

struct Counted(TcpStream, Writes);

impl Listener for Counting {
    type Io = Counted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Counted, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Counted(stream, Arc::clone(&self.1)), address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Counted {
    fn count(&self, written: &std::io::Result<usize>) {
        self.1.lock().unwrap().extend(written.as_ref().ok());
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0).poll_write(cx, bytes));
        self.count(&written);
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0).poll_write_vectored(cx, parts));
        self.count(&written);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A client with one connection to a server of its own.
struct Caller {
    stream: BufReader<TcpStream>,
    writes: Writes,
    _served: AbortOnDropHandle<()>,
}

/// What came: the head, and of an answer of known length the body.
struct Answer {
    head: String,
    body: Option<String>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| *other == name).map(|(_, value)| value)
    }
}

impl Caller {
    async fn new(kit: &Kit) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = door.local_addr().unwrap();
        let writes = Writes::default();
        let serving = axum::serve(Counting(door, Arc::clone(&writes)), router(kit, "owner"));
        let served = tokio::spawn(async move { serving.await.unwrap() });
        let stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        Self { stream, writes, _served: AbortOnDropHandle::new(served) }
    }

    /// Asks as a modern client, or with `legacy` as one of a version without sessions.
    async fn ask(&mut self, method: &str, mut params: Value, legacy: bool) -> Answer {
        let name = params["name"].as_str().map(|name| format!("mcp-name: {name}\r\n")).unwrap_or_default();
        let headers = match legacy {
            true => String::new(),
            false => format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{name}"),
        };
        if !legacy {
            params["_meta"] = modern_meta();
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let accept = "application/json, text/event-stream";
        let length = body.len();
        let head = format!("POST /mcp HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\ncontent-length: {length}\r\n");
        self.writes.lock().unwrap().clear();
        self.stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).await.unwrap();
        self.hear().await
    }

    async fn hear(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        let mut answer = Answer { head, body: None };
        if let Some(length) = answer.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut body).await.unwrap();
            answer.body = Some(String::from_utf8(body).unwrap());
        }
        answer
    }

    fn writes(&self) -> Vec<usize> {
        self.writes.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_small_answer_is_one_body_of_json_and_one_write() {
    let kit = Kit::new().await;
    let mut caller = Caller::new(&kit).await;
    let list = json!({ "name": "job_list", "arguments": {} });
    let handle = run(&kit, "true", &json!({ "start_in_s": 1000, "background": true }));
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    for (method, params, legacy, status) in [
        ("server/discover", json!({}), false, 200),
        ("tools/list", json!({}), false, 200),
        ("tools/call", list.clone(), false, 200),
        ("tools/call", handle, false, 200),
        ("tasks/get", json!({ "taskId": "j_unknown" }), false, 400),
        ("no/such/method", json!({}), false, 404),
        ("initialize", hello, true, 200),
        ("tools/call", list, true, 200),
    ] {
        let answer = caller.ask(method, params, legacy).await;
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status} ")), "{method}: {}", answer.head);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method}");
        let body = answer.body.unwrap_or_else(|| panic!("{method}: {}", answer.head));
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["id"], 1, "{method}");
        assert_eq!(caller.writes(), [answer.head.len() + body.len()], "{method}");
    }
}

/// That the count can say otherwise.
#[tokio::test]
async fn an_answer_that_takes_long_is_a_stream_of_several_writes() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let mut caller = Caller::new(&kit).await;
    let answer = caller.ask("tools/call", run(&kit, &gate.line(), &json!({})), false).await;
    assert_eq!((answer.header("content-type"), answer.body.as_deref()), (Some("text/event-stream"), None));
    gate.open().await;
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert_ne!(caller.stream.read_line(&mut line).await.unwrap(), 0);
    }
    assert!(caller.writes().len() > 1, "{:?}", caller.writes());
}
