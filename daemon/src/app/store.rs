//! Opening the store of a daemon that starts, and what the store remembers of the box.

use std::os::unix::fs::DirBuilderExt;

use clinical::{calendar::LocalDay, reading::Instant};
use outbox::{Key, Store, StoreOptions};
use rand::RngExt;

use super::AppError;
use crate::{config::Config, pipeline::MARK, store_key, time};

/// A store that a restore puts together, in the data folder, until it takes the store's place.
pub const RESTORING: &str = "isthmus.db.restoring";
/// Name of the box's secret in the store.
const SECRET: &str = "box-secret";
/// Name of the first day in the store.
const WENT_LIVE: &str = "went-live";

/// What the store remembers of the box.
pub(super) struct Known {
    /// The secret under which identifiers are made.
    pub secret: [u8; 32],
    /// Its id.
    pub box_id: String,
    /// The first day.
    pub went_live: LocalDay,
    /// The clock's high-water mark (ms UTC).
    pub high_water_ms: i64,
}

impl Known {
    /// Reads it; of a new store it is drawn and kept.
    pub(super) async fn of(store: &Store) -> Result<Self, AppError> {
        let writer = store.writer();
        let fresh: [u8; 32] = rand::rng().random();
        let secret = writer.meta_or(SECRET, fresh.to_vec()).await?;
        let id = format!("box-{:012x}", rand::rng().random::<u64>() >> 16);
        let box_id = writer.meta_or(outbox::copy::BOX_ID, id.into_bytes()).await?;
        let today = Instant(time::now_ms()).utc_day();
        let went_live = writer.meta_or(WENT_LIVE, today.to_be_bytes().to_vec()).await?;
        let mark = store.readers().with(|reader| reader.meta(MARK))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self {
            secret: secret.try_into().unwrap_or(fresh),
            box_id: text(box_id),
            went_live: LocalDay(went_live.try_into().map_or(today, i32::from_be_bytes)),
            high_water_ms: mark.and_then(|mark| mark.try_into().ok()).map_or(0, i64::from_be_bytes),
        })
    }
}

/// The store, and what tells its key from others.
pub(super) fn open_store(config: &Config) -> Result<(Store, String), AppError> {
    let (dir, store) = (&config.main.data_dir, &config.main.store);
    if store.is_sealed() {
        return Err(AppError::Sealed(store.key_file.clone()));
    }
    // Nobody but the daemon's user needs to see even the names in it.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| AppError::Open { dir: dir.clone(), source: source.into() })?;
    let (key, warning) = Key::from_file(&store.key_file)?;
    if let Some(warning) = warning {
        tracing::warn!(%warning, "store key");
    }
    let dedupe_horizon_ms = i64::try_from(config.main.dedupe.horizon.as_millis()).unwrap_or(i64::MAX);
    let options = StoreOptions { dedupe_horizon_ms, ..StoreOptions::default() };
    let database = dir.join(outbox::DATABASE_FILE);
    if !database.exists() && dir.join(RESTORING).exists() {
        return Err(AppError::Restoring(database));
    }
    let key_id = key.id();
    let opened = Store::open(dir, key, options, time::now_ms());
    if matches!(opened, Err(outbox::OpenError::WrongKey)) && store_key::next(&store.kept).exists() {
        return Err(AppError::Rotating(store_key::next(&store.kept)));
    }
    Ok((opened.map_err(|source| AppError::Open { dir: dir.clone(), source })?, key_id))
}
