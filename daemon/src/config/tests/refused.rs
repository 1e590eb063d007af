//! What can be read and would still be wrong in use: a key of another certificate, a store key that anyone may open, a
//! patient whom the site does not have, acknowledgements that come back to us, a route that takes everything.

use super::*;

/// [`MAIN`] with TLS at its listener.
fn with_tls(tls: &str) -> Folder {
    Folder::new(&MAIN.replace("plain = true", tls), &[("main.toml", SITE)])
}

#[test]
fn a_key_of_another_certificate_is_told_at_its_line_beside_all_other_faults() {
    let main = MAIN.replace(
        "plain = true",
        "frame_timeout = \"0s\"\n[mllp.tls]\ncert = \"server.pem\"\nkey = \"client.key\"",
    ) + "[upstream]\nbase_url = \"https://h.example/fhir\"\n\
           tls = { ca = \"ca.pem\", cert = \"client.pem\", key = \"server.key\" }\n\
           [[outbound]]\nname = \"back\"\naddress = \"h:1\"\n[outbound.tls]\nca = \"ca.pem\"\ncert = \"client.pem\"\n\
           key = \"server.key\"\n";
    let site =
        CONTRACT_SITE.replace("./client.key", "./server.key").replace("mode = \"full\"", "mode = \"fully\"");
    // `[outbound.tls]` after `[[outbound]]` belongs to it.
    Folder::new(&main, &[("main.toml", &site)]).assert_faults(&[
        ("isthmus.toml", 7, "out of range"),
        ("isthmus.toml", 10, "client.key, which is not the key of the certificate"),
        ("isthmus.toml", 16, "server.key, which is not the key of the certificate"),
        ("isthmus.toml", 23, "server.key, which is not the key of the certificate"),
        ("main.toml", 12, "server.key, which is not the key of the certificate"),
        ("main.toml", 14, "known words"),
    ]);
}

#[test]
fn pem_that_holds_no_certificate_inside_is_told_at_the_key_that_names_it() {
    let good = "tls = { cert = \"server.pem\", key = \"server.key\", client_ca = \"ca.pem\", crl = \"revoked.pem\" }";
    assert!(with_tls(good).load().is_ok());
    let pem = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
    for (name, text, told) in [
        ("server.pem", pem("CERTIFICATE"), "`mllp.tls.cert` names"),
        ("server.key", pem("PRIVATE KEY"), "`mllp.tls.cert` names"),
        ("ca.pem", pem("CERTIFICATE"), "`mllp.tls.client_ca` names"),
        ("revoked.pem", pem("X509 CRL"), "`mllp.tls.crl` names"),
        ("server.pem", pem("PUBLIC KEY"), "which holds no certificate"),
        ("server.key", "-----BEGIN PRIVATE KEY-----\nMA".to_owned(), "which holds no private key"),
    ] {
        let folder = with_tls(good);
        std::fs::write(folder.path(name), text).unwrap();
        folder.assert_faults(&[("isthmus.toml", 7, told)]);
    }
}

#[test]
fn a_store_key_that_other_users_may_open_is_refused_with_the_command_that_mends_it() {
    let folder = Folder::new(MAIN, &[("main.toml", SITE)]);
    for (mode, good) in [
        (0o600, true),
        (0o400, true),
        (0o640, true),
        (0o644, false),
        (0o604, false),
        (0o602, false),
        (0o666, false),
    ] {
        write_key(&folder.path("db.key"), STORE_KEY, mode);
        match folder.load() {
            Ok(_) => assert!(good, "{mode:o}"),
            Err(faults) => {
                assert!(!good, "{mode:o}: {faults}");
                let fix =
                    format!("isthmus.toml:4: `store.key_file` names {}", folder.path("db.key").display());
                assert!(faults.to_string().contains(&fix), "{faults}");
                assert!(
                    faults
                        .to_string()
                        .contains(&format!("(mode {mode:04o}); take that right away: chmod 0600 "))
                );
            }
        }
    }
}

