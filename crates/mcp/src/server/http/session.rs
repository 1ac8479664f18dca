//! Sessions of legacy clients, held by the client: all that is known is in the signed token itself, so that any
//! server with the key can serve it, also after a restart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use longshore_domain::{Conversation, Principal};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::server::connection::Handshake;
use crate::wire::{Capabilities, ClientInfo, LegacyVersion};

/// What a session remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// What `initialize` settled.
    pub(super) handshake: Handshake,
    /// The chat of requests that name none.
    pub(super) conversation: Conversation,
}

/// A session as it is written.
#[derive(Serialize, Deserialize)]
struct Claims {
    version: String,
    client: ClientInfo,
    #[serde(default)]
    capabilities: Capabilities,
    conversation: Conversation,
    /// Whose session it is: of no use to others.
    principal: String,
}

impl Session {
    /// The token that holds the session.
    pub(super) fn to_token(&self, principal: &Principal, key: &[u8; 32]) -> String {
        let claims = Claims {
            version: self.handshake.version.as_str().into(),
            client: self.handshake.client.clone(),
            capabilities: self.handshake.capabilities,
            conversation: self.conversation.clone(),
            principal: principal.name.clone(),
        };
        // Text and maps with text keys can always be written.
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap_or_default());
        let signature = URL_SAFE_NO_PAD.encode(signer(key, &body).finalize().into_bytes());
        format!("{body}.{signature}")
    }

    /// The session in a token; nothing if it was not made with this key for this principal.
    pub(super) fn from_token(token: &str, principal: &Principal, key: &[u8; 32]) -> Option<Self> {
        let (body, signature) = token.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        signer(key, body).verify_slice(&signature).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        let version = LegacyVersion::parse(&claims.version).filter(|_| claims.principal == principal.name)?;
        let handshake = Handshake { version, client: claims.client, capabilities: claims.capabilities };
        Some(Self { handshake, conversation: claims.conversation })
    }
}

fn signer(key: &[u8; 32], body: &str) -> Hmac<Sha256> {
    // A key shorter than a block of SHA-256 is filled up with zeros (RFC 2104).
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut signer = Hmac::<Sha256>::new(&block.into());
    signer.update(body.as_bytes());
    signer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            handshake: Handshake {
                version: LegacyVersion::V2025_06_18,
                client: ClientInfo { name: "codex \u{1f980}".into(), version: "1".into() },
                capabilities: Capabilities { form: true, ..Capabilities::default() },
            },
            conversation: Conversation::new("chat"),
        }
    }

    #[test]
    fn a_token_holds_the_session_for_its_principal_and_key_only() {
        let (key, principal) = ([7; 32], Principal::agent("owner"));
        let token = session().to_token(&principal, &key);
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
        assert_eq!(Session::from_token(&token, &principal, &key), Some(session()));
        assert_eq!(Session::from_token(&token, &principal, &[8; 32]), None);
        assert_eq!(Session::from_token(&token, &Principal::agent("other"), &key), None);
    }

    #[test]
    fn tampered_and_foreign_tokens_are_refused() {
        let (key, principal) = ([7; 32], Principal::agent("owner"));
        let token = session().to_token(&principal, &key);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(Session::from_token(&changed, &principal, &key), None, "byte {at}");
        }
        for text in ["", ".", "a", "a.b", "6f0d2b8e-0000-4000-8000-000000000000", "\u{1f980}.\u{1f980}"] {
            assert_eq!(Session::from_token(text, &principal, &key), None, "{text}");
        }
    }
}
