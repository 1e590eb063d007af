//! One request by chance: valid, half valid, or mad; made from what the server says that it has and what it has answered.

use axum::http::{HeaderValue, Uri};
use serde_json::{Value, json};

use super::{dice::Dice, known::Known, mutate, query, templates};

/// Stands as a value in requests, never as a name; no refusal and no log may repeat it.
pub const WORD: &str = "Wobblethwaite";
/// Stands as a name of what does not exist; a refusal may say where it stands, a log may not.
pub const NAME: &str = "Namesworthy";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The rig's own client, an operator, by its certificate.
    Operator,
    /// An operator by a token that is confined to one patient.
    Confined,
    /// Nobody.
    Stranger,
}

/// A request.
#[derive(Clone)]
pub struct Request {
    pub who: Who,
    pub method: &'static str,
    /// As it goes out.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// Whether it is a create or an update.
    pub writes: bool,
}

impl Request {
    /// The bytes that go out; `host` and `Content-Length` are put in.
    pub fn bytes(&self, authorization: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.who == Who::Confined {
            head.push_str(authorization);
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }

    /// Whether it is HTTP at all: what is not is answered by the HTTP layer, which knows no OperationOutcome.
    pub fn is_http(&self) -> bool {
        let is_uri = self.target.parse::<Uri>().is_ok() && !self.target.contains([' ', '\t', '#']);
        is_uri && self.headers.iter().all(|(_, value)| HeaderValue::from_bytes(value.as_bytes()).is_ok())
    }

    /// Base, kind and so on, decoded as far as a well-behaved client encodes; empty where it is no path of ours.
    pub fn segments(&self) -> Vec<String> {
        let path = self.target.split(['?', '#']).next().unwrap_or_default();
        let path = path.replace("%24", "$");
        let mut parts = path.trim_matches('/').split('/').map(str::to_owned);
        if parts.next().as_deref() != Some("fhir") {
            return Vec::new();
        }
        let mut parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
        if matches!(parts.first().map(String::as_str), Some("r4" | "r5")) {
            parts.remove(0);
        }
        parts
    }

    /// The release of its body.
    pub fn release(&self) -> &'static str {
        let is_r5 = |(name, value): &(String, String)| {
            name.eq_ignore_ascii_case("content-type") && value.contains("fhirVersion=5.0")
        };
        let by_path =
            ["r4", "r5"].into_iter().find(|release| self.target.starts_with(&format!("/fhir/{release}")));
        by_path.unwrap_or(if self.headers.iter().any(is_r5) { "r5" } else { "r4" })
    }

    /// For a person who has to look at it.
    pub fn told(&self) -> String {
        let bytes = self.bytes("");
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(6_000)]).into_owned();
        format!("{:?}, {} bytes:\n{shown}", self.who, bytes.len())
    }
}

/// Makes requests.
pub struct Maker<'a> {
    pub dice: Dice,
    pub known: &'a Known,
    /// Makes identifiers that nobody else makes.
    pub number: u64,
}

