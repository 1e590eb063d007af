//! `[[projection]]` of a site's file: the forms in which its EHR takes outcomes, best first, and what the site chooses
//! within each. `[ehr]` may name the preferred one, and what all of them share.

use clinical::fhir::{
    form::{Category, CategorySystem, Coding, Dates, Form, Postal, RowCode, TimeForm, UnitText},
    metric::Metric,
    projection::Projection,
    release::Release,
    row::Row,
    summary::{MeanUnit, Status},
};

use super::section::Section;
use super::value::is_name;

/// The most forms of one site: each is asked about for every window.
const MAX_PROJECTIONS: usize = 8;
/// The projections that an EHR may have. Single readings are no outcomes.
const FOR_SITES: [Projection; 9] = [
    Projection::CgmIg,
    Projection::PlainR4,
    Projection::PlainR5,
    Projection::EpicFlowsheet,
    Projection::EpicNote,
    Projection::MillenniumLab,
    Projection::MillenniumDocument,
    Projection::OruR01,
    Projection::UpstreamSummary,
];

/// One form in which outcomes are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Its shape.
    pub projection: Projection,
    /// What the site chooses within that.
    pub form: Form,
    /// Of `oru-r01`: the `[[outbound]]` that it is sent through.
    pub outbound: Option<String>,
}

impl Way {
    /// A projection as its vendor wants it.
    pub fn of(projection: Projection) -> Self {
        Self { projection, form: Form::of(projection), outbound: None }
    }
}

/// What `[ehr]` says of the forms.
#[derive(Default)]
pub(super) struct Usual {
    /// The preferred one.
    projection: Option<Projection>,
    /// For every form that can have it.
    glucose: Option<MeanUnit>,
    local_codes: Option<bool>,
    release: Option<Release>,
}

impl Usual {
    /// Reads the keys of `[ehr]`.
    pub(super) fn read(ehr: &Section<'_>) -> Self {
        let (glucose, local_codes, release) = read_choices(ehr);
        Self { projection: ehr.choice("projection", &names(), &[]), glucose, local_codes, release }
    }

    fn way(&self, projection: Projection) -> Way {
        let mut way = Way::of(projection);
        set(&mut way.form.glucose, self.glucose);
        set(&mut way.form.local_codes, self.local_codes.filter(|_| projection.local_codes()));
        set(&mut way.form.release, self.release.filter(|release| projection.releases().contains(release)));
        way
    }
}

/// The forms of a site, best first: the one that `[ehr]` names, then those listed in their order.
pub(super) fn read_ways(root: &Section<'_>, ehr: &Section<'_>, usual: &Usual) -> Vec<Way> {
    let mut ways = root.tables("projection", |section| read_way(section, usual));
    if ways.len() > MAX_PROJECTIONS {
        root.fault("projection", "is too long a list", format!("write at most {MAX_PROJECTIONS}"));
    }
    for (at, way) in ways.iter().enumerate() {
        if ways[..at].iter().any(|other| other.projection == way.projection) {
            let name = way.projection.name();
            root.fault("projection", &format!("names {name} twice"), "write each form once, best first");
        }
    }
    let preferred = usual.projection.or(ways.is_empty().then_some(Projection::CgmIg));
    if let Some(projection) = preferred {
        let listed = ways.iter().position(|way| way.projection == projection);
        let way = match listed {
            Some(at) => ways.remove(at),
            None => usual.way(projection),
        };
        if listed.is_none() && ehr.has("projection") {
            tell_faults(ehr, &way, "projection");
        }
        ways.insert(0, way);
    }
    ways
}

