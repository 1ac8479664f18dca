//! One attempt, from the request to the durable record of its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use longshore_domain::job::AttemptReport;
use rustix::event::PollFlags;
use rustix::fs::{AtFlags, unlinkat};

use super::cgroup::Leaf;
use super::command::{self, Output, RunningCommand, StartError};
use super::conclude::Conclusion;
use super::door::Door;
use super::ending::{Due, Ending};
use super::news::{Audience, News};
use super::peers::Peers;
use super::recorder::Recorder;
use super::sys::{self, EndedChild, Reaped};
use super::time::{Steady, steady, wall};
use super::watch::{Alarm, wait};
use super::wire::{AttemptPlan, FromShim, Hello, PROTOCOL, Started, ToShim, to_line};

/// Most bytes taken from a pipe at once.
const READ_BYTES: usize = 256 * 1024;
/// The same until a command has printed so much at once.
const SMALL_READ_BYTES: usize = 4 * 1024;
/// Most reads from one pipe before others get their turn.
const READS_MAX: usize = 8;
/// A command that runs for so long is likely to run on; until then what its start needed is kept at hand.
const SETTLED_AFTER: Duration = Duration::from_millis(250);
/// Pause before the door is tried again that the system did not let open.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Where shims work: it is their current directory as well.
pub(super) struct Place {
    pub(super) run_dir: OwnedFd,
    pub(super) cgroups: Option<PathBuf>,
}

/// A process that is ready to run one attempt.
pub(super) struct Shim {
    place: Place,
    /// The spawner's lock. Whoever waits for it may trust that no attempt without a trace will ever begin.
    lock: OwnedFd,
    wake: OwnedFd,
}

impl Shim {
    /// Makes this process a shim.
    ///
    /// # Errors
    /// If the system refuses; then nothing can be run here.
    pub(super) fn new(place: Place, lock: OwnedFd) -> io::Result<Self> {
        rustix::process::setsid()?;
        sys::adopt_orphans()?;
        Ok(Self { place, lock, wake: sys::watch_children()? })
    }

    /// Runs the attempt that a request describes. `socket` leads to the daemon that wants it.
    pub(super) fn run(self, request: &[u8], socket: OwnedFd) {
        let Self { place, lock, wake } = self;
        let peers = Peers::new(socket);
        let plan: AttemptPlan = match serde_json::from_slice(request) {
            Ok(plan) => plan,
            Err(error) => return refuse(peers, format!("the shim does not understand the request: {error}")),
        };
        let door = match Door::leave_trace(&place.run_dir, plan.number, plan.attempt) {
            Ok(door) => door,
            Err(error) => return refuse(peers, format!("the shim could not set itself up: {error}")),
        };
        drop(lock);
        begin(plan, peers, door, wake, &place);
    }
}

fn refuse(mut peers: Peers, reason: String) {
    peers.tell_all(&to_line(&FromShim::Refused { reason }));
}

fn begin(plan: AttemptPlan, peers: Peers, door: Door, wake: OwnedFd, place: &Place) {
    let (at, started) = (wall(), steady());
    match command::start(&plan, place.cgroups.as_deref()) {
        Ok(command) => {
            let attempt = Attempt::new(plan, peers, door, wake, command, Start { at, steady: started });
            attempt.run(place);
        }
        Err(StartError::Machine(reason)) => {
            unlinkat(&place.run_dir, door.name(), AtFlags::empty()).ok();
            refuse(peers, reason);
        }
        Err(StartError::Command(problem)) => {
            let report = AttemptReport {
                spawn_error: Some(problem.text),
                program_missing: problem.program_missing,
                started_at: at,
                finished_at: wall(),
                ran: steady().saturating_sub(started),
                ..AttemptReport::default()
            };
            let greeting = to_line(&FromShim::Hello(hello(&plan)));
            Conclusion { place, plan: &plan, peers, door, greeting }.conclude(&report);
        }
    }
}

fn hello(plan: &AttemptPlan) -> Hello {
    Hello { protocol: PROTOCOL, job: plan.job, attempt: plan.attempt, nonce: plan.nonce, pid: std::process::id() }
}

#[derive(Clone, Copy)]
struct Start {
    at: longshore_domain::Timestamp,
    steady: Steady,
}

struct End {
    child: EndedChild,
    at: longshore_domain::Timestamp,
    steady: Steady,
}