impl Maker<'_> {
    /// The next one.
    pub fn request(mut self) -> Request {
        let is_r5 = self.dice.once_in(3);
        let base = match (self.dice.below(30), is_r5) {
            (0, _) => self.dice.one(&["/fhirx", "/", "/fhir/r6", "/FHIR"]),
            (1, true) => "/fhir/r4",
            (_, true) => "/fhir/r5",
            (2..15, false) => "/fhir/r4",
            (_, false) => "/fhir",
        };
        let mut request = match self.dice.below(100) {
            0..25 => self.search(),
            25..36 => self.read(),
            36..58 => self.create(is_r5),
            58..68 => self.update(is_r5),
            68..80 => self.bundle(is_r5),
            80..84 => self.validate(is_r5),
            84..90 => self.operation(is_r5),
            90..92 => self.of("GET", "metadata".to_owned(), None),
            92..94 => self.followed(),
            _ => self.stray(is_r5),
        };
        if !request.target.starts_with('/') {
            request.target = format!("{base}/{}", request.target);
        }
        let who = self.dice.below(10);
        request.who = match who {
            0 => Who::Stranger,
            1..4 => Who::Confined,
            _ => Who::Operator,
        };
        self.headers(&mut request, is_r5);
        if self.dice.once_in(40) {
            request.target = self.torn(&request.target);
        }
        request
    }

    pub(super) fn of(&mut self, method: &'static str, target: String, body: Option<Vec<u8>>) -> Request {
        Request { who: Who::Operator, method, target, headers: Vec::new(), body, writes: false }
    }

    /// A reference to what is there, to what is not, or to nothing.
    pub(super) fn reference(&mut self, kind: Option<&str>) -> String {
        match self.dice.below(12) {
            0 => "Patient/1-00000001".to_owned(),
            1 => self
                .dice
                .one(&["Patient/none", "#p", "urn:uuid:x", "http://other.example/Patient/1", ""])
                .to_owned(),
            _ => {
                self.known.reference(kind, &mut self.dice).unwrap_or_else(|| "Patient/1-00000001".to_owned())
            }
        }
    }

    pub(super) fn kind(&mut self) -> &'static str {
        match self.dice.below(20) {
            0 => "AuditEvent",
            1 => self.dice.one(&["Encounter", "patient", "Bundle", "OperationOutcome", WORD, "Medication"]),
            _ => self.dice.one(&templates::KINDS),
        }
    }

    pub(super) fn resource(&mut self, kind: &str, is_r5: bool) -> Value {
        let patient = self.reference(Some("Patient"));
        let target = self.reference(None);
        templates::sound(kind, is_r5, &patient, &target, self.number, WORD)
    }

    /// How far from sound.
    fn wear(&mut self) -> usize {
        match self.dice.below(10) {
            0..6 => 0,
            6..9 => 1,
            _ => 6,
        }
    }

    fn search(&mut self) -> Request {
        let kind = self.kind();
        let query = query::query(kind, self.known, &mut self.dice);
        let within =
            if self.dice.once_in(10) { self.reference(Some("Patient")) + "/" } else { String::new() };
        if self.dice.once_in(6) {
            let mut request = self.of("POST", format!("{kind}/_search"), Some(query.into_bytes()));
            request.headers.push(("Content-Type".into(), "application/x-www-form-urlencoded".into()));
            return request;
        }
        self.of("GET", format!("{within}{kind}?{query}"), None)
    }

    fn read(&mut self) -> Request {
        let reference = self.reference(None);
        let method = if self.dice.once_in(8) { "HEAD" } else { "GET" };
        let target = match self.dice.below(8) {
            0 => format!("{reference}/_history"),
            1 => format!("{reference}/_history?_count={}", query::number(&mut self.dice)),
            2 => format!(
                "{reference}/_history?{}={}",
                self.dice.one(&["_before", "_since", "_at"]),
                query::number(&mut self.dice)
            ),
            3 => format!("{reference}/_history/{}", query::number(&mut self.dice)),
            4 => format!(
                "{reference}?_format={}",
                self.dice.one(&["json", "xml", "application/fhir%2Bjson", WORD])
            ),
            _ => reference,
        };
        self.of(method, target, None)
    }

    fn create(&mut self, is_r5: bool) -> Request {
        let kind = self.kind();
        let of = if self.dice.once_in(20) { self.kind() } else { kind };
        let resource = self.resource(of, is_r5);
        let wear = self.wear();
        let body = mutate::changed(resource, wear, &mut self.dice, WORD);
        let mut request = self.of("POST", kind.to_owned(), Some(body));
        request.writes = true;
        if self.dice.once_in(3) {
            let condition = match self.dice.below(4) {
                0 => query::query(kind, self.known, &mut self.dice),
                1 => String::new(),
                _ => format!("identifier={}%7C{kind}-{}", templates::SYSTEM, self.number),
            };
            request.headers.push(("If-None-Exist".into(), condition));
        }
        request
    }

    fn update(&mut self, is_r5: bool) -> Request {
        let kind = self.kind();
        let reference = self.reference(Some(kind));
        let id = reference.split('/').nth(1).unwrap_or_default().to_owned();
        // Mostly what stands there, with a change: anything else changes what the resource is about.
        let standing = self.known.body(&reference).filter(|_| !self.dice.once_in(4));
        let mut resource = standing.unwrap_or_else(|| self.resource(kind, is_r5));
        resource["id"] = json!(id);
        let place = self.dice.one(&["language", "implicitRules", "status", "note", "title"]);
        if self.dice.once_in(2) {
            resource[place] = json!(self.dice.one(&["en", "final", "amended", "entered-in-error", WORD]));
        }
        let wear = self.wear();
        let body = mutate::changed(resource, wear, &mut self.dice, WORD);
        let target = if self.dice.once_in(20) { format!("{kind}/none") } else { reference };
        let mut request = self.of("PUT", target, Some(body));
        request.writes = true;
        if self.dice.once_in(3) {
            let tag = query::tag(&mut self.dice);
            request.headers.push(("If-Match".into(), tag));
        }
        request
    }

    fn bundle(&mut self, is_r5: bool) -> Request {
        let entries = if self.dice.once_in(40) { 1_100 } else { self.dice.below(6) };
        let mut all = Vec::new();
        for at in 0..entries.min(1_001) {
            if at > 5 {
                all.push(json!({ "request": { "method": "GET", "url": "metadata" } }));
                continue;
            }
            self.number += 1_000_000_000;
            let inner = match self.dice.below(5) {
                0 => self.search(),
                1 => self.read(),
                2 => self.update(is_r5),
                _ => self.create(is_r5),
            };
            let mut entry = json!({ "request": { "method": inner.method, "url": inner.target } });
            if let Some(body) =
                inner.body.as_deref().and_then(|body| serde_json::from_slice::<Value>(body).ok())
            {
                entry["resource"] = body;
                entry["fullUrl"] = json!(format!("urn:uuid:0b1f8a60-0000-4000-8000-{:012x}", at));
            }
            if at > 0 && self.dice.once_in(3) && entry["resource"]["subject"].is_object() {
                entry["resource"]["subject"]["reference"] =
                    json!("urn:uuid:0b1f8a60-0000-4000-8000-000000000000");
            }
            for (name, value) in &inner.headers {
                match name.as_str() {
                    "If-Match" => entry["request"]["ifMatch"] = json!(value),
                    "If-None-Exist" => entry["request"]["ifNoneExist"] = json!(value),
                    _ => {}
                }
            }
            all.push(entry);
        }
        let form =
            self.dice.one(&["batch", "transaction", "batch", "transaction", "collection", "searchset", WORD]);
        let bundle = json!({ "resourceType": "Bundle", "type": form, "entry": all });
        let wear = if self.dice.once_in(3) { self.wear() } else { 0 };
        let body = mutate::changed(bundle, wear, &mut self.dice, WORD);
        self.of("POST", String::new(), Some(body))
    }

    fn validate(&mut self, is_r5: bool) -> Request {
        let kind = self.kind();
        let resource = self.resource(kind, is_r5);
        let wear = self.wear();
        let body = mutate::changed(resource, wear, &mut self.dice, WORD);
        self.of("POST", format!("{kind}/$validate"), Some(body))
    }

    fn operation(&mut self, is_r5: bool) -> Request {
        let patient = self.reference(Some("Patient"));
        let days = query::number(&mut self.dice);
        let date = query::date(&mut self.dice);
        match self.dice.below(6) {
            0 => self.of("GET", format!("{patient}/$everything?_count={days}"), None),
            1 => {
                let (one, two) = (self.kind(), self.kind());
                self.of("GET", format!("{patient}/$everything?start={date}&_type={one},{two}"), None)
            }
            2 => self.of("GET", format!("{patient}/$outcomes?days={days}&end={date}"), None),
            3 => {
                self.of("GET", format!("{patient}/$outcomes?start=2026-03-01&end={date}&policy={WORD}"), None)
            }
            4 => {
                let parameters = json!({ "resourceType": "Parameters", "parameter": [
                    { "name": "days", "valueInteger": 14 }, { "name": "end", "valueDate": date },
                ] });
                let wear = self.wear();
                let body = mutate::changed(parameters, wear, &mut self.dice, WORD);
                self.of("POST", format!("{patient}/$outcomes"), Some(body))
            }
            _ => {
                let entries: Vec<Value> = (0..self.dice.below(4))
                    .map(|_| {
                        self.number += 1_000_000_000;
                        json!({ "resource": templates::sound("Observation", is_r5, &patient, "", self.number, WORD) })
                    })
                    .collect();
                let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
                let wear = self.wear();
                let body = mutate::changed(bundle, wear, &mut self.dice, WORD);
                self.of("POST", "$submit-cgm-bundle".to_owned(), Some(body))
            }
        }
    }

    /// A link that the server gave, as it is or altered.
    fn followed(&mut self) -> Request {
        let Some(mut target) = self.known.link(&mut self.dice) else { return self.search() };
        if self.dice.once_in(2)
            && let Some(at) = target.find("_cursor=")
        {
            let at = at + "_cursor=".len();
            match self.dice.below(4) {
                0 => target.truncate(at),
                1 => target.insert(at, 'A'),
                2 => target.replace_range(
                    at..,
                    self.dice.one(&["AAAA", "%00", "..", "0.", "99999.x", "-1.x", WORD]),
                ),
                _ => {
                    let at = at + self.dice.below(target.len() - at);
                    if target.is_char_boundary(at) {
                        target.truncate(at);
                    }
                }
            }
        }
        self.of("GET", target, None)
    }
}
