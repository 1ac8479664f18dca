//! Says in words why a command could not be started.

use std::fs;
use std::io;
use std::path::Path;

use longshore_domain::job::CommandSpec;
use rustix::fs::{Access, access};
use rustix::io::Errno;

/// Why a command could not be started.
#[derive(Debug)]
pub(super) struct Problem {
    /// A sentence without a full stop.
    pub(super) text: String,
    /// There is no such program.
    pub(super) program_missing: bool,
}

impl Problem {
    fn missing(text: String) -> Self {
        Self { text, program_missing: true }
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, program_missing: false }
    }
}

/// Why the working directory cannot be used; `None` if it can.
pub(super) fn directory_problem(cwd: &str) -> Option<String> {
    match fs::metadata(cwd) {
        Ok(found) if !found.is_dir() => Some(format!("the working directory `{cwd}` is not a directory")),
        Ok(_) if access(cwd, Access::EXEC_OK).is_err() => {
            Some(format!("the working directory `{cwd}` may not be entered: permission denied"))
        }
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("the directory `{cwd}` does not exist")),
        Err(error) => Some(format!("the working directory `{cwd}` cannot be used: {error}")),
    }
}

/// No folder of the PATH has the program.
pub(super) fn not_on_path(program: &str, spec: &CommandSpec) -> Problem {
    Problem::missing(match spec.env.get("PATH") {
        Some(path) => format!("there is no program `{program}` on the PATH ({path})"),
        None => format!("there is no program `{program}`: the command's environment has no PATH to search"),
    })
}

/// The program that was found may not be run.
pub(super) fn not_executable(path: &Path) -> String {
    format!("`{}` is not executable: permission denied", path.display())
}

/// Why the system refused to start a program that is at `path`, which is taken from the working directory.
pub(super) fn refusal(path: &Path, spec: &CommandSpec, error: &io::Error) -> Problem {
    if let Some(problem) = directory_problem(&spec.cwd) {
        return problem.into();
    }
    let file = Path::new(&spec.cwd).join(path);
    let shown = path.display();
    let text = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) if file.exists() => {
            format!("`{shown}` needs an interpreter or loader that does not exist (see its first line)")
        }
        Some(Errno::NOENT) if path.is_absolute() => return Problem::missing(format!("there is no program `{shown}`")),
        Some(Errno::NOENT) => return Problem::missing(format!("there is no program `{shown}` in `{}`", spec.cwd)),
        Some(Errno::ACCESS) if file.is_dir() => format!("`{shown}` is a directory, not a program"),
        Some(Errno::ACCESS) => not_executable(path),
        Some(Errno::TOOBIG) => "the argument list is too long: arguments and environment together are more than this \
             system passes to a program"
            .into(),
        Some(Errno::NOEXEC) => {
            format!(
                "`{shown}` is not a program that this machine can run (exec format error); a script needs a `#!` line"
            )
        }
        _ => format!("`{shown}` could not be started: {error}"),
    };
    text.into()
}

/// Whether the machine is short of something at present, so that the command itself is not at fault.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE))
}
