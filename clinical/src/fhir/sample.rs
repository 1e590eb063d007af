//! Outcomes for the tests of this module: one fixed, and a strategy for any.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    bundle::Entry,
    figures::{Figure, figures},
    form::{Coding, Form, RowCode},
    identifier::{Scope, SiteSecret},
    project::{Item, Version, project},
    projection::Projection,
    provenance::{Maker, Manifest, Reason, Session, Statement, provenance},
    row::Row,
    subject::Subject,
    summary::{MeanUnit, Resource, Status, Summary, Wording, observations},
};
use crate::{
    events::{EventKind, Events},
    glucose::Glucose,
    identity::PatientKey,
    metrics::{Gri, GriZone, Modd, Percentiles, Share},
    outcome::{Exclusion, Gaps, Insufficiency, Outcome, Period, PolicyMark, RangeMinutes, UnitMix},
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
};

/// Of the manifest of every statement here.
pub(super) const MANIFEST_SHA256: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
pub(super) const SECRET: SiteSecret = SiteSecret::new([7; 32]);

/// Fourteen days of a 5-minute sensor; mean 154, SD 50, 64.30 % in target.
pub(super) fn outcome() -> Outcome {
    Outcome {
        period: Period {
            first_date: "2025-01-01".into(),
            last_date: "2025-01-14".into(),
            zone: "America/New_York".into(),
            start: Instant(1_735_707_600_000),
            end: Instant(1_736_917_200_000),
            days: 14,
        },
        policy: PolicyMark { id: "standard/1".into(), sha256: "ab".repeat(32), factor_e4: 180_156 },
        n: 4_000,
        first: Instant(1_735_707_600_000),
        last: Instant(1_736_916_900_000),
        minutes: RangeMinutes { very_low: 60, low: 580, target: 12_860, high: 5_300, very_high: 1_200 },
        mean_mg_dl: 154.0,
        sd_mg_dl: Some(50.0),
        cv_pct: Some(100.0 * 50.0 / 154.0),
        gmi_pct: Some(3.31 + 0.02392 * 154.0),
        days_of_wear: 14,
        active_window_pct: 99.206_349,
        active_span_pct: 99.3,
        window_minutes: 20_160,
        span_minutes: 20_141,
        titr: Some(Share { minutes: 8_000, pct: 40.0 }),
        gri: Some(Gri { value: 38.66, hypo_component: 2.62, hyper_component: 19.25, zone: GriZone::B }),
        lbgi: 0.6,
        hbgi: 5.1,
        j_index: Some(41.616),
        modd: Some(Modd { mean_mg_dl: 38.0, pairs: 3_600 }),
        percentiles_mg_dl: Percentiles {
            p5: 79.0,
            p10: 94.0,
            p25: 119.0,
            p50: 151.0,
            p75: 188.0,
            p90: 221.0,
            p95: 248.0,
        },
        events: events(),
        insufficient: Vec::new(),
        censored_low: 3,
        censored_high: 4,
        low_level_unknown: 0,
        tz_ambiguous: 1,
        units: UnitMix { mg_dl: 3_900, mmol_l: 100, re_expressed: 40 },
        gaps: Gaps { long: 2, longest_minutes: 125 },
        excluded: BTreeMap::from([(Exclusion::Duplicate, 17), (Exclusion::WarmUp, 6)]),
    }
}

/// Counts of every kind; the list is not told here.
fn events() -> Events {
    let counts = [
        (EventKind::HypoLevel1, 9),
        (EventKind::HypoLevel1Only, 7),
        (EventKind::HypoLevel2, 2),
        (EventKind::HypoExtended, 0),
        (EventKind::HyperLevel1, 31),
        (EventKind::HyperLevel1Only, 22),
        (EventKind::HyperLevel2, 9),
        (EventKind::HyperExtended, 1),
    ];
    Events { counts: counts.into(), ..Events::default() }
}

/// A figure under every code but those of single events.
pub(super) fn all_figures() -> Vec<Figure> {
    figures(&outcome())
}

/// A final reading that states itself by its value.
pub(super) fn reading(time: Instant, glucose: Glucose) -> Reading {
    Reading {
        time,
        offset_minutes: Some(0),
        tz_ambiguous: false,
        glucose,
        standing: Standing::Final,
        route: Route::Hl7v2,
        identity: 17,
        made_at: time,
        message: 1,
    }
}

pub(super) fn subject() -> Subject {
    Subject::Identifier(PatientKey { system: "urn:oid:1.2.3".into(), value: "MRN-4711".into() })
}

/// The Observations of `outcome` for the destination `main`, patient 7.
pub(super) fn resources(outcome: &Outcome, status: Status, wording: Wording) -> Vec<Resource> {
    let subject = match wording {
        Wording::Full => subject(),
        Wording::Terse => Subject::pseudonym(&SECRET, "main", "7"),
    };
    observations(&Summary {
        outcome,
        scope: Scope::of("main", "7", outcome),
        secret: &SECRET,
        subject: &subject,
        status,
        mean: MeanUnit::Mass,
        figures: &[],
        wording,
    })
}

