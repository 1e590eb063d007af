//! A model beside the store: what may go is worked out a second time from what was put in, in plain loops.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rusqlite::{Connection, params};

use super::*;
use crate::{legal_hold::AddHold, schema::migrate};

const SITES: [&str; 2] = ["north", "south"];
/// What is as old as this is old enough: midnight after day 1000.
const BEFORE: i64 = 1_001 * DAY_MS - 1;
const NOW: i64 = 2_000 * DAY_MS;

/// Why a message has to stay; the last is no reason.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tie {
    Again,
    Quarantined,
    Unidentified,
    Awaited,
    Contradicted,
    Posted,
    Consent,
    Settled,
    None,
}

const TIES: [Tie; 9] = [
    Tie::Again,
    Tie::Quarantined,
    Tie::Unidentified,
    Tie::Awaited,
    Tie::Contradicted,
    Tie::Posted,
    Tie::Consent,
    Tie::Settled,
    Tie::None,
];

#[derive(Clone, Debug)]
struct Message {
    site: usize,
    day: i64,
    tie: Tie,
}

/// What is still to be done for a window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    Nothing,
    Due,
    Row(&'static str),
    Wish,
    Unserved,
}

#[derive(Clone, Debug)]
struct Window {
    patient: usize,
    days: i64,
    end: i64,
    open: Open,
    versions: i64,
    /// The version that stands at a destination, 0 for none.
    stands: i64,
}

#[derive(Clone, Debug)]
struct Hold {
    site: Option<usize>,
    patient: Option<usize>,
    days: Option<(i64, i64)>,
}

#[derive(Clone, Debug)]
struct World {
    patients: Vec<usize>,
    links: Vec<(usize, usize, bool)>,
    messages: Vec<Message>,
    absorbed: usize,
    chunks: Vec<(usize, i64)>,
    windows: Vec<Window>,
    holds: Vec<Hold>,
}

fn window() -> impl Strategy<Value = Window> {
    let open = prop_oneof![
        6 => Just(Open::Nothing),
        1 => Just(Open::Due),
        1 => prop::sample::select(vec!["pending", "leased", "deferred", "ambiguous", "quarantined"]).prop_map(Open::Row),
        2 => prop::sample::select(vec!["delivered", "superseded", "dropped", "shown"]).prop_map(Open::Row),
        1 => Just(Open::Wish),
        1 => Just(Open::Unserved),
    ];
    (0..4_usize, 1..15_i64, 990..1_010_i64, open, 0..5_i64, 0..5_i64).prop_map(
        |(patient, days, end, open, versions, stands)| Window { patient, days, end, open, versions, stands },
    )
}

fn world() -> impl Strategy<Value = World> {
    let message = (0..2_usize, 960..1_010_i64, prop::sample::select(TIES.to_vec()))
        .prop_map(|(site, day, tie)| Message { site, day, tie });
    let span = prop::option::of((960..1_010_i64, 0..20_i64).prop_map(|(from, days)| (from, from + days)));
    let hold = (prop::option::of(0..2_usize), prop::option::of(0..4_usize), span)
        .prop_map(|(site, patient, days)| Hold { site, patient, days });
    (
        prop::collection::vec(0..2_usize, 4),
        prop::collection::vec((0..4_usize, 0..4_usize, any::<bool>()), 0..3),
        prop::collection::vec(message, 0..20),
        0..25_usize,
        prop::collection::btree_set((0..4_usize, 960..1_010_i64), 0..20),
        prop::collection::vec(window(), 0..5),
        prop::collection::vec(hold, 0..3),
    )
        .prop_map(|(patients, links, messages, absorbed, chunks, windows, holds)| World {
            patients,
            links: links.into_iter().filter(|(child, parent, _)| child != parent).collect(),
            messages,
            absorbed,
            chunks: chunks.into_iter().collect(),
            windows,
            holds,
        })
}

