//! The next version of a window: at every destination a decision, and where it is to be written or shown, its rows.

use std::collections::BTreeSet;

use clinical::{
    calendar::LocalDay,
    fhir::{
        figures::{figures, shown_text},
        project::{self, LeftOut, Version},
        provenance::{Maker, Manifest as Cited, Reason, Session},
        row::Row,
    },
    identity::PatientKey,
    outcome::Outcome,
    reading::Instant,
};
use outbox::{
    Condition, Decision as Decided, Earlier, Enters, Manifest, NewRow, Outcome as Published, ReadError,
    Reader, StandingVersion, Window,
};
use sha2::{Digest, Sha256};

use super::{
    Pipeline, PipelineError, app_events,
    corrections::Cited as Sources,
    manifest::Listing,
    publish::Computed,
    resources::{self, Entry},
    said::said,
};
use crate::{
    broker::{self, Decision, Offer, Priority, Question, Stands, Timeliness},
    conditions::{self, Kind},
    config::{Filter, PublishRule},
    destination::{Destination, PROVENANCE, Way},
    filter::{self, About},
    generation::{Generation, Site},
};

/// A window that ended longer ago than this when it was first published is history: longer than any feed is late.
const HISTORY_AFTER_DAYS: i64 = 31;

/// What is the same for every destination of a version.
pub(super) struct Draft<'a> {
    pub(super) due: &'a Window,
    site: &'a Site,
    computed: &'a Computed<'a>,
    owner: Option<PatientKey>,
    sessions: Vec<Session>,
    display_hash: [u8; 32],
    /// Nothing that is shown has changed: it is made for those that are owed it by a grant of consent, and for those where
    /// it waits in a form that has closed.
    unchanged: bool,
    owed: Vec<String>,
    pub(super) now: i64,
}

/// What becomes of a version at one destination.
pub(super) struct Ruling {
    pub(super) decision: Decision,
    /// The form in which it is written, now or later, or shown.
    pub(super) way: Option<Way>,
    pub(super) stands: Option<StandingVersion>,
    timeliness: Timeliness,
    priority: Priority,
    /// What stands cannot be replaced.
    fixed: bool,
}

impl Pipeline {
    /// The next version of a window, with a decision and the rows for every destination.
    pub(super) fn version(
        &self,
        due: &Window,
        site: &Site,
        generation: &Generation,
        computed: &Computed<'_>,
        now: i64,
    ) -> Result<Published, PipelineError> {
        let scope = format!("window {}", due.id);
        if self.conditions.clear(Kind::WithdrawalNeeded, &scope) {
            self.writer.clear(Kind::WithdrawalNeeded.word(), &scope).wait()?;
        }
        let display_hash = shown_hash(&computed.outcome, generation, &site.id);
        let unchanged = due.display_hash == Some(display_hash);
        let mut owed = if unchanged { self.owed_by_consent(due, now)? } else { Vec::new() };
        if unchanged {
            owed.extend(self.owed_by_summaries(due, generation, computed)?);
        }
        let owner = self.readers.with(|reader| reader.patient(due.key.patient))?;
        let owner = owner.map(|owner| PatientKey { system: owner.system, value: owner.value });
        let sessions = computed.sessions();
        let draft = Draft { due, site, computed, owner, sessions, display_hash, unchanged, owed, now };
        let moved = if unchanged { self.moved(&draft, generation)? } else { BTreeSet::new() };
        if unchanged && draft.owed.is_empty() && moved.is_empty() {
            return Ok(Published::Unchanged);
        }
        let outcome_json =
            serde_json::to_string(&computed.outcome).map_err(resources::ResourceError::from)?;
        let (mut rows, mut decisions): (Vec<NewRow>, Vec<Decided>) = (Vec::new(), Vec::new());
        let (mut standing, mut conditions, mut timely) = (Vec::new(), Vec::new(), false);
        for destination in generation.destinations_of(&site.id) {
            let ruling = self.rule(&draft, destination)?;
            timely |= ruling.timeliness == Timeliness::Current;
            conditions.extend(amendment_needed(&draft, destination, &ruling));
            if let (Decision::Defer(_, broker::Reason::TriedAnew), Some(way)) = (ruling.decision, &ruling.way)
            {
                self.observations.to_be_tried(&destination.id, way.carrier().name(), now);
            }
            let earlier = match (ruling.fixed, moved.contains(&destination.id)) {
                (true, _) => Earlier::Kept,
                (false, true) => Earlier::Moved,
                (false, false) => Earlier::Superseded,
            };
            decisions.push(recorded(destination, &ruling, earlier));
            let base = rows.len();
            let (made, left_out) = self.rows(&draft, destination, &ruling)?;
            conditions.extend(self.tell_of_withheld(&draft, destination, &ruling, &left_out)?);
            rows.extend(made.into_iter().map(|mut row| {
                row.depends_on = row.depends_on.map(|index| index + base);
                row
            }));
            for id in self.readers.with(|reader| reader.queues_of_chart(due.id, &destination.id))? {
                let stands = self.readers.with(|reader| reader.standing_version(due.id, &id))?;
                standing.push((id, stands.map(|standing| standing.version)));
            }
        }
        let version = due.next_version;
        let manifest = Manifest {
            // The generation tells apart what was computed and kept without becoming a version.
            id: format!("{}-{version}-{}", due.id, due.generation),
            count: computed.listing.count,
            sha256: computed.listing.sha256,
            body: computed.listing.body.clone(),
        };
        // Without a destination the site only computes; a version is still a version.
        if !timely && !standing.is_empty() {
            return Ok(Published::Computed { outcome_json, manifest, decisions });
        }
        Ok(Published::Version {
            version,
            display_hash,
            outcome_json,
            manifest,
            rows,
            decisions,
            standing,
            conditions,
        })
    }

