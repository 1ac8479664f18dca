//! What one node proves itself to another with: good for one request to one node, and for a minute.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use longshore_domain::{NodeId, Timestamp};
use sha2::Sha256;

use crate::home::hex;

/// How long a token is good for, by the store's clock. What nodes know of it may differ by half of that.
const LIFE: Duration = Duration::from_secs(60);
/// What every token begins with: no token of persons, agents or issuers does.
const PREFIX: &str = "node_";

/// The secret that the nodes of one store share.
#[derive(Clone)]
pub(crate) struct PeerKey([u8; 32]);

impl PeerKey {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// A token for one request to the node `to`.
    pub(crate) fn sign(&self, to: NodeId, method: &str, path: &str, now: Timestamp) -> String {
        let until = now.plus(LIFE / 2).as_millis();
        let signature = self.signer(to, method, path, until).finalize().into_bytes();
        format!("{PREFIX}{until}_{}", hex(&signature))
    }

    /// Whether a token was made for this request to the node `to`, and is neither old nor made for later.
    pub(crate) fn is_good(&self, token: &str, to: NodeId, method: &str, path: &str, now: Timestamp) -> bool {
        let parts = token.strip_prefix(PREFIX).and_then(|token| token.split_once('_'));
        let Some((until, signature)) = parts.and_then(|(until, rest)| Some((until.parse().ok()?, unhex(rest)?))) else {
            return false;
        };
        let is_timely = now.minus(LIFE / 2).as_millis() <= until && until <= now.plus(LIFE).as_millis();
        is_timely && self.signer(to, method, path, until).verify_slice(&signature).is_ok()
    }

    fn signer(&self, to: NodeId, method: &str, path: &str, until: i64) -> Hmac<Sha256> {
        // A key shorter than a block of SHA-256 is filled up with zeros (RFC 2104).
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut signer = Hmac::<Sha256>::new(&block.into());
        // None of the parts before the path can hold a space.
        signer.update(format!("{to} {until} {method} {path}").as_bytes());
        signer
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_one_request_to_one_node_for_a_minute() {
        let (key, now) = (PeerKey::new([7; 32]), Timestamp::from_millis(1_790_000_000_000));
        let (to, other) = (NodeId::new(now, 1), NodeId::new(now, 2));
        let token = key.sign(to, "GET", "/a?b=1", now);
        assert!(key.is_good(&token, to, "GET", "/a?b=1", now));
        assert!(key.is_good(&token, to, "GET", "/a?b=1", now.plus(LIFE)), "a clock may be half a life ahead");
        assert!(key.is_good(&token, to, "GET", "/a?b=1", now.minus(LIFE / 2)), "or behind");
        assert!(!key.is_good(&token, other, "GET", "/a?b=1", now));
        assert!(!key.is_good(&token, to, "POST", "/a?b=1", now));
        assert!(!key.is_good(&token, to, "GET", "/a?b=2", now));
        assert!(!key.is_good(&token, to, "GET", "/a?b=1", now.plus(2 * LIFE)));
        assert!(!key.is_good(&token, to, "GET", "/a?b=1", now.minus(LIFE)));
        assert!(!PeerKey::new([8; 32]).is_good(&token, to, "GET", "/a?b=1", now));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            assert!(!key.is_good(&String::from_utf8(bytes).unwrap(), to, "GET", "/a?b=1", now), "byte {at}");
        }
        for text in ["", "node_", "node__", "node_1_\u{1f980}x"] {
            assert!(!key.is_good(text, to, "GET", "/a?b=1", now), "{text}");
        }
    }
}
