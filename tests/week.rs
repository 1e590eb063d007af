//! A week of a simulated site, compressed in time: a seeded schedule of data, late data, corrections, a merge, outages,
//! throttling, refusals of everything or of one category, lost answers, slow answers, lost tokens, new keys, reloads, a
//! ceiling that is lowered and raised, withdrawals and grants of consent, stops and kills; in one form that travels in a
//! Bundle, in one that travels alone, in two with a fallback, or as flat results at an EHR that keeps no identifier of ours
//! and takes no conditional create, where a search by patient, code and date is all that tells what stands. What ends open
//! is put right at last; then every permitted write stands once with the right numbers, and nothing arrived that was not
//! permitted. The oracle (`week/judge.rs`) knows what was sent and adds it up, and reads the stand-in's log; it shares no
//! code with the product.
//! `ISTHMUS_WEEK_SEED` plays one seed, `ISTHMUS_WEEK_SEEDS` so many one after the other (one unless told otherwise),
//! `ISTHMUS_WEEK_EVENTS` as many events each. A failure names its seed; with `ISTHMUS_WEEK_KEEP` the site's folder stays, so that
//! its daemon can be started again and asked.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; the seed is told"
)]

#[path = "week/judge.rs"]
mod judge;
mod site;

use std::{collections::BTreeMap, process::Command, time::Duration};

