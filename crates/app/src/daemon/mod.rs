//! The daemon seen from outside: whether one runs, starting one, stopping it.

pub(crate) mod announce;
pub(crate) mod cgroup;
pub(crate) mod info;
pub(crate) mod lock;
pub(crate) mod logfile;
pub(crate) mod machine;
pub(crate) mod port_holder;
pub(crate) mod start;
pub(crate) mod stop;
