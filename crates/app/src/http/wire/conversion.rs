//! How what the engine knows becomes what is sent.

use std::time::Duration;

use longshore_domain::job::{
    AttemptReport, CommandSpec, EventRecord, FixtureSpec, Job, JobSpec, LeftoverProcess, OutcomeStatus, OutputFacts,
    OutputMode, ResourceUse,
};
use longshore_domain::{Position, Principal, PrincipalClass, Timestamp};
use longshore_engine::ops::JobView;
use longshore_engine::process::Progress;

use super::answers::EventBody;
use super::job::{
    EstimateBody, JobBody, LeftoverBody, OutcomeBody, OutputFactsBody, PrincipalBody, ProgressBody, ReportBody,
    SpecBody, UsageBody,
};

impl From<JobView> for JobBody {
    fn from(view: JobView) -> Self {
        let job = view.job;
        Self {
            id: job.id.to_string(),
            number: job.number.0,
            kind: job.kind.as_str().into(),
            state: job.state.name().to_string(),
            stop_reason: job.state.stop_reason().map(|why| why.as_str().into()),
            outcome: outcome(&job),
            queue: job.queue.to_string(),
            priority: job.priority,
            requires: job.requires.iter().map(str::to_owned).collect(),
            principal: (&job.principal).into(),
            conversation: job.conversation.as_ref().map(|conversation| conversation.as_str().to_owned()),
            attempt: job.attempt.0,
            retries_max: job.retry.retries_max,
            retry_of: job.retry_of.map(|id| id.to_string()),
            submitted_at: job.submitted_at.to_string(),
            not_before: instant(job.state.not_before()),
            after_left: job.state.after_left(),
            started_at: instant(job.started_at),
            finished_at: instant(job.finished_at()),
            elapsed_ms: view.elapsed.map(millis),
            estimate: view.estimate.map(|estimate| EstimateBody {
                low_ms: millis(estimate.low),
                middle_ms: millis(estimate.middle),
                high_ms: millis(estimate.high),
                samples: estimate.samples,
            }),
            remaining_ms: view.remaining.map(millis),
            progress: view.progress.map(ProgressBody::from),
            output_bytes: view.output_bytes,
            silent_ms: view.silent_for.map(millis),
            position: view.position.map(Position::jobs),
            poll_after_ms: millis(view.poll_after),
            report: job.outcome().and_then(|outcome| outcome.report.as_ref()).map(ReportBody::from),
            pinned: job.pinned,
            output_expired: job.output_expired,
            name: job.name,
            title: job.title,
        }
    }
}

impl From<Progress> for ProgressBody {
    fn from(progress: Progress) -> Self {
        Self { percent: progress.percent, text: progress.text }
    }
}

impl From<&Principal> for PrincipalBody {
    fn from(principal: &Principal) -> Self {
        Self { class: class_name(principal.class).into(), name: principal.name.clone() }
    }
}

impl From<&AttemptReport> for ReportBody {
    fn from(report: &AttemptReport) -> Self {
        Self {
            exit_code: report.exit_code,
            signal: report.signal,
            spawn_error: report.spawn_error.clone(),
            program_missing: report.program_missing,
            deadline_passed: report.deadline_passed,
            stopped: report.stopped,
            started_at: report.started_at.to_string(),
            finished_at: report.finished_at.to_string(),
            ran_ms: millis(report.ran),
            output: (&report.output).into(),
            leftovers: report.leftovers.iter().map(LeftoverBody::from).collect(),
            memory_ran_out: report.memory_ran_out,
            processes_ran_out: report.processes_ran_out,
            usage: report.usage.into(),
        }
    }
}

impl From<&OutputFacts> for OutputFactsBody {
    fn from(facts: &OutputFacts) -> Self {
        Self {
            bytes: facts.bytes,
            lines: facts.lines,
            omitted_bytes: facts.omitted_bytes,
            omitted_lines: facts.omitted_lines,
            cut_off: facts.cut_off,
            write_error: facts.write_error.clone(),
        }
    }
}

impl From<&LeftoverProcess> for LeftoverBody {
    fn from(process: &LeftoverProcess) -> Self {
        Self { pid: process.pid, command: process.command.clone(), stopped: process.stopped }
    }
}

impl From<ResourceUse> for UsageBody {
    fn from(usage: ResourceUse) -> Self {
        Self { user_ms: usage.user_ms, system_ms: usage.system_ms, memory_max_bytes: usage.memory_max_bytes }
    }
}

impl From<JobSpec> for SpecBody {
    fn from(spec: JobSpec) -> Self {
        match spec {
            JobSpec::Command(command) => command.into(),
            JobSpec::Fixture(fixture) => fixture.into(),
        }
    }
}

/// A fixture runs no program: of what a command has, only its deadline is left.
impl From<FixtureSpec> for SpecBody {
    fn from(fixture: FixtureSpec) -> Self {
        let deadline_ms = fixture.deadline.map(millis);
        Self {
            command: vec![JobSpec::Fixture(fixture).title()],
            shell: false,
            cwd: String::new(),
            env: vec![],
            deadline_ms,
            soft_deadline_ms: None,
            grace_ms: 0,
            memory_bytes: None,
            processes: None,
            nice: None,
            output_bytes_max: 0,
            split: false,
        }
    }
}

impl From<CommandSpec> for SpecBody {
    fn from(command: CommandSpec) -> Self {
        let CommandSpec { argv, shell, cwd, env, deadlines, limits, output } = command;
        Self {
            command: argv,
            shell,
            cwd,
            env: env.into_keys().collect(),
            deadline_ms: deadlines.hard.map(millis),
            soft_deadline_ms: deadlines.soft.map(millis),
            grace_ms: millis(deadlines.grace),
            memory_bytes: limits.memory_bytes,
            processes: limits.processes,
            nice: limits.nice,
            output_bytes_max: limits.output_bytes_max,
            split: output == OutputMode::Split,
        }
    }
}

impl From<EventRecord> for EventBody {
    fn from(event: EventRecord) -> Self {
        Self {
            seq: event.seq.0,
            job: event.job.to_string(),
            number: event.number.0,
            at: event.at.to_string(),
            kind: event.kind.as_str().into(),
            state: event.state.to_string(),
            attempt: event.attempt.0,
            detail: event.detail,
        }
    }
}

fn outcome(job: &Job) -> Option<OutcomeBody> {
    let outcome = job.outcome()?;
    let report = outcome.report.as_ref();
    Some(OutcomeBody {
        status: outcome.status.as_str().into(),
        reason: outcome.reason.map(|reason| reason.as_str().into()),
        exit_code: report.and_then(|report| report.exit_code),
        signal: report.and_then(|report| report.signal),
        message: outcome.message.clone(),
        cause: outcome.cause.map(|id| id.to_string()),
    })
}

/// The class of a principal as it is written.
pub(crate) fn class_name(class: PrincipalClass) -> &'static str {
    match class {
        PrincipalClass::Person => "person",
        PrincipalClass::Agent => "agent",
        PrincipalClass::Worker => "worker",
        PrincipalClass::Node => "node",
    }
}

/// The outcome of that name.
pub(crate) fn outcome_status(name: &str) -> Option<OutcomeStatus> {
    use OutcomeStatus::{Cancelled, Failed, Skipped, Succeeded};
    [Succeeded, Failed, Cancelled, Skipped].into_iter().find(|status| status.as_str() == name)
}

pub(super) fn instant(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

pub(super) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