/// Puts the world into a store.
fn put(world: &World) -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    migrate(&conn).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let id = |index: usize| index as i64 + 1;
    for (index, site) in world.patients.iter().enumerate() {
        let row = params![id(index), SITES[*site], format!("p{index}")];
        conn.execute("INSERT INTO patient (id, site, system, value) VALUES (?1, ?2, 's', ?3)", row).unwrap();
    }
    for (index, (child, parent, undone)) in world.links.iter().enumerate() {
        // Undone ones bind too, and there may be several of those.
        let undone = undone.then_some(1).or((index > 0).then_some(2));
        conn.execute(
            "INSERT INTO patient_link (child, parent, kind, inbox_id, ordinal, said_at, at, undone_at)
             VALUES (?1, ?2, 'related', 0, 0, 0, 0, ?3)",
            params![id(*child), id(*parent), undone],
        )
        .unwrap();
    }
    for (index, message) in world.messages.iter().enumerate() {
        put_message(&conn, id(index), message);
    }
    conn.execute("UPDATE watermark SET inbox_id = ?1", [world.absorbed as i64]).unwrap();
    for (index, (patient, day)) in world.chunks.iter().enumerate() {
        let sql = "INSERT INTO chunk (id, patient, day, device, version, count, body) VALUES (?1, ?2, ?3, 'd', 1, 1, x'00')";
        conn.execute(sql, params![id(index), id(*patient), day]).unwrap();
    }
    for (index, window) in world.windows.iter().enumerate() {
        put_window(&conn, id(index), window);
    }
    // Made by the rows above, as they are by a publish; what is unserved is said by the world alone.
    conn.execute("DELETE FROM unserved", []).unwrap();
    for (index, window) in
        world.windows.iter().enumerate().filter(|(_, window)| window.open == Open::Unserved)
    {
        let _of = window;
        conn.execute("INSERT INTO unserved (what, id) VALUES ('window', ?1)", [id(index)]).unwrap();
    }
    for hold in &world.holds {
        let scope = crate::HoldScope {
            site: hold.site.map(|site| SITES[site].to_owned()),
            patient: hold.patient.map(id),
            span: hold.days.map(|(from, until)| (from * DAY_MS, (until + 1) * DAY_MS - 1)),
        };
        let hold = AddHold { scope, actor: "a".to_owned(), reason: "r".to_owned(), at: 1 };
        hold.carry_out(&conn).unwrap();
    }
    conn
}

fn put_message(conn: &Connection, id: i64, message: &Message) {
    let at = message.day * DAY_MS + 1;
    conn.execute(
        "INSERT INTO inbox (id, received_at, source, site, handler, kind, control_id, hash, refused, control_reused,
           body_bytes, body) VALUES (?1, ?2, 's', ?3, 'h', 'k', 'c', zeroblob(32), 0, 0, 4, x'01020304')",
        params![id, at, SITES[message.site]],
    )
    .unwrap();
    let queue = |table: &str, state: &str| {
        let (more, value) = if table == "quarantine" { (", last_at", ", 0") } else { ("", "") };
        let stage = if table == "quarantine" { ("stage, place, ", "'s', 'p', ") } else { ("", "") };
        let sql = format!(
            "INSERT INTO {table} (inbox_id, {}reason, at, state, state_at{more}) VALUES (?1, {}'r', 0, '{state}', 1{value})",
            stage.0, stage.1
        );
        conn.execute(&sql, [id]).unwrap();
    };
    let run = |sql: &str| {
        conn.execute(sql, [id]).unwrap();
    };
    match message.tie {
        Tie::Again => run("INSERT INTO again (inbox_id, asked_at) VALUES (?1, 0)"),
        Tie::Quarantined => queue("quarantine", "open"),
        Tie::Unidentified => queue("identity_queue", "open"),
        Tie::Awaited => run("INSERT INTO identity_wait (site, system, value, inbox_id) VALUES ('north', 's', 'v', ?1)"),
        // Of nobody's site, so that it binds the message and no time.
        Tie::Contradicted => run("INSERT INTO conflict (patient, kind, about, at, stands_id, stands_route, stands_value,
            yields_id, yields_route, yields_value, state, since, state_at, note)
            VALUES (99, 'reading', 'd', ?1, ?1, 'a', '1', 0, 'b', '2', 'open', 0, 0, '')"),
        Tie::Posted => {
            run("INSERT INTO resource (id, tag, site, kind, version, updated_at, from_at, until_at, keys)
                 VALUES (?1, 1, 'x', 'Observation', 1, 0, 0, 0, x'')");
            run("INSERT INTO resource_version (resource, version, at, release, inbox_id) VALUES (?1, 1, 0, 'r4', ?1)");
        }
        Tie::Consent => run("INSERT INTO consent (at, patient, named, purpose, decision, from_at, past, link, source, inbox_id,
            document_stamped, actor, behalf, reason, hash)
            VALUES (0, 1, zeroblob(32), 'treatment', 'grant', 0, 0, 0, 'message', ?1, 0, '', '', '', zeroblob(32))"),
        Tie::Settled => {
            queue("quarantine", "resolved");
            queue("identity_queue", "dropped");
        }
        Tie::None => {}
    }
}

