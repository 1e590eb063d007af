//! Who asks, and what they may. Pure.
//!
//! Invariants: deny by default; an act needs the role and a scope, both; where a certificate and a token were shown, it
//! needs the role and a scope of each of them, so a token never widens what a certificate may. `patient/` scopes confine to
//! the launch patient, and without one they grant nothing. Nobody deletes, and nobody writes an AuditEvent.
//!
//! | role | clinical kinds | Consent | AuditEvent |
//! |---|---|---|---|
//! | viewer | read, search | | |
//! | operator | create, read, update, search | create, read, update, search | |
//! | security officer | | read, search | read, search |
//! | break-glass | read, search | read, search | read, search |

use std::{fmt, sync::Arc};

use fhir::{Code, Issue, Kind};

use super::{
    ask::Answer,
    scope::{Grant, Scopes},
};

/// What a caller is at the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads clinical resources.
    Viewer,
    /// Brings them, too: device feeds, local apps.
    Operator,
    /// Reads what happened and what patients permit.
    SecurityOfficer,
    /// Reads everything, each time with a reason.
    BreakGlass,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::SecurityOfficer, Self::BreakGlass];

    /// The word in configuration, audit log and labels.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::SecurityOfficer => "security-officer",
            Self::BreakGlass => "break-glass",
        }
    }

    /// The table at the head of this module.
    pub const fn permits(self, act: Act, kind: Kind) -> bool {
        let reads = matches!(act, Act::Read | Act::Search);
        match (self, kind) {
            (Self::BreakGlass, _) => reads,
            (Self::SecurityOfficer, Kind::AuditEvent | Kind::Consent) => reads,
            (Self::SecurityOfficer, _) | (Self::Viewer | Self::Operator, Kind::AuditEvent) => false,
            (Self::Viewer, Kind::Consent) => false,
            (Self::Viewer, _) => reads,
            (Self::Operator, _) => true,
        }
    }
}

/// What is done to a kind of resource: the letters of SMART v2 without `d`, which is never granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// `c`: POST.
    Create,
    /// `r`: a resource, a version, a history.
    Read,
    /// `u`: PUT.
    Update,
    /// `s`: a search, and an operation over many resources.
    Search,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Create, Self::Read, Self::Update, Self::Search];

    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Search => "search",
        }
    }
}

/// Within which bounds an act is permitted.
#[derive(Clone, PartialEq, Eq)]
pub enum Within {
    /// Every resource of the caller's site.
    All,
    /// Those of the Patient with this id.
    Patient(String),
}

/// Why an act is not permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No role of the caller has it.
    Role,
    /// No scope grants it.
    Scope,
}

impl Denied {
    /// The word in the audit log and labels.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Scope => "scope",
        }
    }

    /// 403, in words that name no resource.
    pub fn answer(self, act: Act, kind: Kind) -> Answer {
        let (act, kind) = (act.word(), kind.name());
        let text = match self {
            Self::Role => {
                format!("the caller's role does not permit to {act} {kind}; ask the box's administrator")
            }
            Self::Scope => {
                format!("no scope of the caller permits to {act} {kind}; a SMART v2 scope is needed")
            }
        };
        Answer::refusal(403, Issue::error(Code::Forbidden, text))
    }
}

/// A role with scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// What the role permits is permitted,
    pub role: Role,
    /// as far as a scope grants it.
    pub scopes: Scopes,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// The configured name, or a hash of issuer and subject: safe in the audit log and in logs.
    pub name: String,
    /// Whose resources they see: the site's alone.
    pub site: Arc<str>,
    /// What they are.
    pub role: Role,
    /// What was granted.
    pub scopes: Scopes,
    /// The launch patient: the id of a Patient here.
    pub patient: Option<String>,
    /// Break-glass: why, 10 to 200 printable characters.
    pub reason: Option<String>,
    /// What the certificate beside a token may: no act goes beyond it.
    pub ceiling: Option<Ceiling>,
}

impl fmt::Debug for Caller {
    /// Without the patient and the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Caller {
    /// Whether, and within which bounds, the caller may do this to this kind of resource.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may(&self, act: Act, kind: Kind) -> Result<Within, Denied> {
        let roles = std::iter::once(self.role).chain(self.ceiling.iter().map(|ceiling| ceiling.role));
        if !roles.into_iter().all(|role| role.permits(act, kind)) {
            return Err(Denied::Role);
        }
        if self.ceiling.as_ref().is_some_and(|ceiling| ceiling.scopes.grant(act, kind) != Some(Grant::All)) {
            return Err(Denied::Scope);
        }
        match self.scopes.grant(act, kind) {
            Some(Grant::All) => Ok(Within::All),
            Some(Grant::Patient) => self.patient.clone().map(Within::Patient).ok_or(Denied::Scope),
            None => Err(Denied::Scope),
        }
    }

    /// The same, with the answer that refuses it.
    ///
    /// # Errors
    /// 403.
    pub(super) fn permits(&self, act: Act, kind: Kind) -> Result<Within, Answer> {
        self.may(act, kind).map_err(|denied| denied.answer(act, kind))
    }

    /// Whether the caller may do one of these to any kind.
    pub(super) fn may_any(&self, acts: &[Act]) -> bool {
        acts.iter().any(|act| Kind::ALL.into_iter().any(|kind| self.may(*act, kind).is_ok()))
    }

    /// For the audit log: `fhir viewer ward-app`.
    pub fn actor(&self) -> String {
        format!("fhir {} {}", self.role.word(), self.name)
    }
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
