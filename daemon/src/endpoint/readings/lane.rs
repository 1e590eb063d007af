//! Two sorted lanes of one walk, joined into a page. Pure.
//!
//! Invariants: a lane has all that there is up to where it says that it has looked, so what is joined is whole up to the nearer
//! of both; what lies beyond that is left for the next page, which begins there. A page therefore neither doubles nor hides
//! what stood before it was asked for, whatever is written between two pages.

use outbox::Spot;

/// What one side of a walk found after the cursor, in order.
pub(super) struct Lane<T> {
    /// Each with its place.
    pub(super) items: Vec<(Spot, T)>,
    /// Everything up to this place, itself included, was looked at; `None`: everything to the end.
    pub(super) upto: Option<Spot>,
}

/// Whether `a` comes before `b`.
pub(super) fn precedes(a: Spot, b: Spot, descending: bool) -> bool {
    if descending { a > b } else { a < b }
}

/// At most `limit` of both, in order, and how far they go.
pub(super) fn join<T>(one: Lane<T>, other: Lane<T>, limit: usize, descending: bool) -> Lane<T> {
    let upto = match (one.upto, other.upto) {
        (Some(a), Some(b)) => Some(if precedes(a, b, descending) { a } else { b }),
        (a, b) => a.or(b),
    };
    let (mut one, mut other) = (one.items.into_iter().peekable(), other.items.into_iter().peekable());
    let mut items: Vec<(Spot, T)> = Vec::new();
    loop {
        let next = match (one.peek(), other.peek()) {
            (Some((a, _)), Some((b, _))) if precedes(*b, *a, descending) => other.next(),
            (Some(_), _) => one.next(),
            (None, _) => other.next(),
        };
        let Some((spot, item)) = next else { return Lane { items, upto } };
        if upto.is_some_and(|upto| precedes(upto, spot, descending)) {
            return Lane { items, upto };
        }
        if items.len() >= limit {
            // There is more, so the page ends at its last, even where what was looked at goes further.
            let last = items.last().map(|(spot, _)| *spot);
            return Lane { items, upto: last };
        }
        items.push((spot, item));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn spot(at: i64, number: i64) -> Spot {
        Spot { at, number }
    }

    fn lane(spots: &[(i64, i64)], upto: Option<(i64, i64)>) -> Lane<()> {
        let items = spots.iter().map(|(at, number)| (spot(*at, *number), ())).collect();
        Lane { items, upto: upto.map(|(at, number)| spot(at, number)) }
    }

    #[test]
    fn what_both_lanes_have_looked_at_is_a_page_and_no_more() {
        type Spots = &'static [(i64, i64)];
        type Upto = Option<(i64, i64)>;
        // One lane, the other, the limit, what stands on the page, where it ends; descending.
        let table: [(Spots, Upto, Spots, Upto, usize, Spots, Upto); 8] = [
            (&[], None, &[], None, 5, &[], None),
            (&[(9, 1), (7, 2)], None, &[(8, -1)], None, 5, &[(9, 1), (8, -1), (7, 2)], None),
            // At one instant what is stored comes first when the latest does.
            (&[(9, 1)], None, &[(9, -5), (9, -7)], None, 5, &[(9, 1), (9, -5), (9, -7)], None),
            (&[(9, 1)], None, &[(9, -5), (9, -7)], None, 2, &[(9, 1), (9, -5)], Some((9, -5))),
            // One side stopped looking: what the other has beyond that waits.
            (&[(9, 1), (3, 2)], None, &[(8, -1)], Some((6, -4)), 5, &[(9, 1), (8, -1)], Some((6, -4))),
            (&[(9, 1)], Some((9, 1)), &[(9, -1), (8, -1)], None, 5, &[(9, 1)], Some((9, 1))),
            // Full to the last, and nothing behind it.
            (&[(9, 1)], None, &[(8, -1)], None, 2, &[(9, 1), (8, -1)], None),
            (&[], Some((4, 4)), &[], Some((5, -1)), 2, &[], Some((5, -1))),
        ];
        for (one, one_upto, other, other_upto, limit, page, upto) in table {
            let joined = join(lane(one, one_upto), lane(other, other_upto), limit, true);
            let spots: Vec<_> = joined.items.iter().map(|(spot, ())| (spot.at, spot.number)).collect();
            assert_eq!(spots, page, "{one:?} and {other:?}");
            assert_eq!(joined.upto, upto.map(|(at, number)| spot(at, number)), "{one:?} and {other:?}");
        }
    }

    /// What a side finds after a place: at most `limit`, looking at `budget` places.
    fn look(
        all: &BTreeSet<Spot>,
        after: Option<Spot>,
        (limit, budget): (usize, usize),
        descending: bool,
    ) -> Lane<()> {
        let mut order: Vec<Spot> = all.iter().copied().collect();
        if descending {
            order.reverse();
        }
        order.retain(|spot| after.is_none_or(|after| precedes(after, *spot, descending)));
        let taken = limit.min(budget);
        let upto = (order.len() > taken).then(|| order[taken - 1]);
        Lane { items: order.into_iter().take(taken).map(|spot| (spot, ())).collect(), upto }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pages_of_any_size_have_everything_once_and_in_order_while_others_write(
            stored in proptest::collection::btree_set((0i64..12, 1i64..30), 0..40),
            made in proptest::collection::btree_set((0i64..12, -30i64..0), 0..40),
            written in proptest::collection::vec((0i64..12, -30i64..30), 0..40),
            (limit, budget, descending) in (1usize..9, 1usize..9, any::<bool>()),
        ) {
            let set = |spots: BTreeSet<(i64, i64)>| -> BTreeSet<Spot> {
                spots.into_iter().map(|(at, number)| spot(at, number)).collect()
            };
            let (mut stored, mut made) = (set(stored), set(made));
            let first: BTreeSet<Spot> = stored.union(&made).copied().collect();
            let mut written = written.into_iter();
            let (mut seen, mut after): (Vec<Spot>, Option<Spot>) = (Vec::new(), None);
            loop {
                let one = look(&stored, after, (limit, budget), descending);
                // The other side looks as far as the one did.
                let mut other = look(&made, after, (limit + 1, budget + 1), descending);
                if let Some(until) = one.upto {
                    let before = other.items.len();
                    other.items.retain(|(spot, ())| !precedes(until, *spot, descending));
                    if other.items.len() < before {
                        other.upto = None;
                    }
                }
                let page = join(one, other, limit, descending);
                prop_assert!(page.items.len() <= limit);
                seen.extend(page.items.iter().map(|(spot, ())| *spot));
                let Some(upto) = page.upto else { break };
                prop_assert!(after.is_none_or(|after| precedes(after, upto, descending)), "it goes on");
                after = Some(upto);
                if let Some((at, number)) = written.next() {
                    if number > 0 { stored.insert(spot(at, number)) } else { made.insert(spot(at, number)) };
                }
            }
            prop_assert!(seen.windows(2).all(|pair| precedes(pair[0], pair[1], descending)), "in order, each once");
            let seen: BTreeSet<Spot> = seen.into_iter().collect();
            prop_assert!(first.is_subset(&seen), "nothing that stood is missed");
        }
    }
}
