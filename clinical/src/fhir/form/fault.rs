//! What is wrong with a form, by the key that it is about.
//!
//! The configuration's reader turns each into a line of a file; the words say what is wrong and what is possible.

use super::{CODE_MOST, Category, Coding, Dates, Form, ID_MOST, Row, UnitText};
use crate::fhir::{
    location::Location,
    metric::Metric,
    projection::{Projection, ProvenanceForm},
    summary::Status,
};

/// Something in a form that its projection cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the words say it")]
pub enum FormFault {
    #[error("this projection is not written in this release of FHIR")]
    Release,
    #[error("this projection does not have this category with this coding system")]
    Category,
    #[error("this projection does not say its time like that")]
    Time,
    #[error("no status, or one that this projection does not know; `final` has to be among them")]
    Statuses,
    #[error("this projection writes mapped rows, and none is mapped")]
    NoRows,
    #[error("this projection has no rows")]
    Rows,
    #[error("the row {} is mapped twice", .0.slug())]
    RowTwice(Row),
    #[error("the code of the row {} is that of another row", .0.slug())]
    CodeTwice(Row),
    #[error("the row {} has no system or code, or one with a blank or of more than {CODE_MOST} characters", .0.slug())]
    Code(Row),
    #[error("the row {} is in another unit", .0.slug())]
    Unit(Row),
    #[error("the row {} is a number and no date", .0.slug())]
    Text(Row),
    #[error("the row {} has the code of glucose in another unit", .0.slug())]
    MeanCode(Row),
    #[error("this projection goes whole: no member can be left out")]
    Members,
    #[error("at least one member beside the panel, and no mean in another unit than the form's")]
    MemberNamed,
    #[error(
        "a performer is `Practitioner/<id>`, `PractitionerRole/<id>` or `Organization/<id>`, where resources name one"
    )]
    Performer,
    #[error("vital signs need a performer there")]
    NoPerformer,
    #[error("this projection does not know encounters")]
    Encounter,
    #[error("an id has 1 to {ID_MOST} characters")]
    LongestId,
    #[error("this projection has no codes of ours")]
    LocalCodes,
    #[error("dates are told in full there")]
    Dates,
    #[error("a window has 1 to 366 days")]
    Days,
    #[error("this projection has no Provenance")]
    Provenance,
    #[error("a Provenance tells to the second when it was recorded, so none goes where dates are months")]
    ProvenanceWithMonths,
    #[error(
        "the type of a document has no system or code, or one with a blank or of more than {CODE_MOST} characters"
    )]
    Document,
    #[error("MSH-11 is P, T or D")]
    Processing,
    #[error("PID-3 needs the name of the authority whose numbers these are")]
    Authority,
    #[error("a name of the message has a control character or more than {CODE_MOST} characters")]
    Name,
}

impl FormFault {
    /// The field of [`Form`] that it is about, by its name there.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Category => "category",
            Self::Time => "time",
            Self::Statuses => "statuses",
            Self::NoRows
            | Self::Rows
            | Self::RowTwice(_)
            | Self::CodeTwice(_)
            | Self::Code(_)
            | Self::Unit(_)
            | Self::Text(_)
            | Self::MeanCode(_) => "rows",
            Self::Members | Self::MemberNamed => "metrics",
            Self::Performer | Self::NoPerformer => "performer",
            Self::Encounter => "encounter",
            Self::LongestId => "longest_id",
            Self::LocalCodes => "local_codes",
            Self::Dates => "dates",
            Self::Days => "days",
            Self::Provenance | Self::ProvenanceWithMonths => "provenance",
            Self::Document => "document",
            Self::Processing | Self::Authority | Self::Name => "postal",
        }
    }

    /// The row that it is about, where it is about one.
    pub const fn row(&self) -> Option<Row> {
        match self {
            Self::RowTwice(row)
            | Self::CodeTwice(row)
            | Self::Code(row)
            | Self::Unit(row)
            | Self::Text(row)
            | Self::MeanCode(row) => Some(*row),
            _ => None,
        }
    }
}

