//! Random requests at the local FHIR endpoint, over TLS and several connections at once: made from its CapabilityStatement, from
//! sound resources that are worn in many ways, and from what it has answered; valid, half valid and mad; in both releases; by an
//! operator, by a client that is confined to one patient, and by nobody.
//!
//! Whatever is asked: no fault of ours is answered (no 5xx at all); a refusal is an OperationOutcome with a code of the value set
//! that repeats no value of the request; a 200 or 201 is what it claims to be; what was written stands at its `Location` as it
//! was sent, and what is served is valid to the endpoint's own `$validate`, in either release; the confined client never sees what
//! is another patient's; the daemon lives, and neither its log nor its metrics name what stood in a request.
//!
//! `ISTHMUS_RANDOM_REQUESTS` are sent (5,000 unless told otherwise, some 20 s); `ISTHMUS_RANDOM_SEED` makes others. A failure tells its
//! number and the request. `cargo xtask random` sends 100,000.

#![allow(unreachable_pub, reason = "modules of one test binary")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; the figures are told"
)]

#[path = "endpoint_random/dice.rs"]
mod dice;
#[path = "endpoint_random/judge.rs"]
mod judge;
#[path = "endpoint_random/known.rs"]
mod known;
#[path = "endpoint_random/mutate.rs"]
mod mutate;
#[path = "endpoint_random/query.rs"]
mod query;
#[path = "endpoint_random/request.rs"]
mod request;
mod site;
#[path = "endpoint_random/strays.rs"]
mod strays;
#[path = "endpoint_random/templates.rs"]
mod templates;
#[path = "endpoint_random/wire.rs"]
mod wire;

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use dice::Dice;
use judge::{OTHERS, content, judge, parsed, shown};
use known::Known;
use request::{Maker, NAME, Request, WORD, Who};
use serde_json::{Value, json};
use site::endpoint::{Talk, bearer, client};
use standin::{
    ClientKey, Issuer, Pki,
    rig::{FhirRig, Rig, RigSettings},
    smart::Algorithm,
};
use templates::{KINDS, PATIENTS, sound};
use wire::{Client, Reply};

const AUDIENCE: &str = "https://box.example/fhir";
/// Connections at once: as many for each client.
const WORKERS: u64 = 8;
/// A token is good for some minutes; a new one after so many requests of a worker.
const TOKEN_FOR: u64 = 500;
/// The releases, and what their bodies are sent as.
const RELEASES: [(&str, &str); 2] =
    [("r4", "application/fhir+json"), ("r5", "application/fhir+json; fhirVersion=5.0")];
/// Kinds of failure after which it stops.
const FAILURES_MOST: usize = 12;

/// What all workers share.
struct Course {
    known: Known,
    /// References of what is the other patient's.
    others: Vec<String>,
    patient: String,
    issuer: Issuer,
    key: Arc<ClientKey>,
    seed: u64,
    next: AtomicU64,
    requests: u64,
    figures: Mutex<BTreeMap<String, u64>>,
    /// How often what was wrong, and the first request of each.
    failures: Mutex<BTreeMap<String, (u64, String)>>,
}

