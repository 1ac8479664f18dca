//! Everything of a home into a file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use longshore_domain::artifact::{Artifacts, Digest};
use longshore_domain::fault::Fault;
use longshore_domain::{AttemptNumber, JobId};
use longshore_engine::Clock;
use longshore_store::ObjectArtifacts;
use longshore_store::moving::{Blob, BlobKind, Entry, Item, Packed, Summary};

use super::shelf::Lent;
use super::{Moved, Progress, run, store_failed};
use crate::access::tokens;
use crate::config::Config;
use crate::daemon::lock;
use crate::home::Home;
use crate::problem::file_failed;
use crate::store;

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Writes everything into a file. The daemon of this home must not run; of a store that others share it is what was
/// there at one instant.
///
/// # Errors
/// `already_running`, `file_failed`; the store's own, and those of artifacts.
pub(crate) fn export(home: &Home, config: &Config, path: &Path, progress: Progress<'_>) -> Result<Moved, Fault> {
    let held = lock::single_daemon(home)?;
    let moved = run(pack(home, config, path, progress));
    held.release();
    moved
}

async fn pack(home: &Home, config: &Config, path: &Path, progress: Progress<'_>) -> Result<Moved, Fault> {
    let unwritten = |error| file_failed(path, "written", &error);
    let made_by = concat!("longshore ", env!("CARGO_PKG_VERSION"));
    let mut packed = Packed::create(path, made_by, Clock::system().now()).map_err(unwritten)?;
    let (mut summary, mut jobs, mut artifacts) = (Summary::default(), HashMap::new(), BTreeMap::new());
    let sink = &mut |item: Item| {
        summary.add(&item)?;
        if let Item::Job(moved) = &item {
            let is_elsewhere = moved.job.started_at.is_some() && moved.artifacts.is_empty();
            jobs.extend((!moved.job.output_expired).then_some((moved.job.id, is_elsewhere)));
            artifacts.extend(moved.artifacts.iter().map(|artifact| (artifact.digest, artifact.bytes)));
            progress(summary.jobs.count);
        }
        Ok(packed.entry(&Entry::Item(item))?)
    };
    store::house(home, config).pack(sink).await.map_err(store_failed)?;
    packed.entry(&Entry::Summary(summary)).map_err(unwritten)?;
    add_tokens(&mut packed, home, config, path).await?;
    let files = outputs(&home.file("output"), &jobs);
    for Output { what, .. } in &files {
        if let BlobKind::Output { job, .. } = what {
            jobs.insert(*job, false);
        }
    }
    for file in files {
        add_file(&mut packed, file).map_err(unwritten)?;
    }
    add_artifacts(&mut packed, config, artifacts, path).await?;
    let blobs = packed.finish().map_err(unwritten)?;
    let without_output = jobs.values().filter(|is_elsewhere| **is_elsewhere).count() as u64;
    Ok(Moved { store: summary, blobs, existing: false, without_output })
}

async fn add_tokens(packed: &mut Packed, home: &Home, config: &Config, path: &Path) -> Result<(), Fault> {
    let shelf = Lent::of(home, config).await?;
    let known = tokens::list(&shelf.0).await;
    shelf.give_back().await;
    let text = serde_json::to_vec(&known?).map_err(Fault::internal)?;
    let blob = Blob { what: BlobKind::Tokens, bytes: text.len() as u64 };
    let written = packed.begin_blob(blob).and_then(|()| packed.write(&text)).and_then(|()| packed.end_blob());
    written.map_err(|error| file_failed(path, "written", &error))
}

/// A file of output.
struct Output {
    path: PathBuf,
    what: BlobKind,
}

/// The files of output of these jobs, in the order of their names.
fn outputs(folder: &Path, jobs: &HashMap<JobId, bool>) -> Vec<Output> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = vec![];
    for day in entries(folder) {
        let Ok(name) = day.file_name().into_string() else { continue };
        for file in entries(&day.path()) {
            let what = file.file_name().to_str().and_then(|file| output(&name, file));
            match what {
                Some(what @ BlobKind::Output { job, .. }) if jobs.contains_key(&job) => {
                    found.push(Output { path: file.path(), what });
                }
                _ => {}
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// What a file of output is, by its name: `<job>.<attempt>.log` or `<job>.<attempt>.log.idx`.
fn output(day: &str, name: &str) -> Option<BlobKind> {
    let (job, rest) = name.split_once('.')?;
    let (rest, index) = rest.strip_suffix(".idx").map_or((rest, false), |rest| (rest, true));
    let attempt = AttemptNumber(rest.strip_suffix(".log")?.parse().ok()?);
    Some(BlobKind::Output { day: day.to_owned(), job: job.parse().ok()?, attempt, index })
}

fn add_file(packed: &mut Packed, output: Output) -> std::io::Result<()> {
    let mut file = File::open(&output.path)?;
    let bytes = file.metadata()?.len();
    packed.begin_blob(Blob { what: output.what, bytes })?;
    // A command that still prints makes it longer: that is left out.
    let mut left = bytes;
    while left > 0 {
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
        file.read_exact(&mut chunk)?;
        packed.write(&chunk)?;
        left -= chunk.len() as u64;
    }
    packed.end_blob()
}

async fn add_artifacts(
    packed: &mut Packed,
    config: &Config,
    artifacts: BTreeMap<Digest, u64>,
    path: &Path,
) -> Result<(), Fault> {
    if artifacts.is_empty() {
        return Ok(());
    }
    let unwritten = |error| file_failed(path, "written", &error);
    let place = ObjectArtifacts::open(&config.artifacts.options)?;
    for (digest, bytes) in artifacts {
        let mut content = place.get(digest).await?;
        packed.begin_blob(Blob { what: BlobKind::Artifact(digest), bytes }).map_err(unwritten)?;
        while let Some(some) = content.next().await? {
            packed.write(&some).map_err(unwritten)?;
        }
        packed.end_blob().map_err(unwritten)?;
    }
    Ok(())
}
