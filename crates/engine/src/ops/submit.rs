//! Accepting a job.

use std::collections::BTreeMap;
use std::path::Path;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::{
    CommandLimits, CommandSpec, Deadlines, JobKind, JobSpec, JobState, OutputMode, QueueName, RetryPolicy, SpecProblem,
};
use longshore_domain::store::{ClaimedJob, IdempotencyKey, NewJob, StoreError};
use longshore_domain::{Job, JobId, Labels, When};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use crate::engine::Caller;
use crate::whole::whole;
use crate::{Engine, dispatch, environment, inner};

/// A command as a caller hands it over.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Submit {
    /// Program and arguments; with `shell` one line.
    pub command: Vec<String>,
    /// Whether the command is a line for the shell.
    pub shell: bool,
    /// Absolute working directory.
    pub cwd: String,
    /// Variables of the caller's environment; only allowed ones are used. No part of the caller's intent.
    #[serde(skip)]
    pub inherited: BTreeMap<String, String>,
    /// Variables named by the caller.
    pub env: BTreeMap<String, String>,
    /// A name for people.
    pub name: Option<String>,
    /// The line to stand in.
    pub queue: Option<String>,
    /// Higher runs first.
    pub priority: i16,
    /// What the node that runs it must have. What requires nothing is asked for as it always was.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub requires: Labels,
    /// How long it may run.
    pub deadlines: Deadlines,
    /// What it may use.
    pub limits: CommandLimits,
    /// How its output is captured.
    pub output: OutputMode,
    /// When another attempt may follow a failed one.
    pub retry: RetryPolicy,
    /// Not before this instant, or not until so long after it was accepted.
    pub not_before: Option<When>,
    /// Jobs that must succeed first, by id or number.
    pub after: Vec<String>,
    /// One job per intent.
    #[serde(skip)]
    pub key: Option<String>,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
}

/// A job that is durable.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The job as it stands.
    pub job: Job,
    /// It had been accepted before, under the same key.
    pub existing: bool,
}

/// Longest name of a job, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// Most jobs that one job may wait for.
const AFTER_MAX: usize = 1000;

impl Engine {
    /// Accepts a job durably, and starts it if there is room.
    ///
    /// Dropping the future does not undo what was accepted: submit again with the same key to find it.
    ///
    /// # Errors
    /// `invalid_argument`, `too_large`, `job_not_found` (in `after`), `idempotency_conflict`, or the store's own; no
    /// job was made.
    pub async fn submit(&self, caller: &Caller, request: Submit) -> Result<Accepted, Fault> {
        if self.inner.draining.is_cancelled() {
            return Err(inner::stopping());
        }
        check_texts(request.name.as_deref(), request.key.as_deref(), &request.retry)?;
        let key = request.key.clone().map(|key| IdempotencyKey { key, digest: digest(&request) });
        match self.new_job(caller, request, key.clone()).await {
            Ok(job) => self.accept(job).await,
            Err(fault) => self.accepted_before(caller, key).await.ok_or(fault),
        }
    }

    /// The job of an earlier submit of the same: what it needs may be gone since, even by its own doing.
    async fn accepted_before(&self, caller: &Caller, key: Option<IdempotencyKey>) -> Option<Accepted> {
        let found = self.inner.store.job_by_key(&caller.principal, &key?).await;
        found.ok().flatten().map(|job| Accepted { job, existing: true })
    }

    /// Stores a new job, and starts it if there is room.
    pub(super) async fn accept(&self, job: NewJob) -> Result<Accepted, Fault> {
        if job.spec.kind() == JobKind::Fixture && !self.inner.settings.fixtures {
            return Err(Fault::invalid("kind", "this daemon plays no fixtures")
                .next("submit a command: fixtures exist for the tests of Longshore alone"));
        }
        // Only a key can be in conflict with an earlier job.
        let asked = job.key.is_some().then(|| job.clone());
        let engine = self.clone();
        let accepted = whole(&self.inner.tasks, async move { engine.store_and_begin(job).await }).await;
        match accepted {
            Ok(accepted) => Ok(accepted),
            Err(error) => Err(self.conflict(error, asked).await),
        }
    }

    async fn store_and_begin(&self, job: NewJob) -> Result<Accepted, StoreError> {
        let slot = self.inner.try_slot();
        let claim = slot.as_ref().map(|_| self.inner.claim(1));
        match self.inner.store.submit(job, claim, self.inner.clock.now()).await {
            Ok((submitted, claimed)) => {
                let begins = claimed.iter().any(|claimed| claimed.job.id == submitted.job.id);
                // Where nobody else claims, a claim that found nothing says that nothing is ready.
                let found_nothing = slot.is_some() && claimed.is_empty() && self.inner.peers.is_none();
                self.begin(slot, claimed);
                if !submitted.existing {
                    self.accepted(&submitted.job, !begins && !found_nothing);
                }
                Ok(Accepted { job: submitted.job, existing: submitted.existing })
            }
            Err(error) => {
                slot.into_iter().for_each(|slot| self.inner.give_back(slot));
                Err(error)
            }
        }
    }