fn put_window(conn: &Connection, id: i64, window: &Window) {
    let patient = window.patient as i64 + 1;
    let due = (window.open == Open::Due).then_some(1);
    conn.execute(
        "INSERT INTO outcome_window (id, patient, origin, days, end_day, zone, policy, due_at, version, manifest)
         VALUES (?1, ?2, ?2, ?3, ?4, 'UTC', ?5, ?6, ?7, ?8)",
        params![
            id,
            patient,
            window.days,
            window.end,
            format!("policy {id}"),
            due,
            window.versions,
            format!("list {id} {}", window.versions)
        ],
    )
    .unwrap();
    for version in 1..=window.versions {
        conn.execute(
            "INSERT INTO published_version (window_id, version, display_hash, outcome_bytes, outcome, manifest, at, consent)
             VALUES (?1, ?2, zeroblob(32), 2, x'7b7d', ?3, ?4, 0)",
            params![id, version, format!("list {id} {version}"), (window.end + 4 * version) * DAY_MS],
        )
        .unwrap();
        conn.execute(
            "INSERT INTO manifest (id, count, sha256, body, at) VALUES (?1, 1, zeroblob(32), x'01', 0)",
            [format!("list {id} {version}")],
        )
        .unwrap();
    }
    let row = |version: i64, state: &str, n: i64| {
        let key = [[n as u8; 16], [id as u8; 16]].concat();
        conn.execute(
            "INSERT INTO outbox (id, destination, patient, window_id, version, kind, key, state, head, next_at, created_at, consent)
             VALUES (?1, 'd', ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, 0)",
            params![n, patient, id, version, format!("k{n}"), key, state, state == "leased"],
        )
        .unwrap();
    };
    if let Open::Row(state) = window.open {
        row(window.versions, state, 100 + id);
    }
    if window.stands > 0 {
        row(window.stands, "delivered", 200 + id);
        conn.execute(
            "INSERT INTO written (destination, server, identifier, location, content_hash, version, row_id, at)
             VALUES ('d', 0, ?1, 'l', zeroblob(32), 1, ?2, 0)",
            params![format!("i{id}"), 200 + id],
        )
        .unwrap();
    }
    if window.open == Open::Wish {
        conn.execute(
            "INSERT INTO intent (key, patient, window_id, kind, body, author, entered_at, confirmed_at, fresh_ms, own, state, state_at)
             VALUES (?1, ?2, ?3, 'note', '', 'a', 0, 0, 1, 0, 'expired', 0)",
            params![[id as u8; 32], patient, id],
        )
        .unwrap();
    }
}

impl Window {
    fn is_open(&self) -> bool {
        match self.open {
            // What the endpoint shows follows what is stored, and holds nothing up.
            Open::Nothing | Open::Unserved => false,
            Open::Row(state) => !["delivered", "superseded", "dropped", "shown"].contains(&state),
            Open::Due | Open::Wish => true,
        }
    }
}

impl World {
    fn person(&self, patient: usize) -> BTreeSet<usize> {
        let mut person = BTreeSet::from([patient]);
        for _ in 0..self.links.len() {
            for (child, parent, _) in &self.links {
                if person.contains(child) || person.contains(parent) {
                    person.extend([*child, *parent]);
                }
            }
        }
        person
    }

