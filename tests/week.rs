//! A week of a simulated site, compressed in time: a seeded schedule of data, late data, outages, throttling, refusals,
//! lost answers, slow answers, lost tokens, new keys, reloads, withdrawals and grants of consent, stops and kills. What
//! ends open is put right at last; then every permitted write stands once with the right numbers, and nothing arrived that
//! was not permitted. The oracle here knows which readings were sent and adds them up; it shares no code with the product.
//!
//! `ISTHMUS_WEEK_SEED` plays one seed, `ISTHMUS_WEEK_SEEDS` so many one after the other (one unless told otherwise),
//! `ISTHMUS_WEEK_EVENTS` as many events each. A failure names its seed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; the seed is told"
)]

mod site;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use site::{chart, daily, edit_site, people, send, until, with_delivery};
use standin::{
    Act, ClientKey, Conduct, EffectKind, Play, Refused, RetryAfter, Rule, SmartSettings,
    rig::{CLIENT_KEY_FILE, Registration, Rig, RigSettings},
    smart::Algorithm,
};

const CLIENT: &str = "box-week";
const PATIENTS: u32 = 6;
/// Of these only the newest day gets more data, so that their days can be told to have come in order: what waits for an
/// older day is replaced by the version that later data make, which takes its place behind what came meanwhile.
const IN_ORDER: u32 = 3;
const DAYS: u32 = 7;
/// A day's data come in blocks of an hour; a block is sent once, and every value is the block's own.
const BLOCKS: u32 = 20;
/// What a request may take after its consent was withdrawn: it was on its way.
const UNDER_WAY_MS: f64 = 1_500.0;
/// How long the end may take: everything that was held back goes out then.
const END: Duration = Duration::from_secs(120);

/// A number of the environment.
fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The same numbers for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u32) -> u32 {
        u32::try_from(self.next() % u64::from(most)).unwrap()
    }
}

/// What was sent, by patient and day: the value of each block.
type Sent = BTreeMap<(u32, u32), BTreeMap<u32, u32>>;

/// A span of the EHR's own clock in ms in which something was not permitted; open while it has no end.
struct Span {
    from: f64,
    to: Option<f64>,
}

impl Span {
    fn holds(&self, at: f64) -> bool {
        at > self.from && self.to.is_none_or(|to| at < to)
    }
}

struct Week {
    rig: Rig,
    dice: Dice,
    sent: Sent,
    /// The last day that has begun, by patient.
    days: BTreeMap<u32, u32>,
    shut: Vec<Span>,
    withdrawn: BTreeMap<u32, Vec<Span>>,
    ehr_is_down: bool,
    keys: u32,
    messages: u32,
}

fn date(day: u32) -> String {
    format!("2026-03-{:02}", day + 1)
}

fn now_ms(rig: &Rig) -> f64 {
    rig.ehr.elapsed().as_secs_f64() * 1e3
}

impl Week {
    async fn begun(dir: &std::path::Path, seed: u64) -> Self {
        let form = if seed.is_multiple_of(2) { "cgm-ig" } else { "plain-r4" };
        let conduct = Conduct {
            smart: Some(SmartSettings::of("nobody", serde_json::json!({"keys": []}))),
            ..Conduct::default()
        };
        let auth = format!(
            "[ehr.auth]\nclient_id = \"{CLIENT}\"\nkey_file = \"../{CLIENT_KEY_FILE}\"\nkid = \"rig-1\"\n"
        );
        let settings = RigSettings {
            projection: form.to_owned(),
            conduct,
            registration: Some(Registration::of(CLIENT)),
            probe_interval: "300ms".to_owned(),
            site_extra: auth,
            ..daily()
        };
        let mut rig = site::prepare(dir, settings).await;
        with_delivery(&rig, "timeout = \"1s\"\nretry_min = \"50ms\"\nretry_max = \"400ms\"");
        rig.start().await.unwrap();
        println!("week: seed {seed}, {form}");
        Self {
            rig,
            dice: Dice(seed),
            sent: Sent::new(),
            days: BTreeMap::new(),
            shut: Vec::new(),
            withdrawn: BTreeMap::new(),
            ehr_is_down: false,
            keys: 1,
            messages: 0,
        }
    }