#[test]
fn a_patient_of_a_spool_whose_system_is_not_the_sites_is_told() {
    let spool = |system: &str| {
        format!(
            "{MAIN}[[spool]]\npath = \"./drop\"\nname = \"drop\"\npatient = {{ system = \"{system}\", value = \"1\" }}\n\
             [[spool.patients]]\nfile = \"a*\"\nsystem = \"{system}\"\nvalue = \"2\"\n"
        )
    };
    let site = |patient: &str| format!("{SITE}[patient]\n{patient}");
    let (first, second) = (MAIN.lines().count() + 4, MAIN.lines().count() + 7);
    for (patient, system, told) in [
        ("authority = \"NORTH\"\nsystem = \"urn:oid:1.2.3\"\n", "urn:oid:1.2.3", None),
        (
            "authority = \"NORTH\"\nsystem = \"urn:oid:1.2.3\"\n",
            "urn:oid:1.2.4",
            Some("system = \"urn:oid:1.2.3\""),
        ),
        ("authority = \"NORTH\"\n", "urn:isthmus:authority:NORTH", None),
        ("authority = \"NORTH\"\n", "urn:oid:1.2.3", Some("system = \"urn:isthmus:authority:NORTH\"")),
        // Each message says its own authority: none can be called foreign.
        ("type = \"PI\"\n", "urn:oid:1.2.3", None),
    ] {
        let folder = Folder::new(&spool(system), &[("main.toml", &site(patient))]);
        match told {
            None => assert!(folder.load().is_ok(), "{patient} {system}: {:?}", folder.load()),
            Some(fix) => {
                folder.assert_faults(&[("isthmus.toml", first, fix), ("isthmus.toml", second, fix)]);
            }
        }
    }
}

#[test]
fn application_acknowledgements_that_would_come_back_or_mean_nothing_are_told() {
    let with = |listener: &str, address: &str| {
        let main = MAIN.replace("plain = true\n", &format!("plain = true\n{listener}"));
        let outbound = format!("[[outbound]]\nname = \"back\"\naddress = \"{address}\"\nplain = true\n");
        Folder::new(&(main + &outbound), &[("main.toml", SITE)])
    };
    let acks = "application_acks = \"back\"\n";
    for address in ["127.0.0.1:2576", "engine.example:2575", "10.0.0.1:2575"] {
        assert!(with(acks, address).load().is_ok(), "{address}");
    }
    with(acks, "127.0.0.1:2575").assert_faults(&[("isthmus.toml", 8, "where this daemon listens")]);
    with(acks, "localhost:2575").assert_faults(&[("isthmus.toml", 8, "where this daemon listens")]);
    let everywhere = MAIN
        .replace("127.0.0.1:2575", "0.0.0.0:2575")
        .replace("plain = true\n", &format!("plain = true\n{acks}"))
        + "[[outbound]]\nname = \"back\"\naddress = \"127.0.0.1:2575\"\nplain = true\n";
    Folder::new(&everywhere, &[("main.toml", SITE)]).assert_faults(&[(
        "isthmus.toml",
        8,
        "where this daemon listens",
    )]);
    with("application_acks = \"127.0.0.1:2575\"\n", "h:1").assert_faults(&[(
        "isthmus.toml",
        8,
        "write [[outbound]]",
    )]);
    let original = format!("acknowledge = \"original\"\n{acks}");
    with(&original, "h:1").assert_faults(&[("isthmus.toml", 9, "beside acknowledge = \"original\"")]);
    assert!(with(&original.replace("original", "enhanced"), "h:1").load().is_ok());
}

