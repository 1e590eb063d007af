//! A walk through the readings of a patient, day by day in the order of a search.
//!
//! Invariants: readings are handed out by (time, number), whichever chunk they lie in; the chunks of one UTC day are looked at
//! together; a walk that ends early says how far it has looked, and it always gets further than where it began.
//!
//! Numbers: a day of a 5-minute sensor is 288 readings, one of a 1-minute sensor 1,440; to read and look at a thousand takes
//! some tenths of a millisecond, to make a page of 50 another one. See `READINGS_MOST` and `MADE_MOST`.

use std::collections::{HashMap, HashSet};

use clinical::{
    fhir::identifier::SiteSecret,
    reading::{Instant, Reading},
};
use fhir::search::{Plan, Range};
use outbox::{DayChunk, PatientKey, Reader, Spot};

use super::{
    super::{
        ask::Answer,
        search::{Hit, Search},
        shelf::unreadable,
    },
    lane::{Lane, precedes},
    made::{self, Of},
    name::Name,
    sieve::Sieve,
};

/// Readings that a page looks at, after which it ends with the day: a hundred days of a 1-minute sensor, some 20 ms.
const READINGS_MOST: usize = 150_000;
/// Readings that an accurate total looks at: half a year of a 1-minute sensor, two and a half of a 5-minute one.
const COUNTED_MOST: usize = 270_000;
/// What a chunk costs beside its readings, counted in readings: a row is looked up.
const CHUNK_COST: usize = 64;
/// What it costs to ask whether a reading was posted here, counted in readings.
const ASKED_COST: usize = 8;
/// Observations that a page makes, wanted or not: each is written and parsed.
const MADE_MOST: usize = 2_000;
/// The length of a time that is written in whole seconds, and of one with a fraction, in milliseconds.
const SECOND_MS: i64 = 1_000;

/// An identifier whose readings are walked.
pub(super) struct Source {
    /// Its number.
    pub(super) number: i64,
    /// What it is.
    pub(super) key: PatientKey,
    /// `Patient/<id>` of whom its readings count for.
    pub(super) subject: String,
    /// What of them is wanted.
    pub(super) sieve: Sieve,
}

/// A walk.
pub(super) struct Walk<'a> {
    reader: &'a Reader,
    search: &'a Search<'a>,
    secret: &'a SiteSecret,
    plan: &'a Plan,
    sources: Vec<Source>,
    /// Whether it is asked when readings came.
    by_coming: bool,
    /// When messages came.
    came: HashMap<u64, i64>,
    /// Messages that are known to be resources, beside those that the store is asked for.
    pub(super) posted: HashSet<u64>,
    looked: usize,
    made: usize,
}

/// A chunk of a day, and whose.
struct Page<'a> {
    source: &'a Source,
    chunk: DayChunk,
}

