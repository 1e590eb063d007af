use super::*;

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

#[test]
fn no_text_of_a_value_can_pose_as_another_line() {
    let text = format!("{HEAD_LINES}[a]\nn = \"x\\nb.n=1\"\nsource = \"s\"\n");
    assert_eq!(sheet(&text).unwrap().canonical_text().lines().count(), 3);
}

#[test]
fn a_text_that_is_too_long_or_too_deep_is_refused() {
    assert!(sheet(&"#".repeat(MAX_TEXT_BYTES + 1)).is_err());
    assert!(sheet(&format!("{HEAD_LINES}[a.b.c.d]\nn = 1\nsource = \"s\"\n")).is_ok());
    assert!(sheet(&format!("{HEAD_LINES}[a.b.c.d.e]\nn = 1\nsource = \"s\"\n")).is_err());
    let many: String = (0..=MAX_VALUES).map(|n| format!("[v{n}]\nn = 1\nsource = \"s\"\n")).collect();
    assert!(sheet(&format!("{HEAD_LINES}{many}")).is_err());
}
