//! From spans to a collector: a bounded queue, and one task that sends what is in it by OTLP over HTTP, as JSON.
//!
//! Invariants: to put a span into the queue never waits; a batch is sent once, and one that is not taken is left out, so a
//! collector that is down costs its own spans alone; whatever is left out is counted. Where spans go is asked of the
//! configuration before each batch, and certificates are read from their files as they stand then. What the environment says
//! to libraries of OpenTelemetry names no other address and adds no header: only the body of their request is used.
//!
//! Numbers: [`MOST_QUEUED`] spans of some 400 bytes wait, [`MOST_SENT`] go in one request, every [`EVERY`].

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use reqwest::header::CONTENT_TYPE;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{Fact, Span, Step, identity::Identity};
use crate::{config, course::Msg, delivery::http, generation::Current, telemetry::Metric, time, tls};

/// Spans that wait at the most.
const MOST_QUEUED: usize = 8_192;
/// Spans of one request.
const MOST_SENT: usize = 512;
/// The time between two looks into the queue.
const EVERY: Duration = Duration::from_millis(500);
/// The time one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The time a connection may take to be made.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// At the end, the time that the last spans have.
const LAST_DEADLINE: Duration = Duration::from_secs(3);
/// The most that is read of an answer: it says how many spans were not taken.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// Below the collector's address (OTLP/HTTP).
const PATH: &str = "v1/traces";

/// The queue, for as long as the process lives.
static QUEUE: OnceLock<Queue> = OnceLock::new();
/// A trace is kept of one message in so many; 0 of none.
static ONE_IN: AtomicU64 = AtomicU64::new(0);

struct Queue {
    box_id: String,
    spans: mpsc::Sender<Span>,
}

pub(super) fn are_on() -> bool {
    ONE_IN.load(Relaxed) != 0
}

pub(super) fn wants(msg: i64) -> bool {
    let one_in = ONE_IN.load(Relaxed);
    // Most often it is off, or everything is kept: neither needs a hash.
    one_in == 1
        || one_in != 0 && QUEUE.get().is_some_and(|queue| Identity::of(&queue.box_id, msg).is_kept(one_in))
}

pub(super) fn record(span: Span) {
    if QUEUE.get().is_none_or(|queue| queue.spans.try_send(span).is_err()) {
        count(Fate::LeftOut, 1);
    }
}

/// What became of a span.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Sent,
    Refused,
    LeftOut,
}

fn count(fate: Fate, spans: usize) {
    let result = match fate {
        Fate::Sent => "sent",
        Fate::Refused => "refused",
        Fate::LeftOut => "left-out",
    };
    Metric::TraceSpans.add(spans as u64, &[("result", result.to_owned())]);
}

/// The task that sends, for its end.
#[derive(Debug)]
pub struct Exporter(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Exporter {
    /// Sends what is left, within a few seconds, and ends.
    pub async fn finish(self) {
        if let Some((stop, task)) = self.0 {
            let _gone = stop.send(());
            let _ended = tokio::time::timeout(LAST_DEADLINE, task).await;
        }
    }
}

/// Starts the exporter. Until the configuration has a `[traces]` it makes nothing and sends nothing.
pub fn start(current: Current, box_id: &str) -> Exporter {
    let (spans, queued) = mpsc::channel(MOST_QUEUED);
    // A second daemon in one process, as tests may have it, leaves the queue to the first.
    if QUEUE.set(Queue { box_id: box_id.to_owned(), spans }).is_err() {
        return Exporter(None);
    }
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "isthmus"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", box_id.to_owned()),
        ])
        .build();
    let (stop, stopped) = oneshot::channel();
    let sender = Sender { current, queued, resource, box_id: box_id.to_owned(), is_told: false };
    sender.heed();
    Exporter(Some((stop, tokio::spawn(sender.run(stopped)))))
}

struct Sender {
    current: Current,
    queued: mpsc::Receiver<Span>,
    resource: Resource,
    box_id: String,
    /// That the collector takes nothing is in the log.
    is_told: bool,
}

