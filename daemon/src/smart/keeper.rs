//! Renews the tokens of all destinations ahead of need, and tells how they stand.
//!
//! The first token is asked for at the start and after every reload, before anything is written: so a key that the EHR
//! does not know, or a scope that it does not grant, is seen on the day of the set-up and not in the night of the first
//! result.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::standing::KINDS;
use crate::{conditions::Board, destination::Destination, drain::Draining, generation::Current, time};

/// Between two looks: a token of a few seconds is renewed in time, and a look costs nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks after the tokens of all destinations.
pub struct Keeper {
    /// The configuration in force.
    pub current: Current,
    /// Where it is told what is wrong.
    pub conditions: Board,
}

impl Keeper {
    /// Looks until the drain begins.
    pub async fn run(mut self, mut draining: Draining) {
        let mut asking: JoinSet<(u64, String)> = JoinSet::new();
        let mut busy = BTreeSet::new();
        loop {
            let generation = self.current.get();
            for destination in generation.destinations() {
                let Some(authorizer) = destination.client.authorizer().cloned() else { continue };
                let turn = (generation.number, destination.id.clone());
                if busy.insert(turn.clone()) {
                    asking.spawn(async move {
                        // What comes of it stands in the authorizer.
                        let _trouble = authorizer.keep().await;
                        turn
                    });
                }
            }
            tell(generation.destinations(), &self.conditions);
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                Some(done) = asking.join_next() => {
                    match done {
                        Ok(turn) => { busy.remove(&turn); }
                        Err(error) => {
                            tracing::error!(%error, "a request for a token broke off");
                            busy.clear();
                        }
                    }
                    // Not again at once: whoever is due comes with the next look.
                    tokio::time::sleep(LOOK_EVERY / 4).await;
                }
                () = self.current.changed() => {}
                () = draining.begun() => return,
            }
        }
    }
}

/// Raises and clears the conditions of all destinations that want tokens, and of those that want none any more.
pub fn tell<'a>(destinations: impl Iterator<Item = &'a Arc<Destination>>, board: &Board) {
    let now_ms = time::now_ms();
    let mut told = BTreeSet::new();
    for destination in destinations {
        if let Some(authorizer) = destination.client.authorizer() {
            let standing = authorizer.standing();
            standing.tell(board, &destination.id, now_ms);
            standing.export(&destination.id);
            told.insert(destination.id.as_str());
        }
    }
    for kind in KINDS {
        for scope in board.scopes(kind).iter().filter(|scope| !told.contains(scope.as_str())) {
            board.clear(kind, scope);
        }
    }
}
