//! The queue beside a model of it: random commands, restarts included, and the same answers from both.
//!
//! The model knows nothing of heads or indexes: it looks for the first unsettled row of each line every time.

use outbox::{Lease, Mode, ModeChange, NewRow, Release, Settle, State, Verdict};
use proptest::prelude::*;

use crate::folder::{Folder, row};

#[derive(Debug, Clone)]
enum Act {
    Publish { patient: usize, window: i32, rows: usize, deferred: bool },
    Lease { limit: usize, later: i64 },
    Probe,
    Settle { which: usize, verdict: u8 },
    Release { which: usize },
    Hold,
    Free,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3_usize, 20..22_i32, 1..3_usize, any::<bool>())
            .prop_map(|(patient, window, rows, deferred)| Act::Publish { patient, window, rows, deferred }),
        3 => (1..4_usize, 0..3_i64).prop_map(|(limit, later)| Act::Lease { limit, later }),
        1 => Just(Act::Probe),
        5 => (0..8_usize, 0..5_u8).prop_map(|(which, verdict)| Act::Settle { which, verdict }),
        1 => (0..8_usize).prop_map(|which| Act::Release { which }),
        1 => Just(Act::Hold),
        1 => Just(Act::Free),
        1 => Just(Act::Reopen),
    ]
}

#[derive(Debug, Clone)]
struct Row {
    id: i64,
    patient: usize,
    window: i32,
    version: i64,
    depends_on: Option<i64>,
    state: State,
    held: bool,
    with_its_dependency: bool,
    next_at: i64,
}

#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    probed: [i64; 3],
    versions: std::collections::HashMap<(usize, i32), i64>,
}

impl Model {
    /// The rows that stand first in their lines. A row under way keeps the line, even if one before it was
    /// released meanwhile; so does any other that was first when the released one came back.
    fn first(&self, heads: &mut [Option<i64>; 3]) {
        for (patient, head) in heads.iter_mut().enumerate() {
            let unsettled = |row: &&Row| row.patient == patient && !row.state.is_settled();
            if !head.is_some_and(|id| self.rows.iter().filter(unsettled).any(|row| row.id == id)) {
                *head = self.rows.iter().find(unsettled).map(|row| row.id);
            }
        }
    }

    fn has_successor(&self, row: &Row) -> bool {
        self.rows.iter().any(|other| {
            (other.patient, other.window) == (row.patient, row.window)
                && other.version > row.version
                && !matches!(other.state, State::Superseded | State::Quarantined)
        })
    }

    fn set_aside(&mut self, id: i64, with_its_dependency: bool) {
        for at in 0..self.rows.len() {
            if self.rows[at].id == id && !self.rows[at].state.is_settled() {
                self.rows[at].state = State::Quarantined;
                self.rows[at].with_its_dependency = with_its_dependency;
            }
            if self.rows[at].depends_on == Some(id) {
                self.set_aside(self.rows[at].id, true);
            }
        }
    }
}

fn mode_change(defer: bool) -> ModeChange {
    let mode = Mode {
        site: "main".into(),
        destination: "ehr".into(),
        capability: "all".into(),
        mode: "m".into(),
        since: 0,
        cause: String::new(),
        evidence: String::new(),
    };
    let reason = Some("held".to_owned());
    let (defer_pending, release_deferred) = if defer { (reason, None) } else { (None, reason) };
    ModeChange { mode, defer_pending, release_deferred }
}

