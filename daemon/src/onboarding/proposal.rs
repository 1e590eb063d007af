//! What a site states beside what its file says, and what to change in the file. Pure.
//!
//! Invariants: a key is proposed only where the statement contradicts what is in force, or where a form that fits better is
//! stated; what is not stated changes nothing; every change names its evidence; addresses, keys and client ids are
//! advised about and never proposed, for they say where credentials go. A vendor's name is a hint: it chooses among forms
//! that the statement allows and never allows one.

use std::collections::BTreeSet;

use clinical::fhir::{
    projection::{Amends, Projection, Style},
    release::Release,
};
use serde::Serialize;

use super::{
    smart::SmartConfiguration,
    statement::{Statement, Vendor},
};
use crate::{
    capability::{Capability, ResourceKind},
    config::{Site, SubjectForm, Way},
    destination::{Destination, PROVENANCE},
    mode::Mode,
    smart::{Act, Granted},
};

/// How a value of the file stands to what the site states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// Both say the same.
    Agrees,
    /// They exclude each other.
    Contradicts,
    /// The site does not say.
    Unstated,
}

impl Agreement {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Contradicts => "CONTRADICTS",
            Self::Unstated => "not stated",
        }
    }

    const fn of(holds: bool) -> Self {
        if holds { Self::Agrees } else { Self::Contradicts }
    }
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// What is compared.
    pub what: String,
    /// What the site states.
    pub site: String,
    /// What the matrix has.
    pub matrix: String,
    /// Whether they go together.
    pub agreement: Agreement,
}

/// A key of the site's file, and what it should say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `ehr`, `capability` or `delivery`.
    pub table: &'static str,
    /// The key.
    pub key: &'static str,
    /// The value as TOML has it.
    pub value: String,
    /// Why, in one sentence.
    pub evidence: String,
}

/// What comes of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// Every comparison.
    pub compared: Vec<Compared>,
    /// What to change.
    pub changes: Vec<Change>,
    /// What people have to see to themselves.
    pub advice: Vec<String>,
}

impl Proposal {
    /// How many comparisons contradict.
    pub fn contradictions(&self) -> usize {
        self.compared.iter().filter(|one| one.agreement == Agreement::Contradicts).count()
    }

    fn compare(&mut self, what: &str, site: String, matrix: String, agreement: Agreement) {
        self.compared.push(Compared { what: what.to_owned(), site, matrix, agreement });
    }

    fn change(&mut self, table: &'static str, key: &'static str, value: String, evidence: String) {
        self.changes.push(Change { table, key, value, evidence });
    }
}

/// What a site told of itself.
pub struct Told<'a> {
    /// Its CapabilityStatement.
    pub statement: &'a Statement,
    /// Its SMART configuration, where it has one.
    pub smart: Option<&'a SmartConfiguration>,
    /// What a token was granted, where one was had.
    pub granted: Option<&'a Granted>,
}

/// Compares, and proposes. The site has an EHR, whose destination this is.
pub fn propose(site: &Site, destination: &Destination, told: &Told<'_>) -> Proposal {
    let mut proposal = Proposal::default();
    let statement = told.statement;
    hint(&mut proposal, statement);
    for way in &destination.ways {
        compare_way(&mut proposal, way, statement);
    }
    let preferred = destination.ways.first();
    let chosen = preferred.and_then(|way| better(way, destination, statement, &mut proposal));
    let projection = chosen.or(preferred.map(|way| way.projection));
    subject(&mut proposal, destination, projection, statement);
    release(&mut proposal, destination, statement);
    kinds(&mut proposal, site, destination, projection, statement);
    batch(&mut proposal, destination, statement);
    tokens(&mut proposal, site, told);
    granted(&mut proposal, destination, told);
    proposal
}

fn hint(proposal: &mut Proposal, statement: &Statement) {
    if let Some(vendor) = statement.vendor {
        proposal.advice.push(format!(
            "by its name the software is {}; that is a hint, and any server may call itself so",
            vendor.name()
        ));
    }
}

fn stated(yes: bool) -> String {
    if yes { "stated" } else { "not stated" }.to_owned()
}

