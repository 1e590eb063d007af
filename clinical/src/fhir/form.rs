//! What a site chooses within a projection: pure data, as its file says it.
//!
//! Invariants: a form without a fault ([`Form::faults`]) can be built by its projection; [`Form::of`] is the
//! default of each, and says what the vendor wants (reference: ehr, section 1); nothing in a form is about a patient.
//! What a form does not mention its projection does not ask for.

use super::{
    location::Location,
    metric::{LOINC, Metric},
    projection::Projection,
    quantity::QuantityUnit,
    release::Release,
    row::Row,
    summary::{MeanUnit, Status},
};
use crate::{outcome::Outcome, policy::Policy};

mod fault;
mod takes;
pub use self::{fault::FormFault, takes::Untaken};

/// Longest text of a code or of a name in a form: what v2's ST and the EHRs' own codes stay under.
pub const CODE_MOST: usize = 200;
/// Longest resource id that a form may permit. FHIR has 64; ids of EHRs exceed it (reference: ehr, section 3).
pub const ID_MOST: usize = 1_024;

/// `Observation.category`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// `laboratory`.
    Laboratory,
    /// `vital-signs`.
    VitalSigns,
}

impl Category {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Laboratory, Self::VitalSigns];

    /// The code, which is also its name in a site's file and in a capability.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Laboratory => "laboratory",
            Self::VitalSigns => "vital-signs",
        }
    }

    /// The category of a code; `None` for any other text.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.code() == code)
    }
}

/// The coding system of a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CategorySystem {
    /// That of R4 and later.
    Terminology,
    /// That of earlier releases, which Epic asks for.
    Old,
}

impl CategorySystem {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Terminology, Self::Old];

    /// The URI.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Terminology => super::summary::CATEGORY_SYSTEM,
            Self::Old => "http://hl7.org/fhir/observation-category",
        }
    }

    /// The system of a URI; `None` for any other text.
    pub fn of_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.uri() == uri)
    }
}

/// How an Observation says when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeForm {
    /// `effectivePeriod`, dates, both included.
    Period,
    /// `effectiveDateTime`, the last second of the last included date, in the window's zone with its offset.
    DateTime,
}

impl TimeForm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Period, Self::DateTime];

    /// The name in a site's file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Period => "period",
            Self::DateTime => "date-time",
        }
    }

    /// The form of a name; `None` for any other text.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

/// What the dates of a pseudonymous summary tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Dates {
    /// The first and the last date.
    #[default]
    Full,
    /// The month in which the window ends, and how many days it has. A Provenance, which has to say to the second when
    /// it was recorded, is not sent then.
    Month,
}

impl Dates {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Full, Self::Month];

    /// The name in a site's file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Month => "month",
        }
    }

    /// The choice of a name; `None` for any other text.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dates| dates.name() == name)
    }
}

/// How a unit is spelled: the spelling that a row asks for, and with it the unit that glucose is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnitText(usize);

/// Every spelling with the unit that it is of.
const UNIT_TEXTS: [(&str, QuantityUnit); 9] = [
    ("mg/dL", QuantityUnit::MgDl),
    ("mg/dl", QuantityUnit::MgDl),
    ("mmol/L", QuantityUnit::MmolL),
    ("mmol/l", QuantityUnit::MmolL),
    ("%", QuantityUnit::Percent),
    ("percent", QuantityUnit::Percent),
    ("d", QuantityUnit::Days),
    ("days", QuantityUnit::Days),
    ("day", QuantityUnit::Days),
];

/// The spellings, for the allow-lists.
pub(super) const UNIT_NAMES: &[&str] = &{
    let mut names = [""; UNIT_TEXTS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = UNIT_TEXTS[i].0;
        i += 1;
    }
    names
};

impl UnitText {
    /// The spelling; `None` for one that is not known.
    pub fn of(text: &str) -> Option<Self> {
        UNIT_TEXTS.iter().position(|(known, _)| *known == text).map(Self)
    }

    /// Every spelling.
    pub fn all() -> impl Iterator<Item = &'static str> {
        UNIT_TEXTS.iter().map(|(text, _)| *text)
    }

    pub(super) fn text(self) -> &'static str {
        UNIT_TEXTS[self.0].0
    }

    pub(super) fn unit(self) -> QuantityUnit {
        UNIT_TEXTS[self.0].1
    }
}

/// A code in a system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coding {
    /// The system's URI.
    pub system: String,
    /// The code.
    pub code: String,
}

/// Where a row goes: an entry of a row map or of a code map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowCode {
    /// Which number or date.
    pub row: Row,
    /// The flowsheet id or the code.
    pub coding: Coding,
    /// The spelling of the unit; `None` for UCUM's, in the form's unit of glucose.
    pub unit: Option<UnitText>,
    /// A date as text (`valueString`) instead of `valueDateTime`.
    pub as_text: bool,
}

/// How messages of HL7 v2 are addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postal {
    /// MSH-3 and MSH-4.
    pub from: (String, String),
    /// MSH-5 and MSH-6.
    pub to: (String, String),
    /// MSH-11: `P`, `T` or `D`.
    pub processing: char,
    /// PID-3.4: whose number the patient's identifier is, as the site names it.
    pub authority: String,
    /// PID-3.5.
    pub kind: String,
}

impl Default for Postal {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            from: (text("ISTHMUS"), String::new()),
            to: (String::new(), String::new()),
            processing: 'P',
            authority: String::new(),
            kind: text("MR"),
        }
    }
}

