//! Which answer a message asked for: original or enhanced mode, and on what outcome (MSH-15 and MSH-16; HL7 v2.9
//! sections 2.9.2 and 2.9.3).
//!
//! Invariants: pure; whether a message is kept never depends on what it asked for; a negative answer has a
//! reason of one of two classes, and nothing but the class chooses between AE and AR, or CE and CR.
//!
//! | MSH-15 | MSH-16 | as asked |
//! |---|---|---|
//! | empty | empty | original mode: AA, AE or AR, always |
//! | AL | any | enhanced: CA, CE or CR, always |
//! | NE, or empty beside MSH-16 | any | enhanced: nothing |
//! | ER | any | enhanced: CE or CR only |
//! | SU | any | enhanced: CA only |
//! | anything else | any | as AL: a sender that fills MSH-15 reads accept acknowledgements, and one too many is skipped where one too few stops a feed |
//!
//! An acknowledgement (MSH-9.1 ACK or MCF) gets none in any mode, of either kind: two systems that acknowledge each
//! other's acknowledgements never stop.
//!
//! The application acknowledgement of enhanced mode is asked for in MSH-16 alone, by the same table 0155, read in the
//! same way; an empty field asks for none.
//!
//! The two overrides are for senders that do not mean what they write. `Original` answers AA, AE or AR whatever
//! MSH-15 and MSH-16 say; it is also the one for a sender that writes NE and AL and waits for AA (by v2.9 section
//! 2.9.3 that is original mode in other words, but the application acknowledgement has a way of its own here).
//! `Enhanced` answers with CA, CE or CR; an empty MSH-15 counts as AL there, since the override says that an answer is
//! waited for.

use crate::{ack::AckCode, envelope::Envelope};

/// How a source is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As each message asks in MSH-15 and MSH-16.
    #[default]
    AsAsked,
    /// Original mode, whatever a message asks.
    Original,
    /// Enhanced mode, whatever a message asks; MSH-15 is heeded where it is filled.
    Enhanced,
}

/// Why a message is not accepted (table 0008).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Its content is at fault: AE or CE.
    Error,
    /// MSH-9, MSH-11 or MSH-12, or a reason that is not in the content: AR or CR.
    Reject,
}

/// When an accept acknowledgement is wanted (table 0155).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    Never,
    OnError,
    OnSuccess,
}

/// What one message asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    enhanced: bool,
    when: When,
}

impl Asked {
    /// Original mode, always answered: a frame without a readable MSH, and a batch (BHS cannot ask).
    pub const ORIGINAL: Self = Self { enhanced: false, when: When::Always };
    const NOTHING: Self = Self { enhanced: false, when: When::Never };
    const ENHANCED: Self = Self { enhanced: true, when: When::Always };

    /// What the message with this envelope asks of a source in `mode`.
    pub fn by(envelope: Option<&Envelope>, mode: Mode) -> Self {
        if envelope.is_some_and(is_acknowledgement) {
            return Self::NOTHING;
        }
        let asked = envelope.map_or((None, None), |envelope| {
            (When::parse(envelope.accept_ack()), When::parse(envelope.application_ack()))
        });
        match (mode, asked) {
            (Mode::Original, _) | (Mode::AsAsked, (None, None)) => Self::ORIGINAL,
            (Mode::Enhanced, (when, _)) => Self { when: when.unwrap_or(When::Always), ..Self::ENHANCED },
            (Mode::AsAsked, (when, _)) => Self { when: when.unwrap_or(When::Never), ..Self::ENHANCED },
        }
    }

    /// What the message with this envelope asks for in MSH-16: AA, AE or AR, once it is known what became of it.
    pub fn application(envelope: &Envelope) -> Self {
        match When::parse(envelope.application_ack()) {
            Some(when) if !is_acknowledgement(envelope) => Self { enhanced: false, when },
            _ => Self::NOTHING,
        }
    }

    /// Whether an answer is wanted on some outcome.
    pub fn is_any(self) -> bool {
        self.when != When::Never
    }

    /// What a batch gets: one answer, whatever its messages ask; in original mode unless the source is configured for
    /// the enhanced one.
    pub fn of_batch(mode: Mode) -> Self {
        if mode == Mode::Enhanced { Self::ENHANCED } else { Self::ORIGINAL }
    }

    /// The code for a message that was taken over; `None` where no answer is wanted.
    pub fn accepted(self) -> Option<AckCode> {
        let code = if self.enhanced { AckCode::CA } else { AckCode::AA };
        matches!(self.when, When::Always | When::OnSuccess).then_some(code)
    }

    /// The code for a message that was not accepted; `None` where no answer is wanted.
    pub fn refused(self, class: Class) -> Option<AckCode> {
        let code = match (self.enhanced, class) {
            (false, Class::Error) => AckCode::AE,
            (false, Class::Reject) => AckCode::AR,
            (true, Class::Error) => AckCode::CE,
            (true, Class::Reject) => AckCode::CR,
        };
        matches!(self.when, When::Always | When::OnError).then_some(code)
    }

    /// The code where the store could not take the message; `None` where no answer is wanted. AR, since the content is
    /// not at fault; CE in enhanced mode, which is what table 0008 has for a message that could not be committed.
    pub fn not_stored(self) -> Option<AckCode> {
        self.refused(if self.enhanced { Class::Error } else { Class::Reject })
    }
}

/// Whether the message is itself an answer (MSH-9.1).
fn is_acknowledgement(envelope: &Envelope) -> bool {
    matches!(envelope.message_code().trim_ascii(), b"ACK" | b"MCF")
}