    fn begin(&self, slot: Option<OwnedSemaphorePermit>, mut claimed: Vec<ClaimedJob>) {
        match (slot, claimed.pop()) {
            (Some(slot), Some(claimed)) => dispatch::launch(&self.inner, claimed, slot),
            (Some(slot), None) => self.inner.give_back(slot),
            _ => {}
        }
    }

    /// Tells whoever has to do with a new job, the dispatcher only if it may take it.
    fn accepted(&self, job: &Job, may_be_taken: bool) {
        match &job.state {
            JobState::Queued if may_be_taken => self.inner.ready.notify_one(),
            JobState::Waiting { until: Some(_), .. } => self.inner.due.notify_one(),
            _ => {}
        }
        self.inner.announce(job.id);
    }

    async fn resolve_after(&self, caller: &Caller, names: &[String]) -> Result<Vec<JobId>, Fault> {
        if names.len() > AFTER_MAX {
            return Err(too_large(
                "after",
                format!("names {} jobs; at most {AFTER_MAX} can be waited for", names.len()),
            ));
        }
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            ids.push(self.find(&caller.principal, name).await?.id);
        }
        Ok(ids)
    }

    /// The job that would be made of a request, with nothing wrong about it.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub(super) async fn checked(&self, caller: &Caller, request: Submit) -> Result<NewJob, Fault> {
        check_texts(request.name.as_deref(), request.key.as_deref(), &request.retry)?;
        self.new_job(caller, request, None).await
    }

    async fn new_job(&self, caller: &Caller, request: Submit, key: Option<IdempotencyKey>) -> Result<NewJob, Fault> {
        let after = self.resolve_after(caller, &request.after).await?;
        let inherited = environment::inherited(request.inherited, &self.inner.settings.env_allow);
        let spec = CommandSpec {
            argv: request.command,
            shell: request.shell,
            cwd: request.cwd,
            env: environment::complete(&inherited, &request.env),
            deadlines: request.deadlines,
            limits: request.limits,
            output: request.output,
        };
        spec.check().map_err(spec_problem)?;
        check_directory(&spec.cwd)?;
        Ok(NewJob {
            id: self.inner.clock.new_job_id(),
            principal: caller.principal.clone(),
            conversation: caller.conversation.clone(),
            name: request.name,
            spec: JobSpec::Command(spec),
            queue: request.queue.map(QueueName::try_from).transpose().map_err(spec_problem)?.unwrap_or_default(),
            requires: request.requires,
            priority: request.priority,
            retry: request.retry,
            not_before: request.not_before,
            after,
            key,
            retry_of: request.retry_of,
        })
    }
}

/// Digest of everything that a caller asked for.
pub(super) fn digest(request: &impl Serialize) -> [u8; 32] {
    // Maps are ordered and fields come in the order of the type, so equal requests give equal bytes.
    let body = serde_json::to_vec(request).unwrap_or_default();
    Sha256::digest(body).into()
}

pub(super) fn check_texts(name: Option<&str>, key: Option<&str>, retry: &RetryPolicy) -> Result<(), Fault> {
    if name.is_some_and(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
        return Err(Fault::invalid("name", "must have 1 to 200 bytes"));
    }
    if key.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
        return Err(Fault::invalid("key", "must have 1 to 255 bytes"));
    }
    if retry.retries_max > RetryPolicy::RETRIES_MAX {
        return Err(Fault::invalid("retry", format!("must be 0 to {}", RetryPolicy::RETRIES_MAX)));
    }
    Ok(())
}

fn check_directory(cwd: &str) -> Result<(), Fault> {
    let problem = match std::fs::metadata(Path::new(cwd)) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "is a file, not a directory".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be used: {error}"),
    };
    Err(Fault::invalid("cwd", format!("the directory {cwd} {problem}"))
        .next("give an absolute path of a directory on the machine that runs the daemon; nothing was submitted"))
}

pub(super) fn spec_problem(problem: SpecProblem) -> Fault {
    match problem.too_large {
        true => too_large(problem.argument, problem.problem),
        false => Fault::invalid(problem.argument, problem.problem).next("correct it and submit again; no job was made"),
    }
}

fn too_large(argument: &str, problem: String) -> Fault {
    Fault::new(FaultCode::TooLarge, format!("`{argument}`: {problem}"))
        .next("write large input to a file and give its path; no job was made")
}
