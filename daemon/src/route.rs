//! What is done with a message once it is committed, and whose it is: decided when it is taken in, and stored with it,
//! so that a later change of the configuration does not change what an old message meant.
//!
//! Invariants: every message goes somewhere, because the default (the listener's site, the handler of the type) takes
//! what no route takes; a look-up allocates nothing.
//!
//! Numbers: routes are tried in order, at most 1,024 of them (the bound of a list in the configuration); one that does
//! not match costs some nanoseconds, and none at all are as if there were no routing.

use std::sync::Arc;

use mllp::envelope::Envelope;

use crate::config;

/// Stored in the place of a handler's word with what is no message: the head of one that was longer than its listener
/// takes, a batch that was refused whole, what stands around the messages of a batch, and files that are neither HL7 v2
/// nor a known export. Nothing is ever read from it,
/// not on a release either: half a message is another message. It is no [`Handler`], so no route can name it.
pub const PART: &str = "part";

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
    /// Looks for glucose readings and summaries in FHIR that the file lane stored.
    Fhir,
    /// Nothing: it is kept.
    Keep,
}

impl Handler {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Results, Self::Patients, Self::Orders, Self::File, Self::Fhir, Self::Keep];

    /// Those that a message over MLLP may be routed to.
    pub const OF_MESSAGES: [Self; 4] = [Self::Results, Self::Patients, Self::Orders, Self::Keep];

    /// The word that is stored with a message, and written in configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Patients => "patients",
            Self::Orders => "orders",
            Self::File => "file",
            Self::Fhir => "fhir",
            Self::Keep => "keep",
        }
    }

    /// The handler with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|handler| handler.word() == word)
    }

    /// What a message of this type is for where no route says otherwise (MSH-9.1, HL7 table 0076).
    pub fn of(envelope: &Envelope) -> Self {
        match envelope.message_code().trim_ascii() {
            b"ORU" => Self::Results,
            b"ADT" => Self::Patients,
            b"ORM" | b"OML" => Self::Orders,
            _ => Self::Keep,
        }
    }
}

/// The configured routes, compiled.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    listener: Option<Box<str>>,
    /// MSH-3 to MSH-6, the namespace id of each.
    parties: [Option<Box<[u8]>>; 4],
    code: Option<Box<[u8]>>,
    event: Option<Box<[u8]>>,
    site: Option<Arc<str>>,
    handler: Option<Handler>,
}

impl Routes {
    /// Compiles them in their order.
    pub fn compile(routes: &[config::Route]) -> Self {
        Self(routes.iter().map(Rule::compile).collect())
    }

    /// The site and the handler of a message of this listener: of the first route that takes it, else `site` and the
    /// handler of its type.
    pub fn choose(&self, listener: &str, site: &Arc<str>, envelope: &Envelope) -> (Arc<str>, Handler) {
        // Without routes nothing is cut out.
        let sent = (!self.0.is_empty()).then(|| Sent::of(listener, envelope));
        let rule = sent.and_then(|sent| self.0.iter().find(|rule| rule.takes(&sent)));
        let handler = rule.and_then(|rule| rule.handler).unwrap_or_else(|| Handler::of(envelope));
        (Arc::clone(rule.and_then(|rule| rule.site.as_ref()).unwrap_or(site)), handler)
    }
}

impl Rule {
    fn compile(route: &config::Route) -> Self {
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().into());
        let it = &route.criteria;
        Self {
            listener: it.listener.as_deref().map(Box::from),
            parties: [
                bytes(&it.sending_application),
                bytes(&it.sending_facility),
                bytes(&it.receiving_application),
                bytes(&it.receiving_facility),
            ],
            code: bytes(&it.code),
            event: bytes(&it.event),
            site: route.site.as_deref().map(Arc::from),
            handler: route.handler,
        }
    }

    fn takes(&self, sent: &Sent<'_>) -> bool {
        let is =
            |wanted: &Option<Box<[u8]>>, sent: &[u8]| wanted.as_ref().is_none_or(|wanted| **wanted == *sent);
        self.listener.as_ref().is_none_or(|wanted| **wanted == *sent.listener)
            && is(&self.code, sent.code)
            && is(&self.event, sent.event)
            && self.parties.iter().zip(sent.parties).all(|(wanted, sent)| is(wanted, sent))
    }
}

/// What rules look at, cut out of MSH once for all of them.
struct Sent<'a> {
    listener: &'a str,
    parties: [&'a [u8]; 4],
    code: &'a [u8],
    event: &'a [u8],
}

impl<'a> Sent<'a> {
    fn of(listener: &'a str, envelope: &'a Envelope) -> Self {
        Self {
            listener,
            parties: [3, 4, 5, 6].map(|number| envelope.namespace(number).trim_ascii()),
            code: envelope.message_code().trim_ascii(),
            event: envelope.trigger().trim_ascii(),
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
            // A blank beside the code costs no result.
            ("ORU ^R01", Handler::Results),
            (" ADT^A08", Handler::Patients),
        ] {
            let message = Bytes::from(format!("MSH|^~\\&|A|B|C|D|2026||{kind}|1|P|2.5.1\r"));
            assert_eq!(Handler::of(&Envelope::scan(&message).unwrap()), handler, "{kind}");
        }
    }

    fn route(criteria: config::Criteria, site: Option<&str>, handler: Option<Handler>) -> config::Route {
        config::Route { criteria, site: site.map(str::to_owned), handler }
    }

    #[test]
    fn the_first_route_that_takes_a_message_decides_and_the_default_takes_the_rest() {
        let text = |text: &str| Some(text.to_owned());
        let any = config::Criteria::default;
        let routes = Routes::compile(&[
            route(
                config::Criteria { event: text("A08"), code: text("ADT"), ..any() },
                None,
                Some(Handler::Keep),
            ),
            route(config::Criteria { code: text("ADT"), ..any() }, Some("admissions"), None),
            route(config::Criteria { sending_facility: text("SOUTH"), ..any() }, Some("south"), None),
            route(
                config::Criteria { listener: text("lab"), receiving_application: text("CGM"), ..any() },
                Some("lab-site"),
                Some(Handler::Results),
            ),
        ]);
        let main: Arc<str> = Arc::from("main");
        for (listener, from, to, kind, site, handler) in [
            ("engine", "A|NORTH", "X|Y", "ORU^R01", "main", Handler::Results),
            ("engine", "A|SOUTH^1.2^ISO", "X|Y", "ORU^R01", "south", Handler::Results),
            ("engine", "A|SOUTHERN", "X|Y", "ORU^R01", "main", Handler::Results),
            ("engine", "A|SOUTH", "X|Y", "ADT^A08", "main", Handler::Keep),
            ("engine", "A|SOUTH", "X|Y", "ADT^A01", "admissions", Handler::Patients),
            ("lab", "A|NORTH", "CGM|Y", "MDM^T02", "lab-site", Handler::Results),
            ("engine", "A|NORTH", "CGM|Y", "MDM^T02", "main", Handler::Keep),
        ] {
            let message = Bytes::from(format!("MSH|^~\\&|{from}|{to}|2026||{kind}|1|P|2.5.1\r"));
            let chosen = routes.choose(listener, &main, &Envelope::scan(&message).unwrap());
            assert_eq!(chosen, (Arc::from(site), handler), "{listener} {from} {to} {kind}");
        }
    }
}
