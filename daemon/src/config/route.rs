//! `[[route]]`: which messages belong to which site, and to which handler, where their listener's site and their type
//! do not say it.
//!
//! Invariant: the order of the file is the order in which routes are tried, so one that an earlier one leaves nothing
//! for is a fault and not a riddle.

use super::{
    fault::{Fault, Place},
    section::Section,
    spelling::nearest,
};
use crate::route::Handler;

/// One `[[route]]`: a message that meets every criterion goes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it takes.
    pub criteria: Criteria,
    /// The site; `None` is the listener's.
    pub site: Option<String>,
    /// The handler; `None` is the one of the message's type.
    pub handler: Option<Handler>,
}

/// What a message must be; `None` is anything. Names are compared exactly, with the namespace id (first component) of
/// the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// The listener's name.
    pub listener: Option<String>,
    /// MSH-3.
    pub sending_application: Option<String>,
    /// MSH-4.
    pub sending_facility: Option<String>,
    /// MSH-5.
    pub receiving_application: Option<String>,
    /// MSH-6.
    pub receiving_facility: Option<String>,
    /// MSH-9.1.
    pub code: Option<String>,
    /// MSH-9.2.
    pub event: Option<String>,
}

impl Route {
    /// Whether it takes every message and has none of them read: meant where a site is to be replayed later.
    pub fn keeps_everything(&self) -> bool {
        self.criteria == Criteria::default() && self.handler == Some(Handler::Keep)
    }
}

impl Criteria {
    /// Whether everything that `other` takes is taken here too.
    fn covers(&self, other: &Self) -> bool {
        let both = |pick: fn(&Self) -> &Option<String>| pick(self).is_none() || pick(self) == pick(other);
        both(|it| &it.listener)
            && both(|it| &it.sending_application)
            && both(|it| &it.sending_facility)
            && both(|it| &it.receiving_application)
            && both(|it| &it.receiving_facility)
            && both(|it| &it.code)
            && both(|it| &it.event)
    }
}

/// Reads every `[[route]]`; mentions of sites go to `mentions`.
pub(super) fn read_routes(
    root: &Section<'_>,
    sources: &[&str],
    mentions: &mut Vec<(String, Place)>,
) -> Vec<Route> {
    let mut before: Vec<(Criteria, usize)> = Vec::new();
    root.tables("route", |section| {
        let criteria = read_criteria(section, sources);
        let site = section.name("site", "\"main\"");
        mentions.extend(site.clone().map(|site| (site, section.place("site"))));
        let handlers = Handler::OF_MESSAGES.map(|handler| (handler.word(), handler));
        let handler = section.choice("handler", &handlers, &[]);
        if !section.has("site") && !section.has("handler") {
            section.missing(
                "handler",
                "is not written, nor is a site: the route leads nowhere",
                "write site = \"main\", or handler = \"results\", \"patients\", \"orders\" or \"keep\"",
            );
        }
        let criteria = criteria?;
        let place = section.place("");
        if let Some((_, other)) = before.iter().find(|(earlier, _)| earlier.covers(&criteria)) {
            section.findings().note(Fault::at(
                &place,
                format!("this [[route]] can never match: the one at line {other} takes everything it takes"),
                "put it before that one, or remove it",
            ));
        }
        before.push((criteria.clone(), place.line));
        Some(Route { criteria, site, handler })
    })
}

/// `None` where a criterion is faulty: an unread one must not make the route take everything.
fn read_criteria(section: &Section<'_>, sources: &[&str]) -> Option<Criteria> {
    let named = |key, example| (section.has(key), section.text(key, example).map(str::to_owned));
    let listener = named("listener", "\"interface-engine\"");
    if let Some(name) = listener.1.as_deref()
        && !sources.contains(&name)
    {
        let near = nearest(name, sources.iter().copied());
        section.fault(
            "listener",
            &format!("= \"{name}\" is the name of no [[mllp]] and no [[spool]]"),
            match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => {
                    "write the name (or, without one, the address) of a [[mllp]], or the name of a [[spool]]"
                        .to_owned()
                }
            },
        );
    }
    let kind = named("type", "\"ADT^A08\"");
    let fields = [
        named("sending_application", "\"DEXHUB\""),
        named("sending_facility", "\"NORTH\""),
        named("receiving_application", "\"ISTHMUS\""),
        named("receiving_facility", "\"NORTH\""),
    ];
    let (code, event) = match kind.1.as_deref().map(|kind| read_type(section, kind)) {
        None => (None, None),
        Some(read) => read.map(|(code, event)| (Some(code), event))?,
    };
    let faulty = |(written, read): &(bool, Option<String>)| *written && read.is_none();
    if fields.iter().chain([&listener, &kind]).any(faulty) {
        return None;
    }
    let [sending_application, sending_facility, receiving_application, receiving_facility] =
        fields.map(|(_, read)| read);
    Some(Criteria {
        listener: listener.1,
        sending_application,
        sending_facility,
        receiving_application,
        receiving_facility,
        code,
        event,
    })
}

/// MSH-9.1, and MSH-9.2 where it is written.
fn read_type(section: &Section<'_>, kind: &str) -> Option<(String, Option<String>)> {
    let sound =
        |part: &str| part.len() == 3 && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let (code, event) = kind.split_once('^').map_or((kind, None), |(code, event)| (code, Some(event)));
    if sound(code) && event.is_none_or(sound) {
        return Some((code.to_owned(), event.map(str::to_owned)));
    }
    section.fault("type", "is no message type", "write it as \"ORU\" or \"ADT^A08\" (MSH-9.1, MSH-9.2)");
    None
}
