//! Reading stored messages anew: what a release or a replay asked for, and what a release would do.
//!
//! Invariants: what was made of a message is a function of its bytes and of the rules, so reading it anew by the
//! same rules writes nothing; each turn takes a bounded piece, after the new messages, so that live intake is not
//! starved; a message leaves the list in the transaction that holds all that follows from it.
//!
//! Where something was made of a message, its site and handler are those that it was taken in with: which patient
//! a number means depends on them. One that was refused, or that nothing was made of, is judged anew, as if it
//! arrived now.
//!
//! Reading anew adds and corrects; it takes nothing back. A reading that the present rules put on another day,
//! device or patient, or do not find any more, stays where it was, because another message may have said it too.

use std::borrow::Cow;

use mllp::envelope::Envelope;
use outbox::{Message, QuarantineEntry, ReadAgain};

use super::{
    Pipeline, PipelineError,
    absorb::Absorbed,
    read::{self, Batch},
};
use crate::{generation::Generation, route::Handler, telemetry::Metric, time};

/// Messages read anew in one turn: a few milliseconds' work, after which new messages go first again.
const MESSAGES_A_TURN: usize = 512;
/// Bytes of messages read anew in one turn.
const BYTES_A_TURN: usize = 1024 * 1024;
/// The stage of what is refused before anything else is read.
pub const INTAKE: &str = "intake";

impl Pipeline {
    /// Reads a piece of what is asked for anew.
    pub(super) fn read_again(&mut self, generation: &Generation) -> Result<Absorbed, PipelineError> {
        let now = time::now_ms();
        let (from, asked) = self
            .readers
            .with(|reader| Ok((reader.watermark()?, reader.asked_again(MESSAGES_A_TURN, BYTES_A_TURN)?)))?;
        let mut batch = Batch { from, upto: from, ..Batch::default() };
        for asked in &asked {
            batch.again.push(ReadAgain {
                inbox_id: asked.message.id,
                asked_at: asked.asked_at,
                has_readings: false,
                at: now,
            });
            let has_readings = read_one(&asked.message, generation, now, &mut batch);
            if let Some(last) = batch.again.last_mut() {
                last.has_readings = has_readings;
            }
            batch.messages += 1;
            if batch.is_full() {
                break;
            }
        }
        if batch.messages == 0 {
            return Ok(Absorbed::default());
        }
        let messages = batch.messages;
        Metric::ReadAgain.add(messages as u64, &[]);
        self.commit(batch, generation, now)?;
        Ok(Absorbed { messages, backlog: true })
    }
}

/// Reads one message anew into the batch; whether it gave readings.
fn read_one(message: &Message, generation: &Generation, now: i64, batch: &mut Batch) -> bool {
    let before = batch.readings_found;
    match judged(message, generation) {
        Ok(message) => read::message(&message, generation, now, batch),
        Err(reason) => batch.quarantine.push(QuarantineEntry {
            inbox_id: message.id,
            stage: INTAKE.to_owned(),
            place: String::new(),
            reason,
            at: now,
        }),
    }
    batch.readings_found > before
}

/// The message as it is to be read now. Errs with the reason where it is refused still.
fn judged<'a>(message: &'a Message, generation: &Generation) -> Result<Cow<'a, Message>, String> {
    let kept = Handler::parse(&message.handler).unwrap_or(Handler::Keep) == Handler::Keep;
    if !message.refused && !kept && !message.site.is_empty() {
        return Ok(Cow::Borrowed(message));
    }
    let envelope = match Envelope::scan(&message.body) {
        Ok(envelope) => envelope,
        Err(fault) => return Err(fault.to_string()),
    };
    let mut mllp = generation.config.main.mllp.iter();
    let site = match mllp.find(|listener| *listener.name == *message.source) {
        Some(listener) => listener.site.as_str().into(),
        // Its listener is gone: where a site was told when it came, it is that one's still.
        None => message.site.clone(),
    };
    let handler = Handler::of(&envelope).word().into();
    Ok(Cow::Owned(Message { site, handler, refused: false, ..message.clone() }))
}

/// What reading a message anew would come to now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// Its site, and what would be done with it.
    pub site: String,
    /// The handler's word.
    pub handler: String,
    /// Readings that it would give.
    pub readings: usize,
    /// What it would be held back for still: place and reason.
    pub faults: Vec<(String, String)>,
    /// Why its patient could not be told.
    pub unidentified: Vec<String>,
}

/// Foresees a release; nothing is written.
pub fn foresee(message: &Message, generation: &Generation) -> Foreseen {
    let mut batch = Batch::default();
    read_one(message, generation, 0, &mut batch);
    let judged = judged(message, generation);
    let judged = judged.as_deref().unwrap_or(message);
    Foreseen {
        site: judged.site.to_string(),
        handler: judged.handler.to_string(),
        readings: batch.readings_found,
        faults: batch.quarantine.into_iter().map(|entry| (entry.place, entry.reason)).collect(),
        unidentified: batch.identity.into_iter().map(|entry| entry.reason).collect(),
    }
}
