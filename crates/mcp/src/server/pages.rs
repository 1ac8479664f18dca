//! Lists and their pages. Source: MCP, pagination: a cursor that was never given SHOULD be refused.

use std::borrow::Cow;

use longshore_domain::JobNumber;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::call::Call;
use crate::wire::{ErrorCode, RpcError};

/// After which job the page begins that is asked for; the first one if there is no cursor.
///
/// # Errors
/// Invalid params for a cursor that was never given.
pub(super) fn after(call: &Call) -> Result<Option<JobNumber>, RpcError> {
    let cursor = cursor(call)?;
    cursor.map(|cursor| cursor.parse().map(JobNumber).map_err(|_| nowhere())).transpose()
}

/// Checks what is asked of a list of one page, which gives no cursors.
///
/// # Errors
/// Invalid params if there is one.
pub(super) fn only(call: &Call) -> Result<(), RpcError> {
    cursor(call)?.map_or(Ok(()), |_| Err(nowhere()))
}

fn cursor(call: &Call) -> Result<Option<Cow<'_, str>>, RpcError> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        cursor: Option<Cow<'a, str>>,
    }
    let params = call.params.as_deref().map_or("{}", RawValue::get);
    serde_json::from_str(params).map(|params: Params<'_>| params.cursor).map_err(|_| nowhere())
}

fn nowhere() -> RpcError {
    RpcError::new(ErrorCode::InvalidParams, "`cursor` leads nowhere: list without one to begin anew")
}