    /// The destinations where what waits goes in another form than the one that it was made in.
    fn moved(&self, draft: &Draft<'_>, generation: &Generation) -> Result<BTreeSet<String>, PipelineError> {
        let mut moved = BTreeSet::new();
        for destination in generation.destinations_of(&draft.due.site) {
            if self.falls_back(draft, destination)? {
                moved.insert(destination.id.clone());
            }
        }
        Ok(moved)
    }

    /// Asks the broker about one destination.
    pub(super) fn rule(&self, draft: &Draft<'_>, destination: &Destination) -> Result<Ruling, PipelineError> {
        let due = draft.due;
        let (outcome, policy) = (&draft.computed.outcome, draft.computed.policy);
        let takes = |way: &&Way| way.form.takes(way.projection, outcome, policy).is_ok();
        let ways: Vec<&Way> = destination.ways.iter().filter(takes).collect();
        let stands = self.stands(due, destination)?;
        let place =
            stands.as_ref().map(|stands| ways.iter().position(|way| way.projection.name() == stands.form));
        let fixed = place.flatten().is_some_and(|at| !ways[at].amends());
        let timeliness = match &stands {
            // The rest of the version that stands goes on, so it is whole without this one.
            Some(stands) if fixed && self.shows_the_same(draft, stands.version)? => {
                Timeliness::NothingShownChanged
            }
            _ if draft.unchanged && self.needs_no_row(due, destination, &draft.owed)? => {
                Timeliness::NothingShownChanged
            }
            _ => self.timeliness(due, draft.site, stands.is_some(), draft.now),
        };
        let priority = self.priority(due, destination, stands.is_some(), draft.now)?;
        let offers: Vec<Offer> = ways
            .iter()
            .map(|way| Offer {
                capability: way.carrier(),
                observed: self.observed(destination, way),
                amends: way.amends(),
                said: stands.is_none() && said(destination, way, draft.computed),
                untried: !draft.unchanged && self.is_to_be_tried(destination, way, draft.now),
            })
            .collect();
        let decision = broker::decide(&Question {
            ceiling: &destination.ceiling,
            offers: &offers,
            consent: self.consent_of(due, destination, draft.now)?,
            taken: self.is_taken(draft, destination)?,
            timeliness,
            priority,
            bulk: destination.bulk,
            stands: match place {
                None => Stands::No,
                Some(Some(at)) => Stands::By(at),
                Some(None) => Stands::Elsewhere,
            },
        });
        let way = decision.offer().and_then(|at| ways.get(at)).map(|way| (*way).clone());
        Ok(Ruling { decision, way, stands, timeliness, priority, fixed })
    }

