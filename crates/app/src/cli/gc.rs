//! `longshore gc`: removes what has grown old.

use clap::Parser;
use ureq::http::Method;

use super::{Outcome, term};
use crate::client::Client;
use crate::config::units::about_size;
use crate::http::wire::{GcBody, GcReportBody};

/// Remove output and records that are older than the retention allows
///
/// The daemon does so once a day by itself. Pinned and unfinished jobs stay; records go to the archive first.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Only count what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let report: GcReportBody = client.send(&Method::POST, "/api/v1/gc", &GcBody { dry_run: args.dry_run })?;
    if args.json {
        term::json(&report)?;
        return Ok(0);
    }
    let verb = if report.dry_run { "would be removed" } else { "removed" };
    let (outputs, size, records) = (report.outputs, about_size(report.output_bytes), report.records);
    term::out(&format!("output of {outputs} jobs ({size}) and {records} records {verb}"))?;
    if report.orphans > 0 {
        let size = about_size(report.orphan_bytes);
        term::out(&format!("{} files of output without a record ({size}) {verb}", report.orphans))?;
    }
    if report.objects > 0 {
        let size = about_size(report.object_bytes);
        term::out(&format!("{} objects that no job has ({size}) {verb}", report.objects))?;
    }
    Ok(0)
}
