//! What is known of sensors, as data: names, warm-up, wear, interval, ends of the reportable range.
//!
//! Invariants: every value comes from a file (`clinical/devices/sensors.toml` is built in) with its source; the
//! table's hash is part of the mark of every policy that uses it, because it decides numbers; a device is
//! recognized by a name that its source states, as whole words, and never from a serial or from its data.

use std::sync::{Arc, LazyLock};

use crate::{
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
    policy::{Sheet, SheetFault, Sourced, Values},
    reading::Device,
};

/// Longest warm-up: a day is that of implanted sensors.
const MAX_WARM_UP_MINUTES: u32 = 2 * 1_440;
/// Longest wear, in hours: two years.
const MAX_WEAR_HOURS: u32 = 2 * 365 * 24;
/// The intervals that a sensor can have, in minutes. Those on the market store a reading every minute (the stream of
/// Libre 3), every 5 (Dexcom, Guardian, Simplera, Eversense, Libre 3) or every 15 (Libre 14 day, Libre 2). No distance
/// between readings points to another one (see `select`), so one that a table stated would never be used.
pub const INTERVALS_MINUTES: [u8; 3] = [1, 5, 15];

static BUILT_IN: LazyLock<Arc<Devices>> = LazyLock::new(|| {
    let text = include_str!("../devices/sensors.toml");
    let sheet = Sheet::parse(text, |_| None).expect("the built-in table is valid: a test reads it");
    Arc::new(Devices::from_sheet(&sheet).expect("the built-in table is valid: a test reads it"))
});

/// The least and the greatest value that a sensor reports as a number, each native in both units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reportable {
    /// In mg/dL.
    pub mg_dl: (Decimal, Decimal),
    /// In mmol/L.
    pub mmol_l: (Decimal, Decimal),
}

/// How a source writes what lies beyond the reportable range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentinels {
    /// The number in mg/dL that stands for a value below the range (39), and for one above it (401).
    pub codes_mg_dl: Option<(Decimal, Decimal)>,
    /// A value beyond an end is written as that end (40, 400, 500; 2.2 mmol/L).
    pub at_ends: bool,
}

/// One kind of sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// Name in the table, `dexcom-g6`.
    pub id: String,
    /// For people.
    pub title: String,
    /// What sources call it.
    pub names: Sourced<Vec<String>>,
    /// Minutes after the session start.
    pub warm_up_minutes: Sourced<u32>,
    /// Hours of a session, and of grace beyond it.
    pub wear_hours: Sourced<(u32, u32)>,
    /// Minutes from one stored reading to the next, each of [`INTERVALS_MINUTES`]; the usual one first, at least one.
    pub intervals: Sourced<Vec<u8>>,
    /// The ends of what is reported as a number.
    pub reportable: Sourced<Reportable>,
    /// How what lies beyond them is written.
    pub sentinels: Sourced<Sentinels>,
}

/// What a plain number of a sensor means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Itself, or a limit that it stands for.
    Value(Measured),
    /// No measurement: an error code.
    ErrorCode,
}

impl Sensor {
    /// What a plain number of this sensor means. What lies below the code for "below" is an error code, because the
    /// sensor writes no value there.
    #[must_use]
    pub fn meaning(&self, number: Decimal, unit: Unit) -> Meaning {
        match self.sentinels.value.codes_mg_dl {
            Some((below, _)) if unit == Unit::MgDl && number.cmp_value(below).is_lt() => Meaning::ErrorCode,
            _ => Meaning::Value(self.measured(number, unit)),
        }
    }

    /// What a plain number of this sensor means that is no error code: itself, or a limit that it stands for.
    #[must_use]
    pub fn measured(&self, number: Decimal, unit: Unit) -> Measured {
        let (low, high) = match unit {
            Unit::MgDl => self.reportable.value.mg_dl,
            Unit::MmolL => self.reportable.value.mmol_l,
        };
        let Sentinels { codes_mg_dl, at_ends } = self.sentinels.value;
        let is_code = |code: fn((Decimal, Decimal)) -> Decimal| {
            unit == Unit::MgDl && codes_mg_dl.is_some_and(|codes| code(codes).cmp_value(number).is_eq())
        };
        if is_code(|codes| codes.0) || (at_ends && number.cmp_value(low).is_le()) {
            Measured::Below(low)
        } else if is_code(|codes| codes.1) || (at_ends && number.cmp_value(high).is_ge()) {
            Measured::Above(high)
        } else {
            Measured::Exact(number)
        }
    }

    /// Whether a plain number lies beyond the ends of what it reports.
    #[must_use]
    pub fn is_beyond(&self, glucose: Glucose) -> bool {
        let (low, high) = match glucose.unit {
            Unit::MgDl => self.reportable.value.mg_dl,
            Unit::MmolL => self.reportable.value.mmol_l,
        };
        matches!(glucose.measured, Measured::Exact(number) if number.cmp_value(low).is_lt() || number.cmp_value(high).is_gt())
    }

    /// The interval of a run of its readings, given the one that their distances suggest. A faster stream than the
    /// table knows keeps its own, which claims less; a slower one is a known interval with readings missing.
    #[must_use]
    pub fn interval(&self, suggested: Option<u8>) -> u8 {
        let known = &self.intervals.value;
        let usual = known.first().copied().unwrap_or(1);
        match suggested {
            Some(minutes) if known.contains(&minutes) || known.iter().all(|known| minutes < *known) => {
                minutes
            }
            _ => usual,
        }
    }
}