/// Why a form does not go with a statement; empty where it does.
pub fn misfits(way: &Way, statement: &Statement) -> Vec<&'static str> {
    let carrier = way.carrier();
    if carrier.resource == ResourceKind::Message {
        return Vec::new();
    }
    let kind = statement.kind(carrier.resource.name());
    let conditional = kind.conditional_create == Some(true);
    let foreign = maker(way.projection).is_some_and(|maker| statement.vendor != Some(maker) && conditional);
    let in_bundle = way.projection.style() == Style::Transaction;
    let rules = [
        (!kind.create, "create of its resources is not stated"),
        (in_bundle && !statement.transaction, "transactions are not stated"),
        (
            way.projection.conditional() && kind.conditional_create == Some(false),
            "conditional create is stated as not supported",
        ),
        (way.projection.amends() == Amends::Update && !kind.update, "update of its resources is not stated"),
        (foreign, "conditional create is stated, and this form, made for another vendor, does not use it"),
    ];
    rules.into_iter().filter(|(holds, _)| *holds).map(|(_, why)| why).collect()
}

const fn maker(projection: Projection) -> Option<Vendor> {
    match projection {
        Projection::EpicFlowsheet | Projection::EpicNote => Some(Vendor::Epic),
        Projection::MillenniumLab | Projection::MillenniumDocument => Some(Vendor::Millennium),
        _ => None,
    }
}

fn compare_way(proposal: &mut Proposal, way: &Way, statement: &Statement) {
    let kind = statement.kind(way.carrier().resource.name());
    let words = [
        ("create", kind.create),
        ("update", kind.update),
        ("conditional create", kind.conditional_create == Some(true)),
        ("transaction", statement.transaction),
    ];
    let has: Vec<&str> = words.into_iter().filter(|(_, has)| *has).map(|(word, _)| word).collect();
    let why = misfits(way, statement);
    let matrix = match way.projection.style() {
        Style::Transaction => "all in one transaction",
        Style::Single => "each resource alone",
    };
    let matrix = if why.is_empty() { matrix.to_owned() } else { format!("{matrix}; but {}", why.join("; ")) };
    let has = if has.is_empty() { "none of it".to_owned() } else { has.join(", ") };
    proposal.compare(
        &format!("{} needs {}", way.projection.name(), way.carrier()),
        has,
        matrix,
        Agreement::of(why.is_empty()),
    );
}

/// The form to prefer instead, where the one in force does not go with the statement.
fn better(
    way: &Way,
    destination: &Destination,
    statement: &Statement,
    proposal: &mut Proposal,
) -> Option<Projection> {
    let why = misfits(way, statement);
    if why.is_empty() {
        return None;
    }
    let fits = |projection: &Projection| {
        // What the file has of a form, its rows above all, stays with it.
        let written = destination.ways.iter().find(|way| way.projection == *projection).cloned();
        let candidate = written.unwrap_or_else(|| Way::of(*projection));
        let buildable = candidate.form.faults(*projection).is_empty();
        buildable && misfits(&candidate, statement).is_empty()
    };
    let plain = if statement.release == Some("R5") { Projection::PlainR5 } else { Projection::PlainR4 };
    let order = match statement.vendor {
        Some(Vendor::Epic) => vec![Projection::EpicFlowsheet, Projection::EpicNote],
        Some(Vendor::Millennium) => vec![Projection::MillenniumLab, Projection::MillenniumDocument],
        None if statement.guide => vec![Projection::CgmIg, plain],
        None => vec![plain],
    };
    let Some(found) = order.into_iter().find(fits) else {
        proposal.advice.push(
            "no form of docs/projections.md goes with what is stated; ask the EHR's analyst which creates it takes"
                .to_owned(),
        );
        return None;
    };
    if found == Projection::EpicNote {
        proposal.advice.push(
            "for flowsheet rows the analyst has to name the row ids: a [[projection]] epic-flowsheet with rows \
             (docs/projections.md); until then notes are proposed"
                .to_owned(),
        );
    }
    let by = match statement.vendor {
        Some(vendor) => format!(", and the software's name hints at {}", vendor.name()),
        None if found == Projection::CgmIg => ", and the CGM guide is named".to_owned(),
        None => String::new(),
    };
    let evidence = format!("with {}, {}{by}", way.projection.name(), why.join("; "));
    proposal.change("ehr", "projection", format!("\"{}\"", found.name()), evidence);
    Some(found)
}

