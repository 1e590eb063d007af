//! Personas, tokens and certificates as a client sees them: real sockets, real TLS.

#![expect(clippy::unwrap_used, reason = "what surprises a test fails it, in its own functions too")]

mod wire;

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use standin::pki::Identity;
use standin::rig::{CLIENT_KEY_FILE, JWKS_FILE, Registration, Rig, RigSettings};
use standin::smart::Algorithm;
use standin::{
    Act, ClientCertificates, ClientKey, Conduct, Ehr, EhrSettings, Person, Persona, Pki, RateLimit, Refused,
    RetryAfter, Rule, Spoilt, What,
};

type Answer = (u16, String, Value);

async fn get(ehr: &Ehr, pki: &Pki, path: &str, more: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1{more}");
    wire::call(ehr.addr(), &pki.ca, Some(&pki.client), &head, "").await.unwrap().unwrap()
}

async fn post(ehr: &Ehr, pki: &Pki, path: &str, more: &str, body: &Value) -> Option<Answer> {
    let head = format!("POST {path} HTTP/1.1{more}");
    wire::call(ehr.addr(), &pki.ca, Some(&pki.client), &head, &body.to_string()).await.unwrap()
}

/// An assertion of `app`, and the answer to the request that carries it.
async fn token(ehr: &Ehr, pki: &Pki, key: &ClientKey, scope: &str, jti: &str) -> Answer {
    let iat = Timestamp::now().as_second();
    let claims = json!({"iss": "app", "sub": "app", "aud": ehr.token_url().unwrap(), "jti": jti,
        "iat": iat, "exp": iat + 240});
    let body = format!(
        "grant_type=client_credentials&scope={scope}&client_assertion={}&client_assertion_type=\
         urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        key.sign(&claims).unwrap()
    );
    let head = "POST /oauth2/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded";
    wire::call(ehr.addr(), &pki.ca, Some(&pki.client), head, &body).await.unwrap().unwrap()
}

fn result(patient: &str) -> Value {
    json!({"resourceType": "Observation", "status": "final",
        "category": [{"coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "97507-8"}]},
        "subject": {"reference": format!("Patient/{patient}")},
        "effectiveDateTime": "2026-01-14T08:00:00Z", "valueQuantity": {"value": 154, "unit": "mg/dL"}})
}

async fn millennium(dir: &Path) -> (Pki, Ehr) {
    let pki = Pki::create(dir).unwrap();
    let people = vec![Person::new("urn:p", "77")];
    let conduct = Conduct { people, ..Conduct::of(Persona::Millennium) };
    let ehr = Ehr::start(EhrSettings::playing(&pki, conduct)).await.unwrap();
    (pki, ehr)
}

#[tokio::test]
async fn millennium_answers_a_create_with_an_empty_body_and_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let (pki, ehr) = millennium(dir.path()).await;
    let (status, _, found) = get(&ehr, &pki, "/fhir/Patient?identifier=urn:p|77", "").await;
    assert_eq!(status, 200);
    let patient = found["entry"][0]["resource"]["id"].as_str().unwrap();
    let (status, headers, body) = post(&ehr, &pki, "/fhir/Observation", "", &result(patient)).await.unwrap();
    assert_eq!((status, body), (201, Value::Null));
    assert!(headers.contains("content-length: 0"), "{headers}");
    assert!(headers.contains("etag: w/\"1\""), "{headers}");
    let place = format!("location: {}/observation/e", ehr.base_url());
    assert!(headers.contains(&place), "{headers}");
    let mut period = result(patient);
    period["effectivePeriod"] = json!({"start": "2026-01-01"});
    let (status, _, outcome) = post(&ehr, &pki, "/fhir/Observation", "", &period).await.unwrap();
    assert_eq!((status, &outcome["issue"][0]["code"]), (422, &json!("business-rule")));
    let effect = ehr.log().records()[1].effects[0].clone();
    assert_eq!(effect.effective.as_deref(), Some("2026-01-14T08:00:00Z"));
    assert_eq!(effect.subject, Some(format!("Patient/{patient}")));
    assert_eq!(effect.content_sha256.len(), 64);
}

#[tokio::test]
async fn rules_and_limits_are_switched_on_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let (pki, ehr) = millennium(dir.path()).await;
    let body = result(&ehr.admitted()[0].patient);
    ehr.rule(Rule::new("spoil", Act::Spoil(vec![Spoilt::WithoutLocation])).times(1));
    let (status, headers, _) = post(&ehr, &pki, "/fhir/Observation", "", &body).await.unwrap();
    assert!(status == 201 && !headers.contains("location:"), "{headers}");
    ehr.rule(Rule::new("lab", Act::Refuse(Refused::new(403, "forbidden"))).of_category("laboratory"));
    assert_eq!(post(&ehr, &pki, "/fhir/Observation", "", &body).await.unwrap().0, 403);
    assert!(ehr.withdraw("lab"));
    ehr.rule(Rule::new("slow", Act::Slow(Duration::from_millis(300))).on(What::Creates).times(1));
    let began = Instant::now();
    assert_eq!(post(&ehr, &pki, "/fhir/Observation", "", &body).await.unwrap().0, 201);
    assert!(began.elapsed() >= Duration::from_millis(300));
    ehr.rule(Rule::new("html", Act::Spoil(vec![Spoilt::NotJson])).on(What::Reads).times(1));
    ehr.limit(Some(RateLimit { per_second: 0.001, burst: 1, retry_after: RetryAfter::Seconds(9) }));
    assert_eq!(post(&ehr, &pki, "/fhir/Observation", "", &body).await.unwrap().0, 201);
    let (status, headers, _) = post(&ehr, &pki, "/fhir/Observation", "", &body).await.unwrap();
    assert!(status == 429 && headers.contains("retry-after: 9"), "{headers}");
    ehr.limit(None);
    assert_eq!(post(&ehr, &pki, "/fhir/Observation", "", &body).await.unwrap().0, 201);
    let judged = ehr.judge();
    assert_eq!((judged.throttled, judged.repeated_facts, judged.refused), (1, 3, 2));
}

