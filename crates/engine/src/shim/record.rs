//! The exit record: durable proof of how an attempt ended.

use std::os::fd::OwnedFd;

use longshore_domain::job::AttemptReport;
use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, unlinkat};
use rustix::io;

use super::wire::{AttemptPlan, ExitRecord, RECORD_VERSION, record_name};

/// Writes the record so that it is there whole, or not at all, whatever happens; it is durable on return.
pub(super) fn write(run_dir: &OwnedFd, plan: &AttemptPlan, report: &AttemptReport) -> io::Result<()> {
    let record = ExitRecord {
        version: RECORD_VERSION,
        job: plan.job,
        number: plan.number,
        attempt: plan.attempt,
        nonce: plan.nonce,
        boot: plan.boot.clone(),
        report: report.clone(),
    };
    let bytes = serde_json::to_vec(&record).map_err(|_| io::Errno::INVAL)?;
    let name = record_name(plan.number, plan.attempt);
    let temporary = format!("{name}.tmp");
    let result = write_file(run_dir, &temporary, &bytes).and_then(|file| {
        fsync(&file)?;
        renameat(run_dir, &temporary, run_dir, &name)?;
        fsync(run_dir)
    });
    if result.is_err() {
        // Room for the next try; if it is not there, so much the better.
        unlinkat(run_dir, &temporary, AtFlags::empty()).ok();
    }
    result
}

fn write_file(run_dir: &OwnedFd, name: &str, mut bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let file = openat(run_dir, name, flags, Mode::RUSR | Mode::WUSR)?;
    while !bytes.is_empty() {
        let written = io::retry_on_intr(|| io::write(&file, bytes))?;
        bytes = &bytes[written..];
    }
    Ok(file)
}
