//! Recognises how far a command says it is: `42%`, `12.5%`, `[3/7]`, `(3/7)`, `3 of 7`.

use super::wire::Progress;

/// Only so much of the newest output is looked at.
pub const SCANNED_BYTES_MAX: usize = 4 * 1024;

/// The furthest progress seen; it never goes back.
#[derive(Debug, Default)]
pub struct ProgressSeen {
    furthest: Option<Progress>,
}

impl ProgressSeen {
    /// Looks at the newest output; whether it tells of more progress than was known.
    pub fn look_at(&mut self, output: &[u8]) -> bool {
        let from = output.len().saturating_sub(SCANNED_BYTES_MAX);
        let text = without_colours(&String::from_utf8_lossy(&output[from..]));
        let Some(found) = text.rsplit(['\n', '\r']).find_map(in_line) else { return false };
        if self.furthest.as_ref().is_some_and(|known| known.percent >= found.percent) {
            return false;
        }
        self.furthest = Some(found);
        true
    }

    /// The furthest progress seen.
    pub fn furthest(&self) -> Option<&Progress> {
        self.furthest.as_ref()
    }
}

/// Removes escape sequences as terminals know them (ECMA-48 5.4: `ESC [`, parameters, a final byte).
fn without_colours(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            clean.push(character);
        } else if characters.next_if_eq(&'[').is_some() {
            characters.by_ref().find(|c| ('@'..='~').contains(c));
        }
    }
    clean
}

/// The last progress that a line tells of.
fn in_line(line: &str) -> Option<Progress> {
    let bytes = line.as_bytes();
    let starts = (0..bytes.len()).rev().filter(|&at| is_number_start(bytes, at));
    starts.filter_map(|at| parse_at(line, at)).next()
}

fn is_number_start(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    bytes[at].is_ascii_digit() && !before.is_some_and(|b| b.is_ascii_alphanumeric() || b".,-_/".contains(&b))
}

fn parse_at(line: &str, at: usize) -> Option<Progress> {
    let bracket = at.checked_sub(1).map(|before| line.as_bytes()[before]);
    let (number, rest) = split_number(&line[at..]);
    if rest.starts_with('%') {
        let text = &line[at..=at + number.len()];
        return progress(number.parse().ok()?, 100.0, text);
    }
    let (total_text, closing) = match (bracket, rest.strip_prefix('/'), rest.strip_prefix(" of ")) {
        (Some(b'['), Some(rest), _) => (rest, Some(']')),
        (Some(b'('), Some(rest), _) => (rest, Some(')')),
        (_, _, Some(rest)) => (rest, None),
        _ => return None,
    };
    let (total, after) = split_number(total_text);
    let closed = match closing {
        Some(closing) => after.starts_with(closing),
        None => !after.starts_with(|c: char| c.is_alphanumeric()),
    };
    let from = if closing.is_some() { at - 1 } else { at };
    let until = line.len() - after.len() + usize::from(closing.is_some());
    let (done, total): (u64, u64) = (number.parse().ok()?, total.parse().ok()?);
    if !closed || total == 0 || done > total {
        return None;
    }
    progress(done as f64, total as f64, &line[from..until])
}

fn split_number(text: &str) -> (&str, &str) {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
    let length = if fraction > 0 { whole + 1 + fraction } else { whole };
    text.split_at(length)
}

fn progress(done: f64, total: f64, text: &str) -> Option<Progress> {
    let percent = done * 100.0 / total;
    (0.0..=100.0).contains(&percent).then(|| Progress { percent, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(output: &str) -> Option<(f64, String)> {
        let mut progress = ProgressSeen::default();
        progress.look_at(output.as_bytes());
        progress.furthest().map(|found| (found.percent, found.text.clone()))
    }

    #[test]
    fn forms_of_progress() {
        let cases: &[(&str, Option<(f64, &str)>)] = &[
            ("42%", Some((42.0, "42%"))),
            ("downloaded 12.5% of it\n", Some((12.5, "12.5%"))),
            ("[3/4] compiling", Some((75.0, "[3/4]"))),
            ("test (1/8) ok", Some((12.5, "(1/8)"))),
            ("layer 3 of 12 done", Some((25.0, "3 of 12"))),
            ("10%\r20%\r30%", Some((30.0, "30%"))),
            ("30%\nno figure here\n", Some((30.0, "30%"))),
            ("\u{1b}[32m55\u{1b}[0m%", Some((55.0, "55%"))),
            ("100%", Some((100.0, "100%"))),
            ("0%", Some((0.0, "0%"))),
            ("101%", None),
            ("999 %", None),
            ("[5/4]", None),
            ("[1/0]", None),
            ("3/4 without brackets", None),
            ("(see page 3/4", None),
            ("2 of them", None),
            ("v1.20% off", None),
            ("2026-11-20", None),
            ("-5%", None),
            ("grün 7%", Some((7.0, "7%"))),
            ("\u{fffd}\u{fffd}[1/2]", Some((50.0, "[1/2]"))),
            ("", None),
        ];
        for (output, expected) in cases {
            let expected = expected.map(|(percent, text)| (percent, text.to_owned()));
            assert_eq!(seen(output), expected, "{output:?}");
        }
    }

    #[test]
    fn it_never_goes_back() {
        let mut progress = ProgressSeen::default();
        assert!(progress.look_at(b"50%"));
        assert!(!progress.look_at(b"20%"));
        assert!(!progress.look_at(b"50%"));
        assert_eq!(progress.furthest().map(|found| found.percent), Some(50.0));
        assert!(progress.look_at(b"[9/10]"));
    }

    #[test]
    fn only_the_newest_bytes_are_looked_at() {
        let mut output = b"99%\n".to_vec();
        output.resize(SCANNED_BYTES_MAX + 4, b'x');
        assert!(!ProgressSeen::default().look_at(&output));
    }
}
