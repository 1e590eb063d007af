//! The lines of the live table and of the summary: pure text, narrow enough for any terminal.

use super::summary::{Summary, thousands};

/// What the live table shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Board {
    /// Messages planned.
    pub(super) planned: u64,
    /// Messages answered, one way or the other.
    pub(super) answered: u64,
    /// Messages sent.
    pub(super) sent: u64,
    /// Acknowledged.
    pub(super) acknowledged: u64,
    /// Sent again.
    pub(super) sent_again: u64,
    /// The daemon runs.
    pub(super) up: bool,
    /// Duplicates that it absorbed.
    pub(super) duplicates: u64,
    /// Readings that it took in.
    pub(super) readings: u64,
    /// Outcomes that it computed.
    pub(super) outcomes: u64,
    /// What it quarantined.
    pub(super) quarantined: u64,
    /// Writes in effect at the EHR.
    pub(super) ehr: u64,
    /// Writes in effect upstream.
    pub(super) upstream: u64,
    /// Writes that wait for permission.
    pub(super) deferred: u64,
    /// The site's mode, as the daemon names it.
    pub(super) mode: String,
    /// The upstream's.
    pub(super) upstream_mode: String,
}

/// How a piece of text is shown, where colour is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Faint,
    Strong,
    Good,
    Bad,
}

/// Text with or without colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    /// `text` in a tone (SGR, ECMA-48), or as it is.
    pub(super) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Faint => "2",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "31;1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

impl Board {
    /// One line per stage; each is cut, never wrapped, by who shows it, so the important part is first.
    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let name = |name: &str| paint.tone(Tone::Faint, &format!("  {name:<9}"));
        let fact = |number: u64, what: &str| format!("{:>7} {what}", thousands(number));
        let mode = |mode: &str| {
            let tone = match mode {
                "full" => Tone::Good,
                "read-only" => Tone::Bad,
                _ => Tone::Faint,
            };
            paint.tone(tone, mode)
        };
        let daemon = if self.up {
            format!(
                "{}{}{}",
                fact(self.readings, "readings   "),
                fact(self.outcomes, "computed     "),
                fact(self.duplicates, "duplicates absorbed"),
            )
        } else {
            format!("        {}", paint.tone(Tone::Bad, "killed; starting again"))
        };
        let deferred = fact(self.deferred, "deferred     ");
        let deferred = paint.tone(if self.deferred > 0 { Tone::Strong } else { Tone::Plain }, &deferred);
        vec![
            format!(
                "{}{}{}{}",
                name("engine"),
                fact(self.sent, "sent       "),
                fact(self.acknowledged, "acknowledged "),
                fact(self.sent_again, "sent again"),
            ),
            format!("{}{daemon}", name("daemon")),
            format!("{}{}{deferred}{}", name("EHR"), fact(self.ehr, "delivered  "), mode(&self.mode)),
            format!(
                "{}{}                     {}",
                name("upstream"),
                fact(self.upstream, "delivered  "),
                mode(&self.upstream_mode)
            ),
        ]
    }

    /// The same as one line for a log.
    pub(super) fn line(&self) -> String {
        format!(
            "sent {} acknowledged {} duplicates {} readings {} outcomes {} EHR {} upstream {} deferred {} mode {}",
            self.sent,
            self.acknowledged,
            self.duplicates,
            self.readings,
            self.outcomes,
            self.ehr,
            self.upstream,
            self.deferred,
            if self.mode.is_empty() { "unknown" } else { &self.mode }
        )
    }
}

/// The summary, with what it means, in lines of at most `width` characters.
pub(super) fn summary(summary: &Summary, paint: Paint, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for group in summary.rows() {
        lines.push(String::new());
        for (name, value) in group {
            let must_be_none = matches!(name, "lost" | "delivered twice" | "personal data leaked");
            let tone = match must_be_none {
                true if value == "0" => Tone::Good,
                true => Tone::Bad,
                false => Tone::Strong,
            };
            let value = format!("{value:>10}");
            lines.push(format!("  {name:<22}{}", paint.tone(tone, &value)));
        }
    }
    lines.push(String::new());
    let mut say = |tone: Tone, words: &str| {
        for line in wrap(words, width.saturating_sub(2)) {
            lines.push(paint.tone(tone, &format!("  {line}")));
        }
    };
    let faults = summary.faults();
    if faults.is_empty() {
        say(Tone::Good, "Nothing acknowledged was lost, nothing was written twice.");
    }
    faults.iter().for_each(|fault| say(Tone::Bad, &format!("FAULT: {fault}")));
    let counted = "Counted from the engine's acknowledgements, the receivers' own logs and the store.";
    say(Tone::Faint, counted);
    if summary.lost == 0 {
        let verified = thousands(summary.windows_verified);
        say(Tone::Faint, &format!("{verified} windows at each receiver agree with an independent count."));
    }
    lines
}

/// `words` in lines of at most `width` characters, where the length of a word permits it.
pub(super) fn wrap(words: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(1 + word.chars().count()) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_none_is_lost() {
        let text = "site main is read-only after 38 ms";
        assert_eq!(wrap(text, 80), [text]);
        assert_eq!(wrap(text, 16), ["site main is", "read-only after", "38 ms"]);
        for width in 1..40 {
            let lines = wrap(text, width);
            let words: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
            assert_eq!(words, text.split(' ').collect::<Vec<_>>(), "{width}");
        }
    }

    #[test]
    fn the_table_fits_eighty_columns_and_has_no_colour_where_none_is_wanted() {
        let board = Board {
            sent: 999_999,
            acknowledged: 999_999,
            sent_again: 99_999,
            up: true,
            duplicates: 99_999,
            readings: 999_999,
            outcomes: 99_999,
            ehr: 99_999,
            upstream: 99_999,
            deferred: 99_999,
            mode: "read-only".to_owned(),
            upstream_mode: "full".to_owned(),
            ..Board::default()
        };
        for board in [&board, &Board { up: false, ..board.clone() }] {
            for line in board.lines(Paint { colour: false }) {
                assert!(line.chars().count() < 80 && !line.contains('\u{1b}'), "{line}");
            }
        }
        assert!(board.lines(Paint { colour: true })[2].contains("\u{1b}[31;1mread-only"));
    }

    #[test]
    fn a_loss_is_told_as_a_fault_and_never_beside_the_good_word() {
        let lost = Summary { lost: 3, ..Summary::default() };
        let told = summary(&lost, Paint { colour: false }, 80).join("\n");
        assert!(told.contains("FAULT: 3 lost") && !told.contains("Nothing acknowledged"), "{told}");
        assert!(!told.contains("agree with"));
    }
}
