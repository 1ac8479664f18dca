//! Output that outlives its node: what an attempt prints is kept as artifacts too, in parts while it runs, and wholly
//! before its end is on record.
//!
//! The parts of attempt 2 are `output/2/<first byte, 20 digits>`; once all of them are there, `output/2/index` is the
//! file beside the output, which tells what was left out and when what came.

mod collect;
mod flush;
mod read;
mod source;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::artifact::Artifacts;
use longshore_domain::job::Event;
use longshore_domain::{AttemptNumber, Job};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::inner::Inner;
use flush::Flusher;

/// Pause between two looks at what an attempt printed meanwhile.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Pauses between tries to send what could not be sent.
const TRY_PAUSE: Duration = Duration::from_millis(500);
const TRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Where artifacts are kept, and whether output is.
#[derive(Clone)]
pub struct Keeping {
    /// The place.
    pub artifacts: Arc<dyn Artifacts>,
    /// Output is kept there, because other nodes want to read it or this one may be gone for good.
    pub output: bool,
    /// How long the end of an attempt waits for its output to be sent. After that it is sent later.
    pub patience: Duration,
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping").field("artifacts", &self.artifacts).field("output", &self.output).finish()
    }
}

/// What the artifacts of an attempt's output are called.
fn prefix(attempt: AttemptNumber) -> String {
    format!("output/{attempt}/")
}

/// What the last of them is called.
fn index_name(attempt: AttemptNumber) -> String {
    prefix(attempt) + "index"
}

impl Inner {
    /// Where output is kept, if it is.
    pub(crate) fn output_keeping(&self) -> Option<&Keeping> {
        self.settings.artifacts.as_ref().filter(|keeping| keeping.output)
    }
}

/// Sends what an attempt prints while it runs.
pub(crate) struct Flushing(Option<(CancellationToken, JoinHandle<()>)>);

impl Flushing {
    /// Begins to, if output is kept.
    pub(crate) fn start(inner: &Arc<Inner>, job: &Job) -> Self {
        if inner.output_keeping().is_none() {
            return Self(None);
        }
        let stop = inner.closing.child_token();
        let sending = inner.tasks.spawn(flush_while_running(Arc::clone(inner), job.clone(), stop.clone()));
        Self(Some((stop, sending)))
    }

    /// Ends it; nothing more is put on record.
    pub(crate) async fn stop(self) {
        if let Some((stop, sending)) = self.0 {
            stop.cancel();
            drop(sending.await);
        }
    }
}

async fn flush_while_running(inner: Arc<Inner>, job: Job, stop: CancellationToken) {
    let mut flusher = Flusher::new(Arc::clone(&inner), job.clone());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FLUSH_EVERY) => {}
        }
        // What is being put on record is not interrupted: it could come after what is put there next.
        let sent = tokio::select! {
            () = stop.cancelled() => return,
            sent = flusher.send() => sent,
        };
        let flushed = match sent {
            Ok(sent) => flusher.put_on_record(sent, false).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = flushed {
            tracing::warn!(job.id = %job.id, why = fault.why, "output could not be kept yet: {}", fault.message);
        }
    }
}

/// Sends the rest of what an attempt printed, before its end is put on record. Where that takes too long it is sent
/// later, and said so. Whether the end may be put on record now: not if everything is closing, for then the next engine
/// takes it up.
pub(crate) async fn finish(inner: &Arc<Inner>, job: &Job, event: &Event) -> bool {
    let Some(keeping) = inner.output_keeping() else { return true };
    if !matches!(event, Event::Ended { .. } | Event::Lost { .. }) {
        return true;
    }
    tokio::select! {
        () = send_all(inner, job) => true,
        () = inner.closing.cancelled() => false,
        () = tokio::time::sleep(keeping.patience) => {
            let place = keeping.artifacts.location();
            tracing::error!(job.id = %job.id, place, "output is not kept yet: until it can be sent this node alone has it");
            // Before the end is on record: a daemon that dies in between sends it all the same.
            note_unsent(inner, job);
            inner.tasks.spawn(send_later(Arc::clone(inner), job.clone()));
            true
        }
    }
}

/// Sends all output of an attempt, however long it takes, unless it is removed meanwhile.
async fn send_all(inner: &Arc<Inner>, job: &Job) {
    let mut pause = TRY_PAUSE;
    loop {
        let mut flusher = Flusher::new(Arc::clone(inner), job.clone());
        let flushed = match flusher.send().await {
            Ok(sent) => flusher.put_on_record(sent, true).await,
            Err(fault) => Err(fault),
        };
        let Err(fault) = flushed else { return };
        tracing::warn!(job.id = %job.id, why = fault.why, "output could not be kept yet: {}", fault.message);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TRY_PAUSE_MAX);
        if !wants_output(inner, job).await {
            return;
        }
    }
}

/// Whether the output of a job is still to be had, as far as anybody can tell.
async fn wants_output(inner: &Inner, job: &Job) -> bool {
    inner.store.job(job.id).await.map_or(true, |found| found.is_some_and(|found| !found.output_expired))
}

/// Notes beside the output that it is not kept yet.
fn note_unsent(inner: &Inner, job: &Job) {
    let note = unsent_note(inner, job);
    let written = std::fs::write(&note, "").and_then(|()| match note.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    });
    if let Err(error) = written {
        tracing::warn!(path = %note.display(), %error, "nothing tells the next daemon that output is not kept yet");
    }
}

/// Sends output beside which that is noted, and takes the note away.
async fn send_later(inner: Arc<Inner>, job: Job) {
    let note = unsent_note(&inner, &job);
    tokio::select! {
        () = send_all(&inner, &job) => {}
        () = inner.closing.cancelled() => return,
    }
    drop(std::fs::remove_file(note));
}

fn unsent_note(inner: &Inner, job: &Job) -> std::path::PathBuf {
    let mut path = inner.settings.output_path(job, job.attempt).into_os_string();
    path.push(UNSENT);
    path.into()
}

const UNSENT: &str = ".unsent";

/// Sends what an earlier daemon of this node could not send.
pub(crate) async fn resume_sending(inner: Arc<Inner>) {
    if inner.output_keeping().is_none() {
        return;
    }
    for (job, attempt) in unsent(&inner.settings.output_dir) {
        match inner.store.job(job).await {
            Ok(Some(job)) if !job.output_expired => {
                let job = Job { attempt, ..job };
                inner.tasks.spawn(send_later(Arc::clone(&inner), job));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(job.id = %job, %error, "output is not kept yet"),
        }
    }
}

/// Attempts whose output has a note beside it.
fn unsent(folder: &std::path::Path) -> Vec<(longshore_domain::JobId, AttemptNumber)> {
    let entries = |folder: &std::path::Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let notes = entries(folder).flat_map(|day| entries(&day.path()).collect::<Vec<_>>());
    let attempt = |name: &str| {
        let (job, attempt) = name.strip_suffix(UNSENT)?.strip_suffix(".log")?.split_once('.')?;
        Some((job.parse().ok()?, AttemptNumber(attempt.parse().ok()?)))
    };
    notes.filter_map(|note| attempt(note.file_name().to_str()?)).collect()
}