impl Sender {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let is_last = tokio::select! {
                () = tokio::time::sleep(EVERY) => false,
                _ = &mut stopped => true,
            };
            self.heed();
            loop {
                let mut batch = Vec::new();
                while batch.len() < MOST_SENT
                    && let Ok(span) = self.queued.try_recv()
                {
                    batch.push(span);
                }
                if batch.is_empty() {
                    break;
                }
                self.send(batch).await;
            }
            if is_last {
                return;
            }
        }
    }

    /// Takes over what the configuration in force wants.
    fn heed(&self) {
        let generation = self.current.get();
        let one_in = generation.config.main.traces.as_ref().map_or(0, |traces| traces.one_in);
        ONE_IN.store(one_in, Relaxed);
    }

    async fn send(&mut self, batch: Vec<Span>) {
        let generation = self.current.get();
        let count_of = batch.len();
        let Some(traces) = &generation.config.main.traces else { return count(Fate::LeftOut, count_of) };
        let batch = batch.iter().map(|span| self.data(span)).collect();
        match deliver(traces, &self.resource, batch).await {
            Ok(()) => {
                count(Fate::Sent, count_of);
                if std::mem::take(&mut self.is_told) {
                    tracing::info!("the collector of traces takes spans again");
                }
            }
            Err(trouble) => {
                count(Fate::Refused, count_of);
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(%trouble, "the collector of traces takes no spans: they are left out; nothing waits for them");
                }
            }
        }
    }

    /// A span in the form of the library.
    fn data(&self, span: &Span) -> SpanData {
        let identity = Identity::of(&self.box_id, span.msg);
        let first = SpanId::from_bytes(identity.first);
        let id = if span.is_first { first } else { SpanId::from_bytes(rand::random::<[u8; 8]>()) };
        let trace = TraceId::from_bytes(identity.trace);
        let (began, ended) = (time::wall_of(span.began), time::wall_of(span.ended));
        let msg = KeyValue::new("isthmus.message", Msg(span.msg).to_string());
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: if span.is_first { SpanId::INVALID } else { first },
            parent_span_is_remote: false,
            span_kind: kind(span.step),
            name: span.step.name().into(),
            start_time: began,
            end_time: ended,
            attributes: std::iter::once(msg).chain(span.facts.iter().map(attribute)).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if span.is_good { Status::Unset } else { Status::error("") },
            instrumentation_scope: InstrumentationScope::builder("isthmus").build(),
        }
    }
}

fn kind(step: Step) -> SpanKind {
    match step {
        Step::Receipt => SpanKind::Server,
        Step::Deliver => SpanKind::Client,
        Step::Commit | Step::Acknowledge | Step::Absorb | Step::Again | Step::Publish => SpanKind::Internal,
    }
}

fn attribute(fact: &Fact) -> KeyValue {
    match fact {
        Fact::Feed(feed) => KeyValue::new("isthmus.feed", feed.to_string()),
        Fact::Destination(id) => KeyValue::new("isthmus.destination", id.clone()),
        Fact::Outcome(word) => KeyValue::new("isthmus.outcome", *word),
        Fact::Status(status) => KeyValue::new("http.response.status_code", i64::from(*status)),
        Fact::Window(window) => KeyValue::new("isthmus.window", *window),
        Fact::Version(version) => KeyValue::new("isthmus.version", *version),
        Fact::Row(row) => KeyValue::new("isthmus.row", *row),
        Fact::Attempt(attempt) => KeyValue::new("isthmus.attempt", i64::from(*attempt)),
        Fact::Together(count) => KeyValue::new("isthmus.messages", *count as i64),
    }
}

/// Why a batch was not taken. No text holds a URL or a word of an answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// A certificate, a key or a setting cannot be used.
    #[error("the connection of [traces] cannot be made: {0}")]
    Unusable(String),
    /// No answer came.
    #[error("{0}")]
    Unanswered(String),
    /// Another answer than a good one.
    #[error("HTTP {0}")]
    Status(u16),
    /// The library made no request, or did not like the answer.
    #[error("the batch could not be exchanged")]
    Library,
}

async fn deliver(traces: &config::Traces, resource: &Resource, batch: Vec<SpanData>) -> Result<(), Trouble> {
    let door = Door::open(traces)?;
    let ended = Arc::clone(&door.ended);
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(door)
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(format!("{}/{PATH}", traces.url))
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| Trouble::Unusable(error.to_string()))?;
    exporter.set_resource(resource);
    let exported = exporter.export(batch).await;
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (ended, exported) {
        (Some(Ok(200..=299)), Ok(())) => Ok(()),
        (Some(Ok(status)), Err(_)) if !(200..300).contains(&status) => Err(Trouble::Status(status)),
        (Some(Err(told)), _) => Err(Trouble::Unanswered(told)),
        _ => Err(Trouble::Library),
    }
}

/// How a request ended: its HTTP status, or what is told of it.
type Ended = Arc<Mutex<Option<Result<u16, String>>>>;

/// Our own way to the collector, for the library's requests.
#[derive(Debug)]
struct Door {
    client: reqwest::Client,
    url: String,
    ended: Ended,
}

impl Door {
    fn open(traces: &config::Traces) -> Result<Self, Trouble> {
        let unusable = |error: &dyn std::fmt::Display| Trouble::Unusable(error.to_string());
        let tls = match &traces.tls {
            Some(files) => tls::client_config(files),
            None => tls::client_config_of_nobody(),
        };
        let client = tls::http_client(tls.map_err(|error| unusable(&error))?, DEADLINE)
            .connect_timeout(CONNECT_DEADLINE)
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| unusable(&error))?;
        Ok(Self { client, url: format!("{}/{PATH}", traces.url), ended: Ended::default() })
    }

    async fn exchange(&self, body: Bytes) -> Result<(u16, Vec<u8>), String> {
        let told = |error: reqwest::Error| http::told(&error);
        let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(told)?;
        let status = response.status().as_u16();
        let body = http::body(response, ANSWER_MAX_BYTES).await.map_err(told)?;
        Ok((status, body))
    }
}

impl HttpClient for Door {
    // As the trait's macro writes it.
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let exchanged = self.exchange(request.into_body()).await;
            let ended = exchanged.as_ref().map(|(status, _)| *status).map_err(Clone::clone);
            *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            let (status, body) = exchanged?;
            Ok(Response::builder().status(status).body(Bytes::from(body))?)
        })
    }
}
