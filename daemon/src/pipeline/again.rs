//! Reading stored messages anew: what a release or a replay asked for, and what a release would do.
//!
//! Invariants: what was made of a message is a function of its bytes and of the rules, so reading it anew by the
//! same rules writes nothing; each turn takes a bounded piece, after the new messages, so that live intake is not
//! starved; a message leaves the list in the transaction that holds all that follows from it.
//!
//! Where something was made of a message, its site and handler are those that it was taken in with: which patient
//! a number means depends on them. One that was refused, or that nothing was made of, is judged anew, as if it
//! arrived now at the listener that it came by: the sender, MSH and the routes decide by the configuration in force.
//! What is no message ([`crate::route::PART`]) is never read.
//!
//! Reading anew adds and corrects; it takes nothing back. A reading that the present rules put on another day,
//! device or patient, or do not find any more, stays where it was, because another message may have said it too.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use mllp::envelope::Envelope;
use outbox::{Message, QuarantineEntry, ReadAgain, ReadError, Reader};

use super::{
    Pipeline, PipelineError,
    absorb::Absorbed,
    read::{self, Batch, Local},
    seats,
};
use crate::{
    generation::Generation,
    intake::judge,
    route::{Handler, PART},
    telemetry::Metric,
    time,
    traces::{Step, Work},
};

/// Messages read anew in one turn: a few milliseconds' work, after which new messages go first again.
const MESSAGES_A_TURN: usize = 512;
/// Bytes of messages read anew in one turn.
const BYTES_A_TURN: usize = 1024 * 1024;
/// The stage of what is refused before anything else is read.
pub const INTAKE: &str = "intake";
const NO_MESSAGE: &str = "what is kept is no whole message (the head of one, a batch that was refused whole, or a file that is none): it cannot be read; its source has to send it again";
const NO_LISTENER: &str =
    "it was refused, and the listener that it came by is not in the configuration any more";