fn from_env(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// A daemon, an issuer, two patients with everything that there can be of them, and what the server says of itself.
async fn started(dir: &std::path::Path) -> (Rig, Course) {
    let idp = dir.join("idp");
    fs::create_dir(&idp).unwrap();
    let issuer = Issuer::start(&Pki::create(&idp).unwrap().server).await.unwrap();
    let tables = format!(
        "[[fhir.issuer]]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nca = \"../idp/ca.pem\"\n\
         role_claim = \"realm_access.roles\"\nroles = [{{ value = \"feed\", role = \"operator\" }}]\n",
        issuer.url()
    );
    let home = dir.join("box");
    fs::create_dir(&home).unwrap();
    let fhir = FhirRig { extra: "requests_per_second = 100000\n".to_owned(), tables, ..FhirRig::default() };
    let settings = RigSettings { ehr: false, upstream: false, fhir: Some(fhir), ..RigSettings::default() };
    let mut rig = site::prepare(&home, settings).await;
    let key = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    rig.start().await.unwrap();

    let mut talk = Talk::open(&client(&rig, Some(&rig.pki().client)), rig.fhir().unwrap()).await;
    let known = Known::of(&talk.get("/fhir/metadata").await.json());
    let mut patients = Vec::new();
    let mut others = Vec::new();
    for (at, word) in [WORD, OTHERS].into_iter().enumerate() {
        let mut patient = String::new();
        let mut target = String::new();
        for (number, (kind, is_r5)) in
            KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]).enumerate()
        {
            let number = (at * 1_000 + number) as u64;
            let mut body = sound(kind, is_r5, &patient, &target, number, word);
            if kind == "Patient" {
                if is_r5 {
                    continue;
                }
                body["identifier"] = json!([{ "system": PATIENTS, "value": format!("{word}-1") }]);
            }
            if kind == "Device" && !is_r5 {
                body["patient"] = json!({ "reference": patient });
            }
            let (base, media) = match is_r5 {
                true => ("/fhir/r5", "Content-Type: application/fhir+json; fhirVersion=5.0\r\n"),
                false => ("/fhir/r4", ""),
            };
            let made = talk.give("POST", &format!("{base}/{kind}"), media, &body.to_string()).await;
            let told = String::from_utf8_lossy(&made.body).into_owned();
            // A decision in R5 that does not become one in R4, and a wish at a site without an EHR, are told with their element.
            if made.status == 422 && (kind == "Task" || kind == "Consent" && is_r5) {
                continue;
            }
            assert_eq!(made.status, 201, "a sound {kind} (R5: {is_r5}) is taken: {told}");
            let reference = format!("{kind}/{}", made.json()["id"].as_str().unwrap());
            if kind == "Patient" {
                patient.clone_from(&reference);
            }
            if kind == "Observation" {
                target.clone_from(&reference);
            }
            if at == 1 {
                others.push(reference.clone());
            }
            known.stands(&reference, (at == 0).then_some(&body));
        }
        patients.push(patient);
    }
    let course = Course {
        known,
        others,
        patient: patients.remove(0),
        issuer,
        key,
        seed: from_env("ISTHMUS_RANDOM_SEED", 1),
        next: AtomicU64::new(0),
        requests: from_env("ISTHMUS_RANDOM_REQUESTS", 5_000),
        figures: Mutex::default(),
        failures: Mutex::default(),
    };
    (rig, course)
}

impl Course {
    /// The header of the confined client: an operator who may everything of one patient.
    fn authorization(&self) -> String {
        let id = self.patient.split('/').nth(1).unwrap();
        let claims = json!({"realm_access": {"roles": ["feed"]}, "scope": "patient/*.crus", "patient": id});
        bearer(&self.key.sign(&self.issuer.claims(AUDIENCE, &claims)).unwrap())
    }

    fn count(&self, what: String) {
        *self.figures.lock().unwrap().entry(what).or_default() += 1;
    }

    fn failed(&self, number: u64, request: &Request, reply: Option<&Reply>, why: &str) {
        let answer =
            reply.map(|reply| format!("{} {}", reply.status, shown(&reply.body))).unwrap_or_default();
        let told = format!(
            "ISTHMUS_RANDOM_SEED={} request {number}: {why}\n{}\n{answer}\n",
            self.seed,
            request.told()
        );
        let short: String = why.chars().take(60).collect();
        self.failures.lock().unwrap().entry(short).or_insert((0, told)).0 += 1;
    }

    fn goes_on(&self) -> bool {
        self.failures.lock().unwrap().len() < FAILURES_MOST
    }
}

/// One worker: a connection of the operator and one of whoever shows no certificate.
async fn work(course: Arc<Course>, mut operator: Client, mut stranger: Client) {
    let (mut authorization, mut until) = (course.authorization(), TOKEN_FOR);
    while course.goes_on() {
        let number = course.next.fetch_add(1, Ordering::Relaxed);
        if number >= course.requests {
            break;
        }
        until -= 1;
        if until == 0 {
            (authorization, until) = (course.authorization(), TOKEN_FOR);
        }
        let mut chance = Dice::new(course.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number));
        // Now and then the number of somebody else: the same identifier and the same bytes again.
        let identity = if chance.once_in(8) { number / 2 } else { number };
        let maker =
            Maker { dice: Dice::new(chance.number()), known: &course.known, number: 10_000 + identity };
        let request = maker.request();
        let connection = if request.who == Who::Operator { &mut operator } else { &mut stranger };
        let began = Instant::now();
        let answer = connection.exchange(&request.bytes(&authorization), request.method == "HEAD").await;
        let reply = match answer {
            Ok(reply) => reply,
            // What is no HTTP may find the connection ended.
            Err(_) if !request.is_http() => continue,
            Err(why) => {
                course.failed(number, &request, None, &why);
                continue;
            }
        };
        course.count(format!("status {}", reply.status));
        if began.elapsed().as_millis() > 1_000 {
            course.count("answered after more than a second".to_owned());
        }
        match judge(&request, &reply, &course.known, &course.others) {
            Err(why) => course.failed(number, &request, Some(&reply), &why),
            Ok(None) => {}
            Ok(Some(written)) => {
                course.count("written".to_owned());
                if let Err(why) = stands(&course, &request, &written, &authorization, connection).await {
                    course.failed(number, &request, Some(&reply), &why);
                }
            }
        }
    }
    let connections = operator.connections + stranger.connections;
    *course.figures.lock().unwrap().entry("connections".to_owned()).or_default() += connections;
}

