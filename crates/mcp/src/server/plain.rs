//! Output of programs as text that a model can read: no control sequences, no overwritten progress lines, nothing
//! that hides or reorders what is shown.

use std::borrow::Cow;

/// Longest line that is shown whole, in characters.
const LINE_CHARS_MAX: usize = 4_000;
/// Characters shown of the beginning and of the end of a longer line.
const FOLD_HEAD: usize = 2_000;
const FOLD_TAIL: usize = 500;
/// A NUL within this many bytes marks binary data.
const BINARY_PROBE: usize = 8 * 1024;

/// Whether these bytes are no text.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(BINARY_PROBE)].contains(&0)
}

/// The text that a terminal would show in the end, line by line, with long lines folded.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let text = visible(&String::from_utf8_lossy(bytes));
    let mut shown = String::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            shown.push('\n');
        }
        shown.push_str(&folded(&last_state(line)));
    }
    shown
}

/// Without control sequences (ECMA-48), control characters other than tab, newline, return and backspace, and
/// characters that are invisible or turn the direction of writing.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => rest = after_escape(rest),
            '\u{9b}' => rest = after_control_sequence(rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => rest = after_string(rest),
            '\t' | '\n' | '\r' | '\u{8}' => shown.push(c),
            c if c.is_control() || is_hidden(c) => {}
            c => shown.push(c),
        }
    }
    shown
}

fn after_escape(rest: std::str::Chars<'_>) -> std::str::Chars<'_> {
    let mut after = rest.clone();
    match after.next() {
        Some('[') => after_control_sequence(after),
        Some(']' | 'P' | 'X' | '^' | '_') => after_string(after),
        Some(' '..='/') => after_intermediates(after),
        Some('0'..='~') => after,
        _ => rest,
    }
}

/// Skips the final character of an escape sequence with intermediate ones, such as `ESC ( B`.
fn after_intermediates(mut rest: std::str::Chars<'_>) -> std::str::Chars<'_> {
    loop {
        let before = rest.clone();
        match rest.next() {
            Some(' '..='/') => {}
            Some('0'..='~') => return rest,
            _ => return before,
        }
    }
}

fn after_control_sequence(mut rest: std::str::Chars<'_>) -> std::str::Chars<'_> {
    loop {
        let before = rest.clone();
        match rest.next() {
            Some(' '..='?') => {}
            Some('@'..='~') => return rest,
            _ => return before,
        }
    }
}

/// Skips a control string; a line's end closes it too, so that an unfinished one cannot hide what follows.
fn after_string(mut rest: std::str::Chars<'_>) -> std::str::Chars<'_> {
    loop {
        let before = rest.clone();
        match rest.next() {
            Some('\u{7}' | '\u{9c}') => return rest,
            Some('\u{1b}') => {
                let mut after = rest.clone();
                return if after.next() == Some('\\') { after } else { before };
            }
            Some('\n') | None => return before,
            Some(_) => {}
        }
    }
}

fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// What is left of a line that overwrote itself by returns and backspaces.
fn last_state(line: &str) -> Cow<'_, str> {
    let last = line.rsplit('\r').find(|state| !state.is_empty()).unwrap_or("");
    if !last.contains('\u{8}') {
        return Cow::Borrowed(last);
    }
    let mut kept = String::with_capacity(last.len());
    for c in last.chars() {
        match c {
            '\u{8}' => drop(kept.pop()),
            c => kept.push(c),
        }
    }
    Cow::Owned(kept)
}

fn folded(line: &str) -> Cow<'_, str> {
    let chars = if line.len() > LINE_CHARS_MAX { line.chars().count() } else { 0 };
    if chars <= LINE_CHARS_MAX {
        return Cow::Borrowed(line);
    }
    let head: String = line.chars().take(FOLD_HEAD).collect();
    let tail: String = line.chars().skip(chars - FOLD_TAIL).collect();
    let left_out = chars - FOLD_HEAD - FOLD_TAIL;
    Cow::Owned(format!("{head} [… {left_out} of the {chars} characters of this line left out …] {tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cleaned() {
        let table: &[(&[u8], &str)] = &[
            (b"plain\ttext\n", "plain\ttext\n"),
            (b"\x1b[1;31mred\x1b[0m\n", "red\n"),
            (b"\x1b[38;2;1;2;3mred\x1b[m", "red"),
            (b"\x1b]0;title\x07shown", "shown"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1b]0;never closed\nnext", "\nnext"),
            (b"\x1bPdevice\x1b\\x", "x"),
            (b"\x1b(Bx\x1b=y\x1b7z", "xyz"),
            (b"cut \x1b[3", "cut "),
            (b"cut \x1b", "cut "),
            ("\u{9b}31mred".as_bytes(), "red"),
            (b"\x1b[31\ntext", "\ntext"),
            (b"10%\r20%\r100%\ndone\r\n", "100%\ndone\n"),
            (b"10%\r\x1b[K", "10%"),
            (b"ab\x08c", "ac"),
            (b"\x08\x08a", "a"),
            (b"bell\x07 vt\x0b nul\x00", "bell vt nul"),
            ("a\u{202e}b\u{200b}c\u{2066}d\u{feff}e\u{e0041}f".as_bytes(), "abcdef"),
            (b"bad \xff\xfe utf-8", "bad \u{fffd}\u{fffd} utf-8"),
            ("Grüße, 世界".as_bytes(), "Grüße, 世界"),
            (b"", ""),
        ];
        for (bytes, expected) in table {
            assert_eq!(readable(bytes), *expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn long_lines_are_folded_with_their_length() {
        let whole = "x".repeat(LINE_CHARS_MAX);
        assert_eq!(readable(whole.as_bytes()), whole);
        let line = format!("{}é{}", "a".repeat(5_000), "z".repeat(5_000));
        let shown = readable(format!("{line}\nnext").as_bytes());
        assert!(shown.contains("[… 7501 of the 10001 characters of this line left out …]"), "{shown}");
        assert!(shown.starts_with("aaa") && shown.ends_with("zzz\nnext"));
    }

    #[test]
    fn a_nul_near_the_beginning_marks_binary_data() {
        assert!(is_binary(b"\x7fELF\0\0"));
        assert!(!is_binary(b"text"));
        let late = [vec![b'x'; BINARY_PROBE], vec![0]].concat();
        assert!(!is_binary(&late));
    }
}
