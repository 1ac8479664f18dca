//! The file that a store moves by.
//!
//! It is made of frames (see [`frames`](crate::frames)), so that `zstd -d` gives lines of JSON: first a [`Head`], then one
//! line for each [`Item`], then the [`Summary`] of them; then blobs, each a line that tells what it is and how long,
//! followed by its bytes and a newline; then a line that counts the blobs. Longshore reads every format since 1.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use longshore_domain::artifact::Digest;
use longshore_domain::id::{AttemptNumber, JobId};
use longshore_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Item, Summary};
use crate::frames::{Damage, Packer, Unpacker};

/// What the first frame holds.
const MAGIC: &[u8] = b"longshore house 1\n";
/// The newest format that this build knows.
const FORMAT_NEWEST: u32 = 1;
/// Longest line. A job with all that belongs to it is one.
const LINE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes read or written at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Specs hold the environment of commands.
const SECRET_MODE: u32 = 0o600;

/// Where a file comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How the file is to be read.
    pub format: u32,
    /// The Longshore that wrote it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
}

/// Bytes that move along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// What they are.
    pub what: BlobKind,
    /// How many they are.
    pub bytes: u64,
}

/// What the bytes of a blob are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobKind {
    /// What is known of the tokens that open the house, in JSON.
    Tokens,
    /// An artifact.
    Artifact(Digest),
    /// A file that holds what an attempt printed.
    Output {
        /// The folder that it is in.
        day: String,
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: AttemptNumber,
        /// It is the file beside the output, which tells when what came.
        index: bool,
    },
}

/// How many blobs a file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blobs {
    /// How many.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first.
    House(Head),
    /// One thing of the store.
    Item(Item),
    /// After the last thing.
    Summary(Summary),
    /// Its bytes follow.
    Blob(Blob),
    /// The last.
    End(Blobs),
}

/// A file that is written. It gets its name when it is finished; one of that name before it stays until then.
pub struct Packed {
    path: PathBuf,
    draft: PathBuf,
    file: File,
    packer: Packer,
    ready: Vec<u8>,
    blobs: Blobs,
}

impl Packed {
    /// Begins a file.
    ///
    /// # Errors
    /// The file system's own.
    pub fn create(path: &Path, made_by: &str, made_at: Timestamp) -> io::Result<Self> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(SECRET_MODE).open(&draft)?;
        let mut ready = vec![];
        let packer = Packer::new(MAGIC, &mut ready);
        let mut packed = Self { path: path.to_owned(), draft, file, packer, ready, blobs: Blobs::default() };
        packed.entry(&Entry::House(Head { format: FORMAT_NEWEST, made_by: made_by.to_owned(), made_at }))?;
        Ok(packed)
    }

    /// Writes a line.
    ///
    /// # Errors
    /// The file system's own.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.write(&line)
    }

    /// Writes a line that tells of a blob. As many bytes as it says follow, by [`Self::write`], then [`Self::end_blob`].
    ///
    /// # Errors
    /// The file system's own.
    pub fn begin_blob(&mut self, blob: Blob) -> io::Result<()> {
        self.blobs.count += 1;
        self.blobs.bytes += blob.bytes;
        self.entry(&Entry::Blob(blob))
    }

    /// Ends a blob.
    ///
    /// # Errors
    /// The file system's own.
    pub fn end_blob(&mut self) -> io::Result<()> {
        self.write(b"\n")
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// The file system's own.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.packer.push(bytes, &mut self.ready)?;
        self.file.write_all(&self.ready)?;
        self.ready.clear();
        Ok(())
    }

    /// Writes the last line, waits until the file is on the disk, and gives it its name.
    ///
    /// # Errors
    /// The file system's own.
    pub fn finish(mut self) -> io::Result<Blobs> {
        self.entry(&Entry::End(self.blobs))?;
        let Self { path, draft, mut file, packer, mut ready, blobs } = self;
        packer.finish(&mut ready)?;
        file.write_all(&ready)?;
        file.sync_all()?;
        std::fs::rename(draft, &path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(blobs)
    }
}

/// A file that is read, each byte proved before it is handed out.
pub struct PackedReader {
    lines: BufReader<Unpacked>,
    /// What is left of the blob that was told last, with its newline.
    left: u64,
}

/// The bytes in the frames of a file.
struct Unpacked {
    file: File,
    unpacker: Unpacker,
    stretch: Vec<u8>,
    at: usize,
    ended: bool,
}

