//! How a fault leaves through HTTP: a status, a JSON body, and for the log what the caller must not see.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use longshore_domain::fault::{Fault, FaultCode};

use super::wire::FaultBody;

/// A fault on its way out.
#[derive(Debug)]
pub(crate) struct HttpFault(pub(crate) Fault);

/// What a handler answers.
pub(crate) type Answer<T> = Result<T, HttpFault>;

impl From<Fault> for HttpFault {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl IntoResponse for HttpFault {
    fn into_response(self) -> Response {
        let fault = self.0;
        if let Some(detail) = &fault.private {
            tracing::error!(fault.code = %fault.code, detail, "request failed");
        }
        let status = StatusCode::from_u16(fault.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(FaultBody::from(&fault))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// The answer for a path that leads nowhere.
pub(super) async fn no_route(uri: axum::http::Uri) -> HttpFault {
    let path: String = uri.path().chars().take(200).collect();
    HttpFault(
        Fault::new(FaultCode::NotFound, format!("there is nothing at {path}"))
            .next("the description of every path is at /openapi.json"),
    )
}

/// The answer for a method that a path does not know. Its status is 405 whatever the code says.
pub(super) async fn no_method(method: axum::http::Method) -> Response {
    let fault = Fault::new(FaultCode::NotFound, format!("this path does not know the method {method}"))
        .next("the description of every path is at /openapi.json");
    (StatusCode::METHOD_NOT_ALLOWED, HttpFault(fault)).into_response()
}
