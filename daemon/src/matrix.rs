//! A site's capability matrix as people read it: every setting in force, and where it came from. Pure.

use std::collections::BTreeMap;

use clinical::fhir::{
    form::Form,
    projection::{Amends, Style},
    row::Row,
    summary::MeanUnit,
};
use outbox::Purpose;
use serde::Serialize;
use serde_json::Value;

use crate::{
    config::{Filter, Origin, Selection, Site, SubjectForm, Way},
    mode::Mode,
};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its table: `capability`, `projection cgm-ig`, `delivery`.
    pub table: String,
    /// Its key.
    pub key: String,
    /// Its value in words, for people.
    #[serde(skip)]
    pub words: String,
    /// Its value as what it is: a flag, a number, a list; null where there is none, as of a limit.
    pub value: Value,
    /// Where it came from: a line of the site's file, or `default`, or `projection` for what a projection is.
    pub from: String,
}

/// Every setting of a site that bears on what is written, with its origin. `written` are the keys of its file, which is
/// called `file`.
pub fn settings(site: &Site, file: &str, written: &BTreeMap<String, Origin>) -> Vec<Setting> {
    let mut sheet = Sheet { file, written, settings: Vec::new() };
    sheet.capability(site);
    if let Some(ehr) = &site.ehr {
        sheet.add("ehr", "ehr", "base_url", ehr.base_url.clone());
        let subject = match ehr.subject {
            SubjectForm::Identifier => "identifier",
            SubjectForm::Lookup => "lookup",
            SubjectForm::Pseudonym => "pseudonym",
        };
        sheet.add("ehr", "ehr", "subject", subject.to_owned());
        if let Some(auth) = &ehr.auth {
            sheet.add("ehr.auth", "ehr.auth", "scopes", auth.scopes.join(" "));
        }
        for (at, way) in ehr.ways.iter().enumerate() {
            sheet.way(at, way);
        }
    }
    sheet.consent(site);
    sheet.intent(site);
    sheet.delivery(site);
    for (key, kept) in site.retention.in_words() {
        sheet.add("retention", "retention", key, kept);
    }
    sheet.filter(&site.filter);
    for rule in &site.publish {
        let table = format!("publish {}d", rule.window_days);
        let place = sheet.place("publish", "window", &format!("{}d", rule.window_days));
        sheet.add(&table, &place, "every", format!("{}d", rule.every_days));
        sheet.add(&table, &place, "settle", spoken(rule.settle));
        let from = rule.publish_from.map_or("the day the site went live".to_owned(), |day| day.to_string());
        sheet.add(&table, &place, "publish_from", from);
        sheet.add(&table, &place, "amend_for", format!("{}d", rule.amend_for_days));
    }
    sheet.settings
}

/// A value, and how people read it.
struct Told {
    words: String,
    value: Value,
}

impl Told {
    /// Where nothing is written there are words for that.
    fn listed(items: Vec<String>, none: &str) -> Self {
        let words = if items.is_empty() { none.to_owned() } else { items.join(", ") };
        Self { words, value: items.into() }
    }

    /// A number, or none at all.
    fn limit(most: Option<u64>) -> Self {
        let words = most.map_or("no limit".to_owned(), |most| most.to_string());
        Self { words, value: most.into() }
    }
}

impl From<String> for Told {
    fn from(words: String) -> Self {
        Self { value: words.clone().into(), words }
    }
}

impl From<&str> for Told {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<bool> for Told {
    fn from(is: bool) -> Self {
        Self { words: is.to_string(), value: is.into() }
    }
}

impl From<u64> for Told {
    fn from(number: u64) -> Self {
        Self { words: number.to_string(), value: number.into() }
    }
}

struct Sheet<'a> {
    file: &'a str,
    written: &'a BTreeMap<String, Origin>,
    settings: Vec<Setting>,
}

