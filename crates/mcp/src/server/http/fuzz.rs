//! Doors for the fuzz targets: the checks of headers. Never part of a release.

use axum::http::HeaderMap;
use longshore_domain::{Conversation, Principal};
use serde_json::value::RawValue;

use super::headers::{self, Accepted};
use super::params;
use super::session::Session;
use crate::server::connection::Handshake;
use crate::wire::{Capabilities, ClientInfo, LegacyVersion, Message, Meta};

/// Whether JSON and event streams are accepted.
pub fn accepted(headers: &HeaderMap) -> (bool, bool) {
    let accepted = Accepted::of(headers);
    (accepted.json, accepted.events)
}

/// A header's value without its base64 form.
pub fn decoded(value: &str) -> Option<String> {
    headers::decoded(value).map(std::borrow::Cow::into_owned)
}

/// Whether the headers fit a request; nothing if `message` is no request, or one without readable `_meta`.
pub fn checked(headers: &HeaderMap, message: &[u8]) -> Option<Result<(), i64>> {
    let Ok(Message::Request(request)) = Message::parse(message) else { return None };
    let meta = Meta::of(request.params).ok()?;
    Some(headers::check_modern(headers, &request, &meta).map_err(|error| error.code.number()))
}

/// Whether the headers fit the arguments that a schema marks.
///
/// # Errors
/// The error's number.
pub fn checked_params(headers: &HeaderMap, schema: &str, arguments: Option<&RawValue>) -> Result<(), i64> {
    params::check(headers, schema, arguments).map_err(|error| error.code.number())
}

/// The version of a legacy request that has a header.
///
/// # Errors
/// The error's number.
pub fn legacy_version(headers: &HeaderMap) -> Result<Option<&'static str>, i64> {
    headers::legacy_version(headers)
        .map(|version| version.map(LegacyVersion::as_str))
        .map_err(|error| error.code.number())
}

/// A token for a session of that version; nothing for a version that is not known.
pub fn session_token(version: &str, conversation: &str, principal: &Principal, key: &[u8; 32]) -> Option<String> {
    let version = LegacyVersion::parse(version)?;
    let handshake = Handshake { version, client: ClientInfo::default(), capabilities: Capabilities::default() };
    Some(Session { handshake, conversation: Conversation::new(conversation) }.to_token(principal, key))
}

/// The session of a token, written as a token again.
pub fn session_again(token: &str, principal: &Principal, key: &[u8; 32]) -> Option<String> {
    Session::from_token(token, principal, key).map(|session| session.to_token(principal, key))
}
