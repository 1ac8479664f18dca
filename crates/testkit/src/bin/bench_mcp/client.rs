//! A client that costs next to nothing: one connection, one request at a time, bytes in and bytes out.

use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::daemon::{Daemon, PAUSED};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

impl Era {
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }
}

/// A request without its id, the same whoever is asked.
pub(crate) struct Ask {
    headers: String,
    /// What follows the id in the body.
    rest: String,
}

impl Ask {
    /// `name` is what the header `Mcp-Name` repeats.
    pub(crate) fn new(era: Era, method: &str, name: &str, mut params: Value) -> Self {
        let mut headers = format!("MCP-Protocol-Version: {}\r\n", era.version());
        if era == Era::Modern {
            headers += &format!("Mcp-Method: {method}\r\n");
            if !name.is_empty() {
                headers += &format!("Mcp-Name: {name}\r\n");
            }
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": era.version(),
                "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
                "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
            });
        }
        Self { headers, rest: format!(r#","method":"{method}","params":{params}}}"#) }
    }

    pub(crate) fn tool(era: Era, tool: &str, arguments: &Value) -> Self {
        Self::new(era, "tools/call", tool, json!({ "name": tool, "arguments": arguments }))
    }
}

static SUBMIT: LazyLock<Ask> = LazyLock::new(|| {
    let run = json!({ "command": ["true"], "cwd": "/", "queue": PAUSED, "background": true });
    Ask::tool(Era::Legacy, "run", &run)
});

pub(crate) struct Connection {
    stream: TcpStream,
    head: String,
    request: Vec<u8>,
    buffer: Vec<u8>,
    next_id: u64,
}

impl Connection {
    pub(crate) async fn open(address: &str, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        );
        Ok(Self { stream, head, request: vec![], buffer: Vec::with_capacity(8192), next_id: 1 })
    }

    pub(crate) async fn to(daemon: &Daemon) -> Result<Self> {
        Self::open(&daemon.address, &daemon.token).await
    }

    async fn send(&mut self, ask: &Ask) -> Result<()> {
        let start = format!(r#"{{"jsonrpc":"2.0","id":{}"#, self.next_id);
        self.next_id += 1;
        let length = format!("Content-Length: {}\r\n\r\n", start.len() + ask.rest.len());
        self.request.clear();
        for part in [&self.head, &ask.headers, &length, &start, &ask.rest] {
            self.request.extend_from_slice(part.as_bytes());
        }
        Ok(self.stream.write_all(&self.request).await?)
    }

    /// The body of the answer, which must be a success in HTTP and hold `expected`.
    pub(crate) async fn ask(&mut self, ask: &Ask, expected: &str) -> Result<&str> {
        self.send(ask).await?;
        let (from, to) = self.read_answer().await?;
        let body = std::str::from_utf8(&self.buffer[from..to])?;
        ensure!(body.contains(expected), "expected {expected} in {body}");
        Ok(body)
    }

    /// The answer of a tool of ours, which must have succeeded.
    pub(crate) async fn tool(&mut self, ask: &Ask) -> Result<&str> {
        let body = self.ask(ask, r#""structuredContent":{"#).await?;
        ensure!(!body.contains(r#""isError":true"#), "{body}");
        Ok(body)
    }

    /// Submits a job that is never started; returns its id, which is that of its task.
    pub(crate) async fn submit(&mut self) -> Result<String> {
        let answer = self.tool(&SUBMIT).await?;
        // Within the text for models its quotes are escaped.
        let id = answer.split_once(r#""job":""#).and_then(|(_, rest)| rest.split_once('"'));
        Ok(id.with_context(|| format!("a job in {answer}"))?.0.to_owned())
    }

    /// Sends a request that is answered by a stream; reads it until `expected` has come `times` times.
    pub(crate) async fn listen(&mut self, ask: &Ask, expected: &str, times: usize) -> Result<()> {
        self.send(ask).await?;
        self.buffer.clear();
        let (mut found, mut at) = (0, 0);
        while found < times {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the stream ended after {found} of {times}");
            while let Some(next) = self.buffer[at..].windows(expected.len()).position(|w| w == expected.as_bytes()) {
                found += 1;
                at += next + expected.len();
            }
            at = at.max(self.buffer.len().saturating_sub(expected.len() - 1));
            self.buffer.drain(..at);
            at = 0;
        }
        Ok(())
    }

    /// Where in the buffer the body of the next answer is.
    async fn read_answer(&mut self) -> Result<(usize, usize)> {
        self.buffer.clear();
        loop {
            self.read_more().await?;
            let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.with_context(|| format!("a length in {head}"))?.trim().parse()?;
            let to = end + 4 + length;
            while self.buffer.len() < to {
                self.read_more().await?;
            }
            ensure!(head.starts_with("http/1.1 200"), "{}", String::from_utf8_lossy(&self.buffer));
            return Ok((end + 4, to));
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
        Ok(())
    }
}