/// What a site chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The release of FHIR.
    pub release: Release,
    /// The category of Observations.
    pub category: Category,
    /// Its coding system.
    pub category_system: CategorySystem,
    /// The row map of a flowsheet, or the code map of flat results. What is not in it does not go.
    pub rows: Vec<RowCode>,
    /// The members of the panel that go, where members may be left out; empty for all.
    pub metrics: Vec<Metric>,
    /// `Practitioner/<id>` as performer and as author; `None` for nobody.
    pub performer: Option<String>,
    /// Whether an encounter has to be put in before sending.
    pub encounter: bool,
    /// How an Observation says when.
    pub time: TimeForm,
    /// The statuses that the site knows.
    pub statuses: Vec<Status>,
    /// Whether a sentence may stand beside a number: method, why a number is absent, and the period of a flat result.
    pub notes: bool,
    /// Longest resource id that the site has.
    pub longest_id: usize,
    /// The unit of glucose.
    pub glucose: MeanUnit,
    /// Whether what has no code in LOINC goes too, under our own.
    pub local_codes: bool,
    /// What dates tell.
    pub dates: Dates,
    /// The only length of window that goes; `None` for any. A row and a flat result say nothing of their window, so
    /// two lengths under one code would pass for two readings of one thing.
    pub days: Option<u32>,
    /// The policies by which a window may have been computed, by their names without a version; empty for those that
    /// [`Form::takes`] tells.
    pub policies: Vec<String>,
    /// Whether Provenance goes, where the projection has one.
    pub provenance: bool,
    /// The type of a document.
    pub document: Coding,
    /// The head of messages.
    pub postal: Postal,
}

impl Form {
    /// The default of a projection: what the vendor wants, with nothing that only the site can know.
    pub fn of(projection: Projection) -> Self {
        let (category, category_system) = projection.categories()[0];
        let mut form = Self {
            release: projection.releases()[0],
            category,
            category_system,
            rows: Vec::new(),
            metrics: Vec::new(),
            performer: None,
            encounter: false,
            time: projection.times()[0],
            statuses: projection.statuses().to_vec(),
            notes: projection.words(),
            longest_id: 64,
            glucose: MeanUnit::Mass,
            local_codes: false,
            dates: Dates::Full,
            days: None,
            policies: Vec::new(),
            provenance: projection.provenance() != super::projection::ProvenanceForm::None,
            document: Coding { system: LOINC.to_owned(), code: Metric::Summary.loinc().to_owned() },
            postal: Postal::default(),
        };
        match projection {
            Projection::EpicFlowsheet => {
                // Backend applications need a matching encounter (reference: ehr, section 1).
                (form.encounter, form.days, form.longest_id) = (true, Some(14), ID_MOST);
            }
            Projection::EpicNote => (form.encounter, form.longest_id) = (true, ID_MOST),
            Projection::MillenniumLab => {
                (form.days, form.longest_id) = (Some(14), ID_MOST);
                form.rows = loinc_rows(MeanUnit::Mass);
            }
            Projection::MillenniumDocument => form.longest_id = ID_MOST,
            _ => {}
        }
        form
    }

    /// The same with glucose in a unit, and the mean under LOINC's code for it where it stands under the other's.
    #[must_use]
    pub fn in_unit(mut self, glucose: MeanUnit) -> Self {
        let [mass, molar] =
            [MeanUnit::Mass, MeanUnit::Molar].map(|unit| Row::Mean.loinc(unit).unwrap_or_default());
        for entry in self.rows.iter_mut().filter(|entry| entry.row == Row::Mean && entry.unit.is_none()) {
            if entry.coding.system == LOINC && [mass, molar].contains(&entry.coding.code.as_str()) {
                entry.coding.code = if glucose == MeanUnit::Mass { mass } else { molar }.to_owned();
            }
        }
        Self { glucose, ..self }
    }

    /// The entry of a row; `None` where it does not go.
    pub fn row(&self, row: Row) -> Option<&RowCode> {
        self.rows.iter().find(|entry| entry.row == row)
    }

    /// True for `Type/id` with an id that the site can have.
    pub fn fits(&self, location: &Location) -> bool {
        location.id().len() <= self.longest_id
    }

    /// True where Observations of this member of the panel go.
    pub(super) fn has(&self, metric: Metric) -> bool {
        metric == Metric::Summary || self.metrics.is_empty() || self.metrics.contains(&metric)
    }
}

/// A code map of all that has a LOINC code, with the mean's in this unit.
pub fn loinc_rows(glucose: MeanUnit) -> Vec<RowCode> {
    let entry = |row: Row| {
        let code = row.loinc(glucose)?.to_owned();
        let coding = Coding { system: LOINC.to_owned(), code };
        Some(RowCode { row, coding, unit: None, as_text: false })
    };
    Row::ALL.into_iter().filter_map(entry).collect()
}

/// Whether a population has the ranges that the names of rows and LOINC codes are read by: those of the standard one.
pub(super) fn has_standard_ranges(policy: &Policy) -> bool {
    use crate::glucose::Unit;
    [Unit::MgDl, Unit::MmolL].into_iter().all(|unit| policy.bounds(unit) == Policy::standard().bounds(unit))
}

impl Form {
    /// Whether a window goes at all.
    ///
    /// # Errors
    /// [`Untaken`]: its length, or its policy. Where the form names no policy, a flat projection takes those with the
    /// ranges of the standard one (a row named for time in range says nothing of another range), and any other takes
    /// all.
    pub fn takes(&self, projection: Projection, outcome: &Outcome, policy: &Policy) -> Result<(), Untaken> {
        let has = outcome.period.days;
        if let Some(days) = self.days.filter(|days| *days != has) {
            return Err(Untaken::Length { has, takes: days });
        }
        let listed = self.policies.contains(&policy.id);
        let unlisted = self.policies.is_empty() && (!projection.flat() || has_standard_ranges(policy));
        if listed || unlisted { Ok(()) } else { Err(Untaken::Policy) }
    }
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
