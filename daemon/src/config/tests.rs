//! Whole configurations: the contract and the values at its edges; beside it the shipped examples,
//! tables of faults, and noise.

mod answering;
mod auth;
mod examples;
mod faults;
mod fhir;
mod noise;
mod outbound;
mod refused;
mod retention;
mod spools;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use clinical::fhir::{projection::Projection, release::Release, summary::MeanUnit};

use super::*;
use crate::capability::{Capability, ResourceKind};
use crate::mode::Mode;

/// The files of one authority, as text by name: made once for all tests.
static MATERIAL: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let pki = standin::Pki::create(dir.path()).unwrap();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let ca = read(&pki.ca);
    BTreeMap::from([
        ("ca.pem", ca.clone()),
        ("senders-ca.pem", ca.clone()),
        ("ehr-ca.pem", ca.clone()),
        ("issuer-ca.pem", ca.clone()),
        ("clients-ca.pem", ca.clone()),
        ("siem-ca.pem", ca.clone()),
        ("collector-ca.pem", ca.clone()),
        ("upstream-ca.pem", ca),
        ("box.pem", read(&pki.client.cert)),
        ("box.key", read(&pki.client.key)),
        ("client.pem", read(&pki.client.cert)),
        ("client.key", read(&pki.client.key)),
        ("server.pem", read(&pki.server.cert)),
        ("server.key", read(&pki.server.key)),
        ("revoked.pem", pki.revocation_list(&[], false).unwrap()),
    ])
});
const STORE_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n";

const MAIN: &str = r#"data_dir = "./data"
site = "main"
[store]
key_file = "./db.key"
[[mllp]]
listen = "127.0.0.1:2575"
plain = true
[admin]
listen = "127.0.0.1:9575"
socket = "./isthmus.sock"
"#;

const CONTRACT_MAIN: &str = r#"# isthmus.toml
data_dir = "./data"
site = "main"                                  # where unrouted messages belong
[store]
key_file = "./db.key"                          # 64 hex digits
[[mllp]]
listen = "127.0.0.1:2575"
plain = true                                   # plain MLLP only when said so
[admin]
listen = "127.0.0.1:9575"
socket = "./isthmus.sock"
"#;

const CONTRACT_UPSTREAM: &str = r#"# isthmus.toml, optional: the upstream platform, a second destination of every site
[upstream]
base_url = "https://127.0.0.1:9445/fhir"
projection = "upstream-summary"                # pseudonymous subject (HMAC under a box secret), summaries only
consent = "permit"                             # default deny
tls = { ca = "./ca.pem", cert = "./client.pem", key = "./client.key" }
"#;

const CONTRACT_SITE: &str = r#"# sites.d/main.toml, beside isthmus.toml
id = "main"
timezone = "America/New_York"
[ehr]
kind = "fhir"
base_url = "https://127.0.0.1:9444/fhir"
projection = "cgm-ig"
subject = "identifier"                         # subject.identifier from PID-3; "lookup" and "pseudonym" come later
[ehr.tls]
ca = "./ca.pem"
cert = "./client.pem"
key = "./client.key"
[capability]
mode = "full"                                  # read-only | partial | full
[delivery]
probe_interval = "2s"
[[publish]]
window = "14d"
every = "1d"                                   # a window ends at each local midnight that has passed
settle = "1s"                                  # wait for more data before publishing or amending
publish_from = "2000-01-01"                    # windows that end before this day are computed, not written
amend_for = "30d"                              # late data amends a published window for this long
[patient]                                      # optional; default: the one PID-3 repetition of type MR
authority = "NORTH"
type = "MR"
system = "urn:oid:1.2.3"                       # default: urn:isthmus:authority:NORTH
"#;

const SITE: &str = "id = \"main\"\ntimezone = \"America/New_York\"\n";

