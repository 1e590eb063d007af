//! What stands by a person's word alone, or nobody knows where: looked for before a later version is written over it.
//!
//! Invariants: no place that a person named is written over before a read showed there what our row wrote; what is not
//! found is not created a second time, unless the destination, asked by our identifier, has proved that it is gone; where
//! the destination does not let us look, the later version is set aside for people, and a conditional create alone is
//! tried, for that finds what stands.

use clinical::fhir::{location::Location, readback::same_as};
use outbox::Written;

use super::{
    Past, Sending, TOO_EARLY, content_hash,
    lookup::{self, Found},
};
use crate::{pipeline::resources::Part, verdict::Verdict};

/// What is said of a later version of something whose place is not known.
const UNPLACED: &str = "an earlier version stands there by a person's word, and the destination does not show it: amend it by hand";

/// What stands as a person said, or where nobody knows.
#[derive(Clone, Debug)]
pub struct Told {
    /// As it was written.
    pub part: Part,
    /// Where, as a person said.
    pub location: Option<Location>,
    /// SHA-256 of what was written.
    pub content_hash: [u8; 32],
    /// It was written so lately that a search which finds nothing proves nothing: [`Past::recent`].
    pub recent: bool,
}

impl Told {
    /// Whether a part says what stands.
    pub(super) fn is(&self, part: &Part) -> bool {
        self.content_hash == content_hash(part)
    }
}

/// What the ledger has of a part that was created nobody knows where.
pub(super) fn unplaced(part: &Part) -> Written {
    Written {
        identifier: part.full_url.clone(),
        location: String::new(),
        etag: None,
        content_hash: content_hash(part),
        told: true,
    }
}

impl Sending<'_> {
    /// Looks for those parts still to be written of which an earlier version stands by a person's word.
    ///
    /// # Errors
    /// [`Verdict::Conflict`] where it cannot be found; [`Verdict::Unsent`] where nobody answered, for nothing left, unless an
    /// earlier attempt is in doubt: then as a look's.
    pub(super) async fn find_told(&mut self, past: Past) -> Result<(), Verdict> {
        self.seek_told().await.map_err(|verdict| match verdict {
            Verdict::Ambiguous(cause) if !past.ambiguous => Verdict::Unsent(cause),
            verdict => verdict,
        })
    }

    async fn seek_told(&mut self) -> Result<(), Verdict> {
        for part in std::mem::take(&mut self.open) {
            let told = self.told.get(&part.full_url).filter(|_| !self.standing.contains_key(&part.full_url));
            let Some(told) = told.cloned() else {
                self.open.push(part);
                continue;
            };
            let stood = self.resolved(&told.part)?;
            let found = match &told.location {
                Some(location) => lookup::read(self.to, &told.part, location).await?,
                None => lookup::search(self.to, &told.part, &stood).await?,
            };
            match found {
                // What was read where a person said is what our row wrote.
                Found::Ours(theirs, standing)
                    if told.location.is_none()
                        || lookup::by_identifier(&told.part)
                        || same_as(self.to.way.projection, &stood, &theirs) =>
                {
                    self.compare(part, &theirs, standing);
                }
                // It was created a moment ago, and the index lags.
                Found::Absent if told.recent && told.location.is_none() && part.if_none_exist.is_none() => {
                    return Err(Verdict::Ambiguous(TOO_EARLY.to_owned()));
                }
                Found::Absent if lookup::by_identifier(&told.part) => self.open.push(part),
                Found::Hidden | Found::Unauthorized if part.if_none_exist.is_some() => self.open.push(part),
                Found::Unauthorized => {
                    return Err(Verdict::Ambiguous("HTTP 401 when looking for what stands".to_owned()));
                }
                Found::Ours(..) | Found::Foreign | Found::Absent | Found::Hidden => {
                    return Err(Verdict::Conflict(UNPLACED.to_owned()));
                }
            }
        }
        Ok(())
    }
}
