//! What somebody else's summary says already: an outcome that is left to it, and what is owed when it says so no more.
//!
//! Invariants: only where the site's file says that such a summary is in its chart, for a feed proves no chart; only what
//! came in as FHIR at the site itself, for the same patient and dates, is asked; never an echo of what this product wrote,
//! which is no summary of somebody else (`clinical/src/normalize/fhir/observation.rs`); what was left to it is written as
//! soon as it is taken back or says something else, for the result would be nowhere.
use clinical::fhir::compared::is_said;
use outbox::Window;

use super::{Pipeline, PipelineError, publish::Computed};
use crate::{
    broker::Reason,
    destination::{Destination, Way},
    generation::Generation,
};

/// Whether every number that would be written in a form is in summaries that came in at the destination's own site.
pub(super) fn said(destination: &Destination, way: &Way, computed: &Computed<'_>) -> bool {
    if destination.site.is_none() || !destination.summaries_in_chart || computed.summaries.is_empty() {
        return false;
    }
    let theirs: Vec<(&str, &str)> =
        computed.summaries.iter().map(|it| (it.code.as_str(), it.value.as_str())).collect();
    is_said(way.projection, &way.form, (&computed.outcome, computed.policy), &theirs)
}

impl Pipeline {
    /// The destinations at which an outcome was left to a summary that does not say it (any more) in any form.
    pub(super) fn owed_by_summaries(
        &self,
        due: &Window,
        generation: &Generation,
        computed: &Computed<'_>,
    ) -> Result<Vec<String>, PipelineError> {
        let left = self.readers.with(|reader| reader.left_for(due.id, Reason::SameSummary.word()))?;
        let owed = |id: &String| {
            // One that is configured no more is owed nothing.
            let found = generation.destination(id);
            found.is_some_and(|it| !it.ways.iter().any(|way| said(&it, way, computed)))
        };
        Ok(left.into_iter().filter(owed).collect())
    }
}
