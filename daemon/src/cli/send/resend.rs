//! One message until there is an answer or no resend is left: the same bytes each time, so that the receiver
//! sees the same control id.
//!
//! Numbers: [`DEFAULT_RESENDS`] resends by default, [`MAX_RESENDS`] at most, with a back-off from
//! [`FIRST_PAUSE`] to [`MAX_PAUSE`].

use std::time::Duration;

use bytes::Bytes;
use mllp::{Answer, Asked, Envelope, asked::Mode};
use rand::RngExt;
use tokio::time::sleep;

use crate::{
    delivery::backoff,
    outbound::{Pool, pool::Fault},
};

/// Resends of one message by default: over some seconds, as long as a receiver needs to restart.
pub(super) const DEFAULT_RESENDS: u32 = 3;
/// Most resends of one message.
pub(super) const MAX_RESENDS: u32 = 100;
const FIRST_PAUSE: Duration = Duration::from_millis(400);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What people are told of a message that wants no answer.
const SILENCE: &str = "MSH-15 and MSH-16 ask for no answer where it is accepted, so nothing would tell that it \
                       arrived; send it with MSH-15 AL, or with both empty";

/// What became of a message.
pub(super) enum Fate {
    /// Answered.
    Answered(Answer),
    /// It may have arrived, or a connection was lost; no answer came.
    NoAnswer(String),
    /// Nobody could be connected to.
    Unreachable(String),
    /// It cannot be sent at all.
    NotSendable(String),
    /// It was not tried.
    NotTried(&'static str),
}

/// Sends one message; with how many attempts were made.
pub(super) async fn send(pool: &Pool, message: &Bytes, resends: u32) -> (Fate, u32) {
    if asks_for_silence(message) {
        return (Fate::NotSendable(SILENCE.to_owned()), 1);
    }
    let mut handed_on = false;
    for attempt in 1.. {
        let fault = match pool.exchange(message).await {
            Ok(answer) => return (Fate::Answered(answer), attempt),
            Err(fault @ Fault::Unsendable(_)) => return (Fate::NotSendable(fault.to_string()), attempt),
            Err(fault) => fault,
        };
        handed_on |= fault.may_have_arrived();
        if attempt > resends {
            let why = fault.to_string();
            return (if handed_on { Fate::NoAnswer(why) } else { Fate::Unreachable(why) }, attempt);
        }
        let pause = backoff::wait(attempt, FIRST_PAUSE, MAX_PAUSE, rand::rng().random());
        sleep(pause).await;
    }
    // The loop ends by returning: an attempt is the last one before the count of them runs out.
    (Fate::NotTried("no attempt is left"), u32::MAX)
}

/// Whether a receiver that does as it is asked says nothing to this message once it has accepted it.
fn asks_for_silence(message: &Bytes) -> bool {
    let envelope = Envelope::scan(message).ok();
    Asked::by(envelope.as_ref(), Mode::AsAsked).accepted().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_that_is_answered_when_accepted_can_be_told_to_have_arrived() {
        for (asked, silent) in
            [("|", false), ("AL|NE", false), ("SU|", false), ("NE|NE", true), ("ER|AL", true), ("|AL", true)]
        {
            let text = format!("MSH|^~\\&|A|B|C|D|2026||ORU^R01|X1|P|2.5.1|||{asked}\r");
            assert_eq!(asks_for_silence(&Bytes::from(text)), silent, "{asked}");
        }
    }
}