    /// How pressing a version is. Where history is not taken, what waits is none, whatever the window: its numbers may
    /// have changed, and without this version it would be lost.
    fn priority(
        &self,
        due: &Window,
        destination: &Destination,
        stands: bool,
        now: i64,
    ) -> Result<Priority, PipelineError> {
        let priority = priority(due, stands, now);
        if priority != Priority::History || destination.bulk {
            return Ok(priority);
        }
        for id in self.readers.with(|reader| reader.queues_of_chart(due.id, &destination.id))? {
            if self.readers.with(|reader| reader.waits(due.id, &id))? {
                return Ok(Priority::Routine);
            }
        }
        Ok(priority)
    }

    /// What stands of a window at a destination, in whichever form: messages stand at their own receiver.
    fn stands(
        &self,
        due: &Window,
        destination: &Destination,
    ) -> Result<Option<StandingVersion>, PipelineError> {
        let mut highest: Option<StandingVersion> = None;
        for id in self.readers.with(|reader| reader.queues_of_chart(due.id, &destination.id))? {
            let found = self.readers.with(|reader| reader.standing_version(due.id, &id))?;
            if found.as_ref().map(|found| found.version) > highest.as_ref().map(|highest| highest.version) {
                highest = found;
            }
        }
        Ok(highest)
    }

    fn shows_the_same(&self, draft: &Draft<'_>, version: i64) -> Result<bool, PipelineError> {
        let stood = self.readers.with(|reader| reader.display_hash_of(draft.due.id, version))?;
        Ok(stood == Some(draft.display_hash))
    }

    /// Whether the destination's filter takes the outcome.
    fn is_taken(&self, draft: &Draft<'_>, destination: &Destination) -> Result<bool, PipelineError> {
        let filter = &destination.filter;
        if *filter == Filter::default() {
            return Ok(true);
        }
        let patient = draft.owner.as_ref().map(|owner| format!("{}|{}", owner.system, owner.value));
        let mut about = About {
            population: &draft.due.key.policy,
            patient: patient.as_deref().unwrap_or_default(),
            window_days: draft.due.key.days,
            origins: BTreeSet::new(),
        };
        if filter.include.asks_messages() || filter.exclude.asks_messages() {
            for id in &draft.computed.cited.messages {
                // Whose bytes are gone may be one that is not to go: then none of it goes.
                let Some(message) = self.readers.with(|reader| reader.message(*id as i64))? else {
                    return Ok(false);
                };
                about.origins.insert(filter::origin(&message.source, &message.body));
            }
        }
        Ok(filter::refusal(filter, &about).is_none())
    }

    /// The rows of a version for one destination, none where it is not to be written, and the numbers that they leave out.
    fn rows(
        &self,
        draft: &Draft<'_>,
        destination: &Destination,
        ruling: &Ruling,
    ) -> Result<(Vec<NewRow>, Vec<LeftOut>), PipelineError> {
        let (Some(way), Some(owner)) = (&ruling.way, &draft.owner) else { return Ok(Default::default()) };
        let (due, computed) = (draft.due, draft.computed);
        let subject = destination.subject(owner.clone(), &self.secret, due.key.patient);
        let stands = ruling.stands.as_ref().map(|standing| standing.version);
        let sha256 = resources::cited(&computed.listing.sha256);
        let provenance = self.observations.of(&destination.id, PROVENANCE.name());
        let version = Version {
            destination: &destination.id,
            outcome: &computed.outcome,
            policy: computed.policy,
            patient: &due.origin.to_string(),
            subject: &subject,
            secret: &self.secret,
            version: due.next_version as u32,
            supersedes: stands.map(|version| version as u32),
            reason: self.reason(due, stands, computed)?,
            sessions: &draft.sessions,
            app_events: &app_events::counts(&computed.logged, &computed.period),
            manifest: Cited { count: computed.listing.count, sha256: &sha256 },
            maker: Maker { box_id: &self.box_id, software: env!("CARGO_PKG_VERSION") },
            recorded: Instant(draft.now),
        };
        let entry = Entry {
            way,
            priority: ruling.priority,
            enters: match ruling.decision {
                // Its receiver's queue stands still by itself.
                Decision::Defer(_, broker::Reason::ObservedReadOnly) if way.outbound.is_some() => {
                    Enters::Pending
                }
                Decision::Defer(_, reason) => Enters::Deferred(reason.word().to_owned()),
                Decision::Show(_) => Enters::Shown,
                Decision::Write(_) | Decision::Fallback(..) | Decision::Suppress(_) => Enters::Pending,
            },
            provenance_enters: match broker::closed(&destination.ceiling, PROVENANCE, provenance) {
                Some(reason) => Enters::Deferred(reason.word().to_owned()),
                None => Enters::Pending,
            },
        };
        let left_out = project::left_out(way.projection, &way.form, &version);
        Ok((resources::rows(destination, &version, &entry)?, left_out))
    }