/// Whether what was written stands where the answer says, as it was sent; and is valid in both releases.
async fn stands(
    course: &Course,
    request: &Request,
    written: &judge::Written,
    authorization: &str,
    connection: &mut Client,
) -> Result<(), String> {
    let rest = ["/fhir/r4/", "/fhir/r5/", "/fhir/"].iter().find_map(|base| written.path.strip_prefix(base));
    let rest = rest.ok_or("a Location outside the base")?;
    let mut strange = false;
    let mut releases = RELEASES.to_vec();
    releases.sort_by_key(|(release, _)| *release != request.release());
    for (release, media) in releases {
        let read = Request {
            method: "GET",
            target: format!("/fhir/{release}/{rest}"),
            headers: Vec::new(),
            body: None,
            writes: false,
            ..request.clone()
        };
        let found = connection.exchange(&read.bytes(authorization), false).await?;
        if found.status != 200 {
            return Err(format!(
                "what was written is answered {} in {release}: {}",
                found.status,
                shown(&found.body)
            ));
        }
        judge(&read, &found, &course.known, &course.others)?;
        let body = parsed(&found.body)?;
        if let Some(sent) = written.sent.as_ref().filter(|_| release == request.release())
            && content(sent) != content(&body)
        {
            return Err(format!("it stands otherwise than it was sent: {}", shown(&found.body)));
        }
        let kind = body["resourceType"].as_str().unwrap_or_default();
        let check = Request {
            method: "POST",
            target: format!("/fhir/{release}/{kind}/$validate"),
            headers: vec![("Content-Type".to_owned(), media.to_owned())],
            body: Some(found.body.clone()),
            ..read
        };
        let checked = connection.exchange(&check.bytes(authorization), false).await?;
        let told = parsed(&checked.body)?;
        let is_error = |issue: &Value| issue["severity"] == "error" || issue["severity"] == "fatal";
        // An element that its release does not know travels as it is, and may be one of the other, in another form.
        if release == request.release()
            && told["issue"].as_array().into_iter().flatten().any(|issue| issue["code"] == "structure")
        {
            strange = true;
        }
        if strange && release != request.release() {
            continue;
        }
        if checked.status != 200 || told["issue"].as_array().into_iter().flatten().any(is_error) {
            return Err(format!(
                "what is served in {release} is not valid there: {told}\n{}",
                shown(&found.body)
            ));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_answered_with_a_fault_of_ours_a_value_of_its_own_or_what_is_another_patients() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, course) = started(dir.path()).await;
    let (course, began) = (Arc::new(course), Instant::now());
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let target = rig.fhir().unwrap();
        let operator = Client::new(client(&rig, Some(&rig.pki().client)), target);
        let stranger = Client::new(client(&rig, None), target);
        workers.push(tokio::spawn(work(Arc::clone(&course), operator, stranger)));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let took = began.elapsed();
    let figures = course.figures.lock().unwrap().clone();
    println!("{} requests in {:.1} s; {figures:?}", course.requests, took.as_secs_f64());
    let told: Vec<String> = {
        let failures = course.failures.lock().unwrap();
        failures.values().map(|(times, told)| format!("{times} times, {told}")).collect()
    };
    assert!(told.is_empty(), "{}", told.join("\n"));

    // All 4xx would be no test.
    let of = |name: &str| figures.get(name).copied().unwrap_or_default();
    let sent = course.requests;
    assert!(
        of("status 200") * 5 > sent && of("status 201") * 30 > sent && of("written") * 20 > sent,
        "{figures:?}"
    );

    let metrics = site::metrics(&rig).await;
    assert!(rig.ended().is_none() && rig.status().await.unwrap()["ready"] == true);
    rig.stop().await.unwrap();
    let log = fs::read_to_string(rig.log_file()).unwrap();
    for (place, text) in [("the log", &log), ("a metric", &metrics)] {
        for planted in [WORD, OTHERS, NAME, "panicked"] {
            let at = text.find(planted);
            assert!(
                at.is_none(),
                "{place} has {planted}: {}",
                &text[at.unwrap_or_default().saturating_sub(300)..]
            );
        }
    }
}
