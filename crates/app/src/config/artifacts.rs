//! The section `[artifacts]`: where bytes are kept for jobs.

use longshore_domain::fault::Fault;
use longshore_store::ArtifactOptions;

use super::environment;
use super::resolve::Resolver;
use crate::home::Home;

/// Where bytes are kept for jobs.
#[derive(Clone, Debug)]
pub(crate) struct ArtifactsAt {
    /// The place.
    pub(crate) options: ArtifactOptions,
    /// It was named, and is not merely a folder of the home.
    pub(crate) named: bool,
}

/// The section `[artifacts]`.
pub(super) fn artifacts(given: &mut Resolver, home: &Home) -> Result<ArtifactsAt, Fault> {
    let url = given.text("artifacts.url", |file| &file.artifacts.url, []).resolve(|url| Ok(url.to_owned()))?;
    let endpoint = given.text("artifacts.endpoint", |file| &file.artifacts.endpoint, []).resolve(optional)?;
    let region = given.text("artifacts.region", |file| &file.artifacts.region, []).resolve(optional)?;
    let allow_http = given.flag("artifacts.allow_http", |file| &file.artifacts.allow_http);
    let named = !url.is_empty();
    let options = match named {
        true => ArtifactOptions { url, endpoint, region, allow_http, variables: environment::of_clouds() },
        false => ArtifactOptions::folder(&home.file("artifacts")),
    };
    Ok(ArtifactsAt { options, named })
}

fn optional(text: &str) -> Result<Option<String>, String> {
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
