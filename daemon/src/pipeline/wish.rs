//! "Put this on the flowsheet": an outcome that was published is written in a form of the site that somebody names.
//!
//! Invariants: what is written are the numbers of the version in force, computed anew from the same readings; a window that
//! waits to be computed is waited for; the same version goes in the same form once, however often it is wanted; what
//! cannot be written so, or not be computed any more, is held, with the reason, until a person decides, and holds up
//! nothing else.

use clinical::{fhir::intent::Wish, fhir::subject::Subject};
use outbox::{Enters, Intent, IntentRow, QueueIntent, Window, WriteError};

use super::{Pipeline, PipelineError, record::Record, resources::Write};
use crate::hex::hex;
use crate::{
    broker::{self, Priority},
    destination::{Destination, PROVENANCE},
    generation::Generation,
    intent::{author_of, provenance_row, signature},
    time,
};

/// What came of looking at a wish.
enum Became {
    Rows(Vec<IntentRow>),
    Cannot(String),
    Waits,
}

impl Pipeline {
    /// Gives waiting intents their rows. Returns how many it gave them.
    pub(super) fn wishes(&self, generation: &Generation) -> Result<usize, PipelineError> {
        let (mut given, mut after) = (0, 0);
        loop {
            let page = self.readers.with(|reader| reader.waiting_intents(after))?;
            let Some(last) = page.last() else { return Ok(given) };
            after = last.id;
            given += self.wishes_of(page, generation)?;
        }
    }

    fn wishes_of(&self, page: Vec<Intent>, generation: &Generation) -> Result<usize, PipelineError> {
        let mut given = 0;
        for intent in page {
            let (rows, cannot) = match self.wish(&intent, generation) {
                Ok(Became::Waits) => continue,
                Ok(Became::Rows(rows)) => (rows, None),
                Ok(Became::Cannot(why)) => (Vec::new(), Some(why)),
                Err(error) if error.is_about_a_window() => (Vec::new(), Some(error.to_string())),
                Err(error) => return Err(error),
            };
            let at = time::now_ms();
            match self.writer.queue_intent(QueueIntent { id: intent.id, rows, cannot, at }).wait() {
                Ok(_) => given += 1,
                Err(WriteError::Conflict(outbox::Conflict::EffectKey)) => {
                    let cannot = Some("it is written in this form already".to_owned());
                    self.writer
                        .queue_intent(QueueIntent { id: intent.id, rows: vec![], cannot, at })
                        .wait()?;
                    given += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(given)
    }

    fn wish(&self, intent: &Intent, generation: &Generation) -> Result<Became, PipelineError> {
        let Ok(Wish::Flowsheet { form }) = serde_json::from_str::<Wish>(&intent.body) else {
            return Ok(Became::Cannot("its rows could not be made".to_owned()));
        };
        let window = match intent.window {
            None => None,
            Some(window) => self.readers.with(|reader| reader.window_by_id(window))?,
        };
        let Some(window) = window.filter(|window| window.version > 0) else {
            return Ok(Became::Cannot("its window was never published".to_owned()));
        };
        if window.due_at.is_some() {
            return Ok(Became::Waits);
        }
        if window.key.patient != intent.patient {
            return Ok(Became::Cannot("its window is another patient's now".to_owned()));
        }
        let id = format!("ehr:{}", window.site);
        let Some(destination) = generation.destination(&id) else {
            return Ok(Became::Cannot("its site has no EHR".to_owned()));
        };
        self.outcome_rows(intent, &window, &destination, generation, &form)
    }

    /// The rows of the version in force in a form.
    fn outcome_rows(
        &self,
        intent: &Intent,
        window: &Window,
        destination: &Destination,
        generation: &Generation,
        form: &str,
    ) -> Result<Became, PipelineError> {
        let cannot = |why: &str| Ok(Became::Cannot(why.to_owned()));
        let ways = &destination.ways;
        let Some(way) = ways.iter().find(|way| way.projection.name() == form) else {
            return cannot("the site no longer lists this form");
        };
        let stands = self.readers.with(|reader| reader.standing_version(window.id, &destination.id))?;
        let family = |name: &str| {
            ways.iter().find(|way| way.projection.name() == name).map(|way| way.projection.family())
        };
        if let Some(stands) = &stands
            && family(&stands.form) == Some(way.projection.family())
        {
            return cannot("the same resources stand already");
        }
        let members = self.readers.with(|reader| reader.members(window.key.patient))?;
        let windows = [window.clone()];
        let mut record = Record::of(&windows);
        let Some(computed) = self.compute(window, &members, generation, &mut record)? else {
            return cannot("its window has no readings any more");
        };
        if let Err(untaken) = way.form.takes(way.projection, &computed.outcome, computed.policy) {
            return Ok(Became::Cannot(untaken.to_string()));
        }
        let Some(site) = generation.site(&window.site) else { return Ok(Became::Waits) };
        let capability = way.carrier();
        let observed = self.observations.of(&destination.id, capability.name());
        let enters = match broker::closed(&destination.ceiling, capability, observed) {
            Some(reason) => Enters::Deferred(reason.word().to_owned()),
            None => Enters::Pending,
        };
        let made = self.in_form(window, site, &computed, destination, (way, enters))?;
        let mut targets = Vec::new();
        let mut rows = Vec::with_capacity(made.len() + 1);
        for row in made {
            if row.kind != PROVENANCE.name()
                && let Ok(write) = serde_json::from_slice::<Write>(&row.body)
            {
                targets.extend(write.resources.into_iter().map(|part| part.full_url));
            }
            rows.push(IntentRow {
                destination: row.destination,
                patient: None,
                kind: row.kind,
                form: row.form,
                priority: Priority::Clinician.rank(),
                version: Some((window.id, window.version)),
                key: Some(row.key),
                depends_on: row.depends_on,
                withdraws: false,
                enters: row.enters,
                body: row.body,
            });
        }
        let (key, nobody) = (hex(&intent.key), Subject::Reference(String::new()));
        let request = author_of(destination, &nobody, (&self.secret, &self.box_id), &key, signature(intent));
        let last = rows.len().checked_sub(1);
        if let (Some(request), false) = (request, targets.is_empty()) {
            match provenance_row(destination, &self.observations, &request, &targets, (false, last)) {
                Ok(row) => rows.push(row),
                Err(error) => return Ok(Became::Cannot(error.to_string())),
            }
        }
        Ok(Became::Rows(rows))
    }
}
