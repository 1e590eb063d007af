//! `isthmus status --watch`: the same, again and again, until Ctrl-C.
//!
//! On a terminal each look is drawn over the one before, in one write, line by line, so that nothing flickers; what does not fit
//! below is counted. Anywhere else looks follow each other, each below its time. A daemon that goes away is told, with what it
//! said last, and so is its coming back.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    admin::{self, AdminError, Request},
    cli::{BAD_CONFIGURATION, FAILED, failed, runtime},
    config, time,
};

/// How long the daemon may take to answer one look.
const ANSWER: Duration = Duration::from_secs(10);
/// Rows of a terminal that says none.
const ROWS_UNKNOWN: usize = 24;
/// The other screen, and no cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What was seen last.
#[derive(Default)]
struct Seen {
    /// The last answer, and when (ms UTC).
    last: Option<(Value, i64)>,
    /// Since when there is none, and why.
    away: Option<(i64, String)>,
    /// Since when there is one again after there was none.
    back: Option<i64>,
}

impl Seen {
    fn take(&mut self, told: Result<Value, String>, now: i64) {
        match told {
            Ok(document) => {
                if self.away.take().is_some() {
                    self.back = Some(now);
                }
                self.last = Some((document, now));
            }
            Err(why) => {
                let since = self.away.as_ref().map_or(now, |(since, _)| *since);
                self.away = Some((since, why));
            }
        }
    }

    fn words(&self, every: Duration, now: i64, for_people: impl Fn(&Value) -> String) -> String {
        let mut out = format!("{}   every {} s, Ctrl-C ends\n", time::rfc3339(now), every.as_secs());
        match (&self.away, self.back) {
            (Some((since, why)), _) => {
                out += &format!("THE DAEMON DOES NOT ANSWER, since {}: {why}\n", time::rfc3339(*since));
                if let Some((_, at)) = &self.last {
                    out += &format!("what it said last, at {}:\n", time::rfc3339(*at));
                }
            }
            (None, Some(back)) => {
                out += &format!("the daemon answers again, since {}\n", time::rfc3339(back))
            }
            (None, None) => {}
        }
        out.push('\n');
        if let Some((document, _)) = &self.last {
            out += &for_people(document);
        }
        out
    }
}

/// Looks until Ctrl-C or SIGTERM.
pub(super) fn run(every: Duration, config: &Path, for_people: impl Fn(&Value) -> String) -> ExitCode {
    let socket = match config::admin_socket(config) {
        Ok(socket) => socket,
        Err(error) => return failed(&error, BAD_CONFIGURATION),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, FAILED),
    };
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let draws = io::stdout().is_terminal() && !is_dumb;
    if draws {
        let _gone = put(ENTER);
    }
    let ended = runtime.block_on(look_again(every, &socket, draws, for_people));
    if draws {
        let _gone = put(LEAVE);
    }
    match ended {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => failed(&error, FAILED),
        _ => ExitCode::SUCCESS,
    }
}

async fn look_again(
    every: Duration,
    socket: &Path,
    draws: bool,
    for_people: impl Fn(&Value) -> String,
) -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A window that changes its size is drawn anew at once.
    let mut resized = signal(SignalKind::window_change())?;
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            told = look(socket) => seen.take(told, time::now_ms()),
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        }
        let words = seen.words(every, time::now_ms(), &for_people);
        put(&if draws { drawn(&words, rows()) } else { format!("--- {words}\n") })?;
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = resized.recv(), if draws => {}
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        }
    }
}

/// One look; why there is none, in a line.
async fn look(socket: &Path) -> Result<Value, String> {
    match tokio::time::timeout(ANSWER, admin::ask(socket, &Request::Status)).await {
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
        Ok(Err(AdminError::Unreachable { source, .. })) => Err(source.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(told)) => match told["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(told),
        },
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn rows() -> usize {
    terminal_size::terminal_size().map_or(ROWS_UNKNOWN, |(_, rows)| usize::from(rows.0))
}

/// A look drawn over the one before: each line and nothing behind it, and nothing below the last.
fn drawn(words: &str, rows: usize) -> String {
    let lines: Vec<&str> = words.lines().collect();
    let fits = lines.len() <= rows;
    let shown = if fits { lines.len() } else { rows.saturating_sub(1) };
    let mut out = "\x1b[H".to_owned();
    for (at, line) in lines.iter().take(shown).enumerate() {
        out += &format!("{}{line}\x1b[K", if at == 0 { "" } else { "\r\n" });
    }
    if !fits {
        out += &format!("\r\n... {} more lines: isthmus status\x1b[K", lines.len() - shown);
    }
    out + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_daemon_that_goes_away_and_comes_back_is_told_with_what_it_said_last() {
        let mut seen = Seen::default();
        let words = |seen: &Seen, now| {
            seen.words(Duration::from_secs(2), now, |told| format!("state {}\n", told["n"]))
        };
        seen.take(Err("no such file".into()), 0);
        assert!(words(&seen, 0).contains("DOES NOT ANSWER, since 1970-01-01T00:00:00Z: no such file"));
        seen.take(Ok(json!({ "n": 1 })), 1_000);
        assert!(words(&seen, 1_000).contains("answers again, since 1970-01-01T00:00:01Z"));
        seen.take(Err("refused".into()), 2_000);
        seen.take(Err("refused".into()), 3_000);
        let away = words(&seen, 3_000);
        assert!(away.contains("since 1970-01-01T00:00:02Z: refused") && away.contains("state 1"), "{away}");
        assert!(away.contains("what it said last, at 1970-01-01T00:00:01Z"), "{away}");
    }

    #[test]
    fn a_look_takes_no_more_rows_than_there_are_and_leaves_nothing_of_the_one_before() {
        let text = "a\nb\nc\n";
        assert_eq!(drawn(text, 3), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\nc\x1b[K\x1b[J");
        assert_eq!(drawn(text, 2), "\x1b[Ha\x1b[K\r\n... 2 more lines: isthmus status\x1b[K\x1b[J");
    }
}
