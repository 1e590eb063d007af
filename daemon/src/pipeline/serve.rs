//! What the box knows, as resources of the local endpoint: published outcomes, patients, decisions on consent, intents.
//!
//! Invariants
//! - All of one thing is one transaction, with the word that it is served: a kill before or after it loses nothing and makes
//!   nothing twice. What has changed meanwhile stays on the list and is read anew.
//! - What says the same bytes as the version that stands gets no new version.
//! - A Patient comes before what refers to it; what cannot be made yet waits and holds up no neighbour, and neither does a
//!   defect in one.
//! - What a client posted is the client's: a Patient is left alone, of a Task only its state is kept up to date.
//!
//! Numbers: see `WINDOWS_A_TURN` and `OTHERS_A_TURN`; what cannot be made yet is looked at again after `LATER_MS`, what
//! failed after `FAILED_MS`, and at most `HELD_MOST` such are remembered.

mod consent;
mod intent;
mod patient;
mod sheet;
mod window;

use std::collections::HashMap;

use outbox::{Pending, Placed, PutResources, Reader, Shown, Unserved};

use self::sheet::Sheet;
use super::{Pipeline, PipelineError};
use crate::{generation::Generation, time};

pub use self::{intent::task_of, window::form_of};

/// Windows served in one turn: each is computed once more, some milliseconds for 90 days.
const WINDOWS_A_TURN: usize = 32;
/// Of anything else: a few rows each.
const OTHERS_A_TURN: usize = 128;
/// What cannot be made yet is looked at again after so long: a window waits for its computation, a task for its patient.
const LATER_MS: i64 = 1_000;
/// What failed, after so long.
const FAILED_MS: i64 = 60_000;
/// How much of that is remembered. Beyond it everything is looked at again, a turn's worth at a time.
const HELD_MOST: usize = 10_000;

/// How far the walk over what is to be served has come.
#[derive(Debug, Default)]
pub struct Serving {
    /// The number looked at last, by sort.
    after: HashMap<Shown, i64>,
    /// What could not be made, at which turn of it, and until when it is let alone (ms, a clock that nobody sets).
    held: HashMap<(Shown, i64), (i64, i64)>,
}

/// What came of making something.
enum Unmade {
    /// What it needs is not there yet.
    Later,
    /// It failed.
    Error(PipelineError),
}

impl<E: Into<PipelineError>> From<E> for Unmade {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Whether the endpoint is on, so that anybody could look at what is served.
pub(super) const fn is_on(generation: &Generation) -> bool {
    generation.config.main.fhir.is_some()
}

impl Pipeline {
    /// Brings the resources of the endpoint up to date, a bounded piece of it. Returns how much was served.
    pub(super) fn serve(&mut self, generation: &Generation) -> Result<usize, PipelineError> {
        let mut served = 0;
        // Patients first: everything else refers to them.
        for what in [Shown::Patient, Shown::Window, Shown::Intent, Shown::Consent] {
            served += self.serve_all(what, generation)?;
        }
        Ok(served)
    }

    fn serve_all(&mut self, what: Shown, generation: &Generation) -> Result<usize, PipelineError> {
        let limit = if what == Shown::Window { WINDOWS_A_TURN } else { OTHERS_A_TURN };
        let after = self.serving.after.get(&what).copied().unwrap_or(0);
        let page = self.readers.with(|reader| reader.unserved_after(what, after, limit))?;
        // From the beginning again, once the end is reached.
        let last = page.last().filter(|_| page.len() == limit).map_or(0, |last| last.id);
        self.serving.after.insert(what, last);
        let now = time::monotonic_ms();
        let (mut served, mut under_way) = (0, Vec::new());
        for it in page {
            if !self.serving.is_held(it, now)
                && let Some(pending) = self.begin(it, generation, now)?
            {
                under_way.push((it, pending));
            }
        }
        // All of a turn share the writer's commits. Two who were merged, or two decisions of one patient, share a resource:
        // what came second is made once more.
        let mut again = Vec::new();
        for (it, pending) in under_way {
            match pending.wait()? {
                Placed::Done(_) => served += 1,
                Placed::Changed | Placed::Known(_) | Placed::Overtaken(_) => again.push(it),
            }
        }
        for it in again {
            match self.begin(it, generation, now)?.map(Pending::wait).transpose()? {
                Some(Placed::Done(_)) => served += 1,
                // A client was faster.
                Some(Placed::Changed | Placed::Known(_) | Placed::Overtaken(_)) => {
                    self.serving.hold(it, now + LATER_MS)
                }
                None => {}
            }
        }
        Ok(served)
    }

    /// Hands to the writer what shows something; `None` where it cannot be made now.
    fn begin(
        &mut self,
        it: Unserved,
        generation: &Generation,
        now: i64,
    ) -> Result<Option<Pending<Placed>>, PipelineError> {
        let made = {
            let reader = self.readers.get()?;
            self.make(&reader, it, generation)
        };
        match made {
            Ok(put) => return Ok(Some(self.writer.serve_resources(put))),
            Err(Unmade::Later) => self.serving.hold(it, now + LATER_MS),
            Err(Unmade::Error(error)) if error.is_about_a_window() => {
                tracing::warn!(
                    what = it.what.word(), number = it.id, %error,
                    "its resources could not be made; tried again later"
                );
                self.serving.hold(it, now + FAILED_MS);
            }
            Err(Unmade::Error(error)) => return Err(error),
        }
        Ok(None)
    }

    /// The versions that show something, with the word that it is served; without any where nothing is to be shown.
    fn make(&self, reader: &Reader, it: Unserved, generation: &Generation) -> Result<PutResources, Unmade> {
        let mut sheet = Sheet::new(reader, &self.writer);
        match it.what {
            Shown::Window => self.window(&mut sheet, it.id, generation)?,
            Shown::Patient => patient::person_of(&mut sheet, it.id)?,
            Shown::Intent => intent::task(&mut sheet, it.id)?,
            Shown::Consent => consent::consent(&mut sheet, it.id)?,
        }
        let at = time::now_ms();
        Ok(PutResources { versions: sheet.versions, served: vec![it], at, ..PutResources::default() })
    }
}

impl Serving {
    fn is_held(&self, it: Unserved, now: i64) -> bool {
        self.held.get(&(it.what, it.id)).is_some_and(|(turn, until)| *turn == it.turn && now < *until)
    }

    fn hold(&mut self, it: Unserved, until: i64) {
        if self.held.len() >= HELD_MOST {
            self.held.clear();
        }
        self.held.insert((it.what, it.id), (it.turn, until));
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