    fn is_held(&self, site: usize, patient: Option<usize>, first: i64, last: i64) -> bool {
        self.holds.iter().any(|hold| {
            hold.site.is_none_or(|held| held == site)
                && match (hold.patient, patient) {
                    (Some(held), Some(patient)) => self.person(held).contains(&patient),
                    _ => true,
                }
                && hold.days.is_none_or(|(from, until)| first <= until && last >= from)
        })
    }

    fn messages(&self, site: usize) -> Vec<i64> {
        let at_site = |window: &&Window| self.patients[window.patient] == site;
        let open = self.windows.iter().filter(at_site).filter(|window| window.is_open());
        let open_from = open.map(|window| window.end - window.days - 1).min().unwrap_or(i64::MAX);
        let may_go = |(index, message): &(usize, &Message)| {
            message.site == site
                && message.day <= 1_000
                && *index < self.absorbed
                && matches!(message.tie, Tie::Settled | Tie::None)
                && message.day < open_from
                && !self.is_held(site, None, message.day, message.day)
        };
        self.messages.iter().enumerate().filter(may_go).map(|(index, _)| index as i64 + 1).collect()
    }

    fn readings(&self, site: usize) -> Vec<i64> {
        let may_go = |(_, (patient, day)): &(usize, &(usize, i64))| {
            let person = self.person(*patient);
            let needed = self.windows.iter().any(|window| {
                person.contains(&window.patient)
                    && window.is_open()
                    && (window.end - window.days - 1..=window.end + 1).contains(day)
            });
            self.patients[*patient] == site
                && *day <= 1_000
                && !needed
                && !self.is_held(site, Some(*patient), *day, *day)
        };
        self.chunks.iter().enumerate().filter(may_go).map(|(index, _)| index as i64 + 1).collect()
    }

    /// Windows and versions.
    fn versions(&self, site: usize) -> Vec<(i64, i64)> {
        let mut gone = Vec::new();
        for (index, window) in self.windows.iter().enumerate() {
            let replaced_at = |version: i64| window.end + 4 * (version + 1);
            let old: Vec<i64> = (1..window.versions - 1)
                .filter(|version| *version != window.stands && replaced_at(*version) <= 1_000)
                .collect();
            // The whole window is looked at by the first that may go.
            let Some(first) = old.first() else { continue };
            let made = window.end + 4 * first;
            let held = self.is_held(
                site,
                Some(window.patient),
                (window.end - window.days).min(made),
                window.end + 4 * window.versions,
            );
            if self.patients[window.patient] == site && !window.is_open() && !held {
                gone.extend(old.into_iter().map(|version| (index as i64 + 1, version)));
            }
        }
        gone
    }
}

/// Prunes all of a kind.
fn prune_all(conn: &Connection, what: Prunable, site: usize) {
    let mut after = 0;
    loop {
        let found = prunable(conn, what, SITES[site], BEFORE, after).unwrap();
        if !found.rows.is_empty() {
            prune(what, site, found.rows).carry_out(conn).unwrap();
        }
        match found.next {
            Some(next) => after = next,
            None => return,
        }
    }
}

fn prune(what: Prunable, site: usize, rows: Vec<i64>) -> Prune {
    let word = String::new;
    let audit = AuditEntry { actor: word(), action: word(), object: word(), detail: word(), at: NOW };
    Prune { what, site: SITES[site].to_owned(), rows, before: BEFORE, audit, at: NOW }
}

