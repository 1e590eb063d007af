//! Whose results may leave, by what the sites' files say.

use std::{fs, os::unix::fs::OpenOptionsExt};

use super::*;
use crate::{config, mode::Event};

const KIND: &str = "message of ward";

/// A generation with the sites `main`, which only computes, and `ward`, whose file ends so; `None`: there is no `ward`.
fn generation(number: u64, ward: Option<&str>) -> Generation {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.path().join(name));
        std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
    };
    fs::create_dir(dir.path().join("sites.d")).unwrap();
    write("db.key", &"0f".repeat(32));
    write("sites.d/main.toml", "id = \"main\"\ntimezone = \"Etc/UTC\"\n");
    if let Some(rest) = ward {
        write("sites.d/ward.toml", &format!("id = \"ward\"\ntimezone = \"Etc/UTC\"\n{rest}"));
    }
    let outbound =
        |name: &str| format!("[[outbound]]\nname = \"{name}\"\naddress = \"127.0.0.1:9\"\nplain = true\n");
    let main = format!(
        "data_dir = \"data\"\nsite = \"main\"\n[store]\nkey_file = \"db.key\"\n[[mllp]]\nlisten = \"127.0.0.1:0\"\n\
         plain = true\n{}{}",
        outbound("x"),
        outbound("y")
    );
    write("isthmus.toml", &main);
    let config = config::load(&dir.path().join("isthmus.toml"), None).unwrap();
    Generation::compile(number, config, 0).unwrap()
}

/// A site's file with one form, through the receiver of this name.
fn site(receiver: &str, capability: &str) -> String {
    format!(
        "[ehr]\nkind = \"oru\"\n[[projection]]\nname = \"oru-r01\"\noutbound = \"{receiver}\"\nauthority = \"N\"\n\
         identifier_type = \"MR\"\n[capability]\n{capability}\n"
    )
}

#[test]
fn results_leave_only_where_the_site_lists_the_receiver_permits_it_and_nobody_holds_it() {
    let full = "mode = \"full\"";
    for (ward, wanted) in [
        (Some(site("x", full)), None),
        (Some(site("x", "mode = \"partial\"\nallow = [\"message\"]")), None),
        (Some(site("x", "mode = \"partial\"\nallow = [\"Provenance\"]")), Some(Reason::KindNotPermitted)),
        (Some(site("x", "mode = \"read-only\"")), Some(Reason::ConfiguredReadOnly)),
        (Some(site("x", "mode = \"shadow\"")), Some(Reason::ConfiguredReadOnly)),
        (Some(site("y", full)), Some(Reason::FormNotListed)),
        (Some(String::new()), Some(Reason::FormNotListed)),
        (None, Some(Reason::FormNotListed)),
    ] {
        let generation = generation(1, ward.as_deref());
        let observations = Observations::default();
        assert_eq!(closed(KIND, "mllp:x", &generation, &observations), wanted, "{ward:?}");
        assert_eq!(closed("application-ack engine", "mllp:x", &generation, &observations), None);
        observations.apply("ehr:ward", MESSAGES.name(), Event::Held { cause: "by hand".into() }, 1);
        let held = wanted.or(Some(Reason::HeldByHand));
        assert_eq!(closed(KIND, "mllp:x", &generation, &observations), held, "{ward:?}");
    }
}

#[test]
fn a_kind_of_a_site_that_is_gone_is_deferred_again_when_a_late_decision_queues_more_of_it() {
    let observations = Observations::default();
    let (open, gone) = (generation(1, Some(&site("x", "mode = \"full\""))), generation(2, None));
    let mut results = Results::of("mllp:x");
    assert!(results.is_new(1));
    // Nothing waits; the site may come to make some.
    results.learn(&open, Vec::new());
    let shifts = results.shifts(&open, &observations);
    assert_eq!(shifts, [Shift { kind: KIND.into(), closed: None, latest: shifts[0].latest.clone() }]);
    assert!(shifts[0].latest.contains(&"held-by-hand".to_owned()), "a recovery leaves out what is stale");
    assert!(shifts[0].released().contains(&"form-not-listed".to_owned()));
    results.shifted(shifts[0].clone());
    results.aligned();
    results.unaligned();
    // A decision to hold it, made before it was opened, may have been committed after.
    assert_eq!(results.shifts(&open, &observations), shifts);
    results.aligned();
    assert!(results.shifts(&open, &observations).is_empty(), "it is in line");
    assert_eq!(results.open(&open, &observations), [KIND]);

    results.learn(&gone, Vec::new());
    assert!(results.open(&gone, &observations).is_empty());
    for _ in 0..2 {
        let shifts = results.shifts(&gone, &observations);
        assert_eq!(shifts.len(), 1);
        assert_eq!((shifts[0].held().as_deref(), shifts[0].released().len()), (Some("form-not-listed"), 0));
        results.shifted(shifts[0].clone());
        results.aligned();
        assert!(results.is_any_closed() && results.shifts(&gone, &observations).is_empty());
        results.unaligned();
    }
}

#[test]
fn what_waits_of_a_site_that_this_process_never_knew_is_closed() {
    let (observations, gone) = (Observations::default(), generation(1, None));
    let mut results = Results::of("mllp:x");
    results.learn(&gone, vec![KIND.into(), "application-ack engine".into()]);
    assert_eq!(results.shifts(&gone, &observations).len(), 1, "the acknowledgements are no results");
    assert!(results.open(&gone, &observations).is_empty());
}
