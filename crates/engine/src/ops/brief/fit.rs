//! Choosing as many lines as few tokens hold.

use longshore_domain::JobId;

use super::tokens::tokens;

/// Most tokens of a brief, as [`tokens`](super::tokens()) counts them.
pub const TOKENS_MAX: usize = 200;
/// Most lines of one section.
pub(super) const LINES_MAX: usize = 6;
/// Tokens kept for what says how many more there are.
const TOKENS_MORE: usize = 16;
const HEAD: &str = "Since you last heard, of the jobs of this conversation:";
const NAMES: [&str; 3] = ["ended", "running", "waiting"];
/// The sections in the order of who gets room first: what waits may wait for a person.
const DEALT: [usize; 3] = [0, 2, 1];

/// What a chat should know. All of it fits [`TOKENS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief {
    /// What ended, newest first.
    pub ended: BriefSection,
    /// What runs, newest job first.
    pub running: BriefSection,
    /// What waits: for persons first.
    pub waiting: BriefSection,
}

/// Some jobs that stand alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BriefSection {
    /// Those that are told.
    pub lines: Vec<BriefLine>,
    /// How many there are beside them.
    pub more: u64,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BriefLine {
    /// Which.
    pub job: JobId,
    /// How it stands, and its title.
    pub text: String,
}

/// Lines to choose from, and how many jobs there are in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) lines: Vec<BriefLine>,
    pub(super) count: u64,
}

/// One line of each section in turn, as long as there is room.
pub(super) fn fit(told: [Told; 3]) -> Brief {
    let may_leave_some = told.iter().filter(|told| told.count > 1).count();
    let mut left = TOKENS_MAX - tokens(HEAD) - may_leave_some * TOKENS_MORE;
    let counts = told.each_ref().map(|told| told.count);
    let mut waiting = told.map(|told| told.lines.into_iter());
    let mut sections = [(); 3].map(|()| BriefSection::default());
    for at in std::iter::repeat_n(DEALT, LINES_MAX).flatten() {
        let Some(line) = waiting[at].next() else { continue };
        match left.checked_sub(tokens(&written(NAMES[at], &line)) + 1) {
            Some(rest) => left = rest,
            // What comes after it is older, and must not be told in its place.
            None => {
                waiting[at].by_ref().for_each(drop);
                continue;
            }
        }
        sections[at].lines.push(line);
    }
    for (section, count) in sections.iter_mut().zip(counts) {
        section.more = count.saturating_sub(section.lines.len() as u64);
    }
    let [ended, running, waiting] = sections;
    Brief { ended, running, waiting }
}

fn written(name: &str, line: &BriefLine) -> String {
    format!("- {name}: {} {}", line.job, line.text)
}

impl BriefSection {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.more == 0
    }
}

impl Brief {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.sections().iter().all(|(_, section)| section.is_empty())
    }

    /// The sections with their names.
    pub fn sections(&self) -> [(&'static str, &BriefSection); 3] {
        let [ended, running, waiting] = NAMES;
        [(ended, &self.ended), (running, &self.running), (waiting, &self.waiting)]
    }

    /// All of it as lines of text; empty if there is nothing.
    pub fn text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = HEAD.to_owned();
        for (name, section) in self.sections() {
            for line in &section.lines {
                text = text + "\n" + &written(name, line);
            }
            if section.more > 0 {
                text += &format!("\n- {name}: {} more, see job_list", section.more);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use longshore_domain::Timestamp;

    use super::*;

    fn told(count: usize, chars: usize) -> Told {
        let line = |at: usize| BriefLine {
            job: JobId::new(Timestamp::from_millis(at as i64), 1),
            text: format!("{at} {}", "世".repeat(chars)),
        };
        Told { lines: (0..count.min(LINES_MAX)).map(line).collect(), count: count as u64 }
    }

    #[test]
    fn whatever_there_is_fits_and_is_counted() {
        for ended in [0, 1, 2, 3, 7, 100_000] {
            for running in [0, 1, 30] {
                for waiting in [0, 2, 1_000_000_000] {
                    for chars in [1, 20, 80, 1000] {
                        let brief = fit([told(ended, chars), told(running, chars), told(waiting, chars)]);
                        assert!(tokens(&brief.text()) <= TOKENS_MAX, "{}", brief.text());
                        for ((_, section), count) in brief.sections().into_iter().zip([ended, running, waiting]) {
                            assert_eq!(section.lines.len() + section.more as usize, count);
                            assert!(section.lines.is_sorted_by_key(|line| line.job));
                            assert!(chars > 20 || count == 0 || !section.lines.is_empty(), "{}", brief.text());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_to_tell_is_no_text() {
        let brief = fit(Default::default());
        assert!(brief.is_empty());
        assert_eq!(brief.text(), "");
    }
}
