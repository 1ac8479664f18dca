//! What a request says about itself in `params._meta`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{ErrorCode, RpcError};

/// Who the client says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientInfo {
    /// Its name.
    #[serde(default)]
    pub(crate) name: String,
    /// Its version.
    #[serde(default)]
    pub(crate) version: String,
}

impl ClientInfo {
    /// Longest name or version that is kept, in characters.
    const CHARS_MAX: usize = 100;

    /// What can be understood of `raw`; nothing wrong in it makes a request fail.
    pub(crate) fn lenient(raw: Option<&RawValue>) -> Self {
        let info: Self = raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let cut = |text: String| text.chars().take(Self::CHARS_MAX).collect();
        Self { name: cut(info.name), version: cut(info.version) }
    }
}

/// The members of `_meta` that matter here; all others are ignored.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Meta<'a> {
    /// Present on modern requests only.
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    pub(crate) protocol_version: Option<Cow<'a, str>>,
    /// What the client can do, on modern requests.
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub(crate) client_capabilities: Option<&'a RawValue>,
    /// Who the client says it is, on modern requests.
    #[serde(borrow, rename = "io.modelcontextprotocol/clientInfo")]
    pub(crate) client_info: Option<&'a RawValue>,
    /// Where to send progress.
    #[serde(borrow, rename = "progressToken")]
    pub(crate) progress_token: Option<&'a RawValue>,
    /// One job per intent.
    #[serde(borrow, rename = "dev.longshore/idempotencyKey")]
    pub(crate) idempotency_key: Option<Cow<'a, str>>,
    /// The chat that the request belongs to.
    #[serde(borrow, rename = "dev.longshore/conversation")]
    pub(crate) conversation: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct WithMeta<'a> {
    #[serde(borrow, rename = "_meta", default)]
    meta: Option<Meta<'a>>,
}

impl<'a> Meta<'a> {
    /// Reads the `_meta` of `params`.
    ///
    /// # Errors
    /// Invalid params if it is no object or a member that matters has the wrong type.
    pub(crate) fn of(params: Option<&'a RawValue>) -> Result<Self, RpcError> {
        let Some(params) = params else { return Ok(Self::default()) };
        let found: WithMeta<'a> = serde_json::from_str(params.get())
            .map_err(|error| RpcError::envelope(ErrorCode::InvalidParams, format!("`params._meta`: {error}")))?;
        let meta = found.meta.unwrap_or_default();
        match meta.progress_token {
            Some(token) if !token.get().starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) => {
                Err(RpcError::envelope(
                    ErrorCode::InvalidParams,
                    "`params._meta.progressToken` must be a string or a number",
                ))
            }
            _ => Ok(meta),
        }
    }

    /// Whether the request follows the stateless versions.
    pub(crate) fn is_modern(&self) -> bool {
        self.protocol_version.is_some() || self.client_capabilities.is_some()
    }
}
