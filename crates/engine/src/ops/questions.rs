//! What jobs ask, and answering it.

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::{Answer, Decision, Event, Question, QuestionKind};
use longshore_domain::store::{QuestionFilter, StoreError};
use longshore_domain::{Job, PrincipalClass, QuestionId};

use super::cancel::REASON_CHARS_MAX;
use super::list::PAGE_MAX;
use crate::Engine;
use crate::engine::Caller;

/// Which open questions to list.
#[derive(Clone, Debug)]
pub struct OpenQuestions {
    /// Where the page before ended.
    pub cursor: Option<QuestionId>,
    /// Questions on the page, 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// Some open questions, in the order of asking.
#[derive(Clone, Debug)]
pub struct QuestionPage {
    /// The questions.
    pub questions: Vec<Question>,
    /// Where the next page begins, if there is one.
    pub next: Option<QuestionId>,
}

/// A decision as a caller hands it over.
#[derive(Clone, Debug)]
pub struct Answering {
    /// What was decided.
    pub decision: Decision,
    /// Through which door it comes: `dashboard`, `cli`, `http`, `mcp`, `webhook`.
    pub channel: &'static str,
    /// The reason given; cut to 500 characters.
    pub reason: Option<String>,
}

/// An answer that is durable.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The job as it stands.
    pub job: Job,
    /// The question with its answer.
    pub question: Question,
}

impl Engine {
    /// All questions of the job that `name` names, open and closed, in the order of asking.
    ///
    /// # Errors
    /// `job_not_found`.
    pub async fn questions(&self, caller: &Caller, name: &str) -> Result<Vec<Question>, Fault> {
        let job = self.find(&caller.principal, name).await?;
        Ok(self.inner.store.questions(job.id).await?)
    }

    /// The open questions of all jobs that the caller may see, oldest first.
    ///
    /// # Errors
    /// `invalid_argument` for a limit out of range.
    pub async fn open_questions(&self, caller: &Caller, query: OpenQuestions) -> Result<QuestionPage, Fault> {
        if !(1..=PAGE_MAX).contains(&query.limit) {
            return Err(Fault::invalid("limit", format!("must be 1 to {PAGE_MAX}")));
        }
        let owner = (!caller.principal.sees_all()).then(|| caller.principal.name.clone());
        let filter = QuestionFilter { owner, after: query.cursor };
        let mut questions = self.inner.store.open_questions(filter, query.limit + 1).await?;
        let more = questions.len() > query.limit;
        questions.truncate(query.limit);
        let next = questions.last().filter(|_| more).map(|question| question.id);
        Ok(QuestionPage { questions, next })
    }

    /// Answers a question of the job that `name` names. The first answer stands; the same decision of the same
    /// principal once more is answered as the first time and changes nothing.
    ///
    /// # Errors
    /// `job_not_found`; `not_found` for a question that is none of the job's; `forbidden` if the caller may not
    /// decide it; `invalid_argument` or `too_large` for an answer that does not fit: the question stays open;
    /// `state_conflict` or `job_finished` if it is not open any more. Nothing was changed.
    pub async fn answer(
        &self,
        caller: &Caller,
        name: &str,
        question: &str,
        answering: Answering,
    ) -> Result<Answered, Fault> {
        let job = self.find(&caller.principal, name).await?;
        let asked = self.question(&job, question).await?;
        check_decider(caller, &asked)?;
        asked.check(&answering.decision).map_err(|problem| {
            let code = if problem.too_large { FaultCode::TooLarge } else { FaultCode::InvalidArgument };
            Fault::new(code, problem.to_string()).next("correct it and answer again; the question is still as it was")
        })?;
        let answer = Answer {
            decision: answering.decision,
            decider: caller.principal.clone(),
            channel: answering.channel.into(),
            reason: answering.reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect()),
        };
        let event = Event::Answered { question: asked.id, answer: answer.clone() };
        match self.inner.record(job.id, event).await {
            Ok(change) => Ok(Answered { question: self.question(&job, question).await?, job: change.job }),
            Err(StoreError::Refused(refusal)) => {
                let question = self.question(&job, question).await?;
                let job = self.find(&caller.principal, name).await?;
                match question.answer.as_ref().is_some_and(|given| is_same(given, &answer)) {
                    true => Ok(Answered { job, question }),
                    false => Err(explain(StoreError::Refused(refusal), &question)),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn question(&self, job: &Job, name: &str) -> Result<Question, Fault> {
        let questions = match name.parse::<QuestionId>() {
            Ok(id) => self.inner.store.questions(job.id).await?.into_iter().find(|question| question.id == id),
            Err(_) => None,
        };
        questions.ok_or_else(|| {
            Fault::new(FaultCode::NotFound, format!("job {} has no question of that name", job.id))
                .next("list the questions of the job to find it")
        })
    }
}

fn check_decider(caller: &Caller, question: &Question) -> Result<(), Fault> {
    if question.kind == QuestionKind::Approval && caller.principal.class != PrincipalClass::Person {
        return Err(Fault::new(FaultCode::Forbidden, format!("question {} is an approval", question.id))
            .why("only a person may approve or refuse, never the one who asks")
            .next("wait until a person has decided"));
    }
    Ok(())
}

fn is_same(given: &Answer, again: &Answer) -> bool {
    given.decision == again.decision && given.decider == again.decider
}

/// Says what became of a question that takes no answer any more.
fn explain(error: StoreError, question: &Question) -> Fault {
    let why = match (&question.answer, question.closed_at) {
        (Some(answer), Some(at)) => format!("{} had answered it at {at}; the first answer stands", answer.decider.name),
        (None, Some(at)) if question.deadline_at.is_some_and(|deadline| deadline <= at) => {
            format!("nobody answered it before its deadline at {at}")
        }
        (None, Some(at)) => format!("the attempt that asked was over at {at}"),
        (_, None) => return error.into(),
    };
    let fault = Fault::from(error);
    Fault { message: format!("question {} is closed", question.id), why: Some(why), ..fault }
        .next("nothing was changed; list the questions of the job to see where it stands")
}
