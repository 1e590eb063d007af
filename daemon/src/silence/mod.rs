//! Feeds that fell silent: the commonest fault there is, and one that nothing else shows.
//!
//! Invariants: what is usual is learned from the times of messages in the store, so that no path of intake does anything for it;
//! what was learned is in the store, and outlives a restart; nothing is ever held up or refused because of it. Each listener,
//! spool and client of the FHIR endpoint is a feed. What usual means is [`profile`]; here is when to look.

pub mod profile;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::tz::TimeZone;
use outbox::{ReadError, Readers, Writer};
use serde_json::{Value, json};

use self::profile::{Judgement, Moment, Profile};
use crate::{
    conditions::{Board, Kind},
    config::SilenceRule,
    drain::Draining,
    generation::{Current, Generation},
    status::Status,
    telemetry::Metric,
    time,
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Messages of one page.
const PAGE: usize = 5_000;
/// Pages of one look. Where more came, the next look goes on from there, and judges by the time it got to.
const PAGES: usize = 10;
/// What the name of a profile in the store begins with.
const NAME: &str = "feed/";

/// How the feeds are, for status and check-in; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Feeds(Arc<Mutex<BTreeMap<String, Heard>>>);

/// How a feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When it was heard last (ms UTC).
    pub last: Option<i64>,
    /// What is to be said of it.
    pub judgement: Judgement,
}

impl Feeds {
    /// Every feed of the configuration, by name.
    pub fn all(&self) -> BTreeMap<String, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As status shows it.
    pub fn document(&self) -> Value {
        let of = |(name, heard): (String, Heard)| {
            json!({
                "name": name,
                "last": heard.last.map(time::rfc3339),
                "silent_s": heard.judgement.silent_s,
                "usual_s": heard.judgement.usual_s,
                "limit_s": heard.judgement.limit_s,
            })
        };
        self.all().into_iter().map(of).collect()
    }

    fn put(&self, all: BTreeMap<String, Heard>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

/// Looks at the feeds.
pub struct Watch {
    /// For what was learned.
    pub writer: Writer,
    /// Where messages are found.
    pub readers: Readers,
    /// Which feeds there are.
    pub current: Current,
    /// Where people are told.
    pub conditions: Board,
    /// Where it is shown.
    pub feeds: Feeds,
}

/// A feed that the configuration names.
struct Configured {
    zone: TimeZone,
    rule: SilenceRule,
}

impl Watch {
    /// One that looks at the feeds of the box that this status is about.
    pub fn of(status: &Status, writer: Writer) -> Self {
        Self {
            writer,
            readers: status.readers.clone(),
            current: status.current.clone(),
            conditions: status.conditions.clone(),
            feeds: status.feeds.clone(),
        }
    }

    /// Runs until the drain begins; what was learned is stored each hour and at the end.
    pub async fn run(self, mut draining: Draining) {
        let begun = {
            let readers = self.readers.clone();
            tokio::task::spawn_blocking(move || newest(&readers)).await
        };
        let Ok(Ok(mut reached)) = begun else {
            tracing::error!("silent feeds are not noticed until a restart: the store could not be read");
            return;
        };
        let mut profiles: BTreeMap<String, Profile> = BTreeMap::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = draining.begun() => break,
            }
            match self.look(&mut profiles, reached).await {
                Ok(id) => reached = id,
                Err(error) => {
                    tracing::warn!(%error, "the feeds could not be looked at; they are in a moment")
                }
            }
        }
        for (name, profile) in &profiles {
            self.keep(name, profile).await;
        }
    }

    /// Hears what came after a message, and judges. The number of the last message heard.
    async fn look(&self, profiles: &mut BTreeMap<String, Profile>, reached: i64) -> Result<i64, ReadError> {
        let generation = self.current.get();
        let feeds = configured(&generation);
        profiles.retain(|name, _| feeds.contains_key(name));
        for name in feeds.keys().filter(|name| !profiles.contains_key(*name)).cloned().collect::<Vec<_>>() {
            let mut profile = self.recall(&name)?;
            profile.listens(time::now_ms());
            profiles.insert(name, profile);
        }
        let readers = self.readers.clone();
        let heard = tokio::task::spawn_blocking(move || heard(&readers, reached)).await;
        let Ok(heard) = heard else { return Ok(reached) };
        let (times, reached, until) = heard?;
        for (name, at) in times {
            let Some(profile) = profiles.get_mut(&name) else { continue };
            let is_first = profile.last().is_none();
            profile.hear(at);
            if is_first {
                self.keep(&name, profile).await;
            }
        }
        let now = until.unwrap_or_else(time::now_ms);
        let holidays = &generation.config.main.silence.holidays;
        let mut shown = BTreeMap::new();
        for (name, profile) in profiles {
            let Some(feed) = feeds.get(name) else { continue };
            let Some(moment) = Moment::at(now, &feed.zone, holidays) else { continue };
            let (judgement, learned) = profile.look(moment, feed.rule.fixed_s());
            self.tell(name, profile.last(), judgement, feed.rule);
            if learned {
                self.keep(name, profile).await;
            }
            shown.insert(name.clone(), Heard { last: profile.last(), judgement });
        }
        self.forget(&shown);
        self.feeds.put(shown);
        Ok(reached)
    }

