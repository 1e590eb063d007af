//! `cargo xtask verify-packages`: both packages through what a hospital does with them, on a Debian of their own.
//!
//! A system is made once by debootstrap and copied for each part: [`deb`] in a chroot, [`rpm`] with that folder as root,
//! [`boot`] under a systemd that was really booted (systemd-nspawn); and [`papers`] is what vouches for them. The packages are built twice, the second time with a
//! higher version and another `isthmus.toml`, so that there is something to upgrade to. The table of what was seen is kept in
//! `docs/proof/packages.md`.
//!
//! It needs root. What it mounts is in a namespace of its own, what it boots it ends by its process id, and no port of the
//! machine is used: the booted system has a network of its own, with nothing in it.

mod boot;
mod deb;
mod papers;
mod root;
mod rpm;

use std::{fs, io::Write, time::Instant};

use crate::{
    dist::{self, Packages, Wanted},
    tool::{Done, ask, by_apt, is_root},
};

/// Where the last table is kept.
const PROOF: &str = "docs/proof/packages.md";

/// What was seen, in order.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(&'static str, &'static str, Done<String>)>);

impl Table {
    /// Does one thing, and keeps what came of it; whether it was good.
    fn see(&mut self, part: &'static str, what: &'static str, done: Done<String>) -> bool {
        match &done {
            Ok(told) => println!("{part:<5} good    {what}: {told}"),
            Err(error) => println!("{part:<5} FAILED  {what}: {error}"),
        }
        let good = done.is_ok();
        self.0.push((part, what, done));
        good
    }

    /// As Markdown.
    fn page(&self, about: &str) -> String {
        let mut page = format!(
            "# What the packages were seen to do\n\nThe last table of `cargo xtask verify-packages`. {about}\n\n| where | what | \
             result | seen |\n|---|---|---|---|\n"
        );
        for (part, what, done) in &self.0 {
            let (result, told) = match done {
                Ok(told) => ("good", told),
                Err(error) => ("**failed**", error),
            };
            // Where it was seen is one machine's own.
            let told = told.replace(&dist::target().display().to_string(), "target");
            let told = told.trim().replace('\n', " · ").replace('|', "\\|");
            page.push_str(&format!("| {part} | {what} | {result} | {told} |\n"));
        }
        page
    }
}

/// The packages that are gone through.
struct Pair {
    old: Packages,
    new: Packages,
}

/// Builds, goes through all parts, prints and keeps the table; whether all was good.
pub(crate) fn run_all(wanted: &Wanted) -> bool {
    let began = Instant::now();
    match prepare(wanted).and_then(|pair| Ok((root::base()?, pair))) {
        Err(error) => {
            eprintln!("verify-packages: {error}");
            false
        }
        Ok((base, pair)) => {
            let mut table = Table::default();
            for part in [papers::run, deb::run, rpm::run, boot::run] {
                if let Err(error) = part(&base, &pair, &mut table) {
                    table.see("", "a part ended early", Err(error));
                }
            }
            let good = table.0.iter().all(|(_, _, done)| done.is_ok());
            let systemd = ask(std::process::Command::new("systemctl").arg("--version")).unwrap_or_default();
            let about = format!(
                "Version {}, profile `{}`, Debian 12 with {}; {} s.",
                wanted.version,
                wanted.profile,
                systemd.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
                began.elapsed().as_secs()
            );
            let path = crate::root().join(PROOF);
            let kept = fs::create_dir_all(path.parent().unwrap_or(&path))
                .and_then(|()| fs::File::create(&path))
                .and_then(|mut file| file.write_all(table.page(&about).as_bytes()));
            if let Err(error) = kept {
                eprintln!("{PROOF}: {error}");
            }
            println!(
                "\n{} of {} good; kept in {PROOF}",
                table.0.iter().filter(|row| row.2.is_ok()).count(),
                table.0.len()
            );
            good
        }
    }
}

/// The packages, and the same with a higher version and another configuration.
fn prepare(wanted: &Wanted) -> Done<Pair> {
    if !is_root() {
        return Err("run it as root: it makes a system of its own, and boots it".to_owned());
    }
    by_apt(&[
        ("debootstrap", "debootstrap"),
        ("rpm", "rpm"),
        ("systemd-nspawn", "systemd-container"),
        ("nsenter", "util-linux"),
        ("gpg", "gnupg"),
    ])?;
    let old = dist::build(wanted)?;
    let file = dist::staged().join("both/etc/isthmus/isthmus.toml");
    let fault = |error| format!("{}: {error}", file.display());
    let mut text = fs::read_to_string(&file).map_err(fault)?;
    text.push_str("\n# The next version says one thing more here.\n");
    fs::write(&file, text).map_err(fault)?;
    let new = dist::pack_staged(&Wanted { version: format!("{}.1", wanted.version), ..wanted.clone() })?;
    Ok(Pair { old, new })
}

/// What was looked for in a text, or the text.
fn says(text: &str, wanted: &str) -> Done<String> {
    if text.contains(wanted) {
        Ok(wanted.to_owned())
    } else {
        Err(format!("not said: {wanted}; but: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_what_failed_and_breaks_no_row() {
        let mut table = Table::default();
        assert!(table.see("deb", "a", Ok("x|y".to_owned())));
        assert!(!table.see("rpm", "b", Err("one\ntwo".to_owned())));
        let page = table.page("");
        assert!(
            page.contains("| deb | a | good | x\\|y |")
                && page.contains("| rpm | b | **failed** | one · two |"),
            "{page}"
        );
    }
}
