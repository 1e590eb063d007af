//! Every input that the fuzzer keeps, judged on stable: what once broke a promise is never forgotten.
//!
//! The judges are the fuzzer's own (`fuzz/src/lib.rs`). Fuzzing itself needs a nightly compiler and cargo-fuzz:
//! `cargo +nightly fuzz run frame`, from the root of the repository.

#[path = "../fuzz/src/lib.rs"]
mod judges;

use std::{fs, panic, path::Path};

use clinical::normalize::file::Format;

/// Most bytes of an input: what is larger has not been minimized.
const MOST_BYTES: usize = 4 * 1024;
/// Fewest inputs of a target, so that a folder that was lost is noticed.
const FEWEST: usize = 8;

/// Takes any bytes, and panics where a promise is broken.
type Judge = fn(&[u8]);

/// The targets, which are the folders of the corpus.
const TARGETS: [(&str, Judge); 19] = [
    ("ack", judges::ack::judge),
    ("answer", judges::answer::judge),
    ("apple_health", |data| judges::document::judge(data, Format::AppleHealth)),
    ("carelink", |data| judges::export::judge(judges::export::CARELINK, data)),
    ("charset", judges::charset::judge),
    ("clarity", |data| judges::export::judge(judges::export::CLARITY, data)),
    ("dexcom_api", |data| judges::document::judge(data, Format::DexcomApi)),
    ("envelope", judges::envelope::judge),
    ("escape", judges::escape::judge),
    ("fhir", judges::fhir::judge),
    ("fhir_json", judges::fhir_json::judge),
    ("frame", judges::frame::judge),
    ("glooko", |data| judges::export::judge(judges::export::GLOOKO, data)),
    ("libreview", |data| judges::export::judge(judges::export::LIBREVIEW, data)),
    ("nightscout", |data| judges::document::judge(data, Format::Nightscout)),
    ("normalize", judges::normalize::judge),
    ("segments", judges::segments::judge),
    ("tidepool", |data| judges::document::judge(data, Format::Tidepool)),
    ("xdrip", |data| judges::export::judge(judges::export::XDRIP, data)),
];

/// The names of what lies in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn every_input_of_the_corpora_is_judged_well() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    assert_eq!(names(&corpus), TARGETS.map(|(target, _)| target.to_owned()), "a folder for each target");
    for (target, judge) in TARGETS {
        let inputs = names(&corpus.join(target));
        assert!(inputs.len() >= FEWEST, "{target} has {} inputs", inputs.len());
        for name in inputs {
            let data = fs::read(corpus.join(target).join(&name)).expect("an input can be read");
            assert!(data.len() <= MOST_BYTES, "{target}/{name} is not minimized");
            assert!(panic::catch_unwind(|| judge(&data)).is_ok(), "fuzz/corpus/{target}/{name}");
        }
    }
}

/// Inputs that nobody kept, for nothing: the promises hold for any bytes.
#[test]
fn every_beginning_and_every_end_of_an_input_is_judged_well() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (target, judge) in TARGETS {
        for name in names(&corpus.join(target)) {
            let data = fs::read(corpus.join(target).join(&name)).expect("an input can be read");
            // Long ones in steps, so that this stays a matter of a second.
            for at in (0..data.len()).step_by(data.len() / 64 + 1) {
                for part in [&data[..at], &data[at..]] {
                    let judged = panic::catch_unwind(|| judge(part));
                    assert!(judged.is_ok(), "fuzz/corpus/{target}/{name}, cut at {at}");
                }
            }
        }
    }
}
