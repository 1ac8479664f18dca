//! A stretch of line between a store and its server on which answers get lost.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use longshore_testkit::postgres::Server;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// Passes on whatever is said, until it is told to lose something.
pub(super) struct Proxy {
    folder: TempDir,
    orders: Arc<Orders>,
}

#[derive(Default)]
struct Orders {
    lose_next_commit: AtomicBool,
    swallow_next_commit: AtomicBool,
    lost: AtomicU32,
    connections: AtomicU32,
    /// The last connection that is dead.
    dead_until: AtomicU32,
    cut: Notify,
}

const SOCKET: &str = ".s.PGSQL.5432";

impl Proxy {
    pub(super) async fn before(server: &Server) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let orders = Arc::<Orders>::default();
        let (real, shared) = (server.folder().join(SOCKET), Arc::clone(&orders));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                pass(near, &real, &shared).await;
            }
        });
        Self { folder, orders }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Cuts the next connection that ends a transaction, after the server has done so and before it is told.
    pub(super) fn lose_next_commit(&self) {
        self.orders.lose_next_commit.store(true, Ordering::SeqCst);
    }

    /// The same, but the connection stays, and nothing is ever said over it again.
    pub(super) fn swallow_next_commit(&self) {
        self.orders.swallow_next_commit.store(true, Ordering::SeqCst);
    }

    /// Whatever is said over the connections that there are vanishes from now on.
    pub(super) fn swallow(&self) {
        self.orders.dead_until.store(self.connections(), Ordering::SeqCst);
    }

    /// Ends the connections that there are.
    pub(super) fn cut(&self) {
        self.orders.cut.notify_waiters();
    }

    /// Connections so far.
    pub(super) fn connections(&self) -> u32 {
        self.orders.connections.load(Ordering::SeqCst)
    }

    /// How many answers were lost.
    pub(super) fn lost(&self) -> u32 {
        self.orders.lost.load(Ordering::SeqCst)
    }
}

async fn pass(near: UnixStream, real: &Path, orders: &Arc<Orders>) {
    let Ok(far) = UnixStream::connect(real).await else { return };
    let number = orders.connections.fetch_add(1, Ordering::SeqCst) + 1;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = there(near_read, far_write, number, Arc::clone(orders));
    let back = back(far_read, near_write, number, Arc::clone(orders));
    tokio::spawn(unless_cut(there, Arc::clone(orders)));
    tokio::spawn(unless_cut(back, Arc::clone(orders)));
}

async fn unless_cut(passing: impl Future<Output = ()>, orders: Arc<Orders>) {
    tokio::select! {
        () = passing => {}
        () = orders.cut.notified() => {}
    }
}

async fn there(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u32, orders: Arc<Orders>) {
    let mut bytes = vec![0; 1 << 20];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if orders.is_dead(number) {
            return swallow(from, to).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    if orders.is_dead(number) {
        swallow(from, to).await;
    }
}

async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u32, orders: Arc<Orders>) {
    let mut bytes = vec![0; 1 << 20];
    let mut in_transaction = false;
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let said = &bytes[..count];
        let ends = in_transaction && has(said, b'I');
        if ends && orders.lose_next_commit.swap(false, Ordering::SeqCst) {
            orders.lost.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if ends && orders.swallow_next_commit.swap(false, Ordering::SeqCst) {
            orders.lost.fetch_add(1, Ordering::SeqCst);
            return swallow(from, to).await;
        }
        if orders.is_dead(number) {
            return swallow(from, to).await;
        }
        in_transaction = !ends && (in_transaction || has(said, b'T'));
        if to.write_all(said).await.is_err() {
            return;
        }
    }
}

impl Orders {
    fn is_dead(&self, number: u32) -> bool {
        number <= self.dead_until.load(Ordering::SeqCst)
    }
}

/// Takes whatever comes, and tells the other side nothing, not even of the end.
async fn swallow(mut from: OwnedReadHalf, _to: OwnedWriteHalf) {
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await.ok();
    std::future::pending().await
}

/// Whether the server says that it is ready, with this status of the transaction.
fn has(said: &[u8], status: u8) -> bool {
    said.windows(6).any(|window| window == [b'Z', 0, 0, 0, 5, status])
}