fn run(acts: Vec<Act>) {
    let mut folder = Folder::new();
    let patients: Vec<i64> = ["a", "b", "c"].iter().map(|value| folder.patient(value)).collect();
    let (mut model, mut heads, mut key, mut now) = (Model::default(), [None; 3], 0_u64, 10_000_i64);
    for act in acts {
        now += 10;
        match act {
            Act::Publish { patient, window, rows, deferred } => {
                let new: Vec<NewRow> = (0..rows)
                    .map(|place| {
                        key += 1;
                        let deferred = deferred.then(|| "held".to_owned());
                        NewRow { deferred, depends_on: place.checked_sub(1), ..row(key) }
                    })
                    .collect();
                let version = model.versions.entry((patient, window)).or_insert(0);
                *version += 1;
                let version = *version;
                for row in &mut model.rows {
                    if (row.patient, row.window) == (patient, window)
                        && matches!(row.state, State::Pending | State::Deferred)
                    {
                        row.state = State::Superseded;
                    }
                }
                model.first(&mut heads);
                let ids = folder.publish(patients[patient], window, new, now);
                for (place, id) in ids.iter().enumerate() {
                    model.rows.push(Row {
                        id: *id,
                        patient,
                        window,
                        version,
                        depends_on: place.checked_sub(1).map(|above| ids[above]),
                        state: if deferred { State::Deferred } else { State::Pending },
                        held: deferred,
                        with_its_dependency: false,
                        next_at: now,
                    });
                }
            }
            Act::Lease { limit, later } => {
                let due = now + later * 20;
                let mut expected: Vec<&mut Row> = model
                    .rows
                    .iter_mut()
                    .filter(|row| heads[row.patient] == Some(row.id) && row.next_at <= due)
                    .filter(|row| matches!(row.state, State::Pending | State::Ambiguous))
                    .collect();
                expected.sort_by_key(|row| (row.state != State::Ambiguous, row.next_at, row.id));
                expected.truncate(limit);
                let lease = Lease { destination: "ehr".into(), limit, now: due, probe: false };
                let leased = folder.writer().lease(lease).wait().unwrap();
                let leased: Vec<_> = leased.iter().map(|row| (row.id, row.ambiguous)).collect();
                let wanted: Vec<_> =
                    expected.iter().map(|row| (row.id, row.state == State::Ambiguous)).collect();
                assert_eq!(leased, wanted);
                for row in expected {
                    row.state = State::Leased;
                }
            }
            Act::Probe => {
                let mut deferred: Vec<&mut Row> = model
                    .rows
                    .iter_mut()
                    .filter(|row| heads[row.patient] == Some(row.id) && row.state == State::Deferred)
                    .collect();
                deferred.sort_by_key(|row| (model.probed[row.patient], row.id));
                let probed = folder.probe(now);
                assert_eq!(
                    probed.iter().map(|row| row.id).collect::<Vec<_>>(),
                    deferred.iter().take(1).map(|row| row.id).collect::<Vec<_>>()
                );
                if let Some(row) = deferred.first_mut() {
                    row.state = State::Leased;
                    model.probed[row.patient] = now;
                }
            }
            Act::Settle { which, verdict } => {
                let leased: Vec<i64> =
                    model.rows.iter().filter(|row| row.state == State::Leased).map(|row| row.id).collect();
                let Some(id) = leased.get(which % leased.len().max(1)).copied() else { continue };
                let at = now + 30;
                let verdict = match verdict {
                    0 => Verdict::Delivered { written: Vec::new() },
                    1 => Verdict::Retry { at, cause: "503".into() },
                    2 => Verdict::Defer { reason: "held".into() },
                    3 => Verdict::Quarantine { reason: "422".into() },
                    _ => Verdict::Ambiguous { at, cause: "time-out".into() },
                };
                let place = model.rows.iter().position(|row| row.id == id).unwrap();
                let late = model.has_successor(&model.rows[place]);
                let row = &mut model.rows[place];
                match &verdict {
                    Verdict::Delivered { .. } => row.state = State::Delivered,
                    Verdict::Retry { .. } | Verdict::Defer { .. } if late => row.state = State::Superseded,
                    Verdict::Retry { .. } => (row.state, row.next_at) = (State::Pending, at),
                    Verdict::Defer { .. } => (row.state, row.held) = (State::Deferred, true),
                    Verdict::Quarantine { .. } => model.set_aside(id, false),
                    Verdict::Ambiguous { .. } => (row.state, row.next_at) = (State::Ambiguous, at),
                }
                let settle = Settle { row_id: id, verdict, modes: Vec::new(), audit: Vec::new(), at: now };
                let state = folder.writer().settle(settle).wait().unwrap();
                assert_eq!(state, model.rows[place].state);
            }
            Act::Release { which } => {
                let aside: Vec<i64> = model
                    .rows
                    .iter()
                    .filter(|row| row.state == State::Quarantined)
                    .map(|row| row.id)
                    .collect();
                let Some(id) = aside.get(which % aside.len().max(1)).copied() else { continue };
                let place = model.rows.iter().position(|row| row.id == id).unwrap();
                let to =
                    if model.has_successor(&model.rows[place]) { State::Superseded } else { State::Pending };
                let mut released = vec![id];
                for row in &mut model.rows[place..] {
                    let with_it =
                        row.with_its_dependency && row.depends_on.is_some_and(|d| released.contains(&d));
                    if row.id == id || (with_it && row.state == State::Quarantined) {
                        (row.state, row.next_at, row.with_its_dependency) = (to, now, false);
                        released.push(row.id);
                    }
                }
                let release = Release { row_id: id, at: now, audit: Vec::new() };
                assert_eq!(folder.writer().release(release).wait(), Ok(to));
            }
            Act::Hold | Act::Free => {
                let hold = matches!(act, Act::Hold);
                for row in &mut model.rows {
                    match row.state {
                        State::Pending if hold => (row.state, row.held) = (State::Deferred, true),
                        State::Deferred if !hold && row.held => row.state = State::Pending,
                        _ => {}
                    }
                    if !hold && row.state == State::Pending && row.held {
                        (row.held, row.next_at) = (false, row.next_at.min(0));
                    }
                }
                folder.writer().set_mode(mode_change(hold), Vec::new()).wait().unwrap();
            }
            Act::Reopen => {
                folder.reopen();
                for row in &mut model.rows {
                    if row.state == State::Leased {
                        (row.state, row.next_at) = (State::Ambiguous, 1_000);
                    }
                }
            }
        }
        model.first(&mut heads);
        let mut found = folder.read(|r| r.rows(None, 10_000));
        found.reverse();
        let found: Vec<_> = found.iter().map(|row| (row.id, row.state)).collect();
        let wanted: Vec<_> = model.rows.iter().map(|row| (row.id, row.state)).collect();
        assert_eq!(found, wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_queue_does_what_the_model_does(acts in proptest::collection::vec(act(), 1..24)) {
        run(acts);
    }
}
