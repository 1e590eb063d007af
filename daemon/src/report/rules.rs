//! Policies and sensors as people and scripts see them. Pure.
//!
//! A value is shown with its source, with who states it, and with what it takes the place of; nothing is left out, so
//! that what is shown and what is hashed are the same. Text that a file states is shown as text: nothing in it steers.

use std::fmt::Write as _;

use clinical::{
    device::Devices,
    policy::{self, Entry, Policy, Scalar, Sheet},
};
use serde_json::{Map, Value, json};

use super::paper::printable;

/// A file of rules with what stands around it.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The file, with what it takes over.
    pub sheet: &'a Sheet,
    /// SHA-256 as outcomes cite it: of a policy about glucose, with its table of sensors.
    pub sha256: &'a str,
    /// The table of sensors of a policy about glucose.
    pub devices: Option<&'a Devices>,
    /// Where the hospital's own file is; `None` for a built-in one.
    pub file: Option<&'a str>,
    /// Sites that use it.
    pub sites: &'a [String],
}

impl<'a> Rules<'a> {
    /// A policy about glucose, whose `mark` is kept by who asks.
    pub fn of(policy: &'a Policy, sha256: &'a str, file: Option<&'a str>, sites: &'a [String]) -> Self {
        Self { sheet: policy.sheet(), sha256, devices: Some(&policy.devices), file, sites }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.sheet.id, self.sheet.version)
    }

    /// How many values the file states itself, over its base.
    fn replaced(&self) -> usize {
        self.sheet.entries.values().filter(|entry| self.sheet.states(entry)).count()
    }

    fn unconfirmed(&self) -> usize {
        self.sheet.entries.values().filter(|entry| !entry.is_none() && entry.is_unconfirmed()).count()
    }

    fn standing(&self) -> usize {
        self.sheet.entries.values().filter(|entry| !entry.is_none()).count()
    }

    /// The value of the base that a value of this file takes the place of.
    fn taken_place_of(&self, name: &str, entry: &Entry) -> Option<&'static Entry> {
        if !self.sheet.states(entry) {
            return None;
        }
        let base = self.sheet.base.as_ref()?.split('/').next()?;
        let base = match policy::sheet_named(base) {
            Some(sheet) => sheet,
            None => table_of_sensors(base)?,
        };
        base.get(name)
    }
}

/// The built-in table of sensors, where that is its id. It lives as long as the program.
fn table_of_sensors(id: &str) -> Option<&'static Sheet> {
    static TABLE: std::sync::LazyLock<std::sync::Arc<Devices>> = std::sync::LazyLock::new(Devices::built_in);
    Some(TABLE.sheet()).filter(|sheet| sheet.id == id)
}

/// One line for each file, under a heading.
#[must_use]
pub fn list(rules: &[Rules<'_>]) -> String {
    let width = rules.iter().map(|rules| rules.name().len()).max().unwrap_or(0);
    let mut out = String::new();
    for rules in rules {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:<width$}  {}", rules.name(), printable(&rules.sheet.title));
        let pad = " ".repeat(width + 2);
        let _ = writeln!(
            out,
            "{pad}{}; {} values, {} unconfirmed; sha256 {}",
            rules.sheet.quantity,
            rules.standing(),
            rules.unconfirmed(),
            rules.sha256.get(..16).unwrap_or(rules.sha256),
        );
        if let Some(base) = &rules.sheet.base {
            let _ = writeln!(out, "{pad}{base} with {} values of its own", rules.replaced());
        }
        if let Some(file) = rules.file {
            let _ = writeln!(out, "{pad}file {}", printable(file));
        }
        if !rules.sites.is_empty() {
            let _ = writeln!(out, "{pad}used by {}", rules.sites.join(", "));
        }
    }
    out
}

