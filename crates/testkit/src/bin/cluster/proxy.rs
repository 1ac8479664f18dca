//! A stretch of line between one node and the database, which can be cut, and can swallow what is said.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// Name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";
const PIECE_BYTES: usize = 64 * 1024;

/// Passes on what a node and the server say, unless it is cut or swallows it.
pub(crate) struct Proxy {
    folder: PathBuf,
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    state: State,
    open: Vec<Connection>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Whole,
    Cut,
    Swallowing,
}

/// A connection that is passed on.
struct Connection {
    ends: [UnixStream; 2],
    /// What is said over it vanishes, for ever, and neither side hears of the other's end.
    dead: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens in `folder` for connections to the server whose socket is in `server`.
    pub(crate) fn before(server: &Path, folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let listener = UnixListener::bind(folder.join(SOCKET))?;
        let line = Arc::<Mutex<Line>>::default();
        let (real, shared) = (server.join(SOCKET), Arc::clone(&line));
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Whoever comes while it is cut, or while the server is down, is hung up on.
                drop(lock(&shared).take(near, &real));
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
        let mut line = lock(&self.line);
        line.state = State::Cut;
        for stream in line.open.drain(..).flat_map(|connection| connection.ends) {
            // It may have ended by itself.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Has whatever is said vanish without a sign: over the connections that there are for ever, and over new ones, which
    /// seem to come about, until [`Proxy::mend`].
    pub(crate) fn swallow(&self) {
        let mut line = lock(&self.line);
        line.state = State::Swallowing;
        line.open.drain(..).for_each(|connection| connection.dead.store(true, Ordering::SeqCst));
    }

    /// Lets new connections pass again.
    pub(crate) fn mend(&self) {
        lock(&self.line).state = State::Whole;
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn take(&mut self, mut near: UnixStream, real: &Path) -> io::Result<()> {
        match self.state {
            State::Whole => self.pass(near, UnixStream::connect(real)?),
            State::Cut => Ok(()),
            State::Swallowing => {
                std::thread::spawn(move || io::copy(&mut near, &mut io::sink()));
                Ok(())
            }
        }
    }

    fn pass(&mut self, near: UnixStream, far: UnixStream) -> io::Result<()> {
        let dead = Arc::new(AtomicBool::new(false));
        self.open.push(Connection { ends: [near.try_clone()?, far.try_clone()?], dead: Arc::clone(&dead) });
        let back = (far.try_clone()?, near.try_clone()?);
        for (from, to) in [(near, far), back] {
            let dead = Arc::clone(&dead);
            std::thread::spawn(move || pass_on(from, to, &dead));
        }
        Ok(())
    }
}

/// Passes on until one side ends, of which both learn unless the connection is dead.
fn pass_on(mut from: UnixStream, mut to: UnixStream, dead: &AtomicBool) {
    let is_dead = || dead.load(Ordering::SeqCst);
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if !is_dead() && to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    if !is_dead() {
        to.shutdown(Shutdown::Both).ok();
        from.shutdown(Shutdown::Both).ok();
    }
}
