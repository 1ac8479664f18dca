//! A client of the HTTP interface: one connection, one request at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub(crate) struct Line {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Line {
    pub(crate) fn open(address: &str, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let head = format!(
            "Host: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: "
        );
        Ok(Self { stream: BufReader::new(stream), head })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        self.ask("GET", path, "")
    }

    /// The body of the answer, which must be a success.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        let request = format!("{method} /api/v1{path} HTTP/1.1\r\n{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut first, mut length) = (String::new(), 0);
        self.stream.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            match line.trim_end().to_ascii_lowercase().strip_prefix("content-length:") {
                Some(number) => length = number.trim().parse()?,
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        ensure!(first.starts_with("HTTP/1.1 2"), "{method} {path}: {first}{}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).with_context(|| format!("what {method} {path} answered"))
    }
}
