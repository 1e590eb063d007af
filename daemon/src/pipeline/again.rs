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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use bytes::Bytes;

    use super::*;
    use crate::config;

    const ORU: &str = "MSH|^~\\&|HUB|NORTH|B|C|20260302||ORU^R01^ORU_R01|X1|P|2.5.1\r\
        PID|1||77^^^NORTH^MR\r\
        OBX|1|NM|99504-3^^LN||100|mg/dL|||||F|||20260302101500+0000||||SN-1\r\
        OBX|2|NM|99504-3^^LN||100|furlong|||||F|||20260302102000+0000||||SN-1\r";

    fn generation(dir: &Path) -> Generation {
        fs::create_dir(dir.join("sites.d")).unwrap();
        fs::write(dir.join("db.key"), "a".repeat(64)).unwrap();
        let main = "data_dir = \"./data\"\nsite = \"main\"\n[store]\nkey_file = \"./db.key\"\n\
            [[mllp]]\nname = \"ward\"\nlisten = \"127.0.0.1:2575\"\nplain = true\n";
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
            handler: handler.into(),
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
            ("its listener is gone", message("gone", "other", "keep", true, ORU), Ok(("other", "results"))),
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
    fn a_release_is_foreseen_with_what_it_would_give_and_what_it_would_leave() {
        let dir = tempfile::tempdir().unwrap();
        let generation = generation(dir.path());
        let foreseen = foresee(&message("ward", "", "keep", true, ORU), &generation);
        assert_eq!(
            (foreseen.site.as_str(), foreseen.handler.as_str(), foreseen.readings),
            ("main", "results", 1)
        );
        assert_eq!(foreseen.faults[0].0, "OBX (segment 4), field 6");
        let nobody = ORU.replace("NORTH^MR", "SOUTH^MR");
        let foreseen = foresee(&message("ward", "main", "results", false, &nobody), &generation);
        assert_eq!((foreseen.readings, foreseen.unidentified.len()), (0, 1));
    }
}
