//! A stretch of line between one node and the database, which can be cut.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// Name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// Passes on what a node and the server say, unless it is cut.
pub(crate) struct Proxy {
    folder: PathBuf,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    cut: AtomicBool,
    open: Mutex<Vec<UnixStream>>,
}

impl Proxy {
    /// Listens in `folder` for connections to the server whose socket is in `server`.
    pub(crate) fn before(server: &Path, folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let listener = UnixListener::bind(folder.join(SOCKET))?;
        let line = Arc::<Line>::default();
        let (real, shared) = (server.join(SOCKET), Arc::clone(&line));
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Whoever comes while it is cut, or while the server is down, is hung up on.
                drop(pass(near, &real, &shared));
            }
        });
        Ok(Self { folder, line })
    }

    /// Where the node finds it, as the server's address.
    pub(crate) fn url(&self) -> String {
        format!("postgres://longshore@{}/postgres", self.folder.display().to_string().replace('/', "%2F"))
    }

    /// Ends every connection, and lets no other come about until [`Proxy::mend`].
    pub(crate) fn cut(&self) {
        let mut open = self.line.lock();
        self.line.cut.store(true, Ordering::SeqCst);
        for stream in open.drain(..) {
            // It may have ended by itself.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    pub(crate) fn mend(&self) {
        self.line.cut.store(false, Ordering::SeqCst);
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass(near: UnixStream, real: &Path, line: &Line) -> io::Result<()> {
    let far = UnixStream::connect(real)?;
    let mut open = line.lock();
    if line.cut.load(Ordering::SeqCst) {
        return Ok(());
    }
    open.extend([near.try_clone()?, far.try_clone()?]);
    let back = (far.try_clone()?, near.try_clone()?);
    for (mut from, mut to) in [(near, far), back] {
        std::thread::spawn(move || {
            // However it ends, both sides learn of it.
            io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Both).ok();
            from.shutdown(Shutdown::Both).ok();
        });
    }
    Ok(())
}
