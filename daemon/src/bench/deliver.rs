//! `isthmus bench deliver`: how fast what waits is written to an EHR that takes whatever comes.
//!
//! A site on loopback over mTLS, read-only until everything waits, then full: the rate is that of the writes as the
//! stand-in EHR's own log has them, from the first to the last. Each patient has one window, so as many patients are in
//! flight as requests are.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, civil::Date, tz::Offset};
use standin::{
    engine::{MessageBuilder, message::Flaw},
    generator::{Display, DisplayUnit, Person, SensorReading},
    rig::{Rig, RigSettings},
};
use tokio::time::sleep;

use super::{BenchError, Machine, process};

/// Between two looks at the daemon.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the preparation and the writing may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The day of all readings.
const DAY: Date = jiff::civil::date(2026, 3, 2);

/// What is tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Patients, each with one window.
    pub patients: u32,
    /// Requests at a time.
    pub in_flight: u16,
    /// The projection, by its name.
    pub projection: String,
    /// Writes in one request, where the projection's resources travel one by one.
    pub batch: u16,
    /// Where the database is made.
    pub dir: PathBuf,
}

/// The result. Its `Display` is for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// The projection.
    pub projection: String,
    /// Requests at a time.
    pub in_flight: u16,
    /// Rows written.
    pub rows: u64,
    /// Resources that stand.
    pub resources: u64,
    /// Requests that wrote.
    pub requests: u64,
    /// From the first of them to the last.
    pub seconds: f64,
    /// Rows a second.
    pub per_second: f64,
    /// Processor time of the daemon while it wrote, in seconds.
    pub cpu_s: f64,
    /// Written twice: must be none.
    pub doubled: u64,
}

/// Runs the plan with `binary` as the daemon; `progress` is told the rows written and all rows.
///
/// # Errors
/// [`BenchError`]: the first thing that went wrong.
pub async fn run(plan: &Plan, binary: &Path, progress: &dyn Fn(u64, u64)) -> Result<Report, BenchError> {
    let machine = Machine::now();
    let io = |what| move |source| BenchError::Io { what, source };
    let dir = tempfile::tempdir_in(&plan.dir).map_err(io("a folder for the daemon"))?;
    let drop = dir.path().join("drop");
    let settings = RigSettings {
        timezone: "Etc/UTC".to_owned(),
        window_days: 1,
        settle: "100ms".to_owned(),
        upstream: false,
        projection: plan.projection.clone(),
        ..RigSettings::default()
    };
    let mut rig = Rig::prepare(dir.path(), binary, settings).await?;
    let spool = format!("[[spool]]\npath = \"{}\"\nname = \"drop\"\nstable = \"100ms\"\n", drop.display());
    rig.write("isthmus.toml", &(rig.main_file() + &spool))?;
    let site = rig.site_file().replace(
        "[delivery]\n",
        &format!("[delivery]\nin_flight = {}\nbatch = {}\n", plan.in_flight, plan.batch),
    );
    rig.write("sites.d/main.toml", &site.replace("mode = \"full\"", "mode = \"read-only\""))?;
    rig.start().await?;
    let text = messages(plan.patients);
    fs::write(drop.join("all.part"), text)
        .and_then(|()| fs::rename(drop.join("all.part"), drop.join("all.hl7")))
        .map_err(io("the file of messages"))?;
    let rows = waiting(&rig, u64::from(plan.patients)).await?;
    let pid = rig.pid().ok_or(BenchError::Ended("daemon"))?;
    let cpu = || process::cpu(pid).ok_or(BenchError::Ended("daemon"));
    let before = cpu()?;
    rig.write("sites.d/main.toml", &site)?;
    let began = Instant::now();
    loop {
        let status = rig.status().await?;
        let delivered = status["outbox"]["delivered"].as_u64().unwrap_or(0);
        progress(delivered, rows);
        if delivered >= rows {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err(BenchError::Late("write everything"));
        }
        sleep(LOOK_EVERY).await;
    }
    let cpu_s = (cpu()? - before).as_secs_f64();
    let judgement = rig.ehr.judge();
    let log = rig.ehr.log();
    let writes: Vec<f64> =
        log.records().iter().filter(|record| record.is_write).map(|record| record.at_ms).collect();
    let seconds = match (writes.first(), writes.last()) {
        (Some(first), Some(last)) => (last - first) / 1e3,
        _ => 0.0,
    };
    rig.stop().await?;
    Ok(Report {
        machine,
        projection: plan.projection.clone(),
        in_flight: plan.in_flight,
        rows,
        resources: judgement.creates,
        requests: writes.len() as u64,
        seconds,
        per_second: rows as f64 / seconds.max(f64::EPSILON),
        cpu_s,
        doubled: judgement.doubled,
    })
}

/// Waits until every patient's window waits to be written; the rows that do.
async fn waiting(rig: &Rig, patients: u64) -> Result<u64, BenchError> {
    let began = Instant::now();
    loop {
        let status = rig.status().await?;
        let (inbox, outbox) = (&status["inbox"], &status["outbox"]);
        let rows = outbox["deferred"].as_u64().unwrap_or(0);
        let taken = inbox["total"].as_u64().unwrap_or(0) >= patients;
        if taken && inbox["pending"] == 0 && inbox["windows_due"] == 0 && rows >= patients {
            return Ok(rows);
        }
        if began.elapsed() > PATIENCE {
            return Err(BenchError::Late("prepare what is to be written"));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// An hour of readings of each patient, a message each.
fn messages(patients: u32) -> Vec<u8> {
    let midnight = DAY.to_zoned(jiff::tz::TimeZone::UTC).map(|day| day.timestamp()).unwrap_or_default();
    let mut text = Vec::new();
    for n in 0..patients {
        let person = Person {
            mrn: format!("88{n:06}"),
            family: format!("Family{n}"),
            given: format!("Given{n}"),
            birth_date: jiff::civil::date(1970, 1, 1),
            sex: 'F',
            street: "1 Street".to_owned(),
            city: "City".to_owned(),
            postal_code: "00000".to_owned(),
            phone: "(555)555-0100".to_owned(),
        };
        let readings: Vec<SensorReading> = (0..12)
            .map(|place| SensorReading {
                at: midnight + SignedDuration::from_mins(5 * place),
                offset: Offset::UTC,
                display: Display::Number((100 + (n + place as u32) % 120).to_string()),
                unit: DisplayUnit::MgPerDl,
                serial: "SM00000001".to_owned(),
            })
            .collect();
        text.extend(MessageBuilder::default().oru(&format!("D{n}"), &person, &readings, Flaw::None));
        text.push(b'\n');
    }
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, five, fifteen] = self.machine.load_average_before;
        write!(
            f,
            "isthmus {} on {} cores, load average before {one:.2} {five:.2} {fifteen:.2}\n\
             {}, {} requests at a time over mutual TLS: {} rows ({} resources) in {} requests and {:.2} s: \
             {:.0} rows/s; {:.1} s of the daemon's processor time; {} written twice",
            env!("CARGO_PKG_VERSION"),
            self.machine.cores,
            self.projection,
            self.in_flight,
            self.rows,
            self.resources,
            self.requests,
            self.seconds,
            self.per_second,
            self.cpu_s,
            self.doubled
        )
    }
}
