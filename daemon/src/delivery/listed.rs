//! Has what waits in a form, or of a kind of resource, that a site's file lists no more wait for a reason that says so.
//!
//! Invariants: nothing waits for what no longer comes without a reason that names the configuration; where another form is
//! open it falls back (`fallback`), else it goes once the file lists it again. Messages wait in the queues of receivers, also
//! of such as the site no longer names. What is in doubt is told to people, for nothing looks for it.

use std::collections::BTreeSet;

use outbox::Enlist;

use super::{Deliverer, edges, pace::Pace};
use crate::{
    broker::Reason,
    destination::{Destination, MESSAGES},
    time,
};

impl Deliverer {
    /// Brings what waits in line with the forms and kinds that the site's file lists. Whether that was done.
    pub(super) async fn enlist(&self, destination: &Destination, pace: &mut Pace) -> bool {
        let Some(asked) = self.to_enlist(destination) else { return false };
        let now = time::now_ms();
        for enlist in asked {
            let queue = enlist.destination.clone();
            match self.writer.enlist(enlist).await {
                Ok(done) => {
                    if done.unlisted > 0 {
                        let rows = done.unlisted;
                        tracing::warn!(destination = %queue, rows, "the site's file lists no more what these rows wait in");
                        // Whether they go in another form is asked now.
                        pace.forms = None;
                    }
                    done.in_doubt.into_iter().for_each(|row| pace.doubts.heard(row, true, now));
                }
                Err(error) => {
                    tracing::warn!(destination = %queue, %error, "the queue could not be brought in line with the file");
                    return false;
                }
            }
        }
        true
    }

    /// What is asked of the store: of the destination's own queue, and of each that has messages. `None` where the store
    /// does not say which those are.
    fn to_enlist(&self, destination: &Destination) -> Option<Vec<Enlist>> {
        let held = |capability| self.held(destination, capability).map(|reason| reason.word().to_owned());
        let uses = destination.uses().into_iter().map(|(capability, _)| capability);
        let kinds = uses.filter(|capability| *capability != MESSAGES);
        let own = Enlist {
            destination: self.id.clone(),
            only: None,
            kinds: kinds.map(|capability| (capability.name().to_owned(), held(capability))).collect(),
            forms: destination.forms().map(str::to_owned).collect(),
            by_mode: edges::by_mode(),
            unlisted: Reason::FormNotListed.word().to_owned(),
            at: time::now_ms(),
        };
        let mut asked = vec![own.clone()];
        if destination.site.is_some() {
            let receivers: BTreeSet<String> = destination.receivers().collect();
            let kind = destination.message_kind();
            for queue in self.message_queues()? {
                let listed = receivers.contains(&queue).then(|| (kind.clone(), held(MESSAGES)));
                let (only, kinds) = (Some(kind.clone()), listed.into_iter().collect());
                asked.push(Enlist { destination: queue, only, kinds, ..own.clone() });
            }
        }
        Some(asked)
    }

    /// Every queue of messages, also of receivers that nothing names any more.
    pub(super) fn message_queues(&self) -> Option<Vec<String>> {
        self.readers.with(|reader| reader.message_queues()).ok()
    }
}