/// A reading that may be wanted.
#[derive(Clone, Copy)]
struct Candidate {
    page: usize,
    reading: Reading,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        reader: &'a Reader,
        search: &'a Search<'a>,
        secret: &'a SiteSecret,
        plan: &'a Plan,
        sources: Vec<Source>,
    ) -> Self {
        let by_coming = search.query.filters_by("_lastUpdated");
        let (came, posted) = (HashMap::new(), HashSet::new());
        Self { reader, search, secret, plan, sources, by_coming, came, posted, looked: 0, made: 0 }
    }

    /// Readings looked at so far, and what their chunks cost.
    #[cfg(test)]
    pub(super) const fn looked(&self) -> usize {
        self.looked
    }

    /// What follows `after`, at most `limit` of it, and not beyond `until` (itself included), where the other side ends.
    ///
    /// # Errors
    /// Where the store, or what lies in it, cannot be read.
    pub(super) fn run(
        &mut self,
        after: Option<Spot>,
        until: Option<Spot>,
        limit: usize,
    ) -> Result<Lane<Hit>, Answer> {
        let descending = self.plan.descending;
        let mut times = self.times(after, until);
        let mut items = Vec::new();
        let sources = std::mem::take(&mut self.sources);
        while let Some(day) = self.next_day(&sources, times)? {
            if self.looked >= READINGS_MOST {
                return Ok(Lane { items, upto: Some(edge(day, descending)) });
            }
            let (pages, candidates) = self.day(&sources, day, times)?;
            for (spot, name, candidate) in self.placed(&pages, candidates) {
                if after.is_some_and(|after| !precedes(after, spot, descending)) {
                    continue;
                }
                if until.is_some_and(|until| precedes(until, spot, descending)) {
                    return Ok(Lane { items, upto: None });
                }
                if let Some(hit) = self.hit(&pages[candidate.page], name, &candidate.reading)? {
                    items.push((spot, hit));
                }
                if items.len() >= limit || self.made >= MADE_MOST {
                    return Ok(Lane { items, upto: Some(spot) });
                }
            }
            times = beyond(day, times, descending);
        }
        Ok(Lane { items, upto: None })
    }

    /// How many there are; `None` where that cannot be said without making them, or there are too many to look at. An estimate
    /// goes by what all readings have in common, and by times.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) fn count(&mut self, is_estimate: bool) -> Result<Option<u64>, Answer> {
        let sources = std::mem::take(&mut self.sources);
        if !is_estimate && !sources.iter().all(|source| source.sieve.is_decided) {
            return Ok(None);
        }
        let (mut times, mut count) = (self.times(None, None), 0);
        while let Some(day) = self.next_day(&sources, times)? {
            let (_, candidates) = self.day(&sources, day, times)?;
            if self.looked > COUNTED_MOST {
                return Ok(None);
            }
            for candidate in candidates {
                count += u64::from(self.is_wanted(&candidate.reading)?);
            }
            times = beyond(day, times, self.plan.descending);
        }
        Ok(Some(count))
    }

    /// The times of readings that may be on the page, both ends included.
    fn times(&self, after: Option<Spot>, until: Option<Spot>) -> Range {
        let Plan { starts, ends, descending, .. } = self.plan;
        let mut times = Range {
            least: starts.least.max(ends.least.saturating_sub(SECOND_MS)),
            most: starts.most.min(ends.most.saturating_sub(1)),
        };
        // Where a page ended before a day, that instant is behind it.
        if *descending {
            let is_edge = |spot: Spot| i64::from(spot.number == i64::MIN);
            times.most = times.most.min(after.map_or(i64::MAX, |spot| spot.at.saturating_sub(is_edge(spot))));
            times.least = times.least.max(until.map_or(i64::MIN, |spot| spot.at));
        } else {
            let is_edge = |spot: Spot| i64::from(spot.number == i64::MAX);
            times.least =
                times.least.max(after.map_or(i64::MIN, |spot| spot.at.saturating_add(is_edge(spot))));
            times.most = times.most.min(until.map_or(i64::MAX, |spot| spot.at));
        }
        times
    }

    /// The next day that has a chunk of anybody.
    fn next_day(&self, sources: &[Source], times: Range) -> Result<Option<i32>, Answer> {
        if times.least > times.most {
            return Ok(None);
        }
        let days = (day_of(times.least), day_of(times.most));
        let mut next: Option<i32> = None;
        for source in sources {
            let day = self.reader.next_day(source.number, days, self.plan.descending);
            if let Some(day) = day.map_err(|error| unreadable(&error))? {
                next = Some(match next {
                    Some(next) if self.plan.descending => next.max(day),
                    Some(next) => next.min(day),
                    None => day,
                });
            }
        }
        Ok(next)
    }

    /// The readings of a day that may be wanted, in no order, and the chunks that they lie in.
    fn day<'s>(
        &mut self,
        sources: &'s [Source],
        day: i32,
        times: Range,
    ) -> Result<(Vec<Page<'s>>, Vec<Candidate>), Answer> {
        let (mut pages, mut candidates) = (Vec::new(), Vec::new());
        for source in sources {
            let chunks = self.reader.chunks_of_day(source.number, day).map_err(|error| unreadable(&error))?;
            for chunk in chunks {
                let readings = made::readings_of(&chunk)?;
                self.looked += readings.len() + CHUNK_COST;
                let wanted = readings
                    .into_iter()
                    .filter(|reading| times.contains(reading.time.0) && source.sieve.passes(reading));
                candidates.extend(wanted.map(|reading| Candidate { page: pages.len(), reading }));
                pages.push(Page { source, chunk });
            }
        }
        Ok((pages, candidates))
    }

    /// The candidates of a day in the order of the search. Names are made for those that are taken alone, and for what shares
    /// an instant with them.
    fn placed<'p>(
        &self,
        pages: &'p [Page<'_>],
        mut candidates: Vec<Candidate>,
    ) -> impl Iterator<Item = (Spot, Name, Candidate)> + use<'p, 'a> {
        let (secret, descending) = (self.secret, self.plan.descending);
        candidates.sort_by_key(|candidate| candidate.reading.time);
        if descending {
            candidates.reverse();
        }
        let mut rest = candidates.into_iter().peekable();
        let mut instant: Vec<(Spot, Name, Candidate)> = Vec::new();
        std::iter::from_fn(move || {
            if instant.is_empty() {
                let first = rest.next()?;
                let time = first.reading.time;
                let mut next = Some(first);
                while let Some(candidate) = next {
                    let Page { source, chunk } = &pages[candidate.page];
                    let name = Name::of(secret, &source.key, chunk, &candidate.reading);
                    instant.push((Spot { at: name.at, number: name.number() }, name, candidate));
                    next = rest.next_if(|candidate| candidate.reading.time == time);
                }
                // The next one is taken from the end.
                instant.sort_by_key(|(spot, ..)| *spot);
                if !descending {
                    instant.reverse();
                }
            }
            instant.pop()
        })
    }

    /// The reading as it is served, where it is one of those asked for.
    fn hit(&mut self, page: &Page<'_>, name: Name, reading: &Reading) -> Result<Option<Hit>, Answer> {
        if !self.is_wanted(reading)? {
            return Ok(None);
        }
        self.made += 1;
        let at = self.came_at(reading)?;
        let Page { source, chunk } = page;
        let of = Of { secret: self.secret, key: &source.key, subject: &source.subject, chunk };
        let Some(stored) = made::stored(of, name, reading, at) else { return Ok(None) };
        let (hit, value) = Hit::of(stored)?;
        let fits = self.search.query.matches(&value) && self.search.bounds.hold(&value);
        Ok(fits.then_some(hit))
    }

    /// Whether a reading's times are as asked for, and it was not posted here.
    fn is_wanted(&mut self, reading: &Reading) -> Result<bool, Answer> {
        let at = if self.by_coming { self.came_at(reading)? } else { 0 };
        let from = reading.time.0;
        // What is written in whole seconds is a second long.
        let length = if from.rem_euclid(SECOND_MS) == 0 { SECOND_MS } else { 1 };
        if !self.plan.admits(from, from.saturating_add(length), at) {
            return Ok(false);
        }
        if made::is_known_by_route(reading) {
            return Ok(true);
        }
        if self.posted.contains(&reading.message) {
            return Ok(false);
        }
        self.looked += ASKED_COST;
        Ok(!made::is_posted(self.reader, reading)?)
    }

    fn came_at(&mut self, reading: &Reading) -> Result<i64, Answer> {
        if let Some(at) = self.came.get(&reading.message) {
            return Ok(*at);
        }
        let at = made::came_at(self.reader, reading)?;
        self.came.insert(reading.message, at);
        Ok(at)
    }
}

/// The UTC day of a time.
fn day_of(ms: i64) -> i32 {
    ms.div_euclid(Instant::DAY_MS).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// The place before a day in the order of the walk: everything that comes before the day lies before it too.
fn edge(day: i32, descending: bool) -> Spot {
    let start = i64::from(day) * Instant::DAY_MS;
    if descending {
        Spot { at: start + Instant::DAY_MS, number: i64::MIN }
    } else {
        Spot { at: start - 1, number: i64::MAX }
    }
}

/// The times beyond a day in the order of the walk.
fn beyond(day: i32, times: Range, descending: bool) -> Range {
    let start = i64::from(day) * Instant::DAY_MS;
    if descending {
        Range { most: times.most.min(start - 1), ..times }
    } else {
        Range { least: times.least.max(start + Instant::DAY_MS), ..times }
    }
}
