//! Whether a destination's address is that of the server that was written to: what a person has to say where it is not.
//!
//! Invariant: no request leaves for an address of which nobody said what it is. The ids in our ledger, and those of the
//! EHR's Patients, are other people's at another server.

use outbox::Server;

use super::{Deliverer, pace::Pace};
use crate::{conditions::Kind, destination::Destination, time};

impl Deliverer {
    /// Whether writes may go to the destination's address; asked again after each reload, and while they may not.
    pub(super) async fn is_at_its_server(&self, destination: &Destination, pace: &mut Pace) -> bool {
        // Where resources go as messages alone there is no address.
        if pace.at_its_server || destination.base_url.is_empty() {
            return true;
        }
        let now = time::now_ms();
        match self.writer.server(&self.id, &destination.base_url, now).await {
            Ok(Server::Same) => {
                self.conditions.clear(Kind::ServerMoved, &self.id);
                pace.at_its_server = true;
            }
            Ok(Server::Moved { from }) => {
                self.conditions.raise(Kind::ServerMoved, &self.id, self.asked(destination, &from), now);
            }
            Err(error) => {
                tracing::warn!(destination = %self.id, %error, "the destination's address could not be looked up");
            }
        }
        pace.at_its_server
    }

    fn asked(&self, destination: &Destination, from: &str) -> String {
        let site = destination.site.as_deref().unwrap_or(&self.id);
        format!(
            "base_url was {from} and is {}; nothing is sent until a person says what it is: \
             isthmus site moved {site} --same-server --reason TEXT (the same charts under another address) or \
             --other-server (nothing that was written before counts there; what waits is written anew)",
            destination.base_url
        )
    }
}
