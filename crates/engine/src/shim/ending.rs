//! Brings a command and all its descendants to their end: deadlines, orders to stop, and what outlives the command.

use std::time::Duration;

use longshore_domain::job::{Deadlines, LeftoverProcess, ProcessIdentity};
use rustix::process::{Pid, Signal, kill_process_group};

use super::time::Steady;
use super::tree::{self, Process};

/// How long descendants may take to end by themselves after the command did.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);
/// Longest time between SIGTERM and SIGKILL for descendants that outlive the command.
const LEFTOVER_GRACE_MAX: Duration = Duration::from_secs(5);
/// How often those are killed that were born while others were killed.
const KILL_AGAIN: Duration = Duration::from_millis(10);
/// The same for a tree that will not go away.
const KILL_SLOWLY: Duration = Duration::from_secs(1);
/// Descendants that SIGKILL has not ended after so long are left.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(2);
/// Most rounds in which newly born processes are asked to end.
const ASK_ROUNDS_MAX: usize = 8;

/// What has been ordered, what is due, and what was found.
pub(super) struct Ending {
    command: ProcessIdentity,
    grace: Duration,
    soft_at: Option<Steady>,
    hard_at: Option<Steady>,
    asked: Vec<ProcessIdentity>,
    kill_at: Option<Steady>,
    killing_since: Option<Steady>,
    kill_again_at: Option<Steady>,
    exited_at: Option<Steady>,
    leftovers_at: Option<Steady>,
    leftovers: Vec<Process>,
    deadline_passed: bool,
    stop_ordered: bool,
}

/// What there is to do at an instant besides signals that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Kill the cgroup as well, if there is one.
    KillAll,
}

impl Ending {
    pub(super) fn new(command: ProcessIdentity, deadlines: &Deadlines, started: Steady) -> Self {
        Self {
            command,
            grace: deadlines.grace,
            soft_at: deadlines.soft.map(|soft| started.saturating_add(soft)),
            hard_at: deadlines.hard.map(|hard| started.saturating_add(hard)),
            asked: vec![],
            kill_at: None,
            killing_since: None,
            kill_again_at: None,
            exited_at: None,
            leftovers_at: None,
            leftovers: vec![],
            deadline_passed: false,
            stop_ordered: false,
        }
    }

    /// The next deadline of the command.
    pub(super) fn deadline(&self) -> Option<Steady> {
        self.soft_at.or(self.hard_at)
    }

    /// When something will be due, apart from deadlines.
    pub(super) fn next_at(&self) -> Option<Steady> {
        [self.kill_at, self.kill_again_at, self.leftovers_at].into_iter().flatten().min()
    }

    pub(super) fn deadline_passed(&self) -> bool {
        self.deadline_passed
    }

    /// Whether the command was ordered to stop before it had ended.
    pub(super) fn stop_ordered(&self) -> bool {
        self.stop_ordered
    }

    /// Somebody wants the command to end. Reap first: one that has ended by itself was not stopped, and neither was one
    /// that its deadline ends.
    pub(super) fn order_stop(&mut self, kill: bool, now: Steady) {
        let overdue = self.deadline_passed || self.hard_at.is_some_and(|at| at <= now);
        self.stop_ordered |= self.exited_at.is_none() && !overdue;
        match (kill, self.exited_at) {
            (true, _) => self.kill_at = Some(now),
            (false, None) => self.ask_all(now),
            (false, Some(_)) => self.leftovers_at = self.leftovers_at.map(|at| at.min(now)),
        }
    }

    /// The command has ended and is reaped; what is left of its tree gets a moment to follow.
    pub(super) fn exited(&mut self, now: Steady) {
        self.exited_at = Some(now);
        (self.soft_at, self.hard_at) = (None, None);
        self.leftovers_at = Some(now + PATIENCE);
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Steady) -> Due {
        if self.soft_at.take_if(|at| *at <= now).is_some() {
            self.ask_group();
        }
        if self.hard_at.take_if(|at| *at <= now).is_some() {
            self.deadline_passed = true;
            self.ask_all(now);
        }
        if self.leftovers_at.take_if(|at| *at <= now).is_some() {
            self.ask_leftovers(now);
        }
        if self.kill_at.take_if(|at| *at <= now).is_some() {
            self.killing_since.get_or_insert(now);
            self.kill_again_at = Some(now);
        }
        match self.kill_again_at.take_if(|at| *at <= now) {
            Some(_) => self.kill_all(now),
            None => Due::Nothing,
        }
    }

