//! The banker's rule at its edges, and a model of connections that never wait for each other for ever.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn holding(held: usize, claim: usize) -> Holding {
    Holding { held, claim }
}

#[test]
fn more_is_granted_only_where_every_frame_could_still_be_finished() {
    for (free, holders, safe) in [
        (0, vec![], true),
        (0, vec![holding(10, 10)], true),
        (0, vec![holding(9, 10)], false),
        (1, vec![holding(9, 10)], true),
        // Two halves and nothing left: the deadlock.
        (0, vec![holding(5, 10), holding(5, 10)], false),
        (4, vec![holding(5, 10), holding(5, 10)], false),
        (5, vec![holding(5, 10), holding(5, 10)], true),
        // The first gives back enough for the second.
        (1, vec![holding(9, 10), holding(1, 10)], true),
        (1, vec![holding(9, 10), holding(1, 12)], false),
        // A large one may wait behind small ones.
        (2, vec![holding(8, 10), holding(2, 12)], true),
    ] {
        assert_eq!(all_can_finish(free, holders.iter().copied()), safe, "{free} {holders:?}");
    }
}

#[tokio::test]
async fn a_room_doubles_up_to_its_largest_frame_and_gives_all_back() {
    let rooms = Rooms::new(MIB);
    let mut room = rooms.enter(MIB);
    let mut sizes = vec![room.bytes()];
    while room.holding.held < MIB {
        timeout(Duration::from_secs(1), room.grow()).await.expect("nobody else is there");
        sizes.push(room.bytes());
    }
    assert_eq!(sizes, [64, 128, 256, 512, 1024, 1024 + 64].map(|kib| kib * KIB));
    assert_eq!(rooms.lock().free, 0);
    room.shrink();
    assert_eq!((rooms.lock().free, room.bytes()), (MIB, 64 * KIB));
    room.grow().await;
    drop(room);
    assert_eq!(rooms.lock().free, MIB);
    assert!(rooms.lock().holders.is_empty());
}

#[tokio::test]
async fn who_waits_goes_on_as_soon_as_the_one_before_is_done() {
    let rooms = Rooms::new(MIB);
    let (mut first, mut second) = (rooms.enter(MIB), rooms.enter(MIB));
    first.grow().await;
    let waits = timeout(Duration::from_millis(50), second.grow()).await;
    assert!(waits.is_err(), "two claims of all there is");
    let (_, ()) = tokio::join!(
        async { timeout(Duration::from_secs(10), second.grow()).await.expect("the room is free") },
        async {
            tokio::task::yield_now().await;
            first.shrink();
        },
    );
    assert!(second.is_grown() && !first.is_grown());
}

proptest! {
    /// Connections with frames of any size that grow, finish and wait in any order: the sum stays within the bound,
    /// and as long as one wants more, one of those who hold the most of their claim can have it.
    #[test]
    fn frames_under_way_never_starve_each_other(
        claims in prop::collection::vec(1..=32_usize, 1..20),
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..200),
        spare in 0..64_usize,
    ) {
        let unit = 64 * KIB;
        let total = (claims.iter().max().unwrap() + spare) * unit;
        let rooms = Rooms::new(total);
        let mut open: Vec<Room> = claims.iter().map(|claim| rooms.enter(claim * unit)).collect();
        for (which, grows) in steps {
            let room = which.get_mut(&mut open);
            if grows && room.holding.held < room.holding.claim { room.try_grow(); } else { room.shrink(); }
            let held: usize = open.iter().map(|room| room.holding.held).sum();
            prop_assert_eq!(held + rooms.lock().free, total);
        }
        // Everybody wants to finish, and nobody gives up: all do, without help from a deadline.
        let mut left: Vec<usize> = (0..open.len()).collect();
        while !left.is_empty() {
            let before = left.len();
            left.retain(|&at| {
                while open[at].holding.held < open[at].holding.claim {
                    if !open[at].try_grow() {
                        return true;
                    }
                }
                open[at].shrink();
                false
            });
            prop_assert!(left.len() < before, "all wait for each other: {:?}", open);
        }
    }
}
