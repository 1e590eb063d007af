//! Tables of faults: what is wrong in a file, where, and what the person who wrote it is told.

use super::*;

#[test]
fn every_fault_of_the_main_file_is_told_in_one_run() {
    let main = r#"data_dir = "./no/such/parent"
sitte = "main"
[store]
key_file = "./absent.key"
password = "hunter2"
[[mllp]]
listen = "localhost:2575"
plain = "yes"
[[mllp]]
listen = "0.0.0.0:2576"
frame_timout = "5s"
[[mllp]]
listen = "127.0.0.1:2576"
plain = true
tls = { cert = "server.pem", key = "server.pem" }
max_connections = 0
[[mllp]]
listen = "127.0.0.1:2577"
plain = true
site = "mian"
idle_timeout = "12"
max_connections = 10
max_connections_per_peer = 11
[admin]
listen = "0.0.0.0:9575"
[upstream]
base_url = "http://upstream.example.org/fhir"
consent = "maybe"
[[sender]]
facility = "NORTH"
codes = [{ code = "CGM" }]
"#;
    let folder = Folder::new(main, &[("main.toml", SITE)]);
    folder.assert_faults(&[
        ("isthmus.toml", 1, "does not exist"),
        ("isthmus.toml", 1, "`site` is missing"),
        ("isthmus.toml", 2, "did you mean `site`?"),
        ("isthmus.toml", 4, "absent.key, which does not exist"),
        ("isthmus.toml", 5, "would put a secret"),
        ("isthmus.toml", 7, "an IP address, not a host name"),
        ("isthmus.toml", 8, "must be true or false, not a text"),
        ("isthmus.toml", 9, "plain MLLP only when said so; write plain = true, or give tls = {"),
        ("isthmus.toml", 11, "did you mean `frame_timeout`?"),
        ("isthmus.toml", 13, "taken already by line 10"),
        ("isthmus.toml", 14, "stands beside tls"),
        ("isthmus.toml", 15, "holds no private key"),
        ("isthmus.toml", 16, "from 1 to 4096"),
        ("isthmus.toml", 20, "did you mean \"main\"?"),
        ("isthmus.toml", 21, "is not a duration: \"12\""),
        ("isthmus.toml", 23, "from 1 to 10"),
        ("isthmus.toml", 25, "no loopback address"),
        ("isthmus.toml", 27, "must begin with https"),
        ("isthmus.toml", 28, "write \"deny\" or \"permit\""),
        ("isthmus.toml", 26, "`upstream.tls` is missing"),
        ("isthmus.toml", 29, "`sender.application` is missing"),
        ("isthmus.toml", 31, "`sender.codes.system` is missing"),
    ]);
    let text = folder.load().unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "a secret is never quoted");
}