fn names() -> [(&'static str, Projection); FOR_SITES.len()] {
    FOR_SITES.map(|projection| (projection.name(), projection))
}

/// What every form may choose, and `[ehr]` for all of them.
fn read_choices(section: &Section<'_>) -> (Option<MeanUnit>, Option<bool>, Option<Release>) {
    let units = [("mg/dL", MeanUnit::Mass), ("mmol/L", MeanUnit::Molar)];
    let releases = Release::ALL.map(|release| (release.name(), release));
    let (glucose, release) =
        (section.choice("glucose_unit", &units, &[]), section.choice("fhir_release", &releases, &[]));
    (glucose, section.flag("local_codes"), release)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn read_way(section: &Section<'_>, usual: &Usual) -> Option<Way> {
    section.require("name", "name = \"cgm-ig\"");
    let (glucose, local_codes, release) = read_choices(section);
    let named = section.choice("name", &names(), &[]);
    // Where the name is faulty the other keys are read all the same: one that is not asked for is called unknown.
    let projection = named.unwrap_or(Projection::CgmIg);
    let mut way = usual.way(projection);
    let form = &mut way.form;
    set(&mut form.glucose, glucose);
    set(&mut form.local_codes, local_codes);
    set(&mut form.release, release);
    if projection == Projection::MillenniumLab && !section.has("rows") {
        form.rows = clinical::fhir::form::loinc_rows(form.glucose);
    }
    let categories = Category::ALL.map(|category| (category.code(), category));
    set(&mut form.category, section.choice("category", &categories, &[]));
    let systems = [("terminology", CategorySystem::Terminology), ("old", CategorySystem::Old)];
    set(&mut form.category_system, section.choice("category_system", &systems, &[]));
    let times = [TimeForm::Period, TimeForm::DateTime].map(|time| (time.name(), time));
    set(&mut form.time, section.choice("time", &times, &[]));
    let statuses = [Status::Final, Status::Amended, Status::Corrected].map(|status| (status.code(), status));
    set(&mut form.statuses, section.choices("statuses", &statuses));
    set(&mut form.encounter, section.flag("encounter"));
    set(&mut form.notes, section.flag("notes"));
    set(&mut form.provenance, section.flag("provenance"));
    set(&mut form.dates, section.choice("dates", &[Dates::Full, Dates::Month].map(|d| (d.name(), d)), &[]));
    let longest = section.count("longest_id", 1..=1_024, 64);
    set(&mut form.longest_id, longest.and_then(|most| usize::try_from(most).ok()));
    let performer = section.text("performer", "\"Practitioner/123\"").map(str::to_owned);
    set(&mut form.performer, performer.map(Some));
    let days = section.days("window", 1..=90, 14);
    set(&mut form.days, days.map(|days| Some(u32::from(days))));
    set(&mut form.policies, read_policies(section));
    set(&mut form.metrics, read_metrics(section));
    set(&mut form.document, section.table("document", read_coding));
    set(&mut form.rows, read_rows(section));
    way.outbound = read_message(section, &mut way.form, named);
    named?;
    tell_faults(section, &way, "name");
    Some(way)
}

fn read_policies(section: &Section<'_>) -> Option<Vec<String>> {
    let texts = section.texts("policies", "[\"standard\"]")?;
    if !texts.iter().all(|text| is_name(text)) {
        section.fault(
            "policies",
            "is not a list of ids of policies",
            "write policies = [\"standard\"], without versions",
        );
    }
    Some(texts.into_iter().map(str::to_owned).collect())
}

fn read_metrics(section: &Section<'_>) -> Option<Vec<Metric>> {
    section.choices("metrics", &Metric::ALL.map(|metric| (metric.slug(), metric)))
}

fn read_coding(section: &Section<'_>) -> Option<Coding> {
    section.require("system", "system = \"http://loinc.org\"");
    section.require("code", "code = \"107931-8\"");
    let (system, code) =
        (section.text("system", "\"http://loinc.org\""), section.text("code", "\"107931-8\""));
    Some(Coding { system: system?.to_owned(), code: code?.to_owned() })
}

/// The row map: which number goes under which code.
fn read_rows(section: &Section<'_>) -> Option<Vec<RowCode>> {
    let system = section.text("system", "\"urn:oid:1.2.840.114350.1.13.0\"").map(str::to_owned);
    if !section.has("rows") {
        return None;
    }
    let example = "[{ row = \"time-in-target\", code = \"10042\" }]";
    let rows = section.entries("rows", example, |entry| {
        entry.require("row", "row = \"time-in-target\"");
        entry.require("code", "code = \"10042\"");
        let row = entry.choice("row", &Row::ALL.map(|row| (row.slug(), row)), &[]);
        let code = entry.text("code", "\"10042\"").map(str::to_owned);
        let own = entry.text("system", "\"http://loinc.org\"").map(str::to_owned);
        let unit = entry.text("unit", "\"%\"").map(|text| (text.to_owned(), UnitText::of(text)));
        if let Some((_, None)) = &unit {
            let known: Vec<&str> = UnitText::all().collect();
            entry.fault(
                "unit",
                "is not a spelling that is known",
                format!("write one of {}", known.join(", ")),
            );
        }
        let as_text = entry.flag("as_text").unwrap_or(false);
        let Some(system) = own.or_else(|| system.clone()) else {
            entry.missing("system", "is missing", "write system = \"...\" here, or once in [[projection]]");
            return None;
        };
        let unit = unit.and_then(|(_, unit)| unit);
        Some(RowCode { row: row?, coding: Coding { system, code: code? }, unit, as_text })
    });
    Some(rows)
}

/// The keys of `oru-r01`.
fn read_message(section: &Section<'_>, form: &mut Form, named: Option<Projection>) -> Option<String> {
    let outbound = section.name("outbound", "\"results\"");
    let text = |key, example| section.text(key, example).map(str::to_owned);
    let shipped = Postal::default();
    let from = (text("sending_application", "\"ISTHMUS\""), text("sending_facility", "\"NORTH\""));
    let to = (text("receiving_application", "\"EHR\""), text("receiving_facility", "\"NORTH\""));
    let processing = section.choice("processing_id", &[("P", 'P'), ("T", 'T'), ("D", 'D')], &[]);
    form.postal = Postal {
        from: (from.0.unwrap_or(shipped.from.0), from.1.unwrap_or_default()),
        to: (to.0.unwrap_or_default(), to.1.unwrap_or_default()),
        processing: processing.unwrap_or(shipped.processing),
        authority: text("authority", "\"NORTH\"").unwrap_or_default(),
        kind: text("identifier_type", "\"MR\"").unwrap_or(shipped.kind),
    };
    if named == Some(Projection::OruR01) {
        section.require(
            "outbound",
            "outbound = \"results\", the [[outbound]] of isthmus.toml it is sent through",
        );
    } else if outbound.is_some() && named.is_some() {
        section.fault("outbound", "goes with name = \"oru-r01\" only", "remove it");
    }
    outbound
}

/// The key of the file for a field of a form.
fn key_of(field: &'static str) -> &'static str {
    match field {
        "release" => "fhir_release",
        "days" => "window",
        "postal" => "authority",
        field => field,
    }
}

fn tell_faults(section: &Section<'_>, way: &Way, name: &str) {
    for fault in way.form.faults(way.projection) {
        let key = key_of(fault.key());
        // A fault of what is not written is told where the projection is named.
        let at = if section.has(key) { key } else { name };
        section.fault(
            at,
            &format!("with {}: {fault}", way.projection.name()),
            format!("mend {key}, or choose another projection (docs/projections.md)"),
        );
    }
}
