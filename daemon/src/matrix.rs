//! A site's capability matrix as people read it: every setting in force, and where it came from. Pure.

use std::collections::BTreeMap;

use clinical::fhir::{
    form::Form,
    projection::{Amends, Style},
    row::Row,
    summary::MeanUnit,
};
use serde::Serialize;

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
    /// Its value in words.
    pub value: String,
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
    sheet.add("retention", "retention", "written", site.retention.in_words());
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

struct Sheet<'a> {
    file: &'a str,
    written: &'a BTreeMap<String, Origin>,
    settings: Vec<Setting>,
}

impl Sheet<'_> {
    /// Adds a setting whose key stands in the table `place` of the file, if anywhere.
    fn add(&mut self, table: &str, place: &str, key: &str, value: String) {
        let line = self.written.get(&format!("{place}.{key}")).map(|origin| origin.line);
        let from = line.map_or("default".to_owned(), |line| format!("{}:{line}", self.file));
        self.put(table, key, value, from);
    }

    fn put(&mut self, table: &str, key: &str, value: String, from: String) {
        self.settings.push(Setting { table: table.to_owned(), key: key.to_owned(), value, from });
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
            let allowed: Vec<&str> = permits.allow.iter().map(|one| one.name()).collect();
            self.add("capability", "capability", "allow", allowed.join(", "));
        }
        self.add("capability", "capability", "bulk", permits.bulk.to_string());
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
        for (key, said, of_the_box) in [
            ("treatment", consent.treatment, "permit"),
            ("upstream", consent.upstream, "as [upstream] of the main file says"),
            ("payer", consent.payer, "deny"),
        ] {
            let value = said.map_or(of_the_box, |permit| if permit { "permit" } else { "deny" });
            self.add("consent", "consent", key, value.to_owned());
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
        let limit = |limit: Option<u64>| limit.map_or("no limit".to_owned(), |most| most.to_string());
        let quiet: Vec<String> = rate
            .quiet
            .iter()
            .map(|span| format!("{}-{}", span.from.strftime("%H:%M"), span.to.strftime("%H:%M")))
            .collect();
        for (key, value) in [
            ("per_second", limit(rate.per_second.map(u64::from))),
            ("burst", rate.burst.to_string()),
            ("per_minute", limit(rate.per_minute)),
            ("per_day", limit(rate.per_day)),
            ("batch", rate.batch.to_string()),
            ("quiet_hours", if quiet.is_empty() { "none".to_owned() } else { quiet.join(", ") }),
            ("in_flight", delivery.in_flight.to_string()),
            ("probe_interval", spoken(delivery.probe_interval)),
            ("timeout", spoken(delivery.timeout)),
            ("retry_min", spoken(delivery.retry_min)),
            ("retry_max", spoken(delivery.retry_max)),
            ("doubt_lasts_after", spoken(delivery.doubt_lasts_after)),
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
fn lists(selection: &Selection) -> Vec<(&'static str, String)> {
    let joined = |list: &std::collections::BTreeSet<String>| {
        list.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let windows: Vec<String> = selection.windows.iter().map(|days| format!("{days}d")).collect();
    // Patients by number: the sheet may be printed.
    let patients = match selection.patients.len() {
        0 => String::new(),
        number => format!("{number} listed"),
    };
    let all = [
        ("feeds", joined(&selection.feeds)),
        ("applications", joined(&selection.applications)),
        ("facilities", joined(&selection.facilities)),
        ("populations", joined(&selection.populations)),
        ("patients", patients),
        ("windows", windows.join(", ")),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
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
fn choices(form: &Form) -> Vec<(&'static str, String)> {
    let unit = match form.glucose {
        MeanUnit::Mass => "mg/dL",
        MeanUnit::Molar => "mmol/L",
    };
    let statuses: Vec<&str> = form.statuses.iter().map(|status| status.code()).collect();
    let policies =
        if form.policies.is_empty() { "any it can show".to_owned() } else { form.policies.join(", ") };
    let mut choices = vec![
        ("fhir_release", form.release.name().to_owned()),
        ("glucose_unit", unit.to_owned()),
        ("local_codes", form.local_codes.to_string()),
        ("category", form.category.code().to_owned()),
        ("category_system", form.category_system.uri().to_owned()),
        ("time", form.time.name().to_owned()),
        ("statuses", statuses.join(", ")),
        ("window", form.days.map_or("any".to_owned(), |days| format!("{days}d"))),
        ("policies", policies),
        ("encounter", form.encounter.to_string()),
        ("notes", form.notes.to_string()),
        ("provenance", form.provenance.to_string()),
    ];
    choices.extend(form.performer.clone().map(|performer| ("performer", performer)));
    if !form.metrics.is_empty() {
        let metrics: Vec<&str> = form.metrics.iter().map(|metric| metric.slug()).collect();
        choices.push(("metrics", metrics.join(", ")));
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
