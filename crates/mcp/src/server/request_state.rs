//! What a client carries from one leg of a call to the next: signed, so that it is ours; bound to its caller and call,
//! so that it is of use nowhere else; with an end. Readable by whoever holds it: nothing secret belongs in it.
//!
//! Source: MCP 2026-07-28, multi round-trip requests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use longshore_domain::{Principal, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::wire::{ErrorCode, RpcError};

/// What a state begins with; another form has another word here.
const VERSION: &str = "rs1";
/// Longest state that is read, in bytes.
const BYTES_MAX: usize = 8 * 1024;
/// Members of the parameters that differ from leg to leg.
const PER_LEG: [&str; 4] = ["_meta", "inputResponses", "requestState", "task"];

/// What a state is for. One made for one purpose is worth nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose(pub(crate) &'static str);

/// The call that a state belongs to: the same for every leg of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    /// What the state is for.
    pub(crate) purpose: Purpose,
    /// Who calls.
    pub(crate) principal: &'a Principal,
    /// The method.
    pub(crate) method: &'a str,
    /// Its parameters, of which those that differ from leg to leg do not count.
    pub(crate) params: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    /// End, in milliseconds of the wall clock.
    until: i64,
    /// Keyed digest of method and parameters.
    call: String,
    content: T,
}

impl Bound<'_> {
    /// A state that holds `content` for the next leg of this call, for at most `lifetime`. Safe in headers and JSON.
    ///
    /// # Errors
    /// Internal if `content` cannot be written.
    pub(crate) fn seal<T: Serialize>(
        &self,
        key: &[u8; 32],
        content: &T,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<String, RpcError> {
        let key = self.derived(key);
        let sealed = Sealed { until: now.plus(lifetime).as_millis(), call: self.call(&key), content };
        let body = serde_json::to_vec(&sealed)
            .map_err(|error| RpcError::new(ErrorCode::Internal, format!("the state cannot be written: {error}")))?;
        let body = format!("{VERSION}.{}", URL_SAFE_NO_PAD.encode(body));
        let signature = URL_SAFE_NO_PAD.encode(self.signer(&key, &body).finalize().into_bytes());
        Ok(format!("{body}.{signature}"))
    }

    /// What a state of this call holds.
    ///
    /// # Errors
    /// Invalid params, saying whether it is not ours, too old, or of another call.
    pub(crate) fn open<T: DeserializeOwned>(&self, key: &[u8; 32], state: &str, now: Timestamp) -> Result<T, RpcError> {
        let key = self.derived(key);
        let sealed: Sealed<T> = self.verified(&key, state).ok_or_else(|| {
            refused("was not made by this server for this caller and purpose, or it was changed on the way")
        })?;
        if now.as_millis() >= sealed.until {
            return Err(refused("is too old"));
        }
        if sealed.call != self.call(&key) {
            return Err(refused("belongs to a call with other parameters: repeat the very same ones"));
        }
        Ok(sealed.content)
    }

    fn verified<T: DeserializeOwned>(&self, key: &[u8; 32], state: &str) -> Option<Sealed<T>> {
        let (signed, signature) = state.rsplit_once('.').filter(|_| state.len() <= BYTES_MAX)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        // Compares in constant time.
        self.signer(key, signed).verify_slice(&signature).ok()?;
        let body = signed.strip_prefix(VERSION)?.strip_prefix('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }

    /// A key of its own for each purpose.
    fn derived(&self, key: &[u8; 32]) -> [u8; 32] {
        let mut mac = keyed(key);
        mac.update(b"longshore request state\0");
        mac.update(self.purpose.0.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn signer(&self, key: &[u8; 32], signed: &str) -> Hmac<Sha256> {
        let mut mac = keyed(key);
        mac.update(b"state\0");
        mac.update(&(self.principal.name.len() as u64).to_be_bytes());
        mac.update(self.principal.name.as_bytes());
        mac.update(signed.as_bytes());
        mac
    }

    fn call(&self, key: &[u8; 32]) -> String {
        let mut mac = keyed(key);
        mac.update(b"call\0");
        mac.update(self.method.as_bytes());
        mac.update(b"\0");
        mac.update(canonical_params(self.params).as_bytes());
        URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..16])
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // A key shorter than a block of SHA-256 is filled up with zeros (RFC 2104).
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    Hmac::new(&block.into())
}

fn refused(problem: &str) -> RpcError {
    let message = format!(
        "`requestState` {problem}; call again without it to begin anew (with the same key, if the call has one, to find its job)"
    );
    RpcError::new(ErrorCode::InvalidParams, message)
}

/// The state that came with a call.
///
/// # Errors
/// Invalid params for one that is no text.
pub(crate) fn sent(params: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, RpcError> {
    #[derive(Default, Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "requestState", default)]
        request_state: Option<Cow<'a, str>>,
    }
    let params: Params<'_> = serde_json::from_str(params.map_or("{}", RawValue::get))
        .map_err(|error| RpcError::new(ErrorCode::InvalidParams, format!("`requestState`: {error}")))?;
    Ok(params.request_state)
}

/// The parameters without what differs from leg to leg, members sorted, numbers as they were written. What cannot be
/// read stands as it is, so that no two such texts are taken for the same.
fn canonical_params(params: Option<&RawValue>) -> String {
    let text = params.map_or("{}", RawValue::get);
    let mut canonical = String::new();
    match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) => {
            write_object(members.iter().filter(|(name, _)| !PER_LEG.contains(&name.as_ref())), &mut canonical);
        }
        Err(_) => canonical.push_str(text),
    }
    canonical
}

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn write(raw: &RawValue, text: &mut String) {
    let written = match raw.get().as_bytes().first() {
        Some(b'{') => serde_json::from_str::<Members<'_>>(raw.get()).map(|members| write_object(members.iter(), text)),
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(raw.get()).map(|items| write_array(&items, text)),
        Some(b'"') => serde_json::from_str::<Cow<'_, str>>(raw.get()).map(|found| write_text(&found, text)),
        _ => {
            text.push_str(raw.get());
            return;
        }
    };
    if written.is_err() {
        text.push_str(raw.get());
    }
}

fn write_array(items: &[&RawValue], text: &mut String) {
    text.push('[');
    for item in items {
        write(item, text);
        text.push(',');
    }
    text.push(']');
}

fn write_object<'a>(members: impl Iterator<Item = (&'a Cow<'a, str>, &'a &'a RawValue)>, text: &mut String) {
    text.push('{');
    for (name, value) in members {
        write_text(name, text);
        text.push(':');
        write(value, text);
        text.push(',');
    }
    text.push('}');
}

