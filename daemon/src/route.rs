//! What is done with a message once it is committed: decided when it is taken in, and stored with it, so that a
//! later change of the configuration does not change what an old message meant.

use mllp::envelope::Envelope;

/// What the pipeline does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Looks for glucose readings in it.
    Results,
    /// Learns who patients are.
    Patients,
    /// Learns which order or device belongs to whom.
    Orders,
    /// Looks for glucose readings in an export that the file lane stored.
    File,
    /// Nothing: it is kept.
    Keep,
}

impl Handler {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Results, Self::Patients, Self::Orders, Self::File, Self::Keep];

    /// The word that is stored with a message, and written in configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Patients => "patients",
            Self::Orders => "orders",
            Self::File => "file",
            Self::Keep => "keep",
        }
    }

    /// The handler with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|handler| handler.word() == word)
    }

    /// What a message of this type is for where no route says otherwise (MSH-9.1, HL7 table 0076).
    pub fn of(envelope: &Envelope) -> Self {
        match envelope.message_code() {
            b"ORU" => Self::Results,
            b"ADT" => Self::Patients,
            b"ORM" | b"OML" => Self::Orders,
            _ => Self::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn every_word_is_read_back_and_no_other() {
        for handler in Handler::ALL {
            assert_eq!(Handler::parse(handler.word()), Some(handler));
        }
        assert_eq!(Handler::parse("drop"), None);
    }

    #[test]
    fn a_message_goes_where_its_type_belongs() {
        for (kind, handler) in [
            ("ORU^R01^ORU_R01", Handler::Results),
            ("ADT^A01", Handler::Patients),
            ("ORM^O01", Handler::Orders),
            ("OML^O21", Handler::Orders),
            ("SIU^S12", Handler::Keep),
            ("ZCG", Handler::Keep),
        ] {
            let message = Bytes::from(format!("MSH|^~\\&|A|B|C|D|2026||{kind}|1|P|2.5.1\r"));
            assert_eq!(Handler::of(&Envelope::scan(&message).unwrap()), handler, "{kind}");
        }
    }
}
