//! Attempts that this node has said do not run here: they must not begin afterwards.
//!
//! A claim may be on its way back from the store while another node asks after it: a process that stood still for a whole
//! lease finds both at once.

use std::collections::VecDeque;

use longshore_domain::{AttemptNumber, JobId};

/// Attempts that are remembered. An answer to a claim that is older than so many questions does not come any more.
const REMEMBERED_MAX: usize = 4096;

/// The newest of them.
#[derive(Debug, Default)]
pub(crate) struct Disowned(VecDeque<(JobId, AttemptNumber)>);

impl Disowned {
    /// Somebody was told that this attempt does not run here.
    pub(crate) fn add(&mut self, job: JobId, attempt: AttemptNumber) {
        if self.0.len() == REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((job, attempt));
    }

    /// Whether anybody was told so.
    pub(crate) fn has(&self, job: JobId, attempt: AttemptNumber) -> bool {
        self.0.contains(&(job, attempt))
    }
}

#[cfg(test)]
mod tests {
    use longshore_domain::Timestamp;

    use super::*;

    #[test]
    fn exactly_what_was_disowned_is_remembered_up_to_a_limit() {
        let job = |number: usize| JobId::new(Timestamp::from_millis(0), number as u128);
        let mut disowned = Disowned::default();
        disowned.add(job(0), AttemptNumber(1));
        assert!(disowned.has(job(0), AttemptNumber(1)));
        assert!(!disowned.has(job(0), AttemptNumber(2)) && !disowned.has(job(1), AttemptNumber(1)));
        (1..=REMEMBERED_MAX).for_each(|number| disowned.add(job(number), AttemptNumber(1)));
        assert!(!disowned.has(job(0), AttemptNumber(1)));
        assert_eq!(disowned.0.len(), REMEMBERED_MAX);
    }
}
