//! What is answered, beside jobs themselves.

use std::collections::BTreeMap;

use longshore_domain::fault::{Fault, FaultCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::JobBody;
use crate::access::Resource;

/// What a client must know of us to get a token. Source: RFC 9728 section 2.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ResourceBody {
    /// What tokens must be meant for.
    resource: String,
    /// Who gives tokens.
    authorization_servers: Vec<String>,
    /// What tokens can allow.
    scopes_supported: Vec<String>,
    /// How tokens are sent.
    bearer_methods_supported: Vec<String>,
    /// For people.
    resource_name: String,
}

impl From<Resource> for ResourceBody {
    fn from(resource: Resource) -> Self {
        Self {
            resource: resource.name,
            authorization_servers: vec![resource.issuer],
            scopes_supported: resource.scopes,
            bearer_methods_supported: vec!["header".into()],
            resource_name: "Longshore".into(),
        }
    }
}

/// An accepted job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AcceptedBody {
    #[serde(flatten)]
    pub(crate) job: JobBody,
    /// It had been accepted before, under the same key.
    pub(crate) existing: bool,
}

/// Some jobs, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct JobsBody {
    /// The jobs.
    pub(crate) jobs: Vec<JobBody>,
    /// Where the next page begins, if there is one: give it as `cursor`.
    pub(crate) next: Option<u64>,
}

/// A job that was waited for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct WaitedJobBody {
    #[serde(flatten)]
    pub(crate) job: JobBody,
    /// The time ran out first; the job goes on.
    pub(crate) timed_out: bool,
}

/// Jobs that were waited for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct WaitedBody {
    /// The jobs as they stand, in the order asked for.
    pub(crate) jobs: Vec<JobBody>,
    /// The time ran out first; the jobs go on.
    pub(crate) timed_out: bool,
}

/// One line of the history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EventBody {
    /// Position in the history of the whole store.
    pub(crate) seq: u64,
    /// Id of the job.
    pub(crate) job: String,
    /// Number of the job.
    pub(crate) number: u64,
    /// When it happened.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// What happened, e.g. `submitted`, `claimed`, `started`, `ended`.
    pub(crate) kind: String,
    /// Where the job stood afterwards.
    pub(crate) state: String,
    /// The newest attempt at that time.
    pub(crate) attempt: u32,
    /// A reason, a cause, an end.
    pub(crate) detail: Option<String>,
}

/// What retention removed, or would remove.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct GcReportBody {
    /// Jobs whose output was removed.
    pub(crate) outputs: u64,
    /// Bytes of output that were freed.
    pub(crate) output_bytes: u64,
    /// Records that were archived and removed.
    pub(crate) records: u64,
    /// Files of output that no record led to any more, or whose output another node had noted as gone.
    pub(crate) orphans: u64,
    /// Bytes that they took.
    pub(crate) orphan_bytes: u64,
    /// Objects of artifacts that no job had any more.
    #[serde(default)]
    pub(crate) objects: u64,
    /// Bytes that they took where they were kept.
    #[serde(default)]
    pub(crate) object_bytes: u64,
    /// Nothing was changed.
    pub(crate) dry_run: bool,
}

/// A removed job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RemovedBody {
    /// Its id.
    pub(crate) id: String,
    /// Its number; never used again.
    pub(crate) number: u64,
    /// Always true.
    pub(crate) removed: bool,
}

/// Whether the daemon is well. Says nothing of jobs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct HealthBody {
    /// `ok` or `degraded`.
    pub(crate) status: String,
    /// Version of the daemon.
    pub(crate) version: String,
    /// How long it has run.
    pub(crate) uptime_s: u64,
    /// `ok`, or why the store does not answer.
    pub(crate) store: String,
}

/// The daemon in detail.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DaemonBody {
    /// Its process.
    pub(crate) pid: u32,
    /// Where it listens.
    pub(crate) listen: String,
    /// Its version.
    pub(crate) version: String,
    /// Folder of its installation.
    pub(crate) home: String,
    /// How long it has run.
    pub(crate) uptime_s: u64,
    /// Most commands that run at once.
    pub(crate) capacity: u64,
    /// The cgroup v2 folder in which every command gets a leaf of its own; null if none does.
    #[serde(default)]
    pub(crate) cgroup: Option<String>,
    /// Whether commands can join their leaves there; null if there is no such folder.
    #[serde(default)]
    pub(crate) cgroup_joined: Option<bool>,
    /// Whether commands run in a systemd scope of their own, beside the service; null if systemd does not supervise the
    /// daemon.
    #[serde(default)]
    pub(crate) scope: Option<bool>,
    /// What the store says of itself.
    pub(crate) store: StoreBody,
    /// How many jobs stand where.
    pub(crate) counts: CountsBody,
    /// The limits of queues.
    pub(crate) queues: Vec<QueueBody>,
}

/// What the store says of itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StoreBody {
    /// Product and version.
    pub(crate) engine: String,
    /// Where it is.
    pub(crate) location: String,
    /// Version of the schema.
    pub(crate) schema: u32,
    /// What a durable write waits for.
    pub(crate) durability: String,
    /// Size on disk.
    pub(crate) bytes: Option<u64>,
}

/// How many jobs stand where.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CountsBody {
    /// Unfinished jobs by state.
    pub(crate) unfinished: BTreeMap<String, u64>,
    /// Finished jobs on record.
    pub(crate) finished: u64,
}

/// A line of its own for jobs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct QueueBody {
    /// Its name.
    pub(crate) name: String,
    /// Most jobs that run at once; 0 = paused.
    pub(crate) concurrency: u32,
}

/// An error.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FaultBody {
    /// Stable name; act on this.
    #[schema(value_type = String)]
    pub(crate) code: FaultCode,
    /// What happened.
    pub(crate) message: String,
    /// Why.
    pub(crate) why: Option<String>,
    /// What to do now.
    pub(crate) next: Option<String>,
    /// The same request may succeed later.
    #[serde(default)]
    pub(crate) retryable: bool,
}

impl From<&Fault> for FaultBody {
    fn from(fault: &Fault) -> Self {
        Self {
            code: fault.code,
            message: fault.message.clone(),
            why: fault.why.clone(),
            next: fault.next.clone(),
            retryable: fault.code.retryable(),
        }
    }
}

impl From<FaultBody> for Fault {
    fn from(body: FaultBody) -> Self {
        Self { code: body.code, message: body.message, why: body.why, next: body.next, private: None }
    }
}
