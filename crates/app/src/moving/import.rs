//! Everything in a file into a home.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use longshore_domain::artifact::{Artifacts, Source};
use longshore_domain::fault::{Fault, FaultCode};
use longshore_engine::Clock;
use longshore_store::ObjectArtifacts;
use longshore_store::moving::{BlobKind, Entry, House, PackedReader, Summary};

use super::shelf::Lent;
use super::{Moved, Progress, inhabited, run, store_failed, unreadable};
use crate::access::tokens::{self, Token};
use crate::config::Config;
use crate::daemon::lock;
use crate::home::Home;
use crate::problem::file_failed;
use crate::store;

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Brings everything from a file into an empty store. First the file is read to its end, so that a damaged one changes
/// nothing; then output and artifacts are put in their places; then all jobs at once. It can be interrupted and repeated
/// at any point.
///
/// # Errors
/// `already_running`, `file_failed`; `invalid_argument` for a file that is damaged or something else; `state_conflict`
/// if the store has jobs of its own; the store's own, and those of artifacts.
pub(crate) fn import(home: &Home, config: &Config, path: &Path, progress: Progress<'_>) -> Result<Moved, Fault> {
    let held = lock::single_daemon(home)?;
    let moved = run(unpack(home, config, path, progress));
    held.release();
    moved
}

async fn unpack(home: &Home, config: &Config, path: &Path, progress: Progress<'_>) -> Result<Moved, Fault> {
    let (told, blobs) = PackedReader::check(path, progress).map_err(|error| unreadable(path, &error))?;
    let house = store::house(home, config);
    let found = house.summary().await.map_err(store_failed)?;
    let existing = found == told;
    if !existing && (found.jobs.count > 0 || found.schedules.count > 0) {
        return Err(inhabited());
    }
    unpack_blobs(home, config, path, progress).await?;
    if !existing {
        unpack_items(&house, path).await?;
    }
    compare(&house, told).await?;
    Ok(Moved { store: told, blobs, existing, without_output: 0 })
}

async fn unpack_items(house: &House, path: &Path) -> Result<(), Fault> {
    let reader = PackedReader::open(path).map_err(|error| unreadable(path, &error))?;
    let mut items = reader.items().map(|item| Ok(item?));
    house.unpack(&mut items).await.map_err(store_failed)
}

async fn compare(house: &House, told: Summary) -> Result<(), Fault> {
    let arrived = house.summary().await.map_err(store_failed)?;
    match arrived == told {
        true => Ok(()),
        false => Err(Fault::internal(format!("{told:?} was to be moved, {arrived:?} arrived"))
            .why("what arrived in the store is not what the file holds")),
    }
}

async fn unpack_blobs(home: &Home, config: &Config, path: &Path, progress: Progress<'_>) -> Result<(), Fault> {
    let unread = |error| unreadable(path, &error);
    let mut reader = PackedReader::open(path).map_err(unread)?;
    let mut place = None;
    while let Some(entry) = reader.next().map_err(unread)? {
        let Entry::Blob(blob) = entry else { continue };
        match blob.what {
            BlobKind::Tokens => put_tokens(home, config, &mut reader, path).await?,
            BlobKind::Output { day, job, attempt, index } => {
                let suffix = if index { ".idx" } else { "" };
                let name = format!("{job}.{attempt}.log{suffix}");
                put_file(&mut reader, &folder(home, &day)?, &name, blob.bytes)?;
            }
            BlobKind::Artifact(digest) => {
                let place = match &mut place {
                    Some(place) => place,
                    None => place.insert(own_place(home, config).await?),
                };
                let stored = put_artifact(home, &mut reader, place, path).await?;
                if stored != digest {
                    return Err(unread(std::io::Error::new(std::io::ErrorKind::InvalidData, "an artifact is another")));
                }
            }
        }
        progress(reader.position());
    }
    Ok(())
}

/// The place that keeps the artifacts of the store that is filled.
async fn own_place(home: &Home, config: &Config) -> Result<ObjectArtifacts, Fault> {
    let place = ObjectArtifacts::open(&config.artifacts.options)?;
    if config.artifacts.named {
        let store = store::open(home, config).await?;
        let identity = store::identity(store.as_ref()).await;
        store.close().await;
        place.claim(&identity?).await?;
    }
    Ok(place)
}

async fn put_tokens(home: &Home, config: &Config, reader: &mut PackedReader, path: &Path) -> Result<(), Fault> {
    let mut text = vec![];
    loop {
        let bytes = reader.blob().map_err(|error| unreadable(path, &error))?;
        if bytes.is_empty() {
            break;
        }
        text.extend(bytes);
    }
    let moved: Vec<Token> = serde_json::from_slice(&text).map_err(|error| unreadable(path, &error.into()))?;
    home.prepare()?;
    let shelf = Lent::of(home, config).await?;
    let put = tokens::move_in(&shelf.0, &moved, Clock::system().now()).await;
    shelf.give_back().await;
    put
}

/// The folder of a day, made if need be.
fn folder(home: &Home, day: &str) -> Result<PathBuf, Fault> {
    if day.is_empty() || !day.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Fault::new(FaultCode::InvalidArgument, "the file names a folder that no output is in"));
    }
    home.prepare()?;
    let folder = home.file("output").join(day);
    std::fs::create_dir_all(&folder).map_err(|error| file_failed(&folder, "made", &error))?;
    Ok(folder)
}

/// Writes a file of output. One that is there and not shorter stays: where a store moves within its home, the command
/// may still print into it.
fn put_file(reader: &mut PackedReader, folder: &Path, name: &str, bytes: u64) -> Result<(), Fault> {
    let path = folder.join(name);
    if std::fs::metadata(&path).is_ok_and(|found| found.len() >= bytes) {
        return Ok(());
    }
    let draft = folder.join(format!("{name}.part"));
    let written = write_blob(reader, &draft).and_then(|_| std::fs::rename(&draft, &path));
    let synced = written.and_then(|()| File::open(folder)?.sync_all());
    synced.map_err(|error| file_failed(&path, "written", &error))
}

fn write_blob(reader: &mut PackedReader, path: &Path) -> std::io::Result<File> {
    let mut file = File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    loop {
        let bytes = reader.blob()?;
        if bytes.is_empty() {
            file.sync_all()?;
            return Ok(file);
        }
        file.write_all(&bytes)?;
    }
}

/// Keeps an artifact; what it is. It is read twice, and therefore written to a file first.
async fn put_artifact(
    home: &Home,
    reader: &mut PackedReader,
    place: &ObjectArtifacts,
    path: &Path,
) -> Result<longshore_domain::artifact::Digest, Fault> {
    home.prepare()?;
    let draft = home.file("data/import.part");
    let file = write_blob(reader, &draft).map_err(|error| unreadable(path, &error))?;
    let mut source = FileSource(file);
    source.rewind().await.map_err(|error| file_failed(&draft, "read", &error))?;
    let stored = place.put(&mut source).await?;
    std::fs::remove_file(&draft).map_err(|error| file_failed(&draft, "removed", &error))?;
    Ok(stored.digest)
}

/// A file as something to be kept.
struct FileSource(File);

#[async_trait]
impl Source for FileSource {
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; CHUNK_BYTES];
        let read = std::io::Read::read(&mut self.0, &mut bytes)?;
        bytes.truncate(read);
        Ok((read > 0).then_some(bytes))
    }

    async fn rewind(&mut self) -> std::io::Result<()> {
        self.0.seek(SeekFrom::Start(0)).map(drop)
    }
}
