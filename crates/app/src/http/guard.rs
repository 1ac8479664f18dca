//! Who may speak to us at all: requests for our own name, from our own pages, of a bearable size, with a token.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use longshore_domain::Scope;
use longshore_domain::fault::{Fault, FaultCode};
use longshore_mcp::http::Throttled;

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
pub(crate) struct Peer(pub(crate) IpAddr);

/// Refuses requests for a foreign name (DNS rebinding), from a foreign page, or with a token in the address.
///
/// Source: MCP specification, transports, security warning: servers must validate `Origin`.
pub(super) async fn own_name(State(app): State<App>, mut request: Request, next: Next) -> Response {
    hide_secrets(request.headers_mut());
    match check_name(&app, request.headers()).and_then(|()| check_address(request.uri())) {
        Ok(()) => next.run(request).await,
        Err(fault) => HttpFault(fault).into_response(),
    }
}

/// Keeps whatever prints headers from printing secrets.
fn hide_secrets(headers: &mut HeaderMap) {
    for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
        if let header::Entry::Occupied(mut found) = headers.entry(name) {
            found.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
}

fn check_name(app: &App, headers: &HeaderMap) -> Result<(), Fault> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_own_host(app, host) {
        return Err(Fault::new(FaultCode::Forbidden, "this host name is not served here")
            .why("the header `Host` names neither a loopback address nor one of the configured `hosts`")
            .next("use 127.0.0.1 or localhost, or add the name to `hosts` in config.toml"));
    }
    match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        Some(origin) if origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) != Some(host) => {
            Err(Fault::new(FaultCode::Forbidden, "pages of another origin may not speak to this daemon")
                .why("the header `Origin` names another place than `Host`"))
        }
        _ => Ok(()),
    }
}

fn is_own_host(app: &App, host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == app.facts.listen.ip());
    loopback || bare.eq_ignore_ascii_case("localhost") || app.hosts.iter().any(|host| host.eq_ignore_ascii_case(bare))
}

/// Refuses bodies that are announced as too large. Others are cut off while they are read.
pub(super) async fn bearable_size(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(length) if length > BODY_BYTES_MAX => {
            drain(request.into_body()).await;
            HttpFault(too_large(length)).into_response()
        }
        _ => next.run(request).await,
    }
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

fn too_large(length: usize) -> Fault {
    Fault::new(FaultCode::TooLarge, format!("the request has {length} bytes"))
        .why(format!("at most {BODY_BYTES_MAX} bytes are taken"))
        .next("write large input to a file and give its path")
}

/// Finds out who is calling. [`Pass`] and its grant are then extensions of the request; the refusals of whatever
/// comes after get the challenge that goes with them.
pub(super) async fn known_caller(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if OPEN.contains(&path) || path.starts_with(metadata::PATH) {
        return next.run(request).await;
    }
    let is_mcp = path == "/mcp";
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|peer| peer.0.0);
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let pass = match admit(&app, peer, request.headers()).await {
        Ok(pass) => pass,
        Err(refusal) => return refusal,
    };
    match app.access.count_request(&pass) {
        Ok(()) => {}
        // Whoever speaks MCP is told in MCP.
        Err(pause) if is_mcp => {
            request.extensions_mut().insert(Throttled(pause));
        }
        Err(pause) => return too_many("too many requests with this token", pause),
    }
    let scopes = pass.grant.scopes();
    request.extensions_mut().insert(pass.grant.clone());
    request.extensions_mut().insert(pass);
    let mut response = next.run(request).await;
    if let Some(scope) = response.extensions().get::<Scope>() {
        let challenge = app.access.step_up(scopes, *scope);
        insert(&mut response, header::WWW_AUTHENTICATE, &challenge);
    }
    if let Some(Throttled(pause)) = response.extensions().get::<Throttled>().copied() {
        insert(&mut response, header::RETRY_AFTER, &whole_seconds(pause));
    }
    response
}

/// Lets a caller in, or answers the refusal.
async fn admit(app: &App, peer: IpAddr, headers: &HeaderMap) -> Result<Pass, Response> {
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
