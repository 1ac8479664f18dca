//! How one legacy session hears what its tasks ask.

use std::collections::HashMap;

use longshore_domain::JobId;
use tokio_util::task::AbortOnDropHandle;

/// Tasks that are remembered of one session.
const TASKS_MAX: usize = 1000;

/// How one task is heard.
#[derive(Debug)]
enum Hearing {
    /// The client looked and saw that it is asked something.
    Looked,
    /// It is asked on the stream of its session.
    Beside(AbortOnDropHandle<()>),
    /// It waits for the result, so many times.
    ByResult(usize),
}

/// How the tasks of one session are heard.
#[derive(Debug, Default)]
pub(crate) struct Hearings(HashMap<JobId, Hearing>);

impl Hearings {
    /// The client looked at a task that asks it something, and `ask` is the way to ask it on the stream of its session:
    /// taken from its second look on, unless it is asked already.
    pub(super) fn looked(&mut self, job: JobId, ask: impl FnOnce() -> AbortOnDropHandle<()>) {
        match self.0.get_mut(&job) {
            Some(Hearing::ByResult(_)) => {}
            Some(Hearing::Beside(asking)) if !asking.is_finished() => {}
            Some(hearing) => *hearing = Hearing::Beside(ask()),
            None => {
                self.make_room();
                self.0.insert(job, Hearing::Looked);
            }
        }
    }

    /// The client waits for the result and is asked there; what it was asked elsewhere is taken back.
    pub(super) fn waits(&mut self, job: JobId) {
        match self.0.get_mut(&job) {
            Some(Hearing::ByResult(count)) => *count += 1,
            _ => drop(self.0.insert(job, Hearing::ByResult(1))),
        }
    }

    pub(super) fn waits_no_more(&mut self, job: JobId) {
        match self.0.get_mut(&job) {
            Some(Hearing::ByResult(count)) if *count > 1 => *count -= 1,
            _ => drop(self.0.remove(&job)),
        }
    }

    /// What is not under way gives way.
    fn make_room(&mut self) {
        if self.0.len() >= TASKS_MAX {
            self.0.retain(|_, hearing| match hearing {
                Hearing::Looked => false,
                Hearing::Beside(asking) => !asking.is_finished(),
                Hearing::ByResult(_) => true,
            });
        }
    }
}
