//! The time before each line of output.

use super::follow::Piece;

/// What stands in for a time that nobody knows.
const UNKNOWN: &str = "-";

/// Puts times before lines, piece after piece.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    within_line: bool,
}

impl Stamps {
    /// The bytes of a piece, before each line the time at which the stretch began that has its first byte. A line of
    /// which the middle was not kept is cut in two.
    pub(super) fn put(&mut self, piece: &Piece) -> Vec<u8> {
        let mut stamped = vec![];
        if piece.omitted > 0 && std::mem::take(&mut self.within_line) {
            stamped.push(b'\n');
        }
        for (label, bytes) in piece.stretches() {
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                if !self.within_line {
                    stamped.extend_from_slice(label.at.as_deref().unwrap_or(UNKNOWN).as_bytes());
                    stamped.push(b' ');
                }
                stamped.extend_from_slice(line);
                self.within_line = !line.ends_with(b"\n");
            }
        }
        stamped
    }
}

#[cfg(test)]
mod tests {
    use super::super::follow::Label;
    use super::*;

    fn piece(omitted: u64, stretches: &[(Option<&str>, &str)]) -> Piece {
        let label = |(at, text): &(Option<&str>, &str)| Label {
            offset: 0,
            at: at.map(str::to_owned),
            stream: None,
            bytes: text.len(),
        };
        Piece {
            bytes: stretches.iter().map(|(_, text)| *text).collect::<String>().into_bytes(),
            labels: stretches.iter().map(label).collect(),
            from: String::new(),
            next: String::new(),
            omitted,
            end: false,
            progress: None,
        }
    }

    #[test]
    fn each_line_has_the_time_of_its_first_byte() {
        let mut stamps = Stamps::default();
        let mut put = |omitted, stretches: &[_]| String::from_utf8(stamps.put(&piece(omitted, stretches))).unwrap();
        assert_eq!(
            put(0, &[(Some("T1"), "one\n\ntw"), (Some("T2"), "o\nthree\nfo")]),
            "T1 one\nT1 \nT1 two\nT2 three\nT2 fo"
        );
        assert_eq!(put(0, &[]), "");
        assert_eq!(put(0, &[(Some("T3"), "ur\nhead")]), "ur\nT3 head");
        assert_eq!(put(9, &[(None, "tail\n")]), "\n- tail\n");
        assert_eq!(put(9, &[(None, "more\n")]), "- more\n");
    }
}
