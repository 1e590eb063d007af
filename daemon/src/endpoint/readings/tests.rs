//! Walks over a real store: sensors side by side, instants that they share, days without any, and stored Observations between
//! them.

use clinical::{
    chunk::Chunk,
    glucose::Glucose,
    reading::{Device, Instant, Reading, Route, Standing},
};
use fhir::search::{Context, Handling, Query, terms};
use outbox::{
    Absorb, ChunkWrite, Key, NewVersion, PatientKey, Placed, PutResources, ResourceId, Store, StoreOptions,
    VersionBody,
};
use serde_json::json;

use super::{
    super::{bounds::Bounds, key},
    *,
};
use crate::time;

const SECRET: SiteSecret = SiteSecret::new([7; 32]);
const MINUTE: i64 = Instant::MINUTE_MS;
/// 2026-03-02, in days since 1970.
const DAY: i32 = 20_514;
/// Days of the two patients whose pages are timed: enough that a walk which reads them all is told from one that does not.
const WORN: i32 = 60;

struct Rig {
    _dir: tempfile::TempDir,
    store: Store,
    patient: i64,
    id: ResourceId,
}

fn reading(device: &str, at: i64, value: i32) -> (Device, Reading) {
    let reading = Reading {
        time: Instant(at),
        offset_minutes: Some(60),
        tz_ambiguous: false,
        glucose: Glucose::mg_dl(value),
        standing: Standing::Final,
        route: Route::Hl7v2,
        // Of the device and the time, as a source's own.
        identity: (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ device.len() as u64,
        made_at: Instant(at),
        message: 1,
    };
    (Device(device.to_owned()), reading)
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
        let writer = store.writer();
        let name = PatientKey { site: "main".into(), system: "urn:p".into(), value: "7".into() };
        let patient = writer.patients(vec![name]).wait().unwrap()[0];
        let id = writer.new_resource(9);
        let json = json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:p", "value": "7" }] });
        let this = Self { _dir: dir, store, patient, id };
        this.put(Kind::Patient, id, &json, Some(outbox::Shows::Part(Shown::Patient, patient, String::new())));
        this
    }

    fn put(&self, kind: Kind, id: ResourceId, json: &serde_json::Value, shows: Option<outbox::Shows>) {
        let indexed = terms(kind, json);
        let version = NewVersion {
            id,
            site: "main".to_owned(),
            kind: kind.name().to_owned(),
            release: "r4".to_owned(),
            body: VersionBody::Made(json.to_string().into_bytes()),
            span: (indexed.from_ms, indexed.until_ms),
            keys: indexed.terms.iter().map(|term| key::key("main", kind, term)).collect(),
            expected: None,
            shows,
        };
        let put = PutResources { versions: vec![version], at: 1_000, ..PutResources::default() };
        assert!(matches!(self.store.writer().serve_resources(put).wait().unwrap(), Placed::Done(_)));
    }

    /// A stored Observation of an instant.
    fn stores(&self, at: i64) {
        let json = json!({
            "resourceType": "Observation", "status": "final",
            "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
            "subject": { "reference": self.subject() }, "effectiveDateTime": time::instant(at),
        });
        self.put(Kind::Observation, self.store.writer().new_resource(3), &json, None);
    }

    /// Merges readings into their chunks, as the pipeline does.
    fn takes(&self, readings: &[(Device, Reading)]) {
        let mut chunks: std::collections::BTreeMap<(i32, &Device), Vec<Reading>> = Default::default();
        for (device, reading) in readings {
            chunks.entry((reading.time.utc_day(), device)).or_default().push(*reading);
        }
        let write = |((day, device), readings): ((i32, &Device), Vec<Reading>)| {
            let stands =
                self.store.readers().with(|reader| reader.chunk(self.patient, &device.0, day)).unwrap();
            let mut chunk =
                stands.as_ref().map_or_else(Chunk::new, |stands| Chunk::decode(&stands.body).unwrap());
            chunk.merge(readings);
            ChunkWrite {
                patient: self.patient,
                device: device.0.clone(),
                day,
                expected_version: stands.map_or(0, |stands| stands.version),
                count: chunk.len() as u32,
                body: chunk.encode(),
            }
        };
        let chunks = chunks.into_iter().map(write).collect();
        self.store.writer().absorb(Absorb { chunks, ..Absorb::default() }).wait().unwrap();
    }

    fn subject(&self) -> String {
        format!("Patient/{}", key::id_of(self.id))
    }

    fn query(&self, more: &[(&str, String)]) -> Query {
        let mut parameters = vec![("patient".to_owned(), self.subject())];
        parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Query::parse(Kind::Observation, &parameters, Handling::Strict, &Context::default()).unwrap().query
    }

    fn page(&self, query: &Query) -> Page {
        let search = Search { site: "main", query, bounds: &Bounds::All, secret: Some(&SECRET) };
        let reader = self.store.readers().get().unwrap();
        search.page(&reader).unwrap_or_else(|refusal| panic!("{}", refusal.status))
    }

    /// Every page of a search; `between` is called after each. The times and ids, in order.
    fn walk(&self, parameters: &[(&str, String)], mut between: impl FnMut()) -> Vec<(i64, String)> {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut parameters = parameters.to_vec();
            parameters.extend(cursor.map(|cursor| ("_cursor", cursor)));
            let query = self.query(&parameters);
            let page = self.page(&query);
            assert!(page.hits.len() <= query.count() as usize);
            seen.extend(
                page.hits
                    .iter()
                    .map(|hit| (fhir::search::starts(Kind::Observation, &hit.value()), hit.stored.id())),
            );
            let Some(next) = page.next else { return seen };
            cursor = Some(next.text(&query));
            between();
        }
    }
}

