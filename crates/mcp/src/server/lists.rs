//! How a legacy session learns that its list of resources is another one.

use longshore_engine::ops::ListFollower;

use super::Sink;
use super::resources::LIST_CHANGED;

/// Tells a session when the list of its jobs changes, until nobody reads it any more.
pub(super) async fn tell(mut list: ListFollower, sink: Sink) {
    let told = format!(r#"{{"jsonrpc":"2.0","method":"{LIST_CHANGED}"}}"#);
    loop {
        let changed = tokio::select! {
            changed = list.changed() => changed,
            () = sink.closed() => return,
        };
        if let Err(fault) = changed {
            tracing::warn!(fault.code = %fault.code, "a session is not told of new jobs any more");
            return;
        }
        if sink.deliver(told.clone()).await.is_err() {
            return;
        }
    }
}
