use proptest::prelude::*;

use super::*;

fn sheet(text: &str) -> Result<Sheet, Vec<SheetFault>> {
    Sheet::parse(text, sheet_named)
}

fn policy(text: &str) -> Result<Policy, Vec<SheetFault>> {
    Policy::from_sheet(&sheet(text)?, Devices::built_in())
}

/// A file over the standard policy.
fn over(body: &str) -> String {
    format!("id = \"ours\"\nversion = 1\ntitle = \"Ours\"\nbase = \"standard\"\n{body}")
}

fn decimals(threshold: &Threshold) -> (String, String) {
    (threshold.mg_dl.to_string(), threshold.mmol_l.to_string())
}

/// The values that decide how most people's time is divided, from the publications and not from the file.
#[test]
fn the_standard_thresholds_and_goals_are_those_of_the_consensus() {
    let standard = Policy::standard();
    let t = &standard.thresholds;
    let edges = [&t.very_low_below, &t.low_below, &t.high_above, t.very_high_above.as_ref().unwrap()];
    let pairs = [("54", "3.0"), ("70", "3.9"), ("180", "10.0"), ("250", "13.9")];
    for (edge, (mg_dl, mmol_l)) in edges.into_iter().zip(pairs) {
        assert_eq!(decimals(&edge.value), (mg_dl.to_owned(), mmol_l.to_owned()));
    }
    let goals: Vec<_> = standard.goals.iter().map(|goal| (goal.share, goal.bound.value)).collect();
    assert_eq!(
        goals,
        [
            (Share::InTarget, Bound::Above(70)),
            (Share::BelowTarget, Bound::Below(4)),
            (Share::VeryLow, Bound::Below(1)),
            (Share::AboveTarget, Bound::Below(25)),
            (Share::VeryHigh, Bound::Below(5)),
        ]
    );
    assert_eq!(decimals(&standard.tight_high_above.as_ref().unwrap().value), ("140".into(), "7.8".into()));
    assert_eq!((standard.factor_e4.value, standard.stable_cv_pct.value), (180_156, 36));
    assert_eq!(standard.sufficiency.value, Sufficiency { days: 14, share_pct: 70 });
    assert_eq!(standard.events.hypo.value, LastingRule { begin_minutes: 15, end_minutes: 15 });
    assert_eq!(standard.events.level_two_end.value, LevelTwoEnd::LowBelow);
    assert_eq!((standard.long_gap_minutes.value, standard.early_wear_hours.value), (45, 0));
    assert_eq!(standard.windows_days.value, [14]);
    assert_eq!(standard.profile.value, ProfileRule { bin_minutes: 15, min_dates: 5 });
}

#[test]
fn every_population_has_its_own_goals_over_the_same_rules() {
    use Bound::{Above, Below};
    let goals = |id: &str| -> Vec<_> {
        Policy::named(id).unwrap().goals.iter().map(|goal| (goal.share, goal.bound.value)).collect()
    };
    assert_eq!(
        goals("older-high-risk"),
        [(Share::InTarget, Above(50)), (Share::BelowTarget, Below(1)), (Share::VeryHigh, Below(10)),]
    );
    assert_eq!(
        goals("pregnancy-t1"),
        [
            (Share::InTarget, Above(70)),
            (Share::BelowTarget, Below(4)),
            (Share::VeryLow, Below(1)),
            (Share::AboveTarget, Below(25)),
        ]
    );
    assert_eq!(goals("pregnancy-gdm-t2"), []);
    assert_eq!(goals("paediatric"), goals("standard"));
    for id in ["pregnancy-t1", "pregnancy-gdm-t2"] {
        let policy = Policy::named(id).unwrap();
        assert_eq!(policy.thresholds.very_high_above, None);
        assert_eq!(decimals(&policy.thresholds.low_below.value), ("63".into(), "3.5".into()));
        assert_eq!(decimals(&policy.thresholds.high_above.value), ("140".into(), "7.8".into()));
        assert_eq!((policy.bounds(Unit::MgDl)[3], &policy.tight_high_above), (i128::MAX, &None));
        assert_eq!(policy.events.extended_hyper, None);
    }
    assert_eq!(Policy::named("nobody"), None);
}

