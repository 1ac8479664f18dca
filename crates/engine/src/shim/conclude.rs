//! The last steps of a shim: the news of the end, the record of it unless a daemon stores it, then nothing is left.

use std::os::fd::AsFd;
use std::time::Duration;

use longshore_domain::job::AttemptReport;
use rustix::event::PollFlags;
use rustix::fs::{Access, AtFlags, accessat, unlinkat};

use super::attempt::Place;
use super::door::Door;
use super::peers::Peers;
use super::record;
use super::time::{Steady, steady};
use super::watch::wait;
use super::wire::{AttemptPlan, FromShim, record_name, to_line};

/// How long a connected daemon may take to store the end before the shim makes it durable itself.
const STORE_PATIENCE: Duration = Duration::from_millis(500);
/// How long to try to write the record, on a full disk say.
const TRY_FOR: Duration = Duration::from_secs(600);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a daemon may leave the last message unread before the shim goes; the record tells it all.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// A shim whose attempt is over.
pub(super) struct Conclusion<'a> {
    pub(super) place: &'a Place,
    pub(super) plan: &'a AttemptPlan,
    pub(super) peers: Peers,
    pub(super) door: Door,
    /// What somebody who connects is told first.
    pub(super) greeting: Vec<u8>,
}

impl Conclusion<'_> {
    /// Tells the end, and returns once it is durable: stored by a daemon, which then removes the trace, or on record.
    ///
    /// A daemon that is connected and quick saves the record and its syncs. One that goes away, or takes too long, does
    /// not: nothing but a power cut can then lose the end.
    pub(super) fn conclude(mut self, report: &AttemptReport) {
        let ended = to_line(&FromShim::Ended(report.clone()));
        self.peers.tell_all(&ended);
        self.greeting.extend_from_slice(&ended);
        let until = steady() + STORE_PATIENCE;
        while !self.peers.is_empty() && steady() < until && !self.is_stored() {
            self.turn(until);
        }
        if !self.is_stored() {
            self.put_on_record(report);
            self.peers.flush(FLUSH_PATIENCE);
        }
    }

    fn put_on_record(&mut self, report: &AttemptReport) {
        let give_up_at = steady() + TRY_FOR;
        let mut pause = PAUSE_MIN;
        while record::write(&self.place.run_dir, self.plan, report).is_err() {
            // A daemon that stores the end now removes what is being written, too.
            if self.is_stored() || steady() >= give_up_at {
                return;
            }
            self.serve(steady() + pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if self.is_stored() {
            // The daemon looked for a record to remove before this one was there.
            self.remove(&record_name(self.plan.number, self.plan.attempt));
        }
        self.remove(self.door.name());
    }

    /// Whether a daemon has stored the end and removed the traces.
    fn is_stored(&self) -> bool {
        let found = accessat(&self.place.run_dir, self.door.name(), Access::EXISTS, AtFlags::empty());
        found == Err(rustix::io::Errno::NOENT)
    }

    fn remove(&self, name: &str) {
        unlinkat(&self.place.run_dir, name, AtFlags::empty()).ok();
    }

    /// Stays connectable for a while.
    fn serve(&mut self, until: Steady) {
        self.door.open(&self.place.run_dir);
        while steady() < until {
            self.turn(until);
        }
    }

    /// Sleeps until somebody connects, says something or goes, and sees to it.
    fn turn(&mut self, until: Steady) {
        let mut interests: Vec<_> = self.peers.interests().collect();
        interests.extend(self.door.listener().map(|listener| (listener.as_fd(), PollFlags::IN)));
        let peers = self.peers.len();
        let ready = wait(&interests, Some(until));
        if ready.iter().take(peers).any(|flags| !flags.is_empty()) {
            self.peers.exchange();
        }
        if ready.iter().skip(peers).any(|flags| !flags.is_empty()) {
            self.peers.accept(self.door.listener(), &self.greeting);
        }
    }
}
