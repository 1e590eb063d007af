//! What holds for a whole message: the site's settings and what the header adds to them.

use super::{Context, FaultReason, field::Field, segment::Segment, timestamp::Timestamp};
use crate::{normalize::clock::Moment, reading::Instant};

/// What holds for the whole message.
pub(super) struct Rules<'a> {
    pub(super) context: &'a Context<'a>,
    /// MSH-7's offset, where it is trusted and stated.
    default_offset: Option<i16>,
    /// MSH-7 as the time of making.
    made_at: Instant,
}

impl<'a> Rules<'a> {
    pub(super) fn of(header: &Segment<'_>, context: &'a Context<'a>) -> Self {
        let sent = Timestamp::parse(&header.field(7).component(1).text()).ok();
        let offset = sent.and_then(Timestamp::offset_minutes).filter(|_| context.trust_msh7_offset);
        let made_at = sent.and_then(|sent| sent.made(offset, context.zone)).unwrap_or(Instant(0));
        Self { context, default_offset: offset, made_at }
    }

    /// The observation time in a field. Errs with a time reason.
    pub(super) fn observed(&self, field: Field<'_>) -> Result<Moment, FaultReason> {
        Timestamp::parse(&field.component(1).text())?.observed(self.default_offset, self.context.zone)
    }

    /// OBR-22, else MSH-7.
    pub(super) fn made_at(&self, obr: Option<&Segment<'_>>) -> Instant {
        obr.and_then(|obr| Timestamp::parse(&obr.field(22).component(1).text()).ok())
            .and_then(|reported| reported.made(self.default_offset, self.context.zone))
            .unwrap_or(self.made_at)
    }
}
