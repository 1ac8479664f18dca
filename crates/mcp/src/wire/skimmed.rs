//! Which request a message was that is too long to be kept: read in passing, byte by byte, in little memory.

use serde_json::value::RawValue;

use super::message::{ID_BYTES_MAX, RequestId};

/// What is known of a message of which a part was read.
///
/// Of JSON it finds the id exactly if [`Message::parse`](super::Message::parse) would read a request in it, were it
/// shorter; but members other than `id` and the type of `method` are not looked at, so what is wrong there is not seen.
/// Of text that is no JSON it may find an id or none. It finds none in what is cut off or goes on after its object, so
/// that two messages in one line are not taken for the first. Whatever the text, it keeps no more of it than an id.
#[derive(Debug, Default)]
pub(super) struct Skimmed {
    at: At,
    in_string: bool,
    /// The last byte was a backslash within a string.
    escaped: bool,
    /// Arrays and objects that are open within the value of a member.
    depth: usize,
    /// The member that is being read.
    member: Member,
    /// Its name or, of the id, its value; at most one byte more than an id may have.
    held: Vec<u8>,
    id: Seen<Option<RequestId>>,
    /// Whether the method is a string.
    method: Seen<bool>,
}

/// The id of the request that these pieces are, if they are one.
pub(crate) fn skimmed_by<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<RequestId> {
    let mut skimmed = Skimmed::default();
    pieces.into_iter().for_each(|piece| skimmed.read(piece));
    skimmed.request()
}

/// What comes next, outside of strings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum At {
    #[default]
    Start,
    /// The first name, or the end of an empty object.
    FirstName,
    NextName,
    /// The rest of a name.
    Name,
    Colon,
    Value,
    /// The rest of a value.
    Within,
    /// A comma or the end.
    After,
    End,
    /// It is no object, or has a member twice.
    Lost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Member {
    Id,
    Method,
    #[default]
    Other,
}

/// What a member holds, once it was named.
type Seen<T> = Option<T>;

