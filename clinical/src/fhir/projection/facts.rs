//! What each projection is like: the vendor's rules, each with where it is from.
//!
//! Source of all that is not said otherwise: reference: ehr, section 1 (read in the vendors' texts), and FHIR R4.

use super::Projection;
use crate::fhir::{
    form::{Category, CategorySystem, TimeForm},
    metric::Metric,
    release::Release,
    summary::{Status, Wording},
};

/// How resources travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// All in one transaction Bundle.
    Transaction,
    /// Each in a request of its own, its references resolved to what stands already.
    Single,
}

/// What becomes of what stands when a later version comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Amends {
    /// It is replaced: a PUT to where it stands, with If-Match.
    Update,
    /// It stays, and the later version is another document or message that says which one it replaces.
    Anew,
    /// Nothing is written: what was written first stands, and people are told.
    Never,
}

/// What goes with the numbers to say where they are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProvenanceForm {
    /// One Provenance about all, in the Bundle of its targets.
    InBundle,
    /// One about all, in a request of its own afterwards.
    After,
    /// One for each resource, because a Provenance has one target there.
    Each,
    /// None.
    None,
}

/// A kind of what is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An Observation.
    Observation,
    /// A Provenance.
    Provenance,
    /// A DocumentReference.
    DocumentReference,
    /// A DiagnosticReport.
    DiagnosticReport,
    /// A message of HL7 v2.
    Message,
    /// A Goal.
    Goal,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Observation,
        Self::Provenance,
        Self::DocumentReference,
        Self::DiagnosticReport,
        Self::Message,
        Self::Goal,
    ];

    /// The kind of a name; `None` for any other text.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name of the resource, and `message`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observation => "Observation",
            Self::Provenance => "Provenance",
            Self::DocumentReference => "DocumentReference",
            Self::DiagnosticReport => "DiagnosticReport",
            Self::Message => "message",
            Self::Goal => "Goal",
        }
    }
}

impl Projection {
    /// All that an outcome or its readings can be written in.
    pub const ALL: [Self; 10] = [
        Self::CgmIg,
        Self::PlainR4,
        Self::PlainR5,
        Self::EpicFlowsheet,
        Self::EpicNote,
        Self::MillenniumLab,
        Self::MillenniumDocument,
        Self::OruR01,
        Self::UpstreamSummary,
        Self::CgmReadings,
    ];

