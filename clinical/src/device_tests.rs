use super::*;

fn sensor(name: &str) -> Option<&'static str> {
    static TABLE: LazyLock<Arc<Devices>> = LazyLock::new(Devices::built_in);
    TABLE.sensor(&Device(name.to_owned())).map(|sensor| sensor.id.as_str())
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn a_sensor_is_recognized_by_a_name_as_whole_words_and_never_from_a_serial() {
    for (stated, expected) in [
        ("Dexcom G6 Mobile App/8ABCDE", Some("dexcom-g6")),
        ("dexcom g7", Some("dexcom-g7")),
        ("iPhone G7 15 Day", Some("dexcom-g7-15-day")),
        ("Dexcom ONE", Some("dexcom-one")),
        ("Dexcom ONE+", Some("dexcom-one-plus")),
        ("FreeStyle Libre 2 Plus", Some("libre-2-plus")),
        ("FreeStyle Libre 2", Some("libre-2")),
        ("FreeStyle Libre 3 Plus/0M0001", Some("libre-3-plus")),
        ("8G6ABC", None),
        ("LIBREVIEW", None),
        ("G6 and G7", None),
        ("", None),
    ] {
        assert_eq!(sensor(stated), expected, "{stated}");
    }
}

#[test]
fn every_name_of_the_table_is_that_of_one_sensor() {
    let table = Devices::built_in();
    for kind in &table.sensors {
        for name in &kind.names.value {
            assert_eq!(sensor(name), Some(kind.id.as_str()), "{name}");
        }
    }
    assert_eq!(table.sensors.len(), 18);
}

#[test]
fn a_known_interval_stands_a_faster_stream_keeps_its_own_and_a_sparse_one_claims_no_more() {
    let table = Devices::built_in();
    let of = |id: &str| table.sensors.iter().find(|sensor| sensor.id == id).unwrap();
    for (id, suggested, minutes) in [
        ("dexcom-g6", Some(5), 5),
        ("dexcom-g6", Some(15), 5),
        ("dexcom-g6", Some(1), 1),
        ("dexcom-g6", None, 5),
        ("libre-2", None, 15),
        ("libre-2", Some(5), 5),
        ("libre-3", Some(1), 1),
        ("libre-3", Some(15), 5),
    ] {
        assert_eq!(of(id).interval(suggested), minutes, "{id} {suggested:?}");
    }
}

#[test]
fn codes_and_ends_of_the_range_are_limits_and_no_values() {
    let table = Devices::built_in();
    let of = |id: &str| table.sensors.iter().find(|sensor| sensor.id == id).unwrap();
    let (below, above) = (|text| Measured::Below(decimal(text)), |text| Measured::Above(decimal(text)));
    for (id, number, unit, expected) in [
        ("dexcom-g6", "39", Unit::MgDl, below("40")),
        ("dexcom-g6", "401", Unit::MgDl, above("400")),
        ("dexcom-g6", "40", Unit::MgDl, Measured::Exact(decimal("40"))),
        ("dexcom-g6", "39", Unit::MmolL, Measured::Exact(decimal("39"))),
        ("libre-2", "40", Unit::MgDl, below("40")),
        ("libre-2", "41", Unit::MgDl, Measured::Exact(decimal("41"))),
        ("libre-2", "500", Unit::MgDl, above("500")),
        ("libre-2", "2.2", Unit::MmolL, below("2.2")),
        ("guardian-3", "400", Unit::MgDl, above("400")),
        ("guardian-4", "50", Unit::MgDl, below("50")),
        ("dexcom-stelo", "70", Unit::MgDl, below("70")),
        ("dexcom-stelo", "250", Unit::MgDl, above("250")),
    ] {
        assert_eq!(of(id).measured(decimal(number), unit), expected, "{id} {number}");
    }
}

#[test]
fn a_hospital_may_replace_a_value_and_add_a_sensor_and_every_fault_has_its_line() {
    let base = Devices::built_in();
    let read = |text: &str| {
        let sheet = Sheet::parse(text, |id| (id == "sensors").then(|| base.sheet())).unwrap();
        Devices::from_sheet(&sheet)
    };
    let head = "id = \"ours\"\nversion = 1\ntitle = \"Ours\"\nbase = \"sensors\"\n";
    let ours = read(&format!("{head}[libre-2.interval]\nminutes = [5]\nsource = \"our exports\"\n")).unwrap();
    let libre = ours.sensors.iter().find(|sensor| sensor.id == "libre-2").unwrap();
    assert_eq!(libre.intervals.value, [5]);
    assert_ne!(ours.sha256(), base.sha256());

    let faults = read(&format!(
        "{head}[x.interval]\nminutes = [0]\nsource = \"a\"\n[y.wear]\nhour = 1\nsource = \"a\"\n"
    ))
    .unwrap_err();
    let told = |line: usize, what: &str| faults.iter().any(|fault| fault.line == line && fault.what == what);
    assert!(told(6, "`x.interval` minutes: is not a list of some of 1, 5, 15, each once"), "{faults:?}");
    assert!(told(9, "`y.wear` has no field `hour`"), "{faults:?}");
    // What a sensor lacks is told where the sensor is stated.
    assert!(told(5, "`x.wear` is missing") && told(8, "`y.interval` is missing"), "{faults:?}");
    // Each of the two lacks five of its six tables.
    assert_eq!(faults.len(), 2 + 10, "{faults:?}");

    let codes = "[libre-2.sentinels]\nbelow_code_mg_dl = 39\nabove_code_mg_dl = \"401\"\nat_ends = false\nsource = \"a\"\n";
    let faults = read(&format!("{head}{codes}")).unwrap_err();
    assert!(faults.len() == 1 && faults[0].line == 6 && faults[0].instead.contains("\"39\""), "{faults:?}");
}

/// What the engine can find in the distances of readings, and so what a table may state.
#[test]
fn a_sensor_has_an_interval_that_the_engine_uses_or_its_table_is_refused() {
    let base = Devices::built_in();
    let read = |minutes: &str| {
        let text = format!(
            "id = \"ours\"\nversion = 1\ntitle = \"Ours\"\nbase = \"sensors\"\n[libre-2.interval]\nminutes = {minutes}\nsource = \"a\"\n"
        );
        Devices::from_sheet(&Sheet::parse(&text, |_| Some(base.sheet())).unwrap())
    };
    for (minutes, known) in
        [("[1]", vec![1]), ("[5]", vec![5]), ("[15]", vec![15]), ("[15, 1, 5]", vec![15, 1, 5])]
    {
        let table = read(minutes).unwrap();
        let libre = table.sensors.iter().find(|sensor| sensor.id == "libre-2").unwrap();
        assert_eq!(libre.intervals.value, known);
    }
    for minutes in ["[2]", "[3]", "[10]", "[30]", "[0]", "[-5]", "[]", "[5, 5]", "[5, 10]", "[\"5\"]", "5"] {
        let faults = read(minutes).expect_err(minutes);
        assert!(faults.len() == 1 && faults[0].line == 6, "{minutes}: {faults:?}");
        assert!(faults[0].what.contains("1, 5, 15"), "{minutes}: {faults:?}");
    }
    assert_eq!(read("5").unwrap_err()[0].instead, "write minutes = [5]");
    for sensor in &base.sensors {
        assert!(
            sensor.intervals.value.iter().all(|minutes| INTERVALS_MINUTES.contains(minutes)),
            "{}",
            sensor.id
        );
    }
}