impl Skimmed {
    /// Reads on.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match self.at {
                At::Lost => return,
                at if self.in_string => self.at = self.after_character(at, byte),
                at => self.at = self.after(at, byte),
            }
        }
    }

    /// The id of the request that was read, if it was one and is whole.
    pub(super) fn request(self) -> Option<RequestId> {
        let is_request = self.at == At::End && self.method == Some(true);
        self.id.flatten().filter(|_| is_request)
    }

    /// The id that is answered by what was read, if it was an answer and is whole.
    pub(super) fn answered(&self) -> Option<RequestId> {
        let is_answer = self.at == At::End && self.method.is_none();
        self.id.clone().flatten().filter(|_| is_answer)
    }

    /// Where it is after a byte outside of strings.
    fn after(&mut self, at: At, byte: u8) -> At {
        match (at, byte) {
            (At::Within, _) => self.after_part_of_value(byte),
            (_, b' ' | b'\t' | b'\r' | b'\n') => at,
            (At::Start, b'{') => At::FirstName,
            (At::FirstName | At::After, b'}') => At::End,
            (At::FirstName | At::NextName, b'"') => {
                self.held.clear();
                self.hold(byte);
                self.in_string = true;
                At::Name
            }
            (At::Colon, b':') => At::Value,
            (At::Value, b',' | b'}' | b']') => At::Lost,
            (At::Value, _) => self.after_begin_of_value(byte),
            (At::After, b',') => At::NextName,
            _ => At::Lost,
        }
    }

    fn after_begin_of_value(&mut self, byte: u8) -> At {
        self.held.clear();
        if self.member == Member::Method {
            self.method = Some(byte == b'"');
        }
        self.after_part_of_value(byte)
    }

    fn after_part_of_value(&mut self, byte: u8) -> At {
        match byte {
            b',' if self.depth == 0 => return self.after_value(At::NextName),
            b'}' if self.depth == 0 => return self.after_value(At::End),
            b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return self.after_value(At::After),
            b']' if self.depth == 0 => return At::Lost,
            _ => self.hold_of_value(byte),
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        At::Within
    }

    /// Where it is after a byte within a string.
    fn after_character(&mut self, at: At, byte: u8) -> At {
        match at {
            At::Name => self.hold(byte),
            _ => self.hold_of_value(byte),
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = false;
                return if at == At::Name { self.after_name() } else { at };
            }
            _ => {}
        }
        at
    }

    fn after_name(&mut self) -> At {
        // Names may be written with escapes, too.
        let name: Option<String> = serde_json::from_slice(&self.held).ok();
        self.member = match name.as_deref() {
            Some("id") => Member::Id,
            Some("method") => Member::Method,
            _ => Member::Other,
        };
        let is_second = match self.member {
            Member::Id => self.id.replace(None).is_some(),
            Member::Method => self.method.replace(false).is_some(),
            Member::Other => false,
        };
        if is_second { At::Lost } else { At::Colon }
    }

    fn after_value(&mut self, next: At) -> At {
        if self.member == Member::Id {
            let raw: Option<&RawValue> = serde_json::from_slice(&self.held).ok();
            self.id = Some(raw.and_then(RequestId::from_raw));
        }
        next
    }

    fn hold_of_value(&mut self, byte: u8) {
        if self.member == Member::Id {
            self.hold(byte);
        }
    }

    /// Keeps a byte, but for those that make it too long to be anything.
    fn hold(&mut self, byte: u8) {
        if self.held.len() <= ID_BYTES_MAX {
            self.held.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    /// What is found when it is read in pieces of that length.
    fn found(text: &[u8], piece: usize) -> Option<String> {
        let mut skimmed = Skimmed::default();
        for bytes in text.chunks(piece) {
            skimmed.read(bytes);
            assert!(skimmed.held.len() <= ID_BYTES_MAX + 1 && skimmed.held.capacity() <= 4 * ID_BYTES_MAX);
        }
        skimmed.request().map(|id| id.as_json().to_owned())
    }

    /// The id of the request that the whole text is.
    fn parsed(text: &[u8]) -> Option<String> {
        Message::parse(text).ok()?.id().map(|id| id.as_json().to_owned())
    }

    #[test]
    fn the_id_of_a_request_is_found_wherever_it_stands() {
        let longest = format!(r#""{}""#, "x".repeat(ID_BYTES_MAX - 2));
        let table: &[(&str, Option<&str>)] = &[
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":[1,{}]}}"#, Some("1")),
            (r#"{"id":-7,"jsonrpc":"2.0","method":"a"}"#, Some("-7")),
            (r#"{"method":"a","params":{"x":"y"},"jsonrpc":"2.0","id":12}"#, Some("12")),
            (r#"{"method":"a","params":{},"jsonrpc":"2.0","id":"z"}"#, Some(r#""z""#)),
            (" { \"method\" : \"a\" , \"jsonrpc\" : \"2.0\" ,\t\"id\" : 1.50 }\r", Some("1.50")),
            (r#"{"jsonrpc":"2.0","id":"a\"}\\","method":"a"}"#, Some(r#""a\"}\\""#)),
            (r#"{"jsonrpc":"2.0","id":"\u00e9 ü ,}","method":"a"}"#, Some(r#""\u00e9 ü ,}""#)),
            (r#"{"jsonrpc":"2.0","\u0069d":1,"m\u0065thod":"a"}"#, Some("1")),
            (r#"{"jsonrpc":"2.0","params":{"id":2,"method":"b"},"id":1,"method":"a"}"#, Some("1")),
            (r#"{"jsonrpc":"2.0","x":[{"id":2}],"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","x":"\",\"id\":2,","method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","method":"id","params":{"id":2}}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"result":{"method":"a","id":2}}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, None),
            (r#"{"jsonrpc":"2.0","id":1}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"method":null}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"method":["a"]}"#, None),
            (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","id":{"id":1},"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","id":null,"id":2,"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#, None),
            (&format!(r#"{{"jsonrpc":"2.0","id":{longest},"method":"a"}}"#), Some(&longest)),
            (&format!(r#"{{"jsonrpc":"2.0","id":1{longest},"method":"a"}}"#), None),
            (&format!(r#"{{"jsonrpc":"2.0","id":{},"method":"a"}}"#, "1".repeat(ID_BYTES_MAX + 1)), None),
            (&format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"a"}}"#, "x".repeat(9 * ID_BYTES_MAX)), None),
            (&format!(r#"{{"{}":0,"jsonrpc":"2.0","id":1,"method":"a"}}"#, "x".repeat(9 * ID_BYTES_MAX)), Some("1")),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#, None),
            ("{}", None),
            ("", None),
            ("7", None),
        ];
        for (text, expected) in table {
            assert_eq!(parsed(text.as_bytes()).as_deref(), *expected, "parsed: {text}");
            for piece in [1, 2, 3, 7, 64, usize::MAX] {
                assert_eq!(found(text.as_bytes(), piece).as_deref(), *expected, "by {piece}: {text}");
            }
        }
    }

    #[test]
    fn what_is_no_whole_object_has_no_id() {
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":[1]}}"#;
        for end in 0..request.len() {
            assert_eq!(found(&request.as_bytes()[..end], 1), None, "{}", &request[..end]);
        }
        for (before, after) in [("", request), ("", "x"), ("", "}"), ("x", ""), ("[", "]"), ("\u{feff}", "")] {
            let text = format!("{before}{request}{after}");
            assert_eq!(found(text.as_bytes(), 1), None, "{text}");
        }
        let texts: [&[u8]; 10] = [
            br#"{"method":"a","id":1,}"#,
            br#"{,"method":"a","id":1}"#,
            br#"{"method":"a","id":}"#,
            br#"{"method":"a","id":1 2}"#,
            br#"{"method":"a","id":1"2"}"#,
            br#"{"method":"a","id":-}"#,
            br#"{"method":"a","id":1]}"#,
            br#"{"method":"a" "id":1}"#,
            br#"{"method":"a","id":1,"x"}"#,
            b"{\"method\":\"a\",\"id\":\"\xff\"}",
        ];
        for text in texts {
            assert_eq!(found(text, 1), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn hostile_text_takes_no_more_room() {
        for text in ["[", "{\"a\":[", "\"", "{\"", "{\"id\":\"", "{\"id\":[", "{\"id\":1", "\\\"", "}", ":,"] {
            assert_eq!(found(text.repeat(100_000).as_bytes(), 8192), None, "{text}");
        }
    }
}
