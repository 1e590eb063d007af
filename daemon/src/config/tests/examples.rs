//! The examples that ship in `etc/`, as they are and with every setting switched on.

use std::collections::BTreeSet;

use super::*;
use crate::config::{
    section::{Findings, read_file},
    source::{MAX_FILE_BYTES, Source},
};
use crate::smart::key_folder::KeyFolder;

/// The shipped example with every setting that is commented out switched on: "#key", not "# prose".
fn opened(example: &str) -> String {
    let open = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    };
    example.lines().map(|line| open(line) + "\n").collect()
}

/// The example without the lines that begin so: of these keys only one may stand beside its like.
fn without(text: &str, keys: &[&str]) -> String {
    let is_named = |line: &&str| keys.iter().any(|key| line.starts_with(key));
    text.lines().filter(|line| !is_named(line)).map(|line| line.to_owned() + "\n").collect()
}

/// The examples as they ship, but for the data folder of the package.
fn examples() -> (String, String) {
    let main = include_str!("../../../../etc/isthmus.toml").replace("/var/lib/isthmus", "data");
    // The folder that holds an explicit socket must be there.
    (
        main.replace("data/isthmus.sock", "isthmus.sock"),
        include_str!("../../../../etc/sites.d/example.toml").to_owned(),
    )
}

#[test]
fn the_shipped_examples_load_as_they_are_and_with_every_setting_switched_on() {
    let (main, site) = examples();
    let closed = Folder::new(&main, &[("example.toml", &site)]).load().unwrap();
    let partial = opened(&site).replace("mode = \"read-only\"", "mode = \"partial\"");
    let alone = ["key_file = \"ehr", "key_file = \"upstream", "key_credential", "kid", "scope_form"];
    let (main, partial) = (without(&opened(&main), &alone), without(&partial, &alone));
    let folder = Folder::new(&main, &[("example.toml", &partial)]);
    for keys in ["keys/main", "keys/upstream"] {
        KeyFolder(folder.path(keys)).make(0).unwrap();
    }
    let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
    std::fs::write(folder.path("fleet.pub"), key).unwrap();
    let open = folder.load().unwrap();

    // A switched-on default changes nothing.
    assert_eq!(open.main.mllp[0].limits, closed.main.mllp[0].limits);
    assert_eq!(open.main.mllp[0].site, closed.main.mllp[0].site);
    assert_eq!(open.main.mllp[0].limits, MllpLimits::default());
    assert_eq!(open.main.mllp[0].answering, closed.main.mllp[0].answering);
    assert_eq!((&open.main.dedupe, &closed.main.dedupe), (&Dedupe::default(), &Dedupe::default()));
    assert_eq!((open.main.routes.len(), closed.main.routes.len()), (1, 0));
    assert_eq!(open.main.admin.listen, closed.main.admin.listen);
    let upstream = open.main.upstream.unwrap();
    // Without a limit there is none, so the examples of a limit are no defaults.
    let unlimited = |delivery: Delivery| Delivery { rate: Rate::default(), ..delivery };
    assert_eq!((unlimited(upstream.delivery), upstream.consent_permit), (Delivery::default(), false));
    assert!(!open.main.senders[0].trust_offset);
    let (open, closed) = (&open.sites["main"], &closed.sites["main"]);
    assert_eq!((unlimited(open.delivery.clone()), &open.policy), (closed.delivery.clone(), &closed.policy));
    assert_eq!(open.patient.kind, closed.patient.kind);
    let live = PublishRule { publish_from: None, ..open.publish[0].clone() };
    assert_eq!([live].as_slice(), closed.publish);
}

/// What reading one of the two files finds.
fn read(folder: &Folder, name: &str, text: String) -> Findings {
    let source = Source::from_bytes(&folder.path(name), text.into_bytes(), MAX_FILE_BYTES).unwrap();
    let findings = Findings::default();
    read_file(&source, &findings, |root| {
        if name == "isthmus.toml" {
            main_file::read_main(root, None, &mut load::Mentions::default()).map(|_| ())
        } else {
            site_file::read_site(root, &mut None, &Policies::default()).map(|_| ())
        }
    });
    findings
}

#[test]
fn the_shipped_examples_mention_every_key_that_is_known() {
    let (main, site) = examples();
    let folder = Folder::new(&main, &[("example.toml", &site)]);
    let mut asked = BTreeSet::new();
    let mut written = BTreeSet::new();
    for (name, text) in [("isthmus.toml", main), ("sites.d/example.toml", site)] {
        asked.extend(read(&folder, name, opened(&text)).into_parts().1);
        collect(&toml::from_str(&opened(&text)).unwrap(), "", &mut written);
    }
    let missing: Vec<_> = asked.difference(&written).collect();
    assert!(missing.is_empty(), "not in the examples: {missing:?}");
    assert!(asked.len() > 50, "the list of known keys is not empty by accident");
}

/// A reader that stops at a fault before it has asked for every key calls the others unknown, and has people take away what
/// is good.
#[test]
fn a_faulty_value_makes_no_key_beside_it_unknown() {
    let (main, site) = examples();
    let folder = Folder::new(&main, &[("example.toml", &site)]);
    let mut tried = 0;
    for (name, text) in [("isthmus.toml", main), ("sites.d/example.toml", site)] {
        let text = opened(&text);
        for at in 0..text.lines().count() {
            let spoil = |(number, line): (usize, &str)| match line.split_once(" = ") {
                Some((key, _)) if number == at => format!("{key} = [[7]]\n"),
                _ => format!("{line}\n"),
            };
            let spoilt: String = text.lines().enumerate().map(spoil).collect();
            // A value of many lines breaks off.
            if spoilt == text || toml::from_str::<toml::Table>(&spoilt).is_err() {
                continue;
            }
            tried += 1;
            let faults = read(&folder, name, spoilt).into_parts().0;
            let unknown: Vec<_> = faults.iter().filter(|one| one.what.contains("not a known key")).collect();
            assert!(unknown.is_empty(), "{name}:{}: {unknown:?}", at + 1);
        }
    }
    assert!(tried > 100, "{tried} values were spoilt");
}

/// Every dotted key of a table.
fn collect(table: &toml::Table, prefix: &str, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => collect(inner, &name, keys),
            toml::Value::Array(items) => {
                items.iter().filter_map(toml::Value::as_table).for_each(|t| collect(t, &name, keys));
            }
            _ => {}
        }
        keys.insert(name);
    }
}
