//! The kinds of resource that the endpoint knows.

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A person whose data are kept.
    Patient,
    /// A sensor, pump or reader.
    Device,
    /// A reading, or a number of an outcome.
    Observation,
    /// The report of a window.
    DiagnosticReport,
    /// From what a resource was made, and by whom.
    Provenance,
    /// What a patient permits.
    Consent,
    /// An order of CGM.
    ServiceRequest,
    /// A document, or where it is.
    DocumentReference,
    /// What a clinician wants written.
    Task,
    /// What happened at the box; read only.
    AuditEvent,
    /// Several patients.
    Group,
}

impl Kind {
    /// All of them, in the order of the CapabilityStatement.
    pub const ALL: [Self; 11] = [
        Self::Patient,
        Self::Device,
        Self::Observation,
        Self::DiagnosticReport,
        Self::Provenance,
        Self::Consent,
        Self::ServiceRequest,
        Self::DocumentReference,
        Self::Task,
        Self::AuditEvent,
        Self::Group,
    ];

    /// `resourceType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Patient => "Patient",
            Self::Device => "Device",
            Self::Observation => "Observation",
            Self::DiagnosticReport => "DiagnosticReport",
            Self::Provenance => "Provenance",
            Self::Consent => "Consent",
            Self::ServiceRequest => "ServiceRequest",
            Self::DocumentReference => "DocumentReference",
            Self::Task => "Task",
            Self::AuditEvent => "AuditEvent",
            Self::Group => "Group",
        }
    }

    /// The kind of a `resourceType`; `None` for any other.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