#[test]
fn every_fault_of_a_site_file_is_told_in_one_run() {
    let site = r#"id = "m/ain"
timezone = "America/NewYork"
polity = "standard"
[ehr]
kind = "hl7"
base_url = "https://user:pw@ehr.example.org/fhir"
projection = "epic-flowsheet"
subject = "guess"
tls = { ca = "client.key", cert = "nowhere.pem" }
[capability]
mode = "partial"
[delivery]
probe_interval = 2
in_flight = 65
retry_min = "10m"
retry_max = "5m"
[[publish]]
window = "91d"
every = "0d"
settle = "8d"
publish_from = "2026-02-30"
amend_for = "2w"
[patient]
system = "oid"
api_token = "t"
on_merge = "ehr-move"
verify_patient = true
order_authorities = "DEXCOM"
[retention]
written = "0s"
sent = "90d"
"#;
    let folder = Folder::new(MAIN, &[("main.toml", site)]);
    folder.assert_faults(&[
        ("main.toml", 1, "may hold letters, digits"),
        ("main.toml", 2, "did you mean \"America/New_York\"?"),
        ("main.toml", 3, "did you mean `policy`?"),
        ("main.toml", 5, "is not one of the known words: \"hl7\""),
        ("main.toml", 6, "names a user or a password"),
        ("main.toml", 7, "with epic-flowsheet: this projection writes mapped rows, and none is mapped"),
        ("main.toml", 8, "\"identifier\" or \"lookup\" or \"pseudonym\""),
        ("main.toml", 9, "which holds no certificate"),
        ("main.toml", 9, "nowhere.pem, which does not exist"),
        ("main.toml", 9, "`ehr.tls.key` is missing"),
        ("main.toml", 10, "`capability.allow` is missing"),
        ("main.toml", 13, "must be a duration in double quotes, not a whole number"),
        ("main.toml", 14, "from 1 to 64"),
        ("main.toml", 16, "longest wait shorter"),
        ("main.toml", 18, "from \"1d\" to \"90d\""),
        ("main.toml", 19, "from \"1d\" to \"90d\""),
        ("main.toml", 20, "from \"0s\" to \"7d\""),
        ("main.toml", 21, "not a date of the calendar: \"2026-02-30\""),
        ("main.toml", 22, "must be whole days: \"2w\""),
        ("main.toml", 24, "is not a URI"),
        ("main.toml", 24, "stands without authority"),
        ("main.toml", 25, "would put a secret"),
        ("main.toml", 26, "ehr-moves"),
        ("main.toml", 27, "must be a text in double quotes, not true or false"),
        ("main.toml", 28, "is not a list of assigning authorities"),
        ("main.toml", 30, "`retention.written` is out of range"),
        ("main.toml", 31, "`retention.sent`"),
    ]);
    assert!(!folder.load().unwrap_err().to_string().contains("pw@"));
}

#[test]
fn faults_between_files_are_told_with_the_line_in_both() {
    let second = "id = \"main\"\ntimezone = \"UTC\"\n";
    let twice = format!("{SITE}[[publish]]\nwindow = \"14d\"\n[[publish]]\nevery = \"7d\"\n");
    let main = MAIN.replace("9575", "2575").replace("site = \"main\"", "site = \"other\"");
    let folder = Folder::new(&main, &[("a.toml", &twice), ("b.toml", second), (".b.toml", "noise")]);
    folder.assert_faults(&[
        ("isthmus.toml", 2, "\"other\" names no site file"),
        ("isthmus.toml", 6, "is taken already by line 9"),
        ("a.toml", 5, "has a rule at line 4 already"),
        ("b.toml", 1, "a.toml:1"),
    ]);
}

#[test]
fn what_is_not_toml_is_told_beside_all_other_faults_and_nothing_is_called_missing() {
    let main = MAIN.replace("site = \"main\"", "site = main").replace("plain = true", "plane = true");
    let folder = Folder::new(&main, &[("main.toml", "id = \"main\"\ntimezone\n[delivery]\nin_flight = 0\n")]);
    folder.assert_faults(&[
        ("isthmus.toml", 2, "between double quotes"),
        ("isthmus.toml", 7, "did you mean `plain`?"),
        ("main.toml", 2, "not TOML"),
        ("main.toml", 4, "from 1 to 64"),
    ]);
}

#[test]
fn wrong_kinds_say_what_is_expected() {
    let main = "data_dir = 5\nsite = \"main\"\nadmin = true\nsender = [1]\n[store]\nkey_file = \"db.key\"\n\
                [mllp]\nlisten = \"127.0.0.1:2575\"\n[[upstream]]\n";
    Folder::new(main, &[("main.toml", SITE)]).assert_faults(&[
        ("isthmus.toml", 1, "must be a text in double quotes, not a whole number"),
        ("isthmus.toml", 3, "must be a table, not true or false; write [admin]"),
        ("isthmus.toml", 4, "must be a list of tables, not of a whole number"),
        ("isthmus.toml", 7, "must be a list of tables, not a table; write [[mllp]]"),
        ("isthmus.toml", 9, "must be a table, not a list; write [upstream], once"),
    ]);
}

