//! Every fuzz target for a while, and what came of it.
//!
//! What it finds goes into `target/fuzz-found/<target>`, not into the corpus: an input is kept by hand, small and
//! under a name. A crash is an input that broke a promise; its file is named.

use std::{fs, path::Path, process::Command};

/// Longest input, in bytes: half of what the corpus may hold.
const MOST_BYTES: u32 = 2_048;

/// Fuzzes each target for so many seconds, one after the other; whether none crashed.
pub(crate) fn run(seconds: u32) -> bool {
    let root = super::root();
    let targets = match targets(&root) {
        Ok(targets) => targets,
        Err(error) => {
            eprintln!("fuzz/corpus: {error}");
            return false;
        }
    };
    println!("{:<12}{:>12}{:>10}{:>8}  result", "target", "executions", "a second", "edges");
    let mut good = true;
    for target in targets {
        let found = root.join("target/fuzz-found").join(&target);
        if let Err(error) = fs::create_dir_all(&found) {
            eprintln!("{}: {error}", found.display());
            return false;
        }
        let run = Command::new("cargo")
            .current_dir(&root)
            .args(["+nightly", "fuzz", "run", &target])
            .arg(&found)
            .arg(root.join("fuzz/corpus").join(&target))
            .args(["--", "-print_final_stats=1", "-timeout=10"])
            .args([format!("-max_total_time={seconds}"), format!("-max_len={MOST_BYTES}")])
            // The outer cargo's choice of a toolchain is not this one's.
            .env_remove("RUSTUP_TOOLCHAIN")
            .output();
        let output = match run {
            Ok(output) => output,
            Err(error) => {
                eprintln!("cargo: {error}");
                return false;
            }
        };
        let told = String::from_utf8_lossy(&output.stderr);
        let figure = |name: &str| value(&told, name).unwrap_or("-");
        let result = match (output.status.success(), value(&told, "Test unit written to ")) {
            (true, _) => "no crash".to_owned(),
            (false, Some(file)) => format!("CRASH: {file}"),
            (false, None) => format!("not run: {}", told.lines().next().unwrap_or("no word")),
        };
        good &= output.status.success();
        println!(
            "{target:<12}{:>12}{:>10}{:>8}  {result}",
            figure("stat::number_of_executed_units: "),
            figure("stat::average_exec_per_sec: "),
            edges(&told).unwrap_or("-"),
        );
    }
    good
}

/// The targets, which are the folders of the corpus.
fn targets(root: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("fuzz/corpus"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// What follows `name` in its last line.
fn value<'a>(told: &'a str, name: &str) -> Option<&'a str> {
    let line = told.lines().rev().find(|line| line.contains(name))?;
    line.split_once(name).map(|(_, value)| value.trim())
}

/// The last count of edges.
fn edges(told: &str) -> Option<&str> {
    value(told, " cov: ")?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_last_line_that_has_them() {
        let told = "#2 INITED cov: 3 ft: 4\n#9\tDONE   cov: 395 ft: 1944 corp: 487/48Kb\n\
                    stat::number_of_executed_units: 1511133\n";
        assert_eq!(edges(told), Some("395"));
        assert_eq!(value(told, "stat::number_of_executed_units: "), Some("1511133"));
        assert_eq!(value(told, "stat::average_exec_per_sec: "), None);
    }
}
