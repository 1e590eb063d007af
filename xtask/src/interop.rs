//! A test file of the daemon with what its tests say of themselves, as a table.

use std::process::Command;

/// A test and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    name: String,
    result: String,
}

/// Runs the test file with these in its environment, one test at a time so that what they print stays apart; whether all
/// passed.
pub(crate) fn run(test: &str, environment: &[(&str, &str)]) -> bool {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.current_dir(super::root()).args(["test", "--quiet", "--package", "isthmus", "--test", test]);
    command.args(["--", "--nocapture", "--format=pretty", "--test-threads=1"]);
    command.envs(environment.iter().copied());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("cargo: {error}");
            return false;
        }
    };
    let told = String::from_utf8_lossy(&output.stdout);
    let (lines, notes) = read(&told);
    for note in &notes {
        println!("{note}");
    }
    println!();
    let wide = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    for line in &lines {
        println!("{:<wide$}  {}", line.name, line.result);
    }
    if !output.status.success() || lines.is_empty() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success() && !lines.is_empty()
}

/// Cuts the output of a run: the tests, and what they printed. `test NAME ... ` begins a line that what the test
/// prints may follow before its result does.
fn read(told: &str) -> (Vec<Line>, Vec<String>) {
    let (mut lines, mut notes) = (Vec::new(), Vec::new());
    let mut open = None;
    for line in told.lines() {
        let rest = match line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")) {
            Some((name, rest)) => {
                open = Some(name.to_owned());
                rest
            }
            None => line,
        };
        match rest {
            "ok" | "FAILED" | "ignored" if open.is_some() => {
                let result = rest.to_owned();
                lines.extend(open.take().map(|name| Line { name, result }));
            }
            "" => {}
            _ if rest.starts_with("running ") || rest.starts_with("test result") => {}
            _ => notes.push(rest.to_owned()),
        }
    }
    (lines, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_prints_is_read_with_its_result() {
        let told = "\nrunning 2 tests\ntest a::one ... 12 messages\nskipped: no x\nok\ntest two ... FAILED\n\n\
                    test result: FAILED. 1 passed\n";
        let (lines, notes) = read(told);
        let line = |name: &str, result: &str| Line { name: name.to_owned(), result: result.to_owned() };
        assert_eq!(lines, [line("a::one", "ok"), line("two", "FAILED")]);
        assert_eq!(notes, ["12 messages", "skipped: no x"]);
    }
}
