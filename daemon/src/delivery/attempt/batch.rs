//! Several rows in one request: a Bundle of type batch, whose entries are judged each by itself.
//!
//! Invariants: a row in doubt is never in a batch, for it has to be looked for first; what is wrong with one entry is
//! wrong with that one alone; where no whole answer came, every row of the batch is in doubt; a destination that refuses
//! the batch as such took effect of nothing of it, and its rows go one by one.

use std::sync::atomic::{AtomicBool, Ordering};

use clinical::fhir::{answer::EntryAnswer, bundle::Entry};

use super::{Item, Outcome, ROUNDS, Sending, request};
use crate::{delivery::http::Told, destination::Destination, verdict::Verdict};

/// Whether a destination takes batches; handed on from one generation of its configuration to the next.
#[derive(Debug, Default)]
pub struct Refused(AtomicBool);

impl Refused {
    /// It refused one as such.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Keeps what was learned of the same server under the configuration before.
    pub fn take_over(&self, before: &Self) {
        self.0.fetch_or(before.is_set(), Ordering::Relaxed);
    }
}

/// Writes rows together; the outcomes in their order.
pub async fn batch(destination: &Destination, items: &[Item]) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = items.iter().map(|_| None).collect();
    let mut under_way: Vec<(usize, Sending<'_>, Entry)> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match begun(destination, item).await {
            Ok((sending, entry)) => under_way.push((at, sending, entry)),
            Err(outcome) => outcomes[at] = Some(outcome),
        }
    }
    let to = under_way.first().map(|(_, sending, _)| sending.to);
    let entries: Vec<Entry> = under_way.iter().map(|(.., entry)| entry.clone()).collect();
    let answered = match (to, entries.as_slice()) {
        (Some(to), [_, _, ..]) => Some(request::batch(to, &entries).await),
        // One alone, or none.
        _ => None,
    };
    let refused = matches!(&answered, Some(Ok((told, answers))) if answers.is_empty() && is_refused(told));
    if refused {
        tracing::warn!(destination = %destination.id, "it takes no batches; writes go one by one");
        destination.no_batches.0.store(true, Ordering::Relaxed);
    }
    for (place, (at, mut sending, entry)) in under_way.into_iter().enumerate() {
        let ended = match &answered {
            None => sending.rounds(1).await,
            Some(_) if refused => sending.rounds(1).await,
            Some(Ok((told, answers))) => one_of(&mut sending, told, answers.get(place), entry).await,
            Some(Err(verdict)) => {
                sending.silent = matches!(verdict, Verdict::Ambiguous(_));
                Err(verdict.clone())
            }
        };
        outcomes[at] = Some(sending.outcome(ended));
    }
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(lost)).collect()
}

/// A row up to its request, where it has one.
async fn begun<'a>(destination: &'a Destination, item: &'a Item) -> Result<(Sending<'a>, Entry), Outcome> {
    let sending = Sending::of(destination, item);
    let mut sending = sending.map_err(|verdict| Outcome::unasked(verdict, item.past.ambiguous))?;
    if let Err(verdict) = sending.begin(item.past).await {
        return Err(sending.outcome(Err(verdict)));
    }
    let entry = match sending.open.as_slice() {
        [] => return Err(sending.outcome(Ok(()))),
        [part] => sending.entry(part),
        _ => Err(Verdict::Defect("more than one resource in a row of a batch".to_owned())),
    };
    let entry = entry.and_then(|entry| {
        request::check(sending.to, &entry)?;
        (item.last_look)()?;
        Ok(entry)
    });
    match entry {
        Ok(entry) => Ok((sending, entry)),
        Err(verdict) => Err(sending.outcome(Err(verdict))),
    }
}

/// What one entry's answer comes to; where more is to be asked, it goes on by itself.
async fn one_of(
    sending: &mut Sending<'_>,
    told: &Told,
    answer: Option<&EntryAnswer>,
    entry: Entry,
) -> Result<(), Verdict> {
    let (entries, answers) = ([entry], answer.cloned().into_iter().collect::<Vec<_>>());
    match sending.judged(told, &answers, &entries) {
        Ok(()) => sending.take(&entries, &answers).await?,
        Err(Verdict::Conflict(_)) => sending.look_again().await?,
        Err(refusal) => return Err(refusal),
    }
    sending.rounds(ROUNDS).await
}

/// Whether the Bundle as such is what was refused: nothing else is posted to the base.
fn is_refused(told: &Told) -> bool {
    matches!(told.status, 400 | 404 | 405 | 413 | 415 | 422 | 501)
}

fn lost() -> Outcome {
    Outcome::unasked(Verdict::Ambiguous("the row was lost from its batch".to_owned()), true)
}
