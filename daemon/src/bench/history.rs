//! `isthmus bench history`: how long it takes until the history of a whole clinic is stored and computed.
//!
//! A site on loopback that only computes: the real daemon, and one Clarity export of 5-minute readings for each patient,
//! dropped into its spool before it starts. Measured from the start until every file is in `done/` and every window of
//! 14 days in it is computed; the stored bytes stand beside it. The exports are written beforehand and not measured.

use std::{
    fmt, fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use standin::rig::{Rig, RigSettings};

use super::{
    BenchError, Machine, Resident,
    target::{Listening, Target},
};

/// Readings of a day of a 5-minute sensor.
const READINGS_A_DAY: u32 = 288;
/// The first reading: 2025-01-01T00:00:00Z, so that a year of windows has ended.
const FIRST_READING_S: i64 = 1_735_689_600;
/// The folder of the exports.
const SPOOL: &str = "[[spool]]\npath = \"./drop\"\nname = \"drop\"\npoll = \"1s\"\n";
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);
/// Between two looks at the spool.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Patients, each with one export.
    pub patients: u16,
    /// Days of each.
    pub days: u16,
    /// Days of the windows that are computed.
    pub window_days: u32,
    /// Days from one window's end to the next.
    pub every_days: u32,
    /// Where exports and database are made.
    pub dir: PathBuf,
}

/// The result. Its `Display` is for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Patients.
    pub patients: u16,
    /// Days of each.
    pub days: u16,
    /// Readings of all.
    pub readings: u64,
    /// Bytes of all exports.
    pub export_bytes: u64,
    /// Until the last export was stored, in seconds.
    pub stored_s: f64,
    /// Until nothing was left to absorb or to compute, in seconds.
    pub computed_s: f64,
    /// CPU time of the daemon, in seconds.
    pub cpu_s: f64,
    /// Bytes of the database at the end, its log included.
    pub database_bytes: u64,
    /// Memory of the daemon at the end.
    pub memory: Resident,
}

/// Runs the plan with `binary` as the daemon; `progress` is told how many exports are in `done/`.
///
/// # Errors
/// [`BenchError`]: the first thing that went wrong.
pub async fn run(plan: &Plan, binary: &Path, progress: &dyn Fn(u64)) -> Result<Report, BenchError> {
    let machine = Machine::now();
    let io = |what| move |source| BenchError::Io { what, source };
    let dir = tempfile::tempdir_in(&plan.dir).map_err(io("a folder for the daemon"))?;
    let root = dir.path().to_owned();
    let settings = RigSettings {
        timezone: "UTC".to_owned(),
        window_days: plan.window_days,
        every_days: plan.every_days,
        upstream: false,
        ehr: false,
        main_extra: SPOOL.to_owned(),
        ..RigSettings::default()
    };
    let rig = Rig::prepare(dir.path(), binary, settings).await?;
    let drop = root.join("drop");
    let export_bytes = exports(&drop, plan).map_err(io("the exports"))?;
    let began = Instant::now();
    let mut target = Target::start(dir, rig, Listening::default()).await?;
    let rig = target.rig().ok_or(BenchError::Ended("daemon"))?;
    let files = u64::from(plan.patients);
    let deadline = began + PATIENCE;
    loop {
        let status = rig.status().await?;
        let done = status["spools"]["drop"]["done"].as_u64().unwrap_or(0);
        progress(done);
        if done == files {
            break;
        }
        // A file in quarantine is a fault of ours: then there is no figure.
        let quarantined = status["spools"]["drop"]["quarantined"].as_u64().unwrap_or(0);
        if quarantined > 0 || Instant::now() > deadline {
            return Err(BenchError::NotStored { done, files });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let stored_s = began.elapsed().as_secs_f64();
    rig.until_settled(PATIENCE).await?;
    let computed_s = began.elapsed().as_secs_f64();
    let (cpu, memory) = (target.cpu()?, target.resident()?);
    let database_bytes = bytes_in(&root.join("data"));
    target.stop().await?;
    Ok(Report {
        machine,
        patients: plan.patients,
        days: plan.days,
        readings: files * u64::from(plan.days) * u64::from(READINGS_A_DAY),
        export_bytes,
        stored_s,
        computed_s,
        cpu_s: cpu.as_secs_f64(),
        database_bytes,
        memory,
    })
}

/// Writes the exports with their sidecars, and returns how many bytes they are.
fn exports(folder: &Path, plan: &Plan) -> std::io::Result<u64> {
    fs::create_dir(folder)?;
    let mut bytes = 0;
    for patient in 0..plan.patients {
        let path = folder.join(format!("{patient:05}.csv"));
        let sidecar = format!("{{\"system\": \"urn:oid:1.2.3\", \"value\": \"H{patient:05}\"}}");
        fs::write(path.with_extension("csv.patient.json"), sidecar)?;
        export(BufWriter::new(fs::File::create(&path)?), patient, plan.days)?;
        bytes += fs::metadata(&path)?.len();
    }
    Ok(bytes)
}

/// One Clarity export: a walk between 60 and 260 mg/dL.
fn export(mut out: impl Write, patient: u16, days: u16) -> std::io::Result<()> {
    writeln!(
        out,
        "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,Source Device ID,\
         Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),\
         Glucose Rate of Change (mg/dL/min),Transmitter Time (Long Integer),Transmitter ID"
    )?;
    let mut at = Timestamp::from_second(FIRST_READING_S).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut state = u64::from(patient) + 1;
    let mut value = 120_i64;
    for n in 0..u32::from(days) * READINGS_A_DAY {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value = (value + (state >> 33) as i64 % 13 - 6).clamp(60, 260);
        let stamp = at.strftime("%Y-%m-%dT%H:%M:%S");
        writeln!(out, "{n},{stamp},EGV,,,,Dexcom G6 Mobile App,{value},,,,,{},8A{patient:04X}", n * 300)?;
        at += SignedDuration::from_mins(5);
    }
    out.flush()
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|meta| meta.len())
        .sum()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, five, fifteen] = self.machine.load_average_before;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "isthmus {} on {} cores, load average before {one:.2} {five:.2} {fifteen:.2}\n\
             {} patients with {} days of 5-minute readings each: {} readings in {:.0} MiB of exports\n\n\
             {:.1} s until all of it was stored, {:.1} s until it was computed: {:.0} readings/s\n\
             {:.1} s of CPU time, {:.2} µs a reading; {:.1} bytes a reading in the database; {:.0} MiB of memory",
            env!("CARGO_PKG_VERSION"),
            self.machine.cores,
            self.patients,
            self.days,
            self.readings,
            mib(self.export_bytes),
            self.stored_s,
            self.computed_s,
            self.readings as f64 / self.computed_s,
            self.cpu_s,
            self.cpu_s * 1e6 / self.readings as f64,
            self.database_bytes as f64 / self.readings as f64,
            self.memory.peak_mib,
        )
    }
}

#[cfg(test)]
mod tests {
    use clinical::normalize::{
        clock::Zone,
        file::{self, FileContext},
    };

    use super::*;

    #[test]
    fn an_export_is_read_whole() {
        let mut text = Vec::new();
        export(&mut text, 7, 3).unwrap();
        let zone = Zone::named("UTC").unwrap();
        let context = FileContext { zone: &zone, message_id: 0 };
        let read = file::read(std::str::from_utf8(&text).unwrap(), &context).unwrap();
        assert_eq!((read.readings.len(), read.faults.len()), (3 * READINGS_A_DAY as usize, 0));
    }
}
