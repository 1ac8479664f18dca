//! Output with when it came and from which stream, a stretch a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_engine::process::output::{Label, Stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bytes that came one after the other from one stream. Of `text` and `base64` one is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StretchBody {
    /// Where they begin in the output of the attempt.
    pub(crate) offset: u64,
    /// When the stretch began, which may have been with bytes before these; null if nobody knows.
    #[schema(format = DateTime)]
    pub(crate) at: Option<String>,
    /// `stdout` or `stderr`; `merged` if both came in one; null if nobody knows.
    pub(crate) stream: Option<String>,
    /// The bytes, if they are UTF-8.
    text: Option<String>,
    /// The bytes in base64, if they are not UTF-8.
    base64: Option<String>,
}

impl StretchBody {
    /// The stretches of the bytes that begin at `first`.
    pub(crate) fn of(first: u64, bytes: &[u8], labels: &[Label]) -> Vec<Self> {
        let end = first + bytes.len() as u64;
        let unknown = labels.first().map_or(end, |label| label.offset) > first;
        let known = labels.iter().map(|label| (label.offset.max(first), Some(label)));
        let starts: Vec<_> = unknown.then_some((first, None)).into_iter().chain(known).collect();
        let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([end]);
        let stretch = |(&(start, label), end): (&(u64, Option<&Label>), u64)| {
            let within = (start - first) as usize..(end - first) as usize;
            Self::new(start, label, bytes.get(within).unwrap_or_default())
        };
        starts.iter().zip(ends).map(stretch).collect()
    }

    fn new(offset: u64, label: Option<&Label>, bytes: &[u8]) -> Self {
        let stream = label.map(|label| match label.stream {
            Stream::Merged => "merged",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        });
        let (text, base64) = match std::str::from_utf8(bytes) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(bytes))),
        };
        Self { offset, at: label.map(|label| label.at.to_string()), stream: stream.map(str::to_owned), text, base64 }
    }

    /// The bytes; none if neither form is there, or `base64` is none.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let decoded = || STANDARD.decode(self.base64?).ok();
        self.text.map(String::into_bytes).or_else(decoded).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use longshore_domain::Timestamp;

    use super::*;

    #[test]
    fn every_byte_is_in_one_stretch() {
        use Stream::{Merged, Stderr, Stdout};
        let stretches = |labels: &[(u64, Stream)]| {
            let at = Timestamp::default();
            let labels: Vec<_> = labels.iter().map(|&(offset, stream)| Label { offset, at, stream }).collect();
            let stretches = StretchBody::of(5, b"a\xffbc", &labels);
            let seen = stretches.iter().map(|seen| (seen.offset, seen.stream.clone(), seen.clone().into_bytes()));
            seen.collect::<Vec<_>>()
        };
        let seen = |offset, stream: Option<&str>, bytes: &[u8]| (offset, stream.map(str::to_owned), bytes.to_vec());
        assert_eq!(stretches(&[]), [seen(5, None, b"a\xffbc")]);
        assert_eq!(stretches(&[(5, Merged)]), [seen(5, Some("merged"), b"a\xffbc")]);
        let two = [seen(5, Some("stdout"), b"a\xff"), seen(7, Some("stderr"), b"bc")];
        assert_eq!(stretches(&[(2, Stdout), (7, Stderr)]), two);
        assert_eq!(stretches(&[(6, Stderr)]), [seen(5, None, b"a"), seen(6, Some("stderr"), b"\xffbc")]);
        assert_eq!(StretchBody::of(5, b"", &[]), []);
    }
}
