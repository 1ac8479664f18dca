//! An attempt that this process follows, and how it is to end early.

use longshore_domain::job::{ProcessIdentity, StateName};
use longshore_domain::{AttemptNumber, Job};
use tokio_util::task::AbortOnDropHandle;

use crate::process::{self, Progress, ShimControl};

/// An attempt that this process follows.
pub(crate) struct LiveAttempt {
    pub(crate) attempt: AttemptNumber,
    pub(crate) control: Option<ShimControl>,
    /// The process of its command, once that is on record.
    command: Option<ProcessIdentity>,
    stop: Option<Stop>,
    /// It has ended, and its end is on its way to the store.
    pub(crate) over: bool,
    pub(crate) progress: Option<Progress>,
    /// Whoever waits for its deadline.
    deadline: Option<AbortOnDropHandle<()>>,
}

/// How an attempt is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// With time to clean up.
    Asked,
    /// At once: its lease is lost, and another attempt may begin.
    Fenced,
}

impl LiveAttempt {
    pub(crate) fn of(job: &Job) -> Self {
        let stop = (job.state.name() == StateName::Stopping).then_some(Stop::Asked);
        let command = job.state.run().and_then(|run| run.process.clone());
        Self { attempt: job.attempt, control: None, command, stop, over: false, progress: None, deadline: None }
    }

    /// Takes in that its command runs: its process, and whoever waits for its deadline.
    pub(crate) fn runs(&mut self, job: &Job, deadline: Option<AbortOnDropHandle<()>>) {
        self.command = job.state.run().and_then(|run| run.process.clone());
        self.deadline = deadline;
    }

    /// Takes in that it has ended: there is nothing left to stop.
    pub(crate) fn ended(&mut self) {
        self.over = true;
        self.deadline = None;
    }

    /// Whether the order is new to it; then it is passed on.
    pub(crate) fn order(&mut self, stop: Stop) -> bool {
        let is_new = self.stop != Some(stop) && self.stop != Some(Stop::Fenced);
        if is_new {
            self.stop = Some(stop);
            self.pass_stop_on();
        }
        is_new
    }

    /// Has the shim end the command if that was ordered. One that somebody has frozen is woken: otherwise it ends nothing.
    pub(crate) fn pass_stop_on(&self) {
        let Some(stop) = self.stop else { return };
        if let Some(control) = &self.control {
            control.stop(stop == Stop::Fenced);
        }
        self.command.iter().for_each(process::wake_shim);
    }
}
