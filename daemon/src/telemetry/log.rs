//! The log: on standard error, or to journald by its own protocol.
//!
//! Invariant: no line steers the terminal that shows it or turns its text: what other systems wrote (a server's words, a
//! file's name, a peer's certificate) stands there as an escape where it does not plainly print. A line as JSON stays JSON.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Stderr, Write},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::exhibit::visible;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
    /// To journald by its own protocol, each field by itself: journalctl ISTHMUS_MSG=msg-17.
    #[cfg(feature = "systemd")]
    Journal,
}

/// Starts logging to journald; where its socket is not there, to standard error, and says so.
#[cfg(feature = "systemd")]
fn install_journal(filter: tracing_subscriber::EnvFilter) {
    use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
    match tracing_journald::layer() {
        Ok(journal) => {
            let journal = journal
                .with_field_prefix(Some("ISTHMUS".to_owned()))
                .with_syslog_identifier("isthmus".to_owned());
            // A second call in one process (tests) keeps the first subscriber.
            drop(tracing_subscriber::registry().with(filter).with(journal).try_init());
        }
        Err(error) => {
            let plain = Plain { format: LogFormat::Text, coloured: false };
            let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(plain);
            drop(builder.with_target(false).with_ansi(false).try_init());
            tracing::warn!(%error, "no journal here: the log goes to standard error");
        }
    }
}

/// Starts logging: to standard error, or to journald where that is asked for. `filter` is a level or a tracing directive list.
pub fn install_log(format: LogFormat, filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    #[cfg(feature = "systemd")]
    if format == LogFormat::Journal {
        return install_journal(filter);
    }
    let coloured = format == LogFormat::Text && io::stderr().is_terminal();
    let plain = Plain { format, coloured };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(plain).with_target(false);
    let installed = match format {
        #[cfg(feature = "systemd")]
        LogFormat::Journal => builder.with_ansi(false).try_init(),
        LogFormat::Text => builder.with_ansi(coloured).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // A second call in one process (tests) keeps the first subscriber.
    drop(installed);
}

/// What a line goes through.
#[derive(Clone, Copy, Debug)]
struct Plain {
    format: LogFormat,
    coloured: bool,
}

impl Plain {
    /// A line as it is written.
    fn line<'a>(self, line: &'a [u8]) -> Cow<'a, [u8]> {
        // The colours are the formatter's own; it writes an escape of a field's text as `\x1b`.
        let is_plain = |byte: &u8| {
            matches!(byte, b' '..=b'~' | b'\n' | b'\t') || (self.coloured && *byte == visible::ESCAPE as u8)
        };
        if line.iter().all(is_plain) {
            return line.into();
        }
        let text = String::from_utf8_lossy(line);
        let shown = match self.format {
            LogFormat::Json => visible::in_json(&text).into_owned(),
            LogFormat::Text if self.coloured => visible::coloured(&text),
            LogFormat::Text => visible::lines(&text),
            #[cfg(feature = "systemd")]
            LogFormat::Journal => visible::lines(&text),
        };
        shown.into_bytes().into()
    }
}

/// The formatter writes a whole line at once.
struct Lines(Plain, Stderr);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.1.write_all(&self.0.line(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

impl<'a> MakeWriter<'a> for Plain {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        Lines(*self, io::stderr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_turns_no_text_and_steers_no_terminal_and_json_stays_json() {
        let line = "INFO the server says \u{202e}\u{2066}\u{9b}2J and \u{1b}[2J, é\n";
        let written = |format, coloured| {
            String::from_utf8(Plain { format, coloured }.line(line.as_bytes()).into_owned()).unwrap()
        };
        assert_eq!(
            written(LogFormat::Text, false),
            "INFO the server says \\u{202e}\\u{2066}\\x9B2J and \\x1B[2J, é\n"
        );
        let coloured = written(LogFormat::Text, true);
        assert!(
            coloured.contains("\\u{202e}") && coloured.contains("\u{1b}[2J") && coloured.ends_with("é\n")
        );
        let event = serde_json::json!({ "message": "\u{202e}\u{9b}é\u{1b}\u{e0041}" }).to_string();
        let plain = Plain { format: LogFormat::Json, coloured: false };
        let told = String::from_utf8(plain.line(event.as_bytes()).into_owned()).unwrap();
        assert_eq!(told, "{\"message\":\"\\u202e\\u009bé\\u001b\\udb40\\udc41\"}");
        let read: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(read["message"], "\u{202e}\u{9b}é\u{1b}\u{e0041}");
    }
}
