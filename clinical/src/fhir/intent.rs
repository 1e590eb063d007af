//! What a person at a site wants written: a note, a goal, an outcome in another form, or that what stands is taken back.
//!
//! Invariants and numbers:
//! - The kinds are closed ([`Wish`]); the only free words are a note's text ([`TEXT_MOST_BYTES`]) and the names and roles as
//!   they were given ([`NAME_MOST_BYTES`]). Neither holds a control character (a text may hold line feeds), neither is in any
//!   `Debug` output, and a text leaves only where the site takes notes (`projection/sealed.rs`).
//! - Whoever is meant to have said it is named: in a Provenance (author, enterer, the person it was done for, and the box as
//!   assembler), and in the head of a note, for sites that have no Provenance.
//! - The same request is the same bytes: nothing here reads a clock.
//!
//! Sources: FHIR R4 DocumentReference, Goal and Provenance; `provenance-participant-type` for the roles; what the vendors ask
//! of a document is in the reference (ehr, section 1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::{
    form::Form,
    identifier::{self, Identifier, SiteSecret},
    project::{Body, Item, NOTE_CATEGORY, NOTE_CATEGORY_SYSTEM, Search},
    projection::{Kind, Leak, Projection, sealed},
    provenance::{ACTIVITY_SYSTEM, AGENT_TYPE_SYSTEM, BOX_SYSTEM, Maker, instant},
    release::{self, Release},
    subject::Subject,
};
use crate::{calendar::LocalDay, reading::Instant};

mod wish;
use wish::is_text;
pub use wish::{Goal, GoalUnit, NAME_MOST_BYTES, Signature, TEXT_MOST_BYTES, Wish, WishFault};
pub(super) use wish::{is_goal, is_name};

/// Longest document: the text and our head, which has five lines of names at the most.
const DOCUMENT_MOST_BYTES: usize = TEXT_MOST_BYTES + 6 * NAME_MOST_BYTES + 400;
/// What people read as the title of such a note, and what its text begins with.
pub const TITLE: &str = "Note by a clinician";
/// What the entity of a Provenance is called.
pub const ENTITY_DISPLAY: &str = "Intent entered at the box";
/// LOINC's code for a note of no further kind, for a site that chose no type of its documents.
pub const NOTE_CODE: &str = "34109-9";
/// What is written from. No Debug: it names people.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The form of the site that it goes beside: its vendor's manners.
    pub carrier: Projection,
    /// What the site chose for such writes.
    pub form: &'a Form,
    /// The destination's configured id.
    pub destination: &'a str,
    /// Whom the resources name.
    pub subject: &'a Subject,
    /// The box's secret.
    pub secret: &'a SiteSecret,
    /// The intent's own key.
    pub key: &'a str,
    /// What it is about, in our words: the dates of an outcome; `None` for the patient.
    pub about: Option<&'a str>,
    /// Who wants it.
    pub signed: Signature<'a>,
    /// The box.
    pub maker: Maker<'a>,
}

/// A document with a text. A goal of a site that takes none goes so too.
///
/// # Errors
/// [`Leak`]: an element that may not leave, or the text is none.
pub fn note(request: &Request<'_>, text: &str) -> Result<Item, Leak> {
    let Request { carrier, form, .. } = *request;
    let identifier = request.identifier("note");
    let second = Instant(request.signed.entered.0 - request.signed.entered.0.rem_euclid(1_000));
    let at = instant(second).unwrap_or_default();
    let text = document_text(request, text, &at);
    let coding = &form.document;
    let size = match form.release {
        Release::R4 => json!(text.len()),
        Release::R5 => json!(text.len().to_string()),
    };
    let mut json = json!({
        "resourceType": "DocumentReference",
        "identifier": [identifier.to_json()],
        "status": "current",
        // Epic files drafts that people review (reference: ehr, section 1).
        "docStatus": if carrier == Projection::EpicNote { "preliminary" } else { "final" },
        "type": { "coding": [{ "system": coding.system, "code": coding.code }], "text": TITLE },
        "category": [{ "coding": [{ "system": NOTE_CATEGORY_SYSTEM, "code": NOTE_CATEGORY }] }],
        "subject": request.subject.to_json(),
        "date": at,
        "description": TITLE,
        "content": [{ "attachment": {
            "contentType": "text/plain",
            "data": STANDARD.encode(&text),
            "size": size,
            "hash": STANDARD.encode(Sha1::digest(&text)),
            "title": TITLE,
        } }],
        "context": { "period": { "start": at, "end": at } },
    });
    if let (Some(performer), Value::Object(fields)) = (&form.performer, &mut json) {
        fields.insert("author".to_owned(), json!([{ "reference": performer }]));
    }
    // R5 has another `context`.
    if let (Release::R5, Value::Object(fields)) = (form.release, &mut json) {
        fields.remove("context");
    }
    let reconcile = match carrier.conditional() {
        true => Search::Identifier(identifier.token()),
        false => Search::Content {
            parameter: "type",
            token: format!("{}|{}", coding.system, coding.code),
            when: "period",
            day: LocalDay(second.utc_day()),
        },
    };
    request.item(Kind::DocumentReference, "note", identifier, reconcile, json)
}