fn subject(
    proposal: &mut Proposal,
    destination: &Destination,
    projection: Option<Projection>,
    statement: &Statement,
) {
    let patient = statement.kind("Patient");
    let by_identifier =
        patient.search && (patient.parameters.is_empty() || patient.parameters.contains("identifier"));
    let wants = projection.and_then(maker).is_some();
    let (matrix, lookup) = match destination.subject {
        SubjectForm::Lookup => ("lookup", true),
        SubjectForm::Identifier => ("identifier", false),
        SubjectForm::Pseudonym => ("pseudonym", false),
    };
    let agreement = match (lookup, wants) {
        (true, _) => Agreement::of(by_identifier),
        (false, true) => Agreement::Contradicts,
        (false, false) => Agreement::Unstated,
    };
    let site = format!("search of Patient {}", stated(by_identifier));
    proposal.compare("how patients are named", site, matrix.to_owned(), agreement);
    if wants && !lookup {
        let evidence = "this vendor's servers know patients by ids of their own, found by searching Patient";
        proposal.change("ehr", "subject", "\"lookup\"".to_owned(), evidence.to_owned());
    }
}

fn release(proposal: &mut Proposal, destination: &Destination, statement: &Statement) {
    let ours = match destination.release() {
        Release::R4 => "R4",
        Release::R5 => "R5",
    };
    let agreement = match statement.release {
        None => Agreement::Unstated,
        Some(theirs) => Agreement::of(theirs == ours || (theirs == "R4B" && ours == "R4")),
    };
    let site = statement.release.unwrap_or("none that is known").to_owned();
    proposal.compare("release of FHIR", site, ours.to_owned(), agreement);
    let changes_form = proposal.changes.iter().any(|change| change.key == "projection");
    if agreement == Agreement::Contradicts && !changes_form {
        let theirs = if statement.release == Some("R5") { Release::R5.name() } else { Release::R4.name() };
        let evidence = format!("fhirVersion of the CapabilityStatement is {theirs}");
        proposal.change("ehr", "fhir_release", format!("\"{theirs}\""), evidence);
    }
}

/// What the forms use beside their carrier, by kind; a kind that is not stated is taken off what is permitted.
fn kinds(
    proposal: &mut Proposal,
    site: &Site,
    destination: &Destination,
    projection: Option<Projection>,
    statement: &Statement,
) {
    let mut after = destination.clone();
    if let Some(projection) = projection
        && after.ways.first().is_some_and(|way| way.projection != projection)
    {
        after.ways.insert(0, Way::of(projection));
    }
    let takes = |used: Capability| statement.kind(used.resource.name()).create;
    let with_provenance = after.ways.first().is_some_and(|way| {
        way.form.provenance && way.projection.provenance() != clinical::fhir::projection::ProvenanceForm::None
    });
    let mut uses: Vec<Capability> = after.ways.first().map(Way::carrier).into_iter().collect();
    uses.extend(with_provenance.then_some(PROVENANCE));
    uses.retain(|used| used.resource != ResourceKind::Message);
    for used in &uses {
        let permitted = destination.permits(*used);
        let matrix = if permitted { "permitted" } else { "not permitted now" };
        let agreement = match (takes(*used), permitted) {
            (true, true) => Agreement::Agrees,
            (true, false) => Agreement::Unstated,
            (false, permitted) => Agreement::of(!permitted),
        };
        let site = format!("create {}", stated(takes(*used)));
        proposal.compare(&format!("writes of {used}"), site, matrix.to_owned(), agreement);
    }
    let wrong = uses.iter().filter(|used| !takes(**used)).any(|used| destination.permits(*used));
    let open: BTreeSet<String> =
        uses.iter().filter(|used| takes(**used)).map(|used| format!("\"{used}\"")).collect();
    if !wrong || open.is_empty() {
        return;
    }
    let closed: Vec<String> = uses.iter().filter(|used| !takes(**used)).map(ToString::to_string).collect();
    let evidence = format!("create is not stated of {}", closed.join(", "));
    if site.capability.mode == Mode::Full {
        proposal.change("capability", "mode", "\"partial\"".to_owned(), evidence.clone());
    }
    if matches!(site.capability.mode, Mode::Full | Mode::Partial) {
        let list = open.into_iter().collect::<Vec<_>>().join(", ");
        proposal.change("capability", "allow", format!("[{list}]"), evidence);
    }
}

