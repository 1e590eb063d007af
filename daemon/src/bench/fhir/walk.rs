//! Clients that page: one through everything as fast as it can, many with pauses; and what memory the daemon holds meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

use super::{
    super::{BenchError, Resident, load::LoadError},
    client::{self, Client, Door},
    report::Walk,
};

/// Resources of a page.
const PAGE: u64 = 1_000;
/// Memory is looked at so often, by resources; and links of deep pages are kept so often, by pages.
const LOOK_EVERY: u64 = 100_000;
const DEEP_EVERY: u64 = 25;
/// The pause of a slow client after each page.
const PAUSE: Duration = Duration::from_millis(200);

/// Pages through all Observations; returns links of pages on the way too.
///
/// # Errors
/// [`LoadError`]: a page failed, or was not answered with 200.
pub(super) async fn whole(
    door: &Door,
    resident: impl Fn() -> Result<Resident, BenchError>,
) -> Result<(Walk, Vec<String>), LoadError> {
    let began = Instant::now();
    let mut client = door.open().await?;
    let (mut resources, mut pages, mut page_max_ms) = (0, 0, 0.0_f64);
    let (mut curve, mut deep) = (vec![(0, now(&resident))], Vec::new());
    let mut next = Some(format!("Observation?_count={PAGE}"));
    while let Some(link) = next {
        let asked = Instant::now();
        let page = Page::ask(&mut client, &link).await?;
        page_max_ms = page_max_ms.max(asked.elapsed().as_secs_f64() * 1e3);
        if pages % DEEP_EVERY == DEEP_EVERY - 1 {
            deep.push(link);
        }
        let before = resources / LOOK_EVERY;
        resources += page.entries;
        pages += 1;
        if resources / LOOK_EVERY > before {
            curve.push((resources, now(&resident)));
        }
        next = page.next;
    }
    curve.push((resources, now(&resident)));
    let seconds = began.elapsed().as_secs_f64();
    Ok((Walk { clients: 1, resources, pages, seconds, page_max_ms, resident_mib: curve }, deep))
}

/// Pages with so many clients at a time, each with a pause after each page, for so long.
///
/// # Errors
/// As [`whole`].
pub(super) async fn slow(
    door: &Door,
    clients: u16,
    seconds: Duration,
    resident: impl Fn() -> Result<Resident, BenchError>,
) -> Result<Walk, LoadError> {
    let began = Instant::now();
    let given = Arc::new(AtomicU64::new(0));
    let mut curve = vec![(0, now(&resident))];
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (door, given) = (door.clone(), Arc::clone(&given));
        tasks.spawn(async move {
            let mut client = door.open().await?;
            let mut next = Some(format!("Observation?_count={PAGE}"));
            let (mut pages, mut longest) = (0, 0.0_f64);
            while let Some(link) = next.filter(|_| began.elapsed() < seconds) {
                let asked = Instant::now();
                let page = Page::ask(&mut client, &link).await?;
                longest = longest.max(asked.elapsed().as_secs_f64() * 1e3);
                given.fetch_add(page.entries, Ordering::Relaxed);
                pages += 1;
                next = page.next;
                sleep(PAUSE).await;
            }
            Ok::<_, LoadError>((pages, longest))
        });
    }
    let (mut pages, mut page_max_ms) = (0, 0.0_f64);
    let mut look = tokio::time::interval(seconds / 5);
    look.tick().await;
    loop {
        tokio::select! {
            done = tasks.join_next() => {
                let Some(done) = done else { break };
                let (walked, longest) = done.map_err(|_| LoadError::Task)??;
                (pages, page_max_ms) = (pages + walked, page_max_ms.max(longest));
            }
            _ = look.tick() => curve.push((given.load(Ordering::Relaxed), now(&resident))),
        }
    }
    let resources = given.load(Ordering::Relaxed);
    curve.push((resources, now(&resident)));
    let seconds = began.elapsed().as_secs_f64();
    Ok(Walk { clients, resources, pages, seconds, page_max_ms, resident_mib: curve })
}

/// A daemon that has ended is told by the next request.
fn now(resident: &impl Fn() -> Result<Resident, BenchError>) -> f64 {
    resident().map_or(0.0, |resident| resident.now_mib)
}

/// What one needs of a page.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    entries: u64,
    next: Option<String>,
}

impl Page {
    async fn ask(client: &mut Client, link: &str) -> Result<Self, LoadError> {
        let mut request = Vec::new();
        client::get(&mut request, link);
        match client.ask(&request).await? {
            (200, body) => Ok(Self::of(&String::from_utf8_lossy(body))),
            _ => Err(LoadError::NotAccepted),
        }
    }

    /// By two marks in the text: to parse a page costs more than to serve it.
    fn of(text: &str) -> Self {
        let next = text.find("\"relation\":\"next\"").and_then(|at| {
            let (_, url) = text[at..].split_once("\"url\":\"")?;
            Some(url.split('"').next()?.to_owned())
        });
        Self { entries: text.matches("\"fullUrl\":").count() as u64, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_entries_and_its_next_link() {
        let text = r#"{"link":[{"relation":"self","url":"a"},{"relation":"next","url":"https://x/fhir/b"}],
            "entry":[{"fullUrl":"1"},{"fullUrl":"2"}]}"#;
        assert_eq!(Page::of(text), Page { entries: 2, next: Some("https://x/fhir/b".to_owned()) });
        assert_eq!(Page::of("{}"), Page { entries: 0, next: None });
    }
}
