//! `--compare A B`: two files under one policy, or two policies over each file.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clinical::{normalize::file::Format, policy::Policy};

use indicatif::ProgressBar;

use super::{Args, answer, failure, paper, policies::Policies};
use crate::{
    cli::failed,
    report::{
        compare::compare,
        export::{Export, Question},
    },
};

/// Compares, prints. Every pair that could be compared is printed; the exit code says whether all could.
pub(super) fn run(args: &Args, [a, b]: [&str; 2], policies: &Policies<'_>, question: &Question) -> ExitCode {
    let wanted = args.format.parse().ok();
    let named = if args.files.is_empty() { None } else { Some([policies.named(a), policies.named(b)]) };
    let pairs: Vec<Result<[Export; 2], String>> = match named {
        Some([Err((error, code)), _] | [_, Err((error, code))]) => {
            let error = format!("{error}; --compare takes two files alone, or two policies and a FILE");
            return failed(&error, code);
        }
        Some([Ok(first), Ok(second)]) => {
            args.files.iter().map(|file| both([file, file], [first, second], wanted, question)).collect()
        }
        None => {
            let (a, b) = (PathBuf::from(a), PathBuf::from(b));
            vec![both([&a, &b], [question.policy; 2], wanted, question)]
        }
    };
    let mut objects = Vec::new();
    let mut texts = Vec::new();
    let mut failed = false;
    for pair in pairs {
        match pair {
            Ok([a, b]) if args.json => objects.push(compare(&a, &b).json()),
            Ok([a, b]) => texts.push(compare(&a, &b).text(paper())),
            Err(error) => {
                failed = true;
                complain(&error);
            }
        }
    }
    let text = if args.json { format!("{:#}\n", serde_json::Value::from(objects)) } else { texts.join("\n") };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) if !failed => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !failed => ExitCode::SUCCESS,
        _ => failure(),
    }
}

/// What clap cannot see of the two.
pub(super) fn wrong_usage(args: &Args) -> Option<&'static str> {
    let [a, b] = args.compare.as_slice() else { return None };
    let policies = Policy::named(a).is_some() && Policy::named(b).is_some();
    match (policies, args.files.is_empty()) {
        (true, true) => Some("to compare two policies give a FILE to compare them over"),
        _ if args.last_days.len() > 1 => Some("--compare takes one number of --last-days"),
        _ => None,
    }
}

fn both(
    files: [&PathBuf; 2],
    policies: [&'static Policy; 2],
    wanted: Option<Format>,
    question: &Question,
) -> Result<[Export; 2], String> {
    let of = |file: &Path, policy| {
        let question = Question { policy, ..question.clone() };
        let (_, mut exports) = answer(file, wanted, &question, &ProgressBar::hidden())?;
        // Never empty, and one window alone is asked for.
        exports.pop().ok_or_else(|| format!("{}: no outcome", file.display()))
    };
    Ok([of(files[0], policies[0])?, of(files[1], policies[1])?])
}

#[allow(clippy::print_stderr, reason = "the command line talks to people")]
fn complain(error: &str) {
    eprintln!("{error}");
}