impl Pipeline {
    /// Reads a piece of what is asked for anew.
    pub(super) fn read_again(&mut self, generation: &Generation) -> Result<Absorbed, PipelineError> {
        let now = time::now_ms();
        let (from, asked) = self
            .readers
            .with(|reader| Ok((reader.watermark()?, reader.asked_again(MESSAGES_A_TURN, BYTES_A_TURN)?)))?;
        let mut batch = Batch { from, upto: from, traced: Work::begun(), ..Batch::default() };
        for asked in &asked {
            batch.again.push(ReadAgain {
                inbox_id: asked.message.id,
                asked_at: asked.asked_at,
                has_readings: false,
                at: now,
            });
            batch.traced.note(asked.message.id);
            let local = self.local(&asked.message)?;
            let has_readings = read_one(&asked.message, &local, generation, now, &mut batch);
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
        Metric::ReadAgain.add(batch.messages as u64, &[]);
        let absorbed = self.commit(batch, generation, now, Step::Again)?;
        Ok(Absorbed { backlog: true, ..absorbed })
    }
}

/// Reads one message anew into the batch; whether it gave readings.
fn read_one(message: &Message, local: &Local, generation: &Generation, now: i64, batch: &mut Batch) -> bool {
    let before = batch.readings_found;
    match judged(message, generation) {
        Ok(message) => read::message(&message, local, generation, now, batch),
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
    if message.handler == PART {
        return if message.refused { Err(NO_MESSAGE.to_owned()) } else { Ok(Cow::Borrowed(message)) };
    }
    if [Handler::File, Handler::Fhir].iter().any(|handler| message.handler == handler.word()) {
        // It says itself whose it is.
        return if message.refused { Err(NO_MESSAGE.to_owned()) } else { Ok(Cow::Borrowed(message)) };
    }
    let kept = Handler::parse(&message.handler).unwrap_or(Handler::Keep) == Handler::Keep;
    if !message.refused && !kept && !message.site.is_empty() {
        return Ok(Cow::Borrowed(message));
    }
    let scanned = Envelope::scan(&message.body);
    let site: Arc<str> = match generation.source(&message.source) {
        Some(source) => {
            if let Some(refusal) = judge::refusal_now(&scanned, &message.body, &source) {
                return Err(refusal.fault.text.into_owned());
            }
            source.site.into()
        }
        // By which rules it could be taken, nobody says any more.
        None if message.refused => return Err(NO_LISTENER.to_owned()),
        // It was taken, and it is that site's still.
        None => Arc::clone(&message.site),
    };
    let envelope = scanned.map_err(|fault| fault.to_string())?;
    let (site, handler) = generation.routes().choose(&message.source, &site, &envelope);
    Ok(Cow::Owned(Message { site, handler: handler.word().into(), refused: false, ..message.clone() }))
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
///
/// # Errors
/// Where the store cannot be read.
pub fn foresee(message: &Message, generation: &Generation, reader: &Reader) -> Result<Foreseen, ReadError> {
    let mut batch = Batch::default();
    read_one(message, &Local::of(message, reader)?, generation, 0, &mut batch);
    let judged = judged(message, generation);
    let judged = judged.as_deref().unwrap_or(message);
    let mut unidentified: Vec<String> = batch.identity.into_iter().map(|entry| entry.reason).collect();
    let (mut readings, mut said) = (0, HashMap::new());
    for (owner, days) in &batch.readings {
        match seats::accept(owner, reader.seat(&owner.names)?, &mut said) {
            Ok(_) => readings += days.values().map(Vec::len).sum::<usize>(),
            Err(reason) => unidentified.push(reason.to_owned()),
        }
    }
    Ok(Foreseen {
        site: judged.site.to_string(),
        handler: judged.handler.to_string(),
        readings,
        faults: batch.quarantine.into_iter().map(|entry| (entry.place, entry.reason)).collect(),
        unidentified,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use bytes::Bytes;
    use outbox::{Key, Store, StoreOptions};

    use super::*;
    use crate::config;

    const ORU: &str = "MSH|^~\\&|HUB|NORTH|B|C|20260302||ORU^R01^ORU_R01|X1|P|2.5.1\r\
        PID|1||77^^^NORTH^MR\r\
        OBX|1|NM|99504-3^^LN||100|mg/dL|||||F|||20260302101500+0000||||SN-1\r\
        OBX|2|NM|99504-3^^LN||100|furlong|||||F|||20260302102000+0000||||SN-1\r";

    fn generation(dir: &Path) -> Generation {
        generation_with(dir, "")
    }

    /// With this in the section of the listener, or after it.
    fn generation_with(dir: &Path, listener: &str) -> Generation {
        fs::create_dir(dir.join("sites.d")).unwrap();
        fs::write(dir.join("db.key"), "a".repeat(64)).unwrap();
        fs::set_permissions(dir.join("db.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let main = format!(
            "data_dir = \"./data\"\nsite = \"main\"\n[store]\nkey_file = \"./db.key\"\n\
            [[mllp]]\nname = \"ward\"\nlisten = \"127.0.0.1:2575\"\nplain = true\n{listener}"
        );
        fs::write(dir.join("isthmus.toml"), main).unwrap();
        for site in ["main", "other"] {
            let text = format!(
                "id = \"{site}\"\ntimezone = \"Etc/UTC\"\n[capability]\nmode = \"full\"\n\
                 [patient]\nauthority = \"NORTH\"\ntype = \"MR\"\n"
            );
            fs::write(dir.join(format!("sites.d/{site}.toml")), text).unwrap();
        }
        let config =
            config::load(&dir.join("isthmus.toml"), None).unwrap_or_else(|faults| panic!("{faults}"));
        Generation::compile(1, config, 0).unwrap()
    }

    fn message(source: &str, site: &str, handler: &str, refused: bool, body: &str) -> Message {
        Message {
            id: 7,
            received_at: 0,
            source: source.into(),
            site: site.into(),
            handler: handler.to_owned().into(),
            kind: "".into(),
            control_id: "".into(),
            hash: [0; 32],
            refused,
            control_id_reused: false,
            body: Bytes::from(body.to_owned()),
        }
    }

    #[test]
    fn what_something_was_made_of_keeps_its_site_and_the_rest_is_judged_as_if_it_came_now() {
        let dir = tempfile::tempdir().unwrap();
        let generation = generation(dir.path());
        let adt = ORU.replace("ORU^R01^ORU_R01", "ADT^A01");
        let no_id = ORU.replace("|X1|", "||");
        let siu = ORU.replace("ORU^R01^ORU_R01", "SIU^S12");
        for (what, message, wanted) in [
            ("read before", message("ward", "other", "results", false, ORU), Ok(("other", "results"))),
            ("refused", message("ward", "", "keep", true, ORU), Ok(("main", "results"))),
            (
                "refused, and something else",
                message("ward", "x", "results", true, &adt),
                Ok(("main", "patients")),
            ),
            ("refused still", message("ward", "main", "keep", true, &no_id), Err("MSH-10")),
            ("kept", message("ward", "main", "keep", false, ORU), Ok(("main", "results"))),
            ("kept still", message("ward", "main", "keep", false, &siu), Ok(("main", "keep"))),
            ("without a site", message("ward", "", "results", false, ORU), Ok(("main", "results"))),
            ("its listener is gone", message("gone", "other", "keep", false, ORU), Ok(("other", "results"))),
            ("refused, and gone", message("gone", "other", "keep", true, ORU), Err("listener")),
        ] {
            match (judged(&message, &generation), wanted) {
                (Ok(judged), Ok((site, handler))) => {
                    assert_eq!(
                        (&*judged.site, &*judged.handler, judged.refused),
                        (site, handler, false),
                        "{what}"
                    );
                }
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{what}: {reason}"),
                (judged, _) => panic!("{what}: {:?}", judged.map(|judged| judged.handler.clone())),
            }
        }
    }

    #[test]
    fn a_release_takes_nothing_that_the_listener_would_refuse_now_and_never_half_a_message() {
        let dir = tempfile::tempdir().unwrap();
        let generation = generation_with(
            dir.path(),
            "processing_id = [\"T\"]\nallow_senders = [{ application = \"HUB\" }]\n\
             [[route]]\nsending_facility = \"SOUTH\"\nsite = \"other\"\n",
        );
        let test = ORU.replace("|P|", "|T|");
        let (barred, routed) = (test.replace("|HUB|", "|OTHER|"), test.replace("|HUB|NORTH|", "|HUB|SOUTH|"));
        for (what, handler, refused, body, wanted) in [
            ("taken", "keep", true, &test, Ok("main")),
            ("by its route", "keep", true, &routed, Ok("other")),
            ("another processing id", "keep", true, &ORU.to_owned(), Err("MSH-11")),
            ("kept, and refused now", "keep", false, &ORU.to_owned(), Err("MSH-11")),
            ("another sender", "keep", true, &barred, Err("allow_senders")),
            ("half of it", PART, true, &test, Err("cannot be read")),
        ] {
            let message = message("ward", "main", handler, refused, body);
            match (judged(&message, &generation), wanted) {
                (Ok(judged), Ok(site)) => {
                    assert_eq!((&*judged.site, judged.refused), (site, false), "{what}")
                }
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{what}: {reason}"),
                (judged, _) => panic!("{what}: {:?}", judged.map(|judged| judged.site.clone())),
            }
        }
        let around = message("ward", "main", PART, false, &test);
        let mut batch = Batch::default();
        assert!(
            !read_one(&around, &Local::default(), &generation, 0, &mut batch) && batch.quarantine.is_empty()
        );
    }

    #[test]
    fn a_batch_takes_no_more_results_that_may_all_come_to_wait_than_one_transaction_should_enter() {
        let dir = tempfile::tempdir().unwrap();
        let generation = generation(dir.path());
        let alias = ORU.replace("NORTH^MR", "VENDOR^PI").replace("furlong", "mg/dL");
        let plain = ORU.replace("furlong", "mg/dL");
        for (body, full) in [(&alias, true), (&plain, false)] {
            let (message, mut batch) = (message("ward", "main", "results", false, body), Batch::default());
            for _ in 1..crate::pipeline::absorb::MAX_WRITES {
                crate::pipeline::read::message(&message, &Local::default(), &generation, 0, &mut batch);
            }
            assert!(!batch.is_full() && batch.quarantine.is_empty() && batch.readings.len() == 1);
            crate::pipeline::read::message(&message, &Local::default(), &generation, 0, &mut batch);
            assert_eq!(batch.is_full(), full);
        }
    }

    #[test]
    fn a_release_is_foreseen_with_what_it_would_give_and_what_it_would_leave() {
        let dir = tempfile::tempdir().unwrap();
        let generation = generation(dir.path());
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
        let foresee =
            |message: &Message| store.readers().with(|reader| foresee(message, &generation, reader)).unwrap();
        let foreseen = foresee(&message("ward", "", "keep", true, ORU));
        assert_eq!(
            (foreseen.site.as_str(), foreseen.handler.as_str(), foreseen.readings),
            ("main", "results", 1)
        );
        assert_eq!(foreseen.faults[0].0, "OBX (segment 4), field 6");
        let nobody = ORU.replace("NORTH^MR", "SOUTH^MR");
        let foreseen = foresee(&message("ward", "main", "results", false, &nobody));
        assert_eq!((foreseen.readings, foreseen.unidentified.len()), (0, 1));
    }
}
