//! Reads what attempts printed, also while they go on printing.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub use super::labels::Labelled;
use super::last_lines::LastLines;
use crate::shim::layout::{Header, Layout};
pub use crate::shim::layout::{Label, Stream, index_path};

/// Tries to read bytes that a ring keeps overwriting.
const TRIES_MAX: usize = 8;
/// Bytes looked through at once for beginnings of lines.
const SCAN_BYTES: u64 = 64 * 1024;

/// The output of one attempt. Opened anew for each use; two readers never disturb one another or the shim.
#[derive(Debug)]
pub struct OutputFile {
    data: Option<File>,
    index: Option<File>,
}

/// How much there is, and how much of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Bytes printed so far that reached the disk.
    pub total: u64,
    /// Bytes that are kept from the beginning.
    pub head_cap: u64,
    /// Bytes that are kept from the end.
    pub tail_cap: u64,
}

/// Some bytes of an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Where the bytes begin: the asked position, or the end of the part after it that is not kept.
    pub offset: u64,
    /// The bytes exactly as they were printed.
    pub bytes: Vec<u8>,
    /// Where to go on.
    pub next_offset: u64,
    /// Bytes between the asked position and `offset`.
    pub gap: u64,
}

/// What can be read at one instant: all before `head_end`, and from `floor` up to `total`.
#[derive(Clone, Copy, Debug)]
struct View {
    layout: Layout,
    total: u64,
    head_end: u64,
    floor: u64,
}

