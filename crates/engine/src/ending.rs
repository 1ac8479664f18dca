//! How an attempt came to its end, whatever ran it.

use std::pin::Pin;

use longshore_domain::Job;
use longshore_domain::job::{AttemptReport, Event};

use crate::process::ShimLink;

/// A start that is on its way to the disk.
pub(crate) type Starting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// How an attempt came to its end, and a start that may still be on its way to the disk.
pub(crate) struct Ending<'a> {
    pub(crate) event: Event,
    pub(crate) starting: Option<Starting<'a>>,
    /// The shim that told of the end, which puts it on record once it hears no more from here.
    pub(crate) shim: Option<ShimLink>,
    /// The machine could not start it: leave it alone for a while.
    pub(crate) pause: bool,
}

impl Ending<'_> {
    pub(crate) fn seen(job: &Job, report: AttemptReport) -> Self {
        Self { event: Event::Ended { token: job.attempt, report }, starting: None, shim: None, pause: false }
    }

    pub(crate) fn lost(job: &Job, message: impl Into<String>) -> Self {
        let event = Event::Lost { token: job.attempt, message: message.into(), report: None };
        Self { event, starting: None, shim: None, pause: false }
    }

    pub(crate) fn given_back(job: &Job, reason: impl Into<String>) -> Self {
        Self {
            event: Event::GivenBack { token: job.attempt, reason: reason.into() },
            starting: None,
            shim: None,
            pause: true,
        }
    }
}
