//! `[fleet]`: whom the box tells how it is, and which bundles it takes. Off where it is not written.

use std::{path::PathBuf, time::Duration};

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};
use sha2::{Digest, Sha256};

use super::{bundle::BundleKey, rate::Quiet, section::Section, transport::ClientTls};

/// The default time between two check-ins.
const EVERY: Duration = Duration::from_secs(60);
/// The shortest; a rehearsal wants seconds.
const LEAST_EVERY: Duration = Duration::from_secs(1);
/// The longest: a box that says less often how it is might as well say nothing.
const MOST_EVERY: Duration = Duration::from_secs(3_600);
/// The default time for which a bundle is on trial.
const TRIAL: Duration = Duration::from_secs(600);
/// The longest trial.
const MOST_TRIAL: Duration = Duration::from_secs(7 * 86_400);
/// The most keys: the present one, the next one, and those of teams.
const MOST_KEYS: usize = 8;
/// The most spans of a change window.
const MOST_SPANS: usize = 8;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// `[fleet]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Where check-ins go: `<url>/check-in`. Https, without a slash at its end.
    pub url: String,
    /// How the connection proves both sides: always with a certificate of ours.
    pub tls: ClientTls,
    /// The time between two check-ins, give or take a quarter: 1 s to 1 h, 60 s by default.
    pub every: Duration,
    /// Which bundles are taken, and when.
    pub bundles: BundleRule,
}

/// Which bundles are taken, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRule {
    /// When one is put in place; off by default.
    pub when: BundleWhen,
    /// Who may sign them; at least one where they are not off.
    pub keys: Vec<BundleKey>,
    /// Their files, in the same order.
    pub key_files: Vec<PathBuf>,
    /// Spans of the day, in the local time of the box's own site.
    pub window: Vec<Quiet>,
    /// Days on which a span may begin; all by default.
    pub days: Vec<Weekday>,
    /// For how long one is on trial: 1 s to 7 days, 10 min by default.
    pub trial: Duration,
}

/// When a bundle is put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleWhen {
    /// Never; one in place is left out of the configuration.
    Off,
    /// When a person at the box says so.
    Manual,
    /// In the change window, or when a person says so.
    Window,
}

impl BundleWhen {
    const ALL: [Self; 3] = [Self::Off, Self::Manual, Self::Window];

    /// The word as it is written in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Manual => "manual",
            Self::Window => "window",
        }
    }
}

impl BundleRule {
    /// Whether the change window is open at a moment (ms UTC) there. A span over midnight belongs to the day it begins on.
    pub fn is_open(&self, at: i64, zone: &TimeZone) -> bool {
        let Ok(at) = Timestamp::from_millisecond(at) else { return false };
        let local = zone.to_datetime(at);
        self.window.iter().any(|span| {
            let is_tail = span.from > span.to && local.time() < span.to;
            let day = if is_tail { local.weekday().previous() } else { local.weekday() };
            span.holds(local.time()) && self.days.contains(&day)
        })
    }
}

/// Reads `[fleet]`; `None` where it is not there, and where a fault was noted.
pub(super) fn read_fleet(root: &Section<'_>) -> Option<Fleet> {
    root.table("fleet", |section| {
        section.require("url", "url = \"https://upstream.example.org/fleet\"");
        let url = section.url("url");
        let tls = ClientTls::read(section);
        let every = section.duration("every", LEAST_EVERY..=MOST_EVERY, EVERY);
        let bundles = read_bundles(section);
        Some(Fleet { url: url?, tls: tls?, every: every.unwrap_or(EVERY), bundles: bundles? })
    })
}

fn read_bundles(section: &Section<'_>) -> Option<BundleRule> {
    let words = BundleWhen::ALL.map(|when| (when.word(), when));
    let when = section.choice("bundles", &words, &[]);
    let keys = read_keys(section);
    let example = "[\"02:00-04:00\"]";
    let texts = section.texts("change_window", example).unwrap_or_default();
    let window: Option<Vec<Quiet>> = texts.iter().map(|text| Quiet::parse(text)).collect();
    let window = window.filter(|spans| spans.len() <= MOST_SPANS);
    if window.is_none() {
        let what = format!("is not a list of at most {MOST_SPANS} spans of the day, from and to as HH:MM");
        section.fault("change_window", &what, format!("write change_window = {example}"));
    }
    let days = section.choices("change_days", &DAYS);
    let trial = section.duration("bundle_trial", Duration::from_secs(1)..=MOST_TRIAL, TRIAL);
    let when = if section.has("bundles") { when? } else { BundleWhen::Off };
    let ((keys, key_files), window) = (keys?, window?);
    if when != BundleWhen::Off && keys.is_empty() {
        section.missing(
            "bundle_keys",
            "names no key, and bundles are not off",
            "name the public key of who signs them: bundle_keys = [\"fleet.pub\"]",
        );
        return None;
    }
    if when == BundleWhen::Window && window.is_empty() {
        section.missing(
            "change_window",
            "has no span, and bundles = \"window\" waits for one",
            format!("write change_window = {example}, or bundles = \"manual\""),
        );
        return None;
    }
    let days = days.unwrap_or_else(|| DAYS.map(|(_, day)| day).to_vec());
    Some(BundleRule { when, keys, key_files, window, days, trial: trial.unwrap_or(TRIAL) })
}

/// The keys in the files of `bundle_keys`; `None` where a fault was noted.
fn read_keys(section: &Section<'_>) -> Option<(Vec<BundleKey>, Vec<PathBuf>)> {
    let Some(names) = section.texts("bundle_keys", "[\"fleet.pub\"]") else {
        return (!section.has("bundle_keys")).then(Default::default);
    };
    if names.len() > MOST_KEYS {
        section.fault("bundle_keys", "is too long a list", format!("write at most {MOST_KEYS}"));
        return None;
    }
    let (mut keys, mut files) = (Vec::new(), Vec::new());
    for name in &names {
        let path: PathBuf = section.source().folder().join(name).components().collect();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        match BundleKey::read(&text) {
            Some(key) => {
                section.findings().note_content(path.clone(), Sha256::digest(text.as_bytes()).into());
                files.push(path);
                keys.push(key);
            }
            None => section.fault(
                "bundle_keys",
                &format!("names {}, which is no Ed25519 public key that can be read", path.display()),
                "give a PEM file as openssl pkey -pubout writes it",
            ),
        }
    }
    (keys.len() == names.len()).then_some((keys, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_window_is_open_on_its_days_and_a_night_belongs_to_the_day_it_begins_on() {
        let rule = BundleRule {
            when: BundleWhen::Window,
            keys: Vec::new(),
            key_files: Vec::new(),
            window: ["22:00-04:00", "12:00-13:00"].map(|text| Quiet::parse(text).unwrap()).to_vec(),
            days: vec![Weekday::Tuesday],
            trial: TRIAL,
        };
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        for (local, wanted) in [
            ("2026-03-03T12:30", true),
            ("2026-03-03T13:00", false),
            ("2026-03-03T22:00", true),
            ("2026-03-04T03:59", true),
            ("2026-03-04T04:00", false),
            ("2026-03-03T03:00", false),
            ("2026-03-04T12:30", false),
            ("2026-03-04T23:00", false),
        ] {
            let local_time: jiff::civil::DateTime = local.parse().unwrap();
            let at = zone.to_timestamp(local_time).unwrap().as_millisecond();
            assert_eq!(rule.is_open(at, &zone), wanted, "{local}");
        }
    }
}
