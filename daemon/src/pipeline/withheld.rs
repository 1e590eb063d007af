//! Numbers that a version withholds while those of an earlier one stand.
//!
//! Invariants: where a form has no way to say that a number is withheld, what an earlier version wrote of it goes on standing,
//! so people are told, in the transaction that publishes the version; they are told once, by the first version that
//! withholds it.

use std::collections::BTreeSet;

use clinical::fhir::project::LeftOut;
use outbox::{Condition, OutboxRow, ReadError, State, UNPROVEN};

use super::{
    Pipeline, PipelineError,
    resources::Write,
    version::{Draft, Ruling},
};
use crate::{
    broker::Decision,
    conditions::{self, Kind},
    destination::{Destination, PROVENANCE},
};

impl Pipeline {
    /// What people are asked to do about numbers that a version leaves out and that may stand at a destination.
    pub(super) fn tell_of_withheld(
        &self,
        draft: &Draft<'_>,
        destination: &Destination,
        ruling: &Ruling,
        left_out: &[LeftOut],
    ) -> Result<Option<Condition>, PipelineError> {
        let (window, id) = (draft.due.id, &destination.id);
        let is_shown = matches!(ruling.decision, Decision::Show(_));
        if left_out.is_empty() || ruling.stands.is_none() || is_shown {
            return Ok(None);
        }
        let mut rows = self.readers.with(|reader| reader.rows_of_window(window, id))?;
        rows.retain(|row| row.kind != PROVENANCE.name() && row.state != State::Shown);
        let before = rows.iter().map(|row| row.version).max();
        let written_before = self.held_by(rows.iter().filter(|row| Some(row.version) == before))?;
        let may_come = self.held_by(rows.iter().filter(|row| may_come(row)))?;
        let names: Vec<String> = left_out.iter().map(|one| one.identifier.full_url()).collect();
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        let ledger = self.readers.with(|reader| reader.written(id, &asked))?;
        // What the version before this one left out too was told of then.
        if !names.iter().any(|name| written_before.contains(name)) {
            return Ok(None);
        }
        let stands = left_out.iter().zip(&names);
        let stands = stands.filter(|(_, name)| ledger.contains_key(*name) || may_come.contains(*name));
        let slugs: Vec<&str> = stands.map(|(one, _)| one.row.slug()).collect();
        if slugs.is_empty() {
            return Ok(None);
        }
        let scope = conditions::window_at(window, id);
        let detail = format!(
            "version {} withholds {}, and what an earlier version wrote of it still stands; mark it there as entered in \
             error by hand, then: isthmus site withdrawn \"{scope}\" --reason TEXT",
            draft.due.next_version,
            slugs.join(", ")
        );
        Ok(Some(Condition { name: Kind::NumberWithheld.word().to_owned(), scope, detail, since: draft.now }))
    }

    /// The names of the resources in the bodies of rows.
    fn held_by<'a>(
        &self,
        rows: impl Iterator<Item = &'a OutboxRow>,
    ) -> Result<BTreeSet<String>, PipelineError> {
        let mut names = BTreeSet::new();
        for row in rows {
            let body = match self.readers.with(|reader| reader.body(row.id)) {
                // What it wrote cannot be told any more; people are told of the row, and the window goes on.
                Err(ReadError::BodyCorrupt(_)) => None,
                body => body?,
            };
            let write: Option<Write> = body.and_then(|body| serde_json::from_slice(&body).ok());
            names.extend(write.into_iter().flat_map(|write| write.resources).map(|part| part.full_url));
        }
        Ok(names)
    }
}

/// Whether what a row holds may come to stand, or stands and the ledger does not know.
fn may_come(row: &OutboxRow) -> bool {
    match row.state {
        State::Pending | State::Deferred | State::Leased | State::Ambiguous => true,
        State::Quarantined => row.reason.as_deref() == Some(UNPROVEN),
        State::Delivered | State::Superseded | State::Dropped | State::Shown => false,
    }
}
