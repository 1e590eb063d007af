//! Looks at what waits: an intent that may no longer go is held before its turn comes, and people are told; what stands of a
//! window that has no readings left is taken back.
//!
//! Numbers: every [`EVERY`]; nothing depends on it, for the lease asks for itself.

use std::time::Duration;

use outbox::{IntentState, Readers};
use serde_json::{Value, json};

use super::Intents;
use crate::{
    conditions::{Board, Kind},
    drain::Draining,
    telemetry::Metric,
    time,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// The look-out.
pub(crate) struct Watch {
    pub intents: Intents,
    pub conditions: Board,
}

impl Watch {
    /// Looks until the drain begins.
    pub(crate) async fn run(self, mut draining: Draining) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "intents could not be looked at");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = draining.begun() => return,
            }
        }
    }

    async fn look(&self) -> Result<(), outbox::WriteError> {
        if !self.conditions.scopes(Kind::WithdrawalNeeded).is_empty() {
            let (intents, conditions) = (self.intents.clone(), self.conditions.clone());
            // A look that breaks off is made again.
            let _broken = tokio::task::spawn_blocking(move || intents.take_back_all(&conditions)).await;
        }
        let counts = self.counts().await;
        let under_way = |state: IntentState| matches!(state, IntentState::Waiting | IntentState::Queued);
        if counts.iter().any(|(state, count)| under_way(*state) && *count > 0) {
            let mut next = Some(0);
            while let Some(after) = next {
                next = self.intents.writer.review_intents(after, time::now_ms()).await?.next;
            }
        }
        let counts = self.counts().await;
        let held: u64 =
            counts.iter().filter(|(state, _)| state.wants_a_person()).map(|(_, count)| count).sum();
        if held == 0 {
            self.conditions.clear(Kind::IntentWaiting, "");
        } else {
            let detail = format!(
                "{held} of what people want written wait for a person: isthmus intent list --state held, and --state \
                 expired; then isthmus intent confirm or cancel"
            );
            self.conditions.raise(Kind::IntentWaiting, "", detail, time::now_ms());
        }
        Ok(())
    }

    async fn counts(&self) -> Vec<(IntentState, u64)> {
        let readers = self.intents.readers.clone();
        let read = tokio::task::spawn_blocking(move || readers.with(|reader| reader.intent_counts())).await;
        read.ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// How many intents there are in each state that is not final, for status.
pub(crate) fn summary(readers: &Readers) -> Value {
    match readers.with(|reader| reader.intent_counts()) {
        Ok(counts) => {
            let of = |state| counts.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count);
            json!({
                "waiting": of(IntentState::Waiting),
                "queued": of(IntentState::Queued),
                "held": of(IntentState::Held),
                "expired": of(IntentState::Expired),
            })
        }
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// Renews the gauge.
pub(crate) fn export(readers: &Readers) {
    let Ok(counts) = readers.with(|reader| reader.intent_counts()) else { return };
    for state in [IntentState::Waiting, IntentState::Queued, IntentState::Held, IntentState::Expired] {
        let count = counts.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count);
        Metric::IntentsOpen.set(count as f64, &[("state", state.name().to_owned())]);
    }
}
