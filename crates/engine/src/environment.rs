//! Which variables a command receives: an allow-list of its submitter's, fixed ones that keep programs from
//! waiting for a terminal, and those that were named.

use std::collections::BTreeMap;

use longshore_domain::job::CommandSpec;

/// Variables passed on from the submitter's environment when they are set there.
pub const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CARGO_TARGET_DIR",
    "GOPATH",
    "GOROOT",
    "GOCACHE",
    "GOMODCACHE",
    "JAVA_HOME",
    "MAVEN_HOME",
    "GRADLE_USER_HOME",
    "ANDROID_HOME",
    "NVM_DIR",
    "NVM_BIN",
    "NODE_PATH",
    "NPM_CONFIG_PREFIX",
    "PNPM_HOME",
    "BUN_INSTALL",
    "DENO_DIR",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYENV_ROOT",
    "UV_CACHE_DIR",
    "PIPX_HOME",
    "RBENV_ROOT",
    "GEM_HOME",
    "DOTNET_ROOT",
    "NIX_PATH",
    "NIX_PROFILES",
    "NIX_SSL_CERT_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "KUBECONFIG",
    "SSH_AUTH_SOCK",
    "CI",
];

/// Variables whose names begin so are passed on too.
pub const ALLOWED_PREFIXES: &[&str] = &["LC_"];

/// Set for every command unless named otherwise: no colours, no pagers, no prompts.
pub const FIXED: &[(&str, &str)] = &[
    ("TERM", "dumb"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("DEBIAN_FRONTEND", "noninteractive"),
];

/// The variables of `all` that a command may inherit, by the lists above and the configured `extra` names.
///
/// Doors call this where the submitter's environment is at hand, so that the rest never leaves that process.
pub fn inherited(all: impl IntoIterator<Item = (String, String)>, extra: &[String]) -> BTreeMap<String, String> {
    let allowed = |name: &str| {
        ALLOWED.contains(&name)
            || ALLOWED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || extra.iter().any(|other| other == name)
    };
    all.into_iter().filter(|(name, _)| allowed(name) && !CommandSpec::refuses_variable(name)).collect()
}

/// The whole environment of a command: inherited, then fixed, then named; later ones win.
pub fn complete(inherited: &BTreeMap<String, String>, named: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut env = inherited.clone();
    env.extend(FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    env.extend(named.clone());
    env.entry("PATH".into()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".into());
    env
}
