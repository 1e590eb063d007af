//! The queue beside a model of it: random commands, restarts included, and the same answers from both.
//!
//! The model knows nothing of heads or indexes: it looks for the first unsettled row of each line every time.

use outbox::{Conflict, Enters, Lease, Mode, ModeChange, NewRow, Release, State, Verdict};
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
    let (defer_pending, release_deferred) =
        if defer { (reason, Vec::new()) } else { (None, reason.into_iter().collect()) };
    ModeChange {
        mode,
        kind: None,
        requeue_quarantined: None,
        defer_pending,
        release_deferred,
        latest: Vec::new(),
    }
}

/// The store and the model, told the same.
struct Pair {
    folder: Folder,
    patients: Vec<i64>,
    model: Model,
    heads: [Option<i64>; 3],
    key: u64,
    now: i64,
}

impl Pair {
    fn new() -> Self {
        let folder = Folder::new();
        let patients = ["a", "b", "c"].iter().map(|value| folder.patient(value)).collect();
        Self { folder, patients, model: Model::default(), heads: [None; 3], key: 0, now: 10_000 }
    }

    fn tell(&mut self, act: Act) {
        self.now += 10;
        match act {
            Act::Publish { patient, window, rows, deferred } => self.publish(patient, window, rows, deferred),
            Act::Lease { limit, later } => self.lease(limit, self.now + later * 20),
            Act::Probe => self.probe(),
            Act::Settle { which, verdict } => self.settle(which, verdict),
            Act::Release { which } => self.release(which),
            Act::Hold => self.hold(true),
            Act::Free => self.hold(false),
            Act::Reopen => self.reopen(),
        }
        self.model.first(&mut self.heads);
    }

    fn check(&self) {
        let mut found = self.folder.read(|r| r.rows(None, 10_000));
        found.reverse();
        let found: Vec<_> = found.iter().map(|row| (row.id, row.state)).collect();
        let wanted: Vec<_> = self.model.rows.iter().map(|row| (row.id, row.state)).collect();
        assert_eq!(found, wanted);
    }

    fn publish(&mut self, patient: usize, window: i32, rows: usize, deferred: bool) {
        let new: Vec<NewRow> = (0..rows)
            .map(|place| {
                self.key += 1;
                let enters = if deferred { Enters::Deferred("held".to_owned()) } else { Enters::Pending };
                NewRow { enters, depends_on: place.checked_sub(1), ..row(self.key) }
            })
            .collect();
        let version = self.model.versions.entry((patient, window)).or_insert(0);
        *version += 1;
        let version = *version;
        for row in &mut self.model.rows {
            let same = (row.patient, row.window) == (patient, window);
            if same && matches!(row.state, State::Pending | State::Deferred) {
                row.state = State::Superseded;
            }
        }
        self.model.first(&mut self.heads);
        let ids = self.folder.publish(self.patients[patient], window, new, self.now);
        for (place, id) in ids.iter().enumerate() {
            self.model.rows.push(Row {
                id: *id,
                patient,
                window,
                version,
                depends_on: place.checked_sub(1).map(|above| ids[above]),
                state: if deferred { State::Deferred } else { State::Pending },
                held: deferred,
                with_its_dependency: false,
                next_at: self.now,
            });
        }
    }

    fn lease(&mut self, limit: usize, due: i64) {
        let heads = self.heads;
        let mut expected: Vec<&mut Row> = self
            .model
            .rows
            .iter_mut()
            .filter(|row| heads[row.patient] == Some(row.id) && row.next_at <= due)
            .filter(|row| matches!(row.state, State::Pending | State::Ambiguous))
            .collect();
        expected.sort_by_key(|row| (row.state != State::Ambiguous, row.next_at, row.id));
        expected.truncate(limit);
        let lease = Lease {
            destination: "ehr".into(),
            limit,
            now: due,
            take: outbox::Take::Due { kinds: vec!["bundle".into()], upto: 2 },
            quotas: Vec::new(),
        };
        let leased = self.folder.writer().lease(lease).wait().unwrap();
        let leased: Vec<_> = leased.iter().map(|row| (row.id, row.ambiguous)).collect();
        let wanted: Vec<_> = expected.iter().map(|row| (row.id, row.state == State::Ambiguous)).collect();
        assert_eq!(leased, wanted);
        for row in expected {
            row.state = State::Leased;
        }
    }

