//! The last steps of a shim: the durable record, then the news, then nothing is left of it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use longshore_domain::job::AttemptReport;
use rustix::event::PollFlags;
use rustix::fs::{AtFlags, accessat, unlinkat};

use super::attempt::Place;
use super::peers::Peers;
use super::record;
use super::time::{Steady, steady};
use super::watch::wait;
use super::wire::{AttemptPlan, FromShim, socket_name, to_line};

/// How long to try to write the record, on a full disk say.
const TRY_FOR: Duration = Duration::from_secs(600);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a daemon may leave the last message unread before the shim goes; the record tells it all.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Makes the end durable and tells it. Daemons hear of it before it is durable only if the disk refuses.
pub(super) fn conclude(
    place: &Place,
    plan: &AttemptPlan,
    peers: &mut Peers,
    listener: &OwnedFd,
    mut greeting: Vec<u8>,
    report: &AttemptReport,
) {
    let ended = to_line(&FromShim::Ended(report.clone()));
    let name = socket_name(plan.number, plan.attempt);
    let mut written = record::write(&place.run_dir, plan, report).is_ok();
    peers.tell_all(&ended);
    greeting.extend_from_slice(&ended);
    let give_up_at = steady() + TRY_FOR;
    let mut pause = PAUSE_MIN;
    while !written && steady() < give_up_at && !is_settled(place, &name) {
        serve(peers, listener, &greeting, steady() + pause);
        pause = (pause * 2).min(PAUSE_MAX);
        written = record::write(&place.run_dir, plan, report).is_ok();
    }
    if written {
        // Gone already if the daemon was quick.
        unlinkat(&place.run_dir, &name, AtFlags::empty()).ok();
    }
    peers.flush(FLUSH_PATIENCE);
}

/// Whether a daemon has taken over the end and removed the traces.
fn is_settled(place: &Place, name: &str) -> bool {
    use rustix::fs::Access;
    accessat(&place.run_dir, name, Access::EXISTS, AtFlags::empty()) == Err(rustix::io::Errno::NOENT)
}

/// Stays connectable for a while.
fn serve(peers: &mut Peers, listener: &OwnedFd, greeting: &[u8], until: Steady) {
    while steady() < until {
        let mut interests = vec![(listener.as_fd(), PollFlags::IN)];
        interests.extend(peers.interests());
        let ready = wait(&interests, Some(until));
        if ready.iter().skip(1).any(|flags| !flags.is_empty()) {
            peers.exchange();
        }
        if ready.first().is_some_and(|flags| !flags.is_empty()) {
            peers.accept(listener, greeting);
        }
    }
}