    /// The rows of the version in force in another form than it was decided for, because a person wants it so.
    pub(super) fn in_form(
        &self,
        window: &Window,
        site: &Site,
        computed: &Computed<'_>,
        destination: &Destination,
        (way, enters): (&Way, Enters),
    ) -> Result<Vec<NewRow>, PipelineError> {
        let owner = self.readers.with(|reader| reader.patient(window.key.patient))?;
        let draft = Draft {
            // The version in force, as if it were made now.
            due: &Window { version: window.version - 1, next_version: window.version, ..window.clone() },
            site,
            computed,
            owner: owner.map(|owner| PatientKey { system: owner.system, value: owner.value }),
            sessions: computed.sessions(),
            display_hash: [0; 32],
            unchanged: false,
            owed: Vec::new(),
            now: crate::time::now_ms(),
        };
        let ruling = Ruling {
            decision: Decision::Write(0),
            way: Some(way.clone()),
            stands: None,
            timeliness: Timeliness::Current,
            priority: Priority::Clinician,
            fixed: false,
        };
        let (rows, _) = self.rows(&draft, destination, &ruling)?;
        Ok(rows.into_iter().map(|row| NewRow { enters: enters.clone(), ..row }).collect())
    }

    /// Why there is a next version at a destination where the version `stands`.
    fn reason(
        &self,
        due: &Window,
        stands: Option<i64>,
        computed: &Computed<'_>,
    ) -> Result<Reason, PipelineError> {
        let sha256 = &computed.outcome.policy.sha256;
        Ok(self.readers.with(|reader| reason_after(reader, due.id, stands, &computed.cited, sha256))?)
    }

    /// `stands`: an earlier version is, or may be, at the destination. What never got there is not amended but
    /// written for the first time.
    fn timeliness(&self, due: &Window, site: &Site, stands: bool, now: i64) -> Timeliness {
        let Some(rule) = rule_of(site, due.key.days) else { return Timeliness::BeforePublishFrom };
        let publish_from = rule.publish_from.map_or(self.went_live, LocalDay::from_civil);
        // A window ends on its last included day.
        if LocalDay(due.key.end_day).plus(-1) < publish_from {
            return Timeliness::BeforePublishFrom;
        }
        let amendable_ms = i64::from(rule.amend_for_days) * Instant::DAY_MS;
        match due.first_published_at {
            Some(first) if stands && now - first > amendable_ms => Timeliness::AmendmentClosed,
            _ => Timeliness::Current,
        }
    }
}

/// An amendment of what stands, or was to be written in its time, is as pressing as a window that has just closed, however
/// old the window.
fn priority(due: &Window, stands: bool, now: i64) -> Priority {
    let ended = i64::from(due.key.end_day) * Instant::DAY_MS;
    let first = due.first_published_at.unwrap_or(now);
    if !stands && first - ended > HISTORY_AFTER_DAYS * Instant::DAY_MS {
        Priority::History
    } else {
        Priority::Routine
    }
}

/// What people are asked to do where what stands cannot be replaced.
fn amendment_needed(draft: &Draft<'_>, destination: &Destination, ruling: &Ruling) -> Option<Condition> {
    if ruling.decision != Decision::Suppress(broker::Reason::CannotAmend) {
        return None;
    }
    let scope = conditions::window_at(draft.due.id, &destination.id);
    let detail = format!(
        "version {} has other numbers than the one that stands, which cannot be replaced there; \
         amend it by hand, then: isthmus site amended \"{scope}\" --reason TEXT",
        draft.due.next_version
    );
    Some(Condition { name: Kind::AmendmentNeeded.word().to_owned(), scope, detail, since: draft.now })
}