#[test]
fn every_built_in_value_says_where_it_is_from() {
    let table = Devices::built_in();
    for sheet in sheets().iter().chain([table.sheet()]) {
        assert!(sheet.entries.len() > 5, "{}", sheet.id);
        for (name, entry) in &sheet.entries {
            assert!(entry.source.len() > 3, "{} {name}", sheet.id);
            assert!(!entry.source.to_lowercase().contains("todo"), "{} {name}", sheet.id);
        }
    }
    let ispad = &Policy::named("paediatric").unwrap().goals;
    assert!(ispad.iter().all(|goal| goal.bound.source.starts_with("unconfirmed")));
}

#[test]
fn two_files_never_share_a_hash_and_the_mark_names_version_hash_and_factor() {
    let hashes: std::collections::BTreeSet<_> = sheets().iter().map(Sheet::sha256).collect();
    assert_eq!(hashes.len(), sheets().len());
    let (standard, mark) = (Policy::standard(), Policy::standard().mark());
    assert_eq!((mark.id.as_str(), mark.factor_e4), ("standard/1", 180_156));
    assert_eq!(mark.sha256, sheet::sha256_hex(&standard.canonical_text()));
    assert!(standard.canonical_text().contains(&format!("devices={}\n", standard.devices.sha256())));
}

#[test]
fn another_table_of_devices_is_another_policy() {
    let text = "id = \"ours\"\nversion = 1\ntitle = \"Ours\"\nbase = \"sensors\"\n\
                [libre-2.interval]\nminutes = [5]\nsource = \"our exports\"\n";
    let base = Devices::built_in();
    let table = Sheet::parse(text, |_| Some(base.sheet()));
    let devices = Arc::new(Devices::from_sheet(&table.unwrap()).unwrap());
    let other = Policy::from_sheet(Policy::standard().sheet(), devices).unwrap();
    assert_ne!(other.mark().sha256, Policy::standard().mark().sha256);
}

#[test]
fn a_file_takes_over_what_it_does_not_replace() {
    let ours =
        policy(&over("[goals.in-target]\nabove_pct = 60\nsource = \"our board, 2026-01-15\"\n")).unwrap();
    assert_eq!(ours.goals[0].bound.value, Bound::Above(60));
    assert_eq!(ours.goals[1], Policy::standard().goals[1]);
    assert_eq!(ours.thresholds, Policy::standard().thresholds);
    let sheet = ours.sheet();
    assert_eq!(sheet.base.as_deref(), Some("standard/1"));
    let stated: Vec<_> =
        sheet.entries.iter().filter(|(_, e)| sheet.states(e)).map(|(name, _)| name).collect();
    assert_eq!(stated, ["goals.in-target"]);
}