impl Sheet<'_> {
    /// Adds a setting whose key stands in the table `place` of the file, if anywhere.
    fn add(&mut self, table: &str, place: &str, key: &str, value: impl Into<Told>) {
        let line = self.written.get(&format!("{place}.{key}")).map(|origin| origin.line);
        let from = line.map_or("default".to_owned(), |line| format!("{}:{line}", self.file));
        self.put(table, key, value, from);
    }

    fn put(&mut self, table: &str, key: &str, value: impl Into<Told>, from: String) {
        let Told { words, value } = value.into();
        self.settings.push(Setting { table: table.to_owned(), key: key.to_owned(), words, value, from });
    }

    /// The entry of a list of tables whose `key` has this text.
    fn place(&self, list: &str, key: &str, text: &str) -> String {
        let of = |at: usize| format!("{list}[{at}]");
        let named = |at: &usize| {
            let origin = self.written.get(&format!("{}.{key}", of(*at)));
            origin.and_then(|origin| origin.text.as_deref()) == Some(text)
        };
        (0..self.written.len()).find(named).map_or_else(|| format!("{list}[-]"), of)
    }

    fn capability(&mut self, site: &Site) {
        let permits = &site.capability;
        self.add("capability", "capability", "mode", permits.mode.word().to_owned());
        if permits.mode == Mode::Partial {
            let allowed = permits.allow.iter().map(|one| one.name().to_owned()).collect();
            self.add("capability", "capability", "allow", Told::listed(allowed, ""));
        }
        self.add("capability", "capability", "bulk", permits.bulk);
        self.add("capability", "capability", "summaries_in_chart", permits.summaries_in_chart);
        self.add("capability", "capability", "on_recovery", permits.on_recovery.name().to_owned());
    }

    /// A form: what the site chooses, and what its projection is.
    fn way(&mut self, at: usize, way: &Way) {
        let name = way.projection.name();
        let table = format!("projection {name}");
        let place = self.place("projection", "name", name);
        let rank = if at == 0 { "preferred".to_owned() } else { format!("fallback {at}") };
        self.add(&table, &place, "name", rank);
        for (key, value) in facts(way) {
            self.put(&table, key, value, "projection".to_owned());
        }
        for (key, value) in choices(&way.form) {
            // [ehr] may say it for all forms.
            let of_ehr = !self.written.contains_key(&format!("{place}.{key}"))
                && self.written.contains_key(&format!("ehr.{key}"));
            let place = if of_ehr { "ehr" } else { place.as_str() };
            self.add(&table, place, key, value);
        }
        if let Some(outbound) = &way.outbound {
            self.add(&table, &place, "outbound", outbound.clone());
        }
        for row in Row::ALL.into_iter().filter_map(|row| way.form.row(row)) {
            let line = self.written.get(&format!("{place}.rows")).map(|origin| origin.line);
            let from = line.map_or("default".to_owned(), |line| format!("{}:{line}", self.file));
            let value = format!("{} of {}", row.coding.code, row.coding.system);
            self.put(&table, &format!("row {}", row.row.slug()), value, from);
        }
    }

    fn consent(&mut self, site: &Site) {
        let consent = &site.consent;
        let word = |permit: bool| if permit { "permit" } else { "deny" };
        for (purpose, said) in [
            (Purpose::Treatment, consent.treatment),
            (Purpose::Upstream, consent.upstream),
            (Purpose::Payer, consent.payer),
        ] {
            let of_the_box = match purpose {
                Purpose::Upstream => "as [upstream] of the main file says",
                Purpose::Treatment | Purpose::Payer => word(purpose.is_permitted_by_default()),
            };
            let value = said.map_or(of_the_box, word);
            self.add("consent", "consent", purpose.word(), value.to_owned());
        }
    }

    fn intent(&mut self, site: &Site) {
        let notes = match site.intent.notes {
            None => "where a form makes documents",
            Some(true) => "document",
            Some(false) => "off",
        };
        self.add("intent", "intent", "notes", notes.to_owned());
        self.add("intent", "intent", "goals", if site.intent.goals { "goal" } else { "note" }.to_owned());
    }

    fn delivery(&mut self, site: &Site) {
        let (delivery, rate) = (&site.delivery, &site.delivery.rate);
        let quiet: Vec<String> = rate
            .quiet
            .iter()
            .map(|span| format!("{}-{}", span.from.strftime("%H:%M"), span.to.strftime("%H:%M")))
            .collect();
        for (key, value) in [
            ("per_second", Told::limit(rate.per_second.map(u64::from))),
            ("burst", u64::from(rate.burst).into()),
            ("per_minute", Told::limit(rate.per_minute)),
            ("per_day", Told::limit(rate.per_day)),
            ("batch", (rate.batch as u64).into()),
            ("quiet_hours", Told::listed(quiet, "none")),
            ("in_flight", (delivery.in_flight as u64).into()),
            ("probe_interval", spoken(delivery.probe_interval).into()),
            ("timeout", spoken(delivery.timeout).into()),
            ("retry_min", spoken(delivery.retry_min).into()),
            ("retry_max", spoken(delivery.retry_max).into()),
            ("doubt_lasts_after", spoken(delivery.doubt_lasts_after).into()),
            ("absence_counts_after", spoken(delivery.absence_counts_after).into()),
        ] {
            self.add("delivery", "delivery", key, value);
        }
    }

    fn filter(&mut self, filter: &Filter) {
        for (name, selection) in [("include", &filter.include), ("exclude", &filter.exclude)] {
            let table = format!("filter.{name}");
            for (key, value) in lists(selection) {
                self.add(&table, &table, key, value);
            }
        }
    }
}

