//! What handlers take from a request, with faults that name the place of a mistake.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{Grant, Scope, Scopes};
use longshore_engine::ops::Caller;
use serde::de::DeserializeOwned;

use super::App;
use super::fault::HttpFault;
use super::guard::BODY_BYTES_MAX;

/// Who is calling, with a token that allows looking at jobs.
pub(super) struct MayRead(pub(super) Caller);
/// Who is calling, with a token that allows submitting and changing jobs.
pub(super) struct MayWrite(pub(super) Caller);
/// Who is calling, with a token that allows looking after the daemon: a person.
pub(super) struct MayAdminister;

impl FromRequestParts<App> for MayRead {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refused> {
        caller(parts, Scope::JobsRead).map(Self)
    }
}

impl FromRequestParts<App> for MayWrite {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refused> {
        caller(parts, Scope::JobsWrite).map(Self)
    }
}

impl FromRequestParts<App> for MayAdminister {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refused> {
        caller(parts, Scope::Admin).map(|_| Self)
    }
}

/// A caller whose token does not allow what was asked.
pub(super) struct Refused {
    fault: Fault,
    /// What a better token could allow.
    missing: Option<Scope>,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let response = HttpFault(self.fault).into_response();
        match self.missing {
            // The challenge is written from it.
            Some(scope) => (Extension(scope), response).into_response(),
            None => response,
        }
    }
}

/// The caller, if its token allows `scope`. There is no other way to one, so that no handler can forget to ask.
fn caller(parts: &Parts, scope: Scope) -> Result<Caller, Refused> {
    let Some(grant) = parts.extensions.get::<Grant>() else {
        let fault = Fault::internal("a request reached its handler without a grant");
        return Err(Refused { fault, missing: None });
    };
    let principal = grant.principal.clone();
    if grant.scopes().has(scope) {
        return Ok(Caller { principal, conversation: None });
    }
    match Scopes::of_class(principal.class).has(scope) {
        true => {
            let fault = Fault::new(FaultCode::Forbidden, format!("the token does not allow `{scope}`"))
                .why(format!("it allows: {}", grant.scopes()))
                .next("use a token with that scope");
            Err(Refused { fault, missing: Some(scope) })
        }
        false => {
            let fault = Fault::new(FaultCode::Forbidden, "only a person may do this")
                .why("the token belongs to an agent or worker, which sees its own jobs only")
                .next("ask the owner of this installation");
            Err(Refused { fault, missing: None })
        }
    }
}

/// The JSON body. An absent one counts as `{}`, so that requests without needs need none.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = HttpFault;

    async fn from_request(request: Request, app: &App) -> Result<Self, HttpFault> {
        let bytes = Bytes::from_request(request, app).await.map_err(unreadable)?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let mut json = serde_json::Deserializer::from_slice(text);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let place = error.path().to_string();
            wrong_body(&place, &error.into_inner())
        })?;
        json.end().map_err(|error| wrong_body(".", &error))?;
        Ok(Self(value))
    }
}

fn wrong_body(place: &str, error: &serde_json::Error) -> HttpFault {
    let message = match (error.is_data(), place) {
        (false, _) => "the body is not JSON".into(),
        (true, ".") => "the body has not the expected form".into(),
        (true, place) => format!("`{place}` in the body cannot be used"),
    };
    HttpFault(
        Fault::new(FaultCode::InvalidArgument, message)
            .why(error.to_string())
            .next("correct the request; /openapi.json describes what is expected"),
    )
}

fn unreadable(rejection: BytesRejection) -> HttpFault {
    let fault = match rejection.status().as_u16() {
        413 => Fault::new(FaultCode::TooLarge, format!("the request has more than {BODY_BYTES_MAX} bytes"))
            .next("write large input to a file and give its path"),
        _ => Fault::new(FaultCode::InvalidArgument, "the body could not be read").why(rejection.body_text()),
    };
    HttpFault(fault)
}

/// The parameters of the query.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = HttpFault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, HttpFault> {
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(HttpFault(
                Fault::new(FaultCode::InvalidArgument, "a parameter of the query cannot be used")
                    .why(rejection.body_text())
                    .next("correct the request; /openapi.json describes what is expected"),
            )),
        }
    }
}

/// Longest wait that a request may ask for, in seconds.
pub(crate) const WAIT_SECONDS_MAX: f64 = 60.0;

/// A wait in seconds as a length; absent = none.
///
/// # Errors
/// `invalid_argument` unless it is 0 to [`WAIT_SECONDS_MAX`].
pub(super) fn patience(name: &str, seconds: Option<f64>) -> Result<std::time::Duration, Fault> {
    let seconds = seconds.unwrap_or(0.0);
    match (0.0..=WAIT_SECONDS_MAX).contains(&seconds) {
        true => Ok(std::time::Duration::from_secs_f64(seconds)),
        false => Err(Fault::invalid(name, format!("must be 0 to {WAIT_SECONDS_MAX} seconds"))),
    }
}
