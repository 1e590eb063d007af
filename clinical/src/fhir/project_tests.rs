use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;
use crate::{
    fhir::{
        address::address,
        form::{Category, Coding, Dates, TimeForm, UnitText},
        metric::Metric,
        row::Row,
        sample::{items_of, mapped, outcome, with_version},
    },
    outcome::Insufficiency,
};

/// Those that are made of a version.
fn summaries() -> impl Iterator<Item = Projection> {
    Projection::ALL.into_iter().filter(|projection| *projection != Projection::CgmReadings)
}

fn resources(items: &[Item]) -> Vec<&Value> {
    items.iter().filter_map(Item::resource).collect()
}

fn of(projection: Projection, form: &Form, outcome: &Outcome) -> Result<Vec<Item>, ProjectionError> {
    with_version(outcome, projection, |version| project(projection, form, &version))
}

fn second(projection: Projection, form: &Form, reason: Reason) -> Result<Vec<Item>, ProjectionError> {
    with_version(&outcome(), projection, |version| {
        project(projection, form, &Version { version: 2, supersedes: Some(1), reason, ..version })
    })
}

#[test]
fn the_same_version_is_the_same_items_in_the_same_order() {
    for projection in summaries() {
        let form = mapped(projection);
        assert!(items_of(projection, &form) == items_of(projection, &form), "{projection:?}");
        for (at, item) in items_of(projection, &form).iter().enumerate() {
            assert!(projection.kinds().contains(&item.kind));
            assert!(item.needs.iter().all(|other| *other < at), "what is referred to comes first");
            assert_eq!(item.if_none_exist.is_some(), projection.conditional());
        }
    }
}

#[test]
fn one_thing_has_one_identifier_under_all_versions_and_other_families_have_others() {
    let mut families = std::collections::BTreeMap::new();
    for projection in summaries() {
        let form = mapped(projection);
        let first = items_of(projection, &form);
        let names: BTreeSet<String> = first.iter().map(|item| item.identifier.token()).collect();
        assert_eq!(names.len(), first.len(), "{projection:?}");
        if let Ok(second) = second(projection, &form, Reason::LateData) {
            for (a, b) in first.iter().zip(&second).filter(|(a, _)| a.kind != Kind::Provenance) {
                assert_eq!(a.identifier, b.identifier, "{projection:?} {}", a.slug);
            }
        }
        families.entry(projection.family()).or_insert_with(BTreeSet::new).extend(names);
    }
    for (family, names) in &families {
        for (other, theirs) in families.iter().filter(|(other, _)| *other != family) {
            assert!(names.is_disjoint(theirs), "{family} and {other}");
        }
    }
}

#[test]
fn a_plain_server_gets_members_before_the_panel_and_no_claim_to_a_profile() {
    let items = items_of(Projection::PlainR4, &mapped(Projection::PlainR4));
    let slugs: Vec<&str> = items.iter().map(|item| item.slug.as_str()).collect();
    let expected = [
        "mean-mass",
        "times-in-ranges",
        "gmi",
        "cv",
        "days-of-wear",
        "sensor-active",
        "summary",
        "provenance",
    ];
    assert_eq!(slugs, expected);
    assert_eq!(items[6].needs, [0, 1, 2, 3, 4, 5]);
    assert_eq!(items[7].needs, [0, 1, 2, 3, 4, 5, 6]);
    assert!(resources(&items).iter().all(|resource| resource.get("meta").is_none()));
    let guides = items_of(Projection::CgmIg, &mapped(Projection::CgmIg));
    assert_eq!(guides[0].slug, "summary");
    let mut mean = guides[1].resource().unwrap().clone();
    mean.as_object_mut().unwrap().remove("meta");
    assert_eq!(items[0].resource(), Some(&mean), "the same resource but for its profile");
}