#[test]
fn a_faulty_file_is_refused_with_every_line_and_what_to_write_instead() {
    // Lines of the body begin at 5.
    for (body, line, told) in [
        (
            "[thresholds.low_below]\nmg_dl = \"70\"\nmmol_l = \"3,9\"\nsource = \"a\"\n",
            7,
            "mmol_l: is not a decimal",
        ),
        ("[thresholds.low_below]\nmg_dl = \"70\"\nsource = \"a\"\n", 5, "has no `mmol_l`"),
        ("[thresholds.low_below]\nmg_dl = \"53\"\nmmol_l = \"2.9\"\nsource = \"a\"\n", 5, "is not above"),
        ("[thresholds.low_below]\nmg_dl = \"190\"\nmmol_l = \"10.5\"\nsource = \"a\"\n", 5, "is not below"),
        (
            "[thresholds.low_below]\nmg_dl = \"70\"\nmmol_l = \"9.3\"\nsource = \"a\"\n",
            5,
            "not one concentration",
        ),
        (
            "[thresholds.low_below]\nmg_dl = 70\nmmol_l = \"3.9\"\nsource = \"a\"\n",
            6,
            "mg_dl: is not a decimal",
        ),
        (
            "[thresholds.tight_high_above]\nmg_dl = \"180\"\nmmol_l = \"10.0\"\nsource = \"a\"\n",
            5,
            "not inside",
        ),
        (
            "[thresholds.very_high_above]\nnone = true\nsource = \"a\"\n",
            5,
            "names an edge that this population",
        ),
        ("[thresholds.low_below]\nnone = true\nsource = \"a\"\n", 5, "is missing"),
        (
            "[thresholds.low_below]\nmg_dl = \"70\"\nmmol_l = \"3.9\"\n",
            5,
            "does not say where its value is from",
        ),
        ("[factor]\nmg_dl_per_mmol_l = \"18.01559\"\nsource = \"a\"\n", 5, "is not from 17 to 19"),
        (
            "[re_expression]\nmg_dl_per_mmol_l = \"18\"\nresidual_mg_dl = \"0.5\"\nsource = \"a\"\n",
            5,
            "out of range",
        ),
        (
            "[sufficiency]\ndays = 14\nshare_pct = 101\nsource = \"a\"\n",
            7,
            "share_pct: is not a whole number from 0 to 100",
        ),
        ("[goals.in-target]\nabove_pct = 70\nbelow_pct = 80\nsource = \"a\"\n", 5, "not exactly one bound"),
        ("[goals.in-tarket]\nabove_pct = 70\nsource = \"a\"\n", 5, "is no known value"),
        ("[gaps.long]\nminutez = 45\nsource = \"a\"\n", 6, "has no field `minutez`"),
        ("[gaps]\nlong = 45\n", 5, "does not say where"),
        ("\n[night]\nfrom_hour = 6\nto_hour = 6\nsource = \"a\"\n", 6, "ends before it begins"),
        ("[profile]\nbin_minutes = 25\nmin_dates = 5\nsource = \"a\"\n", 5, "do not make up an hour"),
        ("[profile]\nbin_minutes = 4\nmin_dates = 5\nsource = \"a\"\n", 6, "not a whole number from 5 to 60"),
        ("[windows]\ndays = [14, 14]\nsource = \"a\"\n", 6, "each once"),
        ("[windows]\ndays = 1.5\nsource = \"a\"\n", 6, "neither a text"),
        ("[events.level_two_end]\nat = \"high\"\nsource = \"a\"\n", 6, "none of the known words"),
        (
            "[events.extended_hyper]\nedge = \"high_above\"\nminutes = 9\nwithin_minutes = 8\nsource = \"a\"\n",
            5,
            "more minutes",
        ),
        ("[goals.in-target]\nnone = true\nabove_pct = 1\nsource = \"a\"\n", 5, "has no value"),
        ("quantity = \"blood-pressure\"\n", 5, "not that of the base"),
        ("x = 1\n", 5, "`x` is not a known key"),
        ("x = = 1\n", 5, "not TOML"),
    ] {
        let faults = policy(&over(body)).expect_err(body);
        let [fault] = faults.as_slice() else { panic!("one mistake is one fault: {body}: {faults:?}") };
        assert!(fault.line == line && fault.what.contains(told), "{body}: {fault}");
        assert!(!fault.instead.is_empty(), "{body}: {fault}");
    }
    for (text, told) in [
        ("", "`id` is missing"),
        ("id = \"Ours\"", "small letters"),
        ("version = 0", "no whole number from 1"),
        ("base = \"standart\"", "names no built-in"),
        ("title = \"x\"", "`quantity` is missing"),
    ] {
        let faults = policy(text).expect_err(text);
        assert!(faults.iter().any(|fault| fault.what.contains(told)), "{text}: {faults:?}");
    }
    let faults = Policy::from_sheet(sheet_named("blood-pressure-home").unwrap(), Devices::built_in());
    assert!(faults.unwrap_err()[0].what.contains("blood-pressure"));
}

