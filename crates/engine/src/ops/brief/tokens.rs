//! What a text costs a model, without the vocabulary of one.

/// Digits of one token.
const IN_NUMBERS: usize = 3;
/// Letters of one token in words, of which vocabularies have many whole.
const IN_WORDS: usize = 5;
/// Letters of one token beside digits and others of another case, as in ids and hashes.
const IN_IDS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Space,
    /// A letter of another alphabet.
    Foreign,
    /// Everything else; each costs by itself.
    Sign,
}

fn kind(c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' => Kind::Letter,
        '0'..='9' => Kind::Digit,
        ' ' => Kind::Space,
        // Latin with few marks, Greek, Cyrillic, Hebrew, Arabic, the scripts of India, Thai, Georgian.
        '\u{c0}'..='\u{17f}' | '\u{370}'..='\u{52f}' | '\u{590}'..='\u{6ff}' => Kind::Foreign,
        '\u{900}'..='\u{e7f}' | '\u{10a0}'..='\u{10ff}' => Kind::Foreign,
        _ => Kind::Sign,
    }
}

/// How many tokens a text costs, rather too many than too few: what people write in the scripts of today costs less by the
/// newest public vocabulary (o200k), and so do paths, hashes and pictures. Signs of such a script in no order of any
/// language may cost twice as much.
pub fn tokens(text: &str) -> usize {
    let mut rest = text.chars().peekable();
    let (mut sum, mut before) = (0, ' ');
    while let Some(first) = rest.next() {
        let (kind_of_run, mut last, mut length) = (kind(first), first, 1);
        let goes_on = |last: char, next: &char| {
            kind(*next) == kind_of_run && !(last.is_ascii_lowercase() && next.is_ascii_uppercase())
        };
        while kind_of_run != Kind::Sign
            && let Some(next) = rest.next_if(|next| goes_on(last, next))
        {
            (last, length) = (next, length + 1);
        }
        let next = rest.peek().copied().unwrap_or(' ');
        sum += match kind_of_run {
            Kind::Letter if before.is_ascii_alphanumeric() || next.is_ascii_alphanumeric() => {
                usize::div_ceil(length, IN_IDS)
            }
            Kind::Letter => usize::div_ceil(length, IN_WORDS),
            Kind::Digit => usize::div_ceil(length, IN_NUMBERS),
            // A space is part of the word after it, but of no number.
            Kind::Space => usize::from(length > 1 || next.is_ascii_digit()),
            Kind::Foreign => usize::div_ceil(length * 2, 3),
            Kind::Sign => sign(first),
        };
        before = last;
    }
    sum
}

/// A character that is no letter of an alphabet.
fn sign(c: char) -> usize {
    match c {
        '\0'..='\x7f' => 1,
        '\u{a0}'..='\u{bf}' | '\u{2010}'..='\u{2026}' => 1,
        // Kana, Han, Hangul.
        '\u{3000}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{ff00}'..='\u{ffef}' => 1,
        '\u{1f300}'..='\u{1faff}' => 3,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ids_cost_more_than_words() {
        let table = [
            ("", 0),
            ("a", 1),
            ("cargo tests", 2),
            ("workspace", 2),
            ("1234567", 3),
            ("in 12", 3),
            ("in  a", 3),
            ("a1b2c3", 6),
            ("deadbeef", 2),
            ("deadbeef7", 5),
            ("aBcD", 3),
            ("--all", 3),
            ("größe", 4),
            ("ежедневная", 7),
            ("世界", 2),
            ("🎉", 3),
            ("\u{200d}", 3),
            ("𐌰", 4),
        ];
        for (text, expected) in table {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }
}
