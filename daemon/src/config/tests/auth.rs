//! `[ehr.auth]`: what its keys mean where they are written and where they are not, and its faults.

use super::*;
use crate::smart::{KeySource, key, key_folder::KeyFolder};

/// A site that is proved by tokens, with these lines in its `[ehr.auth]` and these in its `[ehr.tls]`.
fn site(auth: &str, tls: &str) -> String {
    format!(
        "{SITE}[ehr]\nbase_url = \"https://ehr.example/fhir\"\n[ehr.tls]\nca = \"ca.pem\"\n{tls}[ehr.auth]\n{auth}"
    )
}

/// With a folder of keys, one key in a file, and one in the folder of credentials.
fn folder(auth: &str, tls: &str) -> Folder {
    let folder = Folder::new(MAIN, &[("main.toml", &site(auth, tls))]);
    KeyFolder(folder.path("keys/main")).make(0).unwrap();
    write_key(&folder.path("sites.d/ehr.pem"), &key::generate().unwrap(), 0o600);
    std::fs::create_dir(folder.path("credentials")).unwrap();
    write_key(&folder.path("credentials/ehr-key"), &key::generate().unwrap(), 0o400);
    folder
}

fn of(folder: &Folder) -> Ehr {
    let config = load(&folder.path("isthmus.toml"), Some(&folder.path("credentials"))).unwrap();
    config.sites["main"].ehr.clone().unwrap()
}

#[test]
fn a_site_is_proved_by_tokens_alone_or_beside_its_certificate() {
    let ehr = of(&folder("client_id = \"box\"\nkeys = \"../keys/main\"\n", ""));
    let auth = ehr.auth.unwrap();
    assert_eq!(
        (ehr.tls.clone().unwrap().shown, auth.client_id.as_str(), auth.token_url.clone()),
        (None, "box", None)
    );
    assert!(matches!(&auth.keys, KeySource::Folder(folder) if folder.0.ends_with("keys/main")));
    assert_eq!(
        auth.scopes,
        [
            "system/Observation.crus",
            "system/Provenance.crus",
            "system/DocumentReference.crus",
            "system/Patient.rs",
        ]
    );
    assert!(auth.headers().is_empty());

    let lines = "client_id = \"box\"\nkey_file = \"ehr.pem\"\nkid = \"k1\"\nscope_form = \"v1\"\n\
                 token_url = \"https://ehr.example/Token/\"\nclient_id_header = true\n";
    let ehr = of(&folder(lines, "cert = \"client.pem\"\nkey = \"client.key\"\n"));
    let auth = ehr.auth.unwrap();
    assert!(ehr.tls.as_ref().unwrap().shown.is_some());
    assert!(matches!(&auth.keys, KeySource::File { kid: Some(kid), .. } if kid == "k1"));
    assert_eq!(auth.token_url.as_deref(), Some("https://ehr.example/Token/"), "to the letter");
    assert_eq!(auth.scopes[..2], ["system/Observation.read", "system/Observation.write"]);
    assert_eq!(auth.headers()["Epic-Client-ID"], "box");

    let auth = of(&folder("client_id = \"box\"\nkey_credential = \"ehr-key\"\n", "")).auth.unwrap();
    assert!(
        matches!(&auth.keys, KeySource::File { path, kid: None } if path.ends_with("credentials/ehr-key"))
    );
    assert!(
        of(&folder("client_id = \"b\"\nkeys = \"../keys/main\"\nscopes = [\"system/*.rs\"]\n", ""))
            .auth
            .is_some()
    );
}

#[test]
fn what_a_sites_file_uses_is_asked_for_and_nothing_that_it_does_not() {
    let scopes = |auth: &str, more: &str| {
        let text = site(&format!("client_id = \"box\"\nkey_file = \"ehr.pem\"\n{auth}"), "") + more;
        let text = text.replace("[ehr]\n", "[ehr]\nsubject = \"lookup\"\n");
        let folder = Folder::new(MAIN, &[("main.toml", &text)]);
        write_key(&folder.path("sites.d/ehr.pem"), &key::generate().unwrap(), 0o600);
        of(&folder).auth.unwrap().scopes
    };
    let form = |encounter: bool| format!("[[projection]]\nname = \"plain-r4\"\nencounter = {encounter}\n");
    let (read, written) = ("system/Encounter.rs".to_owned(), "system/Goal.crus".to_owned());
    let usual = scopes("", &form(false));
    assert!(!usual.contains(&read) && !usual.contains(&written), "{usual:?}");
    assert_eq!(scopes("", &form(true)), [usual.clone(), vec![read.clone()]].concat());
    let older = scopes("scope_form = \"v1\"\n", &form(true));
    assert!(older.contains(&"system/Encounter.read".to_owned()), "{older:?}");
    let all = scopes("", &(form(true) + "[intent]\ngoals = \"goal\"\n"));
    assert!(all.contains(&read) && all.contains(&written) && all.len() == usual.len() + 2, "{all:?}");
    let named = scopes("scopes = [\"system/Observation.crus\"]\n", &form(true));
    assert_eq!(named, ["system/Observation.crus"], "a list is sent as it is written");
}

