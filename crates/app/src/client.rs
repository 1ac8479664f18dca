//! Speaks to the daemon. Survives its restart: what can be repeated is repeated for a while.

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use longshore_domain::fault::{Fault, FaultCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, Method, Request};

use crate::daemon::info::DaemonInfo;
use crate::daemon::start::{ensure_running, running};
use crate::home::Home;
use crate::http::wire::{FaultBody, JobsBody};

/// Longest wait that is asked of the server in one request.
pub(crate) const LEG: Duration = Duration::from_secs(25);
/// Longest wait for an answer beyond what was asked for.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a daemon that has gone away is looked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// First pause before looking again; doubles each time.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Largest answer that is taken.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A line to the daemon of one home.
pub(crate) struct Client {
    home: Home,
    token: String,
    base: Mutex<String>,
    agent: ureq::Agent,
}

/// An answer that is not JSON.
pub(crate) struct Raw {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Raw {
    /// A header as text; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    /// A line to the daemon of `home`, which is started if none runs.
    ///
    /// # Errors
    /// Why it could not be started.
    pub(crate) fn connect(home: &Home) -> Result<Self, Fault> {
        let info = ensure_running(home)?;
        Self::to(home, &info.listen.to_string())
    }

    /// A line to a daemon of `home` that is known to run at `address`.
    ///
    /// # Errors
    /// `file_failed` if the token cannot be read.
    pub(crate) fn to(home: &Home, address: &str) -> Result<Self, Fault> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(LEG + ANSWER_MAX))
            .build()
            .new_agent();
        Ok(Self { home: home.clone(), token: home.token()?, base: Mutex::new(format!("http://{address}")), agent })
    }

    /// Reads something.
    ///
    /// # Errors
    /// The daemon's own fault, or `daemon_unreachable`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        parse(&self.get_raw(path)?)
    }

    /// Reads something from a daemon that is there, or not at all.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn get_once<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        parse(&self.once(&Method::GET, path, None)?)
    }

    /// Reads bytes with their headers.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn get_raw(&self, path: &str) -> Result<Raw, Fault> {
        self.patiently(|| self.once(&Method::GET, path, None))
    }

    /// Does something whose repetition does no harm.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn send<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let body = serde_json::to_vec(body).map_err(Fault::internal)?;
        parse(&self.patiently(|| self.once(method, path, Some(&body)))?)
    }

    /// Does something that must not be repeated when nobody knows whether it was done.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn send_once<T: DeserializeOwned>(&self, method: &Method, path: &str) -> Result<T, Fault> {
        parse(&self.once(method, path, Some(b"{}"))?)
    }

    /// Turns what a person calls a job into what the daemon calls it: `@` and `last` are the newest one.
    ///
    /// # Errors
    /// `job_not_found` if there is no job at all, or no name; as [`Client::get`].
    pub(crate) fn job_name(&self, name: &str) -> Result<String, Fault> {
        match name {
            "@" | "last" => {
                let page: JobsBody = self.get("/api/v1/jobs?limit=1")?;
                page.jobs.into_iter().next().map(|job| job.id).ok_or_else(|| Fault::job_not_found(name))
            }
            name => match name.trim_start_matches('#') {
                "" => Err(Fault::job_not_found(name)),
                name => Ok(name.to_owned()),
            },
        }
    }

    /// Repeats `request` while nobody answers. A daemon that died is started again; one that was stopped on purpose is
    /// only waited for, so that a command that watches does not undo `longshore down`.
    fn patiently(&self, request: impl Fn() -> Result<Raw, Fault>) -> Result<Raw, Fault> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = PAUSE_FIRST;
        loop {
            match request() {
                Err(fault) if is_passing(&fault) && Instant::now() < deadline => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(2));
                    self.reconnect();
                }
                result => return result,
            }
        }
    }

    /// Looks where the daemon is now. If there is none the next request says so.
    fn reconnect(&self) {
        // A daemon that ends by itself takes its announcement with it.
        let died = DaemonInfo::announced(&self.home);
        let found = if died { ensure_running(&self.home).ok() } else { running(&self.home) };
        if let Some(info) = found {
            *self.base.lock().unwrap_or_else(PoisonError::into_inner) = format!("http://{}", info.listen);
        }
    }

    fn once(&self, method: &Method, path: &str, body: Option<&[u8]>) -> Result<Raw, Fault> {
        let base = self.base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).map_err(Fault::internal)?),
            None => self.agent.run(request.body(()).map_err(Fault::internal)?),
        };
        let answer = answer.map_err(|error| unreachable(&base, &error.to_string()))?;
        let status = answer.status();
        let (parts, body) = answer.into_parts();
        let mut bytes = vec![];
        let read = body.into_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|error| unreachable(&base, &error.to_string()))?;
        match status.is_success() {
            true => Ok(Raw { headers: parts.headers, bytes }),
            false => Err(fault(status.as_u16(), &bytes)),
        }
    }
}

/// Whether the same request may succeed in a moment, because a daemon stops or starts just now.
fn is_passing(fault: &Fault) -> bool {
    matches!(fault.code, FaultCode::DaemonUnreachable | FaultCode::StoreUnavailable)
}

fn parse<T: DeserializeOwned>(raw: &Raw) -> Result<T, Fault> {
    serde_json::from_slice(&raw.bytes).map_err(misunderstood)
}

/// An answer that is not what was asked for.
pub(crate) fn misunderstood(error: impl std::fmt::Display) -> Fault {
    Fault::new(FaultCode::Internal, "the daemon's answer cannot be understood")
        .why(error.to_string())
        .next("the daemon may be of another version: `longshore down`, then try again")
}

fn fault(status: u16, bytes: &[u8]) -> Fault {
    match serde_json::from_slice::<FaultBody>(bytes) {
        Ok(body) => body.into(),
        Err(_) => Fault::new(FaultCode::Internal, format!("the daemon answered with status {status}"))
            .next("something else may listen at its address: `longshore doctor` tells"),
    }
}

fn unreachable(base: &str, why: &str) -> Fault {
    Fault::new(FaultCode::DaemonUnreachable, format!("no daemon answers at {base}"))
        .why(why)
        .next("jobs that run go on by themselves; `longshore up` starts it, `longshore doctor` shows what is wrong")
}

/// A word as one segment of a path or one value of a query.
pub(crate) fn escape(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    word.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