/// The row that says what was decided, and why.
fn recorded(destination: &Destination, ruling: &Ruling, earlier: Earlier) -> Decided {
    let decision = ruling.decision;
    let (word, reason) = decision.words();
    Decided {
        destination: destination.id.clone(),
        decision: word.to_owned(),
        reason: reason.to_owned(),
        form: ruling.way.as_ref().map(|way| way.projection.name().to_owned()).unwrap_or_default(),
        earlier,
    }
}

/// Why there is a next version of a window after the version `stands`, of these messages and by the policy with this hash.
pub(super) fn reason_after(
    reader: &Reader,
    window: i64,
    stands: Option<i64>,
    cited: &Sources,
    policy: &str,
) -> Result<Reason, ReadError> {
    let Some(stands) = stands else { return Ok(cited.reason(None)) };
    let (before, outcome) = (reader.manifest_of(window, stands)?, reader.outcome_of(window, stands)?);
    let before = before.and_then(|manifest| Listing::ids(&manifest.body)).unwrap_or_default();
    let reason = cited.reason(Some(&before.into_iter().collect::<BTreeSet<u64>>()));
    // A source that corrected itself outranks rules that changed meanwhile.
    let ruled_by = outcome.and_then(|outcome| policy_sha256(&outcome));
    let same_rules = ruled_by.is_none_or(|sha256| sha256 == policy);
    Ok(if reason == Reason::LateData && !same_rules { Reason::PolicyChange } else { reason })
}

fn rule_of(site: &Site, days: u16) -> Option<&PublishRule> {
    site.publish.iter().find(|rule| rule.window_days == days)
}

/// The hash by which a version is told from one that looks the same: that of what is shown, and where a destination of
/// the site takes our own codes, of those too.
fn shown_hash(outcome: &Outcome, generation: &Generation, site: &str) -> [u8; 32] {
    let shown = outcome.display_hash();
    if !shows_figures(generation, site) {
        return shown;
    }
    Sha256::new().chain_update(shown).chain_update(shown_text(&figures(outcome))).finalize().into()
}

/// Whether a change of what has no code in LOINC is a change of what is shown at a site.
pub(super) fn shows_figures(generation: &Generation, site: &str) -> bool {
    let more = |way: &Way| way.form.local_codes || way.form.row(Row::Sd).is_some();
    generation.destinations_of(site).any(|destination| destination.ways.iter().any(more))
}

/// The hash of the policy that a published outcome names.
fn policy_sha256(outcome_json: &str) -> Option<String> {
    let outcome: serde_json::Value = serde_json::from_str(outcome_json).ok()?;
    outcome["policy"]["sha256"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use outbox::WindowKey;

    use super::*;

    #[test]
    fn a_window_is_history_by_when_it_was_first_published_and_never_once_it_stands() {
        let days = |days: i64| days * Instant::DAY_MS;
        let window = |first_published_at| Window {
            id: 1,
            key: WindowKey {
                patient: 1,
                days: 14,
                end_day: 100,
                zone: "Etc/UTC".into(),
                policy: "standard".into(),
            },
            site: "main".into(),
            origin: 1,
            due_at: None,
            generation: 1,
            version: 0,
            next_version: 1,
            display_hash: None,
            first_published_at,
            computed_at: None,
        };
        let edge = days(100 + HISTORY_AFTER_DAYS);
        for (first, stands, now, wanted) in [
            (None, false, edge, Priority::Routine),
            (None, false, edge + 1, Priority::History),
            (None, true, edge + 1, Priority::Routine),
            // It was published in its time and waits: its late amendment is no history.
            (Some(days(101)), false, edge + 1, Priority::Routine),
            (Some(edge + 1), false, edge + 2, Priority::History),
        ] {
            assert_eq!(priority(&window(first), stands, now), wanted, "{first:?} {stands} {now}");
        }
    }
}
