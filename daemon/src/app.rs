//! The daemon from start to stop. Reads like a table of contents: configuration, store, memory of what
//! was, health, listeners, pipeline, deliverers; then the wait; then the drain.

mod store;
mod unopened;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clinical::fhir::identifier::SiteSecret;
use outbox::{Readers, Store, Writer};
use tokio::{
    signal::unix,
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
};

pub use self::store::RESTORING;
use self::store::{Known, open_store};
use crate::{
    admin, audit,
    backup::Backups,
    clock::Clock,
    conditions::{Board, Kind},
    config::{self, Faults},
    consent, damage, delivery,
    disk::{self, Full},
    drain::{DRAIN_DEADLINE, Drain, Draining},
    endpoint::{Auditor, Endpoint, Gate, Interactions, Issuers, ROOM_BYTES, Shelf},
    fleet, gauges,
    generation::{Current, Generation},
    identities::{self, Identities},
    intake::Intake,
    intent::{self, Intents},
    keys_in_use::KeysInUse,
    listener::{Listener, Shared, room::Rooms},
    mode::Learned,
    observations::Observations,
    open_files,
    outbound::{Halts, Refusals, desk::Desk},
    peer_clock,
    pipeline::{Pipeline, Wake},
    reload::{self, Reload},
    retention::Sweeper,
    silence::{self, Feeds},
    smart,
    spool::{Spool, Standings},
    standstill::Standstills,
    status::{Listening, Status},
    supervisor::Supervisor,
    support,
    systemd::{self, Pulse, Watchdog},
    telemetry::{self, Metric, Ready},
    time,
    tls::{Inventory, Keeper, Poke, Served, Sources},
    traces,
};

/// Gauges that are read from the store are renewed so often.
const EXPORT_EVERY: Duration = Duration::from_secs(5);

