//! What callers ask for.

use std::path::Path;

use longshore_testkit::Dice;

/// Digits of the number of a line: long lines make many bytes cheap for whoever prints and for whoever compares.
const DIGITS: usize = 64;

/// What a caller asks for, and so what the auditor expects.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) key: String,
    sleep_ms: u64,
    pub(crate) exit: i32,
    lines: usize,
    pub(crate) retries: u32,
    orphan: bool,
    pub(crate) cancel: bool,
}

impl Plan {
    /// One that the dice choose.
    pub(crate) fn of(key: String, dice: &mut Dice) -> Self {
        Self {
            key,
            sleep_ms: [0, 0, 20, 300, 900][dice.roll(5) as usize],
            exit: [0, 0, 0, 3, 77][dice.roll(5) as usize],
            lines: [0, 1, 14, 1_000, 5_500][dice.roll(5) as usize],
            retries: u32::from(dice.roll(6) == 0),
            orphan: dice.roll(8) == 0,
            cancel: dice.roll(12) == 0,
        }
    }

    /// Leaves a mark for each run, perhaps leaves an orphan that escapes its session, prints what [`Plan::output`] says,
    /// sleeps and exits.
    pub(crate) fn script(&self, marks: &Path) -> String {
        let mark = marks.join(&self.key);
        let orphan = if self.orphan { "setsid sleep 1000 & " } else { "" };
        let print = match self.lines {
            0 => String::new(),
            lines => {
                format!("tag={}.$LONGSHORE_ATTEMPT; seq -f \"$tag %0{DIGITS}.0f\" {lines}; printf %s $tag; ", self.key)
            }
        };
        format!(
            "echo run >> {}; {orphan}{print}sleep {}.{:03}; exit {}",
            mark.display(),
            self.sleep_ms / 1000,
            self.sleep_ms % 1000,
            self.exit
        )
    }

    /// All that an attempt prints that comes to its end. No other attempt prints the same, no two lines are alike, and
    /// the last one has no end: whatever is missing, repeated, out of order or of somebody else differs from this.
    pub(crate) fn output(&self, attempt: u64) -> String {
        let tag = format!("{}.{attempt}", self.key);
        let lines = (1..=self.lines).map(|number| format!("{tag} {number:0DIGITS$}\n"));
        lines.chain((self.lines > 0).then(|| tag.clone())).collect()
    }
}
