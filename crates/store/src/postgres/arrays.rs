//! A desk as arrays, which is how its rows are sent: of whole rows where there are many, else one for each column.

use std::borrow::Cow;

use longshore_domain::id::JobNumber;
use longshore_domain::job::{Job, JobState, Question};
use longshore_domain::time::Timestamp;
use postgres_types::ToSql;

use super::desk::{Desk, Line};
use super::errors::Attempted;
use super::rows::encoded;
use super::session::Value;
use crate::columns;
use crate::draft::Draft;

/// A desk as arrays.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) queues: Vec<&'a str>,
    pub(super) jobs: Vec<JobRow<'a>>,
    pub(super) keys: Keys<'a>,
    pub(super) dependencies: (Vec<i64>, Vec<i64>),
    pub(super) inserted: Vec<StandingRow<'a>>,
    pub(super) updated: Vec<StandingRow<'a>>,
    pub(super) taken: Vec<i64>,
    pub(super) ends: Vec<i64>,
    /// How many lines of history there are.
    pub(super) count: i64,
    pub(super) lines: Vec<LineRow<'a>>,
    pub(super) ended: Ended<'a>,
    pub(super) asks: Asks<'a>,
    pub(super) closes: Closes,
    pub(super) samples: Samples,
}

impl<'a> Columns<'a> {
    pub(super) fn of(desk: &'a Desk<'_>) -> Attempted<Self> {
        let writes = &desk.writes;
        let mut columns = Self { count: writes.lines.len() as i64, ..Self::default() };
        columns.queues.extend(writes.queues.iter().map(|queue| queue.as_str()));
        for (number, draft) in &writes.accepted {
            columns.jobs.push(JobRow::of(desk.job(*number)?, draft));
        }
        columns.keys = Keys::of(&writes.accepted);
        for (job, stored) in desk.written() {
            let rows = if stored.is_none() { &mut columns.inserted } else { &mut columns.updated };
            rows.push(StandingRow::of(job, stored)?);
        }
        columns.dependencies = writes.dependencies.iter().map(|(on, by)| (on.0 as i64, by.0 as i64)).unzip();
        columns.taken.extend(writes.taken.iter().map(|number| number.0 as i64));
        columns.ends.extend(writes.ends.iter().map(|end| end.job.0 as i64));
        columns.lines.extend(writes.lines.iter().map(LineRow::of));
        for end in &writes.ends {
            columns.ended.push(desk.job(end.job)?, end.line);
        }
        for (job, question) in &writes.asks {
            columns.asks.push(*job, question)?;
        }
        for (question, answer, at) in &writes.closes {
            columns.closes.id.push(question.to_string());
            columns.closes.closed_at.push(at.as_millis());
            columns.closes.answer.push(answer.as_ref().map(encoded).transpose()?);
        }
        for (likeness, (samples, at)) in &writes.samples {
            columns.samples.likeness.push(*likeness as i64);
            columns.samples.bytes.push(samples.iter().flat_map(|took| columns::sample(*took)).collect());
            columns.samples.learned_at.push(at.as_millis());
        }
        Ok(columns)
    }
}

/// Arrays of one length, with their values in the order in which the statement has them.
macro_rules! arrays {
    ($(#[$doc:meta])* $name:ident<$life:lifetime> { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<$life> { $(pub(super) $field: Vec<$type>,)* }

        impl $name<'_> {
            pub(super) fn values(&self) -> Vec<Value<'_>> {
                vec![$(&self.$field),*]
            }
        }
    };
}

/// What never changes about a new job.
#[derive(Debug, ToSql)]
#[postgres(name = "job_row")]
pub(super) struct JobRow<'a> {
    number: i64,
    id: &'a str,
    principal_class: &'a str,
    principal_name: &'a str,
    conversation: Option<&'a str>,
    kind: &'a str,
    name: Option<&'a str>,
    title: &'a str,
    retry: &'a str,
    likeness: i64,
    retry_of: Option<String>,
    submitted_at: i64,
    spec: &'a str,
    requires: Option<String>,
}

/// Where a job stands.
#[derive(Debug, ToSql)]
#[postgres(name = "standing_row")]
pub(super) struct StandingRow<'a> {
    job: i64,
    stored: Option<i64>,
    version: i64,
    state: &'a str,
    phase: Option<Cow<'a, str>>,
    content: String,
    attempt: i64,
    failures: i64,
    queue: &'a str,
    priority: i16,
    holder: Option<String>,
    started_at: Option<i64>,
    changed_at: i64,
    due_at: Option<i64>,
    finished_at: Option<i64>,
    outcome: Option<&'a str>,
    pinned: bool,
    output_expired: bool,
}

/// A line of history.
#[derive(Debug, ToSql)]
#[postgres(name = "line_row")]
pub(super) struct LineRow<'a> {
    job: i64,
    at: i64,
    kind: &'a str,
    state: &'a str,
    attempt: i64,
    detail: Option<&'a str>,
}

arrays! {
    /// Keys of new jobs.
    Keys<'a> { principal_class: &'a str, principal_name: &'a str, key: &'a str, job: i64, digest: &'a [u8], }
}

arrays! {
    /// Ends in chats.
    Ended<'a> { principal_name: &'a str, conversation: &'a str, line: i64, job: i64, }
}