/// Why the daemon could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is faulty; every fault is told.
    #[error("{0}")]
    Config(#[from] Faults),
    /// The configuration cannot be put in force.
    #[error("{0}")]
    Generation(#[from] crate::generation::GenerationError),
    /// The store key cannot be read.
    #[error("{0}")]
    Key(#[from] outbox::KeyError),
    /// The store key is sealed, and this is not the service that systemd opens it for.
    #[error(
        "{}: only systemd opens this key, for the service: systemctl start isthmus. To run by hand, name a plain key \
         with [store] key_file",
        .0.display()
    )]
    Sealed(PathBuf),
    /// A rotation of the store's key was broken off: its new key is there, and the store may be under it already.
    #[error("a rotation of the store's key was broken off ({} is there); isthmus key rotate --reason TEXT goes on with it", .0.display())]
    Rotating(PathBuf),
    /// A restore was broken off: the store was moved aside, and nothing is in its place. A new one would know nothing of what
    /// was written.
    #[error("{} was moved aside by a restore that was broken off; again: isthmus restore FILE --reason TEXT", .0.display())]
    Restoring(PathBuf),
    /// The store cannot be opened.
    #[error("data_dir {}: {source}; {}", .dir.display(), unopened::step(.source, .dir))]
    Open {
        /// The data folder.
        dir: PathBuf,
        /// Why.
        source: outbox::OpenError,
    },
    /// The store cannot be used.
    #[error("store: {0}")]
    Write(#[from] outbox::WriteError),
    /// The store cannot be read.
    #[error("store: {0}")]
    Read(#[from] outbox::ReadError),
    /// Health and metrics cannot be served.
    #[error("{0}")]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The admin socket cannot be served.
    #[error("{0}")]
    Admin(#[from] admin::AdminError),
    /// A listener cannot be opened.
    #[error("{0}")]
    Listen(#[from] crate::listener::ListenError),
    /// The FHIR endpoint cannot be opened.
    #[error("{0}")]
    Endpoint(#[from] crate::endpoint::EndpointError),
    /// The data folder cannot be made, or a signal not be waited for.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl AppError {
    /// Whether the fault is in the configuration (exit code 78) or elsewhere (1).
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::Generation(_)
                | Self::Key(_)
                | Self::Sealed(_)
                | Self::Rotating(_)
                | Self::Restoring(_)
                | Self::Open { source: outbox::OpenError::WrongKey, .. }
        )
    }
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// [`AppError`] where it cannot start; nothing is bound then that outlives the call.
pub async fn run(path: &Path, credentials: Option<PathBuf>) -> Result<(), AppError> {
    let (config, bundle_faults) = config::load_at_start(path, credentials.as_deref())?;
    open_files::raise(&config);
    let prometheus = telemetry::install_metrics()?;
    let generation = Generation::compile(1, config, time::now_ms())?;
    let (store, key_id) = open_store(&generation.config)?;
    let generation = holding(generation, &store.readers())?;
    let known = Known::of(&store).await?;
    let stopping = known.box_id.clone();
    let running = format!("isthmus {}; sha256 {}", env!("CARGO_PKG_VERSION"), generation.config.fingerprint);
    store.writer().audit(vec![audit::by_daemon("daemon started", &known.box_id, running)]).await?;
    let (switch, current) = Current::start(generation);
    let (conditions, observations, ready) = (Board::default(), Observations::default(), Ready::default());
    recall(&store, &observations, &conditions)?;
    consent::check(&store.readers(), &conditions)?;
    store.writer().consent_defaults(current.get().consent_defaults(), time::now_ms()).await?;
    let (halts, refusals) = (Halts::new(conditions.clone()), Refusals::new(conditions.clone()));
    halts.recall(&store.readers().with(|reader| reader.modes())?);

    let config = current.get().config.main.clone();
    let health = telemetry::serve_health(config.admin.listen, ready.clone(), prometheus.clone())?;
    let socket = admin::bind(&config.admin.socket).await?;
    let mut listeners = Vec::new();
    for settings in &config.mllp {
        listeners.push(Listener::open(settings.clone()).await?);
    }
    let endpoint = match config.fhir.as_ref() {
        Some(fhir) => Some(Endpoint::open(fhir.listener.clone(), conditions.clone()).await?),
        None => None,
    };
    let listening = listening(&config.mllp, &listeners);
    let told: Vec<String> = listening.iter().map(Listening::words).collect();
    tracing::info!(%health, listeners = told.join(", "), "isthmus {} is up", env!("CARGO_PKG_VERSION"));

    let exporter = traces::start(current.clone(), &known.box_id);
    let (drain, draining) = Drain::new();
    let (wake, woken) = Wake::new();
    let (queued, queue) = watch::channel(0);
    let (replied, replies) = watch::channel(0);
    let standstills = Standstills {
        writer: store.writer(),
        readers: store.readers(),
        conditions: conditions.clone(),
        queued: queued.clone(),
        replied: replied.clone(),
    };
    standstills.show()?;
    standstills.look_at_machine(&known.secret).await?;
    let desk = Desk {
        current: current.clone(),
        halts: halts.clone(),
        refusals: refusals.clone(),
        writer: store.writer(),
        readers: store.readers(),
    };
    let certificates = Inventory::default();
    let status = Status {
        certificates: certificates.clone(),
        current: current.clone(),
        observations: observations.clone(),
        conditions: conditions.clone(),
        readers: store.readers(),
        box_id: known.box_id.clone(),
        ready: ready.clone(),
        started: time::now_ms(),
        listeners: listening,
        outbound: desk.clone(),
        spools: Standings::default(),
        standstills: standstills.clone(),
        endpoint: endpoint.as_ref().map(|endpoint| (endpoint.address(), endpoint.served().clone())),
        feeds: Feeds::default(),
        fleet: fleet::Standing::default(),
    };
    let standings = status.spools.clone();
    let mut tasks = JoinSet::new();
    let (poke, issuers) = (Poke::default(), Issuers::new(conditions.clone()));
    let served = listeners.iter().filter_map(|listener| listener.served().cloned());
    let served = served.chain(endpoint.iter().map(|endpoint| endpoint.served().clone())).collect();
    let keeper =
        Keeper::new(sources(served, &current, &issuers, store.readers()), conditions.clone(), certificates);
    tasks.spawn(keeper.run(poke.clone(), draining.clone()));
    tasks.spawn(
        smart::Keeper { current: current.clone(), conditions: conditions.clone() }.run(draining.clone()),
    );
    let full = Full::default();
    watch_machine(&mut tasks, &status, &full, &draining);
    let (answering, asked) = (status.clone(), store.writer());
    let identities = Identities {
        writer: store.writer(),
        readers: store.readers(),
        conditions: conditions.clone(),
        wake: wake.clone(),
    };
    let outbounds = desk;
    let intents = Intents {
        writer: store.writer(),
        readers: store.readers(),
        current: current.clone(),
        observations: observations.clone(),
        conditions: conditions.clone(),
        wake: wake.clone(),
        queued: queued.clone(),
        secret: SiteSecret::new(known.secret),
        box_id: known.box_id.clone(),
    };
    let walk_again = Arc::<Notify>::default();
    let desk = admin::desk::Desk {
        writer: store.writer(),
        readers: store.readers(),
        current: current.clone(),
        wake: wake.clone(),
        queued: queued.clone(),
        observations: observations.clone(),
        replied: replied.clone(),
        conditions: conditions.clone(),
        intents: intents.clone(),
        walk_again: Arc::clone(&walk_again),
    };
    let backups =
        Backups::new(store.readers(), store.writer(), &config.data_dir, key_id, known.box_id.clone());
    let watch = intent::Watch { intents: intents.clone(), conditions: conditions.clone() };
    tasks.spawn(watch.run(draining.clone()));
    tasks.spawn(consent::turn(
        store.writer(),
        store.readers(),
        queued.clone(),
        replied.clone(),
        draining.clone(),
    ));
    if let Some(faults) = bundle_faults {
        tracing::error!(%faults, "the bundle in place is left out; the sites that it narrowed write nothing");
    }
    let reload = reload::Ask::default();
    let bundles = fleet::Bundles::of(
        &status,
        store.writer(),
        &known.box_id,
        (path, credentials.as_deref()),
        reload.clone(),
    );
    let asked_of_fleet = fleet::Desk::of(&status, bundles.clone());
    let answer: admin::Answer = Arc::new(move |request, peer| match request {
        admin::Request::Status => answering.document(),
        admin::Request::Support => support::store::document(&answering.readers, &asked, &prometheus),
        admin::Request::Outbound { ask } => outbounds.answer(ask, peer),
        admin::Request::Quarantine(ask) => desk.quarantine(ask, peer),
        admin::Request::Replay(ask) => desk.replay(ask, peer),
        admin::Request::Site(ask) => desk.site(ask, peer),
        admin::Request::Queue(ask) => desk.queue(ask, peer),
        admin::Request::Consent(ask) => desk.consent(ask, peer),
        admin::Request::Intent(ask) => desk.intent(ask, peer),
        admin::Request::Conflicts(ask) => desk.conflicts(ask, peer),
        admin::Request::Backup(ask) => backups.answer(&ask, peer),
        admin::Request::Fleet(ask) => asked_of_fleet.answer(&ask, peer),
        admin::Request::LegalHold(ask) => desk.legal_hold(ask, peer),
        admin::Request::Standstill(ask) => standstills.answer(&ask, peer),
        admin::Request::Beside(ask) => desk.beside(&ask, peer),
        admin::Request::Audit(ask) => desk.audit(&ask, peer),
        request => identities.answer(&request, peer),
    });
    let mut stop = draining.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = admin::serve(socket, answer) => {}
            () = stop.begun() => {}
        }
    });
    tasks.spawn(silence::Watch::of(&status, store.writer()).run(draining.clone()));
    tasks.spawn(fleet::Fleet::look_after(bundles.clone(), draining.clone()));
    tasks.spawn(fleet::Fleet::of(&status, store.writer(), &known.box_id, bundles).run(draining.clone()));
    tasks.spawn(export(status, store.writer(), draining.clone()));
    let watch = audit::Watch {
        writer: store.writer(),
        readers: store.readers(),
        conditions: conditions.clone(),
        box_id: known.box_id.clone(),
        again: walk_again,
    };
    tasks.spawn(watch.run(draining.clone()));
    let forwarder = audit::forward::Forwarder {
        writer: store.writer(),
        readers: store.readers(),
        current: current.clone(),
        conditions: conditions.clone(),
        origin: audit::syslog::Origin::here(&known.box_id),
        pace: audit::forward::Pace::default(),
    };
    tasks.spawn(forwarder.run(draining.clone()));
    let sweeper = Sweeper {
        writer: store.writer(),
        readers: store.readers(),
        current: current.clone(),
        clock: Clock::from_mark(known.high_water_ms),
    };
    tasks.spawn(sweeper.run(draining.clone()));
    tasks.spawn(
        Reload {
            asked: reload,
            path: path.to_owned(),
            credentials,
            switch,
            current: current.clone(),
            conditions: conditions.clone(),
            certificates: poke,
            writer: store.writer(),
            readers: store.readers(),
        }
        .run(draining.clone()),
    );
    let supervisor = Supervisor {
        store: (store.writer(), store.readers()),
        current: current.clone(),
        observations: observations.clone(),
        conditions: conditions.clone(),
        queue,
        halts: halts.clone(),
        refusals,
        replies,
        draining: draining.clone(),
    };
    tasks.spawn(supervisor.run());
    let mut intakes = JoinSet::new();
    let rooms = Rooms::new(config.limits.shared_bytes(&config.mllp));
    let shared = Shared { rooms, conditions: conditions.clone() };
    let intake = Intake::new(store.writer(), conditions.clone(), wake.clone()).routed_by(current.clone());
    for listener in listeners {
        intakes.spawn(listener.serve(intake.clone(), shared.clone(), draining.clone()));
    }
    if let Some(endpoint) = endpoint {
        let (auditor, entries) = Auditor::new(store.writer());
        tasks.spawn(entries.run());
        tasks.spawn(issuers.clone().run(current.clone(), draining.clone()));
        tracing::info!(address = %endpoint.address(), "the FHIR endpoint is up");
        let interactions = Interactions {
            writer: store.writer(),
            readers: Shelf::new(store.readers()).map_err(|source| AppError::Io {
                what: "starting the endpoint's reader".to_owned(),
                source,
            })?,
            current: current.clone(),
            wake: wake.clone(),
            conditions: conditions.clone(),
            audit: auditor.clone(),
            secret: Arc::new(SiteSecret::new(known.secret)),
            box_id: known.box_id.as_str().into(),
            intents: intents.clone(),
            replied: replied.clone(),
            room: Arc::new(Semaphore::new(ROOM_BYTES)),
            computing: Arc::new(Semaphore::new(1)),
        };
        let gate = Gate::new(current.clone(), Arc::new(interactions), auditor, issuers);
        intakes.spawn(endpoint.serve(gate, draining.clone()));
    }
    for settings in config.spools {
        let (current, draining) = (current.clone(), draining.clone());
        let spool = Spool::new(
            settings,
            intake.clone(),
            (store.writer(), store.readers()),
            current,
            conditions.clone(),
            (standings.clone(), full.clone()),
            draining,
        );
        intakes.spawn_blocking(move || spool.run());
    }
    let (watched, pulse) = (current.clone(), Pulse::default());
    let pipeline = Pipeline {
        writer: store.writer(),
        readers: store.readers(),
        current,
        observations,
        halts,
        conditions: conditions.clone(),
        queued,
        replied,
        secret: SiteSecret::new(known.secret),
        box_id: known.box_id,
        went_live: known.went_live,
        known: HashMap::new(),
        marks: HashMap::new(),
        pulse: pulse.clone(),
        serving: Default::default(),
        full,
    };
    let (stop, mark) = (draining.clone(), known.high_water_ms);
    let pipeline = std::thread::Builder::new()
        .name("pipeline".to_owned())
        .spawn(move || pipeline.run(&woken, &stop, mark))
        .map_err(|source| AppError::Io { what: "pipeline thread".to_owned(), source })?;
    Metric::ConfigGeneration.set(1.0, &[]);
    Metric::Started.set(time::now_ms() as f64 / 1e3, &[]);
    ready.set(true);
    systemd::ready(&watched, &conditions);
    let watchdog = Watchdog { writer: store.writer(), pipeline: pulse, conditions, current: watched };
    tasks.spawn(watchdog.run(draining.clone()));
    wake.wake();

    until_told_to_stop().await?;
    tracing::info!("stopping: intake first, then what is in flight");
    ready.set(false);
    systemd::stopping();
    drain.begin();
    wake.wake();
    finish(intakes, tasks, pipeline).await;
    exporter.finish().await;
    store.writer().audit(vec![audit::by_daemon("daemon stopped", &stopping, String::new())]).await?;
    store.close();
    tracing::info!("stopped");
    Ok(())
}

/// The generation without what the store says is not to be written: a bundle narrowed it, and that bundle is not in it.
fn holding(generation: Generation, readers: &Readers) -> Result<Generation, AppError> {
    let config = fleet::Held::read(readers)?.hold(generation.config.clone());
    if config.withheld.is_empty() {
        return Ok(generation);
    }
    Ok(Generation::compile(generation.number, config, generation.since)?)
}

/// Takes over the modes and the conditions for people that were in force when the daemon stopped.
fn recall(store: &Store, observations: &Observations, conditions: &Board) -> Result<(), AppError> {
    for condition in store.readers().with(|reader| reader.conditions())? {
        for kind in [Kind::WithdrawalNeeded, Kind::AmendmentNeeded, Kind::NumberWithheld] {
            if condition.name == kind.word() {
                conditions.raise(kind, &condition.scope, condition.detail.clone(), condition.since);
            }
        }
    }
    identities::show_doubts(conditions, &store.readers())?;
    crate::pipeline::show_conflicts(conditions, &store.readers())?;
    for mode in store.readers().with(|reader| reader.modes())? {
        let learned = match mode.mode.as_str() {
            "read-only" => Learned::read_only(mode.since, mode.cause.clone(), &mode.evidence),
            outbox::HELD => Learned::held(mode.since, mode.cause.clone()),
            _ => continue,
        };
        let detail = delivery::closed_detail(&mode.capability, learned.observed(), &mode.cause);
        conditions.raise(Kind::ReadOnly, &mode.destination, detail, mode.since);
        observations.recall(&mode.destination, &mode.capability, learned);
    }
    Ok(())
}

/// What the machine has to give: room and the right time.
fn watch_machine(tasks: &mut JoinSet<()>, status: &Status, full: &Full, draining: &Draining) {
    let (current, conditions) = (status.current.clone(), status.conditions.clone());
    let fleet = status.fleet.clock().clone();
    let room = disk::Watch { current: current.clone(), conditions: conditions.clone(), full: full.clone() };
    tasks.spawn(room.run(draining.clone()));
    tasks.spawn(peer_clock::Watch { current, conditions, fleet }.run(draining.clone()));
}

/// What is looked after of certificates and keys.
fn sources(served: Vec<Arc<Served>>, current: &Current, issuers: &Issuers, readers: Readers) -> Sources {
    let (peers, issuers) = (current.clone(), issuers.clone());
    let keys = KeysInUse::new(current.clone(), readers);
    Sources {
        served,
        presented: Box::new(move || [peers.get().presented(), issuers.presented()].concat()),
        keys: Box::new(move || keys.list()),
    }
}

fn listening(settings: &[config::MllpListener], listeners: &[Listener]) -> Vec<Listening> {
    let both = settings.iter().zip(listeners);
    both.map(|(settings, listener)| Listening {
        name: settings.name.clone(),
        address: listener.address().to_string(),
        plain: settings.tls.is_none(),
        traffic: listener.feed().traffic.clone(),
        served: listener.served().cloned(),
    })
    .collect()
}

async fn export(status: Status, writer: Writer, mut draining: Draining) {
    loop {
        let (status, writer) = (status.clone(), writer.clone());
        // Counting reads the disk: not on the runtime's own threads.
        let looked = move || {
            gauges::export(&status, &writer);
            if let Err(error) = damage::show(&status.conditions, &status.readers, &writer) {
                tracing::debug!(%error, "the store could not be looked at for damage");
            }
        };
        let _joined = tokio::task::spawn_blocking(looked).await;
        tokio::select! {
            () = tokio::time::sleep(EXPORT_EVERY) => {}
            () = draining.begun() => return,
        }
    }
}

async fn until_told_to_stop() -> Result<(), AppError> {
    let refused = |source| AppError::Io { what: "signals".to_owned(), source };
    let mut terminate = unix::signal(unix::SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt()).map_err(refused)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Waits for everything to end, within one deadline, and names what did not.
async fn finish(mut intakes: JoinSet<()>, mut tasks: JoinSet<()>, pipeline: std::thread::JoinHandle<()>) {
    let deadline = tokio::time::Instant::now() + DRAIN_DEADLINE;
    let all = |mut set: JoinSet<()>| async move { while set.join_next().await.is_some() {} };
    if tokio::time::timeout_at(deadline, all(std::mem::take(&mut intakes))).await.is_err() {
        tracing::warn!(
            "connections were cut or spools left in the middle: they did not finish in time; what was not \
             acknowledged is sent again, and a file that was not taken in whole is read at the next start"
        );
    }
    let ended = tokio::task::spawn_blocking(move || pipeline.join().is_ok());
    if !matches!(tokio::time::timeout_at(deadline, ended).await, Ok(Ok(true))) {
        tracing::warn!("the pipeline did not finish in time; it goes on from the store at the next start");
    }
    if tokio::time::timeout_at(deadline, all(std::mem::take(&mut tasks))).await.is_err() {
        tracing::warn!("deliveries did not finish in time; they are reconciled at the next start");
    }
}
