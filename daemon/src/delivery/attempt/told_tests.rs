//! Later versions of what stands by a person's word: found and written over, or set aside, and never a second time.

use super::{tests::*, *};

/// How the earlier version, of value 100, stands by a person's word.
fn told(location: Option<&str>, value: u32) -> BTreeMap<String, ToldOf> {
    let write: Write = serde_json::from_slice(&body(&[observation(value)])).unwrap();
    let part = write.resources.into_iter().next().unwrap();
    let content_hash = content_hash(&part);
    let location = location.and_then(Location::parse);
    [(OURS.to_owned(), ToldOf { part, location, content_hash, recent: false })].into()
}

/// One attempt to write the value 120.
async fn tried_over(
    told: BTreeMap<String, ToldOf>,
    conditional: bool,
    lines: Vec<Line>,
) -> (Outcome, Vec<String>) {
    let (ehr, destination) = against(crate::mode::Ceiling::Full, lines).await;
    let mut write: Write = serde_json::from_slice(&body(&[observation(120)])).unwrap();
    if !conditional {
        write.resources[0].if_none_exist = None;
    }
    let item = Item { told, ..item(serde_json::to_vec(&write).unwrap(), BTreeMap::new(), LATER) };
    let outcome = attempt(&destination, &item).await;
    (outcome, ehr.sent())
}

#[tokio::test]
async fn what_stands_by_a_persons_word_is_found_before_it_is_written_over() {
    let taken = ("POST", "/", 200, answered("201 Created", Some("Observation/7")));
    let read = |status, body| vec![("GET", "/Observation/7", status, body), taken.clone()];
    let search = |status, body| vec![("GET", "/Observation?", status, body), taken.clone()];
    let named = || told(Some("Observation/7"), 100);
    let ours = shown(observation(100), "7");
    for (told, conditional, lines, sent) in [
        (named(), false, read(200, ours.clone()), Some("PUT Observation/7")),
        (named(), false, read(200, foreign()), None),
        (named(), false, read(403, refused()), None),
        // Where nothing is shown a conditional create finds what stands.
        (named(), true, read(403, refused()), Some("POST Observation")),
        // Asked by our identifier, the destination has proved that it is gone.
        (named(), false, read(404, refused()), Some("POST Observation")),
        (told(None, 100), false, search(200, found(&[ours])), Some("PUT Observation/7")),
        (told(None, 100), false, search(200, found(&[foreign()])), None),
        (told(None, 100), false, search(403, refused()), None),
    ] {
        let (outcome, asked) = tried_over(told, conditional, lines).await;
        assert_eq!(asked, sent.into_iter().collect::<Vec<_>>(), "{:?}", outcome.verdict);
        if sent.is_none() {
            assert!(matches!(outcome.verdict, Verdict::Conflict(_)), "{:?}", outcome.verdict);
            assert!(!outcome.doubt && outcome.written.is_empty());
        }
    }
}

#[tokio::test]
async fn what_stands_by_a_persons_word_and_says_the_same_is_left_as_it_is() {
    let (outcome, asked) = tried_over(told(None, 120), false, Vec::new()).await;
    assert_eq!((outcome.verdict, asked.len(), outcome.written.len()), (Verdict::Delivered, 0, 0));
}

#[tokio::test]
async fn what_was_created_a_moment_ago_is_not_created_again_because_the_index_lags() {
    for (recent, conditional, sent) in
        [(true, false, 0), (false, false, 1), (true, true, 1), (false, true, 1)]
    {
        let mut told = told(None, 100);
        told.values_mut().for_each(|one| one.recent = recent);
        let lines = vec![
            ("GET", "/Observation?", 200, found(&[])),
            ("POST", "/", 200, answered("201 Created", Some("Observation/7"))),
        ];
        let (outcome, asked) = tried_over(told, conditional, lines).await;
        assert_eq!(asked.len(), sent, "{recent} {conditional}: {:?}", outcome.verdict);
        let is_put_off = matches!(outcome.verdict, Verdict::Unsent(_)) && !outcome.doubt;
        assert_eq!(is_put_off, sent == 0, "{:?}", outcome.verdict);
    }
}
