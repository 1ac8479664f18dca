//! Request states: whatever is sent, only what was made with the key for this call comes in.
//!
//! The input is lines: a principal, a method, parameters, other parameters, content, a state that somebody made up,
//! and changes to a good one, each a place and a byte.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_domain::{Principal, Timestamp};
use longshore_mcp::fuzz::State;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::world::KEY;

/// Longest state that is read.
const BYTES_MAX: usize = 8 * 1024;
/// Members of the parameters that differ from leg to leg.
const PER_LEG: [&str; 4] = ["_meta", "inputResponses", "requestState", "task"];
const LIFETIME: Duration = Duration::from_secs(60);

/// What must be so of states and the lines in `data`.
///
/// # Panics
/// If a promise is broken.
pub fn check(data: &[u8]) {
    let mut lines = data.splitn(7, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (name, method, params, other) = (text(), text(), text(), text());
    let (content, made_up, changes) = (text(), text(), lines.next().unwrap_or_default());
    let principal = Principal::agent(name.clone());
    let params = object(&params);
    let state = State { purpose: "leg", principal: &principal, method: &method, params: params.as_deref() };
    let now = Timestamp::from_millis(1_795_000_000_000);
    refused(&state, &made_up, now);
    let content = serde_json::from_str(&content).unwrap_or_else(|_| plain(&content));
    let Some(good) = state.seal(&KEY, &content, now, LIFETIME) else { return };
    assert!(good.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{good}");
    if good.len() > BYTES_MAX {
        return refused(&state, &good, now);
    }
    let opened = state.open(&KEY, &good, now).unwrap_or_else(|error| panic!("{error}: {good}"));
    assert_eq!(opened.get(), content.get());
    refused(&state, &good, now.plus(LIFETIME));
    assert!(state.open(&[8; 32], &good, now).is_err());
    let stranger = Principal::agent(format!("{name}."));
    refused(&State { principal: &stranger, ..state }, &good, now);
    refused(&State { purpose: "answers", ..state }, &good, now);
    refused(&State { method: &format!("{method}."), ..state }, &good, now);
    other_call(&state, object(&other).as_deref(), &good, now);
    changed(&state, &good, changes, now);
}

/// The parameters that a line holds, if any.
fn object(text: &str) -> Option<Box<RawValue>> {
    serde_json::from_str::<Box<RawValue>>(text).ok().filter(|raw| raw.get().starts_with('{'))
}

fn plain(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("text is JSON")
}

fn refused(state: &State<'_>, sent: &str, now: Timestamp) {
    let error = state.open(&KEY, sent, now).map(|content| panic!("{sent} brought {content}")).unwrap_or_else(|e| e);
    assert!(error.contains("call again without it") && error.len() < 500, "{error}");
}

/// Parameters that mean something else, as everybody reads them, do not go with the state.
fn other_call(state: &State<'_>, other: Option<&RawValue>, good: &str, now: Timestamp) {
    let differ = match (meaning(state.params), meaning(other)) {
        (Some(one), Some(another)) => {
            let apart = |(one, another): (&Option<Value>, &Option<Value>)| one != another;
            !one.keys().eq(another.keys()) || one.values().zip(another.values()).any(apart)
        }
        // Two texts that not everybody can read may be the same in other words.
        (None, None) => false,
        _ => true,
    };
    if differ {
        refused(&State { params: other, ..*state }, good, now);
    }
}

/// The members that count; of what not everybody can read, a lone surrogate, nothing.
fn meaning(params: Option<&RawValue>) -> Option<BTreeMap<String, Option<Value>>> {
    let text = params.map_or("{}", RawValue::get);
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    let read = |value: Box<RawValue>| serde_json::from_str(value.get()).ok();
    let counts = |(name, _): &(String, _)| !PER_LEG.contains(&name.as_str());
    Some(members.into_iter().filter(counts).map(|(name, value)| (name, read(value))).collect())
}

fn changed(state: &State<'_>, good: &str, changes: &[u8], now: Timestamp) {
    let mut bytes = good.as_bytes().to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    let bad = String::from_utf8_lossy(&bytes);
    if *bad != *good {
        refused(state, &bad, now);
    }
    for at in changes.iter().map(|byte| usize::from(*byte) % good.len()) {
        refused(state, &good[..at], now);
    }
}
