//! A folder into which files are dropped, and what stands in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;
use standin::{
    generator::{Display, SensorReading},
    rig::Rig,
};

use super::{chart, daily, people, prepare, until};

/// The day of the readings that stand in dropped files.
pub const DAY: &str = "2026-03-02";

/// A message with an hour of readings of the `n`th person on [`DAY`].
pub fn hour(control_id: &str, n: u32, value: u32) -> Vec<u8> {
    people::hour(control_id, n, DAY, value)
}

/// The mean of the `n`th person's [`DAY`] in the chart.
pub fn mean(rig: &Rig, n: u32) -> Option<f64> {
    chart::mean(&rig.ehr, &people::person(n).mrn, DAY).map(|standing| standing.value)
}

/// The folder of the site's one spool, before the daemon runs; `more` are further lines of its `[[spool]]`.
pub fn spool(rig: &Rig, more: &str) -> Folder {
    let path = rig.dir().join("drop");
    let text = format!(
        "{}[[spool]]\npath = \"./drop\"\nname = \"drop\"\npoll = \"200ms\"\nstable = \"400ms\"\n{more}\n",
        rig.main_file()
    );
    rig.write("isthmus.toml", &text).unwrap();
    Folder(path)
}

/// The folder of a spool.
pub struct Folder(pub PathBuf);

impl Folder {
    /// Makes the folder, as an administrator would before the daemon is there.
    pub fn make(&self) {
        fs::create_dir_all(&self.0).unwrap();
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o750)).unwrap();
    }

    /// Drops a file as a good sender does: under another name, then renamed.
    pub fn drop(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let draft = self.0.join(format!("{name}.tmp"));
        fs::write(&draft, bytes).unwrap();
        fs::rename(draft, self.0.join(name)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The text of a file below the folder; empty where there is none.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Names in a part of the folder: files, letters aside.
    pub fn names(&self, part: &str) -> Vec<String> {
        let letter = |name: &String| name.ends_with(".receipt.txt") || name.ends_with(".reason.txt");
        let mut names: Vec<String> = all(&self.path(part)).into_iter().filter(|name| !letter(name)).collect();
        names.sort();
        names
    }
}

fn all(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A Dexcom Clarity export of readings in UTC, with the names that real ones carry.
pub fn clarity(readings: &[SensorReading]) -> String {
    let person = people::person(1);
    let mut text = String::from(
        "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,\
         Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),\
         Glucose Rate of Change (mg/dL/min),Transmitter Time (Long Integer),Transmitter ID\n",
    );
    text.push_str(&format!(
        "1,,FirstName,,{},,,,,,,,,\n2,,LastName,,{},,,,,,,,,\n",
        person.given, person.family
    ));
    for (n, reading) in readings.iter().enumerate() {
        let Display::Number(value) = &reading.display else { panic!("a number") };
        let at = reading.at.strftime("%Y-%m-%dT%H:%M:%S");
        text.push_str(&format!("{},{at},EGV,,,,{},{value},,,,,{},\n", n + 3, reading.serial, n * 300));
    }
    text
}

/// The sidecar of patient `n`.
pub fn sidecar(n: u32) -> String {
    format!("{{\"system\": \"urn:oid:1.2.3\", \"value\": \"{}\"}}", people::person(n).mrn)
}

/// A number of the spool in a status.
pub fn count(status: &Value, key: &str) -> u64 {
    status["spools"]["drop"][key].as_u64().unwrap_or(u64::MAX)
}

/// A running site with a spool that has these further lines.
pub async fn started(dir: &Path, more: &str) -> (Rig, Folder) {
    let mut rig = prepare(dir, daily()).await;
    let folder = spool(&rig, more);
    rig.start().await.unwrap();
    (rig, folder)
}

/// Waits until so many files are settled, and none is waiting.
pub async fn until_settled_files(rig: &Rig, done: u64, quarantined: u64) {
    until(rig, &format!("{done} done, {quarantined} in quarantine"), |status| {
        (count(status, "done"), count(status, "quarantined"), count(status, "waiting"))
            == (done, quarantined, 0)
    })
    .await;
}