fn batch(proposal: &mut Proposal, destination: &Destination, statement: &Statement) {
    let size = destination.delivery.rate.batch;
    let agreement = Agreement::of(size == 1 || statement.batch);
    let site = format!("batch {}", stated(statement.batch));
    proposal.compare("writes in one request", site, size.to_string(), agreement);
    if agreement == Agreement::Contradicts {
        let evidence = "Bundles of type batch are not stated".to_owned();
        proposal.change("delivery", "batch", "1".to_owned(), evidence);
    }
}

fn tokens(proposal: &mut Proposal, site: &Site, told: &Told<'_>) {
    let auth = site.ehr.as_ref().and_then(|ehr| ehr.auth.as_ref());
    let wanted = told.statement.smart || told.smart.is_some_and(|smart| smart.token_endpoint.is_some());
    let agreement = match (wanted, auth.is_some()) {
        (true, false) => Agreement::Contradicts,
        (false, true) => Agreement::Unstated,
        _ => Agreement::Agrees,
    };
    let site_says = if wanted { "tokens (SMART)" } else { "no tokens" }.to_owned();
    let matrix = if auth.is_some() { "[ehr.auth]" } else { "certificate alone" }.to_owned();
    proposal.compare("how we are proved", site_says, matrix, agreement);
    if agreement == Agreement::Contradicts {
        proposal.advice.push(
            "the site states SMART and the file has no [ehr.auth]: register this box, then write client_id and keys \
             (docs/authorization.md); it is not proposed, because only you know the client id"
                .to_owned(),
        );
    }
    if told.statement.vendor == Some(Vendor::Epic) && auth.is_some_and(|auth| !auth.client_id_header) {
        proposal.advice.push(
            "Epic's gateways may refuse requests without Epic-Client-ID: write client_id_header = true in [ehr.auth]"
                .to_owned(),
        );
    }
    let Some(smart) = told.smart else { return };
    if smart.private_key_jwt == Some(false) {
        proposal
            .advice
            .push("the site does not list private_key_jwt: ask for SMART Backend Services".to_owned());
    }
    if smart.es384 == Some(false) {
        proposal.advice.push("the site does not list ES384; a key of RS384 is needed (key_file)".to_owned());
    }
    if let (Some(ours), Some(theirs)) =
        (auth.and_then(|auth| auth.token_url.as_deref()), smart.token_endpoint.as_deref())
    {
        proposal.compare(
            "token endpoint",
            super::statement::shown(theirs),
            super::statement::shown(ours),
            Agreement::of(ours == theirs),
        );
        if ours != theirs {
            proposal.advice.push(
                "token_url of the file is another than the site states; ask which is right. It is never proposed: \
                 credentials go there"
                    .to_owned(),
            );
        }
    }
}

fn granted(proposal: &mut Proposal, destination: &Destination, told: &Told<'_>) {
    let Some(granted) = told.granted else { return };
    if destination.ways.iter().any(|way| way.form.encounter) {
        let may = granted.may(Act::Search, "Encounter");
        let site = if may { "granted" } else { "not granted" }.to_owned();
        proposal.compare("scope to search Encounter", site, "used".to_owned(), Agreement::of(may));
        if !may {
            proposal.advice.push(
                "results are filed under an encounter, and the token does not let us search Encounter: ask for \
                 system/Encounter.rs, and list it in scopes of [ehr.auth]"
                    .to_owned(),
            );
        }
    }
    for (used, _) in destination.uses() {
        let name = used.resource.name();
        if used.resource == ResourceKind::Message {
            continue;
        }
        let may = granted.may(Act::Create, name);
        let site = if may { "granted" } else { "not granted" }.to_owned();
        let agreement = Agreement::of(may || !destination.permits(used));
        proposal.compare(&format!("scope to create {name}"), site, "used".to_owned(), agreement);
        if agreement == Agreement::Contradicts {
            proposal.advice.push(format!(
                "the token does not let us create {name}: ask the analyst to grant system/{name}.c (or .write) to this client"
            ));
        }
    }
}
