//! What both drivers write in columns: names and bytes that stand for values of the domain.

use std::borrow::Cow;
use std::time::Duration;

use longshore_domain::access::PrincipalClass;
use longshore_domain::estimate::SAMPLES_MAX;
use longshore_domain::job::StateName;
use longshore_domain::label::Labels;
use longshore_domain::schedule::Schedule;
use longshore_domain::store::StoreError;

/// The phase of a state, as its column holds it, of a job that requires nothing.
pub(crate) fn phase(state: StateName) -> Option<&'static str> {
    match state {
        StateName::Finished => None,
        live if live.is_live() => Some("live"),
        other => Some(other.as_str()),
    }
}

/// The phase of a job in this state that requires these labels: ready ones stand in lines of their own.
pub(crate) fn phase_of(state: StateName, requires: &Labels) -> Option<Cow<'static, str>> {
    match state {
        StateName::Queued if !requires.is_empty() => Some(format!("queued {requires}").into()),
        state => phase(state).map(Cow::Borrowed),
    }
}

/// What a job requires, as its column holds it.
pub(crate) fn requires(labels: &Labels) -> Option<String> {
    (!labels.is_empty()).then(|| labels.to_string())
}

/// The part of a job's artifacts that its output is kept in: all whose names begin so, up to the byte after it.
pub(crate) const OUTPUT_ARTIFACTS: [&str; 2] = ["output/", "output0"];
/// Ended collections are remembered so long: no object takes longer from being looked for to being on record.
pub(crate) const COLLECTIONS_KEPT: Duration = Duration::from_secs(2 * 86_400);

/// The class of a principal, as its column holds it.
pub(crate) fn class_name(class: PrincipalClass) -> &'static str {
    match class {
        PrincipalClass::Person => "person",
        PrincipalClass::Agent => "agent",
        PrincipalClass::Worker => "worker",
        PrincipalClass::Node => "node",
    }
}

/// The class of which every key has a row where several processes write.
pub(crate) const KEY_CLASS: &str = "person";

/// Every class: principals of one name share their keys. A row of a key has the class of its principal all the same, by
/// which programs of earlier versions look it up.
pub(crate) const KEY_CLASSES: &str = "('person', 'agent', 'worker', 'node')";

/// The class of that name.
pub(crate) fn class_parse(name: &str) -> Option<PrincipalClass> {
    [PrincipalClass::Person, PrincipalClass::Agent, PrincipalClass::Worker, PrincipalClass::Node]
        .into_iter()
        .find(|class| class_name(*class) == name)
}

/// A schedule as its column holds it once it is written over its last version.
pub(crate) fn written_schedule(schedule: &Schedule, operation: &'static str) -> Result<String, StoreError> {
    let written = Schedule { version: schedule.version + 1, ..schedule.clone() };
    serde_json::to_string(&written).map_err(|error| StoreError::Failed { operation, source: Box::new(error) })
}

const SAMPLE_BYTES: usize = size_of::<u64>();
/// Bytes of all the samples that are kept of one likeness.
pub(crate) const SAMPLES_BYTES_MAX: usize = SAMPLES_MAX * SAMPLE_BYTES;

/// Reads the samples of a likeness, oldest first.
pub(crate) fn samples(bytes: &[u8]) -> Vec<Duration> {
    let (whole, _) = bytes.as_chunks::<SAMPLE_BYTES>();
    whole.iter().map(|sample| Duration::from_millis(u64::from_le_bytes(*sample))).collect()
}

/// A sample as it is kept.
pub(crate) fn sample(took: Duration) -> [u8; SAMPLE_BYTES] {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX).to_le_bytes()
}

/// Whether a job's name or title has this text, ignoring case. Databases ignore it by rules of their own.
pub(crate) fn has_text(name: Option<&str>, title: &str, lowercase: &str) -> bool {
    [name, Some(title)].into_iter().flatten().any(|text| text.to_lowercase().contains(lowercase))
}
