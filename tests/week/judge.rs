//! The oracle of the week: what was done, added up by hand, against what stands at the stand-in and what its log says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use standin::{EffectKind, rig::Rig};

use crate::{
    MERGED, date,
    site::{chart, people},
};

/// An hour that was sent.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// Of each of its readings, in mg/dL.
    pub(crate) value: u32,
    /// Which message told it first.
    pub(crate) message: u32,
    /// It was told again with another value.
    pub(crate) corrected: bool,
}

/// A span of the EHR's own clock in ms in which something was not permitted; open while it has no end.
pub(crate) struct Span {
    pub(crate) from: f64,
    pub(crate) to: Option<f64>,
}

impl Span {
    fn holds(&self, at: f64) -> bool {
        at > self.from && self.to.is_none_or(|to| at < to)
    }
}

/// What the test did, and when.
#[derive(Default)]
pub(crate) struct Did {
    /// Hours by number, by patient as sent and day.
    pub(crate) sent: BTreeMap<(u32, u32), BTreeMap<u32, Block>>,
    /// When the file permitted nothing, or (false) no results.
    pub(crate) shut: Vec<(bool, Span)>,
    /// When a patient's consent was withdrawn.
    pub(crate) withdrawn: BTreeMap<u32, Vec<Span>>,
    /// The merge was sent.
    pub(crate) merged: bool,
    /// Since when nothing is written under the retired identifier.
    pub(crate) retired: Option<Span>,
    pub(crate) corrections: u32,
    pub(crate) stops: u32,
    pub(crate) kills: u32,
}

impl Did {
    /// For whoever reads the output.
    pub(crate) fn told(&self) -> String {
        let withdrawals: usize = self.withdrawn.values().map(Vec::len).sum();
        format!(
            "{} corrections, merged: {}, {} stops, {} kills, {} ceilings, {withdrawals} withdrawals",
            self.corrections,
            self.merged,
            self.stops,
            self.kills,
            self.shut.len()
        )
    }

    /// Who a patient turned out to be.
    fn is_now(&self, patient: u32) -> u32 {
        if self.merged && patient == MERGED.1 { MERGED.0 } else { patient }
    }

    /// The values of a patient's hours of a day, whoever they were sent for.
    fn windows(&self) -> BTreeMap<(u32, u32), Vec<u32>> {
        let mut windows: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for ((patient, day), blocks) in &self.sent {
            let values = windows.entry((self.is_now(*patient), *day)).or_default();
            values.extend(blocks.values().map(|block| block.value));
        }
        windows
    }
}

/// What is there is what was sent, added up, each once; and nothing came when it was not permitted. Of patients below
/// `in_order` no day came before the day before it.
pub(crate) fn judge(rig: &Rig, did: &Did, status: &Value, in_order: u32) {
    assert!(did.merged && did.retired.is_some(), "the merge was forgotten");
    assert_eq!(status["outbox"]["quarantined"], 0, "{status:#}");
    judge_numbers(rig, did, status);
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.doubled, judgement.repeated_facts, judgement.leaks), (0, 0, 0), "{judgement:?}");
    judge_sources(rig);
    judge_order(rig, did, in_order);
    judge_permission(rig, did);
}

fn judge_numbers(rig: &Rig, did: &Did, status: &Value) {
    // Fails where a number stands twice.
    let standing = chart::numbers(&rig.ehr);
    // What was written for the retired before the merge is for people to withdraw.
    let retired = people::person(MERGED.1).mrn;
    let there: BTreeSet<(String, String)> = standing
        .keys()
        .filter(|[mrn, ..]| *mrn != retired)
        .map(|[mrn, _, _, end]| (mrn.clone(), end.clone()))
        .collect();
    let windows = did.windows();
    let wanted: BTreeSet<(String, String)> =
        windows.keys().map(|(patient, day)| (people::person(*patient).mrn, date(*day))).collect();
    assert_eq!(there, wanted, "{status:#}");
    for ((patient, day), values) in &windows {
        let (mrn, on) = (people::person(*patient).mrn, date(*day));
        let count = values.len() as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let inside = values.iter().filter(|value| (70..=180).contains(*value)).count() as f64;
        let told = chart::mean(&rig.ehr, &mrn, &on).unwrap();
        assert!((told.value - mean).abs() <= 0.0051, "{mrn} {on}: {told:?}, sent {mean}");
        let share = chart::in_target(&rig.ehr, &mrn, &on).unwrap();
        // Shares are rounded so that they add up: one may be a hundredth off.
        assert!((share - inside * 100.0 / count).abs() <= 0.0151, "{mrn} {on}: {share}");
    }
}

/// Every result has somebody to say where it is from; but for what stood half written when its patient was merged away.
fn judge_sources(rig: &Rig) {
    let retired = people::person(MERGED.1).mrn;
    let resources = rig.ehr.resources();
    let targets: BTreeSet<String> = resources
        .iter()
        .flat_map(|one| one["target"].as_array().into_iter().flatten())
        .map(|target| target["reference"].as_str().unwrap().split("/_history").next().unwrap().to_owned())
        .collect();
    let results = resources.iter().filter(|one| one["resourceType"] == "Observation");
    for one in results.filter(|one| one["subject"]["identifier"]["value"] != retired) {
        let name = format!("Observation/{}", one["id"].as_str().unwrap());
        assert!(targets.contains(&name), "no Provenance of {one:#}");
    }
}

/// Nobody's day came before the day before it; what a withdrawal held came with the grant.
fn judge_order(rig: &Rig, did: &Did, in_order: u32) {
    for patient in (0..in_order).filter(|patient| !did.withdrawn.contains_key(patient)) {
        let mrn = people::person(patient).mrn;
        let mut latest: BTreeMap<String, String> = BTreeMap::new();
        for record in chart::writes(&rig.ehr) {
            for effect in record
                .effects
                .iter()
                .filter(|effect| effect.kind == EffectKind::Created && effect.patients.contains(&mrn))
            {
                let Some(day) = effect.day.clone() else { continue };
                let before = latest.insert(format!("{} {}", effect.resource_type, effect.code), day.clone());
                assert!(before.is_none_or(|before| before <= day), "{mrn}: {record:#?}");
            }
        }
    }
}

fn judge_permission(rig: &Rig, did: &Did) {
    let retired = people::person(MERGED.1).mrn;
    for record in chart::writes(&rig.ehr) {
        let at = record.at_ms;
        for effect in &record.effects {
            let result = effect.resource_type == "Observation";
            let shut = did.shut.iter().any(|(all, span)| (*all || result) && span.holds(at));
            assert!(!shut, "not permitted then: {record:#?}");
            for (patient, spans) in &did.withdrawn {
                let about = effect.patients.contains(&people::person(*patient).mrn);
                assert!(!about || !spans.iter().any(|span| span.holds(at)), "without consent: {record:#?}");
            }
            let gone = did.retired.as_ref().is_some_and(|span| span.holds(at));
            let moved = effect.kind == EffectKind::Created && effect.patients.contains(&retired);
            assert!(!gone || !moved, "for one who is merged away: {record:#?}");
        }
    }
}
