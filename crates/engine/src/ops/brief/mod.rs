//! What a chat should know now: what ended since it last heard, what runs, what waits.

mod fit;
mod lines;
mod tokens;

use longshore_domain::fault::Fault;
use longshore_domain::job::StateName;
use longshore_domain::store::{JobFilter, Notice, Unannounced};
use longshore_domain::{Conversation, Job, JobId};

use crate::Engine;
use crate::engine::Caller;

pub use fit::{Brief, BriefLine, BriefSection, TOKENS_MAX};
use fit::{LINES_MAX, Told};
pub use tokens::tokens;

/// Unfinished jobs of a chat that are counted.
const UNFINISHED_MAX: usize = 1000;
/// Ends that a chat has seen by itself and that are worth a write of their own.
const SEEN_FOLD: usize = 32;

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Briefing {
    /// What ended, and nothing of what runs and waits.
    pub ends_only: bool,
    /// Unfinished jobs that need no telling.
    pub except: Vec<JobId>,
    /// Leave the ends unannounced, for the next to be told.
    pub peek: bool,
}

impl Engine {
    /// What the chat of `caller` should know, in at most [`TOKENS_MAX`] tokens. Without a chat there is nothing.
    ///
    /// Unless it is a peek, every end counts as announced to the chat from then on, also those that are only counted:
    /// before this returns, so that of several callers one is told. Whoever is cut off before it reads the answer is
    /// not told again; lists still show the job. Ends that the chat has [seen](Engine::saw) are left out.
    ///
    /// # Errors
    /// The store's own.
    pub async fn brief(&self, caller: &Caller, briefing: Briefing) -> Result<Brief, Fault> {
        let Some(conversation) = &caller.conversation else { return Ok(Brief::default()) };
        let ends = self.untold_ends(caller, conversation, briefing.peek).await?;
        let ended = Told { lines: ends.jobs.iter().map(lines::ended).collect(), count: ends.count };
        let (running, waiting) = match briefing.ends_only {
            true => Default::default(),
            false => self.unfinished(caller, conversation, &briefing.except).await?,
        };
        Ok(fit::fit([ended, running, waiting]))
    }

    /// Notes that the chat of `caller` was answered with the end of `job`, which then needs no announcing there.
    ///
    /// This is remembered by this process alone and written with the next announcement: polls write nothing, and a
    /// restart in between has the end announced once more.
    pub fn saw(&self, caller: &Caller, job: &Job) {
        let Some(conversation) = &caller.conversation else { return };
        let own = job.conversation.as_ref() == Some(conversation) && job.principal.name == caller.principal.name;
        if own && job.is_finished() {
            self.inner.seen.note((caller.principal.name.clone(), conversation.clone()), job);
        }
    }

    async fn untold_ends(&self, caller: &Caller, chat: &Conversation, peek: bool) -> Result<Unannounced, Fault> {
        let audience = (caller.principal.name.clone(), chat.clone());
        let seen = self.inner.seen.of(&audience);
        let notice = Notice {
            owner: audience.0.clone(),
            conversation: chat.clone(),
            except: seen.clone(),
            limit: LINES_MAX,
            peek: true,
        };
        let ends = self.inner.store.announce(notice.clone()).await?;
        if peek || (ends.count == 0 && seen.len() < SEEN_FOLD) {
            return Ok(ends);
        }
        let ends = self.inner.store.announce(Notice { peek: false, ..notice }).await?;
        self.inner.seen.forget(&audience, &seen);
        Ok(ends)
    }

    /// What runs, and what waits: for persons first.
    async fn unfinished(&self, caller: &Caller, chat: &Conversation, except: &[JobId]) -> Result<(Told, Told), Fault> {
        let filter = JobFilter {
            owner: Some(caller.principal.name.clone()),
            conversation: Some(chat.clone()),
            states: StateName::ALL.into_iter().filter(|state| *state != StateName::Finished).collect(),
            ..JobFilter::default()
        };
        let mut jobs = self.inner.store.jobs(filter, UNFINISHED_MAX).await?;
        jobs.retain(|job| !except.contains(&job.id));
        let (running, mut waiting): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(lines::runs);
        waiting.sort_by_key(|job| !lines::asks(job));
        Ok((self.told(running).await?, self.told(waiting).await?))
    }

    async fn told(&self, jobs: Vec<Job>) -> Result<Told, Fault> {
        let mut told = Told { lines: vec![], count: jobs.len() as u64 };
        for job in jobs.into_iter().take(LINES_MAX) {
            let questions = match lines::asks(&job) {
                true => self.inner.store.questions(job.id).await?,
                false => vec![],
            };
            told.lines.push(lines::unfinished(&self.view(job).await?, &questions));
        }
        Ok(told)
    }
}
