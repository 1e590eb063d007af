//! Traces of messages at a collector: one for each message, over refusals and restarts; a collector that is down or hangs costs
//! nothing but its own spans. That no patient is in one is looked for in `tests/planted.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{collections::BTreeSet, fs, net::SocketAddr};

use site::{collector::Collector, daily, eventually, settled};
use standin::{Play, rig::Rig};
use tokio::net::TcpListener;

fn reading(id: &str, minute: u32) -> Vec<u8> {
    let obx = format!(
        "OBX|1|NM|160212^MDC_CONC_GLU_ISF^MDC||100|mg/dL|||||F|||2026030210{minute:02}00+0000||||SN-1"
    );
    let msh = format!("MSH|^~\\&|HUB|NORTH|ISTHMUS|NORTH|20260302||ORU^R01^ORU_R01|{id}|P|2.5.1");
    [&msh, "PID|1||7700001^^^NORTH^MR", "OBR|1|||99504-3^Glucose^LN", &obx, ""].join("\r").into_bytes()
}

fn section(address: SocketAddr, more: &str) -> String {
    format!("[traces]\nurl = \"http://{address}\"\n{more}")
}

async fn spans_by(rig: &Rig, result: &str, at_least: f64) {
    let series = format!("isthmus_trace_spans_total{{result=\"{result}\"}}");
    site::at_least_metric(rig, &series, at_least).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_is_one_trace_from_its_frame_to_its_delivery_also_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::plain("127.0.0.1:0").await;
    let mut rig = site::prepare(dir.path(), daily()).await;
    site::append(&rig, &section(collector.address(), ""));
    rig.start().await.unwrap();
    rig.ehr.play(Play::Unavailable503);
    site::send(&rig, &[reading("A", 0)]).await;
    eventually("the attempt that fails is told", || {
        collector.spans_of("msg-1").iter().any(|span| span.name == "deliver")
    })
    .await;
    assert!(rig.stop().await.unwrap().success());
    rig.ehr.play(Play::Accept);
    rig.start().await.unwrap();
    settled(&rig).await;
    site::send(&rig, &[reading("B", 5)]).await;
    settled(&rig).await;
    assert!(rig.stop().await.unwrap().success());

    let (first, second) = (collector.spans_of("msg-1"), collector.spans_of("msg-2"));
    for spans in [&first, &second] {
        let traces: BTreeSet<&str> = spans.iter().map(|span| span.trace.as_str()).collect();
        assert_eq!(traces.len(), 1, "{spans:#?}");
        let root: Vec<_> = spans.iter().filter(|span| span.parent.is_empty()).collect();
        assert_eq!(root.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["receipt"]);
        let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
        assert_eq!(ids.len(), spans.len(), "no span has another's id");
        for span in spans {
            assert!(span.parent.is_empty() || span.parent == root[0].id, "{span:?}");
            assert!(span.began_ns <= span.ended_ns, "{span:?}");
        }
        for name in ["receipt", "commit", "acknowledge", "absorb", "publish", "deliver"] {
            assert!(spans.iter().any(|span| span.name == name), "{name}: {spans:#?}");
        }
        let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap().attributes.clone();
        assert_eq!(of("receipt")["isthmus.feed"], "engine");
        assert_eq!(of("acknowledge")["isthmus.outcome"], "AA");
    }
    assert_ne!(first[0].trace, second[0].trace);
    let attempts: Vec<_> = first.iter().filter(|span| span.name == "deliver").collect();
    let told = |at: usize, key: &str| attempts[at].attributes[key].as_str();
    assert!(attempts.len() >= 2 && attempts[0].failed, "{attempts:#?}");
    assert_eq!(told(0, "http.response.status_code"), "503");
    let last = attempts.len() - 1;
    assert_eq!((told(last, "isthmus.outcome"), attempts[last].failed), ("delivered", false));
    assert_eq!(told(last, "http.response.status_code"), "200");
    assert_eq!(told(last, "isthmus.destination"), "ehr:main");
    assert!(told(last, "isthmus.attempt").parse::<u32>().unwrap() >= 2);
    // The second message changed a version of its own: no span of it is an attempt at the first.
    assert!(second.iter().all(|span| span.attributes.get("isthmus.version").is_none_or(|at| at == "2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_or_is_down_delays_nothing_and_is_told_and_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = silent.local_addr().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    site::append(&rig, &section(hanging, ""));
    rig.start().await.unwrap();
    site::send(&rig, &[reading("A", 0)]).await;
    let (_held, _) = silent.accept().await.unwrap();
    // Nobody ever answers that request. Meanwhile a message goes all its way.
    site::send(&rig, &[reading("B", 5)]).await;
    settled(&rig).await;
    drop((silent, _held));
    spans_by(&rig, "refused", 1.0).await;
    site::send(&rig, &[reading("C", 10)]).await;
    settled(&rig).await;
    // Every span of the three: none is left that a later collector could be given.
    spans_by(&rig, "refused", 18.0).await;
    let log = || fs::read_to_string(rig.log_file()).unwrap();
    assert_eq!(log().matches("the collector of traces takes no spans").count(), 1, "{}", log());
    let collector = Collector::plain(&hanging.to_string()).await;
    site::send(&rig, &[reading("D", 15)]).await;
    spans_by(&rig, "sent", 1.0).await;
    eventually("that it takes spans again is in the log", || {
        log().contains("the collector of traces takes spans again")
    })
    .await;
    eventually("its spans are there", || !collector.spans_of("msg-4").is_empty()).await;
    assert!(rig.stop().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_proved_and_shown_our_certificate_and_one_in_so_many_messages_is_traced() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let collector = Collector::mutual(rig.pki()).await;
    let tls = "tls = { ca = \"ca.pem\", cert = \"client.pem\", key = \"client.key\" }\none_in = 4\n";
    let plain = section(collector.address(), tls);
    site::append(&rig, &plain.replace("http://127.0.0.1", "https://localhost"));
    rig.start().await.unwrap();
    let messages: Vec<_> = (0..60).map(|n| reading(&format!("M-{n}"), n)).collect();
    site::send(&rig, &messages).await;
    settled(&rig).await;
    assert!(rig.stop().await.unwrap().success());
    let spans = collector.spans();
    let traced: BTreeSet<&str> = spans.iter().map(|span| &*span.attributes["isthmus.message"]).collect();
    assert!((1..60).contains(&traced.len()), "{} of 60", traced.len());
    for msg in &traced {
        let of = collector.spans_of(msg);
        for name in ["receipt", "commit", "acknowledge", "absorb", "publish", "deliver"] {
            assert!(of.iter().any(|span| span.name == name), "{msg} is traced whole, with {name}: {of:#?}");
        }
    }
    let heads = collector.heads();
    assert!(heads.iter().all(|head| head.starts_with("POST /v1/traces ")), "{heads:?}");
}
