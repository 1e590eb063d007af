//! What a site permits or refuses as one thing: a kind of resource and, of Observations, a category.
//!
//! An EHR that refuses vital signs may well take laboratory results, and the other way round, so what is learned of the
//! one says nothing about the other. A row of the queue names its capability as its kind.

use std::fmt;

pub use clinical::fhir::form::Category;

/// A kind of resource that may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// `Observation`: the outcomes.
    Observation,
    /// `Provenance`: where they come from.
    Provenance,
    /// `DiagnosticReport`: their report.
    DiagnosticReport,
    /// `DocumentReference`: a note about them.
    DocumentReference,
    /// A message of HL7 v2 that holds them.
    Message,
    /// `Goal`: what a clinician set.
    Goal,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Observation,
        Self::Provenance,
        Self::DiagnosticReport,
        Self::DocumentReference,
        Self::Message,
        Self::Goal,
    ];

    /// The FHIR name of the kind, and `message`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observation => "Observation",
            Self::Provenance => "Provenance",
            Self::DiagnosticReport => "DiagnosticReport",
            Self::DocumentReference => "DocumentReference",
            Self::Message => "message",
            Self::Goal => "Goal",
        }
    }
}

/// A capability: what may be permitted or refused on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capability {
    /// The kind of resource.
    pub resource: ResourceKind,
    /// Of an Observation, its category. In a list of what is permitted, `None` is any.
    pub category: Option<Category>,
}

impl Capability {
    /// Observations of a category.
    pub const fn observation(category: Category) -> Self {
        Self { resource: ResourceKind::Observation, category: Some(category) }
    }

    /// A kind without categories.
    pub const fn of(resource: ResourceKind) -> Self {
        Self { resource, category: None }
    }

    /// Its name in the queue, in status and in metrics: `Observation/laboratory`, `Provenance`.
    pub const fn name(self) -> &'static str {
        match (self.resource, self.category) {
            (ResourceKind::Observation, Some(Category::Laboratory)) => "Observation/laboratory",
            (ResourceKind::Observation, Some(Category::VitalSigns)) => "Observation/vital-signs",
            (resource, _) => resource.name(),
        }
    }

    /// Every capability, and `Observation` for those of any category.
    pub const ALL: [Self; 8] = [
        Self::of(ResourceKind::Observation),
        Self::observation(Category::Laboratory),
        Self::observation(Category::VitalSigns),
        Self::of(ResourceKind::Provenance),
        Self::of(ResourceKind::DiagnosticReport),
        Self::of(ResourceKind::DocumentReference),
        Self::of(ResourceKind::Message),
        Self::of(ResourceKind::Goal),
    ];

    /// The capability of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }

    /// Whether what is permitted here includes the other.
    pub fn includes(self, other: Self) -> bool {
        self.resource == other.resource && (self.category.is_none() || self.category == other.category)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_capability_and_no_two_share_one() {
        for capability in Capability::ALL {
            assert_eq!(Capability::named(capability.name()), Some(capability));
        }
        assert_eq!(Capability::named("Patient"), None);
    }

    #[test]
    fn a_kind_includes_its_categories_and_a_category_only_itself() {
        let any = Capability::of(ResourceKind::Observation);
        let (laboratory, vital) =
            (Capability::observation(Category::Laboratory), Capability::observation(Category::VitalSigns));
        assert!(any.includes(laboratory) && any.includes(vital));
        assert!(laboratory.includes(laboratory) && !laboratory.includes(vital) && !laboratory.includes(any));
        assert!(!any.includes(Capability::of(ResourceKind::Provenance)));
    }
}