/// An attempt whose command was started.
struct Attempt {
    plan: AttemptPlan,
    peers: Peers,
    door: Door,
    wake: OwnedFd,
    outputs: Vec<Output>,
    leaf: Option<Leaf>,
    start: Start,
    started: Started,
    recorder: Recorder,
    news: News,
    ending: Ending,
    alarm: Alarm,
    buffer: Vec<u8>,
    has_children: bool,
    end: Option<End>,
    /// When what the start needed is let go.
    settles_at: Option<Steady>,
}

impl Attempt {
    fn new(plan: AttemptPlan, peers: Peers, door: Door, wake: OwnedFd, command: RunningCommand, start: Start) -> Self {
        let deadlines = &plan.spec.deadlines;
        let started = Started {
            process: command.process.clone(),
            at: start.at,
            deadline_at: deadlines.hard.map(|hard| start.at.plus(hard)),
        };
        Self {
            recorder: Recorder::new(plan.output_path.clone(), plan.spec.limits.output_bytes_max),
            ending: Ending::new(command.process, deadlines, start.steady),
            plan,
            peers,
            door,
            wake,
            outputs: command.outputs,
            leaf: command.leaf,
            start,
            started,
            news: News::default(),
            alarm: Alarm::default(),
            buffer: vec![],
            has_children: true,
            end: None,
            settles_at: Some(start.steady + SETTLED_AFTER),
        }
    }

    fn run(mut self, place: &Place) {
        self.peers.tell_all(&to_line(&FromShim::Started(self.started.clone())));
        while !self.is_over() {
            self.turn(place);
        }
        let greeting = self.greeting();
        let Self { plan, peers, door, leaf, recorder, ending, outputs, start, has_children, end, .. } = self;
        let report = report(start, end, &ending, recorder.finish(!outputs.is_empty()));
        let memory_ran_out = leaf.as_ref().is_some_and(Leaf::memory_ran_out);
        let processes_ran_out = leaf.as_ref().is_some_and(Leaf::processes_ran_out);
        let leftovers = ending.leftovers(!has_children);
        let report = AttemptReport { leftovers, memory_ran_out, processes_ran_out, ..report };
        leaf.into_iter().for_each(Leaf::remove);
        Conclusion { place, plan: &plan, peers, door, greeting }.conclude(&report);
    }

    fn is_over(&self) -> bool {
        let quiet = !self.has_children && self.outputs.is_empty();
        self.end.is_some()
            && (quiet || {
                let now = steady();
                (!self.has_children && self.ending.patience_over(now)) || self.ending.given_up(now)
            })
    }

    /// Does what is due, sleeps until something happens, and sees to it.
    fn turn(&mut self, place: &Place) {
        let now = steady();
        if self.peers.is_empty() {
            self.door.open(&place.run_dir);
        }
        if self.ending.tick(now) == Due::KillAll
            && let Some(leaf) = &self.leaf
        {
            leaf.kill();
        }
        self.announce(now);
        if self.settles_at.take_if(|at| *at <= now).is_some() {
            sys::let_go_of_code();
        }
        self.alarm.set(self.ending.deadline());
        let ready = self.sleep();
        let has = |at: usize, flags: PollFlags| ready.get(at).is_some_and(|found| found.intersects(flags));
        let any = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        if has(0, any) {
            self.reap();
        }
        let first_peer = 3 + self.outputs.len();
        if (3..first_peer).any(|at| has(at, any)) {
            self.read_outputs();
        }
        if (first_peer..ready.len()).any(|at| has(at, any | PollFlags::OUT)) {
            self.exchange();
        }
        if has(1, any) {
            let greeting = self.greeting();
            self.peers.accept(self.door.listener(), &greeting);
        }
    }

