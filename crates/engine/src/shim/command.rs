//! Starts the command of an attempt.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use longshore_domain::job::{CommandSpec, OutputMode, ProcessIdentity};
use rustix::fs::{Access, access};
use rustix::process::{Resource, Rlimit, nice, setrlimit};

use super::cgroup::{self, Leaf};
use super::explain;
use super::layout::Stream;
use super::tree;
use super::wire::{ATTEMPT_VARIABLE, AttemptPlan, JOB_VARIABLE, MARK_VARIABLE};

/// Size of the pipe of a command that prints much; what a user may ask for on Linux by default.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1024 * 1024;

/// A command that runs.
pub(super) struct RunningCommand {
    pub(super) process: ProcessIdentity,
    pub(super) outputs: Vec<Output>,
    pub(super) leaf: Option<Leaf>,
}

/// The reading end of a pipe that the command writes to.
pub(super) struct Output {
    pub(super) pipe: OwnedFd,
    pub(super) stream: Stream,
    enlarged: bool,
}

/// Why a command does not run.
pub(super) enum StartError {
    /// It never can, as it stands.
    Command(explain::Problem),
    /// The machine could not just now.
    Machine(String),
}

/// A pipe whose ends no other program inherits.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Starts the command in a process group of its own, with nothing to read and exactly the environment of its plan.
///
/// Standard input of this process must be `/dev/null`: the command inherits it.
pub(super) fn start(plan: &AttemptPlan, cgroups: Option<&Path>) -> Result<RunningCommand, StartError> {
    let spec = &plan.spec;
    let (program, arguments) = program(spec)?;
    let mut command = Command::new(&program);
    command.arg0(arguments.0).args(arguments.1).current_dir(&spec.cwd).process_group(0);
    command.env_clear().envs(&spec.env);
    command.env(JOB_VARIABLE, plan.job.to_string());
    command.env(ATTEMPT_VARIABLE, plan.attempt.to_string());
    command.env(MARK_VARIABLE, plan.nonce.to_string());
    let outputs = connect(&mut command, spec.output).map_err(machine)?;
    let leaf = cgroups.map(|parent| cgroup::leaf(parent, plan.job, plan.attempt));
    let leaf = leaf.and_then(|path| Leaf::make(path, &spec.limits));
    limit(&mut command, spec, leaf.as_ref()).map_err(machine)?;
    match command.spawn() {
        Ok(child) => {
            let process = tree::identify(child.id());
            let process = process.unwrap_or(ProcessIdentity { pid: child.id(), started_ticks: 0 });
            Ok(RunningCommand { process, outputs, leaf })
        }
        Err(error) => {
            leaf.into_iter().for_each(Leaf::remove);
            Err(refused(&program, spec, &error))
        }
    }
}

/// Has the libraries find out what they need to start programs, by a start that fails.
pub(super) fn rehearse() {
    drop(Command::new("/").arg0("rehearsal").current_dir("/").process_group(0).spawn());
}

fn machine(error: io::Error) -> StartError {
    StartError::Machine(format!("the machine refused to start another process: {error}"))
}

fn refused(program: &Path, spec: &CommandSpec, error: &io::Error) -> StartError {
    let limited = spec.limits.memory_bytes.is_some() || spec.limits.processes.is_some();
    match (explain::is_shortage(error), limited) {
        (true, false) => StartError::Machine(format!("the machine refused to start another process: {error}")),
        (true, true) => StartError::Command(format!("its own limits leave it no room to start: {error}").into()),
        (false, _) => StartError::Command(explain::refusal(program, spec, error)),
    }
}

type Arguments<'a> = (&'a str, Vec<&'a str>);

/// The file to execute, and the arguments with the name by which it is called.
fn program(spec: &CommandSpec) -> Result<(PathBuf, Arguments<'_>), StartError> {
    let Some((name, rest)) = spec.argv.split_first() else {
        return Err(StartError::Command("the command is empty".to_owned().into()));
    };
    if spec.shell {
        return Ok(("/bin/sh".into(), ("sh", vec!["-c", name])));
    }
    let rest = rest.iter().map(String::as_str).collect();
    if name.contains('/') {
        return Ok((name.into(), (name, rest)));
    }
    Ok((search(name, spec)?, (name, rest)))
}