fn damaged(Damage(problem): Damage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

impl Unpacked {
    /// Gets the next stretch, if there is one.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            if let Some(stretch) = self.unpacker.next().map_err(damaged)? {
                (self.stretch, self.at) = (stretch, 0);
                return Ok(true);
            }
            if self.unpacker.head().map_err(damaged)?.is_some_and(|head| head != MAGIC) {
                return Err(damaged(Damage("it is something else of Longshore's")));
            }
            if self.ended {
                return self.unpacker.finish().map(|_| false).map_err(damaged);
            }
            let mut packed = vec![0; CHUNK_BYTES];
            let read = self.file.read(&mut packed)?;
            self.unpacker.push(&packed[..read]);
            self.ended = read == 0;
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.stretch.len() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let count = into.len().min(self.stretch.len() - self.at);
        into[..count].copy_from_slice(&self.stretch[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl PackedReader {
    /// Begins to read a file.
    ///
    /// # Errors
    /// The file system's own; [`io::ErrorKind::InvalidData`] for what is no such file, or one of a later format.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let unpacked = Unpacked { file, unpacker: Unpacker::new(), stretch: vec![], at: 0, ended: false };
        let mut reader = Self { lines: BufReader::with_capacity(CHUNK_BYTES, unpacked), left: 0 };
        match reader.next()? {
            Some(Entry::House(head)) if head.format <= FORMAT_NEWEST => Ok(reader),
            Some(Entry::House(head)) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it has format {}, of a newer Longshore; this one knows up to {FORMAT_NEWEST}", head.format),
            )),
            _ => Err(damaged(Damage("it does not begin as it should"))),
        }
    }

    /// The next line. What was not read of a blob is passed over.
    ///
    /// # Errors
    /// The file system's own; [`io::ErrorKind::InvalidData`] for a damaged file.
    #[expect(clippy::should_implement_trait, reason = "an iterator goes on after errors")]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        io::copy(&mut (&mut self.lines).take(self.left), &mut io::sink())?;
        self.left = 0;
        let mut line = vec![];
        (&mut self.lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let entry = serde_json::from_slice(&line)?;
        if let Entry::Blob(blob) = &entry {
            self.left = blob.bytes + 1;
        }
        Ok(Some(entry))
    }

    /// Some more bytes of the blob that was told last; none at its end.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn blob(&mut self) -> io::Result<Vec<u8>> {
        let wanted = (self.left.saturating_sub(1)).min(CHUNK_BYTES as u64) as usize;
        let mut bytes = vec![0; wanted];
        self.lines.read_exact(&mut bytes)?;
        self.left -= wanted as u64;
        Ok(bytes)
    }

    /// Bytes of the file that were read, for showing how far it is.
    pub fn position(&self) -> u64 {
        use std::io::Seek;
        (&self.lines.get_ref().file).stream_position().unwrap_or(0)
    }

    /// Reads a whole file and proves that it is whole: what it holds.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn check(path: &Path, mut told: impl FnMut(u64)) -> io::Result<(Summary, Blobs)> {
        let mut reader = Self::open(path)?;
        let (mut summary, mut blobs) = (Summary::default(), Blobs::default());
        let (mut promised, mut ended) = (None, None);
        while let Some(entry) = reader.next()? {
            match entry {
                Entry::Item(item) => summary.add(&item)?,
                Entry::Summary(written) => promised = Some(written),
                Entry::Blob(blob) => {
                    blobs.count += 1;
                    blobs.bytes += blob.bytes;
                }
                Entry::End(written) => ended = Some(written),
                Entry::House(_) => return Err(damaged(Damage("it begins twice"))),
            }
            told(reader.position());
        }
        match promised == Some(summary) && ended == Some(blobs) {
            true => Ok((summary, blobs)),
            false => Err(damaged(Damage("it does not hold what it says that it holds"))),
        }
    }

    /// The things of the store alone, up to their summary.
    pub fn items(self) -> Items {
        Items { reader: self, ended: false }
    }
}

/// The things of a store, as a file has them.
pub struct Items {
    reader: PackedReader,
    ended: bool,
}

impl Iterator for Items {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<io::Result<Item>> {
        if self.ended {
            return None;
        }
        match self.reader.next() {
            Ok(Some(Entry::Item(item))) => Some(Ok(item)),
            Ok(_) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}
