//! The Provenance of what the box itself marks as entered in error: an outcome of which no reading is left.
//!
//! Invariants: it has no author but the box; it goes where the Provenance of the outcome went, in the shape that the form
//! lists; it has an identifier of its own, so that neither the Provenance of a version nor another taking back is found in
//! its place; the same taking back is the same bytes, for nothing here reads a clock.
//!
//! Source: FHIR R4 Provenance; `NULLIFY` of v3 DataOperation.

use serde_json::{Value, json};

use super::{
    form::Form,
    identifier::{self, SiteSecret},
    project::{Body, Item, Search},
    projection::{Kind, Leak, Projection, ProvenanceForm, sealed},
    provenance::{ACTIVITY_SYSTEM, AGENT_TYPE_SYSTEM, BOX_SYSTEM, Maker, TAKEN_BACK, instant},
    release,
};
use crate::reading::Instant;

/// What the entity of such a Provenance is called.
pub const OWN_INTENT: &str = "Intent of the box";

/// What is taken back.
#[derive(Clone, Copy)]
pub struct TakenBack<'a> {
    /// The form in which the outcome stands.
    pub projection: Projection,
    /// What the site chose within it.
    pub form: &'a Form,
    /// The destination's configured id.
    pub destination: &'a str,
    /// The box's secret.
    pub secret: &'a SiteSecret,
    /// The key of this taking back.
    pub key: &'a str,
    /// The box.
    pub maker: Maker<'a>,
    /// When it was decided.
    pub recorded: Instant,
    /// The `urn:uuid:`s of what is marked.
    pub targets: &'a [String],
}

/// Says that the box marked the targets, and why; `None` where the form has no Provenance, or there is no target.
///
/// # Errors
/// [`Leak`] where the form does not list an element of it; a defect.
pub fn provenance(of: &TakenBack<'_>) -> Result<Option<Item>, Leak> {
    let takes = matches!(of.projection.provenance(), ProvenanceForm::InBundle | ProvenanceForm::After);
    let (true, true, false) = (takes, of.form.provenance, of.targets.is_empty()) else { return Ok(None) };
    let Some(recorded) = instant(of.recorded) else { return Ok(None) };
    let identifier = identifier::intent(of.secret, of.destination, of.key, "taken-back");
    let targets: Vec<Value> = of.targets.iter().map(|target| json!({ "reference": target })).collect();
    let json = json!({
        "resourceType": "Provenance",
        "target": targets,
        "recorded": recorded,
        "reason": [{ "text": TAKEN_BACK }],
        "activity": { "coding": [{ "system": ACTIVITY_SYSTEM, "code": "NULLIFY" }] },
        "agent": [{
            "type": { "coding": [{ "system": AGENT_TYPE_SYSTEM, "code": "assembler" }] },
            "who": {
                "type": "Device",
                "identifier": { "system": BOX_SYSTEM, "value": of.maker.box_id },
                "display": format!("Isthmus {}", of.maker.software),
            },
        }],
        "entity": [{
            "role": "source",
            "what": { "identifier": identifier.to_json(), "display": OWN_INTENT },
        }],
    });
    let resource = release::write(of.form.release, &json);
    sealed(of.projection, of.form, &resource)?;
    Ok(Some(Item {
        kind: Kind::Provenance,
        category: None,
        slug: "taken-back".to_owned(),
        if_none_exist: of
            .projection
            .conditional()
            .then(|| format!("entity:identifier={}", identifier.token())),
        reconcile: Search::Entity(identifier.token()),
        identifier,
        needs: Vec::new(),
        body: Body::Resource(resource),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::form::Dates;

    fn made(projection: Projection, form: &Form, targets: &[String]) -> Option<Item> {
        let of = TakenBack {
            projection,
            form,
            destination: "ehr:main",
            secret: &SiteSecret::new([7; 32]),
            key: "k",
            maker: Maker { box_id: "box-1", software: "0.1.0" },
            recorded: Instant(1_772_409_600_000),
            targets,
        };
        provenance(&of).unwrap()
    }

    #[test]
    fn what_was_taken_back_says_so_where_the_form_has_a_provenance_and_nowhere_else() {
        let targets = ["urn:uuid:00000000-0000-8000-8000-000000000001".to_owned()];
        for projection in Projection::ALL {
            let form = Form::of(projection);
            let item = made(projection, &form, &targets);
            let takes = matches!(
                projection,
                Projection::CgmIg | Projection::PlainR4 | Projection::PlainR5 | Projection::UpstreamSummary
            );
            assert_eq!(item.is_some(), takes, "{projection:?}");
            let Some(item) = item else { continue };
            let said = item.resource().unwrap();
            assert_eq!(said["activity"]["coding"][0]["code"], "NULLIFY");
            assert_eq!(said["target"][0]["reference"], targets[0].as_str());
            assert_eq!(said["agent"].as_array().unwrap().len(), 1, "nobody but the box");
            assert!(made(projection, &form, &[]).is_none());
            assert!(made(projection, &Form { provenance: false, ..form }, &targets).is_none());
        }
        assert_eq!(Form::of(Projection::UpstreamSummary).dates, Dates::Full);
    }
}