arrays! {
    /// Questions that are open from now on.
    Asks<'a> {
        job: i64, id: String, attempt: i64, key: &'a str, kind: &'a str, prompt: &'a str, schema: Option<String>,
        asked_at: i64, deadline_at: Option<i64>,
    }
}

/// Questions that are open no more.
#[derive(Default)]
pub(super) struct Closes {
    pub(super) id: Vec<String>,
    pub(super) closed_at: Vec<i64>,
    pub(super) answer: Vec<Option<String>>,
}

/// What was learned of likenesses.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) likeness: Vec<i64>,
    pub(super) bytes: Vec<Vec<u8>>,
    pub(super) learned_at: Vec<i64>,
}

impl<'a> JobRow<'a> {
    fn of(job: &'a Job, draft: &'a Draft) -> Self {
        Self {
            number: job.number.0 as i64,
            id: &draft.id,
            principal_class: columns::class_name(job.principal.class),
            principal_name: &job.principal.name,
            conversation: job.conversation.as_ref().map(|conversation| conversation.as_str()),
            kind: job.kind.as_str(),
            name: job.name.as_deref(),
            title: &draft.title,
            retry: &draft.retry,
            likeness: job.likeness as i64,
            retry_of: job.retry_of.map(|id| id.to_string()),
            submitted_at: job.submitted_at.as_millis(),
            spec: &draft.spec,
            requires: columns::requires(&job.requires),
        }
    }
}

impl<'a> Keys<'a> {
    /// The keys of new jobs in one order for all, so that two who insert the same ones do not wait for each other.
    ///
    /// Beside the row of its principal's class a key has that of [`columns::KEY_CLASS`], so that of principals of one name
    /// and different classes who submit it at the same instant one is first.
    fn of(accepted: &[(JobNumber, &'a Draft)]) -> Self {
        let keyed = accepted.iter().filter_map(|(number, draft)| Some((draft, draft.new.key.as_ref()?, number)));
        let rows = keyed.flat_map(|(draft, key, number)| {
            let classes = [columns::class_name(draft.new.principal.class), columns::KEY_CLASS];
            classes.map(|class| (class, draft.new.principal.name.as_str(), key, number.0 as i64))
        });
        let mut keyed: Vec<_> = rows.collect();
        keyed.sort_unstable_by_key(|(class, name, key, _)| (*class, *name, key.key.as_str()));
        keyed.dedup_by_key(|(class, name, key, _)| (*class, *name, key.key.as_str()));
        let mut keys = Self::default();
        for (class, name, key, number) in keyed {
            keys.principal_class.push(class);
            keys.principal_name.push(name);
            keys.key.push(&key.key);
            keys.job.push(number);
            keys.digest.push(&key.digest);
        }
        keys
    }
}

impl<'a> StandingRow<'a> {
    fn of(job: &'a Job, stored: Option<u64>) -> Attempted<Self> {
        let state = job.state.name();
        let (finished_at, outcome) = match &job.state {
            JobState::Finished { outcome, at } => (Some(at.as_millis()), Some(outcome.status.as_str())),
            _ => (None, None),
        };
        Ok(Self {
            job: job.number.0 as i64,
            stored: stored.map(|version| version as i64),
            version: job.version as i64,
            state: state.as_str(),
            phase: columns::phase_of(state, &job.requires),
            content: encoded(&job.state)?,
            attempt: job.attempt.0.into(),
            failures: job.failures.into(),
            queue: job.queue.as_str(),
            priority: job.priority,
            holder: job.state.lease().map(|lease| lease.holder.to_string()),
            started_at: job.started_at.map(Timestamp::as_millis),
            changed_at: job.changed_at.as_millis(),
            due_at: job.state.due_at().map(Timestamp::as_millis),
            finished_at,
            outcome,
            pinned: job.pinned,
            output_expired: job.output_expired,
        })
    }
}

impl<'a> LineRow<'a> {
    fn of(line: &'a Line) -> Self {
        Self {
            job: line.job.0 as i64,
            at: line.at.as_millis(),
            kind: line.kind.as_str(),
            state: line.state.as_str(),
            attempt: line.attempt.0.into(),
            detail: line.detail.as_deref(),
        }
    }
}

impl<'a> Ended<'a> {
    fn push(&mut self, job: &'a Job, line: usize) {
        let Some(conversation) = &job.conversation else { return };
        self.principal_name.push(&job.principal.name);
        self.conversation.push(conversation.as_str());
        self.line.push(line as i64);
        self.job.push(job.number.0 as i64);
    }
}

impl<'a> Asks<'a> {
    fn push(&mut self, job: JobNumber, question: &'a Question) -> Attempted<()> {
        self.job.push(job.0 as i64);
        self.id.push(question.id.to_string());
        self.attempt.push(question.attempt.0.into());
        self.key.push(&question.key);
        self.kind.push(question.kind.as_str());
        self.prompt.push(&question.prompt);
        self.schema.push(question.schema.as_ref().map(encoded).transpose()?);
        self.asked_at.push(question.asked_at.as_millis());
        self.deadline_at.push(question.deadline_at.map(Timestamp::as_millis));
        Ok(())
    }
}