/// A key file of this mode.
fn write_key(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A folder with `isthmus.toml`, site files by name, and every file they may name.
struct Folder(TempDir);

impl Folder {
    fn new(main: &str, sites: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sites.d")).unwrap();
        for folder in ["", "sites.d"] {
            for (name, text) in MATERIAL.iter() {
                std::fs::write(dir.path().join(folder).join(name), text).unwrap();
            }
        }
        for name in ["db.key", "store.key"] {
            write_key(&dir.path().join(name), STORE_KEY, 0o600);
        }
        std::fs::write(dir.path().join("isthmus.toml"), main).unwrap();
        for (name, text) in sites {
            std::fs::write(dir.path().join("sites.d").join(name), text).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Result<Config, Faults> {
        load(&self.path("isthmus.toml"), None)
    }

    /// Asserts that the faults are exactly these, as (file name, line, a part of the sentence).
    #[track_caller]
    fn assert_faults(&self, expected: &[(&str, usize, &str)]) {
        let faults = self.load().expect_err("there are faults");
        let told = faults.as_slice();
        let matches = |fault: &Fault, (file, line, part): &(&str, usize, &str)| {
            fault.file.file_name().unwrap() == *file
                && fault.line == *line
                && fault.to_string().contains(part)
        };
        for one in expected {
            assert!(told.iter().any(|fault| matches(fault, one)), "not told: {one:?}\n{faults}");
        }
        assert_eq!(told.len(), expected.len(), "{faults}");
        assert!(told.iter().all(|fault| !fault.instead.is_empty()));
    }
}

#[test]
fn the_contract_parses_as_written_and_means_what_it_says() {
    let main = format!("{CONTRACT_MAIN}{CONTRACT_UPSTREAM}");
    let folder = Folder::new(&main, &[("main.toml", CONTRACT_SITE)]);
    let config = folder.load().unwrap();

    assert_eq!(config.main.mllp.len(), 1);
    let listener = &config.main.mllp[0];
    assert_eq!((listener.tls.is_none(), listener.name.as_str()), (true, "127.0.0.1:2575"));
    assert_eq!(listener.site, "main");
    let upstream = config.main.upstream.as_ref().unwrap();
    assert_eq!((&upstream.way, upstream.consent_permit), (&Way::of(Projection::UpstreamSummary), true));
    assert_eq!(upstream.base_url, "https://127.0.0.1:9445/fhir");

    let site = &config.sites["main"];
    let ehr = site.ehr.as_ref().unwrap();
    assert_eq!(ehr.base_url, "https://127.0.0.1:9444/fhir");
    assert_eq!(
        (ehr.kind, &*ehr.ways, ehr.subject),
        (EhrKind::Fhir, &[Way::of(Projection::CgmIg)][..], SubjectForm::Identifier)
    );
    assert_eq!((site.capability.mode, site.capability.allow.len()), (Mode::Full, 0));
    assert_eq!(site.delivery.probe_interval, Duration::from_secs(2));
    let rule = PublishRule {
        window_days: 14,
        every_days: 1,
        settle: Duration::from_secs(1),
        publish_from: Some(jiff::civil::date(2000, 1, 1)),
        amend_for_days: 30,
    };
    assert_eq!(site.publish, [rule]);
    assert_eq!(site.patient.authority.as_deref(), Some("NORTH"));
    assert_eq!(site.patient.system.as_deref(), Some("urn:oid:1.2.3"));
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file_that_names_them() {
    let main = format!("{CONTRACT_MAIN}{CONTRACT_UPSTREAM}");
    let folder = Folder::new(&main, &[("main.toml", CONTRACT_SITE)]);
    let config = folder.load().unwrap();
    assert_eq!(config.main.data_dir, folder.path("data"));
    assert_eq!(config.main.store.key_file, folder.path("db.key"));
    assert_eq!(config.main.admin.socket, folder.path("isthmus.sock"));
    assert_eq!(config.main.upstream.unwrap().tls.ca, folder.path("ca.pem"));
    assert_eq!(
        config.sites["main"].ehr.as_ref().unwrap().tls.as_ref().unwrap().ca,
        folder.path("sites.d/ca.pem")
    );
}

#[test]
fn the_unit_the_release_and_our_own_codes_are_a_sites_choice() {
    let main = format!("{CONTRACT_MAIN}{CONTRACT_UPSTREAM}");
    let of = |lines: &str| {
        let site = CONTRACT_SITE.replace("kind = \"fhir\"\n", &format!("kind = \"fhir\"\n{lines}"));
        Folder::new(&main, &[("main.toml", &site)]).load().map(|config| config.sites["main"].ehr.clone())
    };
    assert_eq!(of("").unwrap().unwrap().ways, [Way::of(Projection::CgmIg)]);
    let lines = "glucose_unit = \"mmol/L\"\nlocal_codes = true\nfhir_release = \"r5\"\n";
    let mut chosen = Way::of(Projection::CgmIg);
    (chosen.form.glucose, chosen.form.local_codes, chosen.form.release) =
        (MeanUnit::Molar, true, Release::R5);
    assert_eq!(of(lines).unwrap().unwrap().ways, [chosen]);
    assert!(of("glucose_unit = \"mmol\"\n").is_err());
}

#[test]
fn what_is_made_of_identities_is_as_the_site_file_says() {
    let text =
        "on_merge = \"republish\"\nverify_patient = \"required\"\norder_authorities = [\"DEXCOM\", \"\"]\n";
    let site = format!("{CONTRACT_SITE}{text}");
    let main = format!("{CONTRACT_MAIN}{CONTRACT_UPSTREAM}");
    let config = Folder::new(&main, &[("main.toml", &site)]).load().unwrap();
    let identity = &config.sites["main"].identity;
    assert_eq!((identity.on_merge, identity.verify_patient), (OnMerge::Republish, VerifyPatient::Required));
    assert_eq!(identity.order_authorities, ["DEXCOM", ""]);
}

#[test]
fn a_site_without_rules_publishes_the_windows_of_its_policy() {
    let lengths = |site: &str| {
        let folder = Folder::new(MAIN, &[("main.toml", site)]);
        std::fs::create_dir(folder.path("policies.d")).unwrap();
        let policy = "id = \"ours\"\nversion = 1\ntitle = \"Ours\"\nbase = \"standard\"\n\
                      [windows]\ndays = [30, 7]\nsource = \"our board\"\n";
        std::fs::write(folder.path("policies.d/ours.toml"), policy).unwrap();
        let config = folder.load().unwrap();
        let rules = config.sites["main"].publish.iter();
        rules.map(|rule| (rule.window_days, rule.every_days)).collect::<Vec<_>>()
    };
    let ours = format!("policy = \"ours\"\n{SITE}");
    assert_eq!(lengths(&ours), [(7, 7), (30, 30)]);
    assert_eq!(lengths(&format!("{ours}[[publish]]\nwindow = \"90d\"\n")), [(90, 14)]);
    assert_eq!(lengths(SITE), [(14, 14)]);
}

#[test]
fn shipped_defaults_do_not_flood_a_chart() {
    let config = Folder::new(MAIN, &[("main.toml", SITE)]).load().unwrap();
    let site = &config.sites["main"];
    let [rule] = site.publish.as_slice() else { panic!("one rule") };
    assert_eq!((rule.window_days, rule.every_days, rule.amend_for_days), (14, 14, 14));
    assert_eq!((rule.settle, rule.publish_from), (Duration::from_secs(12 * 3600), None));
    assert_eq!((site.ehr.as_ref(), site.capability.mode), (None, Mode::ReadOnly));
    assert_eq!(site.delivery.in_flight, 8);
    assert_eq!(site.patient, clinical::identity::PatientRule::default());
    assert_eq!(
        (site.identity.on_merge, site.identity.verify_patient),
        (OnMerge::EhrMoves, VerifyPatient::WhereKnown)
    );
    assert!(site.identity.order_authorities.is_empty(), "an order is no registration");
    assert_eq!((site.policy.as_str(), &config.main.upstream), ("standard", &None));
}

#[test]
fn a_store_key_is_named_or_a_credential_and_never_written_down() {
    let without = MAIN.replace("[store]\nkey_file = \"./db.key\"\n", "");
    let folder = Folder::new(&without, &[("main.toml", SITE)]);
    assert_eq!(folder.load().unwrap().main.store.key_file, folder.path("store.key"));
    std::fs::remove_file(folder.path("store.key")).unwrap();
    folder.assert_faults(&[("isthmus.toml", 1, "names no key_file")]);
    std::fs::write(folder.path("store-key.cred"), "sealed").unwrap();
    assert!(folder.load().unwrap().main.store.is_sealed());

    write_key(&folder.path("store-key"), STORE_KEY, 0o440);
    let config = load(&folder.path("isthmus.toml"), Some(folder.0.path())).unwrap();
    assert_eq!(config.main.store.key_file, folder.path("store-key"));

    std::fs::write(folder.path("store-key"), &STORE_KEY[1..]).unwrap();
    let faults = load(&folder.path("isthmus.toml"), Some(folder.0.path())).unwrap_err();
    assert!(faults.to_string().contains("not a store key"), "{faults}");

    let inline = MAIN.replace("./db.key", STORE_KEY.trim());
    let folder = Folder::new(&inline, &[("main.toml", SITE)]);
    folder.assert_faults(&[("isthmus.toml", 4, "looks like the key itself")]);
    assert!(!folder.load().unwrap_err().to_string().contains("ccddeeff"));
}

#[test]
fn a_socket_path_has_its_limit_at_107_bytes() {
    let folder = Folder::new(MAIN, &[("main.toml", SITE)]);
    for (length, good) in [(107, true), (108, false)] {
        // `./` goes away, the slash after the folder stays.
        let base = folder.0.path().as_os_str().len() + 1;
        let main = MAIN.replace("isthmus.sock", &"s".repeat(length - base));
        std::fs::write(folder.path("isthmus.toml"), main).unwrap();
        match folder.load() {
            Ok(config) => assert_eq!((good, config.main.admin.socket.as_os_str().len()), (true, 107)),
            Err(faults) => assert!(!good && faults.to_string().contains("108 bytes"), "{faults}"),
        }
    }
}

#[test]
fn values_at_the_ends_of_their_ranges_are_taken() {
    let site = "id = \"Site-1.a_b\"\ntimezone = \"UTC\"\n[delivery]\nin_flight = 0x40\nprobe_interval = \"1d\"\n\
                timeout = \"100ms\"\nretry_min = \"1h\"\nretry_max = \"60m\"\n\
                [capability]\nmode = \"partial\"\nallow = [\"Provenance\", \"Observation\"]\n\
                [[publish]]\nwindow = \"1d\"\nevery = \"90d\"\nsettle = \"0s\"\npublish_from = 2000-02-29\n\
                [[publish]]\nwindow = \"90d\"\nevery = \"1d\"\nsettle = \"168h\"\namend_for = \"366d\"\n";
    let main = MAIN.replace("site = \"main\"", "site = \"Site-1.a_b\"").replace("2575", "0")
        + "[[mllp]]\nlisten = \"127.0.0.1:0\"\nplain = true\nmax_frame_bytes = 268_435_456\nmax_connections = 1\n\
           [limits]\nmax_bytes_in_flight = 68_719_476_736\n";
    let config = Folder::new(&main, &[("x.toml", site)]).load().unwrap();
    let limits = &config.main.mllp[1].limits;
    assert_eq!((limits.max_frame_bytes, limits.max_connections_per_peer), (256 << 20, 1));
    let site = &config.sites["Site-1.a_b"];
    assert_eq!((site.delivery.in_flight, site.delivery.retry_max), (64, Duration::from_secs(3600)));
    assert_eq!(
        site.capability.allow,
        [ResourceKind::Observation, ResourceKind::Provenance].map(Capability::of)
    );
    assert_eq!(site.publish[0].publish_from, Some(jiff::civil::date(2000, 2, 29)));
    assert_eq!((site.publish[1].window_days, site.publish[1].amend_for_days), (90, 366));
}

#[test]
fn a_base_url_loses_its_last_slash_and_may_hold_nothing_but_a_base() {
    for (url, expected) in [
        ("https://h.example/fhir/", Ok("https://h.example/fhir")),
        ("https://h.example", Ok("https://h.example")),
        ("https://h.example:8443/a/b", Ok("https://h.example:8443/a/b")),
        ("https://h.example/fhir?x=1", Err("query")),
        ("https://h.example/fhir#x", Err("fragment")),
        ("ftp://h.example/", Err("https")),
        ("h.example/fhir", Err("not a URL")),
        ("", Err("is empty")),
    ] {
        let site = CONTRACT_SITE.replace("https://127.0.0.1:9444/fhir", url);
        match (Folder::new(MAIN, &[("main.toml", &site)]).load(), expected) {
            (Ok(config), Ok(base)) => assert_eq!(config.sites["main"].ehr.as_ref().unwrap().base_url, base),
            (Err(faults), Err(part)) => {
                assert_eq!(faults.as_slice().len(), 1, "{faults}");
                assert!(faults.to_string().contains(part), "{url}: {faults}");
            }
            (other, _) => panic!("{url}: {other:?}"),
        }
    }
}

#[test]
fn a_listener_with_tls_never_falls_back_to_plain() {
    let with = |tls: &str| MAIN.replace("plain = true", tls);
    let good = with("tls = { cert = \"server.pem\", key = \"server.key\", client_ca = \"senders-ca.pem\" }");
    let folder = Folder::new(&good, &[("main.toml", SITE)]);
    let tls = folder.load().unwrap().main.mllp[0].tls.clone().unwrap();
    let auth = tls.client_auth.unwrap();
    assert_eq!((auth.ca, auth.required), (folder.path("senders-ca.pem"), true));
    // A named authority that cannot be read must not let every sender in.
    let broken = good.replace("senders-ca.pem", "server.key");
    Folder::new(&broken, &[("main.toml", SITE)]).assert_faults(&[(
        "isthmus.toml",
        7,
        "holds no certificate",
    )]);
    Folder::new(&with("plain = false"), &[("main.toml", SITE)]).assert_faults(&[(
        "isthmus.toml",
        7,
        "plain MLLP only when said so",
    )]);
}

#[test]
fn what_is_shown_for_debugging_holds_no_key() {
    let config = Folder::new(MAIN, &[("main.toml", CONTRACT_SITE)]).load().unwrap();
    let shown = format!("{config:?}");
    let key = MATERIAL["client.key"].lines().nth(1).unwrap();
    assert!(!shown.to_lowercase().contains(&STORE_KEY[..16].to_lowercase()) && !shown.contains(key));
}

#[test]
fn missing_files_and_folders_are_faults_not_panics() {
    let dir = tempfile::tempdir().unwrap();
    let faults = load(&dir.path().join("isthmus.toml"), None).unwrap_err();
    assert_eq!(
        faults.as_slice().len(),
        1,
        "the cause, and not the folder sites.d that follows from it: {faults}"
    );
}

#[test]
fn the_fingerprint_follows_every_byte_of_configuration_and_no_key() {
    let folder = Folder::new(MAIN, &[("main.toml", CONTRACT_SITE)]);
    let first = folder.load().unwrap().fingerprint;
    assert_eq!(first.len(), 64);
    std::fs::write(folder.path("sites.d/client.key"), format!("\n{}", MATERIAL["client.key"])).unwrap();
    assert_eq!(folder.load().unwrap().fingerprint, first, "keys stay out");
    for (name, text) in [
        ("sites.d/ca.pem", format!("\n{}", MATERIAL["ca.pem"])),
        ("sites.d/main.toml", format!("{CONTRACT_SITE}\n")),
        ("isthmus.toml", format!("{MAIN}\n")),
    ] {
        let before = folder.load().unwrap().fingerprint;
        std::fs::write(folder.path(name), text).unwrap();
        assert_ne!(folder.load().unwrap().fingerprint, before, "{name}");
    }
    let copy = Folder::new(&format!("{MAIN}\n"), &[("main.toml", &format!("{CONTRACT_SITE}\n"))]);
    std::fs::write(copy.path("sites.d/ca.pem"), format!("\n{}", MATERIAL["ca.pem"])).unwrap();
    assert_eq!(copy.load().unwrap().fingerprint, folder.load().unwrap().fingerprint, "a copy elsewhere");
}

#[test]
fn only_data_key_listeners_and_admin_need_a_restart() {
    let old = Folder::new(MAIN, &[("main.toml", SITE)]).load().unwrap();
    let mut new = old.clone();
    new.sites.clear();
    new.main.site = "x".to_owned();
    new.main.senders.clear();
    assert_eq!(needs_restart(&old, &new), [""; 0]);
    new.main.data_dir = PathBuf::from("/x");
    new.main.store.key_file = PathBuf::from("/k");
    new.main.dedupe.horizon = Duration::from_secs(1);
    new.main.mllp[0].limits.max_connections = 1;
    new.main.admin.socket = PathBuf::from("/s");
    assert_eq!(needs_restart(&old, &new), ["data_dir", "store.key_file", "dedupe", "mllp", "admin"]);
}
