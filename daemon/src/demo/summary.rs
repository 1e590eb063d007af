//! What the demo came to: a flat object for scripts, a few lines for people, and the verdict.
//!
//! Invariant: the verdict is a pure function of the object, so a script can check what a person is told.

use serde::Serialize;

/// The summary. Times are in milliseconds; what was not seen is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Whether nothing was lost or doubled and every transition was seen.
    pub success: bool,
    /// Messages that the engine sent, repetitions included (its own count).
    pub sent: u64,
    /// Of these, acknowledged with AA (its own count).
    pub acknowledged: u64,
    /// Of these, refused with AE or AR: the malformed one.
    pub refused: u64,
    /// Messages transmitted again because no acknowledgement came.
    pub sent_again: u64,
    /// Acknowledged messages that left no second copy in the store.
    pub duplicates_absorbed: u64,
    /// Messages, or parts of them, kept with a reason instead of being used.
    pub quarantined: u64,
    /// Readings in the store.
    pub readings: u64,
    /// Versions of outcomes computed for publication.
    pub outcomes: u64,
    /// Windows that stand at the EHR and upstream, each compared with a count of its own.
    pub windows_verified: u64,
    /// Writes that took effect at the EHR and upstream, by their own logs.
    pub delivered: u64,
    /// Of these, at the EHR.
    pub delivered_ehr: u64,
    /// Of these, upstream.
    pub delivered_upstream: u64,
    /// Of these, later versions of a window at the EHR, written over the earlier one by PUT.
    pub amended: u64,
    /// The most writes that waited for permission at once.
    pub deferred_peak: u64,
    /// Writes that the EHR refused with 403: those in flight when it began, and probes.
    pub writes_refused: u64,
    /// Acknowledged and not found, or not written as an independent count says it should be.
    pub lost: u64,
    /// Messages stored twice.
    pub stored_twice: u64,
    /// Effects that happened a second time, by the receivers' own logs.
    pub delivered_twice: u64,
    /// Requests that carried a name, birth date, address or telephone number.
    pub leaks: u64,
    /// From the first refused write to the site being read-only.
    pub read_only_after_ms: Option<u64>,
    /// From the EHR accepting again to the site writing again.
    pub recovered_after_ms: Option<u64>,
    /// From `kill -9` to the daemon taking messages in again.
    pub restarted_after_ms: Option<u64>,
    /// How long the whole demo took.
    pub took_ms: u64,
}

impl Summary {
    /// What keeps the demo from having succeeded, in words; empty where it has.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must_be_none = |count: u64, what: &str| {
            if count > 0 {
                faults.push(format!("{count} {what}"));
            }
        };
        must_be_none(self.lost, "lost");
        must_be_none(self.delivered_twice, "delivered twice");
        must_be_none(self.stored_twice, "stored twice");
        must_be_none(self.leaks, "requests carried personal data");
        for (seen, what) in [
            (self.acknowledged > 0, "no message was acknowledged"),
            (self.windows_verified > 0, "no window was delivered that could be verified"),
            (self.duplicates_absorbed > 0, "no duplicate was absorbed"),
            (self.quarantined > 0, "nothing was quarantined"),
            (self.restarted_after_ms.is_some(), "the restart after kill -9 was not seen"),
            (self.read_only_after_ms.is_some(), "the site was not seen to become read-only"),
            (self.deferred_peak > 0, "no write was deferred"),
            (self.recovered_after_ms.is_some(), "the site was not seen to recover"),
            (self.amended > 0, "no outcome was amended"),
        ] {
            if !seen {
                faults.push(what.to_owned());
            }
        }
        faults
    }

    /// Name and value of every line for people, in groups.
    pub(super) fn rows(&self) -> Vec<Vec<(&'static str, String)>> {
        let count = |number: u64| thousands(number);
        let time = |ms: Option<u64>| ms.map_or("not seen".to_owned(), duration);
        vec![
            vec![
                ("messages sent", count(self.sent)),
                ("acknowledged", count(self.acknowledged)),
                ("refused (malformed)", count(self.refused)),
                ("duplicates absorbed", count(self.duplicates_absorbed)),
                ("quarantined", count(self.quarantined)),
            ],
            vec![
                ("readings", count(self.readings)),
                ("outcomes", count(self.outcomes)),
                ("delivered to the EHR", count(self.delivered_ehr)),
                ("delivered upstream", count(self.delivered_upstream)),
                ("amended at the EHR", count(self.amended)),
            ],
            vec![
                ("deferred at the peak", count(self.deferred_peak)),
                ("time to read-only", time(self.read_only_after_ms)),
                ("time to recovery", time(self.recovered_after_ms)),
                ("back after kill -9", time(self.restarted_after_ms)),
            ],
            vec![
                ("lost", count(self.lost)),
                ("delivered twice", count(self.delivered_twice)),
                ("personal data leaked", count(self.leaks)),
            ],
        ]
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Milliseconds as a person says them.
pub(super) fn duration(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Summary {
        Summary {
            acknowledged: 10,
            windows_verified: 4,
            duplicates_absorbed: 1,
            quarantined: 1,
            restarted_after_ms: Some(700),
            read_only_after_ms: Some(0),
            recovered_after_ms: Some(2_000),
            deferred_peak: 3,
            amended: 1,
            ..Summary::default()
        }
    }

    #[test]
    fn a_demo_that_showed_everything_has_no_fault() {
        assert_eq!(good().faults(), Vec::<String>::new());
    }

    #[test]
    fn every_loss_double_leak_and_transition_not_seen_is_a_fault_of_its_own() {
        for (spoilt, told) in [
            (Summary { lost: 1, ..good() }, "1 lost"),
            (Summary { delivered_twice: 2, ..good() }, "2 delivered twice"),
            (Summary { stored_twice: 1, ..good() }, "1 stored twice"),
            (Summary { leaks: 1, ..good() }, "1 requests carried personal data"),
            (Summary { acknowledged: 0, ..good() }, "no message was acknowledged"),
            (Summary { windows_verified: 0, ..good() }, "no window was delivered that could be verified"),
            (Summary { duplicates_absorbed: 0, ..good() }, "no duplicate was absorbed"),
            (Summary { quarantined: 0, ..good() }, "nothing was quarantined"),
            (Summary { restarted_after_ms: None, ..good() }, "the restart after kill -9 was not seen"),
            (Summary { read_only_after_ms: None, ..good() }, "the site was not seen to become read-only"),
            (Summary { deferred_peak: 0, ..good() }, "no write was deferred"),
            (Summary { recovered_after_ms: None, ..good() }, "the site was not seen to recover"),
            (Summary { amended: 0, ..good() }, "no outcome was amended"),
        ] {
            assert_eq!(spoilt.faults(), [told]);
        }
    }

    #[test]
    fn the_object_is_flat_and_has_the_promised_names() {
        let value = serde_json::to_value(good()).unwrap();
        let object = value.as_object().unwrap();
        assert!(object.values().all(|value| !value.is_object() && !value.is_array()));
        for name in [
            "sent",
            "acknowledged",
            "duplicates_absorbed",
            "quarantined",
            "readings",
            "outcomes",
            "delivered",
            "deferred_peak",
            "lost",
            "delivered_twice",
            "read_only_after_ms",
            "recovered_after_ms",
        ] {
            assert!(object.contains_key(name), "{name}");
        }
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        for (ms, text) in [(0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (2_149, "2.1 s")] {
            assert_eq!(duration(ms), text);
        }
    }
}