/// A table of sensors in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    /// The sensors by id.
    pub sensors: Vec<Sensor>,
    sheet: Sheet,
    sha256: String,
}

impl Devices {
    /// The table that comes with the program.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        Arc::clone(&BUILT_IN)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Every fault of the sheet, with the line in its file.
    pub fn from_sheet(sheet: &Sheet) -> Result<Self, Vec<SheetFault>> {
        let values = Values::of(sheet);
        let mut ids: Vec<&str> = sheet.entries.keys().filter_map(|name| name.split('.').next()).collect();
        ids.dedup();
        let sensors: Vec<Option<Sensor>> = ids.into_iter().map(|id| read_sensor(&values, id)).collect();
        let sensors = values.finish(sensors.into_iter().collect())?;
        let sha256 = sheet.sha256();
        Ok(Self { sensors, sheet: sheet.clone(), sha256 })
    }

    /// The file it was read from, with what that took over from its base.
    #[must_use]
    pub fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    /// SHA-256 of the canonical text, lower-case hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The sensor that a device's name states: the one whose longest name stands in it as whole words. `None` where
    /// there is none, and where two sensors fit equally well.
    #[must_use]
    pub fn sensor(&self, device: &Device) -> Option<&Sensor> {
        let stated = device.0.to_ascii_lowercase();
        let longest = |sensor: &Sensor| {
            let fits = sensor.names.value.iter().filter(|name| name.len() <= stated.len());
            let fits = fits.filter(|name| holds_words(&stated, &name.to_ascii_lowercase()));
            fits.map(String::len).max()
        };
        let fits = || self.sensors.iter().filter_map(|sensor| Some((longest(sensor)?, sensor)));
        let best = fits().map(|(length, _)| length).max()?;
        let mut best_fits = fits().filter(|(length, _)| *length == best);
        match (best_fits.next(), best_fits.next()) {
            (Some((_, sensor)), None) => Some(sensor),
            _ => None,
        }
    }
}

/// Whether `name` stands in `text` with no letter, digit or `+` on either side.
fn holds_words(text: &str, name: &str) -> bool {
    let apart = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'+');
    text.match_indices(name).any(|(at, found)| {
        let (before, after) = (at.checked_sub(1), at + found.len());
        apart(before.and_then(|at| text.as_bytes().get(at))) && apart(text.as_bytes().get(after))
    })
}

fn read_sensor(values: &Values<'_>, id: &str) -> Option<Sensor> {
    let value = |name: &str| values.required(&format!("{id}.{name}"));
    let names = value("names").and_then(|value| {
        let (title, words) = (value.text("title"), value.texts("words"));
        let words: Vec<String> = words?.into_iter().map(str::to_owned).collect();
        Some((title?.to_owned(), value.sourced(words)))
    });
    let warm_up_minutes = value("warm_up")
        .and_then(|value| Some(value.sourced(value.whole("minutes", 0..=MAX_WARM_UP_MINUTES)?)));
    let wear_hours = value("wear").and_then(|value| {
        let (hours, grace) = (value.whole("hours", 1..=MAX_WEAR_HOURS), value.whole("grace_hours", 0..=72));
        Some(value.sourced((hours?, grace?)))
    });
    let intervals = value("interval")
        .and_then(|value| Some(value.sourced(value.wholes_of("minutes", &INTERVALS_MINUTES)?)));
    let (reportable, sentinels) = (read_reportable(values, id), read_sentinels(values, id));
    let (title, names) = names?;
    Some(Sensor {
        id: id.to_owned(),
        title,
        names,
        warm_up_minutes: warm_up_minutes?,
        wear_hours: wear_hours?,
        intervals: intervals?,
        reportable: reportable?,
        sentinels: sentinels?,
    })
}

fn read_reportable(values: &Values<'_>, id: &str) -> Option<Sourced<Reportable>> {
    let value = values.required(&format!("{id}.reportable"))?;
    let mg_dl = (value.decimal("low_mg_dl"), value.decimal("high_mg_dl"));
    let mmol_l = (value.decimal("low_mmol_l"), value.decimal("high_mmol_l"));
    let range = Reportable { mg_dl: (mg_dl.0?, mg_dl.1?), mmol_l: (mmol_l.0?, mmol_l.1?) };
    let ascends = |(low, high): (Decimal, Decimal)| low.digits() > 0 && low.cmp_value(high).is_lt();
    if !ascends(range.mg_dl) || !ascends(range.mmol_l) {
        return value.contradicts("does not ascend", "write the low end below the high one, in both units");
    }
    Some(value.sourced(range))
}

fn read_sentinels(values: &Values<'_>, id: &str) -> Option<Sourced<Sentinels>> {
    let value = values.required(&format!("{id}.sentinels"))?;
    let at_ends = value.flag("at_ends");
    let codes_mg_dl = match (value.has("below_code_mg_dl"), value.has("above_code_mg_dl")) {
        (false, false) => None,
        _ => {
            let (below, above) = (value.decimal("below_code_mg_dl"), value.decimal("above_code_mg_dl"));
            Some((below?, above?))
        }
    };
    Some(value.sourced(Sentinels { codes_mg_dl, at_ends: at_ends? }))
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
