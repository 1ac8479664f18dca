//! The next step that every answer names: one concrete call, or nothing.

use std::time::Duration;

use longshore_domain::JobId;
use serde_json::json;

use crate::server::call::Call;

/// Nothing is left to do.
pub(super) const NOTHING: &str = "nothing to do";
/// More ids than these are not repeated.
const IDS_MAX: usize = 5;

/// A cursor that was never given before: two polls never look alike, so no client takes them for a loop.
pub(super) fn fresh_cursor(call: &Call) -> String {
    format!("w{}", call.engine().clock().now().as_millis())
}

/// Wait for jobs, later.
pub(super) fn wait(call: &Call, jobs: &[JobId], cursor: &str, poll_after: Duration) -> String {
    let arguments = match jobs.len() {
        0..=IDS_MAX => format!("{{\"jobs\":{},\"cursor\":\"{cursor}\"}}", json!(jobs)),
        count => format!("{{\"jobs\":[the {count} unfinished ones],\"cursor\":\"{cursor}\"}}"),
    };
    later(call, poll_after, &format!("job_wait {arguments}"))
}

/// Read what a job printed.
pub(super) fn read(job: JobId) -> String {
    format!("job_read {{\"job\":\"{job}\"}}")
}

/// Go on reading.
pub(super) fn read_on(job: JobId, cursor: &str) -> String {
    format!("job_read {{\"job\":\"{job}\",\"cursor\":\"{cursor}\"}}")
}

/// Go on reading once there is more.
pub(super) fn follow(call: &Call, job: JobId, cursor: &str, poll_after: Duration) -> String {
    let arguments = format!("{{\"job\":\"{job}\",\"cursor\":\"{cursor}\",\"wait_s\":25}}");
    later(call, poll_after, &format!("job_read {arguments}"))
}

fn later(call: &Call, poll_after: Duration, next: &str) -> String {
    let seconds = poll_after.as_secs().max(1);
    let stopping = match call.engine().is_draining() {
        true => "the Longshore daemon is being stopped and its jobs go on without it: ",
        false => "",
    };
    format!("{stopping}do other work, and in {seconds} s or later call {next}")
}