#[test]
fn members_may_be_left_out_of_a_plain_panel_and_the_time_may_be_a_moment() {
    let form = Form {
        metrics: vec![Metric::TimesInRanges, Metric::Gmi],
        time: TimeForm::DateTime,
        category: Category::VitalSigns,
        performer: Some("Practitioner/5".into()),
        ..mapped(Projection::PlainR4)
    };
    let items = of(Projection::PlainR4, &form, &outcome()).unwrap();
    assert_eq!(items.len(), 4);
    let panel = items[2].resource().unwrap();
    assert_eq!(panel["hasMember"].as_array().unwrap().len(), 2);
    assert_eq!(panel["effectiveDateTime"], "2025-01-14T23:59:59-05:00");
    assert_eq!(panel.get("effectivePeriod"), None);
    assert_eq!(panel["performer"], json!([{ "reference": "Practitioner/5" }]));
    assert_eq!((items[0].kind.name(), items[0].category), ("Observation", Some("vital-signs")));
    assert_eq!((items[3].kind.name(), items[3].category), ("Provenance", None));
}

#[test]
fn a_flowsheet_has_a_row_for_each_mapped_number_and_the_window_in_the_sites_zone() {
    let mut form = mapped(Projection::EpicFlowsheet);
    form.rows.retain(|entry| [Row::PeriodStart, Row::PeriodEnd, Row::TimeInTarget].contains(&entry.row));
    form.rows[1].as_text = true;
    let items = of(Projection::EpicFlowsheet, &form, &outcome()).unwrap();
    let slugs: Vec<&str> = items.iter().map(|item| item.slug.as_str()).collect();
    assert_eq!(slugs, ["period-start", "period-end", "time-in-target"]);
    let rows = resources(&items);
    assert_eq!(rows[0]["valueDateTime"], "2025-01-01");
    assert_eq!(rows[1]["valueString"], "2025-01-14");
    let tir = rows[2];
    assert_eq!(tir["valueQuantity"]["value"].to_string(), "64.30");
    assert_eq!(tir["code"]["coding"][0]["code"], "TIME_IN_RANGE_CGM");
    assert_eq!(tir["effectiveDateTime"], "2025-01-14T23:59:59-05:00");
    assert_eq!(tir["category"][0]["coding"][0]["system"], "http://hl7.org/fhir/observation-category");
    assert_eq!(tir["status"], "final");
    assert!(tir.get("note").is_none() && tir.get("component").is_none());
    let found = items[2].reconcile.parameters("Patient/77");
    let expected = [
        ("patient", "77"),
        ("code", "urn:oid:1.2.3.4|TIME_IN_RANGE_CGM"),
        ("date", "ge2025-01-13"),
        ("date", "le2025-01-15"),
    ];
    assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn a_withheld_number_is_left_out_of_rows_and_the_note_says_so() {
    let withheld = Outcome { gmi_pct: None, insufficient: vec![Insufficiency::TooLittleWear], ..outcome() };
    for projection in [Projection::EpicFlowsheet, Projection::MillenniumLab] {
        let form = mapped(projection);
        let all = of(projection, &form, &outcome()).unwrap();
        let fewer = of(projection, &form, &withheld).unwrap();
        let has = |items: &[Item]| items.iter().any(|item| item.slug == "gmi");
        assert!(has(&all) && !has(&fewer), "{projection:?}");
    }
    let note = of(Projection::EpicNote, &mapped(Projection::EpicNote), &withheld).unwrap();
    assert!(note_of(&note[0]).contains("GMI                  withheld: too few readings\n"));
    let form = Form {
        rows: vec![mapped(Projection::EpicFlowsheet).row(Row::Gmi).unwrap().clone()],
        ..mapped(Projection::EpicFlowsheet)
    };
    assert_eq!(of(Projection::EpicFlowsheet, &form, &withheld).err(), Some(ProjectionError::Nothing));
}

fn note_of(item: &Item) -> String {
    let data = item.resource().unwrap()["content"][0]["attachment"]["data"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
}

#[test]
fn millennium_gets_flat_results_each_with_a_provenance_of_one_target() {
    let items = items_of(Projection::MillenniumLab, &mapped(Projection::MillenniumLab));
    let (results, accounts) = items.split_at(items.len() / 2);
    assert_eq!(results.len(), 10, "ten of the numbers have a LOINC code");
    for (at, (result, account)) in results.iter().zip(accounts).enumerate() {
        assert_eq!((result.kind, account.kind), (Kind::Observation, Kind::Provenance));
        assert_eq!(account.needs, [at]);
        assert_eq!(account.resource().unwrap()["target"].as_array().unwrap().len(), 1);
        let json = result.resource().unwrap();
        assert_eq!(json["note"][0]["text"], "CGM of 2025-01-01 to 2025-01-14 (14 days), policy standard/1.");
        assert!(json.get("component").is_none() && json.get("effectivePeriod").is_none());
    }
    assert_eq!(accounts[0].reconcile.parameters("Observation/5"), [("target", "Observation/5".to_owned())]);
}

#[test]
fn a_mean_is_written_in_the_unit_of_its_row_by_the_policys_factor() {
    let mut form = mapped(Projection::EpicFlowsheet);
    form.rows.retain(|entry| [Row::Mean, Row::TimeHigh].contains(&entry.row));
    form.rows[0].unit = UnitText::of("mmol/l");
    form.rows[1].unit = UnitText::of("percent");
    let items = of(Projection::EpicFlowsheet, &form, &outcome()).unwrap();
    let quantity = |at: usize| &items[at].resource().unwrap()["valueQuantity"];
    // 154 / 18.0156 = 8.548.
    assert_eq!((quantity(0)["value"].to_string(), &quantity(0)["unit"]), ("8.55".into(), &json!("mmol/l")));
    assert_eq!(quantity(0)["code"], "mmol/L");
    assert_eq!((&quantity(1)["unit"], &quantity(1)["code"]), (&json!("percent"), &json!("%")));
}

#[test]
fn a_document_is_a_draft_at_epic_and_final_with_its_periods_end_at_millennium() {
    for (projection, status) in
        [(Projection::EpicNote, "preliminary"), (Projection::MillenniumDocument, "final")]
    {
        let items = items_of(projection, &mapped(projection));
        let json = items[0].resource().unwrap();
        assert_eq!(json["docStatus"], status);
        assert_eq!(json["content"].as_array().unwrap().len(), 1);
        assert_eq!(json["content"][0]["attachment"]["contentType"], "text/plain");
        assert_eq!(json["context"]["period"]["start"], "2025-01-01T00:00:00-05:00");
        assert_eq!(json["context"]["period"]["end"], "2025-01-14T23:59:59-05:00");
        assert_eq!((items[0].kind.name(), items[0].category), ("DocumentReference", Some("clinical-note")));
    }
    let later = second(Projection::EpicNote, &mapped(Projection::EpicNote), Reason::LateData).unwrap();
    assert!(
        note_of(&later[0])
            .contains("Version              2, replaces version 1\nReason               late data\n")
    );
    let first = items_of(Projection::EpicNote, &mapped(Projection::EpicNote));
    let master = |item: &Item| item.resource().unwrap()["masterIdentifier"].clone();
    assert_ne!(master(&first[0]), master(&later[0]), "every version is a document of its own");
}

#[test]
fn a_note_tells_the_second_in_which_it_was_made() {
    let items = with_version(&outcome(), Projection::EpicNote, |version| {
        let version = Version { recorded: Instant(version.recorded.0 + 123), ..version };
        project(Projection::EpicNote, &mapped(Projection::EpicNote), &version).unwrap()
    });
    assert!(note_of(&items[0]).contains("Computed             2025-01-15T01:00:00-05:00\n"));
    assert_eq!(items[0].resource().unwrap()["date"], "2025-01-15T06:00:00.123Z");
}

#[test]
fn what_cannot_be_amended_is_not_written_twice() {
    let form = mapped(Projection::EpicFlowsheet);
    assert_eq!(
        second(Projection::EpicFlowsheet, &form, Reason::LateData).err(),
        Some(ProjectionError::CannotAmend)
    );
    let only_final = Form { statuses: vec![Status::Final], ..mapped(Projection::MillenniumLab) };
    assert!(of(Projection::MillenniumLab, &only_final, &outcome()).is_ok());
    let refused = second(Projection::MillenniumLab, &only_final, Reason::LateData).err();
    assert_eq!(refused, Some(ProjectionError::NoStatus));
    let amended =
        Form { statuses: vec![Status::Final, Status::Amended], ..mapped(Projection::MillenniumLab) };
    let items = second(Projection::MillenniumLab, &amended, Reason::SourceCorrection).unwrap();
    assert_eq!(items[0].resource().unwrap()["status"], "amended", "a correction is a kind of amendment");
}

#[test]
fn a_window_of_another_length_or_of_other_ranges_does_not_pass_for_the_rows() {
    let week = Outcome { period: crate::outcome::Period { days: 7, ..outcome().period }, ..outcome() };
    let form = mapped(Projection::MillenniumLab);
    let refused = of(Projection::MillenniumLab, &form, &week).err();
    assert_eq!(refused, Some(ProjectionError::Untaken(Untaken::Length { has: 7, takes: 14 })));
    let pregnancy = Policy::named("pregnancy-t1").unwrap();
    let with = |form: &Form, projection: Projection| {
        let outcome = Outcome { policy: pregnancy.mark(), ..outcome() };
        with_version(&outcome, projection, |version| {
            project(projection, form, &Version { outcome: &outcome, policy: pregnancy, ..version }).err()
        })
    };
    assert_eq!(with(&form, Projection::MillenniumLab), Some(ProjectionError::Untaken(Untaken::Policy)));
    let named = Form { policies: vec!["pregnancy-t1".into()], ..form };
    assert_eq!(with(&named, Projection::MillenniumLab), None);
    assert_eq!(with(&mapped(Projection::EpicNote), Projection::EpicNote), None, "the note tells its ranges");
    let older = Policy::named("older-high-risk").unwrap();
    let form = mapped(Projection::EpicFlowsheet);
    assert_eq!(
        form.takes(Projection::EpicFlowsheet, &outcome(), older),
        Ok(()),
        "other goals, the same ranges"
    );
}

#[test]
fn numbers_of_one_policy_are_not_told_with_the_ranges_of_another() {
    for projection in summaries() {
        let made = with_version(&outcome(), projection, |version| {
            let policy = Policy::named("pregnancy-t1").unwrap();
            project(projection, &mapped(projection), &Version { policy, ..version }).err()
        });
        assert_eq!(made, Some(ProjectionError::OtherPolicy), "{projection:?}");
    }
}

#[test]
fn a_number_that_is_withheld_now_is_told_by_the_identifier_under_which_it_may_stand() {
    let form = mapped(Projection::MillenniumLab);
    let stands =
        items_of(Projection::MillenniumLab, &form).into_iter().find(|item| item.slug == "gmi").unwrap();
    let told = |outcome: &Outcome, projection: Projection| {
        with_version(outcome, projection, |version| left_out(projection, &mapped(projection), &version))
    };
    let withheld = Outcome { gmi_pct: None, ..outcome() };
    let expected = [LeftOut { row: Row::Gmi, identifier: stands.identifier }];
    assert_eq!(told(&withheld, Projection::MillenniumLab), expected);
    assert_eq!(told(&outcome(), Projection::MillenniumLab), []);
    assert_eq!(told(&withheld, Projection::CgmIg), []);
}

#[test]
fn upstream_gets_a_month_and_a_length_where_dates_are_not_told() {
    let form = Form { dates: Dates::Month, provenance: false, ..mapped(Projection::UpstreamSummary) };
    let items = of(Projection::UpstreamSummary, &form, &outcome()).unwrap();
    assert_eq!(items.len(), 7, "no Provenance: it says to the second when it was recorded");
    for resource in resources(&items) {
        assert_eq!(resource["effectiveDateTime"], "2025-01");
        assert_eq!(resource["method"]["text"], "policy standard/1, 14 days");
        let text = resource.to_string();
        assert!(!text.contains("2025-01-") && !text.contains("New_York") && !text.contains("4711"), "{text}");
    }
    let full = items_of(Projection::UpstreamSummary, &mapped(Projection::UpstreamSummary));
    assert_eq!(full[0].resource().unwrap()["effectivePeriod"]["end"], "2025-01-14");
    assert!(sealed(Projection::UpstreamSummary, &form, full[0].resource().unwrap()).is_err());
}

#[test]
fn a_message_is_the_same_bytes_each_time_with_a_name_of_its_own_for_each_version() {
    let form = mapped(Projection::OruR01);
    let (first, later) =
        (items_of(Projection::OruR01, &form), second(Projection::OruR01, &form, Reason::LateData).unwrap());
    let (Body::Message { bytes, control_id }, Body::Message { bytes: amended, control_id: other }) =
        (&first[0].body, &later[0].body)
    else {
        panic!("a message");
    };
    assert!(control_id.len() == 20 && control_id != other);
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains(&format!("|ORU^R01^ORU_R01|{control_id}|P|2.5.1\r")), "{text}");
    assert!(text.contains("\rPID|1||MRN-4711^^^NORTH^MR||^^^^^^U\r"), "{text}");
    let field = |bytes: &[u8], n: usize| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.split('\r').nth(2).unwrap().split('|').nth(n).unwrap().to_owned()
    };
    assert_eq!(field(bytes, 3), field(amended, 3), "one order under all versions");
    assert_eq!((field(bytes, 25), field(amended, 25)), ("F".into(), "C".into()));
}