    /// The name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CgmIg => "cgm-ig",
            Self::PlainR4 => "plain-r4",
            Self::PlainR5 => "plain-r5",
            Self::EpicFlowsheet => "epic-flowsheet",
            Self::EpicNote => "epic-note",
            Self::MillenniumLab => "millennium-lab",
            Self::MillenniumDocument => "millennium-document",
            Self::OruR01 => "oru-r01",
            Self::UpstreamSummary => "upstream-summary",
            Self::CgmReadings => "cgm-readings",
            Self::Intent => "intent",
        }
    }

    /// The projection of a name; `None` for any other text.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|projection| projection.name() == name)
    }

    /// What resources of one destination have their identifiers apart by. The guide's and the plain ones are the same
    /// resources, so one that falls back from one to the other finds what stands; all others are resources of their own.
    pub const fn family(self) -> &'static str {
        match self {
            Self::CgmIg | Self::PlainR4 | Self::PlainR5 | Self::CgmReadings => "",
            other => other.name(),
        }
    }

    /// The kinds that it makes.
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::CgmIg => &[Kind::Observation, Kind::Provenance, Kind::DiagnosticReport],
            Self::PlainR4 | Self::PlainR5 | Self::MillenniumLab | Self::UpstreamSummary => {
                &[Kind::Observation, Kind::Provenance]
            }
            Self::EpicFlowsheet | Self::CgmReadings => &[Kind::Observation],
            Self::EpicNote => &[Kind::DocumentReference],
            Self::MillenniumDocument => &[Kind::DocumentReference, Kind::Provenance],
            Self::OruR01 => &[Kind::Message],
            Self::Intent => &[Kind::DocumentReference, Kind::Goal, Kind::Provenance],
        }
    }

    /// How its resources travel. The guide has its Bundle; a plain server has at least `create` (reference: cgm,
    /// section 6), and neither EHR's interface takes these in a Bundle.
    pub const fn style(self) -> Style {
        match self {
            Self::CgmIg | Self::UpstreamSummary | Self::CgmReadings => Style::Transaction,
            _ => Style::Single,
        }
    }

    /// Whether a create may be conditional (If-None-Exist). Neither EHR documents it.
    pub const fn conditional(self) -> bool {
        match self {
            Self::CgmIg
            | Self::PlainR4
            | Self::PlainR5
            | Self::UpstreamSummary
            | Self::CgmReadings
            | Self::Intent => true,
            Self::EpicFlowsheet
            | Self::EpicNote
            | Self::MillenniumLab
            | Self::MillenniumDocument
            | Self::OruR01 => false,
        }
    }

    /// What becomes of what stands. A second value in a flowsheet row is a second reading. For a note at Epic neither an
    /// update nor `relatesTo` is documented, and what is not known may be refused: the later note says in its text which
    /// version it replaces. Millennium takes a PUT (409 for a stale version). A message corrects by its OBR-3.
    pub const fn amends(self) -> Amends {
        match self {
            Self::EpicFlowsheet => Amends::Never,
            Self::EpicNote | Self::OruR01 => Amends::Anew,
            _ => Amends::Update,
        }
    }

    /// The statuses that it knows.
    pub const fn statuses(self) -> &'static [Status] {
        match self {
            Self::EpicFlowsheet | Self::EpicNote => &[Status::Final],
            _ => &[Status::Final, Status::Amended, Status::Corrected],
        }
    }

    /// How it says when; the first is its default.
    pub const fn times(self) -> &'static [TimeForm] {
        match self {
            Self::PlainR4 | Self::PlainR5 => &[TimeForm::Period, TimeForm::DateTime],
            Self::EpicFlowsheet | Self::MillenniumLab => &[TimeForm::DateTime],
            _ => &[TimeForm::Period],
        }
    }

    /// The releases of FHIR that it is written in; the first is its default.
    pub const fn releases(self) -> &'static [Release] {
        match self {
            Self::CgmIg | Self::CgmReadings | Self::UpstreamSummary => &[Release::R4, Release::R5],
            Self::PlainR5 => &[Release::R5],
            _ => &[Release::R4],
        }
    }

    /// The categories with their coding systems; the first is its default. The guide mandates none. Epic files vital
    /// signs under the old system; at Millennium the codes of CGM are not among the vital signs.
    pub const fn categories(self) -> &'static [(Category, CategorySystem)] {
        const LABORATORY: (Category, CategorySystem) = (Category::Laboratory, CategorySystem::Terminology);
        const VITAL: (Category, CategorySystem) = (Category::VitalSigns, CategorySystem::Terminology);
        const OLD: (Category, CategorySystem) = (Category::VitalSigns, CategorySystem::Old);
        match self {
            Self::EpicFlowsheet => &[OLD, VITAL],
            Self::MillenniumLab | Self::CgmIg | Self::PlainR4 | Self::PlainR5 => &[LABORATORY, VITAL],
            _ => &[LABORATORY],
        }
    }

    /// What says where the numbers are from. At Millennium a Provenance has one target; at Epic none was found that may
    /// be created, and a message has none: the note says it instead, and the store keeps it in every case.
    pub const fn provenance(self) -> ProvenanceForm {
        match self {
            Self::CgmIg => ProvenanceForm::InBundle,
            Self::PlainR4 | Self::PlainR5 | Self::UpstreamSummary | Self::Intent => ProvenanceForm::After,
            Self::MillenniumLab | Self::MillenniumDocument => ProvenanceForm::Each,
            Self::EpicFlowsheet | Self::EpicNote | Self::OruR01 | Self::CgmReadings => ProvenanceForm::None,
        }
    }

    /// Whether it writes a row for each mapped number instead of the guide's Observations.
    pub const fn flat(self) -> bool {
        matches!(self, Self::EpicFlowsheet | Self::MillenniumLab)
    }

    /// Whether a member of the panel may be left out: the guide's panel has six.
    pub const fn members_may_be_left_out(self) -> bool {
        matches!(self, Self::PlainR4 | Self::PlainR5)
    }

    /// Whether what has no code in LOINC may go under our own.
    pub const fn local_codes(self) -> bool {
        matches!(self, Self::CgmIg | Self::PlainR4 | Self::PlainR5 | Self::UpstreamSummary | Self::OruR01)
    }

    /// Whether its resources have a place for an encounter that we fill.
    pub const fn encounters(self) -> bool {
        !matches!(self, Self::UpstreamSummary | Self::CgmReadings | Self::OruR01)
    }

    /// Whether a sentence stands beside a number unless the site says otherwise. Of a flowsheet row no comment is known.
    pub const fn words(self) -> bool {
        !matches!(self, Self::EpicFlowsheet | Self::UpstreamSummary)
    }

    /// The metrics that it may carry as Observations of the guide (one of the two means at a time).
    pub const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::CgmIg | Self::PlainR4 | Self::PlainR5 | Self::UpstreamSummary => &Metric::ALL,
            _ => &[],
        }
    }

    /// True where the Provenance goes in the Bundle of its Observations; otherwise it goes afterwards,
    /// in a request of its own, with its references resolved.
    pub const fn provenance_in_bundle(self) -> bool {
        matches!(self.provenance(), ProvenanceForm::InBundle)
    }

    /// How much free text the builders may add where the site permits it.
    pub const fn wording(self) -> Wording {
        match self {
            Self::UpstreamSummary => Wording::Terse,
            _ => Wording::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_projections_and_back() {
        for projection in Projection::ALL {
            assert_eq!(Projection::of_name(projection.name()), Some(projection));
        }
        assert_eq!(Projection::of_name("EPIC-NOTE"), None);
        assert!(Kind::ALL.iter().all(|kind| Kind::of_name(kind.name()) == Some(*kind)));
    }

    #[test]
    fn what_the_reference_says_of_each_vendor() {
        use Projection::{EpicFlowsheet, EpicNote, MillenniumDocument, MillenniumLab};
        assert_eq!(EpicFlowsheet.amends(), Amends::Never, "a repeat is a second reading");
        assert_eq!(EpicFlowsheet.statuses(), [Status::Final]);
        assert_eq!(EpicFlowsheet.categories()[0].1.uri(), "http://hl7.org/fhir/observation-category");
        assert_eq!(MillenniumLab.amends(), Amends::Update);
        assert_eq!(MillenniumLab.provenance(), ProvenanceForm::Each, "one target");
        for vendor in [EpicFlowsheet, EpicNote, MillenniumLab, MillenniumDocument] {
            assert!(!vendor.conditional(), "not documented");
            assert_eq!((vendor.style(), vendor.releases()), (Style::Single, &[Release::R4][..]));
        }
        assert_eq!(Projection::PlainR5.releases(), [Release::R5]);
    }
}