#[test]
fn who_may_connect_is_read_wholly_or_told() {
    let listener = |lines: &str| {
        let main = MAIN.replace("plain = true\n", &format!("{lines}\n"));
        Folder::new(&main, &[("main.toml", SITE)])
    };
    let tls = |inner: &str| format!("tls = {{ cert = \"server.pem\", key = \"server.key\"{inner} }}");
    let ca = |inner: &str| tls(&format!(", client_ca = \"ca.pem\"{inner}"));
    for (lines, line, fault) in [
        (
            "plain = true\nallow_peers = [\"10.1.2.3/16\"]".to_owned(),
            8,
            "write \"10.1.0.0/16\" for the block",
        ),
        ("plain = true\nallow_peers = [\"engine.example\"]".to_owned(), 8, "no IP address"),
        ("plain = true\nallow_peers = [10]".to_owned(), 8, "not a list of at most 1024 texts"),
        ("plain = true\nallow_senders = [{ facility = \"NORTH\" }]".to_owned(), 8, "application` is missing"),
        (
            "plain = true\nallow_senders = [{ application = \"A\", facility = 1 }]".to_owned(),
            8,
            "must be a text",
        ),
        (
            "plain = true\nallow_senders = [{ application = \"A\" }, { application = \"A\" }]".to_owned(),
            8,
            "twice",
        ),
        (
            "plain = true\nallow_subjects = [\"CN=a\"]".to_owned(),
            8,
            "needs every sender to show a certificate",
        ),
        (format!("{}\nallow_subjects = [\"CN=a\"]", tls("")), 8, "needs every sender"),
        (
            format!("{}\nallow_subjects = [\"CN=a\"]", ca(", client_auth = \"optional\"")),
            8,
            "needs every sender",
        ),
        (format!("{}\nallow_subjects = [\"cn=a\"]", ca("")), 8, "no name of a certificate"),
        (tls(", client_auth = \"required\""), 7, "stands without client_ca"),
        (tls(", crl = [\"revoked.pem\"]"), 7, "stands without client_ca"),
        (ca(", client_auth = \"perhaps\""), 7, "known words"),
        (ca(", crl = \"server.pem\""), 7, "holds no revocation list"),
        (ca(", crl = []"), 7, "names no file"),
        (ca(", crl_expired = \"refuse\""), 7, "stands without crl"),
    ] {
        listener(&lines).assert_faults(&[("isthmus.toml", line, fault)]);
    }
    let good = format!(
        "{}\nallow_subjects = [\"CN=a\"]\nallow_peers = \"10.0.0.0/8\"\nallow_senders = [{{ application = \"A\" }}]",
        ca(", client_auth = \"required\", crl = \"revoked.pem\", crl_expired = \"refuse\"")
    );
    let read = listener(&good).load().unwrap().main.mllp[0].clone();
    let auth = read.tls.unwrap().client_auth.unwrap();
    assert!(auth.required && auth.refuse_expired_crl && auth.crl.len() == 1);
    assert_eq!((read.access.subjects.len(), read.access.peers.len(), read.access.senders.len()), (1, 1, 1));
    let none = listener("plain = true\nallow_peers = []").load().unwrap().main.mllp[0].clone();
    assert_eq!(none.access, Access::default());
}

#[test]
fn memory_for_messages_holds_the_largest_frame_and_every_connection() {
    let with = |bytes: usize| format!("{MAIN}[limits]\nmax_bytes_in_flight = {bytes}\n");
    let needed = 64 * 1024 * 1024 + 256 * 64 * 1024;
    let folder = Folder::new(&with(needed - 1), &[("main.toml", SITE)]);
    folder.assert_faults(&[("isthmus.toml", 12, "write 83886080 or more")]);
    let main = Folder::new(&with(needed), &[("main.toml", SITE)]).load().unwrap().main;
    assert_eq!(main.limits.shared_bytes(&main.mllp), 64 * 1024 * 1024);
    // The default follows what the listeners need.
    for (connections, bytes) in [(256, 256 << 20), (3_072, 256 << 20), (3_073, (256 << 20) + 65_536)] {
        let main =
            MAIN.replace("plain = true\n", &format!("plain = true\nmax_connections = {connections}\n"));
        let limits = Folder::new(&main, &[("main.toml", SITE)]).load().unwrap().main.limits;
        assert_eq!(limits.max_bytes_in_flight, bytes, "{connections}");
    }
}