/// A whole file: every value, its source, and what it takes the place of.
#[must_use]
pub fn show(rules: &Rules<'_>) -> String {
    let sheet = rules.sheet;
    let mut out = format!("{}  {}\n", rules.name(), printable(&sheet.title));
    let mut head = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:<9} {}", printable(text));
    };
    head("quantity", &sheet.quantity);
    head("sha256", rules.sha256);
    head("base", sheet.base.as_deref().unwrap_or("none: the file is whole"));
    head("file", rules.file.unwrap_or("built in"));
    if let Some(devices) = rules.devices {
        let table = devices.sheet();
        head("sensors", &format!("{}/{}, sha256 {}", table.id, table.version, devices.sha256()));
    }
    if !rules.sites.is_empty() {
        head("used by", &rules.sites.join(", "));
    }
    let width = sheet.entries.keys().map(String::len).max().unwrap_or(0);
    out.push('\n');
    for (name, entry) in &sheet.entries {
        let own = if rules.sheet.base.is_some() && sheet.states(entry) { '*' } else { ' ' };
        let _ = writeln!(out, "{own} {name:<width$}  {}", fields(entry));
        let _ = writeln!(out, "  {:<width$}  from {}", "", printable(&entry.source));
        if let Some(before) = rules.taken_place_of(name, entry) {
            let _ = writeln!(out, "  {:<width$}  in place of {}", "", fields(before));
        }
    }
    if sheet.base.is_some() {
        out.push_str("\n* stated by this file; every other value is that of its base\n");
    }
    out
}

fn fields(entry: &Entry) -> String {
    if entry.is_none() {
        return "none".to_owned();
    }
    let said = entry.fields.iter().map(|(field, value)| format!("{field} {}", plain(value)));
    said.collect::<Vec<_>>().join(", ")
}

/// A value as it is written, for people: `10.0` stays `10.0`.
fn plain(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => printable(text),
        Scalar::List(items) => items.iter().map(plain).collect::<Vec<_>>().join(" | "),
        other => other.to_string(),
    }
}

/// A file as one object: with `values`, every value by its name.
#[must_use]
pub fn object(rules: &Rules<'_>, values: bool) -> Value {
    let sheet = rules.sheet;
    let mut object = json!({
        "id": sheet.id,
        "version": sheet.version,
        "title": sheet.title,
        "quantity": sheet.quantity,
        "sha256": rules.sha256,
        "base": sheet.base,
        "file": rules.file,
        "sites": rules.sites,
        "values_of_its_own": rules.replaced(),
        "unconfirmed": rules.unconfirmed(),
    });
    if let Some(devices) = rules.devices {
        let table = devices.sheet();
        object["devices"] = json!({ "id": table.id, "version": table.version, "sha256": devices.sha256() });
    }
    if values {
        let entries: Map<String, Value> =
            sheet.entries.iter().map(|(name, entry)| (name.clone(), value(rules, name, entry))).collect();
        object["values"] = entries.into();
    }
    object
}

fn value(rules: &Rules<'_>, name: &str, entry: &Entry) -> Value {
    json!({
        "value": entry_object(entry),
        "source": entry.source,
        "unconfirmed": entry.is_unconfirmed(),
        "stated_by": entry.stated_by,
        "in_place_of": rules.taken_place_of(name, entry).map(entry_object),
    })
}

/// The fields; null where the value is stated to be absent.
fn entry_object(entry: &Entry) -> Value {
    if entry.is_none() { Value::Null } else { json!(entry.fields) }
}

/// The sensors of a table, a block for each.
#[must_use]
pub fn sensors(devices: &Devices) -> String {
    let sheet = devices.sheet();
    let mut out =
        format!("{}/{}  {}, sha256 {}\n", sheet.id, sheet.version, printable(&sheet.title), devices.sha256());
    for sensor in &devices.sensors {
        let (wear, grace) = sensor.wear_hours.value;
        let intervals: Vec<String> = sensor.intervals.value.iter().map(ToString::to_string).collect();
        let reportable = sensor.reportable.value;
        let own = |name: &str| {
            let entry = sheet.entries.get(&format!("{}.{name}", sensor.id));
            sheet.base.is_some() && entry.is_some_and(|entry| sheet.states(entry))
        };
        let mark = |name: &str| if own(name) { "*" } else { "" };
        let _ = writeln!(out, "\n{}  {}", sensor.id, printable(&sensor.title));
        let _ = writeln!(out, "  named{}      {}", mark("names"), printable(&sensor.names.value.join(" | ")));
        let _ = writeln!(
            out,
            "  warm-up{} {} min; wear{} {wear} h and {grace} h of grace; interval{} {} min",
            mark("warm_up"),
            sensor.warm_up_minutes.value,
            mark("wear"),
            mark("interval"),
            intervals.join(" or "),
        );
        let _ = writeln!(
            out,
            "  reports{} {} to {} mg/dL, {} to {} mmol/L; beyond that{} {}",
            mark("reportable"),
            reportable.mg_dl.0,
            reportable.mg_dl.1,
            reportable.mmol_l.0,
            reportable.mmol_l.1,
            mark("sentinels"),
            beyond(sensor),
        );
        let _ = writeln!(out, "  from       {}", printable(&sensor.warm_up_minutes.source));
    }
    if sheet.base.is_some() {
        out.push_str("\n* stated by this file; every other value is that of its base\n");
    }
    out
}

