//! Writes the side file of an output: its header, and when bytes came from which stream.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use longshore_domain::Timestamp;

use super::layout::{Header, Label, Layout, Stream};
use super::time::Steady;

/// Shortest time between two labels of one stream.
const SPACING: Duration = Duration::from_millis(10);
/// Each time so many labels were written the spacing doubles.
const LABELS_PER_SPACING: u64 = 65_536;
/// Most labels of one output.
const LABELS_MAX: u64 = 1024 * 1024;

pub(super) struct Index {
    file: File,
    labels: u64,
    last: Option<(Steady, Stream)>,
    spacing: Duration,
}

impl Index {
    pub(super) fn create(path: &Path, layout: Layout) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all_at(&Header { layout, total: 0, reserved: 0 }.to_bytes(), 0)?;
        Ok(Self { file, labels: 0, last: None, spacing: SPACING })
    }

    /// Labels the bytes from `offset` on, unless the label before says as much.
    pub(super) fn note(
        &mut self,
        offset: u64,
        stream: Stream,
        now: Steady,
        wall: impl FnOnce() -> Timestamp,
    ) -> io::Result<()> {
        let due = self.last.is_none_or(|(at, before)| before != stream || now.saturating_sub(at) >= self.spacing);
        if !due || self.labels >= LABELS_MAX {
            return Ok(());
        }
        // The last label there is room for stands for all that follows, from whichever stream.
        let stream = if self.labels == LABELS_MAX - 1 { Stream::Merged } else { stream };
        let label = Label { offset, at: wall(), stream };
        self.file.write_all_at(&label.to_bytes(), Header::BYTES as u64 + self.labels * Label::BYTES as u64)?;
        self.labels += 1;
        self.last = Some((now, stream));
        if self.labels.is_multiple_of(LABELS_PER_SPACING) {
            self.spacing *= 2;
        }
        Ok(())
    }

    /// Publishes how far the output goes, and how far it will go after the write that comes next.
    pub(super) fn publish(&self, total: u64, reserved: u64) -> io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&total.to_le_bytes());
        bytes[8..].copy_from_slice(&reserved.to_le_bytes());
        self.file.write_all_at(&bytes, Header::TOTAL_AT)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
