//! The nodes' HTTP interface, over connections that are kept.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use longshore_testkit::Dice;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::node::Node;

/// Longest wait for an answer while nodes are disturbed.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// A node that did not answer is left alone for so long, as a proxy would do.
const AVOIDED: Duration = Duration::from_secs(2);

/// One caller's connections to all nodes.
pub(crate) struct Lines<'n> {
    nodes: &'n [Node],
    runtime: Runtime,
    lines: Vec<Line>,
}

#[derive(Default)]
struct Line {
    kept: Option<Sender>,
    silent_at: Option<Instant>,
}

/// What a node said.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// # Errors
    /// What the node said instead, if it is no JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| String::from_utf8_lossy(&self.body).into_owned())
    }
}

impl<'n> Lines<'n> {
    pub(crate) fn to(nodes: &'n [Node]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { nodes, runtime, lines: nodes.iter().map(|_| Line::default()).collect() })
    }

    /// What the node at this place answers to a GET, or to a POST if there is a body; nothing if no answer comes.
    pub(crate) fn ask(&mut self, at: usize, path: &str, body: Option<&Value>) -> Option<Answer> {
        let kept = self.lines[at].kept.take();
        let exchange = exchange(&self.nodes[at], kept, path, body);
        let answered = self.runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, exchange).await });
        self.lines[at].silent_at = answered.is_err().then(Instant::now);
        let (sender, answer) = answered.ok()?.ok()?;
        self.lines[at].kept = Some(sender);
        Some(answer)
    }

    /// The place of a node that has not just been silent, if there is one.
    pub(crate) fn any(&self, dice: &mut Dice) -> usize {
        let is_silent = |line: &Line| line.silent_at.is_some_and(|at| at.elapsed() < AVOIDED);
        let heard: Vec<_> = (0..self.lines.len()).filter(|at| !is_silent(&self.lines[*at])).collect();
        match heard.len() {
            0 => dice.roll(self.lines.len() as u64) as usize,
            count => heard[dice.roll(count as u64) as usize],
        }
    }
}

type Sender = SendRequest<Full<Bytes>>;

async fn exchange(node: &Node, kept: Option<Sender>, path: &str, body: Option<&Value>) -> Result<(Sender, Answer)> {
    let mut sender = match kept {
        Some(sender) if !sender.is_closed() => sender,
        _ => connect(node).await?,
    };
    let request = Request::builder()
        .method(if body.is_some() { "POST" } else { "GET" })
        .uri(path)
        .header("Host", node.listen.to_string())
        .header("Authorization", format!("Bearer {}", node.token()?))
        .header("Content-Type", "application/json");
    let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let response = sender.send_request(request.body(Full::new(Bytes::from(bytes)))?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((sender, Answer { status, body }))
}

async fn connect(node: &Node) -> Result<Sender> {
    let socket = TcpStream::connect(node.listen).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
