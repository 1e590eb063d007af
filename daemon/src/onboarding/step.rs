//! The steps of the trial: each asks, and judges what came.

mod connection;
mod edge;
mod negative;
mod ours;
mod patient;
mod resend;
mod trace;
mod write;

use super::{
    playbook::{Finding, Step},
    run::Run,
};

/// Takes a step. One that is done for each form has a finding for each.
pub(super) async fn take(run: &mut Run<'_>, step: Step) -> Vec<Finding> {
    match step {
        Step::Reach => vec![connection::reach(run).await],
        Step::Statement => vec![connection::statement(run).await],
        Step::Token => vec![connection::token(run).await],
        Step::Patient => vec![patient::patient(run).await],
        Step::Encounter => vec![patient::encounter(run).await],
        Step::Write => write::write(run).await,
        Step::ReadBack | Step::Decimals | Step::Moments => write::compare(run, step).await,
        Step::Resend => resend::resend(run).await,
        Step::Conflict => resend::conflict(run).await,
        Step::Units | Step::LeapDay | Step::ClockChange => edge::edge(run, step).await,
        Step::ForbiddenKinds => negative::forbidden_kinds(run).await,
        Step::UnmappedRow => negative::unmapped_row(run).await,
        Step::Malformed => vec![negative::malformed(run).await],
        Step::UnknownPatient => vec![negative::unknown_patient(run).await],
        Step::WithoutToken => vec![negative::without_token(run).await],
        Step::WithoutScope => vec![negative::without_scope(run).await],
        Step::Throttle => vec![trace::throttle(run).await],
        Step::Timeout => vec![trace::timeout(run)],
        Step::CleanUp => vec![trace::clean_up(run).await],
    }
}

/// Said where nobody was found to write about.
const NOBODY: &str = "there is nobody to write about: see the step about the test patient";
/// Said where the step before wrote nothing.
const NOTHING: &str = "nothing of it stands at the EHR: see the step about writing";
