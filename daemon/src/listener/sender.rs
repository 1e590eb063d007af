//! Whose messages a listener takes: MSH-3 and MSH-4 against `allow_senders`.
//!
//! Pure. Compared is the namespace id (HD.1, the first component cut by the message's own delimiter), byte for byte
//! as it was sent, escapes included: what is compared is what the sender was configured with.

use mllp::{
    ack::{AckFault, Location},
    envelope::Envelope,
};

use crate::config::AllowedSender;

/// Whether the sender is in the list; anyone is where the list is empty.
pub(crate) fn is_allowed(list: &[AllowedSender], envelope: &Envelope) -> bool {
    let component = envelope.separators().component;
    let namespace = |field: &[u8]| field.split(|byte| *byte == component).next().unwrap_or_default().to_vec();
    if list.is_empty() {
        return true;
    }
    let application = namespace(envelope.sending_application());
    let facility = namespace(envelope.sending_facility());
    list.iter().any(|allowed| {
        allowed.application.as_bytes() == application
            && allowed.facility.as_ref().is_none_or(|wanted| wanted.as_bytes() == facility)
    })
}

/// What a sender that is not in the list is told, with AR: the header is refused, whatever the content (table 0008).
///
/// The code is 103, table value not found (table 0357): the namespace ids of MSH-3 and MSH-4 are coded by the
/// receiver's own tables 0361 and 0362, and `allow_senders` is those tables here. 207 is an error of ours, which
/// this is not, and engines send again upon it.
pub(crate) fn fault() -> AckFault {
    AckFault {
        code: 103,
        text: "MSH-3 and MSH-4 name a sender that this listener does not take (allow_senders)".into(),
        location: Some(Location::field("MSH", 1, 3)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_sender_is_taken_where_its_namespace_ids_are_listed_exactly() {
        let allowed = |application: &str, facility: Option<&str>| AllowedSender {
            application: application.to_owned(),
            facility: facility.map(str::to_owned),
        };
        let list = [allowed("LAB", Some("NORTH")), allowed("DEXHUB", None)];
        for (msh, taken) in [
            ("MSH|^~\\&|LAB|NORTH|", true),
            ("MSH|^~\\&|LAB^1.2.3^ISO|NORTH^4.5^ISO|", true),
            ("MSH|^~\\&|LAB|SOUTH|", false),
            ("MSH|^~\\&|LAB||", false),
            ("MSH|^~\\&|lab|NORTH|", false),
            ("MSH|^~\\&|LAB2|NORTH|", false),
            ("MSH|^~\\&| LAB|NORTH|", false),
            ("MSH|^~\\&||NORTH|", false),
            ("MSH|^~\\&|DEXHUB|ANYWHERE|", true),
            ("MSH|^~\\&|DEXHUB||", true),
            ("MSH|^~\\&|ANY^DEXHUB||", false),
            // Its own delimiters.
            ("MSH$%~\\&$LAB%1.2$NORTH$", true),
            ("MSH$%~\\&$LAB^1.2$NORTH$", false),
        ] {
            let field = &msh[3..4];
            let message = format!("{msh}{field}{field}{field}{field}ORU%R01{field}1{field}P{field}2.5.1\r");
            let envelope = Envelope::scan(&Bytes::from(message)).unwrap();
            assert_eq!(is_allowed(&list, &envelope), taken, "{msh}");
            assert!(is_allowed(&[], &envelope), "an empty list is anyone");
        }
    }
}
