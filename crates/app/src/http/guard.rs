//! Who may speak to us at all: requests for our own name, from our own pages, of a bearable size, with a token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, StreamExt};
use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{Scope, Scopes};
use longshore_mcp::http::{StillHolds, Throttled};

use super::credential::{Credential, check_address, check_origin};
use super::fault::HttpFault;
use super::{App, metadata};
use crate::access::{Pass, rate_limited};

/// Largest body that is taken.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A larger body is read on to this size before it is refused, so that its sender hears the refusal.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// And for this long.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Paths that need no token; those below [`metadata::PATH`] need none either.
const OPEN: [&str; 2] = ["/health", "/openapi.json"];

/// Whoever opened the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Refuses requests for a foreign name (DNS rebinding), from a foreign page, or with a token in the address.
///
/// # Errors
/// `forbidden`, `invalid_argument`.
///
/// Source: MCP specification, transports, security warning: servers must validate `Origin`.
pub(super) fn check_own_name(app: &App, request: &mut Request) -> Result<(), Fault> {
    hide_secrets(request.headers_mut());
    app.names.check(request.headers()).and_then(|()| check_address(request.uri()))
}

/// Whether a path needs no token.
pub(super) fn is_open(path: &str) -> bool {
    OPEN.contains(&path) || path.starts_with(metadata::PATH)
}

/// Keeps whatever prints headers from printing secrets.
fn hide_secrets(headers: &mut HeaderMap) {
    for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
        if let header::Entry::Occupied(mut found) = headers.entry(name) {
            found.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
}

/// The refusal of a body that is announced as too large. Others are cut off while they are read.
pub(super) fn too_large(headers: &HeaderMap) -> Option<Fault> {
    let length: usize = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    (length > BODY_BYTES_MAX).then(|| {
        Fault::new(FaultCode::TooLarge, format!("the request has {length} bytes"))
            .why(format!("at most {BODY_BYTES_MAX} bytes are taken"))
            .next("write large input to a file and give its path")
    })
}

/// Refuses a request once its sender has sent it, so that the refusal is heard. One who asks first has sent nothing.
pub(super) async fn drained(request: Request, fault: Fault) -> Response {
    if !request.headers().contains_key(header::EXPECT) {
        drain(request.into_body()).await;
    }
    HttpFault(fault).into_response()
}

async fn drain(body: Body) {
    let mut stream = body.into_data_stream();
    let reading = async {
        let mut read = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            read += chunk.len();
            if read > DRAIN_BYTES_MAX {
                return;
            }
        }
    };
    // A sender that is too slow hears the refusal anyhow, or not at all.
    tokio::time::timeout(DRAIN_MAX, reading).await.ok();
}

/// Finds out later whether a caller would still be let in; not there if nothing can change that.
pub(super) fn still_holds(app: &App, pass: &Pass) -> Option<StillHolds> {
    pass.can_end().then(|| {
        let asked = Arc::new((app.clone(), pass.clone()));
        let still_holds: StillHolds = Box::new(move || {
            let asked = Arc::clone(&asked);
            async move {
                let (app, pass) = &*asked;
                app.access.still_holds(pass, app.engine.clock().now()).await.ok()
            }
            .boxed()
        });
        still_holds
    })
}

/// The answer to whoever waited longer than the token held.
pub(super) fn lapsed(app: &App) -> Response {
    let why = "the token expired or was revoked before there was an answer; what was begun goes on";
    HttpFault(app.access.refusal(why)).into_response()
}

/// Adds what goes with the refusals of whatever was asked for: what a token for it needs, and when to ask again.
pub(super) fn challenged(app: &App, scopes: Scopes, mut response: Response) -> Response {
    if let Some(scope) = response.extensions().get::<Scope>() {
        let challenge = app.access.step_up(scopes, *scope);
        insert(&mut response, header::WWW_AUTHENTICATE, &challenge);
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        // It was good when the request came.
        insert(&mut response, header::WWW_AUTHENTICATE, &app.access.challenge(true));
    }
    if let Some(Throttled(pause)) = response.extensions().get::<Throttled>().copied() {
        insert(&mut response, header::RETRY_AFTER, &whole_seconds(pause));
    }
    response
}

/// Finds out who is calling, or answers the refusal.
pub(super) async fn admit(app: &App, peer: IpAddr, headers: &HeaderMap) -> Result<Pass, Response> {
    let refused = |given: bool, fault: Fault| {
        let is_challenged = fault.code == FaultCode::Unauthorized;
        let mut response = HttpFault(fault).into_response();
        if is_challenged {
            insert(&mut response, header::WWW_AUTHENTICATE, &app.access.challenge(given));
        }
        response
    };
    let credential = match Credential::of(headers) {
        Ok(Some(credential)) => credential,
        Ok(None) => return Err(refused(false, app.access.refusal("the request has none"))),
        Err(why) => return Err(refused(true, app.access.refusal(why))),
    };
    app.access
        .may_try(peer, credential.secret())
        .map_err(|pause| too_many("too many wrong tokens from this address", pause))?;
    let pass = app.access.admit(credential.secret(), app.engine.clock().now()).await;
    if pass.as_ref().is_err_and(|fault| fault.code == FaultCode::Unauthorized) {
        app.access.count_failure(peer);
    }
    let pass = pass.map_err(|fault| refused(true, fault))?;
    check_origin(credential, headers).map_err(|fault| refused(true, fault))?;
    Ok(pass)
}

pub(super) fn too_many(message: &str, pause: Duration) -> Response {
    let mut response = HttpFault(rate_limited(message, pause)).into_response();
    insert(&mut response, header::RETRY_AFTER, &whole_seconds(pause));
    response
}

/// For `Retry-After`, which knows no parts of a second.
fn whole_seconds(pause: Duration) -> String {
    pause.as_secs_f64().ceil().to_string()
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    // What is configured was checked to fit into a header.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
