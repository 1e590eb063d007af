//! Whether a site's EHR takes an outcome, by what it was computed from. Pure.
//!
//! Every list of `include` that is written must hold something of the outcome, and no list of `exclude` may.

use std::collections::BTreeSet;

use bytes::Bytes;
use mllp::envelope::Envelope;

use crate::config::{Filter, Selection};

/// As much of a message as is looked at for its MSH: no sender writes a longer one.
const HEAD_BYTES: usize = 4_096;

/// Where one of an outcome's messages came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The listener or spool.
    pub feed: String,
    /// MSH-3.1; empty for what is no message.
    pub application: String,
    /// MSH-4.1; empty for what is no message.
    pub facility: String,
}

/// What is known of an outcome. No Debug: it names a patient.
pub struct About<'a> {
    /// The id of its policy.
    pub population: &'a str,
    /// Its patient as `system|value`.
    pub patient: &'a str,
    /// The length of its window.
    pub window_days: u16,
    /// Where its messages came from.
    pub origins: BTreeSet<Origin>,
}

/// Why an outcome is not taken: the list's name, `exclude.feeds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `include` or `exclude`.
    pub table: &'static str,
    /// The list.
    pub list: &'static str,
}

/// The list by which a filter leaves an outcome out; `None` where it takes it.
pub fn refusal(filter: &Filter, about: &About<'_>) -> Option<Refused> {
    let excluded = lists(&filter.exclude, about).find(|(_, _, holds)| *holds);
    if let Some((list, _, _)) = excluded {
        return Some(Refused { table: "exclude", list });
    }
    let missed = lists(&filter.include, about).find(|(_, written, holds)| *written && !holds);
    missed.map(|(list, _, _)| Refused { table: "include", list })
}

/// Each list with whether it is written and whether it holds something of the outcome.
fn lists(
    selection: &Selection,
    about: &About<'_>,
) -> impl Iterator<Item = (&'static str, bool, bool)> + use<> {
    let from = |list: &BTreeSet<String>, name: fn(&Origin) -> &String| {
        about.origins.iter().any(|origin| list.contains(name(origin)))
    };
    let of = |list: &BTreeSet<String>, value: &str| (!list.is_empty(), list.contains(value));
    let (feeds, applications, facilities) =
        (&selection.feeds, &selection.applications, &selection.facilities);
    let (population, patient) =
        (of(&selection.populations, about.population), of(&selection.patients, about.patient));
    [
        ("feeds", !feeds.is_empty(), from(feeds, |origin| &origin.feed)),
        ("applications", !applications.is_empty(), from(applications, |origin| &origin.application)),
        ("facilities", !facilities.is_empty(), from(facilities, |origin| &origin.facility)),
        ("populations", population.0, population.1),
        ("patients", patient.0, patient.1),
        ("windows", !selection.windows.is_empty(), selection.windows.contains(&about.window_days)),
    ]
    .into_iter()
}

/// Where a stored message came from: its source, and of an HL7 v2 message who sent it.
pub fn origin(source: &str, body: &[u8]) -> Origin {
    let head = Bytes::copy_from_slice(body.get(..HEAD_BYTES).unwrap_or(body));
    let envelope = Envelope::scan(&head).ok();
    let namespace = |number| {
        let name = envelope.as_ref().map(|envelope| envelope.namespace(number).trim_ascii());
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    };
    Origin { feed: source.to_owned(), application: namespace(3), facility: namespace(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About<'static> {
        let origin = |feed: &str, application: &str, facility: &str| Origin {
            feed: feed.into(),
            application: application.into(),
            facility: facility.into(),
        };
        About {
            population: "standard",
            patient: "urn:oid:1|7",
            window_days: 14,
            origins: [origin("engine", "HUB", "NORTH"), origin("drop", "", "")].into(),
        }
    }

    fn set(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn every_list_alone_takes_and_leaves_out_by_its_own_value() {
        let none = Selection::default();
        let each: [(&str, Selection, Selection); 6] = [
            (
                "feeds",
                Selection { feeds: set(&["drop", "x"]), ..none.clone() },
                Selection { feeds: set(&["x"]), ..none.clone() },
            ),
            (
                "applications",
                Selection { applications: set(&["HUB"]), ..none.clone() },
                Selection { applications: set(&["hub"]), ..none.clone() },
            ),
            (
                "facilities",
                Selection { facilities: set(&["NORTH"]), ..none.clone() },
                Selection { facilities: set(&["SOUTH"]), ..none.clone() },
            ),
            (
                "populations",
                Selection { populations: set(&["standard"]), ..none.clone() },
                Selection { populations: set(&["pregnancy-t1"]), ..none.clone() },
            ),
            (
                "patients",
                Selection { patients: set(&["urn:oid:1|7"]), ..none.clone() },
                Selection { patients: set(&["urn:oid:2|7"]), ..none.clone() },
            ),
            (
                "windows",
                Selection { windows: [14].into(), ..none.clone() },
                Selection { windows: [30].into(), ..none.clone() },
            ),
        ];
        assert_eq!(refusal(&Filter::default(), &about()), None);
        for (list, holds, lacks) in each {
            let include = |include: &Selection| Filter { include: include.clone(), ..Filter::default() };
            let exclude = |exclude: &Selection| Filter { exclude: exclude.clone(), ..Filter::default() };
            assert_eq!(refusal(&include(&holds), &about()), None, "{list}");
            assert_eq!(refusal(&include(&lacks), &about()), Some(Refused { table: "include", list }));
            assert_eq!(refusal(&exclude(&lacks), &about()), None, "{list}");
            assert_eq!(refusal(&exclude(&holds), &about()), Some(Refused { table: "exclude", list }));
            // What is left out is left out whatever else takes it.
            let both = Filter { include: holds.clone(), exclude: holds };
            assert_eq!(refusal(&both, &about()), Some(Refused { table: "exclude", list }));
        }
    }

    #[test]
    fn the_sender_of_a_message_is_read_from_its_msh_and_a_file_has_none() {
        let message = b"MSH|^~\\&|HUB^1.2^ISO|NORTH|X|Y|20260101||ORU^R01|1|P|2.5.1\rPID|1";
        let of = origin("engine", message);
        assert_eq!((of.application.as_str(), of.facility.as_str()), ("HUB", "NORTH"));
        let of = origin("drop", b"Index,Timestamp\n1,2");
        assert_eq!((of.feed.as_str(), of.application.as_str()), ("drop", ""));
    }
}