#[test]
fn an_advice_fits_the_value_at_hand() {
    // Lines of the body begin at 5.
    for (body, told) in [
        (
            "[goals.above-target]\nabove_pct = 160\nsource = \"a\"\n",
            "line 6: `goals.above-target` above_pct: is not a whole number from 0 to 100; \
             write one in that range in place of 160",
        ),
        (
            "[goals.in-target]\nabove_pct = \"60\"\nsource = \"a\"\n",
            "line 6: `goals.in-target` above_pct: is not a whole number from 0 to 100; \
             write above_pct = 60, without quotes",
        ),
        (
            "[goals.in-target]\nabov_pct = 60\nsource = \"a\"\n",
            "line 6: `goals.in-target` has no field `abov_pct`; its fields are above_pct, below_pct",
        ),
        (
            "[thresholds.low_below]\nmg_dl = 72\nmmol_l = \"4.0\"\nsource = \"a\"\n",
            "line 6: `thresholds.low_below` mg_dl: is not a decimal number; write mg_dl = \"72\", in double quotes",
        ),
        (
            "[thresholds.low_below]\nmg_dl = \"72\"\nmmol_l = \"4,0\"\nsource = \"a\"\n",
            "line 7: `thresholds.low_below` mmol_l: is not a decimal number; write mmol_l = \"4.0\", with a point",
        ),
        (
            "[thresholds.high_above]\nmg_dl = \"185\"\nmmol_l = \"9.3\"\nsource = \"a\"\n",
            "line 5: `thresholds.high_above` has two units that are not one concentration; 185 mg/dL is about \
             10.3 mmol/L, and 9.3 mmol/L about 168 mg/dL: write the pair as it is published",
        ),
        (
            "[windows]\ndays = 14\nsource = \"a\"\n",
            "line 6: `windows` days: is not a list of whole numbers from 1 to 90, each once; write days = [14]",
        ),
        (
            "\n[thresholds.high_above]\nmg_dl = \"140\"\nmmol_l = \"7.8\"\nsource = \"a\"\n",
            "line 6: `thresholds.tight_high_above` is not inside the target; \
             write [thresholds.tight_high_above] with an edge inside the target, or with none = true",
        ),
    ] {
        let faults = policy(&over(body)).expect_err(body);
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(said, [told], "{body}");
    }
}

/// The pair is judged by the factor of the policy that states it: at the edge of what is one concentration the two
/// factors that are in use differ.
#[test]
fn a_pair_is_judged_by_the_factor_of_its_own_policy() {
    let pair = "[thresholds.very_high_above]\nmg_dl = \"254.2\"\nmmol_l = \"14.0\"\nsource = \"a\"\n";
    assert!(policy(&over(pair)).is_ok(), "14.0 by 18.0156 is 252.2");
    let factor = "[factor]\nmg_dl_per_mmol_l = \"18\"\nsource = \"a\"\n";
    let faults = policy(&over(&format!("{pair}{factor}"))).unwrap_err();
    assert!(faults[0].instead.contains("14.0 mmol/L about 252 mg/dL"), "14.0 by 18 is 252.0: {faults:?}");
}

#[test]
fn neither_order_nor_comments_nor_spelling_is_another_policy() {
    let one = over(
        "[gaps.long]\nminutes = 60\nsource = \"a\"\n[thresholds.low_below]\nmg_dl = \"72\"\nmmol_l = \"4.0\"\nsource = \"b\"\n",
    );
    let two = "# ours\nbase = 'standard'\ntitle = \"Another title\"\nversion = 0x1\nid = \"ours\"\n\
               [thresholds]\nlow_below = { source = \"x\", mmol_l = \"4.00\", mg_dl = \"72.0\" } # here\n\
               [gaps]\n  [gaps.long]\n  source = \"y\"\n  minutes = 6_0\n";
    assert_eq!(policy(&one).unwrap().mark(), policy(two).unwrap().mark());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_override_changes_the_hash_exactly_where_it_changes_a_value(
        minutes in 1u32..=1_440, pct in 0u32..=100, begin in 1u32..=1_440, blanks in 0usize..4, swapped: bool,
    ) {
        let (gap, goal) = (
            format!("[gaps.long]{}\nminutes = {minutes}\nsource = \"a\"\n", " ".repeat(blanks)),
            format!("[goals.in-target]\nsource = \"a\"\nabove_pct  =  {pct} # per cent\n"),
        );
        let event = format!("[events.hypo]\nbegin_minutes = {begin}\nend_minutes = 15\nsource = \"a\"\n");
        let body = if swapped { format!("{event}{goal}{gap}") } else { format!("{gap}\n{goal}\n{event}") };
        let ours = policy(&over(&body)).unwrap();
        let plain = policy(&over("")).unwrap();
        let same = (minutes, pct, begin) == (45, 70, 15);
        prop_assert_eq!(ours.mark().sha256 == plain.mark().sha256, same);
        let other = policy(&over(&format!("{goal}{event}{gap}"))).unwrap();
        prop_assert_eq!(ours.canonical_text(), other.canonical_text());
        prop_assert_eq!(ours.long_gap_minutes.value, minutes);
    }

    #[test]
    fn bytes_of_any_kind_never_panic(text in "\\PC{0,200}") {
        let _refused = policy(&text);
        let _refused = policy(&over(&text));
    }
}
