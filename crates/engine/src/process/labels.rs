//! When the bytes of an output came, and from which stream.

use std::io;
use std::ops::Range;

use crate::shim::layout::Label;

/// Most labels returned at once.
const LABELS_MAX: usize = 64 * 1024;

/// What is known of some bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// The label in force at the first byte, and all within them; none if nothing is known.
    pub labels: Vec<Label>,
    /// The labels say nothing of bytes from here on: there are too many for one answer.
    pub until: u64,
}

/// Looks for the labels of a range among `count` that lie in order; `label` reads one.
///
/// # Errors
/// Those of `label`.
pub(crate) fn find(range: Range<u64>, count: u64, label: impl Fn(u64) -> io::Result<Label>) -> io::Result<Labelled> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        match label(middle)?.offset <= range.start {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    let mut found = Labelled { labels: vec![], until: range.end };
    for number in low.saturating_sub(1)..count {
        let label = label(number)?;
        if label.offset >= range.end {
            break;
        }
        if found.labels.len() == LABELS_MAX {
            found.until = label.offset;
            break;
        }
        found.labels.push(label);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use longshore_domain::Timestamp;

    use super::*;
    use crate::shim::layout::Stream;

    fn among(range: Range<u64>, offsets: &[u64]) -> (Vec<u64>, u64) {
        let label = |number: u64| {
            Ok(Label { offset: offsets[number as usize], at: Timestamp::default(), stream: Stream::Stdout })
        };
        let found = find(range, offsets.len() as u64, label).unwrap();
        (found.labels.iter().map(|label| label.offset).collect(), found.until)
    }

    #[test]
    fn the_label_in_force_at_the_start_and_those_within_are_found() {
        assert_eq!(among(0..9, &[]), (vec![], 9));
        assert_eq!(among(0..9, &[0, 4, 9]), (vec![0, 4], 9));
        assert_eq!(among(5..9, &[0, 4, 9]), (vec![4], 9));
        assert_eq!(among(9..20, &[0, 4, 9]), (vec![9], 20));
        assert_eq!(among(1_000..1_001, &[0, 4, 9]), (vec![9], 1_001));
    }

    #[test]
    fn too_many_labels_say_where_they_stop() {
        let offsets: Vec<u64> = (0..LABELS_MAX as u64 + 10).collect();
        let (found, until) = among(3..LABELS_MAX as u64 + 10, &offsets);
        assert_eq!((found.len(), found[0], until), (LABELS_MAX, 3, LABELS_MAX as u64 + 3));
    }
}
