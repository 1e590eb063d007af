//! Whether what a draft says can stand: who may say it, what it refers to, what it changes, and whether it can ever count.

use std::collections::HashSet;

use fhir::{Code, Issue, Kind, search::terms};
use outbox::PatientKey;
use serde_json::Value;

use super::{
    super::{
        ask::Answer, body::Body, bounds::Bounds, caller::Act, check, readings, shelf::unreadable,
        stored::Stored,
    },
    Desk, Draft, of_their_patient_alone, unsearchable,
};

/// References of a resource that lead nowhere and are told.
const FAULTS_MOST: usize = 20;
/// References that a resource may have: a report of a year has some thousand.
const REFERENCES_MOST: usize = 2_000;

impl Desk<'_> {
    /// Whether what a draft says can stand: who may say it, what it refers to, what it changes. `new` are the references of
    /// what is written with it.
    ///
    /// Returns under how many keys it would be found.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub(in super::super) fn check(&self, draft: &Draft, new: &HashSet<String>) -> Result<usize, Answer> {
        let act = if draft.expected.is_some() { Act::Update } else { Act::Create };
        self.permitted(act, &draft.body)?;
        if let Some(standing) = &draft.standing {
            let changed = check::unchanged(draft.body.kind, standing, &draft.body.value);
            if !changed.is_empty() {
                return Err(Answer::outcome(422, &changed));
            }
            self.is_the_same_person(&draft.body, standing)?;
        }
        let terms = terms(draft.body.kind, &draft.body.value);
        if !terms.complete {
            return Err(unsearchable(draft.body.kind));
        }
        self.subject_is_one(&draft.body)?;
        self.references_lead_somewhere(&draft.body, new)?;
        self.can_count(&draft.body)?;
        // What it replaces is taken from under its own keys.
        let before = draft.standing.as_ref().map_or(0, |it| self::terms(draft.body.kind, it).terms.len());
        Ok(terms.terms.len() + before + draft.guards.len())
    }

    /// A reading, or a summary, that could never count is told now, and not set aside after its 201.
    fn can_count(&self, body: &Body) -> Result<(), Answer> {
        use clinical::normalize::fhir::{self as readings, Context};
        if body.kind != Kind::Observation || !readings::is_cgm(&body.value) {
            return Ok(());
        }
        let context = Context { zone: &self.site.clock, patient: &self.site.patient, message_id: 0 };
        if let Some(fault) = readings::fault_of(&body.value, &context) {
            let issue = Issue::error(Code::BusinessRule, fault.reason.to_string()).at(fault.place);
            return Err(Answer::refusal(422, issue));
        }
        let subject = &body.value["subject"];
        let is_named = subject["identifier"].is_object()
            || subject["reference"].as_str().is_some_and(|reference| {
                reference.starts_with('#') || matches!(check::local(reference, &[]), Some(("Patient", _)))
            });
        if is_named {
            return self.is_of_the_site(&subject["identifier"]);
        }
        let text =
            "whose it is cannot be told: name a Patient of this server, or an identifier of the patient";
        Err(Answer::refusal(422, Issue::error(Code::BusinessRule, text).at("Observation.subject")))
    }

    /// A logical identifier is of the system that names the site's patients, or known already: of another one nobody would ever
    /// be found.
    fn is_of_the_site(&self, identifier: &Value) -> Result<(), Answer> {
        if !identifier.is_object() {
            return Ok(());
        }
        let patient = serde_json::json!({ "identifier": [identifier] });
        let Err(fault) = clinical::normalize::fhir::named(&patient, &self.site.patient) else {
            return Ok(());
        };
        let text = |name: &str| identifier[name].as_str().unwrap_or_default().trim().to_owned();
        let key = PatientKey { site: self.site.id.clone(), system: text("system"), value: text("value") };
        if self.reader.find_patient(&key).map_err(|error| unreadable(&error))?.is_some() {
            return Ok(());
        }
        let text = format!("{fault}{}, and nobody is known by this one", self.system_told());
        let issue = Issue::error(Code::BusinessRule, text).at("Observation.subject.identifier");
        Err(Answer::refusal(422, issue))
    }

    /// A Patient stays who they are: other identifiers may come and go.
    fn is_the_same_person(&self, body: &Body, standing: &Value) -> Result<(), Answer> {
        let rule = &self.site.patient;
        let named = |patient: &Value| clinical::normalize::fhir::named(patient, rule).ok();
        if body.kind != Kind::Patient || named(&body.value) == named(standing) {
            return Ok(());
        }
        let text = "the identifier by which the site names this patient stays; who they are is said by the hospital's messages";
        Err(Answer::refusal(422, Issue::error(Code::BusinessRule, text).at("Patient.identifier")))
    }

    /// Where a subject is a Patient of this server and has an identifier beside, the two are one person: readings go by the
    /// identifier, and who may see them by the reference.
    fn subject_is_one(&self, body: &Body) -> Result<(), Answer> {
        for name in ["subject", "patient", "for"] {
            let subject = &body.value[name];
            let stated = &subject["identifier"];
            let Some(("Patient", id)) =
                subject["reference"].as_str().and_then(|text| check::local(text, &self.context.bases))
            else {
                continue;
            };
            if stated.is_null() {
                continue;
            }
            let patient = Stored::read(self.reader, &self.site.id, Kind::Patient, id, None)?;
            let patient = patient.map(|patient| patient.value()).transpose()?.unwrap_or_default();
            // Whoever may not see the Patient does not learn by it which identifiers are theirs.
            let is_seen = self.bounds(Act::Read, Kind::Patient).is_ok_and(|bounds| bounds.hold(&patient));
            let is_theirs = |it: &Value| it["system"] == stated["system"] && it["value"] == stated["value"];
            if !is_seen || !patient["identifier"].as_array().into_iter().flatten().any(is_theirs) {
                let text = "the identifier is none of the Patient that the reference leads to, as far as the caller may see \
                    them; send one of the two";
                let place = format!("{}.{name}.identifier", body.kind.name());
                return Err(Answer::refusal(422, Issue::error(Code::BusinessRule, text).at(place)));
            }
        }
        Ok(())
    }

    /// Whether the caller may write this: also, whom it is about.
    fn permitted(&self, act: Act, body: &Body) -> Result<(), Answer> {
        let bounds = self.bounds(act, body.kind)?;
        if matches!(bounds, Bounds::All) {
            return Ok(());
        }
        if !bounds.hold(&body.value)
            || (body.kind == Kind::Provenance && !self.is_about_theirs(&body.value)?)
        {
            return Err(of_their_patient_alone(act, body.kind));
        }
        Ok(())
    }

    /// Whether all that a Provenance is about is what the caller may see: it comes along with that.
    fn is_about_theirs(&self, provenance: &Value) -> Result<bool, Answer> {
        for target in provenance["target"].as_array().into_iter().flatten() {
            let reference = target["reference"].as_str().unwrap_or_default();
            let Some((kind, id)) = check::local(reference, &self.context.bases) else { continue };
            let Some(kind) = Kind::named(kind).filter(|kind| *kind != Kind::Patient) else { continue };
            let Some(stored) = Stored::read(self.reader, &self.site.id, kind, id, None)? else { continue };
            if !self
                .bounds(Act::Read, kind)
                .is_ok_and(|bounds| stored.value().is_ok_and(|it| bounds.hold(&it)))
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// References to resources of this server lead to one that stands, or is written with it.
    fn references_lead_somewhere(&self, body: &Body, new: &HashSet<String>) -> Result<(), Answer> {
        let mut issues = Vec::new();
        let references = check::references(&body.value);
        if references.len() > REFERENCES_MOST {
            return Err(unsearchable(body.kind));
        }
        for reference in references {
            if issues.len() >= FAULTS_MOST {
                break;
            }
            if let Some(text) = check::misdirected(reference.text) {
                issues.push(Issue::error(Code::Invalid, text).at(reference.expression));
                continue;
            }
            if reference.text.starts_with("urn:") {
                let text = "it leads to nothing: a urn names what stands in the same transaction";
                issues.push(Issue::error(Code::NotFound, text).at(reference.expression));
                continue;
            }
            let Some((kind, id)) = check::local(reference.text, &self.context.bases) else { continue };
            if new.contains(&format!("{kind}/{id}")) {
                continue;
            }
            // What is of a kind that is not kept here is somebody else's, whatever their base.
            let Some(kind) = Kind::named(kind) else { continue };
            if self.leads_nowhere(kind, id)? {
                let text =
                    format!("there is no such {}; send it first, or in the same transaction", kind.name());
                issues.push(Issue::error(Code::NotFound, text).at(reference.expression));
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(Answer::outcome(422, &issues)) }
    }

    fn leads_nowhere(&self, kind: Kind, id: &str) -> Result<bool, Answer> {
        let site = &*self.site.id;
        Ok(if readings::is_name(kind, id) {
            readings::found(self.reader, (site, self.secret), id)?.is_none()
        } else {
            !Stored::is_there(self.reader, site, kind, id)?
        })
    }
}