/// The lists of a selection that are written.
fn lists(selection: &Selection) -> Vec<(&'static str, Told)> {
    let all_of = |list: &std::collections::BTreeSet<String>| Told::listed(list.iter().cloned().collect(), "");
    let windows: Vec<String> = selection.windows.iter().map(|days| format!("{days}d")).collect();
    // Patients by number: the sheet may be printed.
    let patients = match selection.patients.len() {
        0 => String::new(),
        number => format!("{number} listed"),
    };
    let all = [
        ("feeds", all_of(&selection.feeds)),
        ("applications", all_of(&selection.applications)),
        ("facilities", all_of(&selection.facilities)),
        ("populations", all_of(&selection.populations)),
        ("patients", patients.into()),
        ("windows", Told::listed(windows, "")),
    ];
    all.into_iter().filter(|(_, told)| !told.words.is_empty()).collect()
}

/// What a projection is, whatever a site chooses.
fn facts(way: &Way) -> Vec<(&'static str, String)> {
    let projection = way.projection;
    let amends = match projection.amends() {
        Amends::Update => "a later version replaces what stands",
        Amends::Anew => "a later version is another document, which names the one before it",
        Amends::Never => "what stands is never replaced; people are asked to amend it",
    };
    let travels = match projection.style() {
        Style::Transaction => "all in one transaction",
        Style::Single => "each in a request of its own",
    };
    vec![
        ("needs", way.carrier().name().to_owned()),
        ("travels", travels.to_owned()),
        ("amending", amends.to_owned()),
        ("created", if projection.conditional() { "conditionally" } else { "unconditionally" }.to_owned()),
    ]
}

/// What a site chooses within a form.
fn choices(form: &Form) -> Vec<(&'static str, Told)> {
    let unit = match form.glucose {
        MeanUnit::Mass => "mg/dL",
        MeanUnit::Molar => "mmol/L",
    };
    let statuses = form.statuses.iter().map(|status| status.code().to_owned()).collect();
    let policies = form.policies.iter().map(ToString::to_string).collect();
    let mut choices: Vec<(&'static str, Told)> = vec![
        ("fhir_release", form.release.name().into()),
        ("glucose_unit", unit.into()),
        ("local_codes", form.local_codes.into()),
        ("category", form.category.code().into()),
        ("category_system", form.category_system.uri().into()),
        ("time", form.time.name().into()),
        ("statuses", Told::listed(statuses, "")),
        ("window", form.days.map_or("any".to_owned(), |days| format!("{days}d")).into()),
        ("policies", Told::listed(policies, "any it can show")),
        ("encounter", form.encounter.into()),
        ("notes", form.notes.into()),
        ("provenance", form.provenance.into()),
    ];
    choices.extend(form.performer.clone().map(|performer| ("performer", performer.into())));
    if !form.metrics.is_empty() {
        let metrics = form.metrics.iter().map(|metric| metric.slug().to_owned()).collect();
        choices.push(("metrics", Told::listed(metrics, "")));
    }
    choices
}

fn spoken(duration: std::time::Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1_000 != 0 => format!("{ms}ms"),
        ms if ms % 3_600_000 == 0 && ms > 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 && ms > 0 => format!("{}m", ms / 60_000),
        ms => format!("{}s", ms / 1_000),
    }
}
