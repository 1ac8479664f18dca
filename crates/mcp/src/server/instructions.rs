//! What the model is told before anything else; some clients show it nothing else at first.

/// The whole pattern in a few lines.
pub(crate) const INSTRUCTIONS: &str = "\
Longshore runs commands as durable jobs that outlive this call, this chat and any restart.
- run {\"command\":[\"cargo\",\"test\"]} (over HTTP with \"cwd\" as well, the absolute directory) answers with the result if it ends soon; otherwise with a handle: the job goes on by itself. background:true returns the handle at once.
- With a handle: do other work, then job_wait {\"jobs\":[\"j_…\"]} (several at once, bounded) and job_read {\"job\":\"j_…\"} (status, output, goes on from `cursor`). Each answer's `next` names the call to make.
- job_list {} finds the jobs of this conversation, {\"all\":true} every job of yours; job_cancel {\"job\":\"j_…\"} stops one.
- A client time-out, a crash or a restart loses nothing: find the job with job_list instead of running it again. Give `key` to run, and reuse the same key when you repeat a call, so that it never runs twice.
- In a shell of your own, `longshore wait j_…` blocks until the job ends.";
