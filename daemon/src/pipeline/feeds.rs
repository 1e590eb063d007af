//! Two feeds, one fact: what of a window contradicts itself is recorded for people, and the summaries that others computed
//! are compared with ours.
//!
//! Invariants: what was found is recorded before the window is settled, so a kill between the two finds it again; a summary
//! that came in is kept, cited and compared, and never written; a window in which nothing came twice pays a look into an
//! index and nothing else.

use clinical::{
    calendar::LocalDay,
    fhir::compared::{agrees, ours},
    outcome::{Exclusion, Outcome, Period},
    reading::{Reading, Route},
    select::{Conflict, Crossings},
};
use outbox::{DirtyWindow, Findings, ForeignSummary, FoundConflict, Readers, Side, Window};

use super::{Pipeline, PipelineError, read::Batch};
use crate::{
    conditions::{Board, Kind},
    generation::Generation,
    telemetry::Metric,
    time,
};

/// Most contradictions of one window that are recorded: more than anybody looks through, and 1 MB.
const MOST: usize = 5_000;
/// The route of what this box computed.
const COMPUTED: &str = "computed";

/// Whether anything of a window came twice.
pub(super) fn came_twice(outcome: &Outcome) -> bool {
    [Exclusion::Duplicate, Exclusion::Conflict].iter().any(|reason| outcome.excluded.contains_key(reason))
}

/// Counts what another feed has too.
pub(super) fn count(crossings: &Crossings) {
    Metric::FeedDuplicates.add(crossings.duplicates, &[]);
}

/// What contradicts itself among the readings and the summaries of a window.
pub(super) fn findings(
    due: &Window,
    period: &Period,
    conflicts: &[Conflict],
    outcome: Option<(&Outcome, i64)>,
    theirs: &[ForeignSummary],
) -> [Findings; 2] {
    let of = |kind, ending: String, found| Findings {
        patient: due.key.patient,
        kind,
        ending,
        from: period.start.0,
        to: period.end.0,
        found,
        now: time::now_ms(),
    };
    let readings = conflicts.iter().take(MOST).map(reading).collect();
    let dates = format!("{}/{}", period.first_date, period.last_date);
    let compare = |it: &ForeignSummary| {
        let (outcome, factor_e4) = outcome?;
        let number = ours(outcome, &it.code, factor_e4)?;
        (!agrees(number, &it.value)).then(|| FoundConflict {
            about: format!("{} {dates}", it.code),
            at: period.start.0,
            stands: Side { inbox_id: 0, route: COMPUTED.to_owned(), value: format!("{number:.2}") },
            yields: Side {
                inbox_id: it.inbox_id,
                route: word(Route::Fhir).to_owned(),
                value: it.value.clone(),
            },
        })
    };
    [
        of("reading", String::new(), readings),
        of("summary", dates.clone(), theirs.iter().filter_map(compare).collect()),
    ]
}

fn reading(conflict: &Conflict) -> FoundConflict {
    let side = |reading: &Reading| Side {
        inbox_id: reading.message as i64,
        route: word(reading.route).to_owned(),
        value: format!("{} {}", reading.glucose, unit(reading)),
    };
    FoundConflict {
        about: conflict.device.0.clone(),
        at: conflict.stands.time.0,
        stands: side(&conflict.stands),
        yields: side(&conflict.yields),
    }
}

const fn unit(reading: &Reading) -> &'static str {
    match reading.glucose.unit {
        clinical::glucose::Unit::MgDl => "mg/dL",
        clinical::glucose::Unit::MmolL => "mmol/L",
    }
}

const fn word(route: Route) -> &'static str {
    match route {
        Route::Fhir => "fhir",
        Route::Hl7v2 => "hl7v2",
        Route::File => "file",
        Route::Scan => "scan",
    }
}

/// Shows how many contradictions are open, as the store has it.
pub(crate) fn show(conditions: &Board, readers: &Readers) -> Result<(), outbox::ReadError> {
    let (open, since) = readers.with(|reader| reader.open_conflicts())?;
    Metric::ConflictsOpen.set(open as f64, &[]);
    match since {
        None => drop(conditions.clear(Kind::FeedConflict, "")),
        Some(since) => {
            let detail = format!("feeds say different things {open} times; look at `isthmus conflicts list`");
            conditions.raise(Kind::FeedConflict, "", detail, since);
        }
    }
    Ok(())
}

impl Pipeline {
    /// Records what contradicts itself, where anything does or did.
    pub(super) fn record_conflicts(&self, findings: [Findings; 2]) -> Result<(), PipelineError> {
        let known = {
            let [Findings { patient, from, to, .. }, _] = &findings;
            self.readers.with(|reader| reader.has_conflicts(*patient, *from, *to))?
        };
        if !known && findings.iter().all(|of| of.found.is_empty()) {
            return Ok(());
        }
        self.writer.record_conflicts(findings.into()).wait()?;
        Ok(show(&self.conditions, &self.readers)?)
    }

    /// Keeps the summaries of a batch, whose owners have their places, and marks the windows that end with them.
    pub(super) fn take_summaries(
        &mut self,
        batch: &mut Batch,
        generation: &Generation,
        now: i64,
        dirty: &mut Vec<DirtyWindow>,
    ) -> Result<(), PipelineError> {
        let mut kept = Vec::new();
        for (owner, inbox_id, summary) in std::mem::take(&mut batch.summaries) {
            let Some(place) = self.known.get(&owner).copied() else { continue };
            if let (Some(site), Ok(last)) = (generation.site(&owner.site), summary.dates.1.parse()) {
                self.mark(place.owner, site, &[LocalDay::from_civil(last)].into(), now, dirty)?;
            }
            kept.push(ForeignSummary {
                patient: place.holder,
                code: summary.code.to_owned(),
                dates: summary.dates,
                value: summary.value.to_string(),
                retracted: summary.retracted,
                made_at: summary.made_at.0,
                inbox_id,
            });
        }
        if !kept.is_empty() {
            Metric::ForeignSummaries.add(kept.len() as u64, &[]);
            self.writer.record_summaries(kept).wait()?;
        }
        Ok(())
    }

    /// The summaries that others computed for a window.
    pub(super) fn foreign_summaries(
        &self,
        members: &[i64],
        period: &Period,
    ) -> Result<Vec<ForeignSummary>, PipelineError> {
        let dates = (period.first_date.as_str(), period.last_date.as_str());
        let of = |member: &i64| self.readers.with(|reader| reader.foreign_summaries(*member, dates));
        Ok(members.iter().map(of).collect::<Result<Vec<_>, _>>()?.concat())
    }
}
