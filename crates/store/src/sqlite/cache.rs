//! Unfinished jobs that the writer touched lately, so that a transition needs no read.

use std::collections::HashMap;

use longshore_domain::id::{JobId, JobNumber};
use longshore_domain::job::Job;

/// Jobs in each of the two halves. A job is about 1 KiB, so that a full cache takes about 2 MiB.
const HALF_MAX: usize = 1024;

/// A bounded set of jobs as they stand in the database. The writer alone changes rows, so it never goes stale;
/// after a rollback it must be thrown away.
///
/// Two halves stand in for exact ages: when the fresh half is full it becomes the old one, whose rest is dropped.
#[derive(Default)]
pub(super) struct JobCache {
    fresh: Half,
    old: Half,
}

#[derive(Default)]
struct Half {
    jobs: HashMap<JobNumber, Job>,
    numbers: HashMap<JobId, JobNumber>,
}

impl Half {
    fn take(&mut self, number: JobNumber) -> Option<Job> {
        let job = self.jobs.remove(&number)?;
        self.numbers.remove(&job.id);
        Some(job)
    }
}

impl JobCache {
    /// Takes a job out; whoever does so puts its successor back, unless it is finished.
    pub(super) fn take(&mut self, number: JobNumber) -> Option<Job> {
        self.fresh.take(number).or_else(|| self.old.take(number))
    }

    /// The same by id.
    pub(super) fn take_by_id(&mut self, id: JobId) -> Option<Job> {
        let number = *self.fresh.numbers.get(&id).or_else(|| self.old.numbers.get(&id))?;
        self.take(number)
    }

    /// Keeps a job as it now stands.
    pub(super) fn put(&mut self, job: Job) {
        if self.fresh.jobs.len() >= HALF_MAX {
            self.old = std::mem::take(&mut self.fresh);
        }
        self.fresh.numbers.insert(job.id, job.number);
        self.fresh.jobs.insert(job.number, job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Place;
    use crate::conformance::scene::Scene;
    use crate::tests::Folder;

    #[tokio::test]
    async fn the_cache_stays_within_its_bound_and_keeps_the_newest() {
        let folder = Folder::new();
        let scene = Scene::over(folder.open().await);
        let job = scene.accept(scene.job()).await;
        let numbered = |number: u64| {
            let id = JobId::new(job.submitted_at, u128::from(number));
            Job { number: JobNumber(number), id, ..job.clone() }
        };
        let mut cache = JobCache::default();
        let newest = 5 * HALF_MAX as u64;
        for number in 1..=newest {
            cache.put(numbered(number));
            assert_eq!(cache.take_by_id(numbered(number).id), Some(numbered(number)));
            // Every third one finishes and does not come back.
            if number % 3 != 0 || number == newest {
                cache.put(numbered(number));
            }
        }
        for half in [&cache.fresh, &cache.old] {
            assert!(half.jobs.len() <= HALF_MAX && half.numbers.len() == half.jobs.len());
        }
        assert!(cache.take(JobNumber(newest)).is_some());
        assert!(cache.take(JobNumber(1)).is_none() && cache.take_by_id(numbered(1).id).is_none());
    }
}