    fn ask_group(&self) {
        // The command is not reaped yet, so its number is still its own.
        if let Some(group) = i32::try_from(self.command.pid).ok().and_then(Pid::from_raw) {
            kill_process_group(group, Signal::TERM).ok();
            kill_process_group(group, Signal::CONT).ok();
        }
    }

    /// Asks the whole tree to end, and sets the time when it will be killed.
    fn ask_all(&mut self, now: Steady) {
        if self.kill_at.is_none() && self.killing_since.is_none() {
            self.kill_at = Some(now.saturating_add(self.grace));
        }
        if cfg!(not(target_os = "linux")) {
            self.ask_group();
        }
        for _ in 0..ASK_ROUNDS_MAX {
            if !self.ask(&tree::descendants(own_number())) {
                return;
            }
        }
    }

    /// Asks those that were not asked before; whether there were any.
    fn ask(&mut self, processes: &[Process]) -> bool {
        let mut any = false;
        for process in processes.iter().map(|process| &process.identity) {
            if self.asked.contains(process) {
                continue;
            }
            any = true;
            self.asked.push(process.clone());
            if tree::signal(process, Signal::TERM) {
                // A stopped process only sees it once it goes on.
                tree::signal(process, Signal::CONT);
            }
        }
        any
    }

    fn ask_leftovers(&mut self, now: Steady) {
        self.leftovers = tree::descendants(own_number());
        let kill_at = now.saturating_add(self.grace.min(LEFTOVER_GRACE_MAX));
        if self.killing_since.is_none() {
            self.kill_at = Some(self.kill_at.map_or(kill_at, |at| at.min(kill_at)));
        }
        let leftovers = self.leftovers.clone();
        self.ask(&leftovers);
    }

    fn kill_all(&mut self, now: Steady) -> Due {
        let since = self.killing_since.unwrap_or(now);
        let pause = if now.saturating_sub(since) < UNKILLABLE_AFTER { KILL_AGAIN } else { KILL_SLOWLY };
        self.kill_again_at = Some(now + pause);
        for process in tree::descendants(own_number()) {
            tree::signal(&process.identity, Signal::KILL);
            if self.exited_at.is_some() && !self.leftovers.iter().any(|known| known.identity == process.identity) {
                self.leftovers.push(process);
            }
        }
        if cfg!(not(target_os = "linux"))
            && let Some(group) = i32::try_from(self.command.pid).ok().and_then(Pid::from_raw)
        {
            kill_process_group(group, Signal::KILL).ok();
        }
        Due::KillAll
    }

    /// Whether descendants are left that nothing ends.
    pub(super) fn given_up(&self, now: Steady) -> bool {
        let unkillable = self.killing_since.is_some_and(|since| now.saturating_sub(since) >= UNKILLABLE_AFTER);
        unkillable && self.exited_at.is_some_and(|at| now.saturating_sub(at) >= UNKILLABLE_AFTER)
    }

    /// Whether those that outlive the command had their moment to end by themselves.
    pub(super) fn patience_over(&self, now: Steady) -> bool {
        self.exited_at.is_some_and(|at| now.saturating_sub(at) >= PATIENCE)
    }

    /// The processes that outlived the command; with `all_gone` none of them is left.
    pub(super) fn leftovers(self, all_gone: bool) -> Vec<LeftoverProcess> {
        let alive = if all_gone { vec![] } else { tree::descendants(own_number()) };
        let is_gone = |process: &Process| !alive.iter().any(|other| other.identity == process.identity);
        let described = self.leftovers.into_iter().map(|process| LeftoverProcess {
            pid: process.identity.pid,
            stopped: is_gone(&process),
            command: process.command,
        });
        described.collect()
    }
}

fn own_number() -> u32 {
    std::process::id()
}
