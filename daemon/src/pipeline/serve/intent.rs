//! What a person wants written, as a Task.

use clinical::{
    fhir::{
        intent::Wish,
        metric::Metric,
        task::{self, Stage, State},
    },
    reading::Instant,
};
use fhir::Kind;
use outbox::{Intent, IntentState, Shown};
use serde_json::Value;

use super::{
    Unmade,
    sheet::{Sheet, reference},
};

/// The Task (R4) of an intent about `patient` (`Patient/<id>`) and, where it is about an outcome, `focus`
/// (`Observation/<id>`). Without `id`.
pub fn task_of(intent: &Intent, patient: &str, focus: Option<&str>) -> Value {
    let wish: Option<Wish> = serde_json::from_str(&intent.body).ok();
    task::task(&task::Intent {
        wish: wish.as_ref(),
        kind: &intent.kind,
        patient,
        focus,
        author: &intent.author,
        entered: Instant(intent.entered_at),
        state: state(intent),
    })
}

fn state(intent: &Intent) -> State<'_> {
    let stage = match intent.state {
        IntentState::Waiting => Stage::Waiting,
        IntentState::Held => Stage::Held,
        IntentState::Queued => Stage::Queued,
        IntentState::Done => Stage::Done,
        IntentState::Withdrawn => Stage::Withdrawn,
        IntentState::Expired => Stage::Expired,
    };
    State { stage, reason: &intent.reason, since: Instant(intent.state_at) }
}

pub(super) fn task(sheet: &mut Sheet<'_>, id: i64) -> Result<(), Unmade> {
    let reader = sheet.reader;
    let Some(intent) = reader.intent(id)?.filter(|intent| !intent.own) else { return Ok(()) };
    let Some(name) = reader.name(intent.patient)? else { return Ok(()) };
    let place = sheet.place(Shown::Intent, id, "")?;
    // What stands, a client's own words among it, stays as it is but for its state.
    if let Some(mut json) = place.json()? {
        task::set(&mut json, &state(&intent), place.release());
        sheet.put(place, &name.key.site, &json)?;
        return Ok(());
    }
    let whose = if name.alias { reader.owner(intent.patient)? } else { Some(intent.patient) };
    let Some(whose) = whose else { return Err(Unmade::Later) };
    let Some(patient) = sheet.patient(whose)? else { return Err(Unmade::Later) };
    let focus = match intent.window {
        Some(window) => reader.resource_showing(Shown::Window, window, Metric::Summary.slug())?,
        None => None,
    };
    let focus = focus.map(|id| reference(Kind::Observation, id));
    sheet.put(place, &name.key.site, &task_of(&intent, &patient, focus.as_deref()))?;
    Ok(())
}
