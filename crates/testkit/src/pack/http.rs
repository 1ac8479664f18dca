//! HTTP as it is on the wire: one POST for each message, JSON or an event stream back.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::message::Message;
use super::wire::{MESSAGES_MAX, Open, Owned};

/// Connections to one endpoint, kept alive, and the headers that say who is asking.
#[derive(Clone)]
pub(crate) struct Http {
    authority: String,
    path: String,
    pub(crate) headers: Vec<(String, String)>,
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
}

impl Http {
    /// # Errors
    /// The URL is not `http://host:port/path`; TLS ends before the server under test.
    pub(crate) fn new(url: &str, headers: Vec<(String, String)>) -> Result<Http> {
        let Some(rest) = url.strip_prefix("http://") else {
            bail!("`{url}` does not begin with http://; to check a server behind TLS give its plain endpoint")
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Http { authority: authority.to_owned(), path: format!("/{path}"), headers, idle: Arc::default() })
    }

    /// Sends one request. Of two headers with the same name the last one holds; one without a value is left out.
    pub(crate) async fn send(&self, method: &str, headers: &[(String, Option<String>)], body: String) -> Result<Open> {
        let mut all: Vec<(String, Option<String>)> = vec![
            ("Host".to_owned(), Some(self.authority.clone())),
            ("Content-Type".to_owned(), Some("application/json".to_owned())),
            ("Accept".to_owned(), Some("application/json, text/event-stream".to_owned())),
        ];
        let own = self.headers.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        for (name, value) in own.chain(headers.iter().cloned()) {
            all.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
            all.push((name, value));
        }
        let mut request = hyper::Request::builder().method(method).uri(&self.path);
        for (name, value) in all.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body.clone())))?;
        let mut sender = self.connection().await?;
        let response = sender.send_request(request).await.context("the server did not answer the HTTP request")?;
        let status = response.status().as_u16();
        let headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let kind = headers.iter().find(|(name, _)| name == "content-type").map_or("", |(_, value)| value);
        let stream = kind.starts_with("text/event-stream");
        let (messages, incoming) = mpsc::channel(MESSAGES_MAX);
        let idle = Arc::clone(&self.idle);
        let reader = tokio::spawn(async move {
            let whole = if stream {
                read_events(response.into_body(), &messages).await
            } else {
                read_whole(response.into_body(), &messages).await
            };
            if whole.is_ok() && sender.ready().await.is_ok() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
            }
        });
        Ok(Open::new(Some(status), headers, body, incoming, Some(Owned(reader))))
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(sender) if sender.is_closed() => {}
                Some(sender) => return Ok(sender),
                None => break,
            }
        }
        let socket = TcpStream::connect(&self.authority).await;
        let socket = socket.with_context(|| format!("no connection to {}", self.authority))?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn read_whole(body: Incoming, messages: &mpsc::Sender<Message>) -> Result<()> {
    let bytes = body.collect().await?.to_bytes();
    if !bytes.is_empty() {
        messages.send(Message::read(std::str::from_utf8(&bytes)?)).await?;
    }
    Ok(())
}

async fn read_events(mut body: Incoming, messages: &mpsc::Sender<Message>) -> Result<()> {
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            for text in events.feed(data)? {
                messages.send(Message::read(&text)).await?;
            }
        }
    }
    Ok(())
}

/// The data of server-sent events, put together from pieces of any size.
#[derive(Default)]
pub(crate) struct Events {
    rest: Vec<u8>,
    data: Vec<String>,
}

impl Events {
    /// The data of the events that `bytes` complete. Comments, priming events without data and other fields are skipped.
    ///
    /// # Errors
    /// A line that no event stream has.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>> {
        self.rest.extend_from_slice(bytes);
        let mut whole = vec![];
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = std::str::from_utf8(&line)?.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let data = std::mem::take(&mut self.data).join("\n");
                whole.extend((!data.is_empty()).then_some(data));
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            ensure!(["", "data", "event", "id", "retry"].contains(&field), "`{line}` is no line of an event stream");
            if field == "data" {
                self.data.push(value.to_owned());
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_out_of_any_pieces() {
        let stream = b": hello\n\nid: 1\ndata:\n\nevent: message\ndata: {\"a\":\ndata: 1}\n\r\ndata: {}\r\n\r\n";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let found: Vec<String> =
                stream.chunks(size).flat_map(|piece| events.feed(piece).expect("an event stream")).collect();
            assert_eq!(found, ["{\"a\":\n1}", "{}"], "pieces of {size}");
        }
        assert!(Events::default().feed(b"{\"jsonrpc\":\"2.0\"}\n").is_err());
    }
}
