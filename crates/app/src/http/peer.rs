//! `/api/v1/peers`: what other nodes of the same store ask of this one. No door for anybody else: see [`known_peer`].

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{AttemptNumber, JobId};
use longshore_engine::peers::Account;

use super::credential::Credential;
use super::extract::Params;
use super::fault::{Answer, HttpFault};
use super::guard::{BODY_BYTES_MAX, Peer, too_many};
use super::wire::{AccountBody, PieceHead, PrintedBody, ReadingQuery, SaidBody, SaidQuery, piece_body};
use super::{App, fault};

/// Room for a message that another node took, and its session.
const SAID_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;

/// What the paths begin with.
pub(super) const PATH: &str = "/api/v1/peers/";

/// The paths, each behind the check of who asks.
pub(super) fn routes(app: &App) -> Router {
    let attempt =
        Router::new().route("/output", get(output)).route("/printed", get(printed)).route("/account", post(account));
    Router::new()
        .nest("/api/v1/peers/jobs/{job}/attempts/{attempt}", attempt)
        .route("/api/v1/peers/said", post(said).layer(DefaultBodyLimit::max(SAID_BYTES_MAX)))
        .fallback(fault::no_route)
        .method_not_allowed_fallback(fault::no_method)
        .layer(from_fn_with_state(app.clone(), known_peer))
        .with_state(app.clone())
}

/// Lets in nodes alone, each with a token for this one request.
async fn known_peer(State(app): State<App>, request: Request, next: Next) -> Response {
    let from = request.extensions().get::<Peer>().map(|peer| peer.0);
    let secret = Credential::of(request.headers()).ok().flatten().map_or("", Credential::secret);
    if let Some(Err(pause)) = from.map(|from| app.access.may_try(from, secret)) {
        return too_many("too many wrong tokens from this address", pause);
    }
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let (node, now) = (app.engine.settings().node.id, app.engine.clock().in_common());
    let key = app.peer_key.as_ref();
    if key.is_some_and(|key| key.is_good(secret, node, request.method().as_str(), path, now)) {
        return next.run(request).await;
    }
    from.into_iter().for_each(|from| app.access.count_failure(from));
    let refusal = Fault::new(FaultCode::Unauthorized, "only nodes that share this node's store are let in here")
        .why("the request has no token of a node for it, or one that is older than a minute");
    HttpFault(refusal).into_response()
}

async fn output(
    State(app): State<App>,
    Path((job, attempt)): Path<(String, u32)>,
    Params(query): Params<ReadingQuery>,
) -> Answer<(HeaderMap, Bytes)> {
    let reading = query.reading(job_id(&job)?, AttemptNumber(attempt))?;
    let piece = app.engine.own_output(reading).await?;
    let head = PieceHead::of(&piece).to_headers();
    Ok((head, piece_body(piece)))
}

async fn printed(State(app): State<App>, Path((job, attempt)): Path<(String, u32)>) -> Answer<Json<PrintedBody>> {
    let printed = app.engine.own_printed(job_id(&job)?, AttemptNumber(attempt)).await?;
    Ok(Json(printed.into()))
}

async fn account(State(app): State<App>, Path((job, attempt)): Path<(String, u32)>) -> Answer<Json<AccountBody>> {
    let account = app.engine.account(job_id(&job)?, AttemptNumber(attempt));
    Ok(Json(AccountBody { lives: account == Account::Lives }))
}

async fn said(State(app): State<App>, Params(query): Params<SaidQuery>, body: Bytes) -> Answer<()> {
    app.mcp.overheard(&SaidBody::said(body, &query)?);
    Ok(())
}

fn job_id(text: &str) -> Result<JobId, Fault> {
    text.parse().map_err(|error| Fault::invalid("job", error))
}
