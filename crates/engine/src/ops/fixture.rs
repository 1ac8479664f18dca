//! Accepting a job that exists for tests alone.

use longshore_domain::Labels;
use longshore_domain::fault::Fault;
use longshore_domain::job::{FixtureSpec, JobSpec, QueueName, RetryPolicy};
use longshore_domain::store::{IdempotencyKey, NewJob};
use serde::Serialize;

use super::submit::{Accepted, check_texts, digest, spec_problem};
use crate::engine::Caller;
use crate::{Engine, inner};

/// A script as a caller hands it over.
#[derive(Clone, Debug, Serialize)]
pub struct SubmitFixture {
    /// What to play.
    pub spec: FixtureSpec,
    /// A name for people.
    pub name: Option<String>,
    /// When another attempt may follow a failed one.
    pub retry: RetryPolicy,
    /// One job per intent.
    #[serde(skip)]
    pub key: Option<String>,
}

impl SubmitFixture {
    /// A script and nothing else.
    pub fn new(spec: FixtureSpec) -> Self {
        Self { spec, name: None, retry: RetryPolicy::default(), key: None }
    }
}

impl Engine {
    /// Accepts a script durably, and starts to play it if there is room. Only where [`Settings::fixtures`] says so.
    ///
    /// # Errors
    /// `invalid_argument`, `too_large`, `idempotency_conflict`, or the store's own; no job was made.
    ///
    /// [`Settings::fixtures`]: crate::Settings::fixtures
    pub async fn submit_fixture(&self, caller: &Caller, request: SubmitFixture) -> Result<Accepted, Fault> {
        if self.inner.draining.is_cancelled() {
            return Err(inner::stopping());
        }
        check_texts(request.name.as_deref(), request.key.as_deref(), &request.retry)?;
        request.spec.check().map_err(spec_problem)?;
        let key = request.key.clone().map(|key| IdempotencyKey { key, digest: digest(&request) });
        let job = NewJob {
            id: self.inner.clock.new_job_id(),
            principal: caller.principal.clone(),
            conversation: caller.conversation.clone(),
            name: request.name,
            spec: JobSpec::Fixture(request.spec),
            queue: QueueName::default(),
            requires: Labels::default(),
            priority: 0,
            retry: request.retry,
            not_before: None,
            after: vec![],
            key,
            retry_of: None,
        };
        self.accept(job).await
    }
}