#[test]
fn a_route_that_gets_nothing_is_told_and_one_that_keeps_everything_is_allowed() {
    let with = |routes: &str| Folder::new(&format!("{MAIN}{routes}"), &[("main.toml", SITE)]);
    let (all, results) =
        ("[[route]]\nhandler = \"keep\"\n", "[[route]]\ntype = \"ORU\"\nhandler = \"results\"\n");
    let at = MAIN.lines().count();
    let keeping = with(all).load().unwrap();
    assert!(keeping.main.routes[0].keeps_everything(), "to be replayed later");
    with(&format!("{all}{results}")).assert_faults(&[("isthmus.toml", at + 3, "can never match")]);
    assert!(with(&format!("{results}{all}")).load().is_ok(), "what is left over may be kept");
    assert!(with("[[route]]\nsite = \"main\"\n").load().is_ok());
    // Whatever takes everything leaves nothing to those after it.
    let everything = format!("[[route]]\nsite = \"main\"\n{results}{all}");
    with(&everything).assert_faults(&[
        ("isthmus.toml", at + 3, "can never match"),
        ("isthmus.toml", at + 6, "can never match"),
    ]);
}

#[test]
fn a_sender_written_as_a_text_is_shown_the_shape_of_an_entry() {
    let main = MAIN.replace("plain = true\n", "plain = true\nallow_senders = [\"LAB\"]\n");
    let told = "write allow_senders = [{ application = \"LAB\", facility = \"NORTH\" }]";
    Folder::new(&main, &[("main.toml", SITE)]).assert_faults(&[("isthmus.toml", 8, told)]);
}

#[test]
fn a_value_out_of_its_range_is_shown_the_default_or_the_nearest_and_never_the_least() {
    let listener = |lines: &str| {
        let main = MAIN.replace("plain = true\n", &format!("plain = true\n{lines}\n"));
        Folder::new(&main, &[("main.toml", SITE)])
    };
    for (line, told) in [
        ("max_connections = 0", "write max_connections = 256, or another value from 1 to 4096"),
        ("max_connections = 5000", "write max_connections = 4096, or another value from 1 to 4096"),
        ("max_connections = -1", "write max_connections = 256,"),
        ("max_connections = \"100\"", "write max_connections = 100,"),
        ("max_connections = \"all\"", "write max_connections = 256,"),
        ("max_frame_bytes = 1023", "write max_frame_bytes = 67108864,"),
        ("frame_timeout = \"0s\"", "write frame_timeout = \"1m\", or another value from \"1s\" to \"1h\""),
        ("frame_timeout = \"2h\"", "write frame_timeout = \"1h\","),
        ("frame_timeout = 30", "write frame_timeout = \"30s\","),
        ("frame_timeout = \"30\"", "write frame_timeout = \"30s\","),
        ("frame_timeout = true", "write frame_timeout = \"1m\","),
        ("frame_timeout = \"soon\"", "write frame_timeout = \"1m\","),
        ("bare_fs = 1", "write bare_fs = true or false"),
    ] {
        listener(line).assert_faults(&[("isthmus.toml", 8, told)]);
    }
    let window = |text: &str| format!("{SITE}[[publish]]\nwindow = {text}\n");
    for (text, told) in [
        ("\"0d\"", "write window = \"14d\", or another value from \"1d\" to \"90d\""),
        ("\"91d\"", "write window = \"90d\","),
        ("\"30\"", "write window = \"30d\","),
        ("30", "write window = \"30d\","),
        ("\"2w\"", "write window = \"14d\","),
    ] {
        Folder::new(MAIN, &[("main.toml", &window(text))]).assert_faults(&[("main.toml", 4, told)]);
    }
}