#[test]
fn pages_of_any_size_have_every_reading_once_in_order_across_sensors_days_and_equal_instants() {
    let rig = Rig::new();
    let start = i64::from(DAY) * Instant::DAY_MS;
    let mut instants = Vec::new();
    // Two sensors, the second of which shares every other instant; a gap of weeks; the turn of days; before 1970.
    for day in [0, 1, 2, 40] {
        for place in 0..6 {
            let at = start + i64::from(day) * Instant::DAY_MS + place * 240 * MINUTE;
            instants.push(("a", at));
            instants.push(("bb", at + (place % 2) * MINUTE));
        }
    }
    instants.push(("a", start - 1));
    instants.push(("a", -5 * MINUTE - 1));
    let readings: Vec<_> = instants.iter().map(|(device, at)| reading(device, *at, 100)).collect();
    rig.takes(&readings);
    let stored = [start, start + MINUTE, start + 39 * Instant::DAY_MS, start - MINUTE];
    stored.iter().for_each(|at| rig.stores(*at));
    let mut wanted: Vec<i64> = instants.iter().map(|(_, at)| *at).chain(stored).collect();
    wanted.sort_unstable();

    let whole = rig.walk(&[("_sort", "date".to_owned())], || {});
    assert_eq!(whole.iter().map(|(at, _)| *at).collect::<Vec<_>>(), wanted);
    for count in [1, 2, 3, 7, 29, 30, 31] {
        for sort in ["date", "-date"] {
            let parameters = [("_sort", sort.to_owned()), ("_count", count.to_string())];
            let mut walked = rig.walk(&parameters, || {});
            if sort == "-date" {
                walked.reverse();
            }
            assert_eq!(walked, whole, "{count} {sort}");
        }
    }
    let within = [
        ("date", "ge2026-03-02".to_owned()),
        ("date", "lt2026-03-03".to_owned()),
        ("_count", "5".to_owned()),
    ];
    let day: Vec<i64> = rig.walk(&within, || {}).into_iter().map(|(at, _)| at).rev().collect();
    let within = |at: &i64| (start..start + Instant::DAY_MS).contains(at);
    assert_eq!(day, wanted.iter().copied().filter(within).collect::<Vec<_>>());

    // While somebody pages, more comes to instants before, at and behind the page.
    let mut turn = 0;
    let walked = rig.walk(&[("_count", "4".to_owned())], || {
        turn += 1;
        let at = start + i64::from(turn % 3) * Instant::DAY_MS + i64::from(turn % 6) * 240 * MINUTE;
        rig.takes(&[reading("ccc", at, 120)]);
    });
    assert!(walked.windows(2).all(|pair| pair[0].0 >= pair[1].0), "in order");
    let seen: BTreeSet<&String> = walked.iter().map(|(_, id)| id).collect();
    assert_eq!(seen.len(), walked.len(), "nothing twice");
    assert!(whole.iter().all(|(_, id)| seen.contains(id)), "nothing that stood is missed");
}

