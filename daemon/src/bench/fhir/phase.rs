//! One phase: connections that ask, wait for the answer, and ask again, until the time is over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    super::load::LoadError,
    client::{Client, Door},
};

type Writes = dyn Fn(u16, u64, &mut Vec<u8>) + Send + Sync;

/// What is asked, and the status it should be answered with; cheap to clone.
#[derive(Clone)]
pub(super) struct Asked {
    status: u16,
    writes: Arc<Writes>,
}

impl Asked {
    /// `writes` appends the nth request of a connection.
    pub(super) fn new(status: u16, writes: impl Fn(u16, u64, &mut Vec<u8>) + Send + Sync + 'static) -> Self {
        Self { status, writes: Arc::new(writes) }
    }

    pub(super) fn write(&self, connection: u16, n: u64, out: &mut Vec<u8>) {
        (self.writes)(connection, n, out);
    }
}

/// What the connections saw.
#[derive(Default)]
pub(super) struct Run {
    /// One an answer, in microseconds.
    pub(super) latencies_us: Vec<u32>,
    /// Answers with another status.
    pub(super) errors: u64,
    /// Bytes of the bodies.
    pub(super) bytes: u64,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
}

/// Opens the connections, and asks something of each: sessions and statements are made then.
pub(super) async fn connect(door: &Door, connections: u16) -> Result<Vec<Client>, LoadError> {
    let mut clients = Vec::with_capacity(connections.into());
    for _ in 0..connections {
        let mut client = door.open().await?;
        client.ask(b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        clients.push(client);
    }
    Ok(clients)
}

/// Asks over all connections for so long.
pub(super) async fn run(clients: Vec<Client>, asked: Asked, seconds: Duration) -> Result<Run, LoadError> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (connection, mut client) in (0_u16..).zip(clients) {
        let asked = asked.clone();
        tasks.spawn(async move {
            let (mut run, mut request) = (Run::default(), Vec::new());
            for n in 0.. {
                if began.elapsed() >= seconds {
                    break;
                }
                request.clear();
                asked.write(connection, n, &mut request);
                let sent = Instant::now();
                let (status, body) = client.ask(&request).await?;
                run.latencies_us.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                run.errors += u64::from(status != asked.status);
                run.bytes += body.len() as u64;
            }
            Ok::<_, LoadError>(run)
        });
    }
    let mut whole = Run::default();
    while let Some(done) = tasks.join_next().await {
        let run = done.map_err(|_| LoadError::Task)??;
        whole.latencies_us.extend(run.latencies_us);
        whole.errors += run.errors;
        whole.bytes += run.bytes;
    }
    whole.elapsed = began.elapsed();
    Ok(whole)
}