use judge::{Block, Did, Span};
use serde_json::Value;
use site::{daily, edit_site, people, send, until, vendors, with_delivery};
use standin::{
    Act, ClientKey, Conduct, Persona, Play, Refused, RetryAfter, Rule, SmartSettings,
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
/// Whom the merge is of, the survivor first. Their data do not overlap: of a day each has blocks of their own.
const MERGED: (u32, u32) = (4, 5);
/// The first day of the one who is merged away where the EHR moves what stands: no window is both patients'.
const APART: u32 = 4;
/// A lease that was asked for under the former file may be given just after the new one is in force.
const SWITCH_MS: f64 = 250.0;
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

/// What EHRs are written in, by seed.
#[derive(Clone, Copy, PartialEq)]
enum Forms {
    Bundle,
    Alone,
    /// As vital signs; where these are refused, as laboratory results in a Bundle.
    Two,
    /// As flat results at Millennium, of patients who are looked up.
    Flat,
}

impl Forms {
    fn of(seed: u64) -> Self {
        [Self::Bundle, Self::Alone, Self::Two, Self::Flat][(seed % 4) as usize]
    }

    /// The lines of the site's file, in `[ehr]` and at its end.
    fn lines(self) -> (&'static str, &'static str) {
        match self {
            Self::Bundle => ("projection = \"cgm-ig\"\n", ""),
            Self::Alone => ("projection = \"plain-r4\"\n", ""),
            Self::Flat => ("", "[[projection]]\nname = \"millennium-lab\"\nwindow = \"1d\"\n"),
            Self::Two => (
                "",
                "[[projection]]\nname = \"plain-r4\"\ncategory = \"vital-signs\"\n[[projection]]\nname = \"cgm-ig\"\n",
            ),
        }
    }
}

/// What the site's file permits less than everything by.
const CEILINGS: [&str; 2] = ["mode = \"read-only\"", "mode = \"partial\"\nallow = [\"Provenance\"]"];

struct Week {
    rig: Rig,
    dice: Dice,
    forms: Forms,
    /// The EHR's own merge moves what stands.
    ehr_moves: bool,
    did: Did,
    /// The last day that has begun, by patient.
    days: BTreeMap<u32, u32>,
    ceiling: &'static str,
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
        let (forms, ehr_moves) = (Forms::of(seed), (seed / 4).is_multiple_of(2));
        let conduct = Conduct {
            smart: Some(SmartSettings::of("nobody", serde_json::json!({"keys": []}))),
            ..match forms {
                Forms::Flat => vendors::conduct(Persona::Millennium, PATIENTS),
                Forms::Bundle | Forms::Alone | Forms::Two => Conduct::default(),
            }
        };
        let on_merge = if ehr_moves { "ehr-moves" } else { "republish" };
        let auth = format!(
            "on_merge = \"{on_merge}\"\n{}[ehr.auth]\nclient_id = \"{CLIENT}\"\nkey_file = \"../{CLIENT_KEY_FILE}\"\n\
             kid = \"rig-1\"\n",
            forms.lines().1
        );
        let settings = RigSettings {
            conduct,
            registration: Some(Registration::of(CLIENT)),
            probe_interval: "300ms".to_owned(),
            site_extra: auth,
            ..daily()
        };
        let subject = if forms == Forms::Flat { "lookup".to_owned() } else { settings.subject.clone() };
        let settings = RigSettings { subject, ..settings };
        let mut rig = site::prepare(dir, settings).await;
        edit_site(&rig, "projection = \"cgm-ig\"\n", forms.lines().0);
        with_delivery(&rig, "timeout = \"1s\"\nretry_min = \"50ms\"\nretry_max = \"400ms\"");
        rig.start().await.unwrap();
        println!("week: seed {seed}, {:?}, {on_merge}", forms.lines());
        Self {
            rig,
            dice: Dice(seed),
            forms,
            ehr_moves,
            did: Did::default(),
            days: BTreeMap::new(),
            ceiling: CEILINGS[0],
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
            0..46 => self.data().await,
            46..49 => self.correction().await,
            49 => self.merge().await,
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
        let apart = self.ehr_moves && !self.did.merged;
        let (first, end) = match patient {
            _ if !apart => (0, DAYS),
            p if p == MERGED.0 => (0, APART),
            p if p == MERGED.1 => (APART, DAYS),
            _ => (0, DAYS),
        };
        let begins = newest.is_none_or(|day| day + 1 < end && self.dice.below(3) == 0);
        let day = match (newest, begins) {
            (None, _) => first,
            (Some(day), true) => day + 1,
            (Some(day), false) if patient < IN_ORDER => day,
            (Some(day), false) => first.min(day) + self.dice.below(day + 1 - first.min(day)),
        };
        if begins {
            // Days are published in their order only where the one before was published before the next began.
            until(&self.rig, "what came is published", |s| {
                s["inbox"]["windows_due"] == 0 && s["inbox"]["pending"] == 0
            })
            .await;
            self.days.insert(patient, day);
        }
        let half = BLOCKS / 2;
        let blocks = match patient {
            p if p == MERGED.0 => 0..half,
            p if p == MERGED.1 => half..BLOCKS,
            _ => 0..BLOCKS,
        };
        let sent = self.did.sent.entry((patient, day)).or_default();
        let Some(block) = blocks.into_iter().find(|block| !sent.contains_key(block)) else { return };
        let value = 60 + self.dice.below(140);
        self.messages += 1;
        sent.insert(block, Block { value, message: self.messages, corrected: false });
        let message = self.block(patient, day, block, value);
        send(&self.rig, &[message]).await;
    }

    /// A block of a day as the newest message.
    fn block(&self, patient: u32, day: u32, block: u32, value: u32) -> Vec<u8> {
        let readings = people::readings(people::day(&date(day)), i64::from(block) * 12, &[value; 12]);
        people::message(&format!("W{}", self.messages), &people::person(patient), &readings)
    }

    /// Somebody's hour is told again with another value, as a correction of the order that told it (OBR-3, OBX-11).
    async fn correction(&mut self) {
        let newest = |patient: u32| self.days.get(&patient).copied();
        let open: Vec<(u32, u32, u32, u32)> = self
            .did
            .sent
            .iter()
            .filter(|((patient, day), _)| *patient >= IN_ORDER || newest(*patient) == Some(*day))
            .flat_map(|((patient, day), blocks)| {
                let open = blocks.iter().filter(|(_, block)| !block.corrected);
                open.map(|(number, block)| (*patient, *day, *number, block.message))
            })
            .collect();
        if open.is_empty() {
            return;
        }
        let (patient, day, number, first) = open[self.dice.below(open.len() as u32) as usize];
        let value = 60 + self.dice.below(140);
        self.messages += 1;
        let again = self.block(patient, day, number, value);
        let again =
            people::altered(&again, &format!("|W{}^CGMHUB", self.messages), &format!("|W{first}^CGMHUB"));
        send(&self.rig, &[people::altered(&again, "|||||F|", "|||||C|")]).await;
        let sent = self.did.sent.entry((patient, day)).or_default();
        sent.insert(number, Block { value, message: first, corrected: true });
        self.did.corrections += 1;
    }

    /// Two patients turn out to be one (ADT A40). Where the EHR moves what stands, nothing of theirs is under way: what
    /// becomes of that is for people (`patients.rs`).
    async fn merge(&mut self) {
        let (survivor, retired) = MERGED;
        if self.did.merged
            || (self.ehr_moves && self.is_shut())
            || self.is_withdrawn(survivor)
            || self.is_withdrawn(retired)
        {
            return;
        }
        if self.ehr_moves {
            self.put_right().await;
            let states = ["pending", "leased", "ambiguous", "deferred"];
            let nothing = |s: &Value| {
                s["inbox"]["pending"] == 0
                    && s["inbox"]["windows_due"] == 0
                    && states.iter().all(|state| s["outbox"][*state] == 0 || *state == "deferred")
            };
            until(&self.rig, "nothing is under way", nothing).await;
        }
        let mr = |n: u32| format!("{}^^^NORTH^MR", people::person(n).mrn);
        let adt = format!(
            "MSH|^~\\&|ADT|NORTH|ISTHMUS|NORTH|20260401120001||ADT^A40|MERGE|P|2.5.1\rEVN|A40|20260401120001\r\
             PID|1||{}||Quibblethorpe^Zebediah||19310709|M\rMRG|{}\r",
            mr(survivor),
            mr(retired)
        );
        send(&self.rig, &[adt.into_bytes()]).await;
        until(&self.rig, "it is read", |s| s["inbox"]["pending"] == 0).await;
        self.did.merged = true;
        if self.ehr_moves {
            for mut resource in self.rig.ehr.resources() {
                if judge::whose(&self.rig, &resource["subject"]) == people::person(retired).mrn {
                    let id = resource["id"].as_str().unwrap().to_owned();
                    resource["subject"] = judge::subject(&self.rig, survivor);
                    self.rig.ehr.place(&id, resource);
                }
            }
        }
        self.nothing_under_way().await;
        self.did.retired = Some(Span { from: now_ms(&self.rig), to: None });
    }

    /// The EHR refuses results of one category, and not what says where they are from; or takes them again.
    fn category(&mut self) {
        let category = match self.forms {
            Forms::Two if self.dice.below(2) == 0 => "vital-signs",
            _ => "laboratory",
        };
        if !self.rig.ehr.withdraw(category) {
            let refused = Act::Refuse(Refused::new(403, "forbidden"));
            self.rig.ehr.rule(Rule::new(category, refused).of_category(category));
        }
    }

    /// The EHR is there and takes everything.
    async fn put_right(&mut self) {
        self.rig.ehr.play(Play::Accept);
        for category in ["laboratory", "vital-signs"] {
            self.rig.ehr.withdraw(category);
        }
        if self.ehr_is_down {
            self.outage().await;
        }
    }

    /// What was on its way has come to its end. To an EHR that is down nothing is.
    async fn nothing_under_way(&self) {
        if self.ehr_is_down {
            return;
        }
        until(&self.rig, "what is under way ends", |s| s["outbox"]["leased"] == 0).await;
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
        self.edited(&lines(&old), &lines(&new)).await;
        self.rig.ehr.expire_tokens();
    }

    fn is_shut(&self) -> bool {
        self.did.shut.last().is_some_and(|(_, span)| span.to.is_none())
    }

    /// The site's file says something else, and the daemon has taken it up.
    async fn edited(&self, from: &str, to: &str) {
        let generation = |s: &Value| s["configuration"]["generation"].as_u64();
        let before = generation(&self.rig.status().await.unwrap());
        edit_site(&self.rig, from, to);
        until(&self.rig, "the file is taken up", |s| generation(s) > before).await;
    }

    fn is_withdrawn(&self, patient: u32) -> bool {
        let spans = self.did.withdrawn.get(&patient);
        spans.and_then(|spans| spans.last()).is_some_and(|span| span.to.is_none())
    }

    /// The site's file permits results no more, or again.
    async fn mode(&mut self) {
        if self.is_shut() {
            self.did.shut.last_mut().unwrap().1.to = Some(now_ms(&self.rig));
            self.edited(self.ceiling, "mode = \"full\"").await;
            return;
        }
        self.ceiling = CEILINGS[self.dice.below(2) as usize];
        self.edited("mode = \"full\"", self.ceiling).await;
        self.nothing_under_way().await;
        let everything = self.ceiling == CEILINGS[0];
        self.did.shut.push((everything, Span { from: now_ms(&self.rig) + SWITCH_MS, to: None }));
    }

    /// Somebody withdraws, or grants again with what was held meanwhile.
    async fn consent(&mut self) {
        let patient = match self.dice.below(PATIENTS) {
            // One person now: what is decided is decided for both.
            p if p == MERGED.1 && self.did.merged => MERGED.0,
            p => p,
        };
        if !self.days.contains_key(&patient) {
            return;
        }
        until(&self.rig, "the patient is known", |s| s["inbox"]["pending"] == 0).await;
        if self.is_withdrawn(patient) {
            self.grant(patient);
            return;
        }
        decide(&self.rig, "withdraw", patient, &[]);
        self.nothing_under_way().await;
        let span = Span { from: now_ms(&self.rig), to: None };
        self.did.withdrawn.entry(patient).or_default().push(span);
    }

    fn grant(&mut self, patient: u32) {
        let at = now_ms(&self.rig);
        if let Some(span) = self.did.withdrawn.get_mut(&patient).and_then(|spans| spans.last_mut()) {
            span.to = Some(at);
        }
        decide(&self.rig, "grant", patient, &["--including-past"]);
    }

    async fn restart(&mut self, clean: bool) {
        if clean {
            assert!(self.rig.stop().await.unwrap().success());
            self.did.stops += 1;
        } else {
            self.rig.kill();
            self.did.kills += 1;
        }
        self.rig.start().await.unwrap();
    }

    /// Everything that stood in the way is put right, and what waited goes out.
    async fn end(&mut self) -> Value {
        self.put_right().await;
        if self.is_shut() {
            self.mode().await;
        }
        for patient in (0..PATIENTS).filter(|patient| self.is_withdrawn(*patient)).collect::<Vec<_>>() {
            self.grant(patient);
        }
        self.merge().await;
        match self.rig.until_settled(END).await {
            Ok(status) => status,
            Err(error) => panic!("{error}: {:#}", self.rig.status().await.unwrap_or_default()),
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
        let mut dir = tempfile::tempdir().unwrap();
        if std::env::var_os("ISTHMUS_WEEK_KEEP").is_some() {
            dir.disable_cleanup(true);
            println!("week: seed {seed} in {}", dir.path().display());
        }
        let began = std::time::Instant::now();
        let mut week = Week::begun(dir.path(), seed).await;
        for _ in 0..events {
            week.event().await;
        }
        let status = week.end().await;
        let set_aside = site::command::asked(&week.rig, &["queue", "list", "--state", "quarantined"]).await;
        assert_eq!(set_aside["rows"], serde_json::json!([]), "set aside, seed {seed}");
        let in_order = if week.forms == Forms::Two { 0 } else { IN_ORDER };
        judge::judge(&week.rig, &week.did, &status, in_order);
        println!(
            "week: seed {seed}: {} messages, {}, {:?}, {:.0} s",
            week.messages,
            week.did.told(),
            week.rig.ehr.judge(),
            began.elapsed().as_secs_f64()
        );
    }
}