impl Form {
    /// Every fault of the form for a projection; none for one that can be built.
    pub fn faults(&self, projection: Projection) -> Vec<FormFault> {
        let mut faults = Vec::new();
        let mut unless = |holds: bool, fault: FormFault| (!holds).then(|| faults.push(fault));
        unless(projection.releases().contains(&self.release), FormFault::Release);
        let category = (self.category, self.category_system);
        unless(projection.categories().contains(&category), FormFault::Category);
        unless(projection.times().contains(&self.time), FormFault::Time);
        let known = self.statuses.iter().all(|status| projection.statuses().contains(status));
        unless(known && self.statuses.contains(&Status::Final), FormFault::Statuses);
        let somebody = |reference: &str| projection.encounters() && is_practitioner(reference);
        unless(self.performer.as_deref().is_none_or(somebody), FormFault::Performer);
        let vital = self.category == Category::VitalSigns && projection == Projection::MillenniumLab;
        unless(!vital || self.performer.is_some(), FormFault::NoPerformer);
        unless(!self.encounter || projection.encounters(), FormFault::Encounter);
        unless((1..=ID_MOST).contains(&self.longest_id), FormFault::LongestId);
        unless(!self.local_codes || projection.local_codes(), FormFault::LocalCodes);
        unless(self.dates == Dates::Full || projection == Projection::UpstreamSummary, FormFault::Dates);
        unless(self.days.is_none_or(|days| (1..=366).contains(&days)), FormFault::Days);
        unless(!self.provenance || projection.provenance() != ProvenanceForm::None, FormFault::Provenance);
        unless(!(self.provenance && self.dates == Dates::Month), FormFault::ProvenanceWithMonths);
        unless(is_coding(&self.document), FormFault::Document);
        faults.extend(self.faults_of_members(projection));
        faults.extend(self.faults_of_rows(projection));
        if projection == Projection::OruR01 {
            faults.extend(self.faults_of_names());
        }
        faults
    }

    fn faults_of_members(&self, projection: Projection) -> Option<FormFault> {
        if self.metrics.is_empty() {
            return None;
        }
        if !projection.members_may_be_left_out() {
            return Some(FormFault::Members);
        }
        let other = match self.glucose.metric() {
            Metric::MeanMass => Metric::MeanMolar,
            _ => Metric::MeanMass,
        };
        let none = self.metrics.iter().all(|metric| *metric == Metric::Summary);
        (none || self.metrics.contains(&other)).then_some(FormFault::MemberNamed)
    }

    fn faults_of_rows(&self, projection: Projection) -> Vec<FormFault> {
        if !projection.flat() {
            return if self.rows.is_empty() { Vec::new() } else { vec![FormFault::Rows] };
        }
        if self.rows.is_empty() {
            return vec![FormFault::NoRows];
        }
        let mut faults = Vec::new();
        for (at, entry) in self.rows.iter().enumerate() {
            let (row, before) = (entry.row, &self.rows[..at]);
            let mut unless = |holds: bool, fault: FormFault| (!holds).then(|| faults.push(fault));
            unless(before.iter().all(|other| other.row != row), FormFault::RowTwice(row));
            unless(before.iter().all(|other| other.coding != entry.coding), FormFault::CodeTwice(row));
            unless(is_coding(&entry.coding), FormFault::Code(row));
            let glucose = matches!(row, Row::Mean | Row::Sd);
            let fits = |text: UnitText| {
                use crate::fhir::quantity::QuantityUnit::{MgDl, MmolL};
                let own = row.unit(self.glucose);
                Some(text.unit()) == own || (glucose && matches!(text.unit(), MgDl | MmolL))
            };
            unless(entry.unit.is_none_or(fits), FormFault::Unit(row));
            unless(!entry.as_text || row.is_date(), FormFault::Text(row));
            // 97507-8 is mass and 105273-7 molar: a number under the other's code would be read 18 times off.
            let unit = super::super::project::glucose_of(self, entry);
            let other =
                [super::MeanUnit::Mass, super::MeanUnit::Molar].into_iter().find(|other| *other != unit);
            let wrong = other.is_some_and(|other| {
                entry.coding.system == super::LOINC
                    && Some(entry.coding.code.as_str()) == Row::Mean.loinc(other)
            });
            unless(!(glucose && wrong), FormFault::MeanCode(row));
        }
        faults
    }

    fn faults_of_names(&self) -> Vec<FormFault> {
        let postal = &self.postal;
        let mut faults = Vec::new();
        if !['P', 'T', 'D'].contains(&postal.processing) {
            faults.push(FormFault::Processing);
        }
        if postal.authority.is_empty() {
            faults.push(FormFault::Authority);
        }
        let names =
            [&postal.from.0, &postal.from.1, &postal.to.0, &postal.to.1, &postal.authority, &postal.kind];
        if !names.iter().all(|name| name.len() <= CODE_MOST && !name.contains(char::is_control)) {
            faults.push(FormFault::Name);
        }
        faults
    }
}

fn is_practitioner(reference: &str) -> bool {
    Location::parse(reference).is_some_and(|location| {
        ["Practitioner", "PractitionerRole", "Organization"].contains(&location.resource_type())
            && location.reference() == reference
    })
}

/// A system and a code that can stand in a query and in a chart.
fn is_coding(coding: &Coding) -> bool {
    let sound =
        |text: &str| (1..=CODE_MOST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    sound(&coding.system) && sound(&coding.code) && !coding.code.contains(['|', ',', '$', '\\'])
}
