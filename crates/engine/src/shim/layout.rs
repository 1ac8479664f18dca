//! Where the bytes of an output lie in its files. Written by shims, read by daemons of any later version.
//!
//! Up to the cap the data file is simply the output. Beyond it the head stays and the rest of the file is a ring that
//! holds the newest bytes. A side file has a header and entries that tell when bytes came, and from which stream.

use std::ops::Range;
use std::path::{Path, PathBuf};

use longshore_domain::Timestamp;

/// How head and ring share the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes that stay from the beginning.
    pub head_cap: u64,
    /// Size of the ring.
    pub tail_cap: u64,
}

/// Some bytes of the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Position in the file.
    pub physical: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Layout {
    /// The layout for a cap: a fifth for the head.
    pub const fn for_cap(cap: u64) -> Self {
        Self { head_cap: cap / 5, tail_cap: cap - cap / 5 }
    }

    /// Bytes that are kept.
    pub const fn cap(self) -> u64 {
        self.head_cap.saturating_add(self.tail_cap)
    }

    /// Where the byte at a logical offset lies.
    pub const fn physical(self, offset: u64) -> u64 {
        match offset.checked_sub(self.head_cap) {
            None => offset,
            Some(into_tail) if self.tail_cap > 0 => self.head_cap + into_tail % self.tail_cap,
            Some(_) => self.head_cap,
        }
    }

    /// The first unbroken part of a range.
    pub fn extent(self, range: &Range<u64>) -> Extent {
        let physical = self.physical(range.start);
        let end = if range.start < self.head_cap { self.head_cap } else { self.cap() };
        Extent { physical, length: (range.end - range.start).min(end - physical) }
    }
}

/// Path of the side file of an output.
pub fn index_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".idx");
    name.into()
}

/// Beginning of the side file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How the data file is laid out.
    pub layout: Layout,
    /// Bytes written so far; 0 until the ring goes round for the first time: till then it is the file's size.
    pub total: u64,
    /// Bytes that will have been written after the write under way, which may already have destroyed older ones.
    pub reserved: u64,
}

impl Header {
    /// Size of the header in bytes.
    pub const BYTES: usize = 64;
    /// Where `total` and `reserved` lie.
    pub const TOTAL_AT: u64 = 32;
    const MAGIC: [u8; 8] = *b"lshore\0\0";
    const VERSION: u64 = 1;

    /// The header as bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&Self::MAGIC);
        let fields = [Self::VERSION, self.layout.head_cap, self.layout.tail_cap, self.total, self.reserved];
        for (slot, field) in bytes[8..].chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Reads a header; nothing if it is none, or of a later kind.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let field = |at: usize| u64_at(bytes, 8 * at);
        let known = bytes[..8] == Self::MAGIC && field(1) == Self::VERSION;
        let layout = Layout { head_cap: field(2), tail_cap: field(3) };
        known.then(|| Self { layout, total: field(4), reserved: field(5) })
    }
}

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Standard output and standard error in one, or not known.
    Merged = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

impl Stream {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Stdout,
            2 => Self::Stderr,
            _ => Self::Merged,
        }
    }
}

/// What is known of the bytes from an offset up to the next label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// First byte that it is about.
    pub offset: u64,
    /// When that byte was read from the command.
    pub at: Timestamp,
    /// Where the bytes came from.
    pub stream: Stream,
}

impl Label {
    /// Size of a label in bytes.
    pub const BYTES: usize = 16;
    const TIME_BITS: u32 = 56;

    /// The label as bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let time = u64::try_from(self.at.as_millis()).unwrap_or(0) & ((1 << Self::TIME_BITS) - 1);
        let packed = time | (self.stream as u64) << Self::TIME_BITS;
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&packed.to_le_bytes());
        bytes
    }

    /// Reads a label.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let packed = u64_at(bytes, 8);
        let time = packed & ((1 << Self::TIME_BITS) - 1);
        Self {
            offset: u64_at(bytes, 0),
            at: Timestamp::from_millis(i64::try_from(time).unwrap_or(0)),
            stream: Stream::from_number((packed >> Self::TIME_BITS) as u8),
        }
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_label_survive_the_disk() {
        let header = Header { layout: Layout::for_cap(1_000), total: 7, reserved: 9 };
        assert_eq!(Header::from_bytes(&header.to_bytes()), Some(header));
        assert_eq!(Header::from_bytes(&[0; 64]), None);
        let label = Label { offset: 3, at: Timestamp::from_millis(1_795_000_000_123), stream: Stream::Stderr };
        assert_eq!(Label::from_bytes(&label.to_bytes()), label);
    }

    #[test]
    fn extents_cover_ranges_without_overlap() {
        let layout = Layout { head_cap: 10, tail_cap: 40 };
        assert_eq!(layout.extent(&(0..100)), Extent { physical: 0, length: 10 });
        assert_eq!(layout.extent(&(10..100)), Extent { physical: 10, length: 40 });
        assert_eq!(layout.extent(&(49..100)), Extent { physical: 49, length: 1 });
        assert_eq!(layout.extent(&(50..55)), Extent { physical: 10, length: 5 });
    }
}
