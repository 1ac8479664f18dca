//! Writes what a command prints to its output file, and counts it exactly.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use longshore_domain::Timestamp;
use longshore_domain::job::OutputFacts;

use super::index::Index;
use super::layout::{Layout, Stream, index_path};
use super::newlines::{RingNewlines, count};
use super::time::Steady;

/// Keeps the head and the tail of an output, and exact counts of all of it.
///
/// A disk that refuses is no reason to stop a command: what comes after the first refusal is only counted.
pub(super) struct Recorder {
    path: PathBuf,
    layout: Layout,
    files: Option<Files>,
    failure: Option<String>,
    total: u64,
    newlines: u64,
    ends_open: bool,
    /// Bytes in the files, counting those that the ring has overwritten.
    stored: u64,
    stored_newlines: u64,
    ring: RingNewlines,
}

struct Files {
    data: File,
    index: Index,
}

impl Recorder {
    pub(super) fn new(path: PathBuf, cap: u64) -> Self {
        let layout = Layout::for_cap(cap);
        Self {
            path,
            layout,
            files: None,
            failure: None,
            total: 0,
            newlines: 0,
            ends_open: false,
            stored: 0,
            stored_newlines: 0,
            ring: RingNewlines::new(layout.tail_cap),
        }
    }

    /// Bytes taken so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Takes the next bytes of the output.
    pub(super) fn take(&mut self, bytes: &[u8], stream: Stream, now: Steady, wall: impl FnOnce() -> Timestamp) {
        let Some(&last) = bytes.last() else { return };
        let stored_before = self.stored;
        let newlines_before = self.stored_newlines;
        if self.failure.is_none()
            && let Err(error) = self.store(bytes, stream, now, wall)
        {
            self.fail(&error);
        }
        let kept = usize::try_from(self.stored - stored_before).unwrap_or(usize::MAX).min(bytes.len());
        self.newlines += self.stored_newlines - newlines_before + count(&bytes[kept..]);
        self.total += bytes.len() as u64;
        self.ends_open = last != b'\n';
    }

    fn fail(&mut self, error: &io::Error) {
        self.failure = Some(format!("{}: {error}", self.path.display()));
        if let Some(files) = &self.files
            && self.stored > self.layout.cap()
        {
            // What could not be written destroyed nothing; if even this fails, readers see a little less than there is.
            drop(files.index.publish(self.stored, self.stored));
        }
    }

    fn store(
        &mut self,
        mut bytes: &[u8],
        stream: Stream,
        now: Steady,
        wall: impl FnOnce() -> Timestamp,
    ) -> io::Result<()> {
        let mut files = match self.files.take() {
            Some(files) => files,
            None => self.create()?,
        };
        let mut result = files.index.note(self.stored, stream, now, wall);
        while result.is_ok() && !bytes.is_empty() {
            result = self.store_part(&files, bytes).map(|written| bytes = &bytes[written..]);
        }
        self.files = Some(files);
        result
    }

    /// Writes the first unbroken part of some bytes; how many those were.
    fn store_part(&mut self, files: &Files, bytes: &[u8]) -> io::Result<usize> {
        let extent = self.layout.extent(&(self.stored..self.stored + bytes.len() as u64));
        let wraps = self.stored + extent.length > self.layout.cap();
        // Small steps in a small ring, so that a write under way never destroys most of it for readers.
        let length = if wraps { extent.length.min((self.layout.tail_cap / 4).max(1)) } else { extent.length };
        let part = &bytes[..usize::try_from(length).unwrap_or(bytes.len())];
        if wraps {
            files.index.publish(self.stored, self.stored + length)?;
        }
        let written = files.data.write_at(part, extent.physical)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let in_tail = self.stored >= self.layout.head_cap;
        self.stored_newlines += if in_tail { self.ring.add(&part[..written]) } else { count(&part[..written]) };
        self.stored += written as u64;
        if wraps {
            files.index.publish(self.stored, self.stored)?;
        }
        Ok(written)
    }

    fn create(&self) -> io::Result<Files> {
        // The index first: whoever finds the data finds the index too.
        let index = Index::create(&index_path(&self.path), self.layout)?;
        let data =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        Ok(Files { data, index })
    }

    /// Makes the output durable, and sums it up.
    pub(super) fn finish(mut self, cut_off: bool) -> OutputFacts {
        if let Some(files) = self.files.take() {
            let result = files.data.sync_data().and_then(|()| files.index.sync());
            self.files = Some(files);
            if let (Err(error), None) = (result, &self.failure) {
                self.fail(&error);
            }
        }
        let (omitted_bytes, omitted_lines) = self.omitted();
        OutputFacts {
            bytes: self.total,
            lines: self.newlines + u64::from(self.ends_open),
            omitted_bytes,
            omitted_lines,
            cut_off,
            write_error: self.failure,
        }
    }