    fn sleep<'a>(&'a self) -> Vec<PollFlags> {
        let interest = |descriptor: Option<BorrowedFd<'a>>| match descriptor {
            Some(descriptor) => (descriptor, PollFlags::IN),
            None => (self.wake.as_fd(), PollFlags::empty()),
        };
        let mut interests = vec![
            interest(Some(self.wake.as_fd())),
            interest(self.door.listener().map(AsFd::as_fd)),
            interest(self.alarm.descriptor()),
        ];
        interests.extend(self.outputs.iter().map(|output| (output.pipe.as_fd(), PollFlags::IN)));
        interests.extend(self.peers.interests());
        let news = self.news.next_at(self.peers.any_follows()).filter(|_| !self.peers.is_empty());
        let patience = self.end.as_ref().map(|end| end.steady + super::ending::PATIENCE);
        let patience = patience.filter(|_| !self.has_children);
        let shut = self.peers.is_empty() && self.door.listener().is_none();
        let knock = shut.then(|| steady() + OPEN_AGAIN);
        let until = [self.ending.next_at(), self.alarm.timeout(), news, patience, knock, self.settles_at]
            .into_iter()
            .flatten()
            .min();
        wait(&interests, until)
    }

    fn reap(&mut self) {
        let mut told = [0; 16];
        rustix::io::read(&self.wake, &mut told).ok();
        loop {
            match sys::reap() {
                Reaped::Child(child) if child.pid == self.started.process.pid && self.end.is_none() => {
                    self.end = Some(End { child, at: wall(), steady: steady() });
                    self.ending.exited(steady());
                }
                Reaped::Child(_) => {}
                Reaped::NoneEnded => return self.read_outputs(),
                Reaped::NoChildren => {
                    self.has_children = false;
                    return self.read_outputs();
                }
            }
        }
    }

    /// Takes what is in the pipes, without waiting; forgets pipes that nobody holds any more.
    fn read_outputs(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.retain_mut(|output| !self.read_output(output));
        self.outputs = outputs;
    }

    /// Reads one pipe; whether it is at its end.
    fn read_output(&mut self, output: &mut Output) -> bool {
        let now = steady();
        for _ in 0..READS_MAX {
            // Most commands print little: the large buffer is made for one that fills the small one.
            let mut small = [0; SMALL_READ_BYTES];
            let is_small = self.buffer.is_empty();
            let space = if is_small { &mut small[..] } else { &mut self.buffer[..] };
            let length = match rustix::io::read(&output.pipe, &mut *space) {
                Ok(0) => return true,
                Ok(length) => length,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => return false,
                Err(_) => return true,
            };
            self.recorder.take(&space[..length], output.stream, now, wall);
            self.news.printed(&space[..length]);
            if length >= SMALL_READ_BYTES {
                output.enlarge();
                self.buffer.resize(READ_BYTES, 0);
            }
        }
        false
    }

    fn exchange(&mut self) {
        for order in self.peers.exchange() {
            match order {
                ToShim::Stop { kill } => {
                    self.reap();
                    self.ending.order_stop(kill, steady());
                }
                ToShim::Follow { on } if on && self.recorder.total() > 0 => self.news.repeat(),
                ToShim::Follow { .. } => {}
            }
        }
    }

    fn announce(&mut self, now: Steady) {
        if self.peers.is_empty() {
            return;
        }
        let audience = self.news.due(now, self.peers.any_follows());
        let Some(audience) = audience else { return };
        let line = self.output_line(now);
        match audience {
            Audience::Followers => self.peers.tell_followers(&line),
            Audience::Everybody => self.peers.tell_all(&line),
        }
    }

    fn output_line(&mut self, now: Steady) -> Vec<u8> {
        let progress = self.news.progress(now).cloned();
        to_line(&FromShim::Output { total: self.recorder.total(), progress })
    }

    /// What somebody who connects is told first.
    fn greeting(&mut self) -> Vec<u8> {
        let mut greeting = to_line(&FromShim::Hello(hello(&self.plan)));
        greeting.extend(to_line(&FromShim::Started(self.started.clone())));
        if self.recorder.total() > 0 {
            greeting.extend(self.output_line(steady()));
        }
        greeting
    }
}

fn report(
    start: Start,
    end: Option<End>,
    ending: &Ending,
    output: longshore_domain::job::OutputFacts,
) -> AttemptReport {
    let Some(End { child, at, steady }) = end else { return AttemptReport::default() };
    AttemptReport {
        exit_code: child.exit_code,
        signal: child.signal,
        spawn_error: None,
        end: None,
        program_missing: false,
        deadline_passed: ending.deadline_passed(),
        stopped: ending.stop_ordered(),
        started_at: start.at,
        finished_at: at,
        ran: steady.saturating_sub(start.steady),
        output,
        leftovers: vec![],
        memory_ran_out: false,
        processes_ran_out: false,
        usage: child.usage,
    }
}
