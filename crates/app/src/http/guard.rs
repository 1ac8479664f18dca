//! Who may speak to us at all: requests for our own name, from our own pages, of a bearable size, with a token.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use longshore_domain::Principal;
use longshore_domain::fault::{Fault, FaultCode};

use super::App;
use super::fault::HttpFault;

/// Largest body that is taken.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A larger body is read on to this size before it is refused, so that its sender hears the refusal.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// And for this long.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Paths that need no token.
const OPEN: [&str; 2] = ["/health", "/openapi.json"];

/// Refuses requests for a foreign name (DNS rebinding) or from a foreign page.
///
/// Source: MCP specification, transports, security warning: servers must validate `Origin`.
pub(super) async fn own_name(State(app): State<App>, request: Request, next: Next) -> Response {
    match check_name(&app, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(fault) => HttpFault(fault).into_response(),
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

/// Finds out who is calling from the bearer token; [`Principal`] is then an extension of the request.
pub(super) async fn known_caller(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    match principal(&app, request.headers()) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(fault) => HttpFault(fault).into_response(),
    }
}

fn principal(app: &App, headers: &HeaderMap) -> Result<Principal, Fault> {
    let refused = |why: &str| {
        Fault::new(FaultCode::Unauthorized, "a valid token is needed").why(why).next(format!(
            "send `Authorization: Bearer …`; the local token is in {}/token, others are made with `longshore token create`",
            app.facts.home
        ))
    };
    let given = headers.get(header::AUTHORIZATION).ok_or_else(|| refused("the request has none"))?;
    let secret = given
        .to_str()
        .ok()
        .and_then(|given| given.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, secret) = secret.ok_or_else(|| refused("the header `Authorization` is not of the form `Bearer TOKEN`"))?;
    let found = app.tokens.principal(secret.trim(), app.engine.clock().now())?;
    found.ok_or_else(|| refused("the token is wrong, expired or revoked"))
}
