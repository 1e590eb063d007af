use proptest::prelude::*;

use super::*;
use crate::policy::MAX_FAULTS;

fn sheet(text: &str) -> Result<Sheet, Vec<SheetFault>> {
    Sheet::parse(text, |_| None)
}

const HEAD_LINES: &str = "id = \"a\"\nversion = 2\ntitle = \"A\"\nquantity = \"q\"\n";

#[test]
fn the_canonical_text_is_every_field_by_name() {
    let text = format!(
        "{HEAD_LINES}[b.y]\nz = [1, 2]\na = \"x y\"\nsource = \"s\"\n[b.none]\nnone = true\nsource = \"s\"\n[a]\nn = \"03.140\"\nsource = \"s\"\n"
    );
    let canonical = "policy=a/2\nquantity=q\na.n=3.14\nb.y.a=\"x y\"\nb.y.z=[1 2]\n";
    assert_eq!(sheet(&text).unwrap().canonical_text(), canonical);
}

fn fault_of(text: &str) -> SheetFault {
    let faults = sheet(text).expect_err(text);
    assert_eq!(faults.len(), 1, "{text}: {faults:?}");
    faults[0].clone()
}

#[test]
fn a_name_has_one_spelling() {
    let value = "n = 1\nsource = \"s\"\n";
    for (key, told, instead) in [
        ("[\"gaps.long\"]", "\"gaps.long\" is no name", "write gaps.long without quotes"),
        ("[gaps.\"lo ng\"]", "\"lo ng\" is no name", "as `isthmus policy show` prints it"),
        ("[gaps.Long]", "\"Long\" is no name", "as `isthmus policy show` prints it"),
        ("[\"\"]", "\"\" is no name", "as `isthmus policy show` prints it"),
        ("[\"a=1\\nb\"]", "\"a=1\\nb\" is no name", "as `isthmus policy show` prints it"),
        ("[\"\\u202eb\"]", "\"\\u{202e}b\" is no name", "as `isthmus policy show` prints it"),
    ] {
        let fault = fault_of(&format!("{HEAD_LINES}{key}\n{value}"));
        assert!(fault.line == 5 && fault.what.starts_with(told), "{key}: {fault}");
        assert!(fault.instead.contains(instead), "{key}: {fault}");
    }
    let both = format!("{HEAD_LINES}[gaps.long]\n{value}[\"gaps.long\"]\n{value}");
    assert_eq!(fault_of(&both).line, 8);
    let twice = format!("{HEAD_LINES}[gaps.long]\n{value}[gaps.long]\n{value}");
    assert_eq!(fault_of(&twice).line, 8);
    assert_eq!(fault_of(&format!("{HEAD_LINES}[a]\n\"n.m\" = 1\n{value}")).line, 6);
    for (words, good) in [("a".repeat(64), true), ("a".repeat(65), false)] {
        assert_eq!(sheet(&format!("{HEAD_LINES}[{words}]\n{value}")).is_ok(), good);
    }
}

#[test]
fn a_text_that_steers_a_terminal_or_forges_a_line_is_a_fault_at_its_line() {
    let file = |quantity: &str, title: &str, word: &str, source: &str| {
        format!(
            "id = \"a\"\nversion = 2\ntitle = \"A{title}\"\nquantity = \"q{quantity}\"\n\
             [a]\nn = [\"x\", \"x{word}\"]\nsource = \"s{source}\"\n"
        )
    };
    assert!(sheet(&file("", " \u{e9}\u{6f22}", " -> ", ", 2026")).is_ok());
    for bad in ["\\u001b[2J", "\\nunits.x=1", "\\u009b", "\\u202e", "\\u200b", "\\u2028"] {
        for (line, text) in [
            (3, file("", bad, "", "")),
            (4, file(bad, "", "", "")),
            (6, file("", "", bad, "")),
            (7, file("", "", "", bad)),
        ] {
            let fault = fault_of(&text);
            assert!(fault.line == line && fault.what.contains("U+"), "{text}: {fault}");
            assert!(!fault.to_string().contains(|c: char| c.is_control() || c == '\u{202e}'), "{fault:?}");
        }
    }
    let quantity = fault_of(&file(" pressure", "", "", ""));
    assert!(quantity.instead.contains("quantity = \"q-pressure\""), "{quantity}");
}

/// Files that took minutes: every fault looked for its line from the start, and there was no end of them.
#[test]
fn a_file_of_noise_is_refused_at_once_with_the_first_faults_and_a_word_that_there_are_more() {
    let keys: String = (0..20_000).map(|n| format!("k{n}=1\n")).collect();
    let lines = "= \n".repeat(60_000);
    let fields: String = (0..9_000).map(|n| format!("k{n}=1.5\n")).collect();
    let tables: String = (0..9_000).map(|n| format!("[k{n}]\n")).collect();
    let begun = std::time::Instant::now();
    for noise in [keys, lines, format!("[a]\nsource = \"s\"\n{fields}"), tables] {
        let faults = sheet(&format!("{HEAD_LINES}{noise}")).unwrap_err();
        assert_eq!(faults.len(), MAX_FAULTS + 1);
        assert!(faults.windows(2).all(|pair| pair[0].line <= pair[1].line));
        let last = faults.last().unwrap();
        assert!(last.what.starts_with("and more") && last.line < 400, "{last}");
    }
    let one_line = sheet(&format!("{HEAD_LINES}{}", "= ".repeat(60_000))).unwrap_err();
    assert_eq!(one_line.len(), 1, "one line that is not TOML is one fault: {one_line:?}");
    // A hundred times what it takes on a slow machine, and a hundredth of what it took.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn nothing_is_called_missing_where_a_line_is_not_toml() {
    let fault = fault_of("id = \"a\"\nversion = = 1\n");
    assert!(fault.line == 2 && fault.what.starts_with("not TOML"), "{fault}");
}

#[test]
fn a_faulty_file_still_states_its_id() {
    assert_eq!(Sheet::stated_id("id = \"ours\"\nversion = = 1\n").as_deref(), Some("ours"));
    assert_eq!(Sheet::stated_id("id = 1"), None);
    assert_eq!(Sheet::stated_id(&"\u{20ac}".repeat(Sheet::MAX_TEXT_BYTES)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every line of the canonical text behind the head is one field of one value.
    #[test]
    fn no_value_makes_a_line_that_is_not_its_own(
        title in any::<String>(), quantity in "\\PC{1,8}|q", word in any::<String>(), field in "\\PC{1,8}|n",
    ) {
        let text = format!(
            "id = \"a\"\nversion = 1\ntitle = {title:?}\nquantity = {quantity:?}\n[a]\n{field:?} = {word:?}\nsource = \"s\"\n"
        );
        if let Ok(sheet) = sheet(&text) {
            let canonical = sheet.canonical_text();
            prop_assert_eq!(canonical.lines().count(), 3, "{}", canonical);
            prop_assert!(!canonical.contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}

#[test]
fn a_text_that_is_too_long_or_too_deep_is_refused() {
    assert!(sheet(&"#".repeat(Sheet::MAX_TEXT_BYTES + 1)).is_err());
    assert!(sheet(&format!("{HEAD_LINES}[a.b.c.d]\nn = 1\nsource = \"s\"\n")).is_ok());
    assert!(sheet(&format!("{HEAD_LINES}[a.b.c.d.e]\nn = 1\nsource = \"s\"\n")).is_err());
    let many: String = (0..=512).map(|n| format!("[v{n}]\nn = 1\nsource = \"s\"\n")).collect();
    assert!(sheet(&format!("{HEAD_LINES}{many}")).is_err());
}