    fn tell(&self, name: &str, last: Option<i64>, judgement: Judgement, rule: SilenceRule) {
        let label = || [("source", name.to_owned())];
        if let Some(silent_s) = judgement.silent_s {
            Metric::FeedSilence.set(silent_s as f64, &label());
        }
        if let Some(limit_s) = judgement.limit_s {
            Metric::FeedSilenceLimit.set(limit_s as f64, &label());
        }
        let (Some(last), true) = (last, judgement.is_silent() && rule != SilenceRule::Off) else {
            self.conditions.clear(Kind::FeedSilent, name);
            return;
        };
        let usual = match (rule, judgement.usual_s) {
            (SilenceRule::Fixed(_), _) | (_, None) => {
                "longer than [silence] of isthmus.toml permits".to_owned()
            }
            (_, Some(usual)) => {
                format!("at this hour of the week it is usually silent for no longer than {}", spoken(usual))
            }
        };
        let detail = format!(
            "nothing has come since {}: {usual}. See that its sender runs and is connected (turned away? isthmus status)",
            time::rfc3339(last)
        );
        self.conditions.raise(Kind::FeedSilent, name, detail, time::now_ms());
    }

    /// A feed that left the configuration is not silent.
    fn forget(&self, shown: &BTreeMap<String, Heard>) {
        for scope in self.conditions.scopes(Kind::FeedSilent) {
            if !shown.contains_key(&scope) {
                self.conditions.clear(Kind::FeedSilent, &scope);
            }
        }
    }

    fn recall(&self, name: &str) -> Result<Profile, ReadError> {
        let kept = self.readers.with(|reader| reader.meta(&format!("{NAME}{name}")))?;
        // One that cannot be read is learned anew.
        Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    async fn keep(&self, name: &str, profile: &Profile) {
        let bytes = serde_json::to_vec(profile).unwrap_or_default();
        if let Err(error) = self.writer.put_meta(&format!("{NAME}{name}"), bytes).await {
            tracing::warn!(feed = name, %error, "what is usual of a feed could not be stored; it is in an hour");
        }
    }
}

/// What was heard: times by source, the number of the last message, and the time it got to where there is more.
type Page = (BTreeSet<(String, i64)>, i64, Option<i64>);

/// Every feed of a configuration, with its zone and its rule.
fn configured(generation: &Generation) -> BTreeMap<String, Configured> {
    let config = &generation.config;
    let sources = config.main.sources();
    let of = |(name, site): (String, &str)| {
        let zone = config.sites.get(site)?.timezone.clone();
        let rule = config.main.silence.rule(&name);
        Some((name, Configured { zone, rule }))
    };
    sources.into_iter().filter_map(of).collect()
}

fn newest(readers: &Readers) -> Result<i64, ReadError> {
    Ok(readers.with(|reader| reader.came_last())?.map_or(0, |came| came.id))
}

/// The times at which sources were heard, the number of the last message, and, where there is more to hear, the time that it
/// was taken in. Of many messages of a source within a second one tells as much.
fn heard(readers: &Readers, mut reached: i64) -> Result<Page, ReadError> {
    let (mut times, mut until) = (BTreeSet::new(), None);
    for _ in 0..PAGES {
        let page = readers.with(|reader| reader.came_after(reached, PAGE))?;
        until = page.last().filter(|_| page.len() == PAGE).map(|came| came.at);
        reached = page.last().map_or(reached, |came| came.id);
        times.extend(page.into_iter().map(|came| (came.source, came.at.div_euclid(1_000) * 1_000)));
        if until.is_none() {
            break;
        }
    }
    Ok((times, reached, until))
}

/// Seconds in words.
fn spoken(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}
