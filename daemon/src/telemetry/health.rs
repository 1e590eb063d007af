//! `/livez`, `/readyz` and `/metrics`, from a thread of their own: a busy runtime still answers its monitor.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;

use super::TelemetryError;

/// What histograms gathered is put into their buckets so often. Without it every single value would be kept
/// until somebody asks for the metrics, which on some boxes nobody ever does.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Latch that `/readyz` shows: intake is open and the store takes commits. Never depends on upstream.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Opens or closes the latch.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether intake is open.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Clone)]
struct Health {
    ready: Ready,
    prometheus: PrometheusHandle,
}

/// Binds the health listener and serves it from its own thread until the process ends.
///
/// Returns the address bound, which differs from `addr` where that names port 0.
pub fn serve_health(
    addr: SocketAddr,
    ready: Ready,
    prometheus: PrometheusHandle,
) -> Result<SocketAddr, TelemetryError> {
    let bind = |source| TelemetryError::Bind { addr, source };
    let listener = TcpListener::bind(addr).map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(|State(health): State<Health>| async move { exposition(&health) }))
        .with_state(Health { ready, prometheus: prometheus.clone() });
    std::thread::Builder::new()
        .name("health".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served = runtime.and_then(|runtime| {
                runtime.block_on(async {
                    tokio::spawn(upkeep(prometheus));
                    axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
                })
            });
            if let Err(error) = served {
                tracing::error!(%error, "the health listener ended; restart the daemon to have metrics again");
            }
        })
        .map_err(bind)?;
    Ok(bound)
}

async fn upkeep(prometheus: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        prometheus.run_upkeep();
    }
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    if health.ready.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: see isthmus status\n")
    }
}

fn exposition(health: &Health) -> impl IntoResponse + use<> {
    ([("content-type", "text/plain; version=0.0.4")], health.prometheus.render())
}
