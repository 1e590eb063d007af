//! A send task that breaks off.

use std::{fs, os::unix::fs::OpenOptionsExt};

use outbox::{Key, NewMessage, State, Store, StoreOptions};

use super::*;
use crate::{config, destination::tests::destination, drain::Drain, generation::Generation};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const ID: &str = "ehr:main";

fn current(dir: &std::path::Path) -> Current {
    fs::create_dir(dir.join("sites.d")).unwrap();
    let key = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join("db.key"));
    std::io::Write::write_all(&mut key.unwrap(), KEY.as_bytes()).unwrap();
    fs::write(dir.join("sites.d/main.toml"), "id = \"main\"\ntimezone = \"Etc/UTC\"\n").unwrap();
    let main = "data_dir = \"data\"\nsite = \"main\"\n[store]\nkey_file = \"db.key\"\n[[mllp]]\n\
                listen = \"127.0.0.1:0\"\nplain = true\n";
    fs::write(dir.join("isthmus.toml"), main).unwrap();
    let config = config::load(&dir.join("isthmus.toml"), None).unwrap();
    Current::start(Generation::compile(1, config, 0).unwrap()).1
}

/// A deliverer over a store with one row, which it has leased; the row's number.
async fn with_a_leased_row(dir: &std::path::Path) -> (Store, Deliverer, i64, Drain) {
    let store =
        Store::open(dir, Key::from_hex(KEY).unwrap(), StoreOptions::default(), time::now_ms()).unwrap();
    let (drain, draining) = Drain::new();
    let deliverer = Deliverer {
        id: ID.to_owned(),
        writer: store.writer(),
        readers: store.readers(),
        current: current(dir),
        observations: Observations::default(),
        halts: Halts::new(Board::default()),
        conditions: Board::default(),
        queued: watch::channel(0).1,
        draining,
    };
    let row = NewMessage {
        destination: ID.to_owned(),
        patient: 1,
        kind: "Observation/laboratory".to_owned(),
        key: [1; 32],
        body: b"{}".to_vec(),
        at: 0,
    };
    store.writer().enqueue(vec![row]).await.unwrap();
    let rows = deliverer.lease(1, outbox::Take::Any, &[]).await;
    (store, deliverer, rows[0].id, drain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_breaks_off_while_it_sends_or_settles_leaves_its_row_in_doubt_and_not_leased() {
    for settling in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (store, deliverer, row, _drain) = with_a_leased_row(dir.path()).await;
        let (mut pace, mut tasks) = (Pace::new(Instant::now()), JoinSet::new());
        let task = tasks.spawn(async { panic!("a defect") });
        match settling {
            true => pace.settling.insert(task.id(), row).is_none(),
            false => pace.out.insert(task.id(), vec![row]).is_none(),
        };
        while let Some(done) = tasks.join_next_with_id().await {
            deliverer.finished(&destination(Vec::new()), done, &mut pace, &mut tasks).await;
        }
        assert!(pace.out.is_empty() && pace.settling.is_empty());
        let rows = store.readers().with(|reader| reader.rows(None, 9)).unwrap();
        let states: Vec<_> = rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [State::Ambiguous], "settling: {settling}");
    }
}
