//! The shim: owns one running command, and needs nobody to bring it to its end.
//!
//! Everything here is synchronous and runs in processes of its own, apart from the daemon: the [`spawner`] makes shims
//! by `fork`, each shim runs one attempt. What both sides must agree on — messages, file names, the layout of output
//! files — is in [`wire`] and [`layout`]. How the daemon talks to shims is in [`crate::process`].
//!
//! On Linux a command's whole tree is found and stopped, however it detached itself. Elsewhere only its process group
//! is: there is no way to adopt orphans, and no `/proc`.

mod attempt;
pub(crate) mod cgroup;
mod command;
mod conclude;
pub(crate) mod door;
mod ending;
mod explain;
pub(crate) mod frames;
mod index;
pub mod layout;
mod newlines;
mod news;
mod peers;
pub mod progress;
mod record;
mod recorder;
pub mod spawner;
mod sys;
mod time;
pub(crate) mod tree;
mod watch;
pub mod wire;

pub use spawner::run_spawner;
pub use sys::let_go_of_code;
