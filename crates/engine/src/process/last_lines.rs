//! Where the last lines of an output begin, looked for from its end.

use std::ops::Range;

/// Counts lines backwards through what is kept. A last line without a newline counts, and what is not kept ends a line.
#[derive(Debug)]
pub(crate) struct LastLines {
    wanted: usize,
}

impl LastLines {
    /// Looks for the beginning of the last `wanted` lines, at least one.
    pub(crate) fn new(wanted: usize) -> Self {
        Self { wanted }
    }

    /// Where the lines begin, if that is among these `bytes` of a kept stretch, which begin at `from`. The stretches are to
    /// come from the last to the first, and so the bytes of each.
    pub(crate) fn look(&mut self, stretch: &Range<u64>, from: u64, bytes: &[u8]) -> Option<u64> {
        let behind_newlines = memchr::memrchr_iter(b'\n', bytes).map(|at| from + at as u64 + 1);
        let first = (from == stretch.start).then_some(from);
        // A newline at the very end closes the last line and begins none.
        for beginning in behind_newlines.chain(first).filter(|beginning| *beginning < stretch.end) {
            self.wanted -= 1;
            if self.wanted == 0 {
                return Some(beginning);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_what_is_not_kept() {
        let found = |lines| {
            let mut last = LastLines::new(lines);
            let (head, tail) = (0..7, 20..28);
            let behind = last.look(&tail, 24, b"xx\ny").or_else(|| last.look(&tail, 20, b"x\nxx"));
            behind.or_else(|| last.look(&head, 0, b"a\nb\ncc\n"))
        };
        assert_eq!([1, 2, 3, 4, 5, 6].map(found), [Some(27), Some(22), Some(20), Some(4), Some(2), Some(0)]);
        assert_eq!(found(7), None);
    }
}
