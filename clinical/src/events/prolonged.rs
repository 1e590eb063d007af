//! Extended hyperglycaemia: 90 measured minutes very high, in sum, within 120; the numbers and the edge are the
//! policy's.
//!
//! Interruptions are part of the rule, so a gap changes nothing before there is an event, except that nothing is summed
//! over a long one: all 90 minutes are measured. Of an event the gaps are those of the module above. At most 120
//! minutes of readings are kept (no policy can say more than a day), so at most as many as fit.

use std::collections::VecDeque;

use super::{Edge, EventKind, Found, Gap, Lasting, Run, Span, watch::Watch};
use crate::{policy::ExtendedHyper, reading::Instant, series::Palette};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prolonged {
    edge: Edge,
    needed_ms: i64,
    within_ms: i64,
    /// Readings past the edge that end within the last 120 minutes.
    recent: VecDeque<Span>,
    measured_ms: i64,
    /// Follows an event once there is one.
    event: Option<Watch>,
    lasting: Lasting,
}

impl Prolonged {
    pub(super) fn new(edge: Edge, rule: ExtendedHyper, lasting: Lasting) -> Self {
        let ms = |minutes: u32| i64::from(minutes) * Instant::MINUTE_MS;
        Self {
            edge,
            needed_ms: ms(rule.minutes),
            within_ms: ms(rule.within_minutes),
            recent: VecDeque::new(),
            measured_ms: 0,
            event: None,
            lasting,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.event.is_none() && self.recent.is_empty()
    }

    #[inline]
    pub(super) fn step(&mut self, span: &Span, palette: &Palette, found: &mut Vec<Found>) {
        if !self.is_idle() || self.edge.is_past(span.level) {
            self.take(span, palette, found);
        }
    }

    fn take(&mut self, span: &Span, palette: &Palette, found: &mut Vec<Found>) {
        if let Some(event) = &mut self.event {
            event.step(span, palette, found);
            if event.is_event() {
                return;
            }
            self.event = None;
        }
        if span.gap == Gap::Long {
            self.forget();
        }
        let past = self.edge.is_past(span.level);
        if past {
            self.recent.push_back(*span);
            self.measured_ms += span.cover_ms();
        }
        let since = span.end.0.saturating_sub(self.within_ms);
        while let Some(first) = self.recent.front()
            && first.start.0 < since
        {
            self.measured_ms -= first.cover_ms();
            self.recent.pop_front();
        }
        if past && self.measured_ms >= self.needed_ms {
            self.begin();
        }
    }

    pub(super) fn cut(&mut self, palette: &Palette, found: &mut Vec<Found>) {
        if let Some(mut event) = self.event.take() {
            event.cut(palette, found);
        }
        self.forget();
    }

    fn begin(&mut self) {
        let mut spans = self.recent.iter();
        let Some(first) = spans.next() else { return };
        let mut run = Run::begin(first, &self.edge);
        for span in spans {
            run.add(span, &self.edge);
            run.doubtful |= span.gap == Gap::Between;
        }
        self.event = Some(Watch::following(EventKind::HyperExtended, self.edge, self.lasting, run));
        self.forget();
    }

    fn forget(&mut self) {
        self.recent.clear();
        self.measured_ms = 0;
    }
}