    fn omitted(&mut self) -> (u64, u64) {
        let bytes = self.total - self.stored.min(self.layout.cap());
        let not_stored = self.newlines - self.stored_newlines;
        match self.ring.dropped(|range| self.newlines_kept(range)) {
            Ok(dropped) => (bytes, not_stored + dropped),
            Err(error) => {
                self.fail(&error);
                (bytes, not_stored)
            }
        }
    }

    /// Newlines in a range of the tail that is still in the file.
    fn newlines_kept(&self, range: Range<u64>) -> io::Result<u64> {
        let Some(files) = &self.files else { return Ok(0) };
        let mut range = range.start + self.layout.head_cap..range.end + self.layout.head_cap;
        let mut buffer = vec![0; 64 * 1024];
        let mut sum = 0;
        while !range.is_empty() {
            let extent = self.layout.extent(&range);
            let length = usize::try_from(extent.length).unwrap_or(usize::MAX).min(buffer.len());
            files.data.read_exact_at(&mut buffer[..length], extent.physical)?;
            sum += count(&buffer[..length]);
            range.start += length as u64;
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::process::output::OutputFile;

    fn record(chunks: &[Vec<u8>], cap: u64) -> (tempfile::TempDir, PathBuf, OutputFacts) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut recorder = Recorder::new(path.clone(), cap);
        for chunk in chunks {
            recorder.take(chunk, Stream::Merged, Duration::ZERO, Timestamp::default);
        }
        let facts = recorder.finish(false);
        (folder, path, facts)
    }

    fn read_all(path: &std::path::Path) -> Vec<(u64, Vec<u8>, u64)> {
        let file = OutputFile::open(path).unwrap();
        let mut parts = vec![];
        let mut offset = 0;
        while offset < file.total() {
            let chunk = file.read(offset, 777).unwrap();
            assert!(chunk.next_offset > offset);
            offset = chunk.next_offset;
            parts.push((chunk.offset, chunk.bytes, chunk.gap));
        }
        parts
    }

    fn newlines(bytes: &[u8]) -> u64 {
        bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
    }

    fn check(chunks: &[Vec<u8>], cap: u64) {
        let all = chunks.concat();
        let layout = Layout::for_cap(cap);
        let (_folder, path, facts) = record(chunks, cap);
        let length = all.len() as u64;
        let kept_from = if length > cap { length - layout.tail_cap } else { layout.head_cap.min(length) };
        let head = layout.head_cap.min(length) as usize;
        let omitted = &all[head..(kept_from as usize).max(head)];
        let open = all.last().is_some_and(|&byte| byte != b'\n');
        assert_eq!(facts.bytes, length);
        assert_eq!(facts.lines, newlines(&all) + u64::from(open));
        assert_eq!(facts.omitted_bytes, omitted.len() as u64);
        assert_eq!(facts.omitted_lines, newlines(omitted));
        assert_eq!(facts.write_error, None);
        let parts = read_all(&path);
        assert_eq!(parts.iter().map(|part| part.2).sum::<u64>(), facts.omitted_bytes);
        for (offset, bytes, _) in parts {
            assert_eq!(bytes, all[offset as usize..offset as usize + bytes.len()]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn counts_and_bytes_equal_a_naive_model(
            lengths in prop::collection::vec(1usize..3_000, 0..60),
            cap in 10u64..20_000,
            every in 1usize..50,
        ) {
            let mut at = 0usize;
            let chunks: Vec<Vec<u8>> = lengths.iter().map(|&length| {
                let chunk = (at..at + length).map(|i| if i % every == 0 { b'\n' } else { (i % 251) as u8 }).collect();
                at += length;
                chunk
            }).collect();
            check(&chunks, cap);
        }

        #[test]
        fn counts_are_exact_across_many_blocks(
            lengths in prop::collection::vec(1usize..200_000, 1..24),
            cap in 100_000u64..700_000,
            every in 1usize..5_000,
        ) {
            let mut at = 0usize;
            let chunks: Vec<Vec<u8>> = lengths.iter().map(|&length| {
                let chunk = (at..at + length).map(|i| if i % every == 0 { b'\n' } else { b'x' }).collect();
                at += length;
                chunk
            }).collect();
            check(&chunks, cap);
        }
    }

    #[test]
    fn output_that_cannot_be_written_is_still_counted() {
        let mut recorder = Recorder::new("/proc/no/such/folder/out".into(), 1_000);
        recorder.take(b"a\nb\n", Stream::Merged, Duration::ZERO, Timestamp::default);
        recorder.take(b"c", Stream::Merged, Duration::ZERO, Timestamp::default);
        let facts = recorder.finish(false);
        assert_eq!((facts.bytes, facts.lines, facts.omitted_bytes, facts.omitted_lines), (5, 3, 5, 2));
        assert!(facts.write_error.is_some());
    }
}