    fn probe(&mut self) {
        let heads = self.heads;
        let mut deferred: Vec<&mut Row> = self
            .model
            .rows
            .iter_mut()
            .filter(|row| {
                heads[row.patient] == Some(row.id) && matches!(row.state, State::Deferred | State::Ambiguous)
            })
            .collect();
        deferred.sort_by_key(|row| (self.model.probed[row.patient], row.id));
        let probed: Vec<i64> = self.folder.probe(self.now).iter().map(|row| row.id).collect();
        assert_eq!(probed, deferred.iter().take(1).map(|row| row.id).collect::<Vec<_>>());
        if let Some(row) = deferred.first_mut() {
            row.state = State::Leased;
            self.model.probed[row.patient] = self.now;
        }
    }

    /// Place of one of the rows in a state, if there is any.
    fn pick(&self, state: State, which: usize) -> Option<usize> {
        let rows = self.model.rows.iter().enumerate().filter(|(_, row)| row.state == state);
        let places: Vec<usize> = rows.map(|(place, _)| place).collect();
        places.get(which % places.len().max(1)).copied()
    }

    fn settle(&mut self, which: usize, verdict: u8) {
        let Some(place) = self.pick(State::Leased, which) else { return };
        let at = self.now + 30;
        let verdict = match verdict {
            0 => Verdict::Delivered { written: Vec::new() },
            1 => Verdict::Retry { at, cause: "503".into() },
            2 => Verdict::Defer { reason: "held".into(), cause: None },
            3 => Verdict::Quarantine { reason: "422".into() },
            _ => Verdict::Ambiguous { at, cause: "time-out".into() },
        };
        let late = self.model.has_successor(&self.model.rows[place]);
        let row = &mut self.model.rows[place];
        let row_id = row.id;
        match &verdict {
            Verdict::Delivered { .. } => row.state = State::Delivered,
            Verdict::Retry { .. } | Verdict::Defer { .. } if late => row.state = State::Superseded,
            Verdict::Retry { .. } => (row.state, row.next_at) = (State::Pending, at),
            Verdict::Defer { .. } => (row.state, row.held) = (State::Deferred, true),
            Verdict::Quarantine { .. } => self.model.set_aside(row_id, false),
            Verdict::Ambiguous { .. } => (row.state, row.next_at) = (State::Ambiguous, at),
        }
        assert_eq!(self.folder.settle(row_id, verdict, self.now), self.model.rows[place].state);
    }

    fn release(&mut self, which: usize) {
        let Some(place) = self.pick(State::Quarantined, which) else { return };
        let row_id = self.model.rows[place].id;
        let release = Release { row_id, at: self.now, audit: Vec::new() };
        let above = self.model.rows[place].depends_on;
        let above = self.model.rows.iter().find(|row| Some(row.id) == above).map(|row| row.state);
        if above == Some(State::Quarantined) {
            let refused = self.folder.writer().release(release).wait();
            assert_eq!(refused, Err(Conflict::Dependency.into()));
            return;
        }
        let late = above == Some(State::Superseded) || self.model.has_successor(&self.model.rows[place]);
        let to = if late { State::Superseded } else { State::Pending };
        let mut released = vec![row_id];
        for row in &mut self.model.rows[place..] {
            let with_it = row.with_its_dependency
                && row.state == State::Quarantined
                && row.depends_on.is_some_and(|above| released.contains(&above));
            if row.id == row_id || with_it {
                (row.state, row.next_at, row.with_its_dependency) = (to, self.now, false);
                released.push(row.id);
            }
        }
        assert_eq!(self.folder.writer().release(release).wait(), Ok(to));
    }

    fn hold(&mut self, hold: bool) {
        for row in &mut self.model.rows {
            match row.state {
                State::Pending if hold => (row.state, row.held) = (State::Deferred, true),
                State::Deferred if !hold && row.held => {
                    (row.state, row.held, row.next_at) = (State::Pending, false, row.next_at.min(0));
                }
                _ => {}
            }
        }
        self.folder.writer().set_mode(mode_change(hold), Vec::new()).wait().unwrap();
    }

    fn reopen(&mut self) {
        self.folder.reopen();
        for row in self.model.rows.iter_mut().filter(|row| row.state == State::Leased) {
            (row.state, row.next_at) = (State::Ambiguous, 1_000);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_queue_does_what_the_model_does(acts in proptest::collection::vec(act(), 1..24)) {
        let mut pair = Pair::new();
        for act in acts {
            pair.tell(act);
            pair.check();
        }
    }
}
