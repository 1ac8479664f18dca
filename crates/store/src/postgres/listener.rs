//! Hearing of what other processes change: notifications as the hint, a look now and then as the guarantee.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::id::EventSeq;
use tokio::sync::{mpsc, watch};

use super::errors::Attempted;
use super::node::Node;
use super::queries;
use super::session::Session;

/// A change whose notification was lost is seen after so long.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Moves `mark` on whenever another process may have changed something, until nobody holds `alive` any more.
pub(super) async fn serve(node: Arc<Node>, mark: watch::Sender<u64>, mut alive: watch::Receiver<()>) {
    tokio::select! {
        // Nothing is ever sent: it only ends.
        _ = alive.changed() => {}
        () = listen(&node, &mark) => {}
    }
}

async fn listen(node: &Node, mark: &watch::Sender<u64>) {
    let mut pause = PAUSE_FIRST;
    loop {
        match node.connector.listen(&node.channel, &node.tag).await {
            Ok((session, hearing)) => {
                pause = PAUSE_FIRST;
                // Whatever happened while nobody listened.
                mark.send_modify(|mark| *mark += 1);
                if let Err(error) = hear(&session, hearing, mark).await {
                    tracing::warn!(%error, "listening to the database is interrupted");
                }
            }
            Err(error) => tracing::warn!(%error, "the database cannot be listened to"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Returns once the connection has ended.
async fn hear(session: &Session, mut hearing: mpsc::Receiver<()>, mark: &watch::Sender<u64>) -> Attempted<()> {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut seen = EventSeq(0);
    loop {
        tokio::select! {
            heard = hearing.recv() => match heard {
                Some(()) => mark.send_modify(|mark| *mark += 1),
                None => return Ok(()),
            },
            _ = looks.tick() => {
                let newest = queries::last_event(session).await?;
                if std::mem::replace(&mut seen, newest) != newest {
                    mark.send_modify(|mark| *mark += 1);
                }
            }
        }
    }
}
