//! `/api/v1/jobs/{id}/output`: the bytes that a job printed, exactly; everything about them is in the headers. Only when
//! they came, and from which stream, has no room there.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::routing::get;
use longshore_domain::fault::Fault;
use longshore_engine::ops::{OUTPUT_BYTES_MAX, OutputPage, OutputQuery, OutputStart};
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::extract::{MayRead, Params, patience};
use super::fault::Answer;
use super::wire::{FaultBody, ProgressBody, StretchBody};

/// Bytes in an answer when nothing else is asked for.
const BYTES_USUAL: usize = 256 * 1024;

/// Names of the headers that tell about the bytes.
pub(crate) mod headers {
    /// Where to go on.
    pub(crate) const CURSOR: &str = "longshore-cursor";
    /// Where the bytes begin.
    pub(crate) const FROM: &str = "longshore-from";
    /// Bytes before them that were not kept.
    pub(crate) const OMITTED: &str = "longshore-omitted";
    /// Bytes printed so far.
    pub(crate) const TOTAL: &str = "longshore-total";
    /// `true` once nothing more will come.
    pub(crate) const END: &str = "longshore-end";
    /// State of the job.
    pub(crate) const STATE: &str = "longshore-state";
    /// Progress as JSON, if the output says something of it.
    pub(crate) const PROGRESS: &str = "longshore-progress";
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/jobs/{id}/output", get(read))
}

/// What to read.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputParams {
    /// Where to begin: `Longshore-Cursor` of an earlier answer.
    cursor: Option<String>,
    /// Begin so that the last lines are read.
    tail_lines: Option<usize>,
    /// Most bytes, 1 to 4194304; 262144 if absent.
    bytes_max: Option<usize>,
    /// Wait this long for something new, 0 to 60 seconds.
    wait_s: Option<f64>,
    /// Tell when the bytes came and from which stream: the body is one JSON object a line then.
    #[serde(default)]
    labels: bool,
}

/// Some output. Two readers never disturb one another; the same cursor gives the same bytes.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/output", tag = "output", security(("token" = ["jobs:read"])),
    params(("id" = String, Path, description = "Id of the job; for persons also its number"), OutputParams),
    responses(
        (status = 200, description = "The bytes as they were printed; with `labels` each stretch of them as a line",
         content((Vec<u8> = "application/octet-stream"), (StretchBody = "application/x-ndjson")),
         headers(
            ("Longshore-Cursor" = String, description = "Where to go on"),
            ("Longshore-From" = String, description = "Where the bytes begin"),
            ("Longshore-Omitted" = u64, description = "Bytes before them that were not kept"),
            ("Longshore-Total" = u64, description = "Bytes printed so far"),
            ("Longshore-End" = bool, description = "Nothing more will come"),
            ("Longshore-State" = String, description = "State of the job"),
            ("Longshore-Progress" = String, description = "`{percent, text}`, if the output says so"),
         )),
        (status = 400, description = "The cursor leads nowhere", body = FaultBody),
        (status = 404, description = "No such job, or one of somebody else", body = FaultBody),
        (status = 410, description = "The output was removed", body = FaultBody),
    )
)]
pub(super) async fn read(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Path(id): Path<String>,
    Params(params): Params<OutputParams>,
) -> Answer<(HeaderMap, Vec<u8>)> {
    let query = to_query(params)?;
    let page = app.engine.output(&caller, &id, query).await?;
    let mut headers = describe(&page, query.labels)?;
    if !page.job.is_finished()
        && let Some(progress) = app.engine.full_view(page.job.clone()).await?.progress
    {
        insert(&mut headers, headers::PROGRESS, &ascii_json(&ProgressBody::from(progress))?)?;
    }
    Ok((headers, if query.labels { lines(&page)? } else { page.bytes }))
}

fn to_query(params: OutputParams) -> Result<OutputQuery, Fault> {
    let start = match (params.cursor, params.tail_lines) {
        (Some(_), Some(_)) => return Err(Fault::invalid("tail_lines", "give it or `cursor`, not both")),
        (Some(cursor), None) => OutputStart::Cursor(cursor.parse()?),
        (None, Some(lines)) => OutputStart::TailLines(lines),
        (None, None) => OutputStart::Head,
    };
    let bytes_max = params.bytes_max.unwrap_or(BYTES_USUAL);
    if !(1..=OUTPUT_BYTES_MAX).contains(&bytes_max) {
        return Err(Fault::invalid("bytes_max", format!("must be 1 to {OUTPUT_BYTES_MAX}")));
    }
    Ok(OutputQuery { start, bytes_max, wait: patience("wait_s", params.wait_s)?, labels: params.labels })
}

/// The stretches of a page, a line each.
fn lines(page: &OutputPage) -> Result<Vec<u8>, Fault> {
    let mut lines = vec![];
    for stretch in StretchBody::of(page.from.offset, &page.bytes, &page.labels) {
        serde_json::to_writer(&mut lines, &stretch).map_err(Fault::internal)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn describe(page: &OutputPage, lines: bool) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    let content = if lines { "application/x-ndjson" } else { "application/octet-stream" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    for (name, value) in [
        (headers::CURSOR, page.next.to_string()),
        (headers::FROM, page.from.to_string()),
        (headers::OMITTED, page.omitted.to_string()),
        (headers::TOTAL, page.total.to_string()),
        (headers::END, page.end.to_string()),
        (headers::STATE, page.job.state.name().to_string()),
    ] {
        insert(&mut headers, name, &value)?;
    }
    Ok(headers)
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Fault> {
    let value = HeaderValue::from_str(value).map_err(Fault::internal)?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

/// JSON that a header can carry: everything beyond ASCII is escaped.
fn ascii_json(value: &impl serde::Serialize) -> Result<String, Fault> {
    let text = serde_json::to_string(value).map_err(Fault::internal)?;
    let escape = |unit: u16| format!("\\u{unit:04x}");
    let escaped = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| escape(*unit)).collect::<String>();
    let plain = |c: char| (' '..='~').contains(&c);
    Ok(text.chars().map(|c| if plain(c) { c.to_string() } else { escaped(c) }).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn json_in_headers_is_ascii_and_the_same() {
        let text = super::ascii_json(&"ü 🚢\u{7f}").unwrap();
        assert!(text.is_ascii() && !text.contains('\u{7f}'));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "ü 🚢\u{7f}");
    }
}