fn numbers(conn: &Connection, sql: &str) -> Vec<i64> {
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn all_that_is_needed_by_nobody_goes_and_nothing_else(world in world()) {
        for site in 0..SITES.len() {
            let conn = put(&world);
            let all: Vec<i64> = (1..=world.chunks.len() as i64).collect();
            for what in Prunable::ALL {
                prune_all(&conn, what, site);
            }
            let emptied = numbers(&conn, "SELECT id FROM inbox WHERE removed_at IS NOT NULL AND length(body) = 0 ORDER BY id");
            prop_assert_eq!(emptied, world.messages(site));
            prop_assert_eq!(numbers(&conn, "SELECT id FROM inbox WHERE removed_at IS NULL AND length(body) = 0"), Vec::<i64>::new());

            let left = numbers(&conn, "SELECT id FROM chunk ORDER BY id");
            let gone = world.readings(site);
            prop_assert_eq!(left, all.into_iter().filter(|id| !gone.contains(id)).collect::<Vec<_>>());
            let closed: BTreeSet<(i64, i64)> = gone
                .iter()
                .map(|id| world.chunks[*id as usize - 1])
                .map(|(patient, day)| (patient as i64 + 1, day))
                .collect();
            prop_assert_eq!(numbers(&conn, "SELECT count(*) FROM readings_removed"), [closed.len() as i64]);

            let versions = numbers(
                &conn,
                "SELECT window_id * 100 + version FROM published_version WHERE removed_at IS NOT NULL ORDER BY 1",
            );
            let expected: Vec<i64> = world.versions(site).iter().map(|(window, version)| window * 100 + version).collect();
            prop_assert_eq!(versions, expected.clone());
            let lists = numbers(&conn, "SELECT count(*) FROM manifest WHERE removed_at IS NOT NULL AND length(body) = 0");
            prop_assert_eq!(lists, [expected.len() as i64]);

            // Entries of messages that were tied only by what is settled, unless held.
            let open = "SELECT count(*) FROM quarantine WHERE state = 'open'";
            let tied = world.messages.iter().filter(|message| message.tie == Tie::Quarantined).count();
            prop_assert_eq!(numbers(&conn, open), [tied as i64]);
        }
    }
}

fn of(messages: Vec<Message>) -> World {
    World {
        patients: vec![0; 4],
        links: Vec::new(),
        absorbed: messages.len(),
        messages,
        chunks: Vec::new(),
        windows: Vec::new(),
        holds: Vec::new(),
    }
}

#[test]
fn one_row_that_may_not_go_keeps_all_of_a_command_and_its_audit_entry() {
    let message = |tie| Message { site: 0, day: 900, tie };
    for tie in TIES {
        let conn = put(&of(vec![message(Tie::None), message(tie)]));
        conn.execute_batch("SAVEPOINT command").unwrap();
        let done = prune(Prunable::Messages, 0, vec![1, 2]).carry_out(&conn);
        assert_eq!(done.is_ok(), matches!(tie, Tie::None | Tie::Settled), "{tie:?}");
        if done.is_err() {
            conn.execute_batch("ROLLBACK TO command").unwrap();
        }
        let entries = numbers(&conn, "SELECT count(*) FROM audit WHERE actor = ''");
        assert_eq!(entries, [i64::from(done.is_ok())], "{tie:?}");
    }
}

#[test]
fn exactly_as_old_as_it_must_be_is_old_enough() {
    for (before, goes) in [(900 * DAY_MS, false), (900 * DAY_MS + 1, true)] {
        let conn = put(&of(vec![Message { site: 0, day: 900, tie: Tie::None }]));
        assert_eq!(
            prunable(&conn, Prunable::Messages, "north", before, 0).unwrap().rows.len(),
            usize::from(goes)
        );
    }
}

#[test]
fn a_window_of_a_day_that_was_removed_is_closed_for_everyone_who_is_one_person() {
    let mut world = of(Vec::new());
    world.links = vec![(1, 0, false)];
    world.chunks = vec![(1, 500)];
    let conn = put(&world);
    assert!(!is_closed(&conn, 1, 14, 505).unwrap());
    prune_all(&conn, Prunable::Readings, 0);
    // Days 491 to 504 and one beside them on each side.
    for (patient, days, end, closed) in
        [(1, 14, 505, true), (2, 14, 505, true), (3, 14, 505, false), (1, 14, 499, true), (1, 14, 498, false)]
    {
        assert_eq!(is_closed(&conn, patient, days, end).unwrap(), closed, "{patient} {days} {end}");
    }
    assert!(is_closed(&conn, 1, 4, 505).unwrap() && !is_closed(&conn, 1, 3, 505).unwrap());
}

