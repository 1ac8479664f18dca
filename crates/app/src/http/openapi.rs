//! `/openapi.json`: the description of this interface, made from the code.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{App, brief, daemon, events, gc, job, jobs, metadata, nodes, output, schedules, wait};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/openapi.json", get(|| async { Json(description()) }))
}

/// The description of every path.
pub(crate) fn description() -> Description {
    Interface::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Longshore", description = "Durable jobs for AI agents."),
    paths(
        jobs::submit, jobs::list, job::show, job::cancel, job::retry, job::pin, job::remove, output::read, wait::one,
        wait::several, brief::brief, events::follow, gc::collect, nodes::list, nodes::drain, nodes::idle, schedules::list,
        schedules::add, schedules::show, schedules::pause, schedules::remove, daemon::details, daemon::health,
        metadata::protected_resource, metadata::protected_resource_of
    ),
    modifiers(&Bearer)
)]
struct Interface;

/// Every path needs a bearer token unless it says otherwise; which scope it must allow stands there.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut Description) {
        const NAME: &str = "token";
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        description.components.get_or_insert_default().add_security_scheme(NAME, scheme);
        description.security = Some(vec![SecurityRequirement::new(NAME, Vec::<String>::new())]);
    }
}
