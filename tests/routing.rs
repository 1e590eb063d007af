//! Routing: which site and which handler a message goes to, by configuration; and that none is dropped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::path::Path;

use site::{
    address, chart, condition, daily, edit,
    listeners::{add, with_msh},
    people, prepare, send, settled, until,
    wire::{Wire, msa},
};
use standin::rig::Rig;

const DAY: &str = "2026-03-02";
/// The namespace of patient numbers at the other site.
const SOUTH: &str = "urn:oid:9.9.9";

fn good(control_id: &str, n: u32) -> Vec<u8> {
    people::hour(control_id, n, DAY, 100)
}

/// A site "main" and a site "south", which write to the same EHR under namespaces of their own.
async fn two_sites(dir: &Path, routes: &str) -> Rig {
    let rig = prepare(dir, daily()).await;
    let south = rig.site_file().replace("id = \"main\"", "id = \"south\"").replace("urn:oid:1.2.3", SOUTH);
    rig.write("sites.d/south.toml", &south).unwrap();
    add(&rig, "lab", "");
    edit(&rig, "isthmus.toml", "[admin]\n", &format!("{routes}[admin]\n"));
    rig
}

/// The namespaces under which the patient's outcomes stand.
fn namespaces(rig: &Rig, n: u32) -> Vec<String> {
    let mrn = people::person(n).mrn;
    let resources = rig.ehr.resources();
    let of = resources.iter().filter(|resource| {
        resource["code"]["coding"][0]["code"] == chart::MEAN
            && resource["subject"]["identifier"]["value"] == mrn.as_str()
    });
    of.map(|resource| resource["subject"]["identifier"]["system"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_route_that_matches_decides_and_what_none_matches_goes_to_its_listeners_site() {
    let dir = tempfile::tempdir().unwrap();
    let routes = r#"[[route]]
sending_application = "NOISE"
handler = "keep"
[[route]]
sending_facility = "SOUTH"
type = "ORU"
site = "south"
[[route]]
listener = "lab"
receiving_application = "SOUTHERN"
type = "ORU^R01"
site = "south"
handler = "results"
"#;
    let mut rig = two_sites(dir.path(), routes).await;
    rig.start().await.unwrap();
    let mut engine = Wire::open(rig.mllp()).await;
    let mut lab = Wire::open(address(&rig, "lab").await).await;
    for (n, at_lab, fields) in [
        (1, false, vec![]),
        (2, false, vec![(4, "SOUTH^1.2.3^ISO")]),
        (3, false, vec![(3, "NOISE"), (4, "SOUTH")]),
        (4, false, vec![(5, "SOUTHERN")]),
        (5, true, vec![(5, "SOUTHERN")]),
        (6, true, vec![(4, "SOUTHERN")]),
    ] {
        let id = format!("R{n}");
        let wire = if at_lab { &mut lab } else { &mut engine };
        assert_eq!(msa(&wire.exchange(&with_msh(&good(&id, n), &fields)).await), ("AA", id.as_str()));
    }
    // A type that nothing is done with is kept and acknowledged.
    let kept = with_msh(&good("KEPT", 7), &[(9, "SIU^S12"), (4, "SOUTH")]);
    assert_eq!(msa(&engine.exchange(&kept).await), ("AA", "KEPT"));
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], 7, "none is dropped: {status:#}");
    let main = "urn:oid:1.2.3";
    for (n, expected) in [
        (1, vec![main]),
        (2, vec![SOUTH]),
        (3, vec![]),
        (4, vec![main]),
        (5, vec![SOUTH]),
        (6, vec![main]),
        (7, vec![]),
    ] {
        assert_eq!(namespaces(&rig, n), expected, "patient {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_routes_are_in_force_without_a_restart_and_faulty_ones_never_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = two_sites(dir.path(), "").await;
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    wire.exchange(&good("BEFORE", 1)).await;
    let before = rig.status().await.unwrap()["configuration"]["generation"].clone();

    edit(&rig, "isthmus.toml", "[admin]\n", "[[route]]\ntype = \"ORU\"\nsite = \"south\"\n[admin]\n");
    let status = until(&rig, "in force", |s| s["configuration"]["generation"] != before).await;
    assert!(condition(&status, "restart-needed").is_none(), "{status:#}");
    wire.exchange(&good("AFTER", 2)).await;

    edit(&rig, "isthmus.toml", "site = \"south\"\n", "site = \"sowth\"\n");
    let status = until(&rig, "told", |s| condition(s, "config-rejected").is_some()).await;
    let detail = condition(&status, "config-rejected").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("did you mean \"south\"?"), "{detail}");
    wire.exchange(&good("STILL", 3)).await;
    // A batch's messages are routed one by one.
    let batch = [b"BHS|^~\\&|X\r".to_vec(), good("IN-BATCH", 4), b"BTS|1\r".to_vec()].concat();
    assert_eq!(msa(&wire.exchange(&batch).await).0, "AA");
    settled(&rig).await;
    assert_eq!(namespaces(&rig, 1), ["urn:oid:1.2.3"]);
    for n in 2..=4 {
        assert_eq!(namespaces(&rig, n), [SOUTH], "patient {n}");
    }
    send(&rig, &[good("BEFORE", 1)]).await;
    settled(&rig).await;
    assert_eq!(namespaces(&rig, 1), ["urn:oid:1.2.3"], "a resend stays where the message went");
}
