//! Noise: no bytes make the readers panic, and whatever is not read says why.

use proptest::prelude::*;

use super::*;
use crate::config::{
    section::{Findings, read_file},
    source::{MAX_FILE_BYTES, Source},
};

/// Reads bytes as both kinds of file, from a folder that does not exist.
fn read_both(bytes: &[u8]) {
    let Ok(source) = Source::from_bytes(Path::new("/nowhere/x.toml"), bytes.to_vec(), MAX_FILE_BYTES) else {
        return;
    };
    let lines = bytes.iter().filter(|b| **b == b'\n').count() + 1;
    let check = |findings: Findings, read: bool| {
        let faults = findings.into_parts().0;
        assert!(read || !faults.is_empty(), "nothing came out, and nobody says why");
        for fault in faults {
            assert!((1..=lines).contains(&fault.line), "{fault}");
        }
    };
    let findings = Findings::default();
    let main = read_file(&source, &findings, |root| {
        main_file::read_main(root, None, &mut load::Mentions::default())
    });
    check(findings, main.is_some());
    let findings = Findings::default();
    let site =
        read_file(&source, &findings, |root| site_file::read_site(root, &mut None, &Policies::default()));
    check(findings, site.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_both(&bytes);
    }

    #[test]
    fn a_good_file_with_a_piece_replaced_never_panics(
        at in 0usize..900, cut in 0usize..40, piece in "[\\[\\]{}=.\"'#,a-z0-9 \n-]{0,12}",
    ) {
        for text in [CONTRACT_SITE.to_owned(), format!("{CONTRACT_MAIN}{CONTRACT_UPSTREAM}")] {
            let mut bytes = text.into_bytes();
            let start = at.min(bytes.len());
            let end = (start + cut).min(bytes.len());
            bytes.splice(start..end, piece.bytes());
            read_both(&bytes);
        }
    }
}
