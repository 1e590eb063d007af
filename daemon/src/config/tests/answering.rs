//! How messages are judged, answered, routed and remembered.

use mllp::{asked::Mode as Asked, charset::Charset};

use super::*;
use crate::route::Handler;

/// [`MAIN`] with more lines in its listener, and more at the end.
fn with(listener: &str, end: &str) -> Folder {
    let main = MAIN.replace("plain = true\n", &format!("plain = true\n{listener}")) + end;
    Folder::new(&main, &[("main.toml", SITE)])
}

#[test]
fn a_listener_says_how_it_answers() {
    let shipped = with("", "").load().unwrap().main.mllp.remove(0).answering;
    assert_eq!(shipped, Answering::default());
    let lines = "acknowledge = \"enhanced\"\non_store_failure = \"reject\"\nprocessing_id = [\"P\", \"T\"]\n\
                 unknown_types = \"keep\"\ncharset = \"utf8\"\nbare_fs = true\n";
    let answering = with(lines, "").load().unwrap().main.mllp.remove(0).answering;
    let expected = Answering {
        acknowledge: Asked::Enhanced,
        on_store_failure: StoreFailure::Reject,
        processing_ids: vec!["P", "T"],
        unknown_types: UnknownTypes::Keep,
        charset: Charset::UTF_8,
        bare_fs: true,
    };
    assert_eq!(answering, expected);
    let one = with("processing_id = \"T\"\n", "").load().unwrap().main.mllp.remove(0).answering;
    assert_eq!(one.processing_ids, ["T"]);
}

#[test]
fn faults_of_answering_and_of_the_horizon_are_told_with_their_line() {
    let lines = "acknowledge = \"sometimes\"\non_store_failure = \"ignore\"\nprocessing_id = \"production\"\n\
                 unknown_types = \"drop\"\ncharset = \"KLINGON\"\nbare_fs = 1\n";
    with(lines, "[dedupe]\nhorizon = \"31d\"\n").assert_faults(&[
        ("isthmus.toml", 8, "write \"as-asked\" or \"original\" or \"enhanced\""),
        ("isthmus.toml", 9, "write \"close\" or \"reject\""),
        ("isthmus.toml", 10, "write \"P\" or \"T\""),
        ("isthmus.toml", 11, "write \"refuse\" or \"keep\""),
        ("isthmus.toml", 12, "no character set that is read here"),
        ("isthmus.toml", 13, "must be true or false"),
        ("isthmus.toml", 18, "from \"1h\" to \"30d\""),
    ]);
    with("processing_id = [\"P\", \"P\"]\n", "").assert_faults(&[("isthmus.toml", 8, "each once")]);
    let horizon =
        |text: &str| with("", &format!("[dedupe]\nhorizon = \"{text}\"\n")).load().unwrap().main.dedupe;
    assert_eq!(horizon("1h").horizon, Duration::from_secs(3_600));
    assert_eq!(horizon("30d").horizon, Duration::from_secs(30 * 86_400));
    assert_eq!(Dedupe::default().horizon, Duration::from_secs(7 * 86_400));
}

#[test]
fn routes_are_read_in_their_order() {
    let routes = "[[route]]\ntype = \"ADT^A08\"\nhandler = \"keep\"\n\
                  [[route]]\nlistener = \"127.0.0.1:2575\"\nsending_application = \"LAB\"\nsending_facility = \"N\"\n\
                  receiving_application = \"US\"\nreceiving_facility = \"HERE\"\ntype = \"ADT\"\nsite = \"main\"\n";
    let routes = with("", routes).load().unwrap().main.routes;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(routes.len(), 2);
    assert_eq!((&routes[0].site, routes[0].handler), (&None, Some(Handler::Keep)));
    assert_eq!((&routes[0].criteria.code, &routes[0].criteria.event), (&text("ADT"), &text("A08")));
    assert_eq!((&routes[1].site, routes[1].handler), (&text("main"), None));
    let expected = Criteria {
        listener: text("127.0.0.1:2575"),
        sending_application: text("LAB"),
        sending_facility: text("N"),
        receiving_application: text("US"),
        receiving_facility: text("HERE"),
        code: text("ADT"),
        event: None,
    };
    assert_eq!(routes[1].criteria, expected);
}

#[test]
fn faults_of_routes_are_told_and_so_is_one_that_can_never_match() {
    let routes = r#"[[route]]
listener = "127.0.0.1:2576"
site = "mian"
[[route]]
type = "ORU^R01^ORU_R01"
handler = "drop"
[[route]]
sending_facility = "NORTH"
type = "ORU"
handler = "keep"
[[route]]
sending_facility = "NORTH"
type = "ORU^R01"
receiving_application = "US"
handler = "results"
[[route]]
sending_facility = 5
handler = "results"
[[route]]
type = "ORU"
"#;
    with("", routes).assert_faults(&[
        ("isthmus.toml", 12, "did you mean \"127.0.0.1:2575\"?"),
        ("isthmus.toml", 13, "did you mean \"main\"?"),
        ("isthmus.toml", 15, "write it as \"ORU\" or \"ADT^A08\""),
        ("isthmus.toml", 16, "write \"results\" or \"patients\""),
        ("isthmus.toml", 21, "can never match: the one at line 17 takes everything it takes"),
        ("isthmus.toml", 27, "must be a text in double quotes"),
        ("isthmus.toml", 29, "leads nowhere"),
    ]);
    // The other way round both have their messages, and so have two that share some.
    let narrow_first = "[[route]]\ntype = \"ORU^R01\"\nhandler = \"keep\"\n[[route]]\ntype = \"ORU\"\nhandler = \"keep\"\n\
                        [[route]]\nsending_facility = \"N\"\nhandler = \"keep\"\n";
    assert_eq!(with("", narrow_first).load().unwrap().main.routes.len(), 3);
    // One without criteria takes everything.
    let all_first = "[[route]]\nhandler = \"keep\"\n[[route]]\ntype = \"ORU\"\nhandler = \"results\"\n";
    with("", all_first).assert_faults(&[("isthmus.toml", 13, "can never match")]);
}
