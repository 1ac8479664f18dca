//! Development only. The crash test is the binary `crash`; the workspace's own rules are held by `tests/rules.rs`.
