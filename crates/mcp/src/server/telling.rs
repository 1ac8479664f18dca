//! What a client wants to be told: `resources/subscribe`, `resources/unsubscribe`, `logging/setLevel`, and log messages.

use std::borrow::Cow;
use std::sync::Arc;

use longshore_domain::Scope;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::call::Call;
use super::resources;
use super::sessions::message;
use super::wishes::Wishes;
use crate::wire::{Era, ErrorCode, Level, ResultBody, RpcError, notification};

#[derive(Deserialize)]
struct Subscribed<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

#[derive(Deserialize)]
struct SetLevel {
    level: Level,
}

fn params<'a, T: Deserialize<'a>>(call: &'a Call) -> Result<T, RpcError> {
    serde_json::from_str(call.params.as_deref().map_or("{}", RawValue::get))
        .map_err(|error| RpcError::new(ErrorCode::InvalidParams, format!("`params`: {error}")))
}

fn scope(call: &Call) -> Result<&Arc<str>, RpcError> {
    let message = "this needs a session: send initialize first, and name the session in Mcp-Session-Id";
    call.connection.origin().scope.as_ref().ok_or_else(|| RpcError::new(ErrorCode::InvalidRequest, message))
}

/// Answers `initialize` on a connection once the list of its jobs is followed. Where it cannot be, the answer goes first.
///
/// # Errors
/// None.
pub(super) async fn begin(call: Call, answer: ResultBody) -> Result<ResultBody, RpcError> {
    if let (Some(scope), Ok(())) = (&call.connection.origin().scope, call.allowed(Scope::JobsRead)) {
        let begun = call.server.sessions().tell_lists(scope, &call.caller, call.engine()).await;
        begun.unwrap_or_else(|fault| tracing::warn!(fault.code = %fault.code, "a client is not told of new jobs"));
    }
    Ok(answer)
}

/// Changes what a session wants to be told.
async fn wish<T>(call: &Call, scope: &Arc<str>, change: impl Fn(&mut Wishes) -> T) -> Result<T, RpcError> {
    let wished = call.server.sessions().wish(scope, &call.caller, call.engine(), change).await;
    wished.map_err(|fault| resources::failed(&fault))
}

fn done() -> Result<ResultBody, RpcError> {
    ResultBody::new(&json!({}))
}

/// Answers `resources/subscribe`: an update is sent with every change of the job's state.
///
/// # Errors
/// Resource not found; invalid request without a session, or with too many subscriptions; internal if the store fails.
pub(super) async fn subscribe(call: Call) -> Result<ResultBody, RpcError> {
    let scope = scope(&call)?;
    let uri = params::<Subscribed<'_>>(&call)?.uri.into_owned();
    #[cfg(feature = "fixture")]
    let known = super::fixture::has_resource(&uri);
    #[cfg(not(feature = "fixture"))]
    let known = false;
    let job = if known { None } else { Some(resources::visible_job(&call, &uri).await?) };
    match wish(&call, scope, |wishes| wishes.watch(&uri, job)).await? {
        true => done(),
        false => {
            let message = "this session watches too many resources: unsubscribe from some";
            Err(RpcError::new(ErrorCode::InvalidRequest, message))
        }
    }
}

/// Answers `resources/unsubscribe`; what is not watched is as it should be.
///
/// # Errors
/// Invalid request without a session; internal if the store fails.
pub(super) async fn unsubscribe(call: Call) -> Result<ResultBody, RpcError> {
    let uri = params::<Subscribed<'_>>(&call)?.uri;
    wish(&call, scope(&call)?, |wishes| wishes.watched.remove(&*uri)).await?;
    done()
}

/// Answers `logging/setLevel`: from now on a line is sent when a job of the session's conversation ends.
///
/// # Errors
/// Invalid params for a level that does not exist; invalid request without a session; internal if the store fails.
pub(super) async fn set_level(call: Call) -> Result<ResultBody, RpcError> {
    let level = params::<SetLevel>(&call)?.level;
    wish(&call, scope(&call)?, |wishes| wishes.level = Some(level)).await?;
    done()
}

impl Call {
    /// Whether the client wants log messages of that level for this request: a modern one says so in the request, a
    /// legacy one gets them unless its session set a graver level.
    pub(crate) fn wants_log(&self, level: Level) -> bool {
        let least = match self.era {
            Era::Modern => self.log_level,
            Era::Legacy(_) => {
                let scope = self.connection.origin().scope.as_ref();
                scope.map(|scope| self.server.sessions().level(scope).unwrap_or(Level::Info))
            }
        };
        least.is_some_and(|least| level >= least)
    }

    /// Sends a log message that belongs to this request, if the client wants it.
    pub(crate) fn log(&self, level: Level, logger: &str, data: &Value) {
        if !self.wants_log(level) {
            return;
        }
        if let Ok(params) = to_raw_value(&message(level, logger, data)) {
            self.sink.offer(notification("notifications/message", &params));
        }
    }
}
