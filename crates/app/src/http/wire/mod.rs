//! What goes over the wire, in both directions. Names and types here are promises to scripts.

mod answers;
mod brief;
mod conversion;
mod job;
mod nodes;
mod peers;
mod requests;
mod schedules;
mod stretch;

pub(crate) use answers::{
    AcceptedBody, CountsBody, DaemonBody, EventBody, FaultBody, GcReportBody, HealthBody, JobsBody, QueueBody,
    RemovedBody, ResourceBody, StoreBody, WaitedBody, WaitedJobBody,
};
pub(crate) use brief::BriefBody;
pub(crate) use conversion::{class_name, outcome_status};
pub(crate) use job::{JobBody, JobDetailBody, OutcomeBody, ProgressBody, SpecBody};
pub(crate) use nodes::{DrainBody, NodeBody, NodesBody};
pub(crate) use peers::{AccountBody, PieceHead, PrintedBody, ReadingQuery, SaidBody, SaidQuery, piece_body};
pub(crate) use requests::{CancelBody, GcBody, PinBody, SubmitBody, WaitBody};
pub(crate) use schedules::{NewScheduleBody, PauseBody, ScheduleBody, SchedulesBody};
pub(crate) use stretch::StretchBody;