    /// One thing that happens.
    async fn event(&mut self) {
        // Nothing is shut for long: most of what happens should meet a site that is at work.
        if self.ehr_is_down && self.dice.below(4) == 0 {
            self.outage().await;
        }
        if self.is_shut() && self.dice.below(6) == 0 {
            self.mode().await;
        }
        if self.dice.below(8) == 0 {
            self.stand(Play::Accept);
        }
        match self.dice.below(100) {
            0..50 => self.data().await,
            50..54 => self.stand(Play::Accept),
            54..57 => self.stand(Play::RefuseWrites),
            57..59 => self.stand(Play::Unavailable503),
            59..62 => self.next(Play::Throttle(RetryAfter::Seconds(1))),
            62..64 => self.next(Play::Throttle(RetryAfter::Epoch(1))),
            64..69 => self.next(Play::ResetAfterBody),
            69..72 => self.next(Play::ResetBeforeEffect),
            72..74 => self.next(Play::Slow(Duration::from_millis(1_400))),
            74..76 => self.next(Play::Unauthorized401),
            76..78 => self.category(),
            78..81 => self.outage().await,
            81..84 => self.rig.ehr.expire_tokens(),
            84..86 => self.rotate().await,
            86..90 => self.mode().await,
            90..94 => self.consent().await,
            94..97 => self.restart(true).await,
            _ => self.restart(false).await,
        }
        let pause = u64::from(self.dice.below(60));
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    fn stand(&self, play: Play) {
        self.rig.ehr.play(play);
    }

    fn next(&self, play: Play) {
        self.rig.ehr.play_next(play, 1);
    }

    /// An hour of somebody's day, of the newest that has begun or of one before it; or the next day begins.
    async fn data(&mut self) {
        let patient = self.dice.below(PATIENTS);
        let newest = self.days.get(&patient).copied();
        let begins = newest.is_none_or(|day| day + 1 < DAYS && self.dice.below(3) == 0);
        let day = match (newest, begins) {
            (None, _) => 0,
            (Some(day), true) => day + 1,
            (Some(day), false) if patient < IN_ORDER => day,
            (Some(day), false) => self.dice.below(day + 1),
        };
        if begins {
            // Days are published in their order only where the one before was published before the next began.
            until(&self.rig, "what came is published", |s| {
                s["inbox"]["windows_due"] == 0 && s["inbox"]["pending"] == 0
            })
            .await;
            self.days.insert(patient, day);
        }
        let blocks = self.sent.entry((patient, day)).or_default();
        let Some(block) = (0..BLOCKS).find(|block| !blocks.contains_key(block)) else { return };
        let value = 60 + self.dice.below(140);
        blocks.insert(block, value);
        self.messages += 1;
        let readings = people::readings(people::day(&date(day)), i64::from(block) * 12, &[value; 12]);
        let message = people::message(&format!("W{}", self.messages), &people::person(patient), &readings);
        send(&self.rig, &[message]).await;
    }

    /// The EHR refuses results, and not what says where they are from; or takes them again.
    fn category(&self) {
        if !self.rig.ehr.withdraw("no-results") {
            let refused = Act::Refuse(Refused::new(403, "forbidden"));
            self.rig.ehr.rule(Rule::new("no-results", refused).of_category("laboratory"));
        }
    }

    async fn outage(&mut self) {
        if self.ehr_is_down {
            self.rig.ehr.listen_again().await.unwrap();
        } else {
            self.rig.ehr.stop();
        }
        self.ehr_is_down = !self.ehr_is_down;
    }

    /// The next key is registered, the daemon told, the old one withdrawn.
    async fn rotate(&mut self) {
        let old = format!("rig-{}", self.keys);
        self.keys += 1;
        let key = ClientKey::make(Algorithm::Es384, &format!("rig-{}", self.keys)).unwrap();
        self.rig.register_keys(CLIENT, &[&key]).unwrap();
        let file = |kid: &str| if kid == "rig-1" { CLIENT_KEY_FILE.to_owned() } else { format!("{kid}.key") };
        let new = format!("rig-{}", self.keys);
        key.write(&self.rig.dir().join(file(&new))).unwrap();
        let lines = |kid: &str| format!("key_file = \"../{}\"\nkid = \"{kid}\"", file(kid));
        edit_site(&self.rig, &lines(&old), &lines(&new));
        self.rig.ehr.expire_tokens();
    }

    fn is_shut(&self) -> bool {
        self.shut.last().is_some_and(|span| span.to.is_none())
    }

    /// The site's file permits writes no more, or again.
    async fn mode(&mut self) {
        if self.is_shut() {
            self.shut.last_mut().unwrap().to = Some(now_ms(&self.rig));
            edit_site(&self.rig, "mode = \"read-only\"", "mode = \"full\"");
            return;
        }
        edit_site(&self.rig, "mode = \"full\"", "mode = \"read-only\"");
        until(&self.rig, "the file is taken up", |s| s["sites"][0]["mode"] == "read-only").await;
        // The EHR may have closed it before the file did. What was leased at the moment of the reload may finish.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        self.shut.push(Span { from: now_ms(&self.rig), to: None });
    }

    /// Somebody withdraws, or grants again with what was held meanwhile.
    async fn consent(&mut self) {
        let patient = self.dice.below(PATIENTS);
        if !self.days.contains_key(&patient) {
            return;
        }
        until(&self.rig, "the patient is known", |s| s["inbox"]["pending"] == 0).await;
        let spans = self.withdrawn.entry(patient).or_default();
        match spans.last_mut().filter(|span| span.to.is_none()) {
            Some(span) => {
                span.to = Some(now_ms(&self.rig));
                decide(&self.rig, "grant", patient, &["--including-past"]);
            }
            None => {
                decide(&self.rig, "withdraw", patient, &[]);
                let from = now_ms(&self.rig) + UNDER_WAY_MS;
                self.withdrawn.get_mut(&patient).unwrap().push(Span { from, to: None });
            }
        }
    }

    async fn restart(&mut self, clean: bool) {
        if clean {
            assert!(self.rig.stop().await.unwrap().success());
        } else {
            self.rig.kill();
        }
        self.rig.start().await.unwrap();
    }

    /// Everything that stood in the way is put right, and what waited goes out.
    async fn end(&mut self) -> Value {
        self.rig.ehr.play(Play::Accept);
        self.rig.ehr.withdraw("no-results");
        if self.ehr_is_down {
            self.outage().await;
        }
        if self.is_shut() {
            self.mode().await;
        }
        for patient in 0..PATIENTS {
            let open = self.withdrawn.get_mut(&patient).and_then(|spans| spans.last_mut());
            if let Some(span) = open.filter(|span| span.to.is_none()) {
                span.to = Some(now_ms(&self.rig));
                decide(&self.rig, "grant", patient, &["--including-past"]);
            }
        }
        match self.rig.until_settled(END).await {
            Ok(status) => status,
            Err(error) => panic!("{error}: {:#}", self.rig.status().await.unwrap_or_default()),
        }
    }

    /// What is there is what was sent, added up, each once; and nothing came when it was not permitted.
    fn judge(&self, status: &Value) {
        assert_eq!(status["outbox"]["quarantined"], 0, "{status:#}");
        // Fails where a number stands twice.
        let standing = chart::numbers(&self.rig.ehr);
        let windows: BTreeSet<(String, String)> =
            standing.keys().map(|[mrn, _, _, end]| (mrn.clone(), end.clone())).collect();
        let wanted: BTreeSet<(String, String)> =
            self.sent.keys().map(|(patient, day)| (people::person(*patient).mrn, date(*day))).collect();
        assert_eq!(windows, wanted, "{status:#}");
        for ((patient, day), blocks) in &self.sent {
            let mrn = people::person(*patient).mrn;
            let count = blocks.len() as f64;
            let mean = blocks.values().map(|value| f64::from(*value)).sum::<f64>() / count;
            let inside = blocks.values().filter(|value| (70..=180).contains(*value)).count() as f64;
            let told = chart::mean(&self.rig.ehr, &mrn, &date(*day)).unwrap();
            assert!((told.value - mean).abs() <= 0.0051, "{mrn} {}: {told:?}, sent {mean}", date(*day));
            let share = chart::in_target(&self.rig.ehr, &mrn, &date(*day)).unwrap();
            // Shares are rounded so that they add up: one may be a hundredth off.
            assert!((share - inside * 100.0 / count).abs() <= 0.0151, "{mrn} {}: {share}", date(*day));
        }
        let judgement = self.rig.ehr.judge();
        assert_eq!(
            (judgement.doubled, judgement.repeated_facts, judgement.leaks),
            (0, 0, 0),
            "{judgement:?}"
        );
        self.judge_order();
        for record in chart::writes(&self.rig.ehr) {
            assert!(
                !self.shut.iter().any(|span| span.holds(record.at_ms)),
                "not permitted then: {record:#?}"
            );
            for effect in &record.effects {
                for (patient, spans) in &self.withdrawn {
                    let about = effect.patients.contains(&people::person(*patient).mrn);
                    let denied = spans.iter().any(|span| span.holds(record.at_ms));
                    assert!(!about || !denied, "without consent: {record:#?}");
                }
            }
        }
    }
}

impl Week {
    /// Nobody's day came before the day before it; what a withdrawal held came with the grant.
    fn judge_order(&self) {
        for patient in (0..IN_ORDER).filter(|patient| !self.withdrawn.contains_key(patient)) {
            let mrn = people::person(patient).mrn;
            let mut latest: BTreeMap<String, String> = BTreeMap::new();
            for record in chart::writes(&self.rig.ehr) {
                for effect in record
                    .effects
                    .iter()
                    .filter(|effect| effect.kind == EffectKind::Created && effect.patients.contains(&mrn))
                {
                    let Some(day) = effect.day.clone() else { continue };
                    let before =
                        latest.insert(format!("{} {}", effect.resource_type, effect.code), day.clone());
                    assert!(before.is_none_or(|before| before <= day), "{mrn}: {record:#?}");
                }
            }
        }
    }
}

/// Writes a decision into the consent ledger.
fn decide(rig: &Rig, verb: &str, patient: u32, more: &[&str]) {
    let whom = format!("urn:oid:1.2.3|{}", people::person(patient).mrn);
    let mut command = Command::new(site::binary());
    command.args([
        "consent",
        verb,
        "--patient",
        &whom,
        "--purpose",
        "treatment",
        "--by",
        "desk",
        "--reason",
        "form 12",
    ]);
    let output = command.args(more).arg("--config").arg(rig.config()).output().unwrap();
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_a_site_ends_with_every_permitted_write_made_once() {
    let first =
        told("ISTHMUS_WEEK_SEED").unwrap_or_else(|| jiff::Timestamp::now().as_second().unsigned_abs());
    let events = told("ISTHMUS_WEEK_EVENTS").unwrap_or(200);
    for seed in first..first + told("ISTHMUS_WEEK_SEEDS").unwrap_or(1) {
        let dir = tempfile::tempdir().unwrap();
        let began = std::time::Instant::now();
        let mut week = Week::begun(dir.path(), seed).await;
        for _ in 0..events {
            week.event().await;
        }
        let status = week.end().await;
        week.judge(&status);
        println!(
            "week: seed {seed}: {} messages, {:?}, {:.0} s",
            week.messages,
            week.rig.ehr.judge(),
            began.elapsed().as_secs_f64()
        );
    }
}
