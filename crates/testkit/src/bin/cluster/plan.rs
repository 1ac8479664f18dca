//! What callers ask for: jobs of many sorts.

use std::path::Path;

use longshore_testkit::Dice;
use serde_json::{Value, json};

/// A queue that lends few places.
pub(crate) const NARROW: &str = "narrow";
/// How many.
pub(crate) const NARROW_PLACES: usize = 2;
/// More than this is printed by a program of its own.
const PRINTED_BY_SHELL_MAX: usize = 4_000;

/// What a caller asks for, and so what the auditor expects.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) key: String,
    sleep_ms: u64,
    pub(crate) exit: i32,
    filling: usize,
    pub(crate) retries: u32,
    pub(crate) cancel: bool,
    pub(crate) delay_ms: u64,
    /// Id of a job that must succeed first.
    pub(crate) after: Option<String>,
    /// Name of the only node that has what it requires.
    pub(crate) requires: Option<String>,
    pub(crate) narrow: bool,
    priority: i64,
    /// It is submitted by a command, not over a connection.
    pub(crate) by_command: bool,
}

impl Plan {
    /// One that the dice choose. `earlier` is a job that it may wait for, `nodes` are those that it may require.
    pub(crate) fn of(key: String, dice: &mut Dice, earlier: Option<&str>, nodes: &[String]) -> Self {
        let mut one_in = |sides| dice.roll(sides) == 0;
        let by_command = one_in(50);
        let narrow = !by_command && one_in(20);
        let (delayed, after, requires, prioritized) = (one_in(20), one_in(15), one_in(15), one_in(8));
        let (cancel, exit) = (one_in(25), if one_in(6) { 3 } else { 0 });
        let sleep_ms = if narrow { 0 } else { pick(dice, &[0, 0, 0, 0, 0, 0, 50, 300, 1_200, 3_000]) };
        Self {
            key,
            sleep_ms,
            exit,
            filling: pick(dice, &[0, 10, 10, 100, 100, 3_000, 3_000, 70_000]),
            retries: pick(dice, &[0, 0, 1, 2]),
            cancel,
            delay_ms: if delayed && !by_command { 300 + dice.roll(2_000) } else { 0 },
            after: earlier.filter(|_| after && !by_command).map(str::to_owned),
            requires: (requires && !by_command).then(|| pick(dice, nodes)),
            narrow,
            priority: if prioritized && !by_command { dice.roll(9) as i64 - 4 } else { 0 },
            by_command,
        }
    }

    /// Notes that it ran, prints what [`Plan::output`] says, sleeps and exits.
    pub(crate) fn script(&self, marks: &Path) -> String {
        let mark = marks.join(&self.key);
        let print = match self.filling {
            0 => String::new(),
            few @ ..=PRINTED_BY_SHELL_MAX => format!("printf %s {}; ", "x".repeat(few)),
            many => format!("head -c {many} /dev/zero | tr '\\0' x; "),
        };
        let sleep = match self.sleep_ms {
            0 => String::new(),
            sleep => format!("sleep {}.{:03}; ", sleep / 1000, sleep % 1000),
        };
        format!("echo $LONGSHORE_ATTEMPT >>{}; echo {}; {print}{sleep}exit {}", mark.display(), self.key, self.exit)
    }

    /// All that an attempt prints that comes to its end.
    pub(crate) fn output(&self) -> Vec<u8> {
        let mut output = format!("{}\n", self.key).into_bytes();
        output.resize(output.len() + self.filling, b'x');
        output
    }

    /// The request for it; `mark` is a variable for its environment.
    pub(crate) fn body(&self, marks: &Path, mark: (&str, &str)) -> Value {
        json!({
            "command": ["sh", "-c", self.script(marks)],
            "cwd": "/",
            "env": { mark.0: mark.1 },
            "key": self.key,
            "retries": self.retries,
            "delay_ms": (self.delay_ms > 0).then_some(self.delay_ms),
            "after": self.after.iter().collect::<Vec<_>>(),
            "requires": self.requires.iter().collect::<Vec<_>>(),
            "queue": self.narrow.then_some(NARROW),
            "priority": self.priority,
        })
    }
}

fn pick<T: Clone>(dice: &mut Dice, from: &[T]) -> T {
    from[dice.roll(from.len() as u64) as usize].clone()
}