/// Looks a program up on the command's own PATH, not on ours.
fn search(name: &str, spec: &CommandSpec) -> Result<PathBuf, StartError> {
    let mut denied = None;
    for folder in spec.env.get("PATH").into_iter().flat_map(|path| path.split(':')) {
        let file = Path::new(&spec.cwd).join(folder).join(name);
        if !file.is_file() {
            continue;
        }
        if access(&file, Access::EXEC_OK).is_ok() {
            return Ok(file);
        }
        denied = denied.or(Some(file));
    }
    let problem = match (explain::directory_problem(&spec.cwd), denied) {
        (Some(problem), _) => problem.into(),
        (None, Some(file)) => explain::not_executable(&file).into(),
        (None, None) => explain::not_on_path(name, spec),
    };
    Err(StartError::Command(problem))
}

fn connect(command: &mut Command, mode: OutputMode) -> io::Result<Vec<Output>> {
    let (reader, writer) = pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let mut outputs = vec![];
    match mode {
        OutputMode::Merged => {
            outputs.push(Output::new(reader, Stream::Merged));
            command.stderr(Stdio::from(writer.try_clone()?));
        }
        OutputMode::Split => {
            let (error_reader, error_writer) = pipe()?;
            rustix::io::ioctl_fionbio(&error_reader, true)?;
            outputs.push(Output::new(reader, Stream::Stdout));
            outputs.push(Output::new(error_reader, Stream::Stderr));
            command.stderr(Stdio::from(error_writer));
        }
    }
    command.stdout(Stdio::from(writer)).stdin(Stdio::inherit());
    Ok(outputs)
}

/// Has the command join its cgroup and set its limits before it begins. Costs a fork, so only if there is need.
///
/// A cgroup that the kernel lets nobody join limits nothing: then each process is limited alone.
fn limit(command: &mut Command, spec: &CommandSpec, leaf: Option<&Leaf>) -> io::Result<()> {
    let limits = spec.limits.clone();
    let niceness = limits.nice.unwrap_or(0);
    if limits.memory_bytes.is_none() && limits.processes.is_none() && niceness == 0 && leaf.is_none() {
        return Ok(());
    }
    let entrance = leaf.map(|leaf| std::fs::OpenOptions::new().write(true).open(leaf.entrance())).transpose()?;
    let (limits_memory, limits_processes) =
        leaf.map_or((false, false), |leaf| (leaf.limits_memory, leaf.limits_processes));
    before_exec(command, move || {
        let joined = entrance.as_ref().is_some_and(|entrance| rustix::io::write(entrance, b"0").is_ok());
        if niceness > 0 {
            nice(i32::from(niceness))?;
        }
        cap(Resource::As, limits.memory_bytes.filter(|_| !(joined && limits_memory)))?;
        cap(Resource::Nproc, limits.processes.filter(|_| !(joined && limits_processes)))
    });
    Ok(())
}

fn cap(resource: Resource, limit: Option<u64>) -> io::Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    Ok(setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?)
}

#[expect(unsafe_code, reason = "limits must be set in the new process, before its program begins")]
fn before_exec(command: &mut Command, prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: the shim has one thread, and the closures passed here only make system calls.
    unsafe { command.pre_exec(prepare) };
}

impl Output {
    fn new(pipe: OwnedFd, stream: Stream) -> Self {
        Self { pipe, stream, enlarged: false }
    }

    /// Makes room for a command that prints much. The system may allow less, and elsewhere pipes have one size.
    pub(super) fn enlarge(&mut self) {
        if !self.enlarged {
            self.enlarged = true;
            #[cfg(target_os = "linux")]
            rustix::pipe::fcntl_setpipe_size(&self.pipe, PIPE_BYTES).ok();
        }
    }
}
