//! Asking a client in the middle of a call, in the way of its era: a legacy client gets requests on the call's stream,
//! a modern one gets a result that says what is missing, and repeats the call with the answers.
//!
//! Source: MCP 2026-07-28, multi round-trip requests.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::request_state::{Bound, Purpose};
use crate::wire::{Ask, AskError, AskKind, Era, ErrorCode, ResultBody, RpcError};

const PURPOSE: Purpose = Purpose("answers");
/// A client has this long for its answers.
const LIFETIME: Duration = Duration::from_secs(3600);

/// What came of asking.
pub(crate) enum Round {
    /// Every question has an answer, under its key.
    Answered(BTreeMap<String, Value>),
    /// The result that sends the client for answers.
    Wanting(ResultBody),
}

/// What a repeated call carries beside its parameters.
#[derive(Default, Deserialize)]
struct Carried {
    #[serde(rename = "inputResponses", default, deserialize_with = "object")]
    responses: Map<String, Value>,
    #[serde(rename = "requestState")]
    state: Option<String>,
}

/// An object; null is none.
fn object<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Map::deserialize(deserializer)
}

impl Call {
    /// Asks the client what `asks` says, each under its key; the keys must not change from leg to leg. `state` is
    /// what the next leg must know, see [`Call::carried`]. Answers to other keys are ignored; what is no answer
    /// counts as missing, and is asked again.
    ///
    /// # Errors
    /// Missing capability if the client did not declare that it can be asked; invalid params for answers that are
    /// no object; internal if a legacy client refuses to answer.
    pub(crate) async fn gather(&self, asks: &[(&str, Ask)], state: Option<&impl Serialize>) -> Result<Round, RpcError> {
        if let Some((_, ask)) = asks.iter().find(|(_, ask)| !self.capabilities.allow(ask.kind)) {
            return Err(AskError::NotDeclared(ask.kind).into());
        }
        match self.era {
            Era::Modern => self.gathered(asks, state),
            Era::Legacy(_) => self.asked(asks).await.map(Round::Answered),
        }
    }

    /// What the leg before left for this one; nothing on the first leg, and in the legacy era, which has no legs.
    ///
    /// # Errors
    /// Invalid params for a state that is not ours, too old, or of another call.
    #[cfg_attr(not(feature = "fixture"), expect(dead_code, reason = "our own questions need one leg alone"))]
    pub(crate) fn carried<T: DeserializeOwned>(&self) -> Result<Option<T>, RpcError> {
        let Some(state) = self.along()?.state else { return Ok(None) };
        let server = &self.server;
        self.bound().open(&server.settings().session_key, &state, server.engine().clock().now()).map(Some)
    }

    fn bound(&self) -> Bound<'_> {
        let method = &self.method;
        Bound { purpose: PURPOSE, principal: &self.caller.principal, method, params: self.params.as_deref() }
    }

    fn along(&self) -> Result<Carried, RpcError> {
        let Some(params) = self.params.as_deref().filter(|_| self.era == Era::Modern) else {
            return Ok(Carried::default());
        };
        serde_json::from_str(RawValue::get(params)).map_err(|error| {
            let message = format!("`inputResponses` must be an object and `requestState` a string: {error}");
            RpcError::new(ErrorCode::InvalidParams, message)
        })
    }

    fn gathered(&self, asks: &[(&str, Ask)], state: Option<&impl Serialize>) -> Result<Round, RpcError> {
        let mut along = self.along()?.responses;
        let given = |(key, ask): &(&str, Ask)| {
            let answer = along.remove(*key).filter(|answer| answers(ask.kind, answer))?;
            Some(((*key).to_owned(), answer))
        };
        let given: BTreeMap<String, Value> = asks.iter().filter_map(given).collect();
        if given.len() == asks.len() {
            return Ok(Round::Answered(given));
        }
        // All of them again: what was answered is not kept between legs.
        let requests: Map<String, Value> = asks.iter().map(|(key, ask)| ((*key).to_owned(), ask.to_json())).collect();
        let mut result = json!({ "inputRequests": requests });
        if let Some(state) = state {
            let settings = self.server.settings();
            let now = self.engine().clock().now();
            result["requestState"] = self.bound().seal(&settings.session_key, state, now, LIFETIME)?.into();
        }
        Ok(Round::Wanting(ResultBody::new(&result)?.of_kind("input_required")))
    }

    async fn asked(&self, asks: &[(&str, Ask)]) -> Result<BTreeMap<String, Value>, RpcError> {
        let mut given = BTreeMap::new();
        for (key, ask) in asks {
            let answer = self.ask(ask).await?;
            let answer = serde_json::from_str(answer.get()).ok().filter(|answer| answers(ask.kind, answer));
            let answer = answer.ok_or_else(|| {
                RpcError::new(ErrorCode::Internal, format!("the client's answer to `{}` is none", ask.kind.method()))
            })?;
            given.insert((*key).to_owned(), answer);
        }
        Ok(given)
    }
}

/// Whether that can be the answer to a question of that kind.
fn answers(kind: AskKind, answer: &Value) -> bool {
    match kind {
        AskKind::Form | AskKind::Url => matches!(answer["action"].as_str(), Some("accept" | "decline" | "cancel")),
        AskKind::Sampling => answer["content"].is_object() || answer["content"].is_array(),
        AskKind::Roots => answer["roots"].is_array(),
    }
}