#[test]
fn a_total_counts_readings_where_that_is_cheap_and_is_left_out_and_told_where_it_is_not() {
    let rig = Rig::new();
    let start = i64::from(DAY) * Instant::DAY_MS;
    let readings: Vec<_> = (0..30).map(|place| reading("a", start + place * MINUTE, 100)).collect();
    rig.takes(&readings);
    rig.stores(start);
    let total = |more: &[(&str, &str)]| {
        let mut parameters = vec![("_count", "2".to_owned()), ("_total", "accurate".to_owned())];
        parameters.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let page = rig.page(&rig.query(&parameters));
        (page.total, page.issues.len())
    };
    assert_eq!(total(&[]), (Some(31), 0));
    assert_eq!(total(&[("date", "ge2026-03-02T00:20")]), (Some(10), 0));
    assert_eq!(total(&[("code", "http://loinc.org|99504-3"), ("status", "final")]), (Some(31), 0));
    assert_eq!(total(&[("category", "vital-signs")]), (Some(0), 0));
    assert_eq!(total(&[("value-quantity", "gt90")]), (None, 1));
}

#[test]
fn a_page_of_a_patient_with_months_of_readings_reads_the_days_that_it_shows() {
    for (name, step) in [("5-minute", 5), ("1-minute", 1)] {
        let rig = Rig::new();
        let start = i64::from(DAY) * Instant::DAY_MS;
        for day in 0..WORN {
            let day = start + i64::from(day) * Instant::DAY_MS;
            let places = 0..Instant::DAY_MS / MINUTE / step;
            rig.takes(
                &places.map(|place| reading("a", day + place * step * MINUTE, 100)).collect::<Vec<_>>(),
            );
        }
        let asked = |parameters: &[(&str, &str)]| {
            let parameters: Vec<_> =
                parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            rig.query(&parameters)
        };
        let code = ("code", "http://loinc.org|99504-3");
        let tables: [(&str, Query); 5] = [
            ("newest", asked(&[code])),
            ("oldest", asked(&[code, ("_sort", "date")])),
            ("a day in the middle", asked(&[code, ("date", "2026-03-20")])),
            ("another code", asked(&[("code", "http://loinc.org|8867-4")])),
            ("an identifier of somebody else", asked(&[("identifier", "urn:x|1")])),
        ];
        for (what, query) in tables {
            let reader = rig.store.readers().get().unwrap();
            let search = Search { site: "main", query: &query, bounds: &Bounds::All, secret: Some(&SECRET) };
            let plan = query.plan();
            let looked = match walk_of(&search, &reader, &plan).unwrap_or_else(|_| panic!("{what}")) {
                Some(mut walk) => {
                    let found = walk.run(None, None, 51).unwrap_or_else(|_| panic!("{what}"));
                    assert_eq!(found.items.len(), 51, "{name} {what}");
                    walk.looked()
                }
                None => 0,
            };
            let days = if what.contains("code") || what.contains("identifier") { 0 } else { 1 };
            assert!(looked <= days * (1_440 + 64), "{name} {what}: {looked}");
            drop(reader);
            let began = std::time::Instant::now();
            for _ in 0..20 {
                rig.page(&query);
            }
            println!("{name}, {what}: {:?} a page", began.elapsed() / 20);
        }
    }
}