fn write_text(found: &str, text: &mut String) {
    text.push_str(&serde_json::Value::from(found).to_string());
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const LEG: Purpose = Purpose("leg");

    fn now() -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000)
    }

    fn raw(value: &Value) -> Box<RawValue> {
        to_raw_value(value).unwrap()
    }

    fn params() -> Box<RawValue> {
        raw(&json!({ "name": "run", "arguments": { "command": ["a", "b"], "env": { "X": "1" } } }))
    }

    fn opened(bound: Bound<'_>, key: &[u8; 32], state: &str, at: Timestamp) -> Result<Value, String> {
        bound.open(key, state, at).map_err(|error| {
            assert_eq!(error.code, ErrorCode::InvalidParams);
            assert!(error.message.contains("call again without it"), "{}", error.message);
            error.message
        })
    }

    #[test]
    fn a_state_is_of_use_for_its_caller_call_purpose_and_time_only() {
        let (owner, other) = (Principal::agent("owner"), Principal::agent("other"));
        let params = params();
        let bound = Bound { purpose: LEG, principal: &owner, method: "tools/call", params: Some(&params) };
        let content = json!({ "job": "j_1", "leg": 2 });
        let state = bound.seal(&KEY, &content, now(), Duration::from_secs(60)).unwrap();
        assert!(state.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{state}");
        assert_eq!(opened(bound, &KEY, &state, now()), Ok(content));
        let late = now().plus(Duration::from_secs(60));
        let others = raw(&json!({ "name": "run", "arguments": { "command": ["a", "c"], "env": { "X": "1" } } }));
        let table: [(&str, Bound<'_>, [u8; 32], Timestamp, &str); 7] = [
            ("key", bound, [8; 32], now(), "was not made"),
            ("principal", Bound { principal: &other, ..bound }, KEY, now(), "was not made"),
            ("purpose", Bound { purpose: Purpose("other"), ..bound }, KEY, now(), "was not made"),
            ("time", bound, KEY, late, "is too old"),
            ("method", Bound { method: "prompts/get", ..bound }, KEY, now(), "other parameters"),
            ("arguments", Bound { params: Some(&others), ..bound }, KEY, now(), "other parameters"),
            ("nothing", Bound { params: None, ..bound }, KEY, now(), "other parameters"),
        ];
        for (name, bound, key, at, why) in table {
            let error = opened(bound, &key, &state, at).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn every_changed_byte_and_every_odd_text_is_refused() {
        let owner = Principal::agent("owner");
        let params = params();
        let bound = Bound { purpose: LEG, principal: &owner, method: "tools/call", params: Some(&params) };
        let state = bound.seal(&KEY, &json!({ "job": "j_1" }), now(), Duration::from_secs(60)).unwrap();
        for at in 0..state.len() {
            for replacement in [b'A', b'B', b'.', b'=', b' '] {
                let mut bytes = state.clone().into_bytes();
                if bytes[at] == replacement {
                    continue;
                }
                bytes[at] = replacement;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(opened(bound, &KEY, &changed, now()).is_err(), "byte {at}: {changed}");
            }
            assert!(opened(bound, &KEY, &state[..at], now()).is_err(), "cut at {at}");
        }
        let long = "x".repeat(BYTES_MAX + 1);
        for text in ["", ".", "..", "rs1", "rs1..", "\u{1f980}.\u{1f980}", &long, &format!("{state}.")] {
            assert!(opened(bound, &KEY, text, now()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_call_may_be_written_in_another_order_and_with_other_members_of_the_leg() {
        let canonical = |text: &str| canonical_params(serde_json::from_str::<Option<&RawValue>>(text).unwrap());
        let base = canonical(r#"{"name":"a","arguments":{"x":[1,{"b":"\u00e9","a":null}],"y":1.0}}"#);
        let same = [
            r#"{ "arguments" : {"y":1.0, "x":[1, {"a":null,"b":"é"}]}, "name":"a" }"#,
            r#"{"name":"a","arguments":{"x":[1,{"b":"é","a":null}],"y":1.0},"_meta":{"p":1},"requestState":"s","task":{}}"#,
            r#"{"inputResponses":{"k":{}},"name":"a","arguments":{"x":[1,{"b":"é","a":null}],"y":1.0}}"#,
        ];
        for text in same {
            assert_eq!(canonical(text), base, "{text}");
        }
        let different = [
            "null",
            "{}",
            r#"{"name":"a","arguments":{"x":[1,{"b":"é","a":null}],"y":1}}"#,
            r#"{"name":"a","arguments":{"x":[{"b":"é","a":null},1],"y":1.0}}"#,
            r#"{"name":"b","arguments":{"x":[1,{"b":"é","a":null}],"y":1.0}}"#,
            r#"{"name":"a","arguments":{"x":[1,{"b":"e","a":null}],"y":1.0}}"#,
            r#"{"name":"a","arguments":{"x":"[1,{\"a\":null,\"b\":\"é\",},]","y":1.0}}"#,
        ];
        for text in different {
            assert_ne!(canonical(text), base, "{text}");
        }
        // What cannot be read, a lone surrogate, is still told apart.
        let odd = [
            r#"{"name":"a"}"#,
            r#"{"name":"a","x":"\ud800"}"#,
            r#"{"name":"a","x":"\udc00"}"#,
            r#"{"name":"a","x":""}"#,
            r#"{"name":"a","x":{"\ud800":1}}"#,
            r#"{"name":"a","x":{"\ud800":2}}"#,
            r#"{"name":"a","x":{}}"#,
            r#"{"name":"a","\ud800":1}"#,
            r#"{"name":"b","\ud800":1}"#,
            "{}",
        ];
        let meanings: std::collections::BTreeSet<String> = odd.iter().map(|text| canonical(text)).collect();
        assert_eq!(meanings.len(), odd.len(), "{meanings:?}");
    }

    #[test]
    fn the_state_of_a_call_is_read_from_its_parameters() {
        let found = |text: &str| {
            let params: Box<RawValue> = serde_json::from_str(text).unwrap();
            sent(Some(&params)).map(|state| state.map(Cow::into_owned)).map_err(|error| error.code.number())
        };
        assert_eq!(found(r#"{"name":"a","requestState":"x"}"#), Ok(Some("x".into())));
        assert_eq!(found(r#"{"name":"a"}"#), Ok(None));
        assert_eq!(found(r#"{"requestState":null}"#), Ok(None));
        assert_eq!(found(r#"{"requestState":7}"#), Err(-32602));
        assert_eq!(sent(None), Ok(None));
    }
}
