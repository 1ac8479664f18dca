//! Bad things that happen to nodes and to their database, each of which is made good again.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use longshore_testkit::Dice;
use longshore_testkit::postgres::Server;
use rustix::process::Signal;

use crate::node::Node;

/// A sort of disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disturbance {
    /// A node is killed, and started again.
    Kill,
    /// A node stands still for longer than a lease.
    Pause,
    /// A node's connections to the database end, and no others come about.
    Cut,
    /// What a node and the database say to one another vanishes without a sign.
    Swallow,
    /// The database crashes, and is started again.
    Crash,
}

impl Disturbance {
    pub(crate) const ALL: [Self; 5] = [Self::Kill, Self::Pause, Self::Cut, Self::Swallow, Self::Crash];

    /// Each sort equally often, in an order that the dice choose.
    pub(crate) fn deal(dice: &mut Dice) -> Vec<Self> {
        let mut left = Self::ALL.to_vec();
        std::iter::from_fn(|| (!left.is_empty()).then(|| left.remove(dice.roll(left.len() as u64) as usize))).collect()
    }

    /// Does it to a node that the dice choose, and makes it good again. `lease` is how long a lease lasts.
    pub(crate) fn happen(self, nodes: &[Node], server: &Server, lease: Duration, dice: &mut Dice) -> Result<()> {
        pause(dice.roll(1_000));
        let node = &nodes[dice.roll(nodes.len() as u64) as usize];
        let long = lease.as_millis() as u64;
        crate::say(&match self {
            Self::Crash => self.to_string(),
            _ => format!("{} {self}", node.name),
        });
        match self {
            Self::Kill => {
                node.signal(Signal::KILL)?;
                pause(dice.roll(2 * long));
                node.up()?;
            }
            Self::Pause => {
                node.signal(Signal::STOP)?;
                // A node that is there and says nothing is waited for twice as long as its leases.
                pause(2 * long + dice.roll(long));
                node.signal(Signal::CONT)?;
            }
            Self::Cut => {
                node.line.cut();
                pause(dice.roll(3 * long));
                node.line.mend();
            }
            Self::Swallow => {
                node.line.swallow();
                pause(dice.roll(4 * long));
                node.line.mend();
            }
            Self::Crash => {
                server.crash();
                pause(dice.roll(long));
                server.go_on();
            }
        }
        Ok(())
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "is killed",
            Self::Pause => "stands still",
            Self::Cut => "is cut off from the database",
            Self::Swallow => "is not heard by the database, nor hears it",
            Self::Crash => "the database crashes",
        })
    }
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
