//! Cursors and links.

use proptest::prelude::*;

use super::{parameters, query, strict};
use crate::{
    Code, Kind,
    search::{CURSOR, Context, Cursor, Handling, Query},
};

proptest! {
    #[test]
    fn a_cursor_comes_back_as_it_was(at_ms: i64, number: i64) {
        let query = query(Kind::Observation, &[("patient", "1")]);
        let cursor = Cursor { at_ms, number };
        let text = cursor.text(&query);
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "it needs no escape in a URL");
        prop_assert_eq!(Cursor::read(&text, &query).ok(), Some(cursor));
    }

    #[test]
    fn a_text_that_is_no_cursor_is_refused(text in "\\PC{0,60}") {
        let query = query(Kind::Observation, &[]);
        prop_assert!(Cursor::read(&text, &query).is_err());
    }
}

#[test]
fn the_next_page_is_of_the_same_search_and_may_be_of_another_size() {
    let first = query(Kind::Observation, &[("patient", "1"), ("_count", "10"), ("_format", "json")]);
    let cursor = Cursor { at_ms: -5, number: 77 };
    let mut next = first.after(cursor);
    assert_eq!(next[..2], parameters(&[("patient", "1"), ("_count", "10")]));
    let read = |given: &[(String, String)]| {
        Query::parse(Kind::Observation, given, Handling::Strict, &Context::default())
    };
    assert_eq!(read(&next).unwrap().query.cursor(), Some(cursor));
    assert_eq!(read(&next).unwrap().query.applied(), first.applied(), "a cursor is no part of the self link");
    next[1].1 = "500".to_owned();
    assert_eq!(read(&next).unwrap().query.cursor(), Some(cursor));
    next[0].1 = "2".to_owned();
    let issues = read(&next).expect_err("another patient is another search");
    assert_eq!((issues[0].code, issues[0].expression.as_str()), (Code::Value, "http._cursor"));
}

#[test]
fn a_cursor_is_bound_to_kind_and_order() {
    let text = Cursor { at_ms: 1, number: 2 }.text(&query(Kind::Observation, &[]));
    assert!(strict(Kind::Observation, &[(CURSOR, &text)]).is_ok());
    assert!(strict(Kind::Observation, &[("_sort", "date"), (CURSOR, &text)]).is_err());
    assert!(strict(Kind::Task, &[(CURSOR, &text)]).is_err());
}
