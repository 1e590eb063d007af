use std::io::BufReader;

use proptest::prelude::*;

use super::*;

const LISTS: &[&str] = &["records"];

/// The records, `~` for one that is too much; `None` where the document is damaged.
fn all(text: &str, lists: &'static [&'static str], chunk: usize) -> Option<Vec<String>> {
    let mut records = Records::new(BufReader::with_capacity(chunk, text.as_bytes()), lists);
    let mut all = Vec::new();
    loop {
        match records.next() {
            Ok(Some(Found::Record(bytes))) => all.push(String::from_utf8(bytes.to_vec()).unwrap()),
            Ok(Some(Found::TooMuch)) => all.push("~".to_owned()),
            Ok(None) => return Some(all),
            Err(_) => return None,
        }
    }
}

#[test]
fn each_shape_of_a_document_gives_its_records() {
    for (text, lists, wanted) in [
        ("[]", &[][..], &[][..]),
        ("\u{feff} [ {\"a\":1} ,{} ] \n", &[], &["{\"a\":1}", "{}"]),
        ("{\"a\":1}\n{\"b\":[{}]}", &[], &["{\"a\":1}", "{\"b\":[{}]}"]),
        ("[1,\"x]\",null,[2,3]]", &[], &["1", "\"x]\"", "null", "[2,3]"]),
        (r#"["\\",{"a":"\"}]"}]"#, &[], &[r#""\\""#, r#"{"a":"\"}]"}"#]),
        ("[{],1]", &[], &["{]", "1"]),
        ("{\"v\":\"3\",\"records\":[{},{}],\"o\":{\"records\":[5]}}", LISTS, &["{}", "{}"]),
        ("{\"records\":[1],\"records\":[2]}", LISTS, &["1", "2"]),
        ("{\"records\":null}", LISTS, &[]),
        ("[{\"records\":[]}]", LISTS, &["{\"records\":[]}"]),
    ] {
        for chunk in [1, 2, 3, 4096] {
            let wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(all(text, lists, chunk), Some(wanted), "{text} by {chunk}");
        }
    }
}

#[test]
fn a_document_that_is_cut_or_no_json_is_damaged() {
    let texts = [
        "",
        " ",
        "7",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,]",
        "[1 2]",
        "[{\"a\":1}",
        "[{\"a\":\"1}]",
        "[] x",
        "[][]",
        "[{]},1]",
        "{\"records\":[1]",
        "{\"records\":[1],}",
        "{\"records\" [1]}",
        "{records:[1]}",
        "{1:[1]}",
        "{\"a\":}",
        "{\"a\":1}",
        "[:]",
        "{} {} 7",
    ];
    for text in texts {
        let lists = if text == "{\"a\":1}" || text.ends_with('7') { &[][..] } else { LISTS };
        let whole = text == "{\"a\":1}";
        assert_eq!(all(text, lists, 4096).is_some(), whole, "{text}");
    }
}

#[test]
fn a_record_beyond_a_limit_is_told_and_its_neighbours_are_given() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let limit = MAX_DEPTH as usize;
    for (record, fits) in [
        (deep(limit), true),
        (deep(limit + 1), false),
        (deep(100_000), false),
        (long(MAX_RECORD_BYTES), true),
        (long(MAX_RECORD_BYTES + 1), false),
    ] {
        let wanted = vec!["1".to_owned(), if fits { record.clone() } else { "~".to_owned() }, "2".to_owned()];
        assert!(all(&format!("[1,{record},2]"), &[], 4096) == Some(wanted), "{} bytes", record.len());
    }
}

#[test]
fn texts_beside_the_lists_are_kept_within_their_bounds() {
    let long = "x".repeat(MAX_TEXT_BYTES);
    let text = format!("{{\"a\":\"1\",\"b\":2,\"c\":\"{long}\",\"records\":[{{}}],\"d\":\"4\"}}");
    let mut records = Records::new(text.as_bytes(), LISTS);
    assert_eq!(records.next().unwrap(), Some(Found::Record(b"{}")));
    assert_eq!((records.text("a"), records.text("d"), records.list()), (Some("1"), None, Some("records")));
    assert_eq!(records.next().unwrap(), None);
    assert_eq!((records.text("b"), records.text("c"), records.text("d")), (None, None, Some("4")));
    assert_eq!(records.number(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_json_a_list_holds_its_elements_are_found(
        texts in prop::collection::vec("[\\[\\]{}\",:\\\\a1 ]{0,12}", 0..8), blank in "[ \t\r\n]{0,3}", chunk in 1usize..9,
    ) {
        let values: Vec<serde_json::Value> =
            texts.iter().map(|text| serde_json::json!({ "k": [text, 1, { "x": text }] })).collect();
        let parts: Vec<String> = values.iter().map(ToString::to_string).collect();
        let text = format!("{blank}[{blank}{}{blank}]{blank}", parts.join(&format!("{blank},{blank}")));
        prop_assert_eq!(all(&text, &[], chunk), Some(parts));
    }

    #[test]
    fn chunks_change_nothing_and_no_text_panics(text in "[\\[\\]{}\",:\\\\a1 ]{0,40}", chunk in 1usize..9) {
        for lists in [&[][..], LISTS] {
            prop_assert_eq!(all(&text, lists, chunk), all(&text, lists, 4096));
        }
    }
}
