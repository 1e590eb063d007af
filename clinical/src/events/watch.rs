//! One threshold watched reading by reading.
//!
//! Three states: nothing, a run that is not yet an event, an event. What a reading does depends on the state, on which
//! side of the threshold it is, and on the gap before it; the table is in the module above.

use super::{Edge, EventKind, Found, Gap, Lasting, Run, Span};
use crate::{reading::Instant, series::Palette};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Nothing,
    /// Past the threshold, not long enough yet.
    Run(Run),
    /// An event, and where and how long it has been back.
    Event(Run, Option<Back>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Back {
    since: Instant,
    measured_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    kind: EventKind,
    edge: Edge,
    /// What is not past this is back.
    end: Edge,
    lasting: Lasting,
    state: State,
}

impl Watch {
    pub(super) fn new(kind: EventKind, edge: Edge, end: Edge, lasting: Lasting) -> Self {
        Self { kind, edge, end, lasting, state: State::Nothing }
    }

    /// A watch that follows an event.
    pub(super) fn following(kind: EventKind, edge: Edge, lasting: Lasting, run: Run) -> Self {
        Self { kind, edge, end: edge, lasting, state: State::Event(run, None) }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Nothing)
    }

    pub(super) fn is_event(&self) -> bool {
        matches!(self.state, State::Event(..))
    }

    #[inline]
    pub(super) fn step(&mut self, span: &Span, palette: &Palette, found: &mut Vec<Found>) {
        // Of the watches that are told of a reading most are idle.
        let past = self.edge.is_past(span.level);
        if past || !self.is_idle() {
            self.take(span, past, palette, found);
        }
    }

    fn take(&mut self, span: &Span, past: bool, palette: &Palette, found: &mut Vec<Found>) {
        match span.gap {
            Gap::Short => {}
            Gap::Long => self.cut(palette, found),
            Gap::Between => self.bridge(self.end.is_past(span.level), palette, found),
        }
        match &mut self.state {
            State::Nothing if past => self.state = State::Run(Run::begin(span, &self.edge)),
            State::Nothing => {}
            State::Run(run) if past => {
                run.add(span, &self.edge);
                if run.measured_ms >= self.lasting.least_ms {
                    self.state = State::Event(*run, None);
                }
            }
            State::Run(run) => {
                let run = *run;
                self.candidate(&run, false, palette, found);
                self.state = State::Nothing;
            }
            State::Event(run, back) if past => {
                run.add(span, &self.edge);
                *back = None;
            }
            // Neither past nor back: below the target, where the event is of level 2 and ends in it.
            State::Event(run, back) if self.end.is_past(span.level) => {
                run.past_until = span.end;
                *back = None;
            }
            State::Event(run, back) => {
                let so_far = Back { since: span.start.min(run.past_until), measured_ms: 0 };
                let back = back.get_or_insert(so_far);
                back.measured_ms += span.cover_ms();
                if back.measured_ms >= self.lasting.back_ms {
                    found.push(Found::new(self.kind, run, (back.since, true), false, palette));
                    self.state = State::Nothing;
                }
            }
        }
    }

    /// Ends what is open without having seen its end.
    pub(super) fn cut(&mut self, palette: &Palette, found: &mut Vec<Found>) {
        match self.state {
            State::Nothing => return,
            State::Run(run) => self.candidate(&run, true, palette, found),
            State::Event(run, back) => {
                let end = back.map_or(run.past_until, |back| back.since);
                found.push(Found::new(self.kind, &run, (end, true), true, palette));
            }
        }
        self.state = State::Nothing;
    }

    /// A gap between the short and the long: an event goes on only from a reading inside of it to another.
    fn bridge(&mut self, inside: bool, palette: &Palette, found: &mut Vec<Found>) {
        match &mut self.state {
            State::Event(run, None) if inside => run.doubtful = true,
            _ => self.cut(palette, found),
        }
    }

    /// A run that did not become an event is listed where one reading alone covers the time.
    fn candidate(&self, run: &Run, truncated: bool, palette: &Palette, found: &mut Vec<Found>) {
        if run.readings == 1 && run.measured_ms >= self.lasting.least_ms {
            found.push(Found::new(self.kind, run, (run.past_until, false), truncated, palette));
        }
    }
}
