//! The connections of a shim. None of them can make it wait.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::sys::is_same_user;
use super::time::timespec;
use super::wire::{LINE_BYTES_MAX, ToShim};

/// Most connections at once: one daemon, and those of its tools that look in.
const PEERS_MAX: usize = 8;
/// A peer that leaves so much unread is dropped.
const UNSENT_BYTES_MAX: usize = 256 * 1024;

/// Whoever is connected to a shim.
pub(super) struct Peers {
    list: Vec<Peer>,
}

struct Peer {
    socket: OwnedFd,
    unsent: Vec<u8>,
    unread: Vec<u8>,
    follows: bool,
    broken: bool,
}

impl Peers {
    pub(super) fn new(first: OwnedFd) -> Self {
        let mut peers = Self { list: vec![] };
        peers.add(first);
        peers
    }

    fn add(&mut self, socket: OwnedFd) -> &mut Peer {
        self.list.push(Peer { socket, unsent: vec![], unread: vec![], follows: false, broken: false });
        let newest = self.list.len() - 1;
        &mut self.list[newest]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether anybody wants to be told of new output.
    pub(super) fn any_follows(&self) -> bool {
        self.list.iter().any(|peer| peer.follows)
    }

    /// What to wait for at each connection, in order.
    pub(super) fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.list.iter().map(|peer| {
            let writing = if peer.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            (peer.socket.as_fd(), PollFlags::IN | writing)
        })
    }

    /// Takes in one new connection of the same user, and greets it.
    pub(super) fn accept(&mut self, listener: Option<&UnixListener>, greeting: &[u8]) {
        if let Some(listener) = listener
            && let Ok((socket, _)) = listener.accept()
            && self.list.len() < PEERS_MAX
            && is_same_user(&socket)
        {
            self.add(socket.into()).say(greeting);
        }
    }

    /// Says something to everybody.
    pub(super) fn tell_all(&mut self, line: &[u8]) {
        self.list.iter_mut().for_each(|peer| peer.say(line));
        self.forget_broken();
    }

    /// Says something to those that follow and have read what was said before.
    pub(super) fn tell_followers(&mut self, line: &[u8]) {
        let followers = self.list.iter_mut().filter(|peer| peer.follows && peer.unsent.is_empty());
        followers.for_each(|peer| peer.say(line));
        self.forget_broken();
    }

    /// Reads from and writes to every connection what can be without waiting; the orders that came in.
    pub(super) fn exchange(&mut self) -> Vec<ToShim> {
        let mut orders = vec![];
        for peer in &mut self.list {
            peer.flush();
            peer.receive(&mut orders);
        }
        self.forget_broken();
        orders
    }

    /// Waits until everything said is on its way, but no longer than `patience` for any step.
    pub(super) fn flush(&mut self, patience: Duration) {
        loop {
            self.list.iter_mut().for_each(Peer::flush);
            self.list.retain(|peer| !peer.broken && !peer.unsent.is_empty());
            let mut waiting: Vec<PollFd<'_>> =
                self.list.iter().map(|peer| PollFd::new(&peer.socket, PollFlags::OUT)).collect();
            if waiting.is_empty() || !poll(&mut waiting, Some(&timespec(patience))).is_ok_and(|ready| ready > 0) {
                return;
            }
        }
    }

    fn forget_broken(&mut self) {
        self.list.retain(|peer| !peer.broken);
    }
}

impl Peer {
    fn say(&mut self, line: &[u8]) {
        self.unsent.extend_from_slice(line);
        self.flush();
        self.broken |= self.unsent.len() > UNSENT_BYTES_MAX;
    }

    fn flush(&mut self) {
        while !self.unsent.is_empty() && !self.broken {
            match send(&self.socket, &self.unsent, SendFlags::DONTWAIT) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => self.broken = true,
            }
        }
    }

    fn receive(&mut self, orders: &mut Vec<ToShim>) {
        let mut buffer = [0; 1024];
        while !self.broken {
            match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.broken = true,
                Ok((length, _)) => self.unread.extend_from_slice(&buffer[..length]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => self.broken = true,
            }
            self.broken |= self.unread.len() > LINE_BYTES_MAX;
            self.understand(orders);
        }
    }

    /// Takes the whole lines out of what was read. What is not understood is for shims of a later version.
    fn understand(&mut self, orders: &mut Vec<ToShim>) {
        while let Some(end) = memchr::memchr(b'\n', &self.unread) {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            let Ok(order) = serde_json::from_slice(&line) else { continue };
            if let ToShim::Follow { on } = order {
                self.follows = on;
            }
            orders.push(order);
        }
    }
}
