//! Finding what a caller probably meant.

/// The candidate that differs least from `word`, if it is near enough to be worth naming.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    const CHARS_MAX: usize = 40;
    if word.len() > CHARS_MAX {
        return None;
    }
    let limit = (word.len() / 2).clamp(1, 3);
    let lower = word.to_ascii_lowercase();
    let (best, steps) = candidates.iter().map(|&other| (other, distance(&lower, other))).min_by_key(|pair| pair.1)?;
    (steps <= limit).then_some(best)
}

/// Insertions, deletions and replacements that make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (to, &d) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(c != d);
            diagonal = row[to + 1];
            row[to + 1] = replaced.min(diagonal + 1).min(row[to] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised() {
        let names = ["command", "cwd", "wait_s", "deadline_s", "env"];
        for (word, expected) in [
            ("comand", Some("command")),
            ("Command", Some("command")),
            ("wait", Some("wait_s")),
            ("waits", Some("wait_s")),
            ("dir", None),
            ("deadline", Some("deadline_s")),
            ("something", None),
        ] {
            assert_eq!(nearest(word, &names), expected, "{word}");
        }
    }
}