#[test]
fn whatever_a_site_may_choose_can_be_made_and_may_leave() {
    let withheld = Outcome { gmi_pct: None, cv_pct: None, sd_mg_dl: None, ..outcome() };
    let mut made = 0;
    for projection in summaries() {
        let base = mapped(projection);
        let mut forms = vec![
            Form { notes: !base.notes, ..base.clone() },
            Form { local_codes: true, ..base.clone() },
            Form { local_codes: true, notes: false, ..base.clone() }.in_unit(MeanUnit::Molar),
            base.clone().in_unit(MeanUnit::Molar),
            Form { performer: Some("Practitioner/5".into()), encounter: true, ..base.clone() },
            Form { provenance: false, days: None, longest_id: 1, ..base.clone() },
            Form { statuses: projection.statuses().to_vec(), ..base.clone() },
        ];
        forms.extend(projection.times().iter().map(|time| Form { time: *time, ..base.clone() }));
        forms.extend(projection.releases().iter().map(|release| Form { release: *release, ..base.clone() }));
        forms.extend(projection.categories().iter().map(|(category, system)| Form {
            category: *category,
            category_system: *system,
            performer: projection.encounters().then(|| "Practitioner/5".to_owned()),
            ..base.clone()
        }));
        for form in forms.iter().filter(|form| form.faults(projection).is_empty()) {
            for outcome in [&outcome(), &withheld] {
                let items = of(projection, form, outcome);
                assert!(items.is_ok(), "{projection:?}: {:?} of {form:?}", items.err());
                made += 1;
            }
        }
    }
    assert!(made > 120, "{made}");
}

