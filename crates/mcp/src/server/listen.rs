//! `subscriptions/listen`: what changes among the things that a caller names, for as long as it listens.
//!
//! One position in the history serves all that one listen names. A reader that is slow gets the newest state of each
//! thing once it reads on; nothing is dropped without a word.
//!
//! Source: MCP 2026-07-28, subscriptions; MCP extension tasks 2026-07-28, notifications.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use longshore_domain::{Fault, FaultCode, JobId};
use longshore_engine::ops::{Follower, ListFollower};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::OwnedSemaphorePermit;

use super::call::Call;
use super::rooms::Room;
use super::{resources, tasks};
use crate::wire::{ErrorCode, ResultBody, RpcError, notification};

/// Listens of one connection that may be open at once.
pub(super) const PER_CONNECTION_MAX: usize = 16;
/// The same of one caller over HTTP, where each is a connection of its own.
pub(super) const PER_CALLER_MAX: usize = 256;
/// The same of the whole server.
pub(super) const PER_SERVER_MAX: usize = 4096;
/// Tasks, and resources, that one listen may name.
const NAMES_MAX: usize = 10_000;

/// What a caller wants to hear of. What is not here never changes or is not told of.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub(super) struct Filter {
    task_ids: Option<Vec<String>>,
    resource_subscriptions: Option<Vec<String>>,
    resources_list_changed: Option<bool>,
}

impl Filter {
    /// Whether the list of resources is among it.
    fn names_list(&self) -> bool {
        self.resources_list_changed == Some(true)
    }
}

/// The part of a filter that is honoured.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Honoured<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_ids: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_subscriptions: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    resources_list_changed: bool,
}

/// What is told of one job.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    as_task: bool,
    as_resource: bool,
    /// Version of the job when it was told of last.
    version: Option<u64>,
    /// The task as it was told last.
    digest: Option<u64>,
}

/// Why a listen ended, other than by the server's wish.
enum End {
    /// Nobody reads any more.
    Gone,
    /// The history cannot be read.
    Failed(RpcError),
}

impl From<RpcError> for End {
    fn from(error: RpcError) -> Self {
        Self::Failed(error)
    }
}

/// What a listen asks for.
///
/// # Errors
/// Invalid params for a filter that is missing, of another shape, or too long; missing capability for tasks that are not
/// declared.
pub(super) fn filter(call: &Call) -> Result<Filter, RpcError> {
    #[derive(Deserialize)]
    struct Params {
        notifications: Filter,
    }
    let invalid =
        |problem: String| RpcError::new(ErrorCode::InvalidParams, format!("`subscriptions/listen`: {problem}"));
    let params = call.params.as_deref().map_or("{}", RawValue::get);
    let Params { notifications } = serde_json::from_str(params).map_err(|error| invalid(error.to_string()))?;
    if notifications.task_ids.is_some() {
        tasks::check_declared(call)?;
    }
    for (name, names) in
        [("taskIds", &notifications.task_ids), ("resourceSubscriptions", &notifications.resource_subscriptions)]
    {
        let count = names.as_ref().map_or(0, Vec::len);
        if count > NAMES_MAX {
            return Err(invalid(format!("`{name}` has {count} entries; at most {NAMES_MAX} fit: use several listens")));
        }
    }
    Ok(notifications)
}

/// The places that one listen takes, given back when this is dropped.
pub(super) struct Place {
    _of_connection: OwnedSemaphorePermit,
    _of_server: OwnedSemaphorePermit,
    _of_caller: Option<Room>,
}

/// A place for one more listen.
///
/// # Errors
/// Rate limited if there is none.
pub(super) fn place(call: &Call) -> Result<Place, RpcError> {
    let over_http = call.connection.origin().scope.is_none();
    let of_caller = over_http.then(|| call.server.listeners().enter(&call.caller.principal));
    let of_connection = call.connection.listens().try_acquire_owned();
    let of_server = call.server.listens().try_acquire_owned();
    match (of_connection, of_server, of_caller) {
        (Err(_), ..) | (_, Err(_), _) | (.., Some(None)) => Err(too_many()),
        (Ok(of_connection), Ok(of_server), of_caller) => {
            Ok(Place { _of_connection: of_connection, _of_server: of_server, _of_caller: of_caller.flatten() })
        }
    }
}

/// Answers `subscriptions/listen`, once the server ends it.
///
/// # Errors
/// Internal if the history cannot be read.
pub(super) async fn listen(call: Call, filter: Filter, _place: Place) -> Result<ResultBody, RpcError> {
    let failed = |fault| resources::failed(&fault);
    // Followed before anything is read, so that no change falls between.
    let follower = call.engine().follow().await.map_err(failed)?;
    let mut list = None;
    if filter.names_list() {
        list = Some(call.engine().follow_list(&call.caller.principal.name).await.map_err(failed)?);
    }
    let mut told = BTreeMap::new();
    let honoured = honoured(&call, &filter, &mut told).await?;
    let mut listen = Listen { call: &call, told };
    match listen.serve(&honoured, follower, list).await {
        Ok(()) => listen.say_goodbye().await,
        Err(End::Gone) => {}
        Err(End::Failed(error)) => return Err(error),
    }
    Ok(ResultBody::new(&json!({}))?.with_meta(SUBSCRIPTION, call.id.as_json()))
}

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

fn too_many() -> RpcError {
    let message = format!(
        "too many listens are open (at most {PER_CONNECTION_MAX} of a connection, {PER_CALLER_MAX} of a caller over \
         HTTP, {PER_SERVER_MAX} of the server): end one, or name more things in one listen"
    );
    RpcError::too_many(message)
}

