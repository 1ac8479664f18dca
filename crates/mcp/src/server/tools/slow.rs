//! What a call of a slow tool is answered with: its job is durable and started; from there on it depends on who calls.
//!
//! | caller | ended within | otherwise |
//! | --- | --- | --- |
//! | modern, declares tasks | the grace | a task |
//! | modern | a leg, eight times | `input_required` that brings the call back; in the end the job's handle as a result |
//! | 2025-11-25, asks for a task | – | a task |
//! | legacy | the client's budget | the job's handle as a result |

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use longshore_domain::{Fault, Job, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::Answer;
use super::run;
use crate::server::call::Call;
use crate::server::hold::hold_one;
use crate::server::news::{self, Telling};
use crate::server::request_state::{self, Bound, Purpose};
use crate::server::tasks;
use crate::wire::{Arguments, Era, ResultBody, RpcError};

/// Legs of one call; drivers give up after ten.
const LEGS_MAX: u32 = 8;
const LEG: Purpose = Purpose("leg");

/// Begins a slow tool's work.
pub(super) type Start = for<'a> fn(&'a Call, Arguments) -> BoxFuture<'a, Result<Started, Fault>>;

/// A job that a call has begun, or found by its key.
pub(super) struct Started {
    /// The job, durable.
    pub(super) job: Job,
    /// It had been accepted before.
    pub(super) existing: bool,
    /// How long the caller wants to wait for the end; absent = as long as it is wise.
    pub(super) patience: Option<Duration>,
}

/// What a call carries from leg to leg.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Leg {
    job: JobId,
    existing: bool,
    /// The leg that comes next, counted from 1.
    number: u32,
    /// Until when the caller wants to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

/// A call on its way.
struct Attached {
    job: Job,
    existing: bool,
    leg: u32,
    until: Option<Timestamp>,
}

/// Answers a call of a slow tool.
///
/// # Errors
/// Errors of the protocol; what the tool itself refuses is a result, except where only a task could be answered.
pub(super) async fn answer(
    call: &Call,
    tool: &str,
    start: Start,
    arguments: Result<Arguments, Fault>,
) -> Result<ResultBody, RpcError> {
    answer_by(call, tool, async { start(call, arguments?).await }).await
}

/// The same for work that `begin` begins; it is left alone if an earlier leg has begun it.
///
/// # Errors
/// Those of [`answer`].
pub(super) async fn answer_by(
    call: &Call,
    tool: &str,
    begin: impl Future<Output = Result<Started, Fault>>,
) -> Result<ResultBody, RpcError> {
    let as_task = tasks::legacy::wanted(call)?;
    let resumed = leg_of(call)?;
    let attached = match resumed {
        Some(leg) => again(call, leg).boxed().await,
        None => begun(call, begin).await,
    };
    match attached {
        Ok(attached) if as_task => tasks::legacy::handle(call, attached.job).boxed().await,
        Err(fault) if as_task => Err(tasks::refused(&fault)),
        Ok(attached) => {
            call.sink.waits_for(attached.job.id);
            by_patience(call, tool, attached).boxed().await
        }
        Err(fault) => super::failed(&fault, tool).into_result(call.era),
    }
}

async fn begun(call: &Call, begin: impl Future<Output = Result<Started, Fault>>) -> Result<Attached, Fault> {
    let started = begin.await?;
    let until = started.patience.map(|patience| call.engine().clock().now().plus(patience));
    Ok(Attached { job: started.job, existing: started.existing, leg: 1, until })
}

/// Takes up the job of an earlier leg; nothing is run again.
async fn again(call: &Call, leg: Leg) -> Result<Attached, Fault> {
    let job = call.engine().find(&call.caller.principal, &leg.job.to_string()).await?;
    Ok(Attached { job, existing: leg.existing, leg: leg.number, until: leg.until.map(Timestamp::from_millis) })
}

async fn by_patience(call: &Call, tool: &str, attached: Attached) -> Result<ResultBody, RpcError> {
    let left = attached.until.map(|until| until.since(call.engine().clock().now()));
    let settings = call.server.settings();
    let length = match call.era {
        Era::Modern if call.extensions.tasks => settings.grace,
        Era::Modern => settings.leg.min(call.budget()),
        Era::Legacy(_) => call.budget(),
    };
    let length = left.map_or(length, |left| left.min(length));
    let existing = attached.existing;
    let job = match hold_one(call, attached.job, length).await {
        Ok(job) => job,
        Err(fault) => return super::failed(&fault, tool).into_result(call.era),
    };
    if job.is_finished() {
        #[cfg(feature = "fixture")]
        if let Some(result) = crate::server::fixture::result(call, &job).await {
            return result;
        }
        return told(call, tool, run::result(call, job, existing).boxed().await).await;
    }
    let patient = left.is_none_or(|left| left > length);
    match call.era {
        Era::Modern if call.extensions.tasks => tasks::modern::handle(call, job).boxed().await,
        Era::Modern if patient && attached.leg < LEGS_MAX => {
            let until = attached.until.map(Timestamp::as_millis);
            next_leg(call, Leg { job: job.id, existing, number: attached.leg + 1, until })
        }
        _ => told(call, tool, run::handle(call, job, existing).await).await,
    }
}

/// An answer that goes out as it is, with what else happened in its chat.
async fn told(call: &Call, tool: &str, answer: Result<Answer, Fault>) -> Result<ResultBody, RpcError> {
    let answer = match answer {
        Ok(answer) => answer.with_news(news::for_answer(call, Telling::New).await),
        Err(fault) => super::failed(&fault, tool),
    };
    answer.into_result(call.era)
}

/// What the end of a job is answered with.
///
/// # Errors
/// None in practice.
pub(super) async fn result(call: &Call, tool: &str, job: Job, existing: bool) -> Result<ResultBody, RpcError> {
    #[cfg(feature = "fixture")]
    if let Some(result) = crate::server::fixture::result(call, &job).await {
        return result;
    }
    let answer: Answer = run::result(call, job, existing).await.unwrap_or_else(|fault| super::failed(&fault, tool));
    answer.into_result(call.era)
}

fn bound(call: &Call) -> Bound<'_> {
    Bound { purpose: LEG, principal: &call.caller.principal, method: "tools/call", params: call.params.as_deref() }
}

fn leg_of(call: &Call) -> Result<Option<Leg>, RpcError> {
    if call.era != Era::Modern {
        return Ok(None);
    }
    let Some(state) = request_state::sent(call.params.as_deref())? else { return Ok(None) };
    let now = call.engine().clock().now();
    bound(call).open(&call.server.settings().session_key, &state, now).map(Some)
}

fn next_leg(call: &Call, leg: Leg) -> Result<ResultBody, RpcError> {
    let now = call.engine().clock().now();
    let settings = call.server.settings();
    let state = bound(call).seal(&settings.session_key, &leg, now, settings.state_lifetime)?;
    Ok(ResultBody::new(&json!({ "requestState": state }))?.of_kind("input_required"))
}
