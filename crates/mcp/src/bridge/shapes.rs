//! What is read of messages that pass.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::RequestId;

/// What is read of a line that the daemon sends.
#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// What is read of the acknowledgement of a listen.
#[derive(Deserialize)]
pub(super) struct Acknowledged<'a> {
    #[serde(borrow, rename = "_meta")]
    pub(super) meta: Subscription<'a>,
    #[serde(borrow)]
    pub(super) notifications: Granted<'a>,
}

#[derive(Deserialize)]
pub(super) struct Subscription<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
    pub(super) id: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Granted<'a> {
    #[serde(borrow, default)]
    pub(super) resource_subscriptions: Vec<Cow<'a, str>>,
    #[serde(default)]
    pub(super) resources_list_changed: bool,
}

#[derive(Deserialize)]
pub(super) struct Watched<'a> {
    #[serde(borrow)]
    pub(super) uri: Cow<'a, str>,
}

/// What is read of a handshake.
#[derive(Deserialize)]
pub(super) struct Shaken<'a> {
    #[serde(borrow)]
    pub(super) params: Asked<'a>,
}

#[derive(Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    pub(super) version: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Cancelled<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: &'a RawValue,
}

/// The request that is cancelled.
pub(super) fn cancelled(params: Option<&RawValue>) -> Option<RequestId> {
    let cancelled: Cancelled<'_> = serde_json::from_str(params?.get()).ok()?;
    RequestId::from_raw(cancelled.request_id)
}