fn beyond(sensor: &clinical::device::Sensor) -> String {
    let sentinels = sensor.sentinels.value;
    match sentinels.codes_mg_dl {
        Some((below, above)) => format!("the codes {below} and {above}"),
        None if sentinels.at_ends => "the ends themselves".to_owned(),
        None => "words such as Low and High only".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Policy {
        let text = "id = \"ours\"\nversion = 3\ntitle = \"Our adults\"\nbase = \"standard\"\n\
                    [thresholds.high_above]\nmg_dl = \"185\"\nmmol_l = \"10.3\"\nsource = \"our board\"\n\
                    [goals.very-high]\nnone = true\nsource = \"our board\"\n";
        let sheet = Sheet::parse(text, policy::sheet_named).unwrap();
        Policy::from_sheet(&sheet, Devices::built_in()).unwrap()
    }

    #[test]
    fn what_a_file_states_itself_is_marked_with_what_it_takes_the_place_of() {
        let (policy, sites) = (own(), ["main".to_owned()]);
        let sha256 = policy.mark().sha256;
        let rules = Rules::of(&policy, &sha256, Some("policies.d/ours.toml"), &sites);
        let shown = show(&rules);
        for part in [
            "ours/3  Our adults\n",
            "  base      standard/1\n",
            "  used by   main\n",
            "mg_dl 185, mmol_l 10.3\n",
            "in place of mg_dl 180, mmol_l 10.0\n",
            "in place of below_pct 5\n",
            &sha256,
        ] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
        assert_eq!(
            shown.lines().filter(|line| line.starts_with("* ") && !line.contains("stated")).count(),
            2
        );

        let object = object(&rules, true);
        let value = &object["values"]["thresholds.high_above"];
        assert_eq!(value["value"], json!({"mg_dl": "185", "mmol_l": "10.3"}));
        assert_eq!(value["in_place_of"], json!({"mg_dl": "180", "mmol_l": "10.0"}));
        assert_eq!((&value["stated_by"], &value["unconfirmed"]), (&json!("ours"), &json!(false)));
        let untouched = &object["values"]["gaps.long"];
        assert_eq!((&untouched["in_place_of"], &untouched["unconfirmed"]), (&Value::Null, &json!(true)));
        assert_eq!((&object["values_of_its_own"], &object["sites"]), (&json!(2), &json!(["main"])));
    }

    /// The reader of files refuses such a text; what shows it does not rely on that.
    #[test]
    fn no_text_of_a_file_steers_a_terminal() {
        let mut sheet = own().sheet().clone();
        sheet.title = "A\u{1b}[2J\u{202e}".to_owned();
        sheet.entries.values_mut().for_each(|entry| entry.source = "\u{9b}2J".to_owned());
        let rules = Rules { sheet: &sheet, sha256: "0", devices: None, file: Some("a\nb\u{7}"), sites: &[] };
        for text in [list(&[rules]), show(&rules)] {
            assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
            assert!(text.contains("A\\x1B[2J\\u{202e}\n") && text.contains("a\\x0Ab\\x07\n"), "{text}");
        }
    }

    #[test]
    fn every_built_in_file_is_shown_whole() {
        for sheet in policy::sheets() {
            let sha256 = sheet.sha256();
            let rules = Rules { sheet, sha256: &sha256, devices: None, file: None, sites: &[] };
            let shown = show(&rules);
            for (name, entry) in &sheet.entries {
                assert!(
                    shown.contains(name.as_str()) && shown.contains(&entry.source),
                    "{} {name}",
                    sheet.id
                );
            }
            assert!(list(&[rules]).contains(&sheet.title));
        }
        let table = sensors(&Devices::built_in());
        assert!(
            table.contains("\ndexcom-g6  Dexcom G6\n") && table.contains("the codes 39 and 401"),
            "{table}"
        );
    }
}
