//! `cargo xtask check-packages`: what can be told of the packages without installing them, in little time.
//!
//! lintian and rpmlint with the overrides that `packaging/` keeps with their reasons, the exposure of the unit, and the files
//! that must be inside: that a document or a page is missing no tool of others would say.

use std::{collections::BTreeSet, path::Path, process::Command};

use crate::{
    dist::{self, Packages, Wanted},
    tool::{Done, ask, by_apt},
};

/// Exposure of the unit, in tenths, above which the check fails.
const EXPOSURE: &str = "--threshold=12";
/// What must be in both packages.
const CONTENTS: [&str; 15] = [
    "/etc/isthmus/isthmus.toml",
    "/etc/isthmus/sites.d/main.toml",
    "/usr/bin/isthmus",
    "/usr/lib/systemd/system/isthmus.service",
    "/usr/lib/sysusers.d/isthmus.conf",
    "/usr/lib/tmpfiles.d/isthmus.conf",
    "/usr/share/bash-completion/completions/isthmus",
    "/usr/share/fish/vendor_completions.d/isthmus.fish",
    "/usr/share/man/man1/isthmus.1.gz",
    "/usr/share/man/man1/isthmus-status.1.gz",
    "/usr/share/doc/isthmus/README.md",
    "/usr/share/doc/isthmus/THIRD-PARTY-LICENSES.txt.gz",
    "/usr/share/doc/isthmus/isthmus.cdx.json",
    "/usr/share/doc/isthmus/examples/systemd-249.conf",
    "/usr/share/doc/isthmus/examples/prometheus/alerts.yml",
];
/// What is in one of them only.
const DEB_ONLY: [&str; 2] =
    ["/usr/share/zsh/vendor-completions/_isthmus", "/usr/share/doc/isthmus/copyright"];
const RPM_ONLY: [&str; 3] = [
    "/usr/share/zsh/site-functions/_isthmus",
    "/usr/share/licenses/isthmus/LICENSE",
    "/usr/lib/systemd/system-preset/80-isthmus.preset",
];

/// Builds the packages and checks them; a line for each check.
pub(crate) fn run_all(wanted: &Wanted) -> bool {
    let packages = match dist::build(wanted) {
        Ok(packages) => packages,
        Err(error) => {
            eprintln!("dist: {error}");
            return false;
        }
    };
    check(&packages)
}

/// Checks packages that are there.
fn check(packages: &Packages) -> bool {
    let needed =
        [("lintian", "lintian"), ("rpmlint", "rpmlint"), ("rpm", "rpm"), ("systemd-analyze", "systemd")];
    if let Err(error) = by_apt(&needed) {
        eprintln!("{error}");
        return false;
    }
    let unit = crate::root().join("packaging/systemd/isthmus.service");
    let rules = crate::root().join("packaging/rpm/rpmlint.toml");
    let checks: [(&str, Done<String>); 5] = [
        ("lintian", lintian(&packages.deb)),
        (
            "rpmlint",
            ask(Command::new("rpmlint").arg("-c").arg(rules).arg(&packages.rpm))
                .and_then(|told| clean(&told)),
        ),
        ("exposure of the unit", exposure(&unit)),
        ("contents of the deb", contents(deb_files(&packages.deb), &DEB_ONLY)),
        ("contents of the rpm", contents(rpm_files(&packages.rpm), &RPM_ONLY)),
    ];
    println!();
    for (name, result) in &checks {
        match result {
            Ok(told) => println!("{name:<22}  good: {told}"),
            Err(error) => println!("{name:<22}  FAILED: {error}"),
        }
    }
    checks.iter().all(|(_, result)| result.is_ok())
}

fn lintian(deb: &Path) -> Done<String> {
    let mut lintian = Command::new("lintian");
    let told = ask(lintian
        .args(["--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning"])
        .arg(deb))?;
    Ok(if told.trim().is_empty() {
        "nothing but what is overridden".to_owned()
    } else {
        told.trim().to_owned()
    })
}

/// The last line of rpmlint, which counts; an error in it is one.
fn clean(told: &str) -> Done<String> {
    let last = told.trim().lines().last().unwrap_or_default().trim().to_owned();
    if last.contains(" 0 errors, 0 warnings") {
        Ok("0 errors, 0 warnings".to_owned())
    } else {
        Err(told.to_owned())
    }
}

fn exposure(unit: &Path) -> Done<String> {
    let told = ask(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", EXPOSURE])
        .arg(unit))?;
    let last = told.lines().rev().find(|line| line.contains("exposure level")).unwrap_or_default();
    Ok(last.trim_start_matches(['→', ' ']).to_owned())
}

fn deb_files(deb: &Path) -> Done<BTreeSet<String>> {
    let told = ask(Command::new("dpkg-deb").arg("--contents").arg(deb))?;
    let places = told.lines().filter_map(|line| line.split_whitespace().last());
    Ok(places.map(|place| place.trim_start_matches('.').to_owned()).collect())
}

fn rpm_files(rpm: &Path) -> Done<BTreeSet<String>> {
    let told = ask(Command::new("rpm").args(["-qpl"]).arg(rpm))?;
    Ok(told.lines().map(str::to_owned).collect())
}

/// Whether all of it is there, every document of `docs/` too.
fn contents(found: Done<BTreeSet<String>>, only: &[&str]) -> Done<String> {
    let found = found?;
    let documents =
        std::fs::read_dir(crate::root().join("docs")).map_err(|error| format!("docs: {error}"))?;
    let documents = documents.flatten().filter(|entry| entry.path().is_file());
    let documents =
        documents.map(|entry| format!("/usr/share/doc/isthmus/docs/{}", entry.file_name().to_string_lossy()));
    let wanted = CONTENTS.iter().chain(only).map(|place| (*place).to_owned()).chain(documents);
    let missing: Vec<String> = wanted.filter(|place| !found.contains(place)).collect();
    if missing.is_empty() {
        Ok(format!("{} files", found.len()))
    } else {
        Err(format!("missing: {}", missing.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpmlint_is_clean_only_where_it_counts_nothing() {
        let line = |errors: u32| {
            format!(
                " 1 packages and 0 specfiles checked; {errors} errors, 0 warnings, 0 badness; has taken 2 s\n"
            )
        };
        assert!(clean(&line(0)).is_ok());
        assert!(clean(&line(10)).is_err() && clean("").is_err());
    }
}
