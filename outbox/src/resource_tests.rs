use proptest::prelude::*;

use super::*;
use crate::{
    resource::{NewVersion, VersionBody, write_for_tests},
    schema::{migrate, plan},
};

fn store() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    migrate(&conn).unwrap();
    conn
}

fn put(conn: &Connection, number: i64, span: (i64, i64), keys: &[i64], expected: Option<i64>, at: i64) {
    let version = NewVersion {
        id: ResourceId { number, tag: 7 },
        site: "main".to_owned(),
        kind: "Observation".to_owned(),
        release: "r4".to_owned(),
        body: VersionBody::Made(b"{}".to_vec()),
        span,
        keys: keys.to_vec(),
        expected,
        shows: None,
    };
    write_for_tests(conn, &version, at).unwrap();
}

fn find(all_of: &[&[i64]]) -> Find {
    Find {
        site: "main".to_owned(),
        kind: "Observation".to_owned(),
        all_of: all_of.iter().map(|keys| keys.to_vec()).collect(),
        begins_before: None,
        begins_from: None,
        ends_from: None,
        updated: (None, None),
        order: Order::Time,
        descending: true,
        budget: 1_000,
    }
}

#[test]
fn every_step_of_a_search_walks_an_index_and_sorts_nothing() {
    let conn = store();
    let statements = BY_TIME.into_iter().chain(BY_UPDATED).chain([PROBE]);
    for sql in statements {
        let steps = plan(&conn, sql);
        assert_eq!(steps.len(), 1, "{sql}: {steps:?}");
        assert!(steps[0].starts_with("SEARCH resource") && !steps[0].contains("TEMP"), "{sql}: {steps:?}");
        assert!(
            steps[0].contains("COVERING") || steps[0].contains("PRIMARY KEY") || sql.contains("updated_at"),
            "{steps:?}"
        );
    }
    let of_message = format!("SELECT {COLUMNS} {OF_MESSAGE}");
    for sql in [crate::unserved::AFTER, resource::PARTS, &of_message] {
        let steps = plan(&conn, sql);
        assert!(
            steps.iter().all(|step| step.starts_with("SEARCH") && !step.contains("TEMP")),
            "{sql}: {steps:?}"
        );
    }
    // Both bounds of the order are bounds of the index, and no filter behind it.
    for (sql, column) in [(BY_TIME[1], "from_at"), (BY_UPDATED[1], "updated_at")] {
        let step = plan(&conn, sql).remove(0);
        let upper = [format!("({column},resource)<(?,?)"), format!("{column}<?")];
        assert!(step.contains(&format!("{column}>?")) && upper.iter().any(|it| step.contains(it)), "{step}");
    }
}

#[test]
fn a_page_goes_on_where_the_last_one_ended_whatever_was_written_between() {
    let conn = store();
    for number in 1..=10 {
        put(&conn, number, (number * 10, number * 10), &[1], None, number);
    }
    let all = find(&[&[1]]);
    let first = all.run(&conn, None, 4).unwrap();
    let numbers = |finding: &Finding| finding.found.iter().map(|spot| spot.number).collect::<Vec<_>>();
    assert_eq!(numbers(&first), [10, 9, 8, 7]);
    // One before what was seen, one after it, and one at the very time of the last.
    put(&conn, 11, (999, 999), &[1], None, 11);
    put(&conn, 12, (35, 35), &[1], None, 12);
    put(&conn, 13, (70, 70), &[1], None, 13);
    let second = all.run(&conn, first.next, 4).unwrap();
    assert_eq!(numbers(&second), [6, 5, 4, 12]);
    let third = all.run(&conn, second.next, 4).unwrap();
    assert_eq!(numbers(&third), [3, 2, 1]);
    assert_eq!(third.next, None);
}

#[test]
fn a_search_that_finds_little_ends_at_its_budget_and_says_where_to_go_on() {
    let conn = store();
    for number in 1..=100 {
        let keys: &[i64] = if number == 3 { &[1, 2] } else { &[1] };
        put(&conn, number, (number, number), keys, None, number);
    }
    let rare = Find { budget: 40, ..find(&[&[1], &[2]]) };
    let (mut pages, mut found, mut after) = (0, Vec::new(), None);
    loop {
        let page = rare.run(&conn, after, 10).unwrap();
        pages += 1;
        found.extend(page.found);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, found.len(), found[0].number), (3, 1, 3));
    assert_eq!(rare.count(&conn, &|_, _| true).unwrap(), None, "more than the budget");
    assert_eq!(find(&[&[1], &[2]]).count(&conn, &|_, _| true).unwrap(), Some(1));
}

