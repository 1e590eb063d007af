//! `[[spool]]`: what it means where little is written, and what is told where something is wrong.

use super::*;

fn with(spools: &str) -> Folder {
    Folder::new(&format!("{MAIN}{spools}"), &[("main.toml", SITE)])
}

#[test]
fn a_spool_needs_a_folder_and_a_name_and_takes_the_rest_from_what_is_shipped() {
    let folder = with("[[spool]]\npath = \"./drop\"\nname = \"drop\"\n");
    let [spool] = <[Spool; 1]>::try_from(folder.load().unwrap().main.spools).unwrap();
    let shipped = Spool {
        path: folder.path("drop"),
        name: "drop".to_owned(),
        site: "main".to_owned(),
        charset: "UTF-8".to_owned(),
        processing_id: "P",
        poll: Duration::from_secs(5),
        stable: Duration::from_secs(2),
        sidecar_wait: Duration::from_secs(60),
        max_file_bytes: 64 << 20,
        keep_done: Duration::from_secs(7 * 86_400),
        patient: None,
        patients: Vec::new(),
    };
    assert_eq!(spool, shipped);
    let before = folder.load().unwrap();
    let mut after = before.clone();
    after.main.spools.clear();
    assert_eq!(needs_restart(&before, &after), ["spool"]);
    // The shipped example says the same where it is switched on.
    let example = include_str!("../../../../etc/isthmus.toml");
    let from = example.find("#[[spool]]").unwrap();
    let to = example.find("#patient = {").unwrap();
    let open = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).map(str::to_owned);
    let lines: Vec<String> = example[from..to].lines().filter_map(open).collect();
    let [example] = <[Spool; 1]>::try_from(with(&lines.join("\n")).load().unwrap().main.spools).unwrap();
    assert_eq!(example, Spool { path: example.path.clone(), name: example.name.clone(), ..shipped });
}

#[test]
fn every_fault_of_a_spool_is_told_in_one_run() {
    let spools = r#"[[spool]]
poll = "50ms"
[[spool]]
path = "./data/drop"
name = "127.0.0.1:2575"
charset = "UTF-16"
processing_id = "X"
[[spool]]
path = "./drop"
name = "drop"
site = "mian"
max_file_bytes = 1023
keep_done = "59s"
patient = { system = "urn:oid:1" }
[[spool.patients]]
file = "*"
system = "oid"
value = "7"
[[spool.patients]]
file = "a/b"
system = "urn:oid:1"
value = "7"
[[spool]]
path = "./drop/deeper"
name = "drop"
[[spool.patients]]
file = "a*"
system = "urn:oid:1"
value = "7"
[[spool.patients]]
file = "a*"
system = "urn:oid:1"
value = "8"
[[spool]]
path = "."
name = "here"
"#;
    let first = MAIN.lines().count() + 1;
    let at = |line: usize, part: &'static str| ("isthmus.toml", first + line, part);
    with(spools).assert_faults(&[
        at(0, "`spool.path` is missing"),
        at(0, "`spool.name` is missing"),
        at(1, "from \"100ms\" to \"1h\""),
        at(3, "overlaps data_dir"),
        at(4, "may hold letters, digits"),
        at(5, "is no character set that is read here"),
        at(6, "write \"P\" or \"T\""),
        at(10, "did you mean \"main\"?"),
        at(11, "from 1024 to 268435456"),
        at(12, "from \"1m\" to \"366d\""),
        at(13, "`spool.patient.value` is missing"),
        at(15, "is neither a file name nor the beginning of one"),
        at(16, "is not a URI"),
        at(19, "is neither a file name nor the beginning of one"),
        at(23, "overlaps the folder of another spool"),
        at(24, "is the name of another source too"),
        at(30, "stands in another entry too"),
        at(34, "overlaps data_dir"),
    ]);
}

#[test]
fn what_is_shown_for_debugging_names_no_patient() {
    let spools = "[[spool]]\npath = \"./drop\"\nname = \"drop\"\npatient = { system = \"urn:oid:1\", value = \"4711\" }\n\
                  [[spool.patients]]\nfile = \"quibble*\"\nsystem = \"urn:oid:1\"\nvalue = \"4712\"\n";
    let shown = format!("{:?}", with(spools).load().unwrap());
    assert!(!["4711", "4712", "quibble"].iter().any(|text| shown.contains(text)), "{shown}");
}
