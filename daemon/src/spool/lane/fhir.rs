//! FHIR Observations in a file: stored as one message, which the pipeline reads as it reads results.

use super::{Content, Lane, Read};
use crate::{route::Handler, spool::letter::Report};

/// The longest file that is looked at for Observations: a fortnight of a sensor that measures every minute.
const MOST_BYTES: usize = 64 * 1024 * 1024;

impl Lane {
    /// Takes Observations in; `None` where the file holds none. A document that holds Consents is theirs.
    pub(super) fn observations(&mut self, content: &Content<'_>, text: &[u8]) -> Option<Read> {
        let document = std::str::from_utf8(text).ok().filter(|text| text.len() <= MOST_BYTES)?;
        if !clinical::normalize::fhir::holds_observation(document) {
            return None;
        }
        if let Some(read) = self.consents(content, text) {
            return Some(read);
        }
        let mut report = Report { content: "FHIR Observation".to_owned(), ..Report::default() };
        let bytes = content.bytes.clone();
        Some(match self.keep("fhir", content, bytes, Handler::Fhir, None, &mut report) {
            Some(_) => Read::Settle(report),
            None => Read::Stopped,
        })
    }
}