#[test]
fn the_subject_is_of_the_kind_that_the_destination_may_know() {
    for (projection, other) in
        [(Projection::UpstreamSummary, Projection::CgmIg), (Projection::OruR01, Projection::UpstreamSummary)]
    {
        let made =
            with_version(&outcome(), other, |version| project(projection, &mapped(projection), &version));
        assert_eq!(made.err(), Some(ProjectionError::Subject), "{projection:?}");
    }
}

#[test]
fn what_is_addressed_when_it_is_sent_may_leave_too() {
    for projection in summaries().filter(|projection| projection.encounters()) {
        let form = mapped(projection);
        for item in items_of(projection, &form) {
            let mut sent = item.resource().unwrap().clone();
            address(&mut sent, Some("Patient/eXyz.7"), Some("Encounter/9")).unwrap();
            assert_eq!(sealed(projection, &form, &sent), Ok(()), "{projection:?} {}", item.slug);
            if item.kind != Kind::Provenance {
                assert!(!sent.to_string().contains("MRN-4711"));
            }
        }
    }
}

#[test]
fn codes_and_people_are_those_of_the_form() {
    let form = mapped(Projection::MillenniumLab);
    let items = items_of(Projection::MillenniumLab, &form);
    let mut other = items[0].resource().unwrap().clone();
    other["code"]["coding"][0]["code"] = "Amy".into();
    assert!(super::super::projection::minimize(Projection::MillenniumLab, &other).is_ok());
    assert!(sealed(Projection::MillenniumLab, &form, &other).is_err());
    other["code"]["coding"] = json!({ "system": "urn:x", "code": "Amy" });
    assert!(sealed(Projection::MillenniumLab, &form, &other).is_err(), "no list");
    let mut other = items[0].resource().unwrap().clone();
    other["performer"] = json!([{ "reference": "Practitioner/Amy" }]);
    assert!(sealed(Projection::MillenniumLab, &form, &other).is_err());
    let typed = Form {
        document: Coding { system: "urn:x".into(), code: "1".into() },
        ..mapped(Projection::EpicNote)
    };
    let note = items_of(Projection::EpicNote, &mapped(Projection::EpicNote));
    assert!(sealed(Projection::EpicNote, &typed, note[0].resource().unwrap()).is_err());
}
