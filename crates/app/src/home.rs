//! The folder that holds everything of one installation, and the secrets in it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use longshore_domain::NodeId;
use longshore_domain::fault::{Fault, FaultCode};
use longshore_engine::Clock;

use crate::config::environment;
use crate::daemon::machine;
use crate::problem::file_failed;

/// Nobody but the owner may enter.
const FOLDER_MODE: u32 = 0o700;
/// Nobody but the owner may read.
const SECRET_MODE: u32 = 0o600;

/// The folder of one installation: `LONGSHORE_HOME`, or `.longshore` in the user's home.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
    is_default: bool,
}

impl Home {
    /// The home that the environment names. Nothing is made yet.
    ///
    /// # Errors
    /// `config_invalid` if there is neither `LONGSHORE_HOME` nor `HOME`, or the path is not absolute.
    pub(crate) fn find() -> Result<Self, Fault> {
        let usual = environment::path("HOME").filter(|home| home.is_absolute()).map(|home| home.join(".longshore"));
        match (environment::path("LONGSHORE_HOME"), usual) {
            (Some(root), _) if !root.is_absolute() => {
                Err(Fault::new(FaultCode::ConfigInvalid, "`LONGSHORE_HOME` is not an absolute path")
                    .next("set it to a path that begins with `/`"))
            }
            (Some(root), usual) => Ok(Self { is_default: usual.as_ref() == Some(&root), root }),
            (None, Some(root)) => Ok(Self { root, is_default: true }),
            (None, None) => Err(Fault::new(FaultCode::ConfigInvalid, "there is no home for Longshore")
                .why("neither `LONGSHORE_HOME` nor `HOME` is set")
                .next("set `LONGSHORE_HOME` to an absolute path")),
        }
    }

    /// The home at `root`, which is not the usual one.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.into(), is_default: false }
    }

    /// Makes the folders that are missing; nobody else may enter them.
    ///
    /// # Errors
    /// `file_failed`.
    pub(crate) fn prepare(&self) -> Result<(), Fault> {
        let parts = ["run", "data", "output", "archive", "log"].map(|part| self.root.join(part));
        for folder in std::iter::once(&self.root).chain(&parts) {
            let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
            made.map_err(|error| file_failed(folder, "made", &error))?;
        }
        let permissions = std::fs::Permissions::from_mode(FOLDER_MODE);
        std::fs::set_permissions(&self.root, permissions).map_err(|error| file_failed(&self.root, "protected", &error))
    }

    /// Whether it is the home of a user who named none.
    pub(crate) fn is_default(&self) -> bool {
        self.is_default
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder of the home by its name within it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Socket of the daemon for bridges of the same user.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("run/mcp.sock")
    }

    /// Log of a daemon that was started in the background.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log/daemon.log")
    }

    /// The local token, made when it is first asked for: 64 hexadecimal digits.
    ///
    /// # Errors
    /// `file_failed`.
    pub(crate) fn token(&self) -> Result<String, Fault> {
        let text = self.secret("token", || format!("{}\n", random_hex()).into_bytes())?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// The key that signs what clients carry for us between requests: 32 bytes, made when first asked for.
    ///
    /// # Errors
    /// `file_failed`, also if the file has not 32 bytes.
    pub(crate) fn session_key(&self) -> Result<[u8; 32], Fault> {
        let path = self.file("session.key");
        let bytes = self.secret("session.key", || random_bytes().to_vec())?;
        <[u8; 32]>::try_from(bytes).map_err(|_| damaged(&path, "it has not 32 bytes"))
    }

    /// The name of this node, made when first asked for.
    ///
    /// # Errors
    /// `file_failed`, also if the file holds something else.
    pub(crate) fn node(&self, clock: &Clock) -> Result<NodeId, Fault> {
        let new = || format!("{}\n", NodeId::new(clock.now(), longshore_engine::clock::random())).into_bytes();
        let text = self.secret("node", new)?;
        let text = String::from_utf8_lossy(&text);
        text.trim().parse().map_err(|error| damaged(&self.file("node"), &format!("{error}")))
    }

    /// Tells this home from copies of it that have the same node's name: a copy is another file, or on another machine.
    /// The lock of the daemon sees to it that one process at a time serves the home itself.
    ///
    /// # Errors
    /// `file_failed`.
    pub(crate) fn incarnation(&self) -> Result<String, Fault> {
        let path = self.file("node");
        let found = std::fs::metadata(&path).map_err(|error| file_failed(&path, "read", &error))?;
        Ok(format!("{}:{}:{}", machine::boot(), found.dev(), found.ino()))
    }

    /// Reads a small file, or makes it. Of several that make it at once one wins and all get its contents.
    fn secret(&self, name: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, Fault> {
        let path = self.file(name);
        match std::fs::read(&path) {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(file_failed(&path, "read", &error)),
        }
        self.prepare()?;
        let draft = self.file(&format!("{name}.{}", random_hex()));
        write_secret(&draft, &make())?;
        let linked = std::fs::hard_link(&draft, &path);
        std::fs::remove_file(&draft).map_err(|error| file_failed(&draft, "removed", &error))?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(file_failed(&path, "made", &error)),
            _ => std::fs::read(&path).map_err(|error| file_failed(&path, "read", &error)),
        }
    }

    /// Replaces a small file as a whole: readers see the old contents or the new, never a part.
    ///
    /// # Errors
    /// `file_failed`; the old contents stay.
    pub(crate) fn replace(&self, name: &str, contents: &[u8]) -> Result<(), Fault> {
        let path = self.file(name);
        let draft = self.file(&format!("{name}.{}", random_hex()));
        write_secret(&draft, contents)?;
        std::fs::rename(&draft, &path).map_err(|error| file_failed(&path, "replaced", &error))
    }
}

fn damaged(path: &Path, why: &str) -> Fault {
    Fault::new(FaultCode::FileFailed, format!("{} is damaged", path.display()))
        .why(why)
        .next("remove the file; a new one is made at the next start")
}

fn write_secret(path: &Path, contents: &[u8]) -> Result<(), Fault> {
    let failed = |error| file_failed(path, "written", &error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(path).map_err(failed)?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(failed)
}

/// 256 bits from the operating system.
pub(crate) fn random_bytes() -> [u8; 32] {
    let halves = [longshore_engine::clock::random(), longshore_engine::clock::random()];
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&halves[0].to_le_bytes());
    bytes[16..].copy_from_slice(&halves[1].to_le_bytes());
    bytes
}

/// 256 random bits as 64 hexadecimal digits.
pub(crate) fn random_hex() -> String {
    hex(&random_bytes())
}

/// Bytes as hexadecimal digits in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