#[tokio::test]
async fn a_rig_writes_the_keys_a_site_is_registered_with_and_its_ehr_takes_them() {
    for (algorithm, persona) in [(Algorithm::Es384, Persona::Plain), (Algorithm::Rs384, Persona::Epic)] {
        let dir = tempfile::tempdir().unwrap();
        let people = vec![Person::new("urn:oid:1.2.3", "77").born("1980-02-29")];
        let settings = RigSettings {
            conduct: Conduct { people, ..Conduct::of(persona) },
            registration: Some(Registration {
                algorithm,
                granted: vec!["system/Patient.rs".into()],
                ..Registration::of("app")
            }),
            client_certificates: ClientCertificates::Optional,
            subject: "lookup".into(),
            ehr_extra: "# of the authorization\n".into(),
            ..RigSettings::default()
        };
        let rig = Rig::prepare(dir.path(), Path::new("no daemon is started"), settings).await.unwrap();
        let (ehr, pki) = (&rig.ehr, rig.pki());
        let site = rig.site_file();
        assert!(site.contains("subject = \"lookup\"\n# of the authorization\n[ehr.tls]"), "{site}");
        assert!(std::fs::read_to_string(dir.path().join(CLIENT_KEY_FILE)).unwrap().contains("PRIVATE KEY"));
        let set: Value = serde_json::from_slice(&std::fs::read(dir.path().join(JWKS_FILE)).unwrap()).unwrap();
        assert_eq!(set["keys"][0]["alg"], algorithm.name());
        let key = rig.client_key().unwrap();
        let asked = "system/Patient.read+system/Observation.write";
        let (status, headers, body) = token(ehr, pki, key, asked, "1").await;
        assert_eq!((status, &body["scope"]), (200, &json!("system/Patient.read")), "{body}");
        assert!(headers.contains("cache-control: no-store"), "{headers}");
        assert!(headers.contains("content-type: application/json\r\n"), "{headers}");
        let bearer = format!(
            "\r\nAuthorization: Bearer {}\r\nEpic-Client-ID: app",
            body["access_token"].as_str().unwrap()
        );
        let search = "/fhir/Patient?identifier=urn:oid:1.2.3|77&birthdate=1980-02-29";
        let (status, _, found) = get(ehr, pki, search, &bearer).await;
        assert_eq!((status, &found["total"]), (200, &json!(1)));
        let (status, headers, _) = post(ehr, pki, "/fhir/Observation", &bearer, &result("x")).await.unwrap();
        assert!(status == 403 && headers.contains("insufficient_scope"), "{headers}");
        ehr.expire_tokens();
        let (status, headers, _) = get(ehr, pki, search, &bearer).await;
        assert!(status == 401 && headers.contains("www-authenticate: bearer"), "{headers}");
        let next = ClientKey::make(Algorithm::Es384, "next").unwrap();
        assert_eq!(token(ehr, pki, &next, asked, "2").await.0, 401);
        assert!(rig.register_keys("app", &[&next]).unwrap());
        assert_eq!(token(ehr, pki, &next, asked, "3").await.0, 200);
        assert_eq!(token(ehr, pki, key, asked, "4").await.0, 401);
        assert!(ehr.set_granted("app", &["system/Observation.write"]));
        assert_eq!(token(ehr, pki, &next, asked, "5").await.2["scope"], "system/Observation.write");
        ehr.set_clock_offset(SignedDuration::from_secs(-3_600));
        let (status, headers, body) = token(ehr, pki, &next, asked, "6").await;
        assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
        let dates = headers.matches("\r\ndate: ").count();
        assert_eq!(dates, 1, "the server's own clock alone is told: {headers}");
    }
}

#[tokio::test]
async fn certificates_are_required_optional_or_not_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Pki::create(elsewhere.path()).unwrap();
    for (asked, ours, theirs, none) in [
        (ClientCertificates::Required, true, false, false),
        (ClientCertificates::Optional, true, false, true),
        (ClientCertificates::Off, true, true, true),
    ] {
        let settings = EhrSettings { client_certificates: asked, ..EhrSettings::ehr(&pki) };
        let ehr = Ehr::start(settings).await.unwrap();
        let clients: [(Option<&Identity>, bool); 3] =
            [(Some(&pki.client), ours), (Some(&stranger.client), theirs), (None, none)];
        for (client, expected) in clients {
            let got = wire::call(ehr.addr(), &pki.ca, client, "GET /fhir/metadata HTTP/1.1", "").await;
            assert_eq!(matches!(got, Ok(Some((200, _, _)))), expected, "{asked:?} {client:?}");
        }
    }
}