/// A goal as a resource of its own.
///
/// # Errors
/// As [`note`].
pub fn goal(request: &Request<'_>, goal: Goal) -> Result<Item, Leak> {
    let identifier = request.identifier("goal");
    let day = LocalDay(request.signed.entered.utc_day());
    let json = json!({
        "resourceType": "Goal",
        "identifier": [identifier.to_json()],
        "lifecycleStatus": "active",
        "description": { "text": goal.words() },
        "subject": request.subject.to_json(),
        "startDate": day.to_string(),
        "target": [goal.target()],
    });
    let search = Search::Identifier(identifier.token());
    request.item(Kind::Goal, "goal", identifier, search, json)
}

/// Who said that the targets be written, or be taken back. `targets` are their `urn:uuid:`s.
///
/// # Errors
/// As [`note`].
pub fn provenance(request: &Request<'_>, targets: &[String], withdraws: bool) -> Result<Item, Leak> {
    let signed = &request.signed;
    let identifier = request.identifier("provenance");
    let typed = |code: &str| json!({ "coding": [{ "system": AGENT_TYPE_SYSTEM, "code": code }] });
    let mut author = json!({ "type": typed("author"), "who": { "display": signed.author } });
    if let Some(role) = signed.role {
        author["role"] = json!([{ "text": role }]);
    }
    if let Some(behalf) = signed.behalf {
        author["onBehalfOf"] = json!({ "display": behalf });
    }
    let mut agents = vec![author];
    agents.extend(
        signed.transcriber.map(|name| json!({ "type": typed("enterer"), "who": { "display": name } })),
    );
    agents.push(json!({ "type": typed("assembler"), "who": {
        "type": "Device",
        "identifier": { "system": BOX_SYSTEM, "value": request.maker.box_id },
        "display": format!("Isthmus {}", request.maker.software),
    } }));
    let json = json!({
        "resourceType": "Provenance",
        "target": targets.iter().map(|target| json!({ "reference": target })).collect::<Vec<_>>(),
        "recorded": instant(signed.entered).unwrap_or_default(),
        "activity": { "coding": [{
            "system": ACTIVITY_SYSTEM, "code": if withdraws { "NULLIFY" } else { "CREATE" },
        }] },
        "agent": agents,
        "entity": [{
            "role": "source",
            "what": { "identifier": identifier.to_json(), "display": ENTITY_DISPLAY },
        }],
    });
    let search = match request.carrier.conditional() {
        true => Search::Entity(identifier.token()),
        false => Search::Target,
    };
    request.item(Kind::Provenance, "provenance", identifier, search, json)
}

/// Marks a resource that stands as entered in error; whether it is one that can be.
pub fn withdraw(resource: &mut Value) -> bool {
    let known = ["Observation", "DiagnosticReport"];
    let can = resource["resourceType"].as_str().is_some_and(|kind| known.contains(&kind))
        && resource["status"].is_string();
    if can {
        resource["status"] = "entered-in-error".into();
    }
    can
}

/// Whether what stands in a form can be marked as entered in error. Neither vendor's interface documents that status
/// (reference: ehr, section 1), a note is a document that a person reviews, and a message has another way.
pub const fn withdrawable(projection: Projection) -> bool {
    matches!(
        projection,
        Projection::CgmIg | Projection::PlainR4 | Projection::PlainR5 | Projection::UpstreamSummary
    )
}

impl Request<'_> {
    fn identifier(&self, part: &str) -> Identifier {
        identifier::intent(self.secret, self.destination, self.key, part)
    }

    fn item(
        &self,
        kind: Kind,
        slug: &str,
        identifier: Identifier,
        reconcile: Search,
        json: Value,
    ) -> Result<Item, Leak> {
        let parameter = if kind == Kind::Provenance { "entity:identifier" } else { "identifier" };
        let resource = release::write(self.form.release, &json);
        sealed(Projection::Intent, self.form, &resource)?;
        Ok(Item {
            kind,
            category: None,
            slug: slug.to_owned(),
            if_none_exist: self.carrier.conditional().then(|| format!("{parameter}={}", identifier.token())),
            identifier,
            reconcile,
            needs: Vec::new(),
            body: Body::Resource(resource),
        })
    }
}

fn document_text(request: &Request<'_>, text: &str, at: &str) -> String {
    let signed = &request.signed;
    let role = signed.role.map(|role| format!(", {role}")).unwrap_or_default();
    let mut lines = vec![TITLE.to_owned(), format!("Author: {}{role}", signed.author)];
    lines.extend(signed.behalf.map(|behalf| format!("On behalf of: {behalf}")));
    lines.push(match signed.transcriber {
        Some(name) => format!("Entered by {name} for {}, {at}", signed.author),
        None => format!("Entered by {}, {at}", signed.author),
    });
    lines.push(format!("About: {}", request.about.unwrap_or("the patient")));
    lines.push(format!("Written through Isthmus {}", request.maker.software));
    lines.push(String::new());
    lines.push(text.trim_end().to_owned());
    lines.join("\n") + "\n"
}

/// True for a whole document: our title, then lines without control characters, within the bound.
pub(super) fn is_document(text: &str) -> bool {
    text.len() <= DOCUMENT_MOST_BYTES && text.starts_with(TITLE) && is_text(text)
}

#[cfg(test)]
#[path = "intent_tests.rs"]
mod tests;
