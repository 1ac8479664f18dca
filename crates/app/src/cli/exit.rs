//! Exit codes: one table, for people and for [`of_job`].

use crate::http::wire::JobBody;

/// Wrong usage of the command line.
pub(super) const USAGE: u8 = 2;
/// A foreground `run` was left with Ctrl-C, or the job was cancelled.
pub(super) const CANCELLED: u8 = 130;
/// Nobody reads any more what was to end with the exit code of a job: 128 and the number of SIGPIPE.
pub(super) const CUT_OFF: u8 = 141;
const DEADLINE: u8 = 124;
const LOST: u8 = 125;
const NOT_STARTED: u8 = 126;
const NOT_FOUND: u8 = 127;
const OTHER: u8 = 1;

/// What the exit codes mean, for people.
pub(super) const TABLE: &str = "\
`run`, `wait` and `result` end with the exit code of the job:

  0        the job succeeded
  1 - 255  the job's own exit code
  1        failed otherwise: blocked by another job, denied, unanswered
  124      stopped at its deadline
  125      lost: nobody saw how it ended
  126      the program was found and could not be started
  127      the program was not found
  128 + n  ended by signal n
  130      cancelled; or `run` was left with Ctrl-C, and the job goes on
  141      nobody reads standard output any more, and the job goes on

Errors of Longshore itself:

  2   wrong usage
  64  invalid_argument, stale_cursor
  65  too_large
  66  job_not_found, not_found, output_expired
  69  daemon_unreachable, node_unreachable, already_running, listen_failed, issuer_unreachable
  70  internal
  74  store_full, store_read_only, store_corrupt, store_newer, artifact_damaged, file_failed
  75  rate_limited, store_unavailable, artifacts_unavailable
  77  unauthorized, forbidden
  78  config_invalid
  79  job_finished, state_conflict, idempotency_conflict, lease_lost
  80  result_not_ready
  81  wait_timeout";

/// The exit code that stands for how a job ended; 0 as long as it has not.
pub(super) fn of_job(job: &JobBody) -> u8 {
    let Some(outcome) = &job.outcome else { return 0 };
    match (outcome.status.as_str(), outcome.reason.as_deref()) {
        ("succeeded" | "skipped", _) => 0,
        ("cancelled", _) => CANCELLED,
        (_, Some("exit")) => outcome.exit_code.map_or(OTHER, own),
        (_, Some("signal")) => outcome.signal.and_then(|signal| u8::try_from(128 + signal).ok()).unwrap_or(OTHER),
        (_, Some("spawn")) => not_started(job),
        (_, Some("deadline")) => DEADLINE,
        (_, Some("lost")) => LOST,
        _ => OTHER,
    }
}

/// A job's own exit code; one that does not fit is still no success.
fn own(code: i32) -> u8 {
    u8::try_from(code & 0xff).ok().filter(|&code| code != 0).unwrap_or(OTHER)
}

fn not_started(job: &JobBody) -> u8 {
    let missing = job.report.as_ref().is_some_and(|report| report.program_missing);
    if missing { NOT_FOUND } else { NOT_STARTED }
}

#[cfg(test)]
mod tests {
    use longshore_domain::FaultCode;

    #[test]
    fn every_fault_stands_in_the_table_with_its_code() {
        for code in FaultCode::ALL {
            let line = super::TABLE.lines().find(|line| line.contains(code.as_str()));
            let listed = line.and_then(|line| line.split_whitespace().next()?.parse::<u8>().ok());
            assert_eq!(listed, Some(code.exit_code()), "{code}");
        }
    }
}