#[test]
fn a_new_version_is_found_by_its_own_keys_and_no_more_by_those_before() {
    let conn = store();
    put(&conn, 1, (5, 5), &[1, 2], None, 1);
    put(&conn, 1, (0, LONG_MS + 1), &[2, 3], Some(1), 2);
    for (key, is_found) in [(1, false), (2, true), (3, true)] {
        assert_eq!(!find(&[&[key]]).run(&conn, None, 10).unwrap().found.is_empty(), is_found, "{key}");
    }
    assert_eq!(
        conn.query_row("SELECT count(*) FROM resource_key", [], |row| row.get::<_, i64>(0)).unwrap(),
        2
    );
    assert_eq!(history(&conn, 1, None, 10).unwrap().len(), 2);
    assert_eq!(version(&conn, 1, Some(1)).unwrap().unwrap().at, 1);
    assert_eq!(version(&conn, 1, None).unwrap().unwrap().version, 2);
    assert!(version(&conn, 1, Some(3)).unwrap().is_none() && version(&conn, 2, None).unwrap().is_none());
}

#[derive(Debug, Clone)]
struct Thing {
    from: i64,
    length: i64,
    keys: Vec<i64>,
}

fn thing() -> impl Strategy<Value = Thing> {
    let length = prop_oneof![Just(0), 0..10_i64, Just(LONG_MS), Just(LONG_MS + 1), Just(LONG_MS + 5)];
    (0..20_i64, length, proptest::collection::vec(0..4_i64, 1..4)).prop_map(|(from, length, mut keys)| {
        keys.sort_unstable();
        keys.dedup();
        Thing { from, length, keys }
    })
}

fn bound() -> impl Strategy<Value = Option<i64>> {
    proptest::option::of(prop_oneof![0..22_i64, LONG_MS..LONG_MS + 25])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Page by page, whatever the size of a page and the budget, a search shows what looking at everything would.
    #[test]
    fn a_search_finds_what_fits_in_its_order_and_nothing_twice(
        things in proptest::collection::vec(thing(), 0..24),
        all_of in proptest::collection::vec(proptest::collection::vec(0..4_i64, 1..3), 1..3),
        (before, from, ends) in (bound(), bound(), bound()),
        (by_time, descending, limit, budget) in (any::<bool>(), any::<bool>(), 1..5_usize, 1..24_usize),
    ) {
        let conn = store();
        for (number, it) in (1..).zip(&things) {
            put(&conn, number, (it.from, it.from + it.length), &it.keys, None, number * 3 % 7);
        }
        let keys: Vec<&[i64]> = all_of.iter().map(Vec::as_slice).collect();
        let order = if by_time { Order::Time } else { Order::Updated };
        let search = Find { begins_before: before, begins_from: from, ends_from: ends, order, descending, budget, ..find(&keys) };
        let fits = |it: &Thing| all_of.iter().all(|any| any.iter().any(|key| it.keys.contains(key)))
            && before.is_none_or(|before| it.from < before)
            && from.is_none_or(|from| it.from >= from)
            && ends.is_none_or(|ends| it.from + it.length >= ends);
        let spots = (1..).zip(&things).filter(|(_, it)| fits(it));
        let mut expected: Vec<Spot> = spots
            .map(|(number, it)| Spot { at: if by_time { it.from } else { number * 3 % 7 }, number })
            .collect();
        expected.sort_unstable();
        if descending {
            expected.reverse();
        }
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..1_000 {
            let page = search.run(&conn, after, limit).unwrap();
            prop_assert!(page.found.len() <= limit);
            found.extend(page.found);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(after, None);
        prop_assert_eq!(&found, &expected);
        let count = Find { budget: 1_000, ..search }.count(&conn, &|_, _| true).unwrap();
        prop_assert_eq!(count, Some(expected.len() as u64));
    }
}
