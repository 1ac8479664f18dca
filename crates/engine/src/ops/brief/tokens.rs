//! What a text costs a model, without the vocabulary of one.

/// Digits of one token.
const IN_NUMBERS: usize = 3;
/// Letters of one token in words, of which vocabularies have many whole.
const IN_WORDS: usize = 5;
/// Letters of two tokens in ids, hashes, and whatever else is no word.
const IN_TWO: usize = 3;

/// Which letters come after a, after b, and so on in the words of the newest public vocabulary (o200k), but for rare pairs.
const AFTER: [&str; 26] = [
    "abcdefghijklmnopqrstuvwxyz",
    "abeijlorstuy",
    "acehiklorstuyz",
    "adeghijlmnorstuvwyz",
    "abcdefghijklmnopqrstuvwxyz",
    "aefilorstuy",
    "abdeghiklmnorstuwy",
    "adeilmnorstuvwy",
    "abcdefghijklmnopqrstuvxyz",
    "adeiknou",
    "aehiklnorstuwy",
    "abcdefghijklmnopstuvy",
    "abefilmnopstuwy",
    "abcdefghijklmnopqrstuvwyz",
    "abcdefghijklmnopqrstuvwxyz",
    "aehiloprstuy",
    "au",
    "abcdefghijklmnopqrstuvwyz",
    "acefghiklmnopqrstuvwyz",
    "abcdefghiklmnoprstuvwyz",
    "abcdefghijklmnoprstuvwxyz",
    "aeiloru",
    "aehilnorsuy",
    "aceiopt",
    "abcdeilmnoprstu",
    "aeiotuvwyz",
];

/// The characters beyond ASCII that are one token of that vocabulary each, in order: those of which the texts of today are
/// made. The tests of `longshore-mcp` hold it to the vocabulary.
const COMMON: &str = include_str!("common.txt");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Space,
    /// Everything else; each costs by itself.
    Sign,
}

fn kind(c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' => Kind::Letter,
        '0'..='9' => Kind::Digit,
        ' ' => Kind::Space,
        _ => Kind::Sign,
    }
}

/// How many tokens a text costs, rather too many than too few: texts, paths, hashes, pictures and characters in no order of
/// any language cost less by the newest public vocabulary (o200k). Made-up words that read like words may cost more.
pub fn tokens(text: &str) -> usize {
    let (mut rest, mut before, mut sum) = (text, ' ', 0);
    while let Some(first) = rest.chars().next() {
        let (run, after) = rest.split_at(run_length(rest, kind(first)));
        let is_beside_digits = before.is_ascii_digit() || after.starts_with(|c: char| c.is_ascii_digit());
        sum += match kind(first) {
            Kind::Letter if is_beside_digits || !reads_like_a_word(run) => (run.len() * 2).div_ceil(IN_TWO),
            Kind::Letter => run.len().div_ceil(IN_WORDS),
            Kind::Digit => run.len().div_ceil(IN_NUMBERS),
            // A space is part of the word after it, but of no number.
            Kind::Space => usize::from(run.len() > 1 || after.starts_with(|c: char| c.is_ascii_digit())),
            Kind::Sign => sign(first),
        };
        (rest, before) = (after, run.chars().next_back().unwrap_or(first));
    }
    sum
}

/// The bytes at the start of a text that belong together: of one kind, and no capital after a small letter.
fn run_length(text: &str, kind_of_run: Kind) -> usize {
    let mut last = 'A';
    let ends = |c: char| {
        let is_next_word = last.is_ascii_lowercase() && c.is_ascii_uppercase();
        last = c;
        is_next_word || kind(c) != kind_of_run
    };
    match kind_of_run {
        Kind::Sign => text.chars().next().map_or(0, char::len_utf8),
        _ => text.find(ends).unwrap_or(text.len()),
    }
}

/// Whether all letters but the first are of one case, and follow one another as they do in words.
fn reads_like_a_word(letters: &str) -> bool {
    let at = |letter: u8| usize::from(letter.to_ascii_lowercase() - b'a');
    let follows = |pair: &[u8]| AFTER[at(pair[0])].contains(char::from(pair[1].to_ascii_lowercase()));
    let is_of_one_case = |pair: &[u8]| pair[0].is_ascii_uppercase() == pair[1].is_ascii_uppercase();
    let letters = letters.as_bytes();
    letters.windows(2).all(follows) && letters.windows(2).skip(1).all(is_of_one_case)
}

/// A character that is no letter from a to z. None costs more than its bytes.
fn sign(c: char) -> usize {
    match c.is_ascii() || is_common(c) {
        true => 1,
        false => c.len_utf8(),
    }
}

fn is_common(c: char) -> bool {
    let (mut low, mut high) = (0, COMMON.len());
    while low < high {
        let middle = COMMON.floor_char_boundary(low.midpoint(high));
        match COMMON[middle..].chars().next() {
            Some(found) if found < c => low = middle + found.len_utf8(),
            Some(found) if found == c => return true,
            _ => high = middle,
        }
    }
    false
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
            ("wkspqx", 4),
            ("1234567", 3),
            ("in 12", 3),
            ("in  a", 3),
            ("a1b2c3", 6),
            ("deadbeef", 6),
            ("deadbeef7", 7),
            ("aBcD", 4),
            ("README", 2),
            ("--all", 3),
            ("größe", 4),
            ("ежедневная", 10),
            ("世界", 2),
            ("龘", 3),
            ("🎉", 4),
            ("\u{200d}", 1),
            ("𐌰", 4),
        ];
        for (text, expected) in table {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_common_is_found_and_nothing_else() {
        let common: Vec<char> = COMMON.chars().collect();
        assert!(common.is_sorted() && common.iter().all(|c| !c.is_ascii()));
        let found = ('\u{80}'..=char::MAX).filter(|c| is_common(*c));
        assert!(found.eq(common));
    }
}
