//! Counts the newlines that fall out of a ring, exactly, without reading the ring again.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

/// Fewest bytes that share one count.
const BLOCK_BYTES_MIN: u64 = 64 * 1024;
/// Most counts kept for one ring.
const BLOCKS_MAX: u64 = 2_048;

/// Newlines in the blocks of a stream of which the last `kept` bytes are kept.
#[derive(Debug)]
pub(super) struct RingNewlines {
    kept: u64,
    block: u64,
    /// Number of the first block that has a count.
    first: u64,
    counts: VecDeque<u64>,
    position: u64,
    dropped: u64,
}

impl RingNewlines {
    pub(super) fn new(kept: u64) -> Self {
        let block = (kept / BLOCKS_MAX).max(BLOCK_BYTES_MIN);
        Self { kept, block, first: 0, counts: VecDeque::new(), position: 0, dropped: 0 }
    }

    /// Takes in the next bytes of the stream; returns the newlines among them.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> u64 {
        let mut sum = 0;
        while !bytes.is_empty() {
            let room = self.block - self.position % self.block;
            let (part, rest) = bytes.split_at(usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()));
            let count = count(part);
            if self.position.is_multiple_of(self.block) {
                self.counts.push_back(0);
            }
            if let Some(newest) = self.counts.back_mut() {
                *newest += count;
            }
            self.position += part.len() as u64;
            sum += count;
            bytes = rest;
        }
        self.forget();
        sum
    }

    fn kept_from(&self) -> u64 {
        self.position.saturating_sub(self.kept)
    }

    fn forget(&mut self) {
        while (self.first + 1) * self.block <= self.kept_from() {
            self.dropped += self.counts.pop_front().unwrap_or(0);
            self.first += 1;
        }
    }

    /// Newlines that fell out so far. `kept` counts those in a range of the stream that is still kept and lies within
    /// one block.
    pub(super) fn dropped(&self, kept: impl FnOnce(Range<u64>) -> io::Result<u64>) -> io::Result<u64> {
        let from = self.kept_from();
        if from == self.first * self.block {
            return Ok(self.dropped);
        }
        let until = ((self.first + 1) * self.block).min(self.position);
        let in_block = self.counts.front().copied().unwrap_or(0);
        Ok(self.dropped + in_block.saturating_sub(kept(from..until)?))
    }
}

/// Newlines in some bytes.
pub(super) fn count(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