fn exclusions() -> impl Strategy<Value = BTreeMap<Exclusion, u64>> {
    let reason = prop_oneof![
        Just(Exclusion::Retracted),
        Just(Exclusion::Duplicate),
        Just(Exclusion::Conflict),
        Just(Exclusion::Overlap),
        Just(Exclusion::Scan),
        Just(Exclusion::WarmUp),
        Just(Exclusion::EarlyWear),
    ];
    proptest::collection::btree_map(reason, any::<u64>(), 0..6)
}

prop_compose! {
    fn numbers()(
        n in 1u64..200_000,
        minutes in proptest::array::uniform5(0u64..130_000),
        mean in 20.0f64..600.0,
        sd in proptest::option::of(0.0f64..300.0),
        active in 0.0f64..=100.0,
        days in 0u32..=90,
        gaps in any::<(u64, u64)>(),
        units in any::<(u64, u64, u64)>(),
    ) -> Outcome {
        let [very_low, low, target, high, very_high] = minutes;
        Outcome {
            n,
            minutes: RangeMinutes { very_low, low, target: target + 1, high, very_high },
            mean_mg_dl: mean,
            sd_mg_dl: sd,
            cv_pct: sd.map(|sd| 100.0 * sd / mean),
            active_window_pct: active,
            days_of_wear: days,
            gaps: Gaps { long: gaps.0, longest_minutes: gaps.1 },
            units: UnitMix { mg_dl: units.0, mmol_l: units.1, re_expressed: units.2 },
            ..outcome()
        }
    }
}

prop_compose! {
    /// Any outcome that the engine could return, and some that it could not.
    pub(super) fn any_outcome()(
        numbers in numbers(),
        suffices in any::<bool>(),
        zone in "[A-Za-z_/<&\"]{1,30}",
        policy in "[a-z<& ]{1,12}/[0-9]{1,3}",
        excluded in exclusions(),
    ) -> Outcome {
        let gmi_pct = suffices.then_some(3.31 + 0.02392 * numbers.mean_mg_dl);
        let insufficient = if suffices { vec![] } else { vec![Insufficiency::TooLittleWear] };
        Outcome {
            period: Period { zone, ..numbers.period },
            policy: PolicyMark { id: policy, ..numbers.policy },
            gmi_pct,
            insufficient,
            excluded,
            ..numbers
        }
    }
}

/// What one sensor contributed.
pub(super) fn session() -> Session {
    Session {
        device: Device("SN-4711".into()),
        interval_minutes: 5,
        first: Instant(1_735_707_600_000),
        last: Instant(1_736_916_900_000),
        readings: 4_000,
    }
}

/// A form of a projection that can be built: every row mapped, and what a message is addressed by.
pub(super) fn mapped(projection: Projection) -> Form {
    let mut form = Form::of(projection);
    if projection == Projection::EpicFlowsheet {
        let entry = |row: Row| RowCode {
            row,
            coding: Coding { system: "urn:oid:1.2.3.4".into(), code: row.flowsheet_name().into() },
            unit: None,
            as_text: false,
        };
        form.rows = Row::ALL.map(entry).into();
    }
    form.postal.authority = "NORTH".into();
    form
}

/// Hands a first version of `outcome`, by the standard policy, to `with`, for a projection's kind of subject.
pub(super) fn with_version<T>(
    outcome: &Outcome,
    projection: Projection,
    with: impl FnOnce(Version<'_>) -> T,
) -> T {
    let subject = match projection {
        Projection::UpstreamSummary => Subject::pseudonym(&SECRET, "main", "7"),
        _ => subject(),
    };
    with(Version {
        destination: "main",
        outcome: &Outcome { policy: Policy::standard().mark(), ..outcome.clone() },
        policy: Policy::standard(),
        patient: "7",
        subject: &subject,
        secret: &SECRET,
        version: 1,
        supersedes: None,
        reason: Reason::First,
        sessions: &[session()],
        app_events: &BTreeMap::new(),
        manifest: Manifest { count: 118, sha256: MANIFEST_SHA256 },
        maker: Maker { box_id: "box-9", software: "0.1.0" },
        recorded: Instant(1_736_920_800_000),
    })
}

/// The items of a first version of [`outcome`].
pub(super) fn items_of(projection: Projection, form: &Form) -> Vec<Item> {
    with_version(&outcome(), projection, |version| project(projection, form, &version)).unwrap()
}

/// The entries of a first version: seven Observations and their Provenance.
pub(super) fn packed(outcome: &Outcome, wording: Wording) -> Vec<Entry> {
    let observations = resources(outcome, Status::Final, wording);
    let made = provenance(&Statement {
        outcome,
        scope: Scope::of("main", "7", outcome),
        secret: &SECRET,
        version: 1,
        supersedes: None,
        reason: Reason::First,
        sessions: &[session()],
        app_events: &BTreeMap::new(),
        manifest: Manifest { count: 118, sha256: MANIFEST_SHA256 },
        maker: Maker { box_id: "box-9", software: "0.1.0" },
        recorded: Instant(1_736_920_800_000),
        targets: &observations,
        pseudonymous: false,
    })
    .unwrap();
    observations.iter().map(Entry::create).chain([Entry::provenance(&made)]).collect()
}
