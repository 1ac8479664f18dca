//! The only place that reads the wall clock and makes random numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use longshore_domain::{JobId, Nonce, QuestionId, ScheduleId, Timestamp};

/// Tells the time: the machine's, or one that a test moves. Copies are one clock.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// Milliseconds that the store's clock was ahead when it was heard last.
    ahead: Arc<AtomicI64>,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Moved(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        Self::of(Source::System)
    }

    /// A clock that stands still at `start` until it is moved with [`Clock::advance`].
    pub fn moved_by_hand(start: Timestamp) -> Self {
        Self::of(Source::Moved(Arc::new(AtomicI64::new(start.as_millis()))))
    }

    fn of(source: Source) -> Self {
        Self { source, ahead: Arc::default() }
    }

    /// Moves a clock made by [`Clock::moved_by_hand`]; the machine's own clock is left alone.
    pub fn advance(&self, length: Duration) {
        if let Source::Moved(at) = &self.source {
            at.fetch_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::System => system_now(),
            Source::Moved(at) => Timestamp::from_millis(at.load(Ordering::SeqCst)),
        }
    }

    /// What the store's clock said just now.
    pub(crate) fn heard(&self, store: Timestamp) {
        self.ahead.store(store.as_millis().saturating_sub(self.now().as_millis()), Ordering::Relaxed);
    }

    /// The present instant by the store's clock, which the nodes have in common: right to a second or so if this node hears
    /// of the store, whatever its own clock says.
    pub fn in_common(&self) -> Timestamp {
        Timestamp::from_millis(self.now().as_millis().saturating_add(self.ahead.load(Ordering::Relaxed)))
    }

    /// A new job id for this instant.
    pub fn new_job_id(&self) -> JobId {
        JobId::new(self.now(), random())
    }

    /// A new schedule id for this instant.
    pub fn new_schedule_id(&self) -> ScheduleId {
        ScheduleId::new(self.now(), random())
    }

    /// A new question id for this instant.
    pub fn new_question_id(&self) -> QuestionId {
        QuestionId::new(self.now(), random())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the sanctioned door to the wall clock")]
fn system_now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// New secrets for so many attempts.
///
/// # Panics
/// As [`random`].
pub fn new_nonces(count: usize) -> Vec<Nonce> {
    let mut bytes = vec![[0; 16]; count];
    fill(bytes.as_flattened_mut());
    bytes.into_iter().map(|bytes| Nonce::new(u128::from_le_bytes(bytes))).collect()
}

/// 128 bits that nobody can guess.
///
/// # Panics
/// If the operating system has no randomness to give, which no supported system does after boot.
pub fn random() -> u128 {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random numbers");
}