impl OutputFile {
    /// Opens the output at a path. One that is not there is empty.
    ///
    /// # Errors
    /// If it is there but cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let data = open(path)?;
        let index = if data.is_some() { open(&index_path(path))? } else { None };
        Ok(Self { data, index })
    }

    /// Bytes printed so far that reached the disk.
    pub fn total(&self) -> u64 {
        self.facts().total
    }

    /// How much there is, and how much of it is kept.
    pub fn facts(&self) -> Facts {
        let view = self.view();
        Facts { total: view.total, head_cap: view.layout.head_cap, tail_cap: view.layout.tail_cap }
    }

    /// The stretches that are kept, as they are now.
    pub fn kept(&self) -> Vec<Range<u64>> {
        let view = self.view();
        match view.floor > view.head_end {
            true => vec![0..view.head_end, view.floor..view.total],
            false => std::iter::once(0..view.total).collect(),
        }
    }

    /// Reads at most `max` bytes from a position on. Never returns bytes that were overwritten meanwhile.
    ///
    /// An empty chunk with `next_offset` equal to the asked position means that there is nothing new.
    ///
    /// # Errors
    /// The system's own, and if the output is written faster than it can be read.
    pub fn read(&self, offset: u64, max: usize) -> io::Result<Chunk> {
        let Some(data) = &self.data else { return Ok(nothing_at(offset)) };
        for _ in 0..TRIES_MAX {
            let before = self.view();
            let start = if offset >= before.head_end { offset.max(before.floor) } else { offset };
            if start >= before.total {
                return Ok(nothing_at(offset));
            }
            let contiguous = if start < before.head_end { before.head_end } else { before.total };
            let end = contiguous.min(start.saturating_add(max as u64));
            let bytes = read_range(data, before.layout, start..end)?;
            if let Some(chunk) = still_good(self.view(), offset, start, bytes) {
                return Ok(chunk);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the output is written faster than it can be read"))
    }

    /// Where the last lines begin; a last line without a newline counts, and the part that is not kept ends a line.
    ///
    /// # Errors
    /// As [`OutputFile::read`].
    pub fn tail_start(&self, lines: usize) -> io::Result<u64> {
        let kept = self.kept();
        if lines == 0 {
            return Ok(kept.last().map_or(0, |last| last.end));
        }
        let mut last_lines = LastLines::new(lines);
        for stretch in kept.iter().rev() {
            let mut end = stretch.end;
            while end > stretch.start {
                let start = end.saturating_sub(SCAN_BYTES).max(stretch.start);
                if let Some(beginning) = last_lines.look(stretch, start, &self.read_all(start..end)?) {
                    return Ok(beginning);
                }
                end = start;
            }
        }
        Ok(0)
    }

    fn read_all(&self, mut range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        while range.start < range.end {
            let chunk = self.read(range.start, usize::try_from(range.end - range.start).unwrap_or(usize::MAX))?;
            if chunk.bytes.is_empty() {
                break;
            }
            // A part that was overwritten meanwhile counts as bytes without newlines.
            bytes.resize(bytes.len() + usize::try_from(chunk.gap).unwrap_or(0), 0);
            bytes.extend_from_slice(&chunk.bytes);
            range.start = chunk.next_offset;
        }
        Ok(bytes)
    }

    /// When the bytes of a range came and from which stream.
    ///
    /// # Errors
    /// The system's own.
    pub fn labels(&self, range: Range<u64>) -> io::Result<Labelled> {
        let index = self.index.as_ref().filter(|index| read_header(index).is_some());
        let Some(index) = index else { return Ok(Labelled { labels: vec![], until: range.end }) };
        let count = index.metadata()?.len().saturating_sub(Header::BYTES as u64) / Label::BYTES as u64;
        super::labels::find(range, count, |number| label_at(index, number))
    }

    fn view(&self) -> View {
        let size = self.data.as_ref().and_then(|data| data.metadata().ok()).map_or(0, |found| found.len());
        let header = self.index.as_ref().and_then(read_header);
        let Some(header) = header else {
            let layout = Layout { head_cap: size, tail_cap: u64::MAX - size };
            return View { layout, total: size, head_end: size, floor: size };
        };
        let total = size.max(header.total);
        let written = total.max(header.reserved);
        let Layout { head_cap, tail_cap } = header.layout;
        match written > header.layout.cap() {
            true => View { layout: header.layout, total, head_end: head_cap, floor: written - tail_cap },
            // Nothing was overwritten: head and tail are one.
            false => View { layout: header.layout, total, head_end: total, floor: total },
        }
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn nothing_at(offset: u64) -> Chunk {
    Chunk { offset, bytes: vec![], next_offset: offset, gap: 0 }
}

fn read_header(index: &File) -> Option<Header> {
    let mut bytes = [0; Header::BYTES];
    index.read_exact_at(&mut bytes, 0).ok()?;
    Header::from_bytes(&bytes)
}

fn label_at(index: &File, number: u64) -> io::Result<Label> {
    let mut bytes = [0; Label::BYTES];
    index.read_exact_at(&mut bytes, Header::BYTES as u64 + number * Label::BYTES as u64)?;
    Ok(Label::from_bytes(&bytes))
}

fn read_range(data: &File, layout: Layout, mut range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
    let mut filled = 0;
    while range.start < range.end {
        let extent = layout.extent(&range);
        let length = usize::try_from(extent.length).unwrap_or(usize::MAX);
        data.read_exact_at(&mut bytes[filled..filled + length], extent.physical)?;
        filled += length;
        range.start += extent.length;
    }
    Ok(bytes)
}

/// What of some bytes was not overwritten while they were read, by a look at the output after it.
fn still_good(after: View, offset: u64, start: u64, mut bytes: Vec<u8>) -> Option<Chunk> {
    let end = start + bytes.len() as u64;
    let mut first = start;
    if start < after.head_end {
        bytes.truncate(usize::try_from(end.min(after.head_end) - start).unwrap_or(0));
    } else if start < after.floor && after.floor > after.head_end {
        first = after.floor.min(end);
        bytes.drain(..usize::try_from(first - start).unwrap_or(0));
    }
    let next_offset = first + bytes.len() as u64;
    (!bytes.is_empty()).then_some(Chunk { offset: first, bytes, next_offset, gap: first - offset })
}
