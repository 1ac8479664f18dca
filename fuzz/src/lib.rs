//! What arbitrary bytes must not be able to do to the MCP server. Each target is one function over bytes that panics
//! when a promise is broken; who calls it (libFuzzer, or `replay`) is no matter of its.

pub mod answer;
pub mod envelope;
pub mod header;
pub mod http;
pub mod request_state;
pub mod world;

/// A target.
pub struct Target {
    /// Its name, that of its folder in `corpus/`, too.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub check: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 4] = [
    Target { name: "envelope", check: envelope::check },
    Target { name: "header", check: header::check },
    Target { name: "request_state", check: request_state::check },
    Target { name: "http", check: http::check },
];

/// The binary that libFuzzer drives for the target of that name.
#[cfg(feature = "libfuzzer")]
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(init: $crate::world::become_spawner(), |data: &[u8]| $crate::$name::check(data));
    };
}