#[test]
fn traces_leave_encrypted_or_stay_on_this_machine() {
    let read = |section: &str| Folder::new(&format!("{MAIN}[traces]\n{section}\n"), &[("main.toml", SITE)]);
    let line = MAIN.lines().count() + 2;
    let tls = "tls = { ca = \"ca.pem\" }";
    for good in [
        "url = \"http://127.0.0.1:4318\"".to_owned(),
        "url = \"http://[::1]:4318/\"\none_in = 100".to_owned(),
        format!("url = \"https://collector.example:4318\"\n{tls}"),
    ] {
        let traces =
            read(&good).load().unwrap_or_else(|faults| panic!("{good}: {faults}")).main.traces.unwrap();
        assert_eq!(traces.tls.is_some(), traces.url.starts_with("https:"), "{good}");
        assert!(!traces.url.ends_with('/'), "{good}");
    }
    for (section, at, told) in [
        ("url = \"http://collector.example:4318\"".to_owned(), line, "not of a loopback address"),
        ("url = \"http://localhost:4318\"".to_owned(), line, "not of a loopback address"),
        ("url = \"http://u:p@127.0.0.1:4318\"".to_owned(), line, "not of a loopback address"),
        ("url = \"ftp://127.0.0.1\"".to_owned(), line, "must begin with https"),
        ("url = \"https://collector.example:4318\"".to_owned(), line - 1, "`traces.tls` is missing"),
        (format!("url = \"http://127.0.0.1:4318\"\n{tls}"), line + 1, "stands beside an http address"),
        ("url = \"http://127.0.0.1:4318\"\none_in = 0".to_owned(), line + 1, "out of range"),
        ("one_in = 2".to_owned(), line - 1, "`traces.url` is missing"),
    ] {
        read(&section).assert_faults(&[("isthmus.toml", at, told)]);
    }
}

/// Self-signed by a key that was thrown away, as `openssl x509 -req` makes it without extensions.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBKDCBzwIUYB7qsYpMeEibuN2yit+zFPHy/YowCgYIKoZIzj0EAwIwFjEUMBIG\n\
A1UEAwwLdmVyc2lvbiBvbmUwIBcNMjYxMTI0MDIzNTE5WhgPMjEyNjEwMzEwMjM1\n\
MTlaMBYxFDASBgNVBAMMC3ZlcnNpb24gb25lMFkwEwYHKoZIzj0CAQYIKoZIzj0D\n\
AQcDQgAEgiLarDAdDcnN/j7sSVR/KbcMq8/7MyRERzmu97BQgTSJp4LZradk6eBu\n\
Y4B8GK+8idZmeEOK0O5P5F+D+eEgZjAKBggqhkjOPQQDAgNIADBFAiEAn06Lvx2l\n\
7vkfEJFVqaRU7WnWHsuRHDuJt43QYa6sarkCIByb/A47VlH3DPfnVhgDPkYTxNAm\n\
3bMOvj5CYbawEYUJ\n\
-----END CERTIFICATE-----";

#[test]
fn a_certificate_of_version_1_is_told_as_that_and_its_key_is_not_blamed() {
    let folder = with_tls("tls = { cert = \"server.pem\", key = \"server.key\", client_ca = \"ca.pem\" }");
    std::fs::write(folder.path("server.pem"), VERSION_1).unwrap();
    folder.assert_faults(&[("isthmus.toml", 7, "server.pem, which is X.509 version 1")]);
    let told = folder.load().unwrap_err().to_string();
    assert!(told.contains("have it issued as version 3") && !told.contains("with its key"), "{told}");
}

#[test]
fn a_form_without_an_ehr_is_told_to_need_one_and_the_known_keys_are_all_known() {
    let site = format!("{SITE}[[projection]]\nname = \"cgm-ig\"\n");
    let folder = Folder::new(MAIN, &[("main.toml", &site)]);
    folder.assert_faults(&[("main.toml", 3, "`projection` needs an [ehr]")]);
    let folder = Folder::new(MAIN, &[("main.toml", &format!("{SITE}[zzzzzzzzzz]\n"))]);
    let told = folder.load().unwrap_err().to_string();
    let (_, known) = told.split_once("known here: ").unwrap();
    for key in ["publish", "projection", "ehr", "policy"] {
        assert!(known.contains(key), "{key}: {known}");
    }
}
