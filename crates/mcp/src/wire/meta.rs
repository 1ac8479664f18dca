//! What a request says about itself in `params._meta`.

use std::borrow::Cow;

use longshore_domain::Conversation;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::conversation;
use super::error::{ErrorCode, RpcError};
use super::level::Level;

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
#[serde(expecting = "an object")]
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
    /// Least grave log messages that are wanted, on modern requests.
    #[serde(rename = "io.modelcontextprotocol/logLevel")]
    pub(crate) log_level: Option<Level>,
    /// Where to send progress.
    #[serde(borrow, rename = "progressToken")]
    pub(crate) progress_token: Option<&'a RawValue>,
    /// One job per intent.
    #[serde(borrow, rename = "dev.longshore/idempotencyKey")]
    pub(crate) idempotency_key: Option<Cow<'a, str>>,
    /// The chat that the request belongs to, by our own key.
    #[serde(borrow, rename = "dev.longshore/conversation")]
    conversation: Option<Cow<'a, str>>,
    /// The same by the keys of clients.
    #[serde(skip)]
    client_conversation: Option<Conversation>,
}

#[derive(Default, Deserialize)]
struct WithMeta<'a> {
    #[serde(borrow, rename = "_meta", default)]
    meta: Option<&'a RawValue>,
}

impl<'a> Meta<'a> {
    /// Reads the `_meta` of `params`.
    ///
    /// # Errors
    /// Invalid params if it is no object or a member that matters has the wrong type.
    pub(crate) fn of(params: Option<&'a RawValue>) -> Result<Self, RpcError> {
        let Some(params) = params else { return Ok(Self::default()) };
        let wrong = |error| RpcError::envelope(ErrorCode::InvalidParams, format!("`params._meta`: {error}"));
        let found: WithMeta<'a> = serde_json::from_str(params.get()).map_err(wrong)?;
        let Some(raw) = found.meta else { return Ok(Self::default()) };
        let meta: Self = serde_json::from_str(raw.get()).map_err(wrong)?;
        let meta = Self { client_conversation: conversation::of_meta(raw), ..meta };
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

    /// The chat that the request says it belongs to.
    pub(crate) fn conversation(&self) -> Option<Conversation> {
        let own = self.conversation.as_deref().and_then(conversation::named);
        own.or_else(|| self.client_conversation.clone())
    }

    /// Whether the request follows the stateless versions. After a handshake the version alone says so: a legacy request
    /// may carry any other member, and such members mean nothing there.
    pub(crate) fn is_modern(&self, shook_hands: bool) -> bool {
        self.protocol_version.is_some() || self.client_capabilities.is_some() && !shook_hands
    }
}