#[test]
fn every_fault_of_auth_is_told_at_its_line() {
    let good = "client_id = \"box\"\nkeys = \"../keys/main\"\n";
    // [ehr.auth] is line 7, its keys begin at line 8.
    for (lines, tls, line, told) in [
        ("keys = \"../keys/main\"\n", "", 7, "`ehr.auth.client_id` is missing"),
        ("client_id = \"a b\"\nkeys = \"../keys/main\"\n", "", 8, "has a space"),
        ("client_id = \"box\"\n", "", 7, "isthmus site keys new"),
        ("client_id = \"box\"\nkeys = \"../keys/other\"\n", "", 9, "no key is in use"),
        ("client_id = \"box\"\nkey_file = \"nowhere.pem\"\n", "", 9, "does not exist"),
        (
            "client_id = \"box\"\nkey_file = \"ca.pem\"\n",
            "",
            9,
            "open to others (mode 0644); take that right away: chmod 0600",
        ),
        ("client_id = \"box\"\nkey_file = \"curve.pem\"\n", "", 9, "on another curve than P-384"),
        ("client_id = \"box\"\nkey_file = \"noise.pem\"\n", "", 9, "holds no private key in PEM"),
        ("client_id = \"box\"\nkey_credential = \"ehr-key\"\n", "", 9, "systemd gave this process none"),
        ("client_id = \"box\"\nkey_credential = \"../x\"\n", "", 9, "is no name of a credential"),
        (&format!("{good}key_file = \"ehr.pem\"\n"), "", 10, "stands beside keys"),
        (&format!("{good}kid = \"k\"\n"), "", 10, "name their own"),
        (&format!("{good}token_url = \"http://ehr.example/token\"\n"), "", 10, "no address with https"),
        (&format!("{good}token_url = \"https://u:p@ehr.example/token\"\n"), "", 10, "no address with https"),
        (&format!("{good}scopes = [\"user/Observation.read\"]\n"), "", 10, "no system scope"),
        (&format!("{good}scopes = []\n"), "", 10, "must hold 1 to 64 scopes"),
        (&format!("{good}scopes = [\"system/*.rs\"]\nscope_form = \"v1\"\n"), "", 11, "stands beside scopes"),
        (&format!("{good}scope_form = \"v3\"\n"), "", 10, "write \"v2\" or \"v1\""),
        (&format!("{good}client_secret = \"s3cret\"\n"), "", 10, "would put a secret"),
        (&format!("{good}tokenurl = \"https://e.example/t\"\n"), "", 10, "did you mean `token_url`?"),
        (&format!("{good}clientid_header = true\n"), "", 10, "did you mean `client_id_header`?"),
        (good, "cert = \"client.pem\"\n", 5, "`ehr.tls.key` is missing"),
    ] {
        let folder = folder(lines, tls);
        let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        write_key(&folder.path("sites.d/curve.pem"), &p256.serialize_pem(), 0o600);
        write_key(&folder.path("sites.d/noise.pem"), "noise", 0o600);
        let faults = folder.load().unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{lines}: {faults}") };
        assert!(fault.to_string().contains(told), "{fault}");
        assert_eq!(fault.line, line, "{fault}");
        assert!(!faults.to_string().contains("s3cret"), "{faults}");
    }
}

#[test]
fn without_tokens_a_certificate_is_needed() {
    let site = format!("{SITE}[ehr]\nbase_url = \"https://ehr.example/fhir\"\n[ehr.tls]\nca = \"ca.pem\"\n");
    Folder::new(MAIN, &[("main.toml", &site)]).assert_faults(&[
        ("main.toml", 5, "`ehr.tls.cert` is missing"),
        ("main.toml", 5, "`ehr.tls.key` is missing"),
    ]);
}

#[test]
fn the_folder_of_keys_is_found_before_there_is_a_key_in_it() {
    let folder =
        Folder::new(MAIN, &[("main.toml", &site("client_id = \"box\"\nkeys = \"../keys/main\"\n", ""))]);
    assert!(folder.load().is_err());
    let main = folder.path("isthmus.toml");
    for site in [None, Some("main")] {
        let (name, keys) = keys_folder(&main, site).unwrap();
        assert_eq!(name, "main");
        assert!(keys.ends_with("sites.d/../keys/main"), "{}", keys.display());
    }
    assert!(keys_folder(&main, Some("north")).unwrap_err().to_string().contains("no file in"));
    assert!(keys_folder(&main, Some("upstream")).unwrap_err().to_string().contains("[upstream.auth]"));
}
