//! Newline-delimited messages over any byte stream, with a limit on their length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::message::RequestId;
use super::skimmed::Skimmed;

/// Room made for each read.
const READ_BYTES: usize = 8 * 1024;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// One line without its end.
    Whole(Vec<u8>),
    /// A line with more bytes than the limit; it was skipped. With its id, if it was a request.
    TooLong(Option<RequestId>),
    /// Another one that was skipped: the answer to this request.
    TooLongAnswer(RequestId),
}

/// Reads lines of bounded length.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    source: R,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are known to hold no newline.
    searched: usize,
    bytes_max: usize,
    /// What is known of the line that is being skipped.
    skipping: Option<Skimmed>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// A reader that skips lines longer than `bytes_max`.
    pub(crate) fn new(source: R, bytes_max: usize) -> Self {
        Self { source, buffer: Vec::new(), searched: 0, bytes_max, skipping: None }
    }

    /// The next line that is not empty, or nothing at the end of input; a last line needs no newline. Cancel safe.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take_line() {
                match line {
                    Line::Whole(text) if text.iter().all(u8::is_ascii_whitespace) => continue,
                    line => return Ok(Some(line)),
                }
            }
            self.drop_excess();
            self.buffer.reserve(READ_BYTES);
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return Ok(self.take_rest());
            }
        }
    }

    fn take_line(&mut self) -> Option<Line> {
        let Some(found) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        self.searched = 0;
        line.truncate(end);
        Some(self.finished(line))
    }

    fn finished(&mut self, line: Vec<u8>) -> Line {
        match self.skipping.take() {
            None if line.len() <= self.bytes_max => Line::Whole(line),
            skipping => {
                let mut skimmed = skipping.unwrap_or_default();
                skimmed.read(&line);
                match skimmed.answered() {
                    Some(id) => Line::TooLongAnswer(id),
                    None => Line::TooLong(skimmed.request()),
                }
            }
        }
    }

    /// Forgets what is already known to belong to a line that is too long.
    fn drop_excess(&mut self) {
        if self.buffer.len() > self.bytes_max {
            self.skipping.get_or_insert_default().read(&self.buffer);
            self.buffer.clear();
            self.searched = 0;
        }
    }

    fn take_rest(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.buffer);
        self.searched = 0;
        let empty = line.iter().all(u8::is_ascii_whitespace) && self.skipping.is_none();
        (!empty).then(|| self.finished(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8], bytes_max: usize) -> Vec<String> {
        let mut reader = LineReader::new(input, bytes_max);
        let mut found = vec![];
        while let Some(line) = reader.next().await.unwrap() {
            found.push(match line {
                Line::Whole(text) => String::from_utf8(text).unwrap(),
                Line::TooLong(None) => "<too long>".into(),
                Line::TooLongAnswer(id) => format!("<too long answer: {}>", id.as_json()),
                Line::TooLong(Some(id)) => format!("<too long: {}>", id.as_json()),
            });
        }
        found
    }

    #[tokio::test]
    async fn lines_are_split_and_long_ones_skipped() {
        let cases: &[(&[u8], &[&str])] = &[
            (b"", &[]),
            (b"a\nb\n", &["a", "b"]),
            (b"a\r\n\n \nb", &["a\r", "b"]),
            (b"123456789\nb\n", &["<too long>", "b"]),
            (b"12345678\n", &["12345678"]),
            (b"a\n123456789", &["a", "<too long>"]),
        ];
        for (input, expected) in cases {
            assert_eq!(lines(input, 8).await, *expected, "{}", String::from_utf8_lossy(input));
        }
        let long = [vec![b'x'; 3_000_000], b"\nend\n".to_vec()].concat();
        assert_eq!(lines(&long, 100).await, ["<too long>", "end"]);
    }

    #[tokio::test]
    async fn of_a_long_answer_it_is_known_what_it_answers() {
        let long = "x".repeat(90);
        let answers = format!("{{\"id\":1,\"result\":\"{long}\"}}\n{{\"error\":\"{long}\",\"id\":\"2\"}}");
        assert_eq!(lines(answers.as_bytes(), 80).await, ["<too long answer: 1>", "<too long answer: \"2\">"]);
        let unknown = format!("{{\"id\":null,\"error\":\"{long}\"}}\n{{\"id\":1,\"result\":\"{long}");
        assert_eq!(lines(unknown.as_bytes(), 80).await, ["<too long>", "<too long>"]);
    }

    #[tokio::test]
    async fn of_a_long_request_the_id_is_known_and_forgotten_with_it() {
        let request = |x: usize| format!(r#"{{"method":"a","x":"{}","id":{x}}}"#, "x".repeat(x));
        let notification = format!(r#"{{"method":"a","x":"{}"}}"#, "x".repeat(90));
        for x in [90, 91, READ_BYTES, 3_000_000] {
            let input = format!("{}\n{notification}\n{}\r\n{}", request(x), request(95), request(96));
            let expected = [format!("<too long: {x}>"), "<too long>".into(), "<too long: 95>".into()];
            let last = "<too long: 96>".to_owned();
            assert_eq!(lines(input.as_bytes(), 100).await, [&expected[..], &[last]].concat());
            // What was cut off is no request.
            assert_eq!(lines(&request(x).as_bytes()[..x], 80).await, ["<too long>"]);
        }
    }
}