/// The things that there are for this caller; the rest is left out without a word, for it may be somebody else's.
async fn honoured<'a>(
    call: &Call,
    filter: &'a Filter,
    told: &mut BTreeMap<JobId, Told>,
) -> Result<Honoured<'a>, RpcError> {
    let mut task_ids = vec![];
    for id in filter.task_ids.iter().flatten() {
        if let Some(job) = visible(call, id).await? {
            let entry: &mut Told = told.entry(job).or_default();
            if !std::mem::replace(&mut entry.as_task, true) {
                task_ids.push(id.as_str());
            }
        }
    }
    let mut uris = vec![];
    for uri in filter.resource_subscriptions.iter().flatten() {
        let Some(id) = resources::job_of(uri) else { continue };
        if let Some(job) = visible(call, id).await? {
            let entry: &mut Told = told.entry(job).or_default();
            if !std::mem::replace(&mut entry.as_resource, true) {
                uris.push(uri.as_str());
            }
        }
    }
    Ok(Honoured {
        task_ids: filter.task_ids.as_ref().map(|_| task_ids),
        resource_subscriptions: filter.resource_subscriptions.as_ref().map(|_| uris),
        resources_list_changed: filter.names_list(),
    })
}

async fn visible(call: &Call, id: &str) -> Result<Option<JobId>, RpcError> {
    let Ok(id) = id.parse::<JobId>() else { return Ok(None) };
    match call.engine().find(&call.caller.principal, &id.to_string()).await {
        Ok(job) => Ok(Some(job.id)),
        Err(fault) if fault.code == FaultCode::JobNotFound => Ok(None),
        Err(fault) => Err(resources::failed(&fault)),
    }
}

/// One listen under way.
struct Listen<'a> {
    call: &'a Call,
    told: BTreeMap<JobId, Told>,
}

impl Listen<'_> {
    /// Tells of what is asked for, until the server ends.
    async fn serve(
        &mut self,
        honoured: &Honoured<'_>,
        mut follower: Follower,
        mut list: Option<ListFollower>,
    ) -> Result<(), End> {
        let acknowledged = to_raw_value(&json!({ "notifications": honoured })).map_err(internal)?;
        self.send("notifications/subscriptions/acknowledged", &acknowledged).await?;
        let tasks: Vec<JobId> = self.told.iter().filter(|(_, told)| told.as_task).map(|(job, _)| *job).collect();
        for job in tasks {
            self.tell(job, false).await?;
        }
        loop {
            let changed = tokio::select! {
                changed = follower.changed(|job| self.told.contains_key(&job)) => changed,
                changed = list_changed(&mut list) => {
                    changed.map_err(|fault| resources::failed(&fault))?;
                    self.send(resources::LIST_CHANGED, &RawValue::from_string("{}".into()).map_err(internal)?).await?;
                    continue;
                }
                () = self.call.engine().draining() => return Ok(()),
            };
            for change in changed.map_err(|fault| resources::failed(&fault))? {
                self.tell(change.job, true).await?;
            }
        }
    }

    /// Tells how a job stands, if that was not told before.
    async fn tell(&mut self, job: JobId, changed: bool) -> Result<(), End> {
        let principal = &self.call.caller.principal;
        // Removed meanwhile: whoever asks learns it.
        let Ok(found) = self.call.engine().find(principal, &job.to_string()).await else { return Ok(()) };
        let Some(told) = self.told.get_mut(&job) else { return Ok(()) };
        if told.version.replace(found.version) == Some(found.version) {
            return Ok(());
        }
        let told = *told;
        let task = match told.as_task {
            true => tasks::modern::detailed(self.call, &job.to_string()).await?,
            false => None,
        };
        if let Some(task) = task.filter(|task| self.is_news(job, task)) {
            self.send("notifications/tasks", &task).await?;
        }
        if told.as_resource && changed {
            let updated = to_raw_value(&json!({ "uri": resources::job_uri(job) })).map_err(internal)?;
            self.send("notifications/resources/updated", &updated).await?;
        }
        Ok(())
    }

    /// Whether the task is another than was told last. Not every change of a job shows, and what is read may be newer
    /// than the change that calls for it.
    fn is_news(&mut self, job: JobId, task: &RawValue) -> bool {
        let mut hasher = DefaultHasher::new();
        task.get().hash(&mut hasher);
        let digest = Some(hasher.finish());
        self.told.get_mut(&job).is_some_and(|told| std::mem::replace(&mut told.digest, digest) != digest)
    }

    /// Sends a notification of this subscription; `params` is an object without white space around its members.
    async fn send(&self, method: &str, params: &RawValue) -> Result<(), End> {
        let members = params.get().strip_prefix('{').unwrap_or("}");
        let comma = if members == "}" { "" } else { "," };
        let params = format!(r#"{{"_meta":{{"{SUBSCRIPTION}":{}}}{comma}{members}"#, self.call.id.as_json());
        let params = RawValue::from_string(params).map_err(internal)?;
        self.call.sink.deliver(notification(method, &params)).await.map_err(|_| End::Gone)
    }

    /// On a stream that many requests share the end is told by a notification too.
    async fn say_goodbye(&self) {
        if self.call.connection.origin().scope.is_none() {
            return;
        }
        let params = format!(r#"{{"requestId":{},"reason":"the server is stopping"}}"#, self.call.id.as_json());
        if let Ok(params) = RawValue::from_string(params) {
            // The result that follows says the same.
            drop(self.call.sink.deliver(notification("notifications/cancelled", &params)).await);
        }
    }
}

/// Returns once the list has changed; never if nobody wants to hear of it.
async fn list_changed(list: &mut Option<ListFollower>) -> Result<(), Fault> {
    match list {
        Some(list) => list.changed().await,
        None => std::future::pending().await,
    }
}

fn internal(error: serde_json::Error) -> RpcError {
    RpcError::new(ErrorCode::Internal, error.to_string())
}