#[test]
fn a_closed_window_is_neither_dirtied_nor_computed_again() {
    let mut world = of(Vec::new());
    world.chunks = vec![(0, 500)];
    let window = |end| Window { patient: 0, days: 14, end, open: Open::Nothing, versions: 1, stands: 0 };
    world.windows = vec![window(505), window(530)];
    let conn = put(&world);
    prune_all(&conn, Prunable::Readings, 0);
    let dirty = |end_day, policy: &str| {
        let (zone, policy) = ("UTC".to_owned(), policy.to_owned());
        let window = crate::windows::WindowKey { patient: 1, days: 14, end_day, zone, policy };
        let dirty = crate::windows::DirtyWindow { window, now: 1, due_at: 1, closes_at: 1, max_wait_ms: 1 };
        crate::windows::dirty(&conn, &dirty).unwrap();
    };
    dirty(505, "policy 1");
    dirty(505, "another");
    dirty(530, "policy 2");
    let due = numbers(&conn, "SELECT id FROM outcome_window WHERE due_at IS NOT NULL");
    assert_eq!(due, [2]);
    assert_eq!(crate::windows::touch(&conn, 1, 1).unwrap(), 0);
    assert_eq!(crate::windows::touch(&conn, 2, 1).unwrap(), 1);
}

#[test]
fn a_contradiction_goes_once_it_is_settled_old_enough_without_readings_of_its_day_and_not_held() {
    let old = 900 * DAY_MS;
    for (what, state, at, state_at, chunk_day, open_window, held, goes) in [
        ("settled and old", "settled", old, old + 1, None, false, false, true),
        ("ended by its source", "gone", old, old + 1, None, false, false, true),
        ("nobody has looked at it", "open", old, old, None, false, false, false),
        ("looked at lately", "settled", old, BEFORE + 1, None, false, false, false),
        ("of a late day", "settled", BEFORE + 1, BEFORE + 1, None, false, false, false),
        ("its readings are there", "settled", old, old + 1, Some(900), false, false, false),
        ("readings of the day after", "gone", old, old + 1, Some(901), false, false, false),
        ("readings of another time", "settled", old, old + 1, Some(910), false, false, true),
        ("a window of its days is due", "settled", old, old + 1, None, true, false, false),
        ("under a hold", "settled", old, old + 1, None, false, true, false),
    ] {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        conn.execute_batch("PRAGMA foreign_keys = OFF; INSERT INTO patient (id, site, system, value) VALUES (1, 'north', 's', 'p')")
            .unwrap();
        conn.execute(
            "INSERT INTO conflict (id, patient, kind, about, at, stands_id, stands_route, stands_value, yields_id, yields_route,
               yields_value, state, since, state_at, note)
             VALUES (7, 1, 'reading', 'd', ?1, 1, 'r', '100', 2, 'q', '101', ?2, ?1, ?3, '')",
            params![at, state, state_at],
        )
        .unwrap();
        if let Some(day) = chunk_day {
            let sql = "INSERT INTO chunk (id, patient, day, device, version, count, body) VALUES (1, 1, ?1, 'd', 1, 1, x'00')";
            conn.execute(sql, [day]).unwrap();
        }
        if open_window {
            put_window(
                &conn,
                1,
                &Window { patient: 0, days: 3, end: 901, open: Open::Due, versions: 0, stands: 0 },
            );
        }
        if held {
            let scope = crate::HoldScope { patient: Some(1), ..Default::default() };
            AddHold { scope, actor: "a".to_owned(), reason: "r".to_owned(), at: 1 }.carry_out(&conn).unwrap();
        }
        let found = prunable(&conn, Prunable::Conflicts, "north", BEFORE, 0).unwrap();
        assert_eq!(found.rows, if goes { vec![7] } else { vec![] }, "{what}");
        let audit = AuditEntry {
            actor: "isthmus".to_owned(),
            action: "retention pruned".to_owned(),
            object: "site north".to_owned(),
            detail: String::new(),
            at: NOW,
        };
        let prune = Prune {
            what: Prunable::Conflicts,
            site: "north".to_owned(),
            rows: vec![7],
            before: BEFORE,
            audit,
            at: NOW,
        };
        assert_eq!(prune.carry_out(&conn).is_ok(), goes, "{what}: the command asks again");
        let left: i64 = conn.query_row("SELECT count(*) FROM conflict", [], |row| row.get(0)).unwrap();
        assert_eq!(left, i64::from(!goes), "{what}");
        assert_eq!(
            prunable(&conn, Prunable::Conflicts, "south", BEFORE, 0).unwrap().rows,
            [0_i64; 0],
            "{what}"
        );
    }
}
