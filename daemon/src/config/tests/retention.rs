//! How long is kept: what the main file says for all sites, and what a site's file says.

use std::time::Duration;

use super::*;
use crate::config::retention::Kept;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_sites_file_counts_before_the_main_file_and_keep_is_for_ever() {
    let main = format!("{MAIN}[retention]\nwritten = \"90d\"\nreadings = \"800d\"\nversions = \"400d\"\n");
    let other = "id = \"other\"\ntimezone = \"UTC\"\n[retention]\nwritten = \"keep\"\nreadings = \"3650d\"\nquarantine = \"30d\"\n";
    let folder = Folder::new(&main, &[("main.toml", SITE), ("other.toml", other)]);
    let config = folder.load().unwrap();
    let of = |site: &str| {
        let kept = config.sites[site].retention;
        [kept.written, kept.messages, kept.readings, kept.versions, kept.quarantine].map(Kept::time)
    };
    assert_eq!(of("main"), [Some(90 * DAY), None, Some(800 * DAY), Some(400 * DAY), None]);
    assert_eq!(of("other"), [None, None, Some(3_650 * DAY), Some(400 * DAY), Some(30 * DAY)]);
}

#[test]
fn the_main_files_times_have_the_same_bounds() {
    let main = format!("{MAIN}[retention]\nreadings = \"30d\"\nquarantine = \"for ever\"\n");
    let lines = MAIN.lines().count();
    let folder = Folder::new(&main, &[("main.toml", SITE)]);
    folder.assert_faults(&[
        ("isthmus.toml", lines + 2, "`retention.readings`"),
        ("isthmus.toml", lines + 3, "`retention.quarantine`"),
    ]);
}