impl When {
    /// Reads MSH-15 or MSH-16; `None` for an empty one.
    fn parse(field: &[u8]) -> Option<Self> {
        let field = field.trim_ascii();
        let is = |word: &str| field.eq_ignore_ascii_case(word.as_bytes());
        if field.is_empty() || field == b"\"\"" {
            None
        } else if is("NE") {
            Some(Self::Never)
        } else if is("ER") {
            Some(Self::OnError)
        } else if is("SU") {
            Some(Self::OnSuccess)
        } else {
            Some(Self::Always)
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn asked(accept: &str, application: &str, mode: Mode) -> [Option<AckCode>; 4] {
        let msh = format!("MSH|^~\\&|A|B|C|D|2026||ORU^R01|1|P|2.5.1|||{accept}|{application}\r");
        let asked = Asked::by(Some(&Envelope::scan(&Bytes::from(msh)).unwrap()), mode);
        [asked.accepted(), asked.refused(Class::Error), asked.refused(Class::Reject), asked.not_stored()]
    }

    const ORIGINAL: [Option<AckCode>; 4] =
        [Some(AckCode::AA), Some(AckCode::AE), Some(AckCode::AR), Some(AckCode::AR)];
    const ENHANCED: [Option<AckCode>; 4] =
        [Some(AckCode::CA), Some(AckCode::CE), Some(AckCode::CR), Some(AckCode::CE)];
    const NOTHING: [Option<AckCode>; 4] = [None; 4];
    const ON_ERROR: [Option<AckCode>; 4] = [None, ENHANCED[1], ENHANCED[2], ENHANCED[3]];
    const ON_SUCCESS: [Option<AckCode>; 4] = [ENHANCED[0], None, None, None];

    #[test]
    fn every_pair_of_fields_in_every_mode_has_its_answers() {
        for (accept, application, as_asked, enhanced) in [
            ("", "", ORIGINAL, ENHANCED),
            ("\"\"", " ", ORIGINAL, ENHANCED),
            ("AL", "", ENHANCED, ENHANCED),
            ("AL", "AL", ENHANCED, ENHANCED),
            ("al", "NE", ENHANCED, ENHANCED),
            ("NE", "", NOTHING, NOTHING),
            ("NE", "NE", NOTHING, NOTHING),
            ("NE", "AL", NOTHING, NOTHING),
            ("", "AL", NOTHING, ENHANCED),
            ("", "NE", NOTHING, ENHANCED),
            ("", "ER", NOTHING, ENHANCED),
            ("ER", "", ON_ERROR, ON_ERROR),
            ("ER", "SU", ON_ERROR, ON_ERROR),
            ("SU", "", ON_SUCCESS, ON_SUCCESS),
            ("SU", "ER", ON_SUCCESS, ON_SUCCESS),
            ("YES", "", ENHANCED, ENHANCED),
            ("", "YES", NOTHING, ENHANCED),
        ] {
            assert_eq!(
                asked(accept, application, Mode::AsAsked),
                as_asked,
                "as asked {accept}/{application}"
            );
            assert_eq!(
                asked(accept, application, Mode::Enhanced),
                enhanced,
                "enhanced {accept}/{application}"
            );
            assert_eq!(
                asked(accept, application, Mode::Original),
                ORIGINAL,
                "original {accept}/{application}"
            );
        }
    }

    #[test]
    fn msh_16_alone_asks_for_the_application_acknowledgement() {
        const ON_ERROR: [Option<AckCode>; 4] = [None, ORIGINAL[1], ORIGINAL[2], ORIGINAL[3]];
        const ON_SUCCESS: [Option<AckCode>; 4] = [ORIGINAL[0], None, None, None];
        for (kind, application, wanted) in [
            ("ORU^R01", "AL", ORIGINAL),
            ("ORU^R01", " al", ORIGINAL),
            ("ORU^R01", "YES", ORIGINAL),
            ("ORU^R01", "er", ON_ERROR),
            ("ORU^R01", "SU", ON_SUCCESS),
            ("ORU^R01", "NE", NOTHING),
            ("ORU^R01", "", NOTHING),
            ("ORU^R01", "\"\"", NOTHING),
            ("ACK^R01^ACK", "AL", NOTHING),
            ("MCF", "AL", NOTHING),
        ] {
            let msh = format!("MSH|^~\\&|A|B|C|D|2026||{kind}|1|P|2.5.1|||AL|{application}\r");
            let asked = Asked::application(&Envelope::scan(&Bytes::from(msh)).unwrap());
            let codes = [
                asked.accepted(),
                asked.refused(Class::Error),
                asked.refused(Class::Reject),
                asked.not_stored(),
            ];
            assert_eq!(codes, wanted, "{kind} {application}");
            assert_eq!(asked.is_any(), wanted != NOTHING, "{kind} {application}");
        }
    }

    #[test]
    fn an_acknowledgement_is_never_acknowledged() {
        for (kind, mode) in [("ACK^R01^ACK", Mode::AsAsked), ("ACK", Mode::Original), ("MCF", Mode::Enhanced)]
        {
            let msh = format!("MSH|^~\\&|A|B|C|D|2026||{kind}|1|P|2.5.1|||AL|AL\rMSA|AA|7\r");
            let asked = Asked::by(Some(&Envelope::scan(&Bytes::from(msh)).unwrap()), mode);
            assert_eq!(
                (asked.accepted(), asked.refused(Class::Error), asked.not_stored()),
                (None, None, None)
            );
        }
    }

    #[test]
    fn what_has_no_envelope_is_answered_and_so_is_every_batch() {
        for (mode, code) in
            [(Mode::AsAsked, AckCode::AE), (Mode::Original, AckCode::AE), (Mode::Enhanced, AckCode::CE)]
        {
            assert_eq!(Asked::by(None, mode).refused(Class::Error), Some(code));
            assert_eq!(Asked::of_batch(mode).refused(Class::Error), Some(code));
        }
    }
}
